"""ZJU-MoCap: cameras, lenses, masks and EasyMocap's poses come out in our conventions; one line for each mistake."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.data import open_captures
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import load_body_for
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import write_subject as write_synthetic
from hgg_pyg.synthetic.optics import undistort
from hgg_pyg.types import BodyPose, UserError
from tests.silhouettes import in_cameras, silhouette_overlaps

FRAMES, WIDTH, HEIGHT = 4, 48, 64
CAMERAS = ("Camera_B2", "Camera_B10", "Camera_B1")  # not in the order of their names
K = np.array([[52.0, 0, 23.4], [0, 53.0, 32.9], [0, 0, 1]])
D = np.array([-0.24, 0.09, 2e-3, -1e-3, -0.02])  # as a lens that bends several pixels, so small an image
ROTATIONS = Rotation.from_euler("y", [[0.2], [1.9], [4.0]]) * Rotation.from_euler("x", np.pi / 2)
SHIFTS = np.array([[0.1, 0.9, 3.0], [0, 1.0, 3.1], [-0.2, 0.8, 2.9]])


def write_subject(folder: Path, name: str = "{frame:06d}.jpg", first: int = 0) -> Path:
    """Three cameras with one lens; what it shows is known everywhere, see `colour` and `covered`."""
    y, x = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    places = undistort(np.stack([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1]], -1).reshape(-1, 2), D)
    u, v = (places * K[[0, 1], [0, 1]] + K[:2, 2]).T.reshape(2, HEIGHT, WIDTH)
    for camera in CAMERAS:
        (folder / camera).mkdir(parents=True)
        (folder / "mask_cihp" / camera).mkdir(parents=True)
        for frame in range(FRAMES):
            path = Path(camera) / name.format(frame=frame + first, camera=camera)
            Image.fromarray((colour(u, v) * 255).round().astype(np.uint8)).save(
                folder / path, quality=100, subsampling=0
            )
            labels = np.where(covered(u, v), 1 + (v // 10).astype(int) % 19, 0).astype(np.uint8)
            Image.fromarray(labels).save((folder / "mask_cihp" / path).with_suffix(".png"))
    cams: dict[str, Any] = {"K": [K] * 3, "D": [D[:, None]] * 3, "R": list(ROTATIONS.as_matrix())}
    cams["T"] = list(SHIFTS[..., None] * 1000)
    ims = [{"ims": [f"{c}/{name.format(frame=frame + first, camera=c)}" for c in CAMERAS]} for frame in range(FRAMES)]
    save(folder / "annots.npy", {"cams": cams, "ims": ims})
    rng = np.random.default_rng(5)
    (folder / "params").mkdir()
    for frame in range(FRAMES):
        save(
            folder / "params" / f"{frame + first}.npy",
            {
                "poses": np.r_[[0.0] * 3, rng.normal(0, 0.3, 69)][None].astype(np.float32),
                "Rh": rng.normal(0, 1, (1, 3)).astype(np.float32),
                "Th": rng.normal(0, 1, (1, 3)).astype(np.float32),
                "shapes": np.linspace(-1, 1, 10)[None].astype(np.float32) + 0.01 * frame,
            },
        )
    (folder / "body.txt").write_text("open\n")
    return folder


def colour(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """What a camera without distortion would show at pixels (u, v): slow waves, in every direction."""
    return 0.5 + 0.4 * np.stack([np.sin(u / 5), np.sin(v / 6), np.cos((u + v) / 7)], -1)


def covered(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return ((u - 24) / 18) ** 2 + ((v - 32) / 27) ** 2 < 1


def save(path: Path, content: Any) -> None:
    np.save(path, np.array(content, dtype=object), allow_pickle=True)


def load(path: Path) -> Any:
    return np.load(path, allow_pickle=True).item()


def change(path: Path, edit: Callable[[Any], Any]) -> None:
    content = load(path)
    edit(content)
    save(path, content)


def open_one(folder: Path, body: BodyModel) -> Capture:
    return open_captures(folder, body=body).train[0]


@pytest.fixture
def subject(tmp_path: Path) -> Path:
    return write_subject(tmp_path / "CoreView_390")


def test_cameras_masks_and_frames(subject, body):
    capture = open_one(subject, body)
    assert capture.layout == "ZJU-MoCap"
    assert capture.camera_names == ("Camera_B1", "Camera_B10", "Camera_B2")
    assert capture.frames == (0, 1, 2, 3)
    assert capture.left_out == ()
    np.testing.assert_allclose(capture.cameras.viewmats[:, :3, :3], ROTATIONS.as_matrix()[::-1], atol=1e-6)
    np.testing.assert_allclose(capture.cameras.viewmats[:, :3, 3], SHIFTS[::-1], atol=1e-6)
    np.testing.assert_allclose(capture.cameras.Ks, np.tile(K, (3, 1, 1)), rtol=1e-6)
    assert capture.lenses is not None
    np.testing.assert_array_equal(capture.lenses[2].distortion, D)
    assert capture.images.path(3, 1) == subject / "Camera_B10" / "000003.jpg"
    assert capture.masks.path(3, 1) == subject / "mask_cihp" / "Camera_B10" / "000003.png"
    assert capture.masks.labels
    np.testing.assert_allclose(capture.poses.betas, np.linspace(-1, 1, 10) + 0.015, atol=1e-6)


@pytest.mark.parametrize(
    "name", ["CoreView_313_{camera}_{frame:04d}_2019-08-23_16-08-50.592.jpg", "{frame:04d}_2019-08-23_16-09-08.234.jpg"]
)
def test_dated_names_count_from_one(tmp_path, body, name):
    """Subjects 313 and 315: the number stands before the date, and is that of the parameters."""
    plain = open_one(write_subject(tmp_path / "plain"), body)
    dated = open_one(write_subject(tmp_path / "CoreView_313", name, first=1), body)
    assert dated.frames == plain.frames
    assert dated.images.path(1, 2).name == name.format(camera="Camera_B2", frame=2)
    assert torch.equal(dated.poses.transl, plain.poses.transl)
    np.testing.assert_array_equal(dated.mask(2, 1), plain.mask(2, 1))


@pytest.mark.parametrize("root", [0.0, 0.8])
def test_poses_are_easymocaps(subject, body, root):
    """V = R(Rh) LBS(poses, shapes) + Th, with any rotation of the root inside LBS."""
    for path in (subject / "params").iterdir():
        change(path, lambda person: person["poses"].__setitem__((0, slice(0, 3)), [root, -root, 0.3 * root]))
    capture = open_one(subject, body)
    posed = body.pose(capture.poses).vertices
    for frame in range(FRAMES):
        person = load(subject / "params" / f"{frame}.npy")
        poses = torch.from_numpy(person["poses"])
        unplaced = BodyPose(capture.poses.betas, poses[:, :3], poses[:, 3:], torch.zeros(1, 3))
        vertices = body.pose(unplaced).vertices[0].double().numpy()
        expected = vertices @ Rotation.from_rotvec(person["Rh"][0]).as_matrix().T + person["Th"]
        np.testing.assert_allclose(posed[frame], expected, atol=2e-6)


def test_images_and_masks_are_undistorted(subject, body):
    """What is read is what a camera with K alone sees; without the lens it would be another image."""
    capture = open_one(subject, body)
    y, x = np.mgrid[0.5:HEIGHT, 0.5:WIDTH]
    # A barrel lens sees farther than the undistorted image reaches, so all of it is known.
    read, shown = capture.image(1, 0), colour(x, y)
    as_filed = replace(capture, lenses=None).image(1, 0)
    assert np.abs(read - shown).max() < 0.025
    assert np.abs(as_filed - shown).max() > 0.2
    mask = capture.mask(1, 0)
    assert (mask.min(), mask.max()) == (0, 1)  # whatever the label
    assert np.mean((mask > 0.5) != covered(x, y)) < 0.012
    assert np.mean((replace(capture, lenses=None).mask(1, 0) > 0.5) != covered(x, y)) > 0.03


def test_what_is_missing_is_left_out_with_reasons(subject, body):
    (subject / "Camera_B2" / "000000.jpg").unlink()
    (subject / "mask_cihp" / "Camera_B1" / "000001.png").unlink()
    (subject / "params" / "2.npy").unlink()
    capture = open_one(subject, body)
    assert capture.frames == (3,)
    reasons = {item.reason: item.names for item in capture.left_out}
    assert reasons == {"an image is missing": ("0",), "a mask is missing": ("1",), "no pose": ("2",)}


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (
            lambda p: p.update(poses=p["poses"][:, :71]),
            "key 'poses': expected 72 numbers, or 69 without the root's, found 71",
        ),
        (lambda p: p["Rh"].fill(np.nan), "key 'Rh': expected finite numbers, found NaN or Inf"),
        (lambda p: p.pop("Th"), "key 'Th' is missing; found Rh, poses, shapes"),
        (lambda p: p.update(shapes=p["shapes"][:, :8]), "key 'shapes': expected 10 numbers, found 8"),
    ],
    ids=["short", "nan", "missing", "shapes"],
)
def test_damaged_parameters_are_left_out_with_their_reason(subject, body, edit, reason):
    for number in (1, 3):
        change(subject / "params" / f"{number}.npy", edit)
    capture = open_one(subject, body)
    assert capture.frames == (0, 2)
    (item,) = capture.left_out
    assert item.names == ("1", "3")
    assert item.reason == f"{subject / 'params' / '1.npy'}: {reason}"


def test_no_parameters_that_can_be_read(subject, body):
    for path in (subject / "params").iterdir():
        change(path, lambda person: person.pop("poses"))
    with pytest.raises(UserError, match=r"params/0\.npy: key 'poses' is missing"):
        open_one(subject, body)
    for path in (subject / "params").iterdir():
        path.unlink()
    with pytest.raises(UserError, match=r"params: expected a file for each frame, such as 0\.npy, 1\.npy, 2\.npy"):
        open_one(subject, body)


def test_names_without_one_number_are_left_out(subject, body):
    for camera in CAMERAS:
        (subject / camera / "000001.jpg").rename(subject / camera / "still.jpg")
    rows = load(subject / "annots.npy")
    rows["ims"][1] = {"ims": [f"{camera}/still.jpg" for camera in CAMERAS]}
    rows["ims"][2]["ims"][1] = "Camera_B10/000003.jpg"  # one frame with images of two moments
    save(subject / "annots.npy", rows)
    capture = open_one(subject, body)
    assert capture.frames == (0, 3)
    assert [(item.names, item.reason) for item in capture.left_out] == [
        (("1", "2"), "the names of its images state no number, or several")
    ]

    rows["ims"] = rows["ims"][1:2]
    save(subject / "annots.npy", rows)
    with pytest.raises(
        UserError, match=r"annots\.npy: key 'ims': expected names with the number of .* found still.jpg"
    ):
        open_one(subject, body)


def test_none_of_the_images_is_there(subject, body):
    for camera in CAMERAS:
        (subject / camera).rename(subject / f"old_{camera}")
    with pytest.raises(UserError, match=r"'ims': expected images such as Camera_B2/000000\.jpg, found none of them"):
        open_one(subject, body)


def test_new_params_are_preferred_and_mask_is_accepted(subject, body):
    (subject / "mask_cihp").rename(subject / "mask")
    before = open_one(subject, body)
    assert before.masks.path(0, 0) == subject / "mask" / "Camera_B1" / "000000.png"
    (subject / "new_params").mkdir()
    for path in (subject / "params").iterdir():
        person = load(path)
        save(subject / "new_params" / path.name, person | {"Th": person["Th"] + 1})
    torch.testing.assert_close(open_one(subject, body).poses.transl, before.poses.transl + 1)


def test_shapes_that_differ_are_said_once(subject, body, caplog):
    change(subject / "params" / "3.npy", lambda person: person["shapes"].__iadd__(2))
    with caplog.at_level(logging.WARNING, "hgg_pyg"):
        capture = open_one(subject, body)
    np.testing.assert_allclose(capture.poses.betas, np.linspace(-1, 1, 10) + 0.015, atol=1e-6)
    (record,) = caplog.records
    assert "betas differ between frames, by up to 2" in record.getMessage()


def test_digest_knows_files_lenses_and_poses(subject, body):
    digests = {open_one(subject, body).digest}
    os.utime(subject / "mask_cihp" / "Camera_B1" / "000002.png", ns=(1, 1))
    digests.add(open_one(subject, body).digest)
    change(subject / "annots.npy", lambda content: content["cams"].update(D=[D * 0.9] * 3))
    digests.add(open_one(subject, body).digest)
    change(subject / "params" / "0.npy", lambda person: person["poses"].__setitem__((0, 5), 0.5))
    digests.add(open_one(subject, body).digest)
    assert len(digests) == 4


def _cams(key: str, camera: int, value: Any) -> Callable[[Any], Any]:
    def edit(content: Any) -> None:
        content["cams"][key][camera] = value

    return edit


def _paths(frame: int, paths: list[str]) -> Callable[[Any], Any]:
    return lambda content: content["ims"].__setitem__(frame, {"ims": paths})


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no cams": (lambda c: c.pop("cams"), "key 'cams' is missing; found ims"),
    "no ims": (lambda c: c.pop("ims"), "key 'ims' is missing; found cams"),
    "no frames": (lambda c: c.update(ims=[]), r"key 'ims': expected a list with an entry for each frame, found \[\]"),
    "odd entry": (lambda c: c["ims"].__setitem__(2, "x.jpg"), r"'ims', entry 2: expected \{'ims': .*, found x.jpg"),
    "odd cams": (lambda c: c.update(cams=[1]), r"key 'cams': expected \{K, D, R, T\}, found \[1\]"),
    "odd column": (lambda c: c["cams"].update(K=3), "key 'cams': key 'K': expected a list .* found 3"),
    "no K": (lambda c: c["cams"].pop("K"), "key 'cams': key 'K' is missing; found D, R, T"),
    "camera without K": (lambda c: c["cams"]["K"].pop(), "key 'cams': key 'K': expected 3, one per camera .* found 2"),
    "K of 8": (_cams("K", 1, [1.0] * 8), "camera 'Camera_B10': key 'K': expected 9 numbers, found 8"),
    "R no rotation": (_cams("R", 2, 2 * np.eye(3)), "camera 'Camera_B1': key 'R': expected a rotation .* found R R"),
    "T with NaN": (_cams("T", 0, [np.nan] * 3), "camera 'Camera_B2': key 'T': expected finite numbers, found NaN"),
    "D of 3": (_cams("D", 0, [0.1] * 3), "camera 'Camera_B2': key 'D': expected the 5 numbers k1 .* found 3"),
    "D no numbers": (_cams("D", 0, "none"), "camera 'Camera_B2': key 'D': expected numbers, found none"),
    "twin places": (
        lambda c: [c["cams"][key].__setitem__(2, c["cams"][key][0]) for key in "RT"],
        "camera 'Camera_B2': expected a place of its own, found R and T of camera 'Camera_B1'",
    ),
    "twin folders": (
        _paths(0, ["Camera_B1/0.jpg", "Camera_B2/0.jpg", "Camera_B1/0.jpg"]),
        "entry 0: expected a folder of its own for each camera, found 'Camera_B1' twice",
    ),
    "outside": (_paths(0, ["../a/0.jpg", "b/0.jpg"]), r"entry 0: expected a camera's name .* within .* found '\.\./a'"),
    "no folder": (_paths(0, ["0.jpg"]), "entry 0: expected a camera's name that .* found ''"),
    "one camera less": (
        _paths(2, ["Camera_B2/2.jpg", "Camera_B10/2.jpg"]),
        "entry 2: expected the 3 camera folders of entry 0 in their order, found 2 paths",
    ),
    "another order": (
        _paths(3, ["Camera_B10/3.jpg", "Camera_B2/3.jpg", "Camera_B1/3.jpg"]),
        "entry 3: expected the 3 camera folders of entry 0 in their order, found Camera_B10/",
    ),
}


@pytest.mark.parametrize("mistake", list(BROKEN))
def test_mistakes_in_annots_are_one_line(subject, body, mistake):
    edit, message = BROKEN[mistake]
    change(subject / "annots.npy", edit)
    with pytest.raises(UserError, match=message) as caught:
        open_one(subject, body)
    assert str(caught.value).startswith(f"{subject / 'annots.npy'}: ")
    assert "\n" not in str(caught.value)


def test_annots_of_another_kind(subject, body):
    path = subject / "annots.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(UserError, match=r"annots\.npy: expected a dictionary with cams and ims, .* found an array of"):
        open_one(subject, body)
    save(path, [1, 2])
    with pytest.raises(UserError, match=r"annots\.npy: expected a dictionary"):
        open_one(subject, body)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"annots\.npy: expected a dictionary .* unreadable"):
        open_one(subject, body)


class _Runs:
    """Pickles as a call of os.system."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_pickles_that_run_code_are_refused(subject, body, tmp_path):
    proof = tmp_path / "ran"
    params = subject / "params" / "1.npy"
    change(params, lambda person: person.update(Th=_Runs(f"touch {proof}")))
    capture = open_one(subject, body)
    assert capture.frames == (0, 2, 3)
    (item,) = capture.left_out
    assert item.names == ("1",)
    assert re.search(rf"^{re.escape(str(params))}: refused: (posix|os|nt)\.system is not something", item.reason)
    change(subject / "annots.npy", lambda content: content.update(cams=_Runs(f"touch {proof}")))
    with pytest.raises(UserError, match=r"annots\.npy: refused: \w+\.system is not something"):
        open_one(subject, body)
    assert not proof.exists()


