"""Novel poses three ways: noise that is the same for the same name, a fit that never sees the image to be scored."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from graphs import GraphSpec
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.clip_input import load_clip
from hgg_pyg.data.clips import Target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.pose_images import load_pose_images
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.evaluation.evaluator import Extras, evaluate
from hgg_pyg.evaluation.reporting.report import AS_ESTIMATED, MENDED
from hgg_pyg.evaluation.test_poses import SubjectPoses, TestPoses
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet

NOISE = TestPoses(pose_noise=3, mend_steps=16)
POSE = "novel pose"


@dataclass(frozen=True)
class Spoilt(Capture):
    """One camera shows something else."""

    spoilt: int = -1

    def image(self, frame: int, camera: int) -> np.ndarray:
        image = super().image(frame, camera)
        return 1 - image if camera == self.spoilt else image


@pytest.fixture(scope="module")
def source(tiny_captures, body, tmp_path_factory) -> FrameSource:
    folder = next(iter(find_subjects(tiny_captures).values()))
    capture = make_capture(folder.folder, folder.layout, body, 32, False)
    backbone = make_backbone(BackboneConfig(), torch.device("cpu"))
    return FrameSource(capture, spread_cameras(capture, 4), backbone, body, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def avatar(source) -> BoundAvatar:
    return DirectBinding().avatar(load_clip(source, (0,), GraphSpec(), gaussians=source.predict_all((0,))).graph)


def test_noise_is_the_subjects_own_and_the_truth_stays(source) -> None:
    poses, again = SubjectPoses.of(NOISE, source), SubjectPoses.of(NOISE, source)
    true, noisy = poses.true.capture.poses, poses.estimated.capture.poses
    assert torch.equal(noisy.body_pose, again.estimated.capture.poses.body_pose)
    assert 2 < float((noisy.body_pose - true.body_pose).std().rad2deg()) < 4
    other = replace(source, capture=replace(source.capture, name="another"))
    assert not torch.equal(noisy.body_pose, SubjectPoses.of(NOISE, other).estimated.capture.poses.body_pose)
    assert SubjectPoses.of(TestPoses(), source).estimated is source


def test_the_scored_image_is_never_seen(source, avatar) -> None:
    """Whatever it shows, the pose that its render is drawn in is the same; other images are drawn in other poses."""
    last = len(source.capture.frames) - 1
    outside = next(c for c in range(len(source.capture.cameras)) if c not in source.cameras)
    scored = source.cameras[1]
    found = {}
    for spoilt in (-1, scored, outside, source.cameras[0]):
        capture = Spoilt(**vars(source.capture), spoilt=spoilt)
        poses = SubjectPoses.of(NOISE, replace(source, capture=capture))
        assert poses.mend("direct", avatar, [Target(frame, (scored, outside)) for frame in (last - 1, last)]) == 0
        found[spoilt] = [poses.of_image(MENDED, "direct", last, camera) for camera in (scored, outside)]
    for i, spoilt in enumerate((scored, outside)):
        assert torch.equal(found[-1][i].body_pose, found[spoilt][i].body_pose)
    assert not torch.equal(found[-1][0].body_pose, found[source.cameras[0]][0].body_pose)
    assert not torch.equal(found[-1][0].body_pose, found[-1][1].body_pose)
    estimated = poses.of_image(AS_ESTIMATED, "direct", last, scored)
    assert not torch.equal(found[-1][0].body_pose, estimated.body_pose)


def test_without_another_input_image_the_estimate_stays(source, avatar) -> None:
    poses = SubjectPoses.of(NOISE, replace(source, cameras=source.cameras[:1]))
    last, scored = len(source.capture.frames) - 1, source.cameras[0]
    assert poses.mend("direct", avatar, [Target(last, (scored,))]) == 1
    ways = [poses.of_image(task, "direct", last, scored) for task in (POSE, AS_ESTIMATED, MENDED)]
    assert ways[1] is ways[2]
    assert not torch.equal(ways[0].body_pose, ways[1].body_pose)


def test_novel_views_are_drawn_in_the_poses_that_a_method_has_of_its_input_frames(source, monkeypatch) -> None:
    """Those of a network that moves everybody by some centimetres; novel poses stay where they are."""
    torch.manual_seed(0)
    frames, images = range(2), Extras(timing=False, shown=0)
    spec, predicted = GraphSpec(), source.predict_all(frames)
    graph = load_clip(source, frames, spec, gaussians=predicted).graph
    plain = HGGNet(ModelConfig(num_layers=0, hidden_channels=8, heads=2).for_graph(graph))
    network = HGGNet(replace(plain.config, mend=1))
    bias = dict(network.named_parameters())["mender.head.4.bias"]
    torch.nn.init.constant_(bias[3:], 0.05 / 0.02)  # by 0.05 m along each axis
    poses, given = SubjectPoses.of(TestPoses(), source), source.capture.poses
    own = network.mended(source.body, given[list(frames)], load_pose_images(source, frames))
    poses.keep("ours", frames, own)
    assert torch.equal(poses.of_image("novel view", "ours", 1, 0).transl, own.transl[[1]])
    assert float((own.transl - given.transl[list(frames)]).norm(dim=1).min()) > 0.08
    assert torch.equal(poses.of_image("novel view", "direct binding", 1, 0).transl, given.transl[[1]])
    assert torch.equal(poses.of_image(POSE, "ours", 1, 0).transl, given.transl[[1]])

    kept = evaluate(network, [source], spec, 2, limit=4, extras=images)
    monkeypatch.setattr(SubjectPoses, "keep", lambda *_: None)
    lost = evaluate(network, [source], spec, 2, limit=4, extras=images)
    assert kept.mean(POSE, "ours", "psnr") == lost.mean(POSE, "ours", "psnr")
    assert kept.mean("novel view", "ours", "psnr") != lost.mean("novel view", "ours", "psnr")


def test_three_ways_are_scored_and_named_everywhere(source, tmp_path: Path) -> None:
    extras = Extras(timing=False, shown=1, poses=replace(NOISE, mend_steps=12))
    report = evaluate(DirectBinding(), [source], GraphSpec(), 1, limit=4, extras=extras)  # pyright: ignore[reportArgumentType]
    assert report.tasks == ("novel view", POSE, AS_ESTIMATED, MENDED)
    estimated, mended = (report.mean(task, "direct binding", "psnr") for task in (AS_ESTIMATED, MENDED))
    assert mended > estimated
    report.save(tmp_path)
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert "true poses" in content["tasks"][POSE]
    assert "never to the scored image" in content["tasks"][MENDED]
    assert "white noise of 3 degrees" in content["notes"][0]
    for name in ("table.md", "report.html", "scores.csv"):
        assert MENDED in (tmp_path / name).read_text()


def test_a_real_captures_own_poses_are_the_estimated_ones(source) -> None:
    extras = Extras(timing=False, shown=0, poses=TestPoses(mend_test_poses=True, mend_steps=1))
    report = evaluate(DirectBinding(), [source], GraphSpec(), 1, limit=2, extras=extras)  # pyright: ignore[reportArgumentType]
    assert report.tasks == ("novel view", POSE, MENDED)
    assert "estimates unless it is synthetic" in report.texts[POSE]
