"""Body files in their official formats, where they are looked for, and what is said of wrong ones."""

import logging
import os
import pickle
import re
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from hgg_pyg.body import BodyArrays, BodyModel, load_body, read_body, write_body
from hgg_pyg.body.files import DEFAULT_BODY, find_body_file, installed_bodies
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.types import UserError
from tests.body.test_body import random_pose, reference, with_posedirs

KEYS = ("v_template", "f", "weights", "J_regressor", "kintree_table", "shapedirs")


@pytest.fixture(scope="module")
def body():
    return load_body()


def arrays() -> dict:
    """The default body, as a licensed file would spell it."""
    read = read_body(DEFAULT_BODY)
    return {name: getattr(read, name) for name in KEYS} | {"posedirs": np.zeros((6890, 3, 207), np.float32)}


def official(content: dict) -> dict:
    """Types and keys of SMPL's own pickles: double precision, a sparse regressor, keys that nothing here needs."""
    content = {name: value.astype(np.float64) if value.dtype.kind == "f" else value for name, value in content.items()}
    content["J_regressor"] = scipy.sparse.csc_matrix(content["J_regressor"])
    content["kintree_table"] = content["kintree_table"].astype(np.uint32)
    return content | {"bs_style": "lbs", "bs_type": "lrotmin", "J": np.zeros((24, 3)), "weights_prior": None}


def chumpy_pickle(content: dict) -> bytes:
    """SMPL 1.0: shape directions are an object of chumpy, which is not there when it is read."""
    module = types.ModuleType("chumpy.ch")

    class Ch:
        def __init__(self, x):
            self.__dict__.update(x=x, _dirty_vars={"x"}, _itr=None, _depends_on_deps={}, _status="new")

    Ch.__module__, Ch.__qualname__, module.Ch = "chumpy.ch", "Ch", Ch
    content = content | {"shapedirs": Ch(content["shapedirs"]), "J": Ch(np.zeros((24, 3)))}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "chumpy", types.ModuleType("chumpy"))
        patch.setitem(sys.modules, "chumpy.ch", module)
        return pickle.dumps(content, 2)


def write_formats(folder: Path, content: dict) -> list[Path]:
    np.savez(folder / "plain.npz", **content)
    np.savez(folder / "objects.npz", **official(content), joint2num=np.array({"pelvis": 0}, object))
    (folder / "v1.1.pkl").write_bytes(pickle.dumps(official(content), 2))
    (folder / "v1.0.pkl").write_bytes(chumpy_pickle(official(content)))
    return sorted(folder.iterdir())


def test_every_format_is_the_same_body(tmp_path, body):
    pose = random_pose(1)
    for path in write_formats(tmp_path, arrays()):
        loaded = load_body(path)
        assert loaded.digest == body.digest
        assert not loaded.is_open
        assert torch.equal(loaded.pose(pose).vertices, body.pose(pose).vertices)


def test_every_format_equals_smplx(tmp_path):
    content = with_posedirs(read_body(DEFAULT_BODY))
    pose = random_pose(2)
    expected = reference(content)(pose.betas.expand(2, -1), pose.body_pose, pose.global_orient, pose.transl).vertices
    for path in write_formats(tmp_path, {name: getattr(content, name) for name in (*KEYS, "posedirs")}):
        assert torch.allclose(load_body(path).pose(pose).vertices, expected, atol=2e-5), path


def test_what_is_written_is_read(tmp_path):
    for content in (read_body(DEFAULT_BODY), with_posedirs(read_body(DEFAULT_BODY)), open_smplx()):
        write_body(tmp_path / "body.npz", content)
        found = read_body(tmp_path / "body.npz")
        assert (found.digest(), found.is_open, found.kind) == (content.digest(), content.is_open, content.kind)
        for name in BodyArrays.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(found, name), getattr(content, name))
    with pytest.raises(ValueError, match=r"expected a name that ends in \.npz"):
        write_body(tmp_path / "body.pkl", content)
    with pytest.raises(ValueError, match=r"found 10 \+ 5"):
        write_body(tmp_path / "body.npz", replace(content, exprdirs=content.exprdirs[..., :5]))


