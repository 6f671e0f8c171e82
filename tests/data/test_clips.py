from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from graphs import GraphSpec
from hgg_pyg.backbones import SurfaceBackbone, SurfaceConfig
from hgg_pyg.config import ClipConfig
from hgg_pyg.data import frame_sources, load_clip, open_captures
from hgg_pyg.data.clips import Target, even_frames, input_range, load_target, sample_clip
from hgg_pyg.data.frames import compute_missing
from hgg_pyg.data.views import opposite_cameras, spread_cameras
from hgg_pyg.evaluation.reporting.plan import targets_of
from hgg_pyg.types import Cameras, Gaussians, UserError


@pytest.fixture(scope="module")
def source(tiny_captures, body, tmp_path_factory):
    captures = open_captures(tiny_captures).train
    return frame_sources(captures, 4, SurfaceBackbone(SurfaceConfig()), body, tmp_path_factory.mktemp("frames"))[0]


def rotated(capture, matrix: np.ndarray):
    """The same capture in a world rotated by a matrix about the origin, the person standing at the origin."""
    rotation = Rotation.from_matrix(matrix)
    poses = capture.poses
    orient = (rotation * Rotation.from_rotvec(poses.global_orient.double().numpy())).as_rotvec()
    transl = rotation.apply(poses.transl.double().numpy())
    view = capture.cameras.viewmats.clone()
    view[:, :3, :3] = view[:, :3, :3] @ torch.from_numpy(matrix.T).float()
    moved = replace(poses, global_orient=torch.from_numpy(orient).float(), transl=torch.from_numpy(transl).float())
    return replace(capture, poses=moved, cameras=replace(capture.cameras, viewmats=view))


def test_input_cameras_surround_the_person_in_any_world(source):
    capture = source.capture
    chosen = spread_cameras(capture, 3)
    assert len(set(chosen)) == 3
    away = capture.cameras.centers[list(chosen)] - capture.poses.transl.mean(0)
    away[:, 1] = 0
    away = torch.nn.functional.normalize(away, dim=-1)
    between = (away @ away.T)[~torch.eye(3, dtype=torch.bool)]
    assert (between < 0).all()  # six cameras lie 60 degrees apart, so three even ones lie 120 degrees apart
    front = Rotation.from_rotvec(capture.poses.global_orient[0].numpy()).apply([0, 0, 1])
    assert away[0].numpy() @ front > 0.8
    for seed in range(3):
        assert spread_cameras(rotated(capture, Rotation.random(random_state=seed).as_matrix()), 3) == chosen
    with pytest.raises(UserError, match="at least 7 cameras as input, found 6"):
        spread_cameras(capture, 7)


def test_opposite_cameras_are_a_front_and_a_back(source):
    """Six cameras stand in a circle, 60 degrees apart: each has one three places on, whatever the list leaves out."""
    capture = source.capture
    assert [opposite_cameras(capture, range(6), index) for index in range(7)] == [
        (0, 3), (1, 4), (2, 5), (3, 0), (4, 1), (5, 2), (0, 3),
    ]  # fmt: skip
    assert opposite_cameras(capture, (4, 5, 1), 3) == (4, 1)
    assert opposite_cameras(capture, (2, 2)) == (2, 2)  # no matter how near, there is another
    assert opposite_cameras(capture, (5,), 2) == (5,)
    elsewhere = rotated(capture, Rotation.random(random_state=0).as_matrix())
    assert opposite_cameras(elsewhere, range(6), 1) == (1, 4)


def test_frames_come_from_the_cache_unless_something_they_depend_on_changed(source, tmp_path):
    fresh = replace(source, cache=tmp_path)
    assert compute_missing([fresh]) == 4
    assert compute_missing([fresh]) == 0
    loaded, predicted = fresh.load(1), fresh.predict(1)
    assert torch.equal(loaded.means, predicted.means)
    assert torch.allclose(loaded.features, predicted.features, atol=2e-3, rtol=2e-3)
    before = fresh.path(1).stat().st_mtime_ns
    fresh.load(1)
    assert fresh.path(1).stat().st_mtime_ns == before
    others = [
        replace(fresh, backbone=SurfaceBackbone(SurfaceConfig(footprint=0.7))),
        replace(fresh, cameras=fresh.cameras[::-1]),
        replace(fresh, per_shard=2),
        replace(fresh, capture=replace(fresh.capture, digest="another")),
    ]
    assert len({other.folder for other in (fresh, *others)}) == 5
    fresh.path(1).write_bytes(b"half a file")
    assert torch.equal(fresh.load(1).means, predicted.means)


@pytest.mark.parametrize("crop", [False, True])
def test_what_a_cache_holds_does_not_depend_on_the_number_of_threads(tiny_captures, body, tmp_path, crop):
    """Opened and computed with 1, 2 and 4 threads of torch, to the bit; their number stays what it was."""
    threads, files, predicted = torch.get_num_threads(), [], []
    try:
        for count in (1, 2, 4):
            torch.set_num_threads(count)
            (source, *_) = frame_sources(
                open_captures(tiny_captures, 24, body, crop).train, 4, SurfaceBackbone(), body, tmp_path / str(count)
            )
            compute_missing([source])
            files.append({path.relative_to(source.cache): path.read_bytes() for path in source.folder.glob("*.saf*")})
            predicted.append(source.predict(1))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert files[0] == files[1] == files[2]
    for other in predicted[1:]:
        for name in ("means", "quats", "scales", "opacities", "colors", "features"):
            assert torch.equal(getattr(other, name), getattr(predicted[0], name)), name


