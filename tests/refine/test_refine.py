"""A fit never ends worse than it began, says what is wrong with its input in one line, and mends poses."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from graphs import GraphSpec
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.clip_input import load_clip
from hgg_pyg.data.clips import Target, load_target
from hgg_pyg.data.frames import FrameSource
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.pose_noise import PoseNoise
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.refine import RefineConfig, mend_poses, poses_by_masks, refine, refine_pass
from hgg_pyg.refine.adam import RowAdam
from hgg_pyg.refine.fit import hold_back
from hgg_pyg.refine.thinned import spread, thinned
from hgg_pyg.render import render
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.types import UserError
from tests.captures import make_captures

FRAMES = (0, 1, 2, 3)


@pytest.fixture(scope="session")
def source(tiny_captures, body, tmp_path_factory) -> FrameSource:
    folder = next(iter(find_subjects(tiny_captures).values()))
    capture = make_capture(folder.folder, folder.layout, body, 32, False)
    backbone = make_backbone(BackboneConfig(), torch.device("cpu"))
    return FrameSource(capture, spread_cameras(capture, 4), backbone, body, tmp_path_factory.mktemp("cache"))


def direct(source: FrameSource, frames=FRAMES) -> BoundAvatar:
    graph = load_clip(source, frames, GraphSpec(), gaussians=source.predict_all(frames)).graph
    return DirectBinding().avatar(graph)


@pytest.fixture(scope="session")
def avatar(source) -> BoundAvatar:
    return direct(source)


def noisy(source: FrameSource, degrees: float, seed: int = 0) -> FrameSource:
    poses = PoseNoise(white=degrees)(source.capture.poses, np.random.default_rng(seed))
    return replace(source, capture=source.capture.with_poses(poses))


@torch.no_grad()
def error(avatar: BoundAvatar, source: FrameSource, poses, frames=FRAMES) -> float:
    """Squared error of the images of the input cameras."""
    found = []
    for row, frame in enumerate(frames):
        cameras, rgb, _ = load_target(source.capture, Target(frame, source.cameras))
        found.append((render(avatar.repose(source.body, poses[[row]])[0], cameras).rgb - rgb).square().mean())
    return float(torch.stack(found).mean())


def test_a_fit_lowers_the_error_and_says_how(source, avatar) -> None:
    start = noisy(source, 3)
    refined = refine(avatar, start, FRAMES, RefineConfig(seconds=None, steps=20))
    before = error(avatar, start, start.capture.poses[list(FRAMES)])
    assert error(refined.avatar, start, refined.poses) < 0.9 * before
    assert refined.steps == 20
    assert refined.stopped == "out of steps"
    assert [record.steps for record in refined.history] == sorted({record.steps for record in refined.history})
    assert torch.equal(refined.poses.betas, refined.avatar.betas)


@pytest.fixture(scope="module")
def people(body, tmp_path_factory) -> list[FrameSource]:
    """Ten different ones."""
    out = tmp_path_factory.mktemp("people") / "captures"
    make_captures(SynthesizeConfig(out=out, subjects=10, frames=2, views=3, size=24, seed=5, clothes="bodysuit"))
    backbone, cache = make_backbone(BackboneConfig(), torch.device("cpu")), tmp_path_factory.mktemp("cache")
    captures = [make_capture(found.folder, found.layout, body, 24, False) for found in find_subjects(out).values()]
    return [FrameSource(capture, spread_cameras(capture, 3), backbone, body, cache) for capture in captures]


@torch.no_grad()
def held_back_psnr(avatar: BoundAvatar, source: FrameSource, poses, frames) -> float:
    """Mean over the images that a fit holds back, dB."""
    scores = []
    for frame, view in hold_back(len(frames), len(source.cameras))[0]:
        cameras, rgb, _ = load_target(source.capture, Target(frames[frame], (source.cameras[view],)))
        drawn = render(avatar.repose(source.body, poses[[frame]])[0], cameras).rgb.clamp(0, 1)
        scores.append(-10 * (drawn - rgb).square().mean().log10())
    return float(torch.stack(scores).mean())


@pytest.mark.parametrize(("degrees", "thinning"), [(0.0, False), (4.0, True)])
def test_no_fit_of_ten_people_ends_worse_than_it_began(people, degrees: float, thinning: bool, monkeypatch) -> None:
    """Of what was held back, with masks first, by steps that do good and by steps far too large."""
    gains: dict[bool, list[float]] = {True: [], False: []}
    frames = (0, 1)
    make = partial(direct, frames=frames)
    for number, person in enumerate(people):
        wild = bool(number % 2)
        start = noisy(person, degrees, number) if degrees else person
        first = make(start)
        for module in ("thinned", "passes"):
            most = len(first.gaussians) // (4 if thinning else 1)
            monkeypatch.setattr(f"hgg_pyg.refine.{module}.MOST", most)
        config = RefineConfig(seconds=None, steps=8, seed=number, mask_share=0.4)
        if wild:
            config = replace(config, gaussian_rate=1.0, degrees_rate=30.0, shape_rate=1.0)
        before = held_back_psnr(first, start, start.capture.poses[list(frames)], frames)
        refined = refine_pass(first, make, start, frames, config)
        gains[wild].append(held_back_psnr(refined.avatar, start, refined.poses, frames) - before)
    assert min(gains[True] + gains[False]) > -1e-3
    assert np.mean(gains[False]) > 0.2


def test_a_fit_that_goes_astray_is_taken_back(source, avatar, monkeypatch) -> None:
    """Where what it found cannot even be drawn: the avatar and the poses are those that it began with, to the bit."""
    monkeypatch.setattr("hgg_pyg.refine.thinned.MOST", len(avatar.gaussians) // 3)
    monkeypatch.setattr("hgg_pyg.refine.passes.MOST", len(avatar.gaussians) // 3)
    step = RowAdam.step

    def astray(self: RowAdam, *given: Any) -> None:
        step(self, *given)
        self.values += float("nan")

    monkeypatch.setattr(RowAdam, "step", astray)
    refined = refine_pass(avatar, direct, source, FRAMES, RefineConfig(seconds=None, steps=5))
    assert torch.equal(refined.avatar.gaussians.means, avatar.gaussians.means)
    assert refined.stopped == "gone astray"
    assert torch.equal(refined.avatar.gaussians.colors, avatar.gaussians.colors)
    assert torch.equal(refined.poses.body_pose, source.capture.poses.body_pose[list(FRAMES)])


def test_seeds_make_fits_repeatable(source, avatar) -> None:
    config = RefineConfig(seconds=None, steps=4)
    first, again = (refine(avatar, source, FRAMES, config) for _ in range(2))
    assert torch.equal(first.poses.body_pose, again.poses.body_pose)
    assert torch.equal(first.avatar.gaussians.colors, again.avatar.gaussians.colors)


def test_what_is_not_to_be_fitted_stays(source, avatar) -> None:
    start = noisy(source, 3)
    only_poses = refine(avatar, start, FRAMES, RefineConfig(seconds=None, steps=10, gaussians=False, shape=False))
    assert torch.equal(only_poses.avatar.gaussians.means, avatar.gaussians.means)
    assert not torch.equal(only_poses.poses.body_pose, start.capture.poses.body_pose[list(FRAMES)])
    only_avatar = refine(avatar, start, FRAMES, RefineConfig(seconds=None, steps=10, poses=False, shape=False))
    assert torch.equal(only_avatar.poses.body_pose, start.capture.poses.body_pose[list(FRAMES)])
    assert not torch.equal(only_avatar.avatar.gaussians.colors, avatar.gaussians.colors)


def test_mended_poses_come_nearer_to_the_images(source, avatar) -> None:
    start = noisy(source, 3)
    before = start.capture.poses[list(FRAMES)]
    mended = mend_poses(avatar, start, FRAMES, RefineConfig(seconds=None, steps=16))
    assert error(avatar, start, mended) < error(avatar, start, before)


def test_masks_tell_what_is_common_to_all_frames(source) -> None:
    """An avatar made of frames that are all misplaced is misplaced alike; the masks are not."""
    truth = source.capture.poses
    away = truth.transl + torch.tensor([0.1, 0.0, 0.0])
    start = replace(source, capture=source.capture.with_poses(replace(truth, transl=away)))
    config = RefineConfig(seconds=None, steps=20, images=6, metres_rate=0.015, metres_sigma=0.2, degrees_rate=0.01)
    mended = poses_by_masks(start, FRAMES, config)
    assert (mended.transl - truth.transl[list(FRAMES)]).mean(0)[0].abs() < 0.06
    assert torch.equal(mended.betas, truth.betas)


def test_the_forward_pass_is_repeated_where_poses_were_mended(source) -> None:
    seen = []

    def forward(source: FrameSource) -> BoundAvatar:
        seen.append(source.capture.poses)
        return direct(source)

    start = noisy(source, 4)
    first = direct(start)
    refined = refine_pass(first, forward, start, FRAMES, RefineConfig(seconds=None, steps=20))
    assert len(seen) == 1
    assert seen[0] is not start.capture.poses
    before = error(first, start, start.capture.poses[list(FRAMES)])
    assert error(refined.avatar, start, refined.poses) < 0.9 * before
    once = RefineConfig(seconds=None, steps=1, mask_share=0.0)
    refine_pass(first, forward, start, FRAMES, once)
    refine_pass(first, forward, start, FRAMES, replace(once, mask_share=0.5, poses=False))
    refine_pass(first, forward, start, FRAMES, replace(once, mask_share=0.5), by_masks=False)
    assert len(seen) == 1


def test_an_avatar_of_many_gaussians_begins_as_one_of_few(source, avatar, monkeypatch) -> None:
    few = len(avatar.gaussians) // 3
    monkeypatch.setattr("hgg_pyg.refine.thinned.MOST", few)
    small = thinned(avatar)
    assert few / 2 < len(small.gaussians) <= few
    own = torch.arange(13.0).expand(len(small.gaussians), 13)
    everywhere = spread(own, avatar, small)
    assert torch.equal(everywhere[:, [0, 1, 2, 10, 11, 12]], own[:1, [0, 1, 2, 10, 11, 12]].expand(len(everywhere), 6))
    assert not everywhere[:, 3:10].any()
    monkeypatch.setattr("hgg_pyg.refine.passes.MOST", few)
    start = noisy(source, 3)
    first = direct(start)
    refined = refine_pass(first, direct, start, FRAMES, RefineConfig(seconds=None, steps=20))
    assert len(refined.avatar.gaussians) == len(first.gaussians)
    before = error(first, start, start.capture.poses[list(FRAMES)])
    assert error(refined.avatar, start, refined.poses) < 0.9 * before


def test_a_merged_gaussian_has_the_moments_of_its_parts(avatar, monkeypatch) -> None:
    monkeypatch.setattr("hgg_pyg.refine.thinned.MOST", 1)
    gaussians = replace(avatar.gaussians[:40], features=None)
    one = thinned(BoundAvatar(gaussians, avatar.binding[:40], avatar.betas)).gaussians
    axes = torch.from_numpy(Rotation.from_quat(gaussians.quats.numpy()[:, [1, 2, 3, 0]]).as_matrix()).float()
    weights = gaussians.opacities * gaussians.scales.sort(dim=1).values[:, 1:].prod(1)
    weights = weights / weights.sum()
    mean = (weights[:, None] * gaussians.means).sum(0)
    covariance = torch.zeros(3, 3)
    for i in range(40):
        off = gaussians.means[i] - mean
        covariance += weights[i] * (axes[i] @ gaussians.scales[i].square().diag() @ axes[i].T + off[:, None] * off)
    found = torch.from_numpy(Rotation.from_quat(one.quats.numpy()[:, [1, 2, 3, 0]]).as_matrix()[0]).float()
    torch.testing.assert_close(one.means[0], mean)
    torch.testing.assert_close(found @ one.scales[0].square().diag() @ found.T, covariance, atol=1e-7, rtol=1e-4)
    torch.testing.assert_close(one.colors[0], (weights[:, None] * gaussians.colors).sum(0))
    torch.testing.assert_close(one.opacities[0], gaussians.opacities.mean())


def test_neighbours_are_merged(avatar, monkeypatch) -> None:
    """A merged one lies where its parts do: it is drawn nearly as they are."""
    monkeypatch.setattr("hgg_pyg.refine.thinned.MOST", len(avatar.gaussians) // 3)
    small = thinned(avatar)
    away = torch.cdist(small.gaussians.means, avatar.gaussians.means).min(1).values
    assert away.quantile(0.9) < 0.05


def test_one_camera_and_one_frame_work(source) -> None:
    one = replace(source, cameras=source.cameras[:1])
    for frames in (FRAMES, FRAMES[:1]):
        config = RefineConfig(seconds=None, steps=4, mask_share=0.25)
        refined = refine(direct(one, frames), one, frames, config)
        assert refined.steps == 4
        refined = refine_pass(direct(one, frames), partial(direct, frames=frames), one, frames, config)
        assert refined.steps == 3


def test_seconds_bound_a_fit(source, avatar) -> None:
    refined = refine(avatar, source, FRAMES, RefineConfig(seconds=1e-6))
    assert refined.stopped == "out of time"
    assert refined.steps == 0


def test_a_pose_that_is_no_number_is_named(source, avatar) -> None:
    broken = source.capture.poses.body_pose.clone()
    broken[2, 5] = float("nan")
    bad = replace(source, capture=source.capture.with_poses(replace(source.capture.poses, body_pose=broken)))
    config = RefineConfig(seconds=None, steps=1)
    for fit in (
        lambda: refine(avatar, bad, FRAMES, config),
        lambda: mend_poses(avatar, bad, FRAMES, config),
        lambda: poses_by_masks(bad, FRAMES, config),
        lambda: refine_pass(avatar, direct, bad, FRAMES, config),
    ):
        with pytest.raises(UserError, match=r"frame \d+: body_pose: expected finite numbers, found NaN or infinity"):
            fit()


def test_a_frame_without_a_person_is_named(source, avatar, monkeypatch) -> None:
    nobody = np.zeros(source.capture.size()[::-1], np.float32)
    monkeypatch.setattr(type(source.capture), "mask", lambda self, frame, camera: nobody)
    with pytest.raises(UserError, match="expected masks of its input cameras that show the person, found nobody"):
        refine(avatar, source, FRAMES, RefineConfig(seconds=None, steps=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": None}, "expected seconds or steps that bound the fit, found neither"),
        ({"seconds": 0.0}, "seconds: expected more than 0"),
        ({"seconds": float("nan")}, "seconds: expected a number from"),
        ({"steps": 0}, "steps: expected at least 1, found 0"),
        ({"gaussians": False, "poses": False, "shape": False}, "to fit, found none of them"),
    ],
)
def test_wrong_choices_are_refused(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RefineConfig(**options)


@pytest.mark.parametrize(("frames", "views"), [(8, 4), (8, 1), (1, 4), (2, 1), (1, 1), (100, 2), (3, 8)])
def test_what_is_held_back_leaves_every_frame_an_image_if_it_can(frames: int, views: int) -> None:
    held, used = hold_back(frames, views)
    assert sorted(held + used) == [(frame, view) for frame in range(frames) for view in range(views)]
    assert used
    assert bool(held) == (frames * views > 1)
    if views > 1:
        assert {frame for frame, _ in used} == set(range(frames))


def test_rows_that_are_not_seen_rest() -> None:
    """Row by row, the same as torch's Adam on the steps that the row was in."""
    generator = torch.Generator().manual_seed(0)
    values = torch.zeros(3, 2, dtype=torch.float64)
    adam = RowAdam(values, 0.1)
    theirs = [torch.zeros(2, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    optimizers = [torch.optim.Adam([row], 0.1, (0.9, 0.99), eps=1e-12) for row in theirs]
    for rows in ([0, 1], [1], [1, 2], [0, 1, 2], [2]):
        gradient = torch.randn(3, 2, generator=generator, dtype=torch.float64)
        adam.step(gradient, torch.tensor(rows))
        for row in rows:
            theirs[row].grad = gradient[row].clone()
            optimizers[row].step()
    assert torch.allclose(values, torch.stack([row.detach() for row in theirs]), atol=1e-12)
