import pickle

import numpy as np
import pytest
import torch

from hgg_pyg.body import load_body
from hgg_pyg.body.files import DEFAULT_BODY, read_body
from hgg_pyg.types import BodyPose, UserError


@pytest.fixture(scope="module")
def body():
    return load_body()


def random_pose(frames: int, seed: int = 0, joints: int = 24) -> BodyPose:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int, std: float) -> torch.Tensor:
        return std * torch.randn(*shape, generator=generator)

    return BodyPose(
        betas=draw(10, std=1.0),
        global_orient=draw(frames, 3, std=1.0),
        body_pose=draw(frames, (joints - 1) * 3, std=0.3),
        transl=draw(frames, 3, std=1.0),
    )


def test_default_body_is_closed_and_symmetric(body):
    import trimesh

    mesh = trimesh.Trimesh(body.rest_vertices(torch.zeros(10)), body.faces, process=False)
    assert mesh.is_watertight
    assert (body.num_vertices, body.num_joints, len(body.faces)) == (6890, 24, 13776)
    assert torch.allclose(body.weights.sum(1), torch.ones(6890), atol=1e-6)


@pytest.mark.parametrize("posedirs", [0.0, 0.01])
def test_posed_vertices_equal_smplx(posedirs):
    body = load_body()
    directions = torch.randn(body.smpl.posedirs.shape, generator=torch.Generator().manual_seed(1))
    body.smpl.posedirs.copy_(posedirs * directions)
    pose = random_pose(3)
    expected = body.smpl(
        betas=pose.betas.expand(3, -1),
        global_orient=pose.global_orient,
        body_pose=pose.body_pose,
        transl=pose.transl,
    ).vertices
    posed = body.pose(pose)
    assert torch.allclose(posed.vertices, expected, atol=2e-5)
    rest = torch.nn.functional.pad(body.rest_vertices(pose.betas), (0, 1), value=1.0)
    mapped = (posed.transforms @ rest[None, :, :, None])[..., :3, 0]
    assert torch.allclose(mapped, expected, atol=2e-5)


def test_rest_joints_equal_smplx(body):
    pose = random_pose(1)
    rest = body.smpl(betas=pose.betas[None], global_orient=torch.zeros(1, 3), body_pose=torch.zeros(1, 69))
    assert torch.allclose(body.rest_joints(pose.betas), rest.joints[0, :24], atol=1e-5)


def test_pose_of_another_skeleton_is_refused(body):
    with pytest.raises(UserError, match="24 joints and expects 69 values a frame, found 63"):
        body.pose(random_pose(2, joints=22))
    with pytest.raises(UserError, match="10 shape directions, found 16"):
        body.rest_vertices(torch.zeros(16))


def arrays() -> dict:
    read = read_body(DEFAULT_BODY)
    return {name: getattr(read, name) for name in read.__dataclass_fields__}


def test_npz_and_pkl_of_the_same_arrays_are_the_same_body(tmp_path, body):
    import scipy.sparse

    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **arrays())
    content = arrays()
    content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(content, protocol=2))
    pose = random_pose(1)
    for path in (tmp_path, tmp_path / "body.pkl"):
        loaded = load_body(path)
        assert loaded.digest == body.digest
        assert torch.equal(loaded.pose(pose).vertices, body.pose(pose).vertices)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({"v_template": Attack()}))
    with pytest.raises(UserError, match=r"evil\.pkl: refused: builtins\.exec"):
        load_body(path)
    assert not (tmp_path / "ran").exists()


def test_chumpy_is_read_without_chumpy(tmp_path, body):
    import sys
    import types

    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.x = x

    Ch.__module__, Ch.__qualname__, module.Ch = "chumpy.ch", "Ch", Ch
    content = arrays()
    content["shapedirs"] = Ch(content["shapedirs"])
    sys.modules.update({"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module})
    try:
        (tmp_path / "v1.pkl").write_bytes(pickle.dumps(content))
    finally:
        del sys.modules["chumpy"], sys.modules["chumpy.ch"]
    assert load_body(tmp_path / "v1.pkl").digest == body.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("weights"), "expected the key 'weights'"),
        (lambda a: a.update(weights=a["weights"][:, :20]), r"weights: expected the shape \(6890, 24\)"),
        (lambda a: a["v_template"].__setitem__(0, np.nan), "v_template: expected finite numbers"),
        (lambda a: a.update(f=a["f"] + 1), "f: expected vertex ids below 6890, found 6890"),
    ],
)
def test_wrong_files_say_what_is_wrong(tmp_path, change, message):
    content = arrays()
    change(content)
    np.savez(tmp_path / "body.npz", **content)
    with pytest.raises(UserError, match=message):
        load_body(tmp_path / "body.npz")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(UserError, match="found none"):
        load_body(tmp_path)
    for name in ("body.npz", "body.pkl"):
        (tmp_path / name).write_bytes(b"not a body")
        with pytest.raises(UserError, match=f"{name}: expected an"):
            load_body(tmp_path / name)
