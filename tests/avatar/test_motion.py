"""A motion in time: between frames rotations go the short way round at an even speed, and places in straight lines."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from hgg_pyg.avatar import Motion
from hgg_pyg.types import UserError


def motion(frames: int = 4, fps: float = 10.0) -> Motion:
    """Turns by 60 degrees about y a frame, and goes 1 m along x."""
    turns = Rotation.from_euler("y", 60 * np.arange(frames)[:, None], degrees=True).as_rotvec()
    angles = torch.from_numpy(turns).float()
    ways = torch.stack([torch.arange(frames).float(), torch.zeros(frames), torch.zeros(frames)], 1)
    return Motion("turn", fps, angles, torch.zeros(frames, 69), ways)


def heading(found: Motion) -> np.ndarray:
    fronts = Rotation.from_rotvec(found.global_orient.numpy()).apply([0, 0, 1])
    return np.degrees(np.unwrap(np.arctan2(fronts[:, 0], fronts[:, 2])))


def test_frames_between_frames() -> None:
    finer = motion().at(40)
    assert (len(finer), finer.fps) == (13, 40)
    np.testing.assert_allclose(heading(finer), 15 * np.arange(13), atol=1e-3)
    np.testing.assert_allclose(finer.transl[:, 0], np.arange(13) / 4, atol=1e-6)
    assert motion().at(10) is not None
    assert len(motion().at(5)) == 2  # of 0.3 seconds, at 0 and 0.2


def test_beyond_its_ends_it_stays_there() -> None:
    found = motion().sample(np.array([-1.0, 0.05, 9.0]))
    np.testing.assert_allclose(heading(found), [0, 30, 180], atol=1e-3)
    one = motion().first(1)
    assert one.at(25).fps == 25
    assert len(one.sample(np.arange(3.0))) == 3


def test_wrong_rates_and_shapes_are_refused() -> None:
    for fps in (0, -1, 1e5, float("nan")):
        with pytest.raises(UserError, match=r"0\.1 to 10,000"):
            motion().at(fps)
    with pytest.raises(UserError, match="at most 1,000,000 frames"):
        motion(20, fps=0.1).at(10_000)
    with pytest.raises(ValueError, match="found none"):
        motion().first(0)
    with pytest.raises(ValueError, match=r"0\.1 to 10,000"):
        motion(fps=float("nan"))