def cut(count: int, joints: int, directions: int) -> dict:
    """A body of the first vertices and joints of SMPL-X's tree, with many directions."""
    rng, whole = np.random.default_rng(0), open_smplx()
    weights, regressor = whole.weights[:count, :joints], whole.J_regressor[:joints, :count]
    return {
        "v_template": whole.v_template[:count],
        "f": whole.f[(whole.f < count).all(1)],
        "weights": weights / weights.sum(1, keepdims=True),
        "J_regressor": regressor,
        "kintree_table": whole.kintree_table[:, :joints].astype(np.uint32),  # the root's parent is 2^32 - 1
        "shapedirs": rng.random((count, 3, directions)),
    }


@pytest.mark.parametrize(
    ("joints", "directions", "kind", "split"),
    [
        (55, 400, "smplx", (300, 100)),
        (55, 20, "smplx", (10, 10)),
        (52, 16, "smplh", (16, 0)),
        (24, 300, "smpl", (300, 0)),
    ],
)
def test_directions_of_shape_and_of_expression(tmp_path, joints, directions, kind, split):
    content = cut(300, joints, directions)
    np.savez(tmp_path / "body.npz", **content, part2num=np.array({"head": 0}, object))
    found = read_body(tmp_path / "body.npz")
    assert (found.kind, found.shapedirs.shape[-1], found.exprdirs.shape[-1]) == (kind, *split)
    both = np.concatenate([found.shapedirs, found.exprdirs], -1)
    np.testing.assert_array_equal(both, content["shapedirs"].astype(np.float32))
    assert BodyModel(found).parents[:4].tolist() == [-1, 0, 0, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("weights"), "expected the key 'weights'"),
        (lambda a: a.update(weights=a["weights"][:, :20]), r"weights: expected the shape \(6890, 24\)"),
        (lambda a: a.update(shapedirs=a["shapedirs"][:5]), r"shapedirs: expected the shape \(6890, 3, 10\)"),
        (lambda a: a.update(posedirs=a["posedirs"][..., :9]), r"posedirs: expected the shape \(6890, 3, 207\)"),
        (lambda a: a.update(v_template=np.array(1.0)), "v_template: expected an array, found a single number"),
        (
            lambda a: a.update(v_template=np.array(["a"])),
            "expected an array of numbers, found <U1",
        ),
        (lambda a: a.update(f=np.array({"a": 1}, object)), "f: expected an array of numbers, found object"),
        (lambda a: a["v_template"].__setitem__(0, np.nan), "v_template: expected finite numbers"),
        (lambda a: a.update(hands_meanl=np.zeros(3)), r"hands_meanl: expected the shape \(45,\), found \(3,\)"),
        (lambda a: a.update(f=a["f"] + 1), "f: expected vertex ids below 6890, found 6890"),
        (lambda a: a.update(kintree_table=a["kintree_table"][:, :16]), "24 joints .SMPL., 52 .* found 16"),
        (lambda a: a.update(kintree_table=a["kintree_table"][0]), r"kintree_table: expected the shape \(2, 24\)"),
        (lambda a: a["kintree_table"].__setitem__((0, 3), 7), "each joint's parent before it, found 7 for joint 3"),
        (lambda a: a.update(jr_row=np.zeros(3, int)), "expected the compact storage of the default body"),
        (lambda a: a.update(jr_row=np.zeros(3, int), v_template=np.array(1.0)), "damaged .len.. of unsized object"),
        (lambda a: a.update(jr_row=np.zeros(3, int), kintree_table=np.zeros((2, 10**6))), "damaged .1000000 joints"),
        (lambda a: a.clear(), "expected the key 'v_template'; found no keys of a body"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".pkl"])
