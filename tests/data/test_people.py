"""Frames that show nobody, and frames without a file of Gaussians, are left out and counted."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from graphs import GraphSpec
from hgg_pyg.backbones import BackboneConfig, PlyConfig, SurfaceBackbone, make_backbone
from hgg_pyg.config import ClipConfig
from hgg_pyg.data import FrameSource, frame_sources, load_clip, open_captures
from hgg_pyg.data.clips import load_target, sample_clip
from hgg_pyg.data.frames import compute_missing
from hgg_pyg.data.people import frames_with_person, shows_person
from hgg_pyg.data.usable import some_usable, usable_sources
from hgg_pyg.io.splats import write_ply
from hgg_pyg.types import Cameras, UserError
from tests.blackened import blacken, blackened

NOBODY = "the masks of its input cameras show nobody where the body is"


@pytest.fixture
def subject(tiny_captures, tmp_path):
    """4 frames, 6 cameras; to be broken."""
    return shutil.copytree(tiny_captures / "subject000", tmp_path / "someone")


@pytest.fixture
def source_of(body, tmp_path):
    def make(subject) -> FrameSource:
        capture = open_captures(subject).train[0]
        source = frame_sources([capture], 4, SurfaceBackbone(), body, tmp_path / "cache")[0]
        return replace(source, per_shard=3)

    return make


@pytest.mark.parametrize(
    ("place", "seen"),
    [((20, 40), True), ((20, 32), True), ((2, 40), False), ((20, 70), False), (None, False)],
)
def test_a_person_is_seen_where_the_body_is(place, seen):
    """A body of 20 by 20 pixels at columns and rows 30 to 50 of the second camera; the first sees it behind itself."""
    vertices = torch.tensor([[x, y, 2.0] for x in (-0.2, 0.2) for y in (-0.2, 0.2)])
    behind = torch.diag(torch.tensor([-1.0, 1, -1, 1]))
    K = torch.tensor([[100.0, 0, 40], [0, 100, 40], [0, 0, 1]])
    cameras = Cameras(torch.stack([behind, torch.eye(4)]), K.expand(2, 3, 3), 80, 80)
    masks = torch.zeros(2, 80, 80)
    masks[1] = 0.5
    if place is not None:
        masks[1, place[1], place[0] : place[0] + 11] = 0.6
    assert shows_person(masks, vertices, cameras) == seen
    masks[0, 0, 0] = 1  # a camera beside or behind the person says nothing of where they are
    assert shows_person(masks, vertices, cameras)


def test_frames_without_a_person_are_left_out_and_counted(subject, source_of, said):
    """Alike whether the cache is empty or full; what is left is as it was, by new positions."""
    whole = source_of(subject)
    expected = [whole.predict(frame) for frame in range(4)]
    assert whole.usable() is whole
    blacken(subject, {1})
    source = source_of(subject)
    before = source.usable()
    assert not source.folder.exists()
    assert compute_missing([source]) == 4
    (used,) = usable_sources([source])
    assert said.messages == [f"someone: 1 frame left out: {NOBODY} (1)"]
    assert used.capture.frames == before.capture.frames == (0, 2, 3)
    assert used.left_out == before.left_out
    assert used.folder == source.folder
    assert used.shards == source.shards
    assert compute_missing([used]) == 0
    for position, frame in enumerate((0, 2, 3)):
        assert used.path(position) == source.path(frame)
        assert torch.equal(used.load(position).means, expected[frame].means)
        assert torch.equal(used.predict(position).means, expected[frame].means)
    assert used.usable() is used
    with pytest.raises(UserError, match=f"someone: frame 1: expected Gaussians of it, found none: {NOBODY}$"):
        load_clip(source, [0, 1], GraphSpec())


def test_a_frame_is_used_if_one_input_camera_sees_the_person(subject, source_of):
    """Also as a target in cameras that do not."""
    inputs = source_of(subject).views
    blacken(subject, {1}, f"[!{inputs[0][-1]}]*[!{inputs[0][-1]}]")
    source = source_of(subject)
    assert source.usable() is source
    assert len(source.load(1))
    plan = sample_clip(
        4, 6, source.cameras, ClipConfig(frames=2, target_views=6, target_poses=1), np.random.default_rng(0)
    )
    _, rgb, alpha = load_target(source.capture, replace(plan.targets[0], frame=1))
    assert [bool(mask.any()) for mask in alpha] == [
        source.capture.camera_names[c] == inputs[0] for c in plan.targets[0].cameras
    ]
    assert torch.isfinite(rgb).all()
    for camera in inputs:
        blacken(subject, {1}, camera)
    assert source_of(subject).usable().capture.frames == (0, 2, 3)


def test_a_subject_without_a_frame_is_left_out_and_none_is_refused(tiny_captures, tmp_path, body, said):
    data = blackened(tiny_captures, tmp_path / "data", {0, 1})
    blacken(data / "subject000", {2, 3})
    captures = open_captures(data)
    sources = frame_sources((*captures.train, *captures.val), 4, SurfaceBackbone(), body, tmp_path / "cache")
    used = some_usable(sources)
    assert [(source.capture.name, source.capture.frames) for source in used] == [("subject001", (2, 3))]
    assert said.messages == [
        f"subject000: 4 frames left out: {NOBODY} (0, 1, 2, ...)",
        "subject000: left out: no frame of it can be used",
        f"subject001: 2 frames left out: {NOBODY} (0, 1)",
    ]
    with pytest.raises(
        UserError, match=f"subject000: expected a frame that can be used, found none: 4 frames .*{NOBODY}"
    ):
        some_usable(sources[:1])


def test_a_broken_mask_is_told_of_when_it_is_used(subject, source_of, body):
    source = source_of(subject)
    source.capture.masks.path(2, source.cameras[0]).write_bytes(b"no image")
    assert frames_with_person(source.capture, source.cameras, body) == (0, 1, 2, 3)
    with pytest.raises(UserError, match="cannot read this image"):
        compute_missing([source_of(subject)])


def test_a_missing_ply_is_left_out_until_it_is_there(subject, source_of, body, tmp_path, said):
    whole = source_of(subject)
    plys = tmp_path / "plys"
    for frame in (0, 1, 3):
        write_ply(plys / "someone" / f"{frame:08d}.ply", whole.predict(frame))
    blacken(subject, {3})
    capture = open_captures(subject).train[0]
    config = BackboneConfig("ply", ply=PlyConfig(folder=plys))

    def used():
        source = frame_sources([capture], 4, make_backbone(config), body, tmp_path / "cache")[0]
        before = source.usable()
        compute_missing([source])
        (after,) = some_usable([source])
        assert after.capture.frames == before.capture.frames
        return after

    missing = f"no file of its Gaussians {plys}/{{subject}}/{{frame:08d}}.ply, see --backbone.ply.pattern"
    assert used().capture.frames == (0, 1)
    assert said.messages == [f"someone: 1 frame left out: {missing} (2)", f"someone: 1 frame left out: {NOBODY} (3)"]
    write_ply(plys / "someone" / "00000002.ply", whole.predict(2))
    assert used().capture.frames == (0, 1, 2)
