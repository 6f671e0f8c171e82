"""Squares around the person: they hold the person, and the cameras that go with them show the same rays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.data import Capture, open_captures
from hgg_pyg.data.windows import person_windows


@pytest.fixture(scope="module")
def pair(tiny_captures: Path) -> tuple[Capture, Capture]:
    """The same capture, whole and cut out."""
    return open_captures(tiny_captures).train[0], open_captures(tiny_captures, 48, crop=True).train[0]


def test_windows_hold_the_person_and_little_else(pair: tuple[Capture, Capture]) -> None:
    whole, cut = pair
    assert cut.windows is not None
    for frame in range(len(whole.frames)):
        for camera in range(len(whole.camera_names)):
            mask = whole.mask(frame, camera)
            left, top, side = cut.windows[frame, camera]
            y, x = np.mgrid[0.5 : mask.shape[0], 0.5 : mask.shape[1]]
            inside = (abs(x - left - side / 2) <= side / 2) & (abs(y - top - side / 2) <= side / 2)
            assert mask[inside].sum() > 0.995 * mask.sum()
            rows = np.flatnonzero(mask.max(1) > 0.5)
            assert side < 1.6 * (rows[-1] - rows[0] + 1)


def test_a_cut_out_image_shows_what_its_cameras_say(pair: tuple[Capture, Capture]) -> None:
    whole, cut = pair
    assert cut.windows is not None
    assert cut.size() == (48, 48)
    assert cut.image(1, 2).shape == (48, 48, 3)
    views, before = cut.views(1, [2, 4]), whole.views(1, [2, 4])
    assert (views.width, views.height) == (48, 48)
    point = torch.tensor([0.1, 0.9, 0.05, 1.0])
    for i, camera in enumerate((2, 4)):
        (a, b) = ((v.Ks[i] @ (v.viewmats[i] @ point)[:3]) for v in (before, views))
        left, top, side = cut.windows[1, camera]
        expected = ((a[:2] / a[2]).numpy() - (left, top)) * 48 / side
        np.testing.assert_allclose((b[:2] / b[2]).numpy(), expected, atol=1e-4)
        # The person's middle, in world rays, is the same in both images.
        middles = []
        for capture, cameras in ((whole, before), (cut, views)):
            mask = capture.mask(1, camera)
            y, x = np.mgrid[0.5 : mask.shape[0], 0.5 : mask.shape[1]]
            K = cameras.Ks[i].numpy()
            middles.append([((p * mask).sum() / mask.sum() - K[j, 2]) / K[j, j] for j, p in ((0, x), (1, y))])
        np.testing.assert_allclose(*middles, atol=2e-3)


def test_a_shrunk_capture_has_the_same_windows(tiny_captures: Path, pair: tuple[Capture, Capture]) -> None:
    small = open_captures(tiny_captures, 20, crop=True).train[0]
    np.testing.assert_allclose(small.windows, pair[1].windows, atol=1e-4)
    scale = 20 / 48
    torch.testing.assert_close(
        small.views(0, [1]).Ks[:, :2], pair[1].views(0, [1]).Ks[:, :2] * scale, atol=1e-3, rtol=0
    )
    assert small.digest != pair[1].digest


def test_a_camera_that_does_not_see_the_person_keeps_its_image(pair: tuple[Capture, Capture], body: BodyModel) -> None:
    whole = pair[0]
    rotation = torch.diag(torch.tensor([-1.0, 1.0, -1.0, 1.0]))
    away = replace(whole.cameras, viewmats=rotation @ whole.cameras.viewmats)
    windows = person_windows(body, whole.poses, away)
    np.testing.assert_array_equal(windows, np.broadcast_to([0, 0, 32], windows.shape))
    assert not np.array_equal(person_windows(body, whole.poses, whole.cameras), windows)


@pytest.mark.parametrize("value", [1e38, float("inf"), float("nan")])
def test_a_person_at_no_finite_place_leaves_the_image_whole(
    pair: tuple[Capture, Capture], body: BodyModel, value: float
):
    whole = pair[0]
    for cameras in (
        replace(whole.cameras, Ks=whole.cameras.Ks * value),
        replace(whole.cameras, viewmats=whole.cameras.viewmats * value),
    ):
        assert np.isfinite(person_windows(body, whole.poses, cameras)).all()


def test_a_person_as_small_as_a_point_leaves_the_image_whole(pair, body) -> None:
    whole = pair[0]
    viewmats = whole.cameras.viewmats.clone()
    viewmats[:, :3, 3] = torch.tensor([0.0, 0, 1e12])
    windows = person_windows(body, whole.poses, replace(whole.cameras, viewmats=viewmats))
    np.testing.assert_array_equal(windows, np.broadcast_to([0, 0, 32], windows.shape))