def test_wrong_files_say_what_is_wrong(tmp_path, suffix, change, message):
    content, path = arrays(), tmp_path / f"body{suffix}"
    change(content)
    if suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        load_body(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_smplx_without_expression_directions_is_refused(tmp_path):
    np.savez(tmp_path / "body.npz", **cut(300, 55, 10))
    with pytest.raises(UserError, match=r"shapedirs: expected SMPL-X's 300 \+ 100 or 10 \+ 10 .* found 10"):
        load_body(tmp_path / "body.npz")


def test_a_damaged_sparse_regressor_is_refused(tmp_path):
    content = official(arrays())
    content["J_regressor"].indices[:] = 99
    (tmp_path / "body.pkl").write_bytes(pickle.dumps(content, 2))
    with pytest.raises(UserError, match="J_regressor: expected an array, found a damaged one"):
        load_body(tmp_path / "body.pkl")


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(UserError, match="found none"):
        load_body(tmp_path)
    with pytest.raises(UserError, match="found none"):
        load_body(tmp_path / "absent.npz")
    np.savez(tmp_path / "whole.npz", **arrays())
    (tmp_path / "whole.pkl").write_bytes(pickle.dumps(arrays()))
    for suffix in (".npz", ".pkl"):
        whole, path = (tmp_path / f"whole{suffix}").read_bytes(), tmp_path / f"body{suffix}"
        for content in (b"not a body", b"", whole[: len(whole) // 2]):
            path.write_bytes(content)
            with pytest.raises(UserError, match=f"body{suffix}: expected a body file, found something unreadable"):
                load_body(path)
    path.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(UserError, match="expected a dictionary of arrays, found list"):
        load_body(path)


def test_a_body_file_that_runs_code_is_refused(tmp_path):
    class Attack:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(arrays() | {"v_template": Attack()}))
    np.savez(tmp_path / "evil.npz", **(arrays() | {"v_template": np.array(Attack(), object)}))
    for name in ("evil.pkl", "evil.npz"):
        with pytest.raises(
            UserError,
            match=rf"{name}: refused: {os.name}\.mkdir is not something a body file(, key 'v_template')? may hold",
        ):
            load_body(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SMPL_NEUTRAL.pkl", "smpl"),
        ("SMPLX_NEUTRAL.npz", "smplx"),
        ("smpl/SMPL_NEUTRAL.npz", "smpl"),
        ("smplx/SMPLX_NEUTRAL.pkl", "smplx"),
        ("models/smplx/SMPLX_NEUTRAL.npz", "smplx"),
        ("smpl/models/basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", "smpl"),
        ("basicModel_neutral_lbs_10_207_0_v1.0.0.pkl", "smpl"),
    ],
)
def test_folders_as_they_are_unpacked(tmp_path, monkeypatch, name, kind):
    path = touch(tmp_path / name)
    assert find_body_file(tmp_path) == path
    assert find_body_file(tmp_path, [kind]) == path
    assert find_body_file(tmp_path, ["open", kind]) == path
    other = {"smpl": "smplx", "smplx": "smpl"}[kind]
    with pytest.raises(UserError, match=f"or a folder with {other.upper()}_NEUTRAL.npz or .*; found none"):
        find_body_file(tmp_path, [other])
    assert installed_bodies() == []
    monkeypatch.setenv("HGG_BODY_MODELS", str(tmp_path))
    assert installed_bodies() == [path]
    assert find_body_file(None, [kind]) == path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("SMPL_MALE.pkl", "smpl"),
        ("smpl/SMPL_FEMALE.npz", "smpl"),
        ("SMPL_python_v.1.1.0/smpl/models/basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "smpl"),
        ("basicModel_f_lbs_10_207_0_v1.0.0.pkl", "smpl"),
        ("models/smplx/SMPLX_FEMALE.npz", "smplx"),
    ],
)
def test_a_body_of_one_sex_is_named_with_the_option_that_takes_it(tmp_path, monkeypatch, caplog, name, kind):
    path = touch(tmp_path / name)
    advice = f"found {path.name}, of one sex only, which is taken by --body {path}"
    with pytest.raises(UserError, match=f"_NEUTRAL.npz or .*; {re.escape(advice)}$"):
        find_body_file(tmp_path, [kind])
    assert find_body_file(path, [kind]) == path
    monkeypatch.setenv("HGG_BODY_MODELS", str(tmp_path))
    if kind == "smplx":
        with pytest.raises(UserError, match=f"poses of SMPL-X need its body: {re.escape(advice)}$"):
            find_body_file(None, [kind])
    else:
        assert find_body_file(None, [kind]) == DEFAULT_BODY
        assert caplog.messages == [f"poses estimated with SMPL fit the open default body only roughly: {advice}"]


