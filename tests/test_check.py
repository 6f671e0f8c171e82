"""Break a good capture in each known way, and have the command say what was done."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from scipy.spatial.transform import Rotation

from hgg_pyg.check import CheckConfig, main
from hgg_pyg.data.capture_set import load_body_for
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.types import UserError
from tests.blackened import blacken
from tests.captures import make_captures

FLIP = np.diag([1.0, -1, -1])
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # from y up


@pytest.fixture(scope="module")
def suits(tmp_path_factory):
    """Three subjects in tight clothes, 4 frames, 6 cameras."""
    out = tmp_path_factory.mktemp("suits") / "captures"
    return make_captures(SynthesizeConfig(out=out, subjects=3, frames=4, views=6, size=72, clothes="bodysuit"))


@pytest.fixture
def folder(suits, tmp_path):
    """A subject's folder to be broken."""
    return shutil.copytree(suits / "subject000", tmp_path / "someone")


def cameras(folder, change):
    """Change K, R, T of every camera."""
    path = folder / "calibration_full.json"
    content = json.loads(path.read_text())
    for camera in content.values():
        values = change(*(np.array(camera[key]) for key in "KRT"))
        camera.update({key: value.tolist() for key, value in zip("KRT", values, strict=True)})
    path.write_text(json.dumps(content))


def rename_calibrations(folder, order):
    """Give camera i the calibration of camera order[i]."""
    path = folder / "calibration_full.json"
    content = json.loads(path.read_text())
    names = list(content)
    path.write_text(json.dumps({names[i]: content[names[j]] for i, j in enumerate(order)}))


def parameters(folder, change):
    path = folder / "smpl_params.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{key: value.astype(np.float32) for key, value in (arrays | change(arrays)).items()})


def orientation(arrays):
    return Rotation.from_rotvec(arrays["global_orient"]).as_matrix()


def pelvis(folder, arrays):
    return load_body_for(folder).rest_joints(torch.from_numpy(arrays["betas"][0]))[0].double().numpy()


def rotate_poses(folder, rotation):
    """The poses in a world with other axes, x' = A x."""

    def change(arrays):
        root = pelvis(folder, arrays)
        rotated = Rotation.from_matrix(rotation @ orientation(arrays)).as_rotvec()
        return {"global_orient": rotated, "transl": arrays["transl"] @ rotation.T + rotation @ root - root}

    parameters(folder, change)


def easymocap(folder, sign):
    """In a world with z up, where it matters: Rh and Th for global_orient and transl, or the reverse."""
    cameras(folder, lambda K, R, T: (K, R @ Z_UP.T, T))
    rotate_poses(folder, Z_UP)

    def change(arrays):
        root = pelvis(folder, arrays)
        return {"transl": arrays["transl"] - sign * (orientation(arrays) @ root - root)}

    parameters(folder, change)


def shift(folder, rows):
    keys = ("global_orient", "transl", "body_pose")
    parameters(folder, lambda arrays: {key: arrays[key][np.clip(np.arange(4) + rows, 0, 3)] for key in keys})


def change_images(folder, change, pattern="**/*.jpg"):
    for path in folder.glob(pattern):
        with Image.open(path) as image:
            change(image).save(path, quality=95)


def exchange_axes(folder):
    """A margin on the left, so that the principal point is not in the middle; then x for y in K."""
    change_images(folder, lambda image: ImageOps.expand(image, (16, 0, 0, 0)))

    def change(K, R, T):
        return np.array([[K[1, 1], 0, K[1, 2]], [0, K[0, 0], K[0, 2] + 16], [0, 0, 1]]), R, T

    cameras(folder, change)
    path = folder / "calibration_full.json"
    path.write_text(re.sub(r', "imgSize": \[72, 72\]', "", path.read_text()))