def test_even_frames():
    assert even_frames(0, 18, 8) == (0, 2, 5, 7, 10, 12, 15, 17)
    assert even_frames(3, 5, 8) == (3, 4)
    assert even_frames(0, 5, 1) == (0,)


@pytest.mark.parametrize(("frames", "cameras"), [(24, 12), (3, 4), (1, 6)])
def test_sampled_clips_are_what_the_configuration_says(frames, cameras):
    config = ClipConfig(frames=8, target_views=8, target_poses=2)
    inputs = (0, 1, 2, 3)
    seen = set()
    for seed in range(50):
        plan = sample_clip(frames, cameras, inputs, config, np.random.default_rng(seed))
        assert len(plan.frames) == min(8, frames)
        assert list(plan.frames) == sorted(set(plan.frames))
        assert plan.frames[0] >= 0
        assert plan.frames[-1] < frames
        assert 0 <= plan.ref_frame < len(plan.frames)
        assert len(plan.targets) == 2
        for target in plan.targets:
            assert len(set(target.cameras)) == 4
            assert 0 <= target.frame < frames
            expected = 2 if cameras > 5 else 4
            assert sum(c in inputs for c in target.cameras) == expected
        seen.add(plan)
    assert len(seen) > 25
    assert sample_clip(frames, cameras, inputs, config, np.random.default_rng(7)) in seen


def test_test_tasks_hold_nothing_that_was_input(source):
    inputs = even_frames(0, input_range(source.capture), 8)
    views = targets_of("novel view", source, inputs, None)
    assert [t.frame for t in views] == list(inputs)
    assert all(c not in source.cameras for t in views for c in t.cameras)
    poses = targets_of("novel pose", source, inputs, None)
    assert [t.frame for t in poses] == [3]
    assert poses[0].cameras == tuple(range(6))
    assert not {t.frame for t in poses} & set(inputs)
    assert sum(len(t.cameras) for t in targets_of("novel pose", source, inputs, 4)) == 4


def test_targets_are_composited_on_white(source):
    cameras, rgb, alpha = load_target(source.capture, Target(2, (5, 0)))
    assert rgb.shape == (2, 32, 32, 3)
    assert isinstance(cameras, Cameras)
    assert torch.equal(cameras.Ks[0], source.capture.cameras.Ks[5])
    image, mask = (torch.from_numpy(read(2, 5)) for read in (source.capture.image, source.capture.mask))
    assert torch.equal(alpha[0, ..., 0], mask)
    assert torch.equal(rgb[0], image * alpha[0] + (1 - alpha[0]))
    outside = alpha[..., 0] == 0
    assert outside.any()
    assert (rgb[outside] == 1).all()
    inside = alpha[0, ..., 0] == 1
    assert torch.equal(rgb[0][inside], torch.from_numpy(source.capture.image(2, 5))[inside])


def test_a_clip_s_graph_holds_every_gaussian_and_the_avatar_of_the_reference_frame(source):
    graph = load_clip(source, [0, 2], GraphSpec(hops=1, readout_k=3), ref_frame=1).graph
    graph.validate()
    frames: list[Gaussians] = [source.load(0), source.load(2)]
    assert graph["gaussian"].num_nodes == len(frames[0]) + len(frames[1])
    assert graph["avatar"].num_nodes == len(frames[1])
    assert torch.equal(graph["avatar"].x, frames[1].features)
    edges = graph["vertex", "refines", "avatar"].edge_index
    assert edges.shape[1] == 3 * len(frames[1])
    assert torch.equal(edges[1], torch.arange(len(frames[1])).repeat_interleave(3))
    assert (edges[0].view(-1, 3) == graph["avatar"].binding[:, None]).any(1).all()
    assert torch.equal(graph["betas"], source.capture.poses.betas[None])
    rest = source.body.shaped_vertices(source.capture.poses.betas)
    distance = (graph["avatar"].pos - rest[graph["avatar"].binding]).norm(dim=-1)
    assert distance.median() < 0.03


def test_even_clips_join_the_same_frames_whatever_is_drawn():
    config = ClipConfig(frames=4, target_views=4, target_poses=2)
    plans = [sample_clip(21, 8, (0, 2, 4, 6), config, np.random.default_rng(seed), even=True) for seed in range(8)]
    assert {plan.frames for plan in plans} == {even_frames(0, 21, 4)} == {(0, 7, 13, 20)}
    assert len({plan.targets for plan in plans}) > 1
    drawn = [sample_clip(21, 8, (0, 2, 4, 6), config, np.random.default_rng(seed)) for seed in range(8)]
    assert len({plan.frames for plan in drawn}) > 1