def test_the_best_kind_is_taken(tmp_path, monkeypatch):
    smplx, smpl = touch(tmp_path / "smplx" / "SMPLX_NEUTRAL.npz"), touch(tmp_path / "smpl" / "SMPL_NEUTRAL.pkl")
    assert find_body_file(tmp_path) == find_body_file(tmp_path, ["open-smplx"]) == smpl
    assert find_body_file(tmp_path, ["smplx", "smpl"]) == smplx
    assert find_body_file(tmp_path, ["smpl", "smplx"]) == smpl
    assert find_body_file(smplx, ["smpl"]) == smplx
    monkeypatch.setenv("HGG_BODY_MODELS", str(tmp_path))
    assert installed_bodies() == [smpl, smplx]
    assert find_body_file() == find_body_file(None, ["open", "smpl"]) == DEFAULT_BODY
    assert find_body_file(None, ["open-smplx", "smplx"]) == "open-smplx"
    smpl.unlink()
    assert find_body_file(None, ["smpl", "smplx"]) == smplx


def test_without_a_licensed_body(tmp_path, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_body(kinds=["open-smplx"]).num_joints == 55
        assert load_body().num_joints == 24
        assert not caplog.records
        assert find_body_file(None, ["smpl"]) == find_body_file(None, ["smplx", "smpl"]) == DEFAULT_BODY
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "only roughly" in caplog.text
    message = "poses of SMPL-X need its body: give --body SMPLX_NEUTRAL.npz, or its folder in HGG_BODY_MODELS"
    with pytest.raises(UserError, match=message):
        load_body(kinds=["smplx"])
    monkeypatch.setenv("HGG_BODY_MODELS", str(tmp_path))
    with pytest.raises(UserError, match=message):
        load_body(kinds=["smplx"])
    monkeypatch.setenv("HGG_BODY_MODELS", str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"HGG_BODY_MODELS: expected the folder of the body files, .*absent"):
        load_body(kinds=["smpl"])
    assert installed_bodies() == []


def test_poses_fit_the_bodies_they_are_for(body):
    smplx = BodyModel(open_smplx(), "open-smplx")
    licensed = BodyModel(replace(read_body(DEFAULT_BODY), is_open=False), "SMPL_NEUTRAL.npz")
    licensed_x = BodyModel(replace(open_smplx(), is_open=False), "SMPLX_NEUTRAL.npz")
    fits = {"open": [body], "open-smplx": [smplx], "smpl": [body, licensed], "smplx": [smplx, licensed_x]}
    for kind, good in fits.items():
        for each in (body, smplx, licensed, licensed_x):
            if any(each is one for one in good):
                each.check_fits(kind, "params.npz")
            else:
                with pytest.raises(UserError, match=r"^params\.npz: these poses are [^\n]*$"):
                    each.check_fits(kind, "params.npz")
    message = (
        r"^a/0\.json: these poses are SMPL-X's \(55 joints\), the body open default body has 24; "
        r"give --body SMPLX_NEUTRAL\.npz$"
    )
    with pytest.raises(UserError, match=message):
        body.check_fits("smplx", "a/0.json")
    with pytest.raises(
        UserError, match=r"are the open default body's, the body SMPL_NEUTRAL\.npz is another one; leave"
    ):
        licensed.check_fits("open", "params.npz")
