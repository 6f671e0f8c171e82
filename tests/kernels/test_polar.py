"""Nearest rotations against the differentiable ones and against singular values."""

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.body.skinning import polar_rotation
from hgg_pyg.kernels.polar import polar_rotations


def test_they_are_the_nearest_rotations_of_blended_matrices() -> None:
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(4000, 3))
    turns = rng.uniform(0, np.pi - 0.1, 4000)[:, None] * axes / np.linalg.norm(axes, axis=1, keepdims=True)
    first, turn = Rotation.random(4000, rng), Rotation.from_rotvec(turns)
    share = rng.uniform(0, 0.5, (4000, 1, 1))
    share[::4] = 0  # as most of a body: one rotation
    matrices = (1 - share) * first.as_matrix() + share * (turn * first).as_matrix()
    found = polar_rotations(matrices, np.ones(4000, bool))
    np.testing.assert_allclose(found, polar_rotation(torch.from_numpy(matrices)).numpy(), atol=1e-12)
    left, _, right = np.linalg.svd(matrices)
    np.testing.assert_allclose(found, left @ right, atol=1e-12)


def test_scaled_and_stretched_matrices_and_those_that_are_not_asked_for() -> None:
    rng = np.random.default_rng(1)
    stretches = rng.uniform(0.3, 3, (50, 3))[:, :, None] * np.eye(3)
    matrices = 40 * Rotation.random(50, rng).as_matrix() @ stretches
    chosen = rng.random(50) < 0.5
    found = polar_rotations(matrices, chosen)
    left, _, right = np.linalg.svd(matrices)
    np.testing.assert_allclose(found[chosen], (left @ right)[chosen], atol=1e-12)
    assert not found[~chosen].any()
