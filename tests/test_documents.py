"""The Python on README.md and on the pages in docs/ runs, page by page and block after block, as a reader types it."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hgg_pyg.backbones import make_backbone
from hgg_pyg.body import load_body
from hgg_pyg.model.network import HGGNet
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.run import MODEL_FOLDER, TrainConfig, create_run
from hgg_pyg.types import Cameras, Gaussians
from tests.avatar.avatars import small_avatar
from tests.captures import make_captures

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
PAGES = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}


def _demo(folder: Path) -> None:
    """A run as `make train` leaves it, untrained and on small images; as many frames, since blocks choose among them.

    An untrained network is direct binding, so what a block draws is a person all the same.
    """
    captures = make_captures(SynthesizeConfig(Path("captures/small"), subjects=3, views=4, size=32))
    config = replace(TrainConfig.preset("recommended"), data=captures, name=folder.name, out=folder.parent)
    create_run(config)
    sizes = {"in_channels": make_backbone(config.backbone).feature_dim, "num_vertices": load_body().num_vertices}
    HGGNet(replace(config.model, **sizes)).save(folder / MODEL_FOLDER)


def _avatar(path: Path) -> None:
    small_avatar(load_body()).save(path)


def _gaussians() -> Gaussians:
    return Gaussians(torch.rand(9, 3) - 0.5, torch.ones(9, 4), torch.full((9, 3), 0.1), torch.ones(9), torch.rand(9, 3))


def _cameras() -> Cameras:
    view = torch.eye(4)
    view[2, 3] = 3
    return Cameras(view[None], torch.tensor([[[20.0, 0, 8], [0, 20, 8], [0, 0, 1]]]), 16, 16)


# What pages leave to their reader: folders and files, made when a block names them, and objects of the reader's own.
FOLDERS: dict[str, Callable[[Path], None]] = {"runs/demo": _demo, "person.avatar": _avatar}
OBJECTS: dict[str, Callable[[], Any]] = {
    "gaussians": _gaussians,
    "cameras": _cameras,
    "background": lambda: torch.ones(3),
}


def run_page(name: str, text: str) -> dict[str, Any]:
    """Run a page's blocks in the current folder; returns the names that they define."""
    names: dict[str, Any] = {}
    for block in BLOCK.finditer(text):
        code = block[1]
        for folder, make in FOLDERS.items():
            if folder in code and not Path(folder).exists():
                make(Path(folder))
        for own, make in OBJECTS.items():
            if own not in names and re.search(rf"\b{own}\b", code):
                names[own] = make()
        line = text.count("\n", 0, block.start(1))  # so that a traceback names the page's line
        exec(compile("\n" * line + code, name, "exec"), names)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, text in PAGES.items() if BLOCK.search(text)])
def test_the_python_of_a_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(name, PAGES[name])


def test_readme_has_python() -> None:
    assert BLOCK.search(PAGES["README.md"])


def test_every_stand_in_is_left_to_some_reader() -> None:
    code = "\n".join(block for text in PAGES.values() for block in BLOCK.findall(text))
    assert [name for name in (*FOLDERS, *OBJECTS) if not re.search(rf"\b{name}\b", code)] == []


@pytest.mark.parametrize(
    ("code", "error"),
    [("import hgg_pyg.nothing", ImportError), ("a = 1\n```\n\n```python\na + b", NameError), ("(", SyntaxError)],
)
def test_a_broken_page_fails(code: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        run_page("page.md", f"# A page\n\n```python\n{code}\n```\n")
    if error is NameError:
        assert caught.traceback[-1].lineno == 7  # from 0