def test_broken_images_are_told_when_they_are_read(subject, body):
    image, mask = subject / "Camera_B1" / "000001.jpg", subject / "mask_cihp" / "Camera_B1" / "000002.png"
    image.write_bytes(image.read_bytes()[:-400])
    Image.new("L", (WIDTH, HEIGHT // 2), 3).save(mask)
    capture = open_one(subject, body)
    with pytest.raises(UserError, match=rf"{re.escape(str(image))}: cannot read this image"):
        capture.image(1, 0)
    with pytest.raises(UserError, match=rf"{re.escape(str(mask))}: expected 48x64 pixels, found 48x32"):
        capture.mask(2, 0)


def test_no_usable_frame(subject, body):
    for frame, camera in enumerate((*CAMERAS, CAMERAS[0])):
        (subject / camera / f"{frame:06d}.jpg").unlink()
    with pytest.raises(UserError, match="at least one frame with a pose, all images and masks, found none") as caught:
        open_one(subject, body)
    assert "4 frames left out: an image is missing (0, 1, 2, ...)" in str(caught.value)


@pytest.fixture(scope="module", params=["zju_mocap", "zju_mocap_313"])
def synthetic(request, tmp_path_factory, body) -> Path:
    out = tmp_path_factory.mktemp("zju") / request.param
    config = SynthesizeConfig(out, frames=3, views=4, size=160, layout=request.param, clothes="bodysuit")
    for index in range(2):
        write_synthetic(config, index, body, lambda count: None)
    return out


def test_the_posed_body_covers_the_masks(synthetic):
    """Units, axes, EasyMocap's rotation about the origin and the lens, all at once, in every camera and frame."""
    body = load_body_for(synthetic)
    captures = open_captures(synthetic).train
    assert len(captures) == 2
    for capture in captures:
        assert (capture.frames, len(capture.camera_names), capture.left_out) == ((0, 1, 2), 4, ())
        overlaps = silhouette_overlaps(capture, body)
        assert overlaps.min() >= 0.9
        assert overlaps.mean() > silhouette_overlaps(replace(capture, lenses=None), body).mean() + 0.004


def test_posed_bodies_are_the_vertices_of_the_data_set(synthetic):
    body = load_body_for(synthetic)
    for capture in open_captures(synthetic).train:
        posed = body.pose(capture.poses).vertices
        for row, path in enumerate(sorted((capture.root / "vertices").iterdir())):
            np.testing.assert_allclose(posed[row], np.load(path), atol=2e-6)


def test_coordinates_of_a_map(subject, body):
    """The body is seen where it is seen at the origin, to a tenth of a millimetre."""
    before = open_one(subject, body)
    middle = np.array([4_210_034.0, 172_000.5, 4_780_000.25])
    change(
        subject / "annots.npy",
        lambda c: c["cams"].update(
            T=[T - 1000 * (R @ middle)[:, None] for R, T in zip(c["cams"]["R"], c["cams"]["T"], strict=True)]
        ),
    )
    for path in (subject / "params").iterdir():
        change(path, lambda person: person.update(Th=person["Th"].astype(np.float64) + middle))
    np.testing.assert_allclose(in_cameras(open_one(subject, body), body), in_cameras(before, body), atol=1e-4)


def test_poses_without_the_root_and_more_betas(subject, body):
    before = open_one(subject, body)
    (subject / "body.txt").write_text("smpl")
    for path in (subject / "params").iterdir():
        change(
            path,
            lambda person: person.update(
                poses=person["poses"][:, 3:], shapes=np.pad(person["shapes"], ((0, 0), (0, 6)))
            ),
        )
    after = open_one(subject, body)
    for name in ("betas", "global_orient", "body_pose", "transl"):
        assert torch.equal(getattr(after.poses, name), getattr(before.poses, name)), name
