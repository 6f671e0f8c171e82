"""Betas of other sizes than the body's, a row a frame, and numbers that no person has."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.data import open_captures
from hgg_pyg.data.layouts.base import one_shape
from hgg_pyg.types import UserError
from tests.data.test_capture import change_params, write_subject

SHAPE = np.linspace(-1, 1, 10)
FRAMES = 4


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return write_subject(tmp_path / "anna")


def give(folder: Path, betas: np.ndarray) -> None:
    change_params(folder, betas=lambda _: betas)


def padded(size: int, *last: float) -> np.ndarray:
    return np.r_[SHAPE, np.zeros(size - 10 - len(last)), last][None]


@pytest.mark.parametrize(
    "betas",
    [
        SHAPE[None],
        SHAPE,
        np.tile(SHAPE, (FRAMES, 1)),
        SHAPE + np.array([[-0.02], [0], [0], [0.05]]),
        np.where(np.arange(FRAMES)[:, None] == 1, np.nan, SHAPE),
        padded(16),
        padded(300),
        np.repeat(padded(16), FRAMES, 0),
    ],
    ids=["one row", "no row", "a frame each", "median", "one is NaN", "16", "300", "16 a frame each"],
)
def test_the_shape_of_a_person(subject: Path, body: BodyModel, betas: np.ndarray) -> None:
    give(subject, betas)
    capture = open_captures(subject, body=body).train[0]
    np.testing.assert_allclose(capture.poses.betas, SHAPE, atol=1e-6)


def test_fewer_values_than_the_body_has_are_kept(subject: Path, body: BodyModel) -> None:
    give(subject, SHAPE[None, :4])
    assert torch.equal(open_captures(subject, body=body).train[0].poses.betas, torch.tensor(SHAPE[:4]).float())


def test_what_is_dropped_and_what_differs_is_said_once(subject: Path, body: BodyModel, caplog) -> None:
    give(subject, np.repeat(padded(300), FRAMES, 0) + np.linspace(0, 1, FRAMES)[:, None] * (np.arange(300) < 1))
    with caplog.at_level(logging.INFO, "hgg_pyg"):
        open_captures(subject, body=body)
    path = re.escape(str(subject / "smpl_params.npz"))
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert len(re.findall(f"{path}: of 300 betas the first 10 are used, the others are zero", text)) == 1
    assert len(re.findall(f"{path}: betas differ between frames", text)) == 1


@pytest.mark.parametrize(
    ("betas", "stated", "message"),
    [
        (padded(16, 0.5), "smpl", r"expected at most 10 values, .* found 16; give a body with 16 with --body"),
        (padded(300, -1), "smpl", "expected at most 10 values, .* found 300"),
        (padded(16), "open", r".* found 16; .*anna/body\.txt says that they are of our open body"),
        (SHAPE[None] * 1e30, "smpl", r"expected at most 100, as of a person, found 1e\+30"),
        (SHAPE[None] * np.nan, "smpl", "expected finite numbers"),
        (np.tile(SHAPE, (3, 1)), "smpl", r"expected shape \(1, 10\), \(10,\) or \(4, 10\), .*found \(3, 10\)"),
        (np.zeros((1, 0)), "smpl", r"expected shape .* found \(1, 0\)"),
        (np.zeros((1, 1, 10)), "smpl", r"expected shape .* found \(1, 1, 10\)"),
    ],
    ids=["16", "300", "16 of ours", "huge", "NaN", "3 rows", "none", "a box"],
)
def test_shapes_that_cannot_be_the_bodys(subject: Path, body: BodyModel, betas, stated: str, message: str) -> None:
    give(subject, betas)
    (subject / "body.txt").write_text(stated)
    path = re.escape(str(subject / "smpl_params.npz"))
    with pytest.raises(UserError, match=f"^{path}: key 'betas': {message}"):
        open_captures(subject, body=body)


@pytest.mark.parametrize("value", [1e30, 1e300, -1e8, np.inf])
@pytest.mark.parametrize("key", ["transl", "global_orient", "body_pose"])
def test_frames_with_numbers_that_no_pose_has_are_left_out(subject: Path, key: str, value: float) -> None:
    def change(array: np.ndarray) -> np.ndarray:
        array[2, 1] = value
        return array

    change_params(subject, **{key: change})
    capture = open_captures(subject, 32, crop=True).train[0]
    assert capture.frames == (0, 1, 3)
    assert [str(item) for item in capture.left_out] == [
        "1 frame left out: NaN or Inf in the pose, or a number above 1e+07 (2)"
    ]


def test_a_shape_without_values_is_refused(body: BodyModel, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="key 'betas': expected a value for each shape direction of the body, found no"):
        one_shape(torch.zeros(3, 0), tmp_path, tmp_path, body)
