"""SMPL-X the whole way: 10,475 vertices, 55 joints, hands and face from the capture, trained, evaluated and driven."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg import evaluate as evaluate_command
from hgg_pyg import train as train_command
from hgg_pyg.body import load_body
from hgg_pyg.body.files import DEFAULT_BODY
from hgg_pyg.config import ClipConfig
from hgg_pyg.data import load_body_for, open_captures
from hgg_pyg.evaluate import EvaluateConfig
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.training.run import MODEL_FOLDER, TrainConfig
from hgg_pyg.types import UserError
from tests.captures import make_captures


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three subjects with SMPL-X parameters. Read only."""
    out = tmp_path_factory.mktemp("smplx") / "captures"
    return make_captures(SynthesizeConfig(out=out, subjects=3, frames=4, views=6, size=32, layout="avatarrex_smplx"))


def test_the_captures_ask_for_their_body(captures: Path) -> None:
    body = load_body_for(captures)
    assert (body.kind, body.num_vertices, body.num_joints, body.is_open) == ("smplx", 10_475, 55, True)
    (capture, *_) = open_captures(captures, body=body).train
    with np.load(capture.root / "smpl_params.npz") as file:
        assert capture.poses.body_pose.shape == (4, 162)
        expected = [file[key] for key in ("body_pose", "jaw_pose")]
        np.testing.assert_allclose(capture.poses.body_pose[:, :66], np.concatenate(expected, 1), rtol=1e-6)
        np.testing.assert_allclose(capture.poses.body_pose[:, 72:117], file["left_hand_pose"], rtol=1e-6)
        np.testing.assert_allclose(capture.poses.body_pose[:, 117:], file["right_hand_pose"], rtol=1e-6)
        assert capture.poses.expression is not None
        np.testing.assert_allclose(capture.poses.expression, file["expression"], rtol=1e-6)
        assert np.abs(file["left_hand_pose"]).max() > 0
        assert np.abs(file["expression"]).max() > 0


def test_a_body_of_another_kind_is_refused(captures: Path) -> None:
    with pytest.raises(UserError, match=r"subject000: these poses are .*\(55 joints\), the body .* has 24"):
        open_captures(captures / "subject000", body=load_body())


def test_face_and_fingers_move_what_is_theirs(captures: Path) -> None:
    body = load_body_for(captures)
    poses = open_captures(captures, body=body).train[0].poses[[0]]
    for changed, part in (
        (replace(poses, expression=poses.expression + 2), "head"),
        (replace(poses, body_pose=poses.body_pose + 0.3 * (torch.arange(162) >= 72 + 3)), "hands"),
    ):
        before, after = (body.pose(p).vertices[0] for p in (poses, changed))
        moved = (after - before).norm(dim=1) > 1e-4
        owner = body.weights.argmax(1)
        allowed = (12, 15, 22, 23, 24) if part == "head" else (*range(20, 22), *range(25, 55))
        assert 20 < int(moved.sum()) < 0.5 * len(moved)
        assert np.isin(owner[moved].numpy(), allowed).mean() > 0.95


@pytest.mark.slow
def test_training_evaluating_and_driving(captures: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        data=captures,
        name="x",
        out=tmp_path / "runs",
        cache=tmp_path / "cache",
        steps=2,
        accumulation=1,
        crop=True,
        image_size=40,
        model=ModelConfig(num_layers=1, hidden_channels=8, heads=2),
        clip=ClipConfig(frames=2, target_views=4, target_poses=2),
    )
    train_command.main(config)
    model = HGGNet.load(config.folder / MODEL_FOLDER)
    assert model.queries.shape[0] == 10_475
    report = evaluate_command.main(EvaluateConfig(config.folder, views=2, out=tmp_path / "again"))
    assert report.region == "40x40 pixels, a square around the person"
    assert np.isfinite([score.psnr for score in report.scores]).all()
    with pytest.raises(UserError, match=r"55 joints"):
        train_command.main(replace(config, name="y", body=DEFAULT_BODY))
