"""What is written is read back as it was."""

import json

import numpy as np
import pytest
import torch

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.data.calibration import Entry, make_calibration, read_calibration
from hgg_pyg.data.smpl_params import read_smpl_params
from hgg_pyg.prepare.writer import body_parameters, body_word, calibration_json
from hgg_pyg.types import BodyPose


@pytest.mark.parametrize("kind", ["open", "open-smplx"])
def test_poses_come_back(tmp_path, kind):
    body = load_body() if kind == "open" else BodyModel(open_smplx())
    torch.manual_seed(0)
    width = (body.num_joints - 1) * 3
    pose = BodyPose(torch.randn(10), torch.randn(4, 3), torch.randn(4, width), torch.randn(4, 3))
    origin = (4_000_000.0, -2.0, 5_000.0)
    np.savez(tmp_path / "smpl_params.npz", **body_parameters(pose, origin))
    read_kind, found = read_smpl_params(tmp_path / "smpl_params.npz", body, origin)
    assert body_word(body) == kind
    assert kind in {"smpl": "open", "smplx": "open-smplx"}[read_kind]
    for name in ("betas", "global_orient", "body_pose", "transl"):
        torch.testing.assert_close(getattr(found, name), getattr(pose, name))


def test_cameras_come_back_in_the_world_that_they_were_given_in(tmp_path):
    K = [[900.5, 0, 480.25], [0, 901.5, 270.75], [0, 0, 1]]
    far = np.array([4_000_000.0, -2.0, 5_000.0])
    entries = [
        Entry(f"cam{n}", "", K, np.eye(3), np.array([0.5 * n, 0, 3]) - far, (0.1, -0.02, 0, 0, 0.003), (960, 540))
        for n in range(3)
    ]
    given = make_calibration(entries)
    assert np.linalg.norm(given.origin) > 1e6
    (tmp_path / "cameras.json").write_text(calibration_json(given))
    assert json.loads((tmp_path / "cameras.json").read_text())["cam1"]["T"] == pytest.approx(entries[1].T)
    found = read_calibration(tmp_path / "cameras.json")
    assert (found.names, found.sizes, found.origin) == (given.names, given.sizes, given.origin)
    for name in ("K", "R", "distortion"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    np.testing.assert_allclose(found.T, given.T, atol=1e-8)
