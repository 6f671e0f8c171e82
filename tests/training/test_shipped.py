"""The weights that come with the package."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.maker_choice import MakerOptions, open_maker
from hgg_pyg.model.network import HGGNet
from hgg_pyg.training.run import MODEL_FOLDER, read_config
from hgg_pyg.training.shipped import SHIPPED, pack
from hgg_pyg.training.trained import load_network
from tests.test_inspect import make_run


def test_a_packed_run_is_the_run_in_half_precision(tiny_captures: Path, body, tmp_path: Path) -> None:
    run = make_run(tiny_captures, tmp_path, body, shift="surface", feedback=2)
    out = pack(run, tmp_path / "packed")
    before, after = HGGNet.load(run / MODEL_FOLDER), HGGNet.load(out / MODEL_FOLDER)
    assert after.config == before.config
    assert read_config(out).model == read_config(run).model
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in out.rglob("*") if path.is_file())
    for old, new in zip(before.parameters(), after.parameters(), strict=True):
        assert new.dtype == torch.float32
        assert torch.equal(new, old.half().float())
    sizes = [(folder / MODEL_FOLDER / "model.safetensors").stat().st_size for folder in (run, out)]
    assert sizes[1] < 0.6 * sizes[0]
    assert load_network(out, body, make_backbone(BackboneConfig()), torch.device("cpu")).config == before.config


def test_what_ships_is_small_described_and_fits_the_open_body(body) -> None:
    size = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file())
    assert size <= 3_000_000
    network = load_network(SHIPPED, body, make_backbone(BackboneConfig()), torch.device("cpu"))
    assert not network.training
    card = (SHIPPED / "MODEL_CARD.md").read_text()
    for heading in ("## Data", "## Command", "## Scores"):
        assert heading in card
    config = read_config(SHIPPED)
    assert config.variety
    assert f"--steps {config.steps}" in card


@pytest.mark.parametrize(("views", "frames"), [(1, 1), (2, 3)])
def test_it_is_nearer_to_the_input_images_than_direct_binding(tiny_captures: Path, views: int, frames: int) -> None:
    maker, source = open_maker(tiny_captures / "subject001", MakerOptions(views=views, frames=frames))
    made = maker.make(source, 30)
    assert made.psnr > made.direct_psnr
    assert made.avatar.about["weights"] == "shipped with hgg_pyg"


def test_it_takes_images_as_they_come_and_no_other_body(tiny_captures: Path) -> None:
    options = MakerOptions()
    _, source = open_maker(tiny_captures / "subject001", options)
    assert source.capture.size() == (32, 32)
    assert len(source.cameras) == 4
    _, source = open_maker(tiny_captures / "subject001", replace(options, views=6, crop=True, image_size=20))
    assert (source.capture.size(), len(source.cameras)) == ((20, 20), 6)
