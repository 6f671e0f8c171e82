"""Imports point one way: read from the source of every module, imports inside functions included."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("graphs", "hgg_pyg")

# The rooms of hgg_pyg from the ground up: a room knows its own floor and those below. What is not named is a command.
FLOORS = (
    ("types", "config", "io", "kernels", "processes"),
    ("attention", "body", "render"),
    ("nn",),
    ("avatar",),
    ("model",),
    ("backbones",),
    ("multiview",),
    ("data",),
    ("refine",),
    ("synthetic", "capture_check", "evaluation"),
    ("training", "weights"),
    ("finetuning", "viewing", "prepare"),
)
RANKS = {room: rank for rank, rooms in enumerate(FLOORS) for room in rooms}
COMMAND = len(FLOORS)
# Tensors and edges only: what these packages may import of ours, themselves aside.
NARROW = {
    "graphs": set(),
    "attention": {"types", "kernels"},
    "nn": {"types", "attention"},
}
MAY_IMPORT_GRAPHS = {"model", "data", "refine", "evaluation", "training", "viewing"}  # and commands


def part_of(module: str) -> str | None:
    """The part of ours that a dotted module name belongs to: graphs, nn, types, ...; None for others' modules."""
    names = module.split(".")
    if names[0] == "graphs":
        return "graphs"
    if names[-1] == "__main__":
        return "__main__"  # the command that a room is called as
    if names[0] == "hgg_pyg":
        return names[1] if len(names) > 1 else "__init__"
    return None


def imported_modules(tree: ast.AST, module: str, is_package: bool) -> Iterator[str]:
    """Dotted names of all that a module imports; `from a import b` gives a.b, relative imports are resolved."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                drop = node.level - 1 if is_package else node.level
                names = module.split(".")
                base = ".".join([*names[: len(names) - drop], *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if importer in NARROW:
        return imported in NARROW[importer]
    if imported == "graphs":
        return importer in MAY_IMPORT_GRAPHS or RANKS.get(importer, COMMAND) == COMMAND
    return RANKS.get(imported, COMMAND) <= RANKS.get(importer, COMMAND)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    importer = part_of(module)
    assert importer is not None
    found = []
    for name in imported_modules(ast.parse(source), module, is_package):
        imported = part_of(name)
        if imported is not None and not allowed(importer, imported):
            found.append(f"{module} imports {name}")
    return found


def test_imports_point_one_way() -> None:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 10
    found = []
    for path in files:
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        found += violations(path.read_text(), module, is_package)
    assert not found, "\n".join(found)


def test_only_one_file_knows_torch_cluster() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            names = imported_modules(ast.parse(path.read_text()), package, False)
            knows = any(name.split(".")[0] == "torch_cluster" for name in names)
            assert knows == (path == ROOT / "graphs" / "nearest.py"), path


# numba itself is not among them: PyG imports it where it is installed. Our kernels compile when they are imported.
HEAVY = {"trimesh", "PIL", "tyro", "smplx", "hgg_pyg.kernels", "hgg_pyg.data", "hgg_pyg.io", "hgg_pyg.body"}


@pytest.mark.parametrize("package", ["graphs", "hgg_pyg.nn", "hgg_pyg.attention"])
def test_what_researchers_import_loads_no_readers_and_no_bodies(package: str) -> None:
    """Asked of a fresh interpreter: other tests have loaded everything into this one.

    With transformers installed it fails: PyG imports that, and with it PIL, at every import of its own. No extra may
    bring it.
    """
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert package in loaded
    assert not HEAVY & loaded


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("graphs.spec", "from hgg_pyg.types import UserError"),
        ("hgg_pyg.evaluation.scores", "from hgg_pyg.training.run import TrainConfig"),
        ("hgg_pyg.model.feedback", "from hgg_pyg.data.clips import load_target"),
        ("graphs.spec", "def f():\n    import hgg_pyg"),
        ("hgg_pyg.nn.intra", "from hgg_pyg.body import load_body"),
        ("hgg_pyg.nn.intra", "import graphs.nearest"),
        ("hgg_pyg.nn.intra", "from .. import model"),
        ("hgg_pyg.nn.intra", "from ..render.tiles import render"),
        ("hgg_pyg.attention.scatter", "from hgg_pyg.nn import IntraConv"),
        ("hgg_pyg.body.model", "from hgg_pyg.avatar import Avatar"),
        ("hgg_pyg.body.model", "from graphs import GraphSpec"),
        ("hgg_pyg.types", "from hgg_pyg.render import render"),
        ("hgg_pyg.model.network", "from hgg_pyg import train"),
    ],
)
def test_rule_can_fail(module: str, source: str) -> None:
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("graphs.build", "import torch\nfrom graphs.spec import GraphSpec"),
        ("hgg_pyg.nn.block", "from .intra import IntraConv\nfrom hgg_pyg.attention import edge_softmax"),
        ("hgg_pyg.data.clip", "from graphs import GraphSpec\nfrom hgg_pyg.body import load_body"),
        ("hgg_pyg.model.network", "from hgg_pyg.nn import GraphBlock\nfrom graphs import BINDS"),
        ("hgg_pyg.train", "import graphs\nfrom hgg_pyg import model, training"),
    ],
)
def test_rule_lets_pass(module: str, source: str) -> None:
    assert violations(source, module) == []
