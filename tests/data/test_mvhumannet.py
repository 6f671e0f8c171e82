"""MVHumanNet: both rigs and both kinds of poses land on the masks; what is wrong is left out or said in one line."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import find_subjects, load_body_for, open_captures
from hgg_pyg.synthetic.capture_writer import write_subject
from hgg_pyg.synthetic.config import LayoutName, SynthesizeConfig
from hgg_pyg.types import UserError
from tests.silhouettes import in_cameras, silhouette_overlaps

FRAMES, VIEWS = 5, 6  # smpl_param has files for frames 0, 1, 3, 4 of them, smplx/smpl for 0, 1, 2, 3


def write_outfits(out: Path, layout: LayoutName, body: BodyModel) -> Path:
    """Two people in bodysuits, so that masks are those of the body, give or take a pixel's width."""
    config = SynthesizeConfig(
        out=out, subjects=3, frames=FRAMES, views=VIEWS, size=96, layout=layout, clothes="bodysuit"
    )
    for index in (0, 1):
        write_subject(config, index, body, lambda count: None)
    return out


@pytest.fixture(scope="module")
def rig_48(tmp_path_factory, body) -> Path:
    return write_outfits(tmp_path_factory.mktemp("mvhumannet") / "rig_48", "mvhumannet_48", body)


@pytest.fixture(scope="module")
def rig_16(tmp_path_factory, body) -> Path:
    return write_outfits(tmp_path_factory.mktemp("mvhumannet") / "rig_16", "mvhumannet_16", body)


@pytest.fixture(scope="session")
def smplx_body() -> BodyModel:
    return load_body(None, ("open-smplx",))


@pytest.fixture
def outfit(rig_48, tmp_path) -> Path:
    """One outfit, to be spoilt."""
    return shutil.copytree(rig_48 / "100001", tmp_path / "100001")


def only(folder: Path, body: BodyModel) -> Capture:
    (capture,) = open_captures(folder, body=body).test
    return capture


def reasons(capture: Capture) -> list[str]:
    return [str(item) for item in capture.left_out]


