"""Poses that are off: of which kind, and by how much."""

import numpy as np
import pytest
import torch

from hgg_pyg.data.pose_noise import PoseNoise, draw_noise
from hgg_pyg.types import BodyPose

FRAMES = 400


@pytest.fixture(scope="module")
def still():
    return BodyPose(torch.zeros(10), torch.zeros(FRAMES, 3), torch.zeros(FRAMES, 69), torch.zeros(FRAMES, 3))


def test_no_noise_changes_nothing(still):
    assert PoseNoise()(still, np.random.default_rng(0)) is still


@pytest.mark.parametrize("kind", ["white", "smooth", "constant"])
def test_noise_has_its_standard_deviation(still, kind):
    off = PoseNoise(**{kind: 3.0})(still, np.random.default_rng(0))
    assert np.degrees(float(off.body_pose.square().mean().sqrt())) == pytest.approx(3, rel=0.25)
    if kind != "constant":  # of which there are three numbers only
        assert float(off.transl.square().mean().sqrt()) == pytest.approx(0.01, rel=0.1)
    assert torch.equal(off.betas, still.betas)


def test_kinds_differ_in_time(still):
    def steps(kind):
        off = PoseNoise(**{kind: 3.0})(still, np.random.default_rng(0)).body_pose
        return float(off.diff(dim=0).square().mean() / off.square().mean())

    assert steps("white") == pytest.approx(2, rel=0.1)  # neighbours know nothing of one another
    assert 0 < steps("smooth") < 0.3
    assert steps("constant") == 0


def test_a_wrong_shape_is_wrong_in_shape_alone(still):
    off = PoseNoise(shape=1.0)(still, np.random.default_rng(0))
    assert torch.equal(off.body_pose, still.body_pose)
    assert float(off.betas.abs().min()) > 0


def test_drawn_noise_is_of_all_kinds_and_no_more_than_asked_for():
    drawn = [draw_noise(4.0, np.random.default_rng(seed)) for seed in range(200)]
    totals = [np.sqrt(noise.white**2 + noise.smooth**2 + noise.constant**2) for noise in drawn]
    assert max(totals) <= 4 + 1e-9
    assert 20 < sum(noise == PoseNoise() for noise in drawn) < 60
    assert all(max(getattr(noise, kind) for noise in drawn) > 1 for kind in ("white", "smooth", "constant", "shape"))


def test_some_frames_of_others_are_put_among_them(still):
    other = PoseNoise(white=3, shape=1)(still, np.random.default_rng(0))
    mixed = still.put([3, 1], other[[7, 8]])
    assert torch.equal(mixed.body_pose[[3, 1]], other.body_pose[[7, 8]])
    assert torch.equal(mixed.betas, other.betas)
    assert not mixed.transl[[0, 2, 4]].any()