FAULTS = {
    "millimetres": (lambda f: cameras(f, lambda K, R, T: (K, R, 1000 * T)), "key 'T': the values seem to be in milli"),
    "centimetres": (lambda f: cameras(f, lambda K, R, T: (K, R, 100 * T)), "key 'T': the values seem to be in centi"),
    "transl in mm": (
        lambda f: parameters(f, lambda a: {"transl": 1000 * a["transl"]}),
        "smpl_params.npz: key 'transl': the values seem to be in millimetres; multiply them by 0.001",
    ),
    "all in mm": (
        lambda f: (
            cameras(f, lambda K, R, T: (K, R, 1000 * T)),
            parameters(f, lambda a: {"transl": 1000 * a["transl"]}),
        ),
        "key 'T'; smpl_params.npz: key 'transl': the values seem to be in millimetres",
    ),
    "camera_scale 48": (lambda f: cameras(f, lambda K, R, T: (K, R, T * 65 / 120)), "camera_scale (1.84615"),
    "camera_scale 16": (lambda f: cameras(f, lambda K, R, T: (K, R, T * 65 / 100)), "camera_scale (1.53846"),
    "some scale": (lambda f: cameras(f, lambda K, R, T: (K, R, T / 0.77)), "in another unit than the body; multiply"),
    "camera-to-world": (lambda f: cameras(f, lambda K, R, T: (K, R.T, -R.T @ T)), "they look camera-to-world; world"),
    "OpenGL": (lambda f: cameras(f, lambda K, R, T: (K, FLIP @ R, FLIP @ T)), "negate rows 2 and 3 of R, and the last"),
    "NeRF": (lambda f: cameras(f, lambda K, R, T: (K, R.T @ FLIP, -R.T @ T)), "camera-to-world in OpenGL's axes"),
    "position": (lambda f: cameras(f, lambda K, R, T: (K, R, -R.T @ T)), "T looks like the camera's position"),
    "transposed": (lambda f: cameras(f, lambda K, R, T: (K, R.T, T)), "R looks transposed"),
    "Rh and Th": (lambda f: easymocap(f, 1), "look like EasyMocap's Rh and Th"),
    "Rh and Th twice": (lambda f: easymocap(f, -1), "converted between EasyMocap and smplx once too often"),
    "K too large": (
        lambda f: cameras(f, lambda K, R, T: (np.diag([2, 2, 1]) @ K, R, T)),
        "for images 2 times as large as these; multiply fx, fy, cx and cy by 0.5",
    ),
    "K too small": (lambda f: cameras(f, lambda K, R, T: (np.diag([0.5, 0.5, 1]) @ K, R, T)), "cx and cy by 2,"),
    "K of an odd size": (
        lambda f: cameras(f, lambda K, R, T: (np.diag([1.4, 1.4, 1]) @ K, R, T)),
        "images 1.4 times",
    ),
    "x for y": (exchange_axes, "exchange fx with fy and cx with cy"),
    "z up": (lambda f: rotate_poses(f, Z_UP), "A = [[1, 0, 0], [0, 0, 1], [0, -1, 0]]"),
    "-z up": (lambda f: rotate_poses(f, Z_UP.T), "A = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]"),
    "-y up": (lambda f: rotate_poses(f, FLIP), "A = [[1, 0, 0], [0, -1, 0], [0, 0, -1]]"),
    "late": (lambda f: shift(f, -2), "they come 2 frames too late for the images; remove the first 2 rows"),
    "early": (lambda f: shift(f, 2), "they come 2 frames too early for the images; put 2 rows"),
    "mirrored": (lambda f: change_images(f, ImageOps.mirror), "mirrored left to right; mirror them back"),
    "inverted masks": (
        lambda f: change_images(f, ImageOps.invert, "*/mask/pha/*.jpg"),
        "the masks are the background's",
    ),
    "other cameras": (
        lambda f: rename_calibrations(f, [2, 3, 4, 5, 0, 1]),
        "6 of 6 cameras have the calibration of another one; the images of 'cam00' fit 'cam04'",
    ),
    "mm and camera-to-world": (
        lambda f: cameras(f, lambda K, R, T: (K, R.T, -1000 * R.T @ T)),
        "in millimetres; multiply them by 0.001; and calibration_full.json: keys 'R' and 'T': they look camera-to-",
    ),
    "NeRF of some scale": (
        lambda f: cameras(f, lambda K, R, T: (K, R.T @ FLIP, -0.41 * R.T @ T)),
        "multiply them by 2.4",
    ),
    "OpenGL and K": (
        lambda f: cameras(f, lambda K, R, T: (np.diag([2, 2, 1]) @ K, FLIP @ R, FLIP @ T)),
        "negate rows 2 and 3 of R, and the last two numbers of T; and calibration_full.json: key 'K'",
    ),
}


def check(path, capsys, **options):
    """The exit code and what is said."""
    try:
        main(CheckConfig(path, **{"out": path.parent / "out"} | options))
        code = 0
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().out


