"""Training a front on tiny captures: what a run leaves, that it goes on exactly, each stage's weights, wrong inputs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("diffusers", reason='pip install "hgg_pyg[diffusion]"')

from hgg_pyg import finetune_multiview
from hgg_pyg.backbones import Moment, SurfaceBackbone, SurfaceConfig
from hgg_pyg.body import BodyModel
from hgg_pyg.data import open_captures
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.finetuning.multiview.config import MultiviewConfig
from hgg_pyg.finetuning.multiview.examples import ExampleLoader, find_examples, recolor
from hgg_pyg.finetuning.multiview.scores import METHODS, TASKS
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.multiview import FrontConfig, behind_front
from hgg_pyg.multiview import __main__ as picture_command
from hgg_pyg.multiview.__main__ import PictureConfig, read_person, shows_back
from hgg_pyg.multiview.folder import load_model
from hgg_pyg.multiview.micro import VIEWS, micro_model
from hgg_pyg.multiview.network import is_joint
from hgg_pyg.multiview.views import QUARTERS
from hgg_pyg.prepare.landmark_sets import LandmarkSet
from hgg_pyg.prepare.landmarks.base import Sighting
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.checkpoint import Checkpoint
from hgg_pyg.types import UserError
from tests.captures import make_captures


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Path:
    """Three subjects, 2 frames, 8 cameras: some at right angles."""
    out = tmp_path_factory.mktemp("people") / "captures"
    return make_captures(SynthesizeConfig(out=out, subjects=3, frames=2, views=8, size=32))


@pytest.fixture
def config(people: Path, tmp_path: Path, monkeypatch) -> MultiviewConfig:
    def smaller(views):
        return micro_model(views, (8, 16), 4)

    monkeypatch.setattr(finetune_multiview, "micro_model", smaller)
    return MultiviewConfig(
        data=people, name="tiny", out=tmp_path / "runs", size=32, steps=4, joint_steps=2, batch=2,
        checkpoint_every=2, validate_every=2, test_frames=1, average=0.5,
    )  # fmt: skip


def weights_of(config: MultiviewConfig) -> dict[str, torch.Tensor]:
    return load_model(config.folder / "model").model.unet.state_dict()


def test_a_run_leaves_a_front(config, people, body: BodyModel, tmp_path, capsys) -> None:
    finetune_multiview.main(config)
    names = {path.name for path in config.folder.iterdir()}
    assert names == {"config.json", "git.txt", "inputs.json", "checkpoint.pt", "model", "metrics.json", "curves.png",
                     "sheet.png", "tensorboard"}  # fmt: skip
    assert "mirrored front" in capsys.readouterr().out
    metrics = json.loads((config.folder / "metrics.json").read_text())
    assert set(metrics["summary"]) == set(TASKS)
    assert {score["method"] for score in metrics["scores"]} == set(METHODS)
    front = FrontConfig("wonder3d", config.folder / "model", facing=180)
    backbone = behind_front(SurfaceBackbone(SurfaceConfig()), front, tmp_path)
    capture = open_captures(people, 32, body, input_views=1).test[0]
    assert len(FrameSource(capture, (0,), backbone, body, tmp_path).predict(0)) > 0


@one_thread()
def test_a_run_that_went_on_is_one_that_never_stopped(config, monkeypatch) -> None:
    finetune_multiview.main(config)
    stopped = replace(config, name="stopped")

    class Power(Exception):
        pass

    original, calls = finetune_multiview.ViewsTuner.loss, []

    def loss(self, item):
        calls.append(1)
        if len(calls) == 4:
            raise Power
        return original(self, item)

    monkeypatch.setattr(finetune_multiview.ViewsTuner, "loss", loss)
    with pytest.raises(Power):
        finetune_multiview.main(stopped)
    assert Checkpoint.load(stopped.folder).step == 2
    finetune_multiview.main(replace(stopped, resume=True))
    whole, parts = weights_of(config), weights_of(stopped)
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_each_stage_moves_its_own_weights(config) -> None:
    start = finetune_multiview.start_model(config)[0].unet.state_dict()
    for stage, joint_steps in (("mixed", 0), ("joint", 3)):
        run = replace(config, name=stage, steps=3, joint_steps=joint_steps, weight_decay=0.1)
        finetune_multiview.main(run)
        state = Checkpoint.load(run.folder).model
        moved = {name for name in start if not torch.equal(state[f"unet.{name}"], start[name])}
        assert moved
        assert {is_joint(name) for name in moved} == {stage == "joint"}
    further = replace(config, name="further", checkpoint=config.out / "joint" / "model", steps=1, joint_steps=0)
    model, digest = finetune_multiview.start_model(further)
    assert digest == load_model(further.checkpoint).digest
    assert model.views.azimuths == QUARTERS


def test_examples_have_cameras_at_right_angles(people, body) -> None:
    captures = open_captures(people, 32, body, input_views=4).train
    examples = find_examples(captures, body, VIEWS, 60, people)
    assert {example.frame for example in examples} == {0, 1}
    for example in examples:
        assert [(camera - example.cameras[0]) % 8 for camera in example.cameras] == [0, 2, 4, 6]
    with pytest.raises(UserError, match="expected frames with a camera that the person faces within 0 degrees"):
        find_examples(captures, body, VIEWS, 0, people)
    loader = ExampleLoader(body, replace(VIEWS, size=32))
    person = loader.read(examples[0])
    assert person is not None
    assert torch.equal(person.picture.rgb[0], person.rgb[0, 0])
    assert person.rgb.shape == person.normals.shape == (1, 4, 3, 32, 32)
    overlap = (person.body * person.alpha).sum((2, 3, 4)) / person.body.sum((2, 3, 4))
    assert overlap.min() > 0.6  # the body is where the person is, in all views
    other = recolor(person, np.random.default_rng(0))
    assert torch.equal(other.alpha, person.alpha)
    white = person.rgb.amin(2) == 1
    assert (other.rgb.amin(2)[white] == 1).all()
    assert (other.rgb - person.rgb).abs().max() > 0.05


@pytest.mark.parametrize(
    ("change", "message"),
    [({"joint_steps": 5}, "joint_steps: expected at most the 4 of steps, found 5"),
     ({"size": 20}, "size: expected a multiple of 8, found 20"),
     ({"schedule": "warm"}, "schedule: expected one of falling, constant, found 'warm'")],
)  # fmt: skip
def test_options_that_do_not_fit(config, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(config, **change)


def test_the_paper_s_preset_wants_weights() -> None:
    paper = MultiviewConfig.preset("paper")
    assert (paper.lr, paper.joint_lr, paper.size, paper.normals) == (5e-5, 2.5e-5, 256, 0.5)
    with pytest.raises(UserError, match=r"--checkpoint: expected the folder of weights .*, for pictures of 256 pixels"):
        finetune_multiview.start_model(paper)


@pytest.fixture(scope="module")
def micro_folder(tmp_path_factory) -> Path:
    from hgg_pyg.multiview.folder import save_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("micro") / "model"
    save_model(folder, micro_model(replace(VIEWS, size=32, steps=2), (8, 16), 4))
    return folder


def test_a_picture_becomes_pictures(micro_folder, tmp_path, monkeypatch) -> None:
    pixels = np.zeros((60, 40, 4), np.uint8)
    pixels[10:50, 15:25] = (200, 30, 30, 255)
    path = tmp_path / "red.png"
    Image.fromarray(pixels).save(path)
    picture_command.main(PictureConfig(path, micro_folder, out=tmp_path / "views"))
    assert {file.name for file in (tmp_path / "views").iterdir()} == {"front.png", "left.png", "back.png", "right.png"}
    drawn = np.asarray(Image.open(tmp_path / "views" / "back.png"))  # untrained, it draws the mirrored front
    assert drawn.shape == (32, 32, 4)
    assert abs(drawn[16, 16].astype(int) - (200, 30, 30, 255)).max() < 3
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(path)
    monkeypatch.setattr(picture_command, "missing_packages", lambda requires: ["cv2"])
    with pytest.raises(UserError, match=r"red.png: expected a picture with an alpha channel, --mask FILE"):
        read_person(path, None)
    Image.fromarray(np.zeros((60, 40), np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"mask.png: expected a picture of one person, found nobody in its mask"):
        read_person(path, tmp_path / "mask.png")
    with pytest.raises(UserError, match=r"nothing\.png"):
        read_person(tmp_path / "nothing.png", None)


class Finds:
    """A landmark network that sees so many people, from the front or from behind."""

    landmarks = LandmarkSet("four", ("left_shoulder", "right_shoulder", "left_hip", "right_hip"))

    def __init__(self, count: int, back: bool = False) -> None:
        left, right = (10.0, 30.0) if back else (30.0, 10.0)
        points = np.array([[left, 10, 1], [right, 10, 1], [left, 30, 1], [right, 30, 1]])
        mask = np.zeros((60, 40), np.uint8)
        mask[10:50, 15:25] = 255
        self.people = [Sighting(points, mask)] * count

    def find(self, image: np.ndarray, most: int) -> list[Sighting]:
        return self.people[:most]


def test_who_is_in_a_picture_without_a_mask(tmp_path, monkeypatch) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(np.full((60, 40, 3), 90, np.uint8)).save(path)
    monkeypatch.setattr(picture_command, "missing_packages", lambda requires: [])

    def fails(network: Finds, message: str) -> None:
        monkeypatch.setattr(picture_command, "find_landmarker", lambda: network)
        with pytest.raises(UserError, match=message):
            read_person(path, None)

    fails(Finds(0), "photo.jpg: expected a picture of one person, found nobody")
    fails(Finds(2), "photo.jpg: expected a picture of one person, found 2: cut out one, or give --mask")
    fails(Finds(1, back=True), "photo.jpg: expected a front view, found a back")
    monkeypatch.setattr(picture_command, "find_landmarker", lambda: Finds(1))
    assert read_person(path, None)[1].sum() == 400
    unsure = Finds(1, back=True).people[0]
    unsure.points[:, 2] = 0.3
    assert not shows_back(unsure, Finds.landmarks)


def test_what_a_front_is_shown_of_a_moment_is_what_it_was_trained_on(people, body, micro_folder) -> None:
    """The picture that the front cuts out of a moment, and that of the training: the same pixels."""
    from hgg_pyg.multiview.registry import make_front

    captures = open_captures(people, 32, body, input_views=4).train
    example = find_examples(captures, body, VIEWS, 60, people)[0]
    person = ExampleLoader(body, replace(VIEWS, size=32)).read(example)
    source = FrameSource(captures[0], example.cameras[:1], SurfaceBackbone(SurfaceConfig()), body, people)
    moment: Moment = source.moment(example.frame)
    front = make_front(FrontConfig("wonder3d", micro_folder))
    assert front is not None
    assert person is not None
    drawn = front(moment)
    assert (drawn.images[0].permute(2, 0, 1) - person.picture.rgb[0]).abs().max() < 1 / 255
    assert (drawn.images[2] - drawn.images[0].flip(1)).abs().max() < 1e-4  # untrained: the mirrored front
    there = (drawn.masks[1] > 0.5) & (person.body[0, 1, 0] > 0.5)
    assert there.sum() / (person.body[0, 1, 0] > 0.5).sum() > 0.6  # and the body from its left, where cameras saw it