def change_json(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    changed = change(content)
    path.write_text(json.dumps(content if changed is None else changed))


def change_camera(outfit: Path, camera: int = 1, **changes: Any) -> None:
    """Replace keys of a camera; None takes a key away."""

    def change(content: dict[str, Any]) -> None:
        key = list(content)[camera]
        content[key] = {k: v for k, v in {**content[key], **changes}.items() if v is not None}

    change_json(outfit / "camera_extrinsics.json", change)


def change_smpl(path: Path, **changes: Any) -> None:
    """Replace keys of a pickle by a function of themselves; None takes a key away."""
    content = pickle.loads(path.read_bytes())
    for key, value in changes.items():
        if value is None:
            del content[key]
        else:
            content[key] = value(content[key]) if callable(value) else value
    path.write_bytes(pickle.dumps(content))


def change_smplx(path: Path, **changes: Any) -> None:
    change_json(path, lambda persons: persons[0].update({k: v(persons[0][k]) for k, v in changes.items()}))


def rename_camera(outfit: Path, old: str, new: str) -> None:
    for place in ("images_lr", "fmask_lr"):
        (outfit / place / old).rename(outfit / place / new)
    change_json(outfit / "camera_extrinsics.json", lambda c: {k.replace(old, new): camera for k, camera in c.items()})


@pytest.mark.parametrize("kind", ["open", "open-smplx"])
@pytest.mark.parametrize("rig", ["rig_48", "rig_16"])
def test_the_posed_body_covers_the_masks(request, rig, kind) -> None:
    data, body = request.getfixturevalue(rig), load_body(None, (kind,))
    captures = open_captures(data, body=body).train
    assert len(captures) == 2
    for capture in captures:
        assert silhouette_overlaps(capture, body).min() > 0.9
        frames, missing = ((5, 10, 20, 25), 15) if kind == "open" else ((5, 10, 15, 20), 25)
        assert capture.frames == frames
        assert reasons(capture) == [f"1 frame left out: no pose ({missing})"]


def test_both_sources_put_the_same_person_in_the_same_place(rig_16, body, smplx_body) -> None:
    smpl, smplx = only(rig_16 / "200102", body), only(rig_16 / "200102", smplx_body)
    shared = [(smpl.frames.index(number), smplx.frames.index(number)) for number in (5, 10, 20)]
    surfaces = body.pose(smpl.poses).vertices, smplx_body.pose(smplx.poses).vertices[:, : body.num_vertices]
    apart = torch.stack([(surfaces[0][a] - surfaces[1][b]).norm(dim=-1) for a, b in shared])
    assert float(apart.median()) < 1e-5  # faces and fingers, many of the vertices, SMPL does not move
    assert float(apart.max()) < 0.03


def test_hands_face_and_expression_are_in_the_order_of_smplx(rig_48, smplx_body) -> None:
    capture = only(rig_48 / "100001", smplx_body)
    (person,) = json.loads((rig_48 / "100001/smplx/smpl/000001.json").read_text())
    parts = np.split(np.array(person["poses"][0]), np.cumsum([3, 63, 6, 6, 3, 3]))
    hands = smplx_body.hands
    assert hands is not None
    expected = [
        *(parts[1], parts[4], parts[5], parts[6]),
        *(parts[2] @ hands.left_components[:6].numpy(), parts[3] @ hands.right_components[:6].numpy()),
    ]
    np.testing.assert_allclose(capture.poses.body_pose[1], np.concatenate(expected), atol=1e-6)
    assert capture.poses.expression is not None
    np.testing.assert_allclose(capture.poses.expression[1], person["expression"][0], atol=1e-6)


def test_a_rotated_root_is_composed_with_rh(outfit, smplx_body) -> None:
    before = smplx_body.pose(only(outfit, smplx_body).poses).vertices[0]
    change_smplx(outfit / "smplx/smpl/000000.json", poses=lambda v: [[0.3, -0.2, 0.5, *v[0][3:]]])
    capture = only(outfit, smplx_body)
    (person,) = json.loads((outfit / "smplx/smpl/000000.json").read_text())
    after = smplx_body.pose(capture.poses).vertices[0]
    assert float((after - before).norm(dim=-1).max()) > 0.2
    pelvis = smplx_body.rest_joints(capture.poses.betas)[0]
    rotation, root = (batch_matrix(vector) for vector in (person["Rh"][0], person["poses"][0][:3]))
    np.testing.assert_allclose(batch_matrix(capture.poses.global_orient[0]), rotation @ root, atol=1e-5)
    # LBS leaves the pelvis at J0; EasyMocap then rotates it about the origin.
    expected = rotation @ pelvis.numpy() + person["Th"][0]
    np.testing.assert_allclose(pelvis + capture.poses.transl[0], expected, atol=1e-5)


def batch_matrix(vector: Any) -> np.ndarray:
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.asarray(vector, np.float64)).as_matrix()


def test_the_body_is_smpls_unless_there_is_none(outfit) -> None:
    assert find_subjects(outfit)["100001"].kinds == ("open", "open-smplx")
    assert load_body_for(outfit).num_joints == 24
    shutil.rmtree(outfit / "smpl_param")
    assert find_subjects(outfit)["100001"].kinds == ("open-smplx",)
    assert load_body_for(outfit).num_joints == 55
    (outfit / "body.txt").unlink()
    assert find_subjects(outfit)["100001"].kinds == ("smplx",)


def test_only_smplx_poses_and_a_body_of_24_joints(outfit, body) -> None:
    shutil.rmtree(outfit / "smpl_param")
    with pytest.raises(UserError, match=r"100001: these poses are .*\(55 joints\), the body .* has 24"):
        only(outfit, body)