def test_a_good_capture_has_no_fault(suits, tmp_path, capsys):
    code, said = check(suits / "subject000", capsys, out=tmp_path)
    assert code == 0
    assert "error" not in said
    assert "note" not in said
    assert re.search(r"^trainable$", said, re.M)
    found = re.search(r"overlap +IoU (0\.\d+), (\d+)% of the body", said)
    assert found
    assert float(found[1]) >= 0.9
    assert int(found[2]) >= 95
    for fact in ("open default body", "72x72 pixels", "4, numbers 0 to 3", "left out   nothing", ": metres", "cam05"):
        assert fact in said
    with Image.open(tmp_path / "check.png") as sheet:
        assert sheet.width > 1200
        assert sheet.height > 900


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named(name, folder, capsys):
    spoil, expected = FAULTS[name]
    spoil(folder)
    code, said = check(folder, capsys, image_size=64)
    assert code == 1
    lines = [line for line in said.splitlines() if "likely fault" in line]
    assert lines, said
    assert expected in lines[0]
    before, after = map(float, re.findall(r"IoU (\d\.\d\d) would become (\d\.\d\d)", lines[0])[0])
    assert before < 0.75
    assert after >= 0.88
    assert "not trainable: the body does not lie on the person" in said


def test_wide_clothes_are_no_fault(tiny_captures, tmp_path, capsys):
    code, said = check(tiny_captures, capsys, image_size=64, out=tmp_path)
    assert code == 0
    assert "error" not in said
    assert len(re.findall(r"subject00\d +AvatarReX +4 +6 +0\.[78]\d +(?:9\d|100)% +trainable$", said, re.M)) == 3


@pytest.mark.parametrize("name", ["millimetres", "camera_scale 48", "camera-to-world", "NeRF", "K too small", "z up"])
def test_the_fault_is_named_under_wide_clothes(name, tiny_captures, tmp_path, capsys):
    folder = shutil.copytree(tiny_captures / "subject001", tmp_path / "someone")
    spoil, expected = FAULTS[name]
    spoil(folder)
    code, said = check(folder, capsys, image_size=64)
    assert code == 1
    first = next(line for line in said.splitlines() if "likely fault" in line)
    assert expected in first
    assert float(re.findall(r"would become (\d\.\d\d)", first)[0]) > 0.65


def test_a_camera_that_is_wrong_alone_is_named(folder, capsys):
    rename_calibrations(folder, [0, 1, 4, 3, 2, 5])
    code, said = check(folder, capsys)
    assert code == 0
    assert "trainable, but look at: camera 'cam02', camera 'cam04'" in said
    assert re.search(r"camera 'cam02' alone: IoU 0\.[0-6]\d, others 0\.9\d: .* fit the calibration of 'cam04'", said)


def test_broken_files_and_masks_are_counted(folder, capsys):
    path = folder / "cam03" / "00000002.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    Image.new("L", (72, 72)).save(folder / "cam00" / "mask" / "pha" / "00000000.jpg")
    Image.new("L", (72, 72), 255).save(folder / "cam01" / "mask" / "pha" / "00000003.jpg")
    (folder / "cam05" / "00000001.jpg").unlink()
    code, said = check(folder, capsys)
    assert code == 1
    assert "not trainable: files cut off" in said
    assert f"1 file is cut off or no image, the first is {path}" in said
    assert f"1 of 18 masks looked at is empty (black), the first is {folder}/cam00/mask/pha/00000000.jpg" in said
    assert f"1 of 18 masks looked at is white all over, the first is {folder}/cam01/mask/pha/00000003.jpg" in said
    assert "1 frame left out: an image is missing (1)" in said


def turn(path):
    exif = Image.Exif()
    exif[274] = 3
    Image.open(path).save(path, exif=exif)


def enlarge(path):
    Image.open(path).resize((96, 96)).save(path)


@pytest.mark.parametrize(("change", "words"), [(turn, "found EXIF orientation 3"), (enlarge, "expected 72x72 pixels")])
def test_every_file_is_looked_at_as_training_does(change, words, folder, capsys):
    """Images of later frames, which are not compared with the body."""
    path = folder / "cam03" / "00000003.jpg"
    change(path)
    code, said = check(folder, capsys)
    assert code == 1
    assert "not trainable: broken files" in said
    assert str(path) in said
    assert words in said


@pytest.mark.parametrize(
    ("train", "words"),
    [(["./someone"], "key 'train': no subject './someone'"), ([], "key 'train': expected subjects to train on")],
)
def test_splits_that_training_refuses_are_refused(train, words, folder):
    (folder.parent / "splits.json").write_text(json.dumps({"train": train, "val": ["someone"], "test": []}))
    with pytest.raises(UserError, match=f"splits.json: {words}"):
        main(CheckConfig(folder.parent))


def test_a_mask_that_cannot_be_decoded_is_said(folder, capsys):
    path = folder / "cam03" / "mask" / "pha" / "00000002.jpg"
    content = path.read_bytes()
    path.write_bytes(content[:200] + content[-2:])
    code, said = check(folder, capsys)
    assert code == 1
    assert f"error: {path}: not a readable image (" in said


@pytest.mark.parametrize(("tone", "word"), [(0, "empty"), (255, "whole")])
def test_masks_without_any_outline_are_not_trained_on(tone, word, folder, capsys):
    change_images(folder, lambda image: Image.new("L", image.size, tone), "*/mask/pha/*.jpg")
    code, said = check(folder, capsys)
    assert code == 1
    assert f"not trainable: {'nobody in the masks' if word == 'empty' else 'whole masks'}" in said


@pytest.mark.parametrize(
    ("frames", "cameras", "options", "verdict"),
    [
        ({1}, "*", {}, "trainable, but look at: frames without a person, empty masks"),
        (
            {0, 3},
            "*",
            {"frames": 2},
            "trainable, but look at: frames without a person, empty masks",
        ),  # not all is black
        ({0, 1, 2, 3}, "cam0[0235]", {}, "not trainable: nobody in the masks"),  # other cameras do not make up for it
        ({0, 1, 2, 3}, "cam0[035]", {}, "trainable, but look at: empty masks"),
    ],
)
def test_frames_without_a_person_count_as_they_do_in_training(frames, cameras, options, verdict, folder, capsys):
    blacken(folder, frames, cameras)
    code, said = check(folder, capsys, **options)
    assert f"\n{verdict}\n" in said
    assert code == (0 if verdict.startswith("trainable") else 1)


def test_too_little_is_not_trained_on(folder, capsys):
    for name in ("cam03", "cam04", "cam05"):
        shutil.rmtree(folder / name)
    for path in folder.glob("**/0000000[1-3].jpg"):
        path.unlink()
    code, said = check(folder, capsys)
    assert code == 1
    assert "expected at least 4 cameras, the input views of training, found 3" in said
    assert "train with --clip.input-views 3, not on LGM" in said
    assert "note: there is no pose that training has not seen, to be scored in" in said
    assert "3 cameras left out: no images" in said


def test_what_cannot_be_opened_is_one_line(folder, capsys):
    (folder / "smpl_params.npz").write_bytes(b"nothing")
    code, said = check(folder, capsys)
    assert code == 1
    assert f"error: {folder}/smpl_params.npz: expected an .npz archive" in said
    assert "not trainable: cannot be opened" in said
    with pytest.raises(UserError, match="expected a subject's folder"):
        check(folder / "cam00", capsys)


def test_a_folder_of_subjects_has_a_row_each(suits, tmp_path, capsys):
    data = shutil.copytree(suits, tmp_path / "data")
    FAULTS["millimetres"][0](data / "subject002")
    (data / "subject000" / "calibration_full.json").write_text("{")
    code, said = check(data, capsys, frames=2, image_size=64)
    assert code == 1
    assert re.search(r"subject000 +AvatarReX +- +- +- +- +not trainable: cannot be opened", said)
    assert re.search(r"subject001 +AvatarReX +4 +6 +0\.9\d +9\d% +trainable", said)
    assert re.search(r"subject002 +AvatarReX +4 +6 +0\.00 +0% +not trainable", said)
    code, said = check(data, capsys, frames=2, subjects=2, image_size=64)
    assert "subject001" not in said
    assert "1 other subjects were not looked at" in said


def test_bodies_of_smplx_are_laid_on_too(suits, tmp_path, capsys):
    folder = shutil.copytree(suits / "subject000", tmp_path / "someone")
    (folder / "body.txt").write_text("open-smplx")
    parameters(folder, lambda arrays: {"body_pose": arrays["body_pose"][:, :63]})
    code, said = check(folder, capsys, frames=2, image_size=64)
    assert "open SMPL-X stand-in" in said
    assert re.search(r"overlap +IoU 0\.9", said)
    assert code == 0


def test_a_folder_that_cannot_be_written_is_one_line(folder, capsys):
    with pytest.raises(UserError, match=r"--out .*: expected a folder that can be written"):
        check(folder, capsys, frames=1, out=folder / "body.txt")


@pytest.mark.parametrize("numbers", [{"frames": 0}, {"cameras": 0}, {"subjects": 0}, {"image_size": 8}])
def test_numbers_that_mean_nothing_are_refused(numbers, tmp_path):
    with pytest.raises(ValueError, match=r"CheckConfig\.\w+: expected at least"):
        CheckConfig(tmp_path, **numbers)


def test_the_command_exits_with_1_or_2(folder, monkeypatch, capsys):
    for path, expected in ((folder, 1), (folder / "nowhere", 2)):
        (folder / "calibration_full.json").write_text("{}")
        monkeypatch.setattr("sys.argv", ["check.py", str(path), "--out", str(folder / "out")])
        with pytest.raises(SystemExit) as stop:
            run_command(CheckConfig, main)
        assert stop.value.code == expected
    assert "error: " in capsys.readouterr().err