@pytest.mark.parametrize("size", [(64, 47), (262, 192), (4096 // 16, 3000 // 16)])
def test_images_may_have_any_size(outfit, body, size) -> None:
    before = only(outfit, body)
    for path in [*outfit.glob("images_lr/*/*.jpg"), *outfit.glob("fmask_lr/*/*.png")]:
        Image.open(path).resize(size).save(path)
    after = only(outfit, body)
    assert after.file_size == size
    assert silhouette_overlaps(after, body).min() > 0.85  # the smallest has bodies of five pixels' width
    scale = torch.tensor([[size[0] / before.file_size[0]], [size[1] / before.file_size[1]], [1.0]])
    torch.testing.assert_close(after.cameras.Ks, before.cameras.Ks * scale)


def test_intrinsics_scale_from_the_calibrated_size(rig_48, rig_16, body) -> None:
    for outfit, size in ((rig_48 / "100001", (4096, 3000)), (rig_16 / "200102", (2448, 2048))):
        K = np.array(json.loads((outfit / "camera_intrinsics.json").read_text())["intrinsics"])
        capture = only(outfit, body)
        width, height = capture.file_size
        expected = np.diag([width / size[0], height / size[1], 1]) @ K
        np.testing.assert_allclose(capture.cameras.Ks[3], expected, rtol=1e-6)


def test_the_described_places_and_other_suffixes(outfit, body) -> None:
    before = only(outfit, body)
    (outfit / "images_lr").rename(outfit / "images")
    (outfit / "fmask_lr").rename(outfit / "fmask")
    for path in outfit.glob("images/*/*.jpg"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    for path in outfit.glob("fmask/*/*.png"):
        Image.open(path).save(path.with_suffix(".jpg"), quality=95)
        path.unlink()
    after = only(outfit, body)
    assert (after.frames, after.camera_names) == (before.frames, before.camera_names)
    assert after.images.path(0, 0).name == "0005_img.png"
    assert silhouette_overlaps(after, body).min() > 0.9


def test_small_images_are_preferred(outfit, body) -> None:
    shutil.copytree(outfit / "images_lr", outfit / "images")
    shutil.copytree(outfit / "fmask_lr", outfit / "fmask")
    assert only(outfit, body).images.folders[0].parent == outfit / "images_lr"
    shutil.rmtree(outfit / "fmask_lr")
    assert only(outfit, body).images.folders[0].parent == outfit / "images"


@pytest.mark.parametrize(
    ("name", "camera", "kept"),
    [
        ("100065", "CC32871A041", True),
        ("100066", "CC32871A041", False),
        ("100831_2", "CC32871A041", False),
        ("100831", "CC32871A040", True),
        ("anna", "CC32871A041", True),
    ],
)
def test_camera_41_is_left_out_from_where_it_moved(outfit, body, name, camera, kept) -> None:
    rename_camera(outfit, "CC32871A005", camera)
    capture = only(outfit.rename(outfit.with_name(name)), body)
    assert (camera in capture.camera_names) == kept
    told = "1 camera left out: the data set's extrinsics of camera 41 are wrong from outfit 100066 on (CC32871A041)"
    assert (told in reasons(capture)) != kept
    assert len(capture.camera_names) == VIEWS - (not kept)


def test_cameras_without_images_or_extrinsics_are_left_out(outfit, body) -> None:
    shutil.rmtree(outfit / "images_lr/CC32871A004")
    shutil.rmtree(outfit / "fmask_lr/CC32871A005")
    change_json(outfit / "camera_extrinsics.json", lambda content: content.pop("1_CC32871A006.png") and None)
    capture = only(outfit, body)
    assert capture.camera_names == ("CC32871A007", "CC32871A008", "CC32871A009")
    assert reasons(capture)[:3] == [
        "1 camera left out: no entry in camera_extrinsics.json (CC32871A006)",
        "1 camera left out: no images (CC32871A004)",
        "1 camera left out: no masks (CC32871A005)",
    ]


@pytest.mark.parametrize("kind", ["smpl", "smplx"])
def test_a_frame_between_ticks_gets_no_other_frames_pose(outfit, body, smplx_body, kind) -> None:
    for place, tail in (("images_lr", "_img.jpg"), ("fmask_lr", "_img_fmask.png")):
        for camera in (outfit / place).iterdir():
            shutil.copy(camera / f"0010{tail}", camera / f"0012{tail}")
    capture = only(outfit, body if kind == "smpl" else smplx_body)
    assert 12 not in capture.frames
    missing = "12, 15" if kind == "smpl" else "12, 25"
    assert reasons(capture) == [f"2 frames left out: no pose ({missing})"]


def test_rotations_may_lie_in_two_keys_and_in_arrays(outfit, body) -> None:
    before = only(outfit, body).poses
    for path in (outfit / "smpl_param").iterdir():
        change_smpl(path, full_pose=None, betas=torch.Tensor.numpy, body_pose=torch.Tensor.numpy)
    after = only(outfit, body).poses
    for name in ("betas", "global_orient", "body_pose", "transl"):
        assert torch.equal(getattr(before, name), getattr(after, name))


@pytest.mark.parametrize(("step", "told"), [(0.05, False), (0.4, True)])
@pytest.mark.parametrize("kind", ["smpl", "smplx"])
def test_betas_are_the_median_of_all_frames(outfit, body, smplx_body, caplog, kind, step, told) -> None:
    expected = only(outfit, body).poses.betas
    change_smpl(outfit / "smpl_param/000003.pkl", betas=lambda value: value + step)
    change_smplx(outfit / "smplx/smpl/000003.json", shapes=lambda value: [[number + step for number in value[0]]])
    with caplog.at_level(logging.WARNING, "hgg_pyg"):
        capture = only(outfit, body if kind == "smpl" else smplx_body)
    torch.testing.assert_close(capture.poses.betas, expected)
    assert len(caplog.records) == told
    if told:
        assert re.search(rf"{kind}.*: betas differ between frames, by up to 0\.4 from", caplog.text)


def nan_at(value: torch.Tensor, place: int) -> torch.Tensor:
    value = value.clone()
    value.view(-1)[place] = float("nan")
    return value


DAMAGES: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "cut": (
        "smpl",
        lambda p: p.write_bytes(p.read_bytes()[:3000]),
        "expected a dictionary of SMPL parameters, found som",
    ),
    "empty": (
        "smpl",
        lambda p: p.write_bytes(b""),
        "expected a dictionary of SMPL parameters, found something unreadable",
    ),
    "a list": (
        "smpl",
        lambda p: p.write_bytes(pickle.dumps([1])),
        "expected a dictionary of SMPL parameters, found list",
    ),
    "no betas": ("smpl", lambda p: change_smpl(p, betas=None), "key 'betas' is missing; found body_pose, faces, full"),
    "no joints": ("smpl", lambda p: change_smpl(p, joints=None), "key 'joints' is missing"),
    "no pose": ("smpl", lambda p: change_smpl(p, full_pose=None, body_pose=None), "key 'body_pose' is missing"),
    "axis-angle": (
        "smpl",
        lambda p: change_smpl(p, full_pose=torch.zeros(1, 72)),
        r"key 'full_pose': expected shape \(1, 24, 3, 3\), found \(1, 72\)",
    ),
    "joints of two": (
        "smpl",
        lambda p: change_smpl(p, joints=lambda v: v.repeat(2, 1, 1)),
        r"key 'joints': expected shape \(1, 45, 3\), found \(2, 45, 3\)",
    ),
    "betas twice": (
        "smpl",
        lambda p: change_smpl(p, betas=torch.zeros(2, 10)),
        r"key 'betas': expected shape \(1, 10\), found \(2, 10\)",
    ),
    "betas none": (
        "smpl",
        lambda p: change_smpl(p, betas=lambda v: None),
        r"key 'betas': expected shape \(1, 10\), found None",
    ),
    "pose nan": (
        "smpl",
        lambda p: change_smpl(p, full_pose=lambda v: nan_at(v, 40)),
        "key 'full_pose': expected finite numbers, found NaN or Inf",
    ),
    "joints nan": (
        "smpl",
        lambda p: change_smpl(p, joints=lambda v: nan_at(v, 1)),
        "key 'joints': expected finite numbers",
    ),
    "no rotation": (
        "smpl",
        lambda p: change_smpl(p, full_pose=lambda v: v * 1.2),
        "key 'full_pose': expected rotation matrices .*, found R R.T off by 0.44",
    ),
    "mirrored": (
        "smpl",
        lambda p: change_smpl(p, full_pose=lambda v: v * torch.tensor([1.0, 1, -1])),
        "key 'full_pose': expected rotation matrices .* determinants from -1 on",
    ),
    "not json": ("smplx", lambda p: p.write_text("[{"), "expected a list of one person, found what is not JSON"),
    "86 values": (
        "smplx",
        lambda p: change_smplx(p, poses=lambda v: [v[0][:-1]]),
        "key 'poses': expected 87 numbers, or 84 without the root's, found 86",
    ),
    "two persons": (
        "smplx",
        lambda p: change_json(p, lambda v: v * 2),
        "expected a list of one person, found a list of 2",
    ),
    "nobody": ("smplx", lambda p: p.write_text("[]"), "expected a list of one person, found a list of 0"),
    "no list": ("smplx", lambda p: change_json(p, lambda v: v[0]), "expected a list of one person, found {'id': 0"),
    "no Th": (
        "smplx",
        lambda p: change_json(p, lambda v: v[0].pop("Th") and None),
        "key 'Th' is missing; found Rh, expr",
    ),
    "Rh of 4": ("smplx", lambda p: change_smplx(p, Rh=lambda v: [[*v[0], 1]]), "key 'Rh': expected 3 numbers, found 4"),
    "poses nan": (
        "smplx",
        lambda p: change_smplx(p, poses=lambda v: [[float("nan"), *v[0][1:]]]),
        "key 'poses': expected finite numbers, found NaN or Inf",
    ),
    "text": (
        "smplx",
        lambda p: change_smplx(p, shapes=lambda v: ["thin"] * 10),
        "key 'shapes': expected numbers, found",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_poses_are_left_out_with_their_reason(outfit, body, smplx_body, damage) -> None:
    kind, spoil, message = DAMAGES[damage]
    folder, suffix = ("smpl_param", "pkl") if kind == "smpl" else ("smplx/smpl", "json")
    chosen = body if kind == "smpl" else smplx_body
    whole = only(outfit, chosen)
    for number in (1, 3):
        spoil(outfit / folder / f"{number:06d}.{suffix}")
    capture = only(outfit, chosen)
    assert capture.frames == ((5, 25) if kind == "smpl" else (5, 15))
    kept = [whole.frames.index(number) for number in capture.frames]
    torch.testing.assert_close(capture.poses.body_pose, whole.poses.body_pose[kept])
    first, second = capture.left_out
    assert first.names == ("10", "20")
    assert re.match(f"{folder}/000001.{suffix}: {message}", first.reason), first.reason
    assert "\n" not in first.reason
    assert str(second) == f"1 frame left out: no pose ({15 if kind == 'smpl' else 25})"
    broken = (outfit / folder / f"000001.{suffix}").read_bytes()
    for path in (outfit / folder).iterdir():
        path.write_bytes(broken)
    with pytest.raises(UserError, match=rf"100001/{folder}/000000\.{suffix}: .*; none of the 4 files can be used"):
        only(outfit, chosen)


class Intruder:
    """When it is unpickled by a reader that lets it, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def test_pickles_that_run_code_are_refused(outfit, body, tmp_path) -> None:
    mark = tmp_path / "ran"
    path = outfit / "smpl_param/000001.pkl"
    change_smpl(path, faces=Intruder(mark))
    capture = only(outfit, body)
    assert "smpl_param/000001.pkl: refused: posix.system is not something" in capture.left_out[0].reason
    (outfit / "camera_scale.pkl").write_bytes(pickle.dumps(Intruder(mark)))
    with pytest.raises(UserError, match=r"camera_scale\.pkl: refused: posix\.system is not something"):
        only(outfit, body)
    assert not mark.exists()


def set_scale(outfit: Path, value: Any) -> None:
    (outfit / "camera_scale.pkl").write_bytes(pickle.dumps(value))


def set_intrinsics(outfit: Path, **changes: Any) -> None:
    change_json(outfit / "camera_intrinsics.json", lambda content: content.update(changes))


def rename_key(outfit: Path, new: str) -> None:
    change_json(
        outfit / "camera_extrinsics.json", lambda c: {k if i != 1 else new: v for i, (k, v) in enumerate(c.items())}
    )


def copy_camera(outfit: Path) -> None:
    content = json.loads((outfit / "camera_extrinsics.json").read_text())
    change_camera(outfit, **{key: next(iter(content.values()))[key] for key in ("rotation", "translation")})


def resize(path: Path, size: tuple[int, int]) -> None:
    Image.open(path).resize(size).save(path)


def empty(*folders: Path) -> None:
    for folder in folders:
        for path in folder.rglob("0*.*"):
            path.unlink()


K_HALF = [[1980, 0, 1024], [0, 1980, 750], [0, 0, 1]]
K_SKEW = [[1980, 9, 2048], [0, 1980, 1500], [0, 0, 1]]
EXTRINSICS = "camera_extrinsics.json: camera '1_CC32871A005.png':"
ERRORS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no scale": (lambda o: (o / "camera_scale.pkl").unlink(), "camera_scale.pkl: expected one number, .*No such file"),
    "scale a list": (
        lambda o: set_scale(o, [1.8]),
        r"camera_scale.pkl: expected one positive float, .*, found \[1.8\]",
    ),
    "scale text": (lambda o: set_scale(o, "1.8"), "camera_scale.pkl: expected one positive float, .*, found 1.8"),
    "scale an array": (lambda o: set_scale(o, np.float64(1.8)), r"camera_scale.pkl: refused: numpy.* is not something"),
    "scale negative": (lambda o: set_scale(o, -1.8), "camera_scale.pkl: expected one positive float, .*, found -1.8"),
    "scale nan": (lambda o: set_scale(o, float("nan")), "camera_scale.pkl: expected one positive float, .*, found nan"),
    "no intrinsics": (
        lambda o: (o / "camera_intrinsics.json").unlink(),
        "_intrinsics.json: .* found nothing to read",
    ),
    "intrinsics a list": (
        lambda o: (o / "camera_intrinsics.json").write_text("[]"),
        "expected {intrinsics, dist}, found",
    ),
    "no K": (
        lambda o: change_json(o / "camera_intrinsics.json", lambda c: c.pop("intrinsics") and None),
        "camera_intrinsics.json: key 'intrinsics' is missing; found dist",
    ),
    "K size": (lambda o: set_intrinsics(o, intrinsics=[1, 2]), "'intrinsics': expected 9 numbers, found 2"),
    "K skew": (lambda o: set_intrinsics(o, intrinsics=K_SKEW), r"key 'intrinsics': expected \[\[fx,0"),
    "K of small images": (
        lambda o: set_intrinsics(o, intrinsics=K_HALF),
        "key 'intrinsics': expected K for the 4096x3000 pixels .* near 2048, 1500, found 1024, 750",
    ),
    "eight coefficients": (
        lambda o: set_intrinsics(o, dist=[0.1] * 8),
        "camera_intrinsics.json: .*found 8 coefficients",
    ),
    "no extrinsics": (
        lambda o: (o / "camera_extrinsics.json").unlink(),
        "_extrinsics.json: .* found nothing to read",
    ),
    "extrinsics cut": (
        lambda o: (o / "camera_extrinsics.json").write_text("{'"),
        "_extrinsics.json: .* not JSON",
    ),
    "extrinsics empty": (
        lambda o: (o / "camera_extrinsics.json").write_text("{}"),
        "expected {camera: {rotation, .*}}",
    ),
    "camera a list": (
        lambda o: change_json(o / "camera_extrinsics.json", lambda c: {k: [] for k in c}),
        "004.png': expected {rotation, translation}, found",
    ),
    "no rotation": (
        lambda o: change_camera(o, rotation=None),
        f"{EXTRINSICS} key 'rotation' is missing; found camera_pos",
    ),
    "no translation": (lambda o: change_camera(o, translation=None), f"{EXTRINSICS} key 'translation' is missing"),
    "rotation size": (
        lambda o: change_camera(o, rotation=[1]),
        f"{EXTRINSICS} key 'rotation': expected 9 numbers, found 1",
    ),
    "rotation scaled": (
        lambda o: change_camera(o, rotation=(np.eye(3) * 1.1).tolist()),
        f"{EXTRINSICS} key 'rotation': expected a rotation .* found R R.T off by 0.21",
    ),
    "translation nan": (
        lambda o: change_camera(o, translation=[float("nan")] * 3),
        f"{EXTRINSICS} key 'translation': expected finite numbers, found NaN or Inf",
    ),
    "long key": (lambda o: rename_key(o, "x" * 5000), "expected keys of at most 255 characters, found one of 5000"),
    "key": (lambda o: rename_key(o, "front.png"), "key 'front.png': expected 1_<camera>.png, 0_0_<camera>.png or"),
    "twice": (
        lambda o: rename_key(o, "0_CC32871A004.png"),
        "expected every camera once, found '1_CC32871A004.png' and '0_CC32871A004.png'",
    ),
    "twins": (copy_camera, f"{EXTRINSICS} expected a place of its own, found R and T of camera 'CC32871A004'"),
    "both rigs": (
        lambda o: rename_key(o, "0_0_22327091.png"),
        "expected cameras of one rig, .* found CC32871A009 and 22327091",
    ),
    "no rig": (lambda o: rename_key(o, "1_cam5.png"), "cameras of one rig, .* like CC32871A004 .*, found cam5"),
    "no poses": (
        lambda o: empty(o / "smpl_param", o / "smplx"),
        "100001: expected poses in smpl_param/000000.pkl or smplx/smpl/000000.json, found neither",
    ),
    "poses of other frames": (
        lambda o: [p.rename(p.with_name(f"9{p.name[1:]}")) for p in (o / "smpl_param").iterdir()],
        "smpl_param: expected a file for at least one of the 5 frames with images, .* found none",
    ),
    "no masks": (lambda o: empty(o / "fmask_lr"), "expected at least one camera with images and masks, found none: "),
    "no frame is whole": (
        lambda o: [
            (o / f"images_lr/CC32871A00{frame + 4}/{5 * (frame + 1):04d}_img.jpg").unlink() for frame in range(FRAMES)
        ],
        "expected at least one frame with a pose, all images and masks, found none: ",
    ),
    "mask size": (
        lambda o: resize(o / "fmask_lr/CC32871A006/0005_img_fmask.png", (66, 48)),
        "CC32871A006/0005_img_fmask.png: expected 131x96 pixels like its image, found 66x48",
    ),
    "image size": (
        lambda o: resize(o / "images_lr/CC32871A006/0005_img.jpg", (66, 48)),
        "CC32871A006/0005_img.jpg: expected 131x96 pixels like .*, found 66x48",
    ),
    "cropped": (
        lambda o: [resize(p, (96, 96)) for p in [*o.glob("images_lr/*/*"), *o.glob("fmask_lr/*/*")]],
        "calibrated for 4096x3000 pixels; expected images of that shape, found 96x96",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_every_mistake_has_one_clear_line(outfit, body, case) -> None:
    spoil, message = ERRORS[case]
    spoil(outfit)
    with pytest.raises(UserError) as caught:
        only(outfit, body)
    text = str(caught.value)
    assert "\n" not in text
    assert str(outfit) in text
    assert re.search(message, text), text


def test_a_truncated_image_names_itself_when_read(outfit, body) -> None:
    path = outfit / "images_lr/CC32871A006/0010_img.jpg"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    capture = only(outfit, body)
    with pytest.raises(UserError, match=r"CC32871A006/0010_img\.jpg"):
        capture.image(1, 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read(outfit, body) -> None:
    (outfit / "images_lr").chmod(0)
    try:
        with pytest.raises(UserError, match=r"images_lr.*: expected a folder that can be read"):
            only(outfit, body)
    finally:
        (outfit / "images_lr").chmod(0o755)


def test_digest_follows_poses_and_scale(outfit, body, smplx_body) -> None:
    seen = [only(outfit, body).digest, only(outfit, smplx_body).digest]
    change_smpl(outfit / "smpl_param/000001.pkl", joints=lambda value: value + 1e-4)
    seen.append(only(outfit, body).digest)
    set_scale(outfit, 1.8)
    seen.append(only(outfit, body).digest)
    assert len(set(seen)) == len(seen)
    assert only(outfit, body).digest == seen[-1]


@pytest.mark.parametrize("kind", ["smpl", "smplx"])
def test_coordinates_of_a_map(outfit, body, smplx_body, kind) -> None:
    """The body is seen where it is seen at the origin, to a tenth of a millimetre."""
    chosen = body if kind == "smpl" else smplx_body
    before = only(outfit, chosen)
    middle = np.array([4_210_034.0, 172_000.5, 4_780_000.25])
    scale = pickle.loads((outfit / "camera_scale.pkl").read_bytes())

    def move(cameras: dict[str, Any]) -> None:
        for camera in cameras.values():
            shift = np.array(camera["rotation"]) @ middle
            camera["translation"] = (np.array(camera["translation"]) - 1000 / scale * shift).tolist()

    change_json(outfit / "camera_extrinsics.json", move)
    for path in (outfit / "smpl_param").iterdir():
        change_smpl(path, joints=lambda joints: joints.double() + torch.tensor(middle))
    for path in (outfit / "smplx" / "smpl").iterdir():
        change_smplx(path, Th=lambda Th: (np.array(Th) + middle).tolist())
    np.testing.assert_allclose(in_cameras(only(outfit, chosen), chosen), in_cameras(before, chosen), atol=1e-4)


def test_poses_without_the_root_and_more_betas(outfit, body, smplx_body) -> None:
    before = only(outfit, body), only(outfit, smplx_body)
    (outfit / "body.txt").unlink()
    for path in (outfit / "smpl_param").iterdir():
        change_smpl(path, betas=lambda betas: torch.cat([betas, torch.zeros(1, 6)], 1))
    for path in (outfit / "smplx" / "smpl").iterdir():
        assert not any(json.loads(path.read_text())[0]["poses"][0][:3])
        change_smplx(path, poses=lambda poses: [poses[0][3:]], shapes=lambda shapes: [shapes[0] + [0.0] * 290])
    for chosen, capture in zip((body, smplx_body), before, strict=True):
        after = only(outfit, chosen)
        for name in ("betas", "global_orient", "body_pose", "transl"):
            assert torch.equal(getattr(after.poses, name), getattr(capture.poses, name)), name


def test_files_that_disagree_on_the_number_of_betas(outfit, body) -> None:
    change_smpl(outfit / "smpl_param" / "000003.pkl", betas=torch.zeros(1, 16))
    assert reasons(only(outfit, body))[0] == (
        "1 frame left out: smpl_param/000003.pkl: expected as many betas as in the files before, found 16 (20)"
    )
