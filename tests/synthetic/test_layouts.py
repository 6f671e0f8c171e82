"""Synthetic captures in the layouts of real data sets: their files, and that every camera sees every pose in its place.

Files are read here as the data sets' descriptions say, by code that shares nothing with the writers or the loaders.
"""

import json
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from scipy.ndimage import maximum_filter
from scipy.spatial.transform import Rotation

from hgg_pyg.body import BodyModel
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.synthetic import SynthesizeConfig
from hgg_pyg.synthetic.capture_writer import subject_path, write_subject
from hgg_pyg.synthetic.conventions import MINUS_Z_UP, Z_UP, hand_coefficients
from hgg_pyg.synthetic.footage import Footage, draw_face_and_hands
from hgg_pyg.synthetic.layouts import WRITERS
from hgg_pyg.synthetic.raycast import View
from hgg_pyg.types import BodyPose

FRAMES, VIEWS, SIZE = 4, 4, 80
SMPLX = {"avatarrex_smplx", "thuman4", "mvhumannet_pp"}  # the layouts with SMPL-X's poses only


@dataclass(frozen=True)
class Camera:
    name: str
    K: np.ndarray
    R: np.ndarray
    T: np.ndarray  # metres
    D: np.ndarray | None = None

    def project(self, points: np.ndarray) -> np.ndarray:
        local = points @ np.asarray(self.R).T + np.ravel(self.T)
        x, y = local[:, 0] / local[:, 2], local[:, 1] / local[:, 2]
        if self.D is not None:
            k1, k2, p1, p2, k3 = np.ravel(self.D)
            r2 = x**2 + y**2
            radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
            x, y = (
                x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2),
                y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y,
            )
        seen = np.stack([x, y, np.ones_like(x)], 1) @ np.reshape(self.K, (3, 3)).T
        return seen[:, :2]


@dataclass(frozen=True)
class Raw:
    cameras: list[Camera]
    vertices: dict[int, np.ndarray]  # by frame
    image: Callable[[str, int], Path]
    mask: Callable[[str, int], Path]
    size: tuple[int, int] = (SIZE, SIZE)


def posed(body: BodyModel, betas, orient, pose, transl) -> np.ndarray:
    """One frame, smplx's convention."""
    row = [torch.tensor(np.asarray(v, np.float32).reshape(1, -1)) for v in (orient, pose, transl)]
    return body.pose(BodyPose(torch.tensor(np.ravel(betas), dtype=torch.float32), *row)).vertices[0].double().numpy()


def easymocap(body: BodyModel, betas, Rh, Th, pose) -> np.ndarray:
    """V = R(Rh) L + Th, L the body posed without global orientation."""
    still = posed(body, betas, np.zeros(3), pose, np.zeros(3))
    return still @ Rotation.from_rotvec(np.ravel(Rh)).as_matrix().T + np.ravel(Th)


def without_hands(pose) -> np.ndarray:
    assert np.size(pose) == 63
    return np.concatenate([np.ravel(pose), np.zeros(6)])


def read_rows(body: BodyModel, path: Path) -> dict[int, np.ndarray]:
    params = np.load(path)
    pad = without_hands if params["body_pose"].shape[1] == 63 else np.ravel
    rows = zip(params["global_orient"], params["body_pose"], params["transl"], strict=True)
    return {f: posed(body, params["betas"], o, pad(p), t) for f, (o, p, t) in enumerate(rows)}


def read_avatarrex(folder: Path, body: BodyModel) -> Raw:
    calibration = json.loads((folder / "calibration_full.json").read_text())
    return Raw(
        [Camera(name, np.array(c["K"]), np.array(c["R"]), np.array(c["T"])) for name, c in calibration.items()],
        read_rows(body, folder / "smpl_params.npz"),
        lambda camera, frame: folder / camera / f"{frame:08d}.jpg",
        lambda camera, frame: folder / camera / "mask" / "pha" / f"{frame:08d}.jpg",
    )


def read_thuman4(folder: Path, body: BodyModel) -> Raw:
    calibration = json.loads((folder / "calibration.json").read_text())
    cameras = [
        Camera(n, np.array(c["K"]), np.reshape(c["R"], (3, 3)), np.array(c["T"])) for n, c in calibration.items()
    ]
    return Raw(
        cameras,
        read_rows(body, folder / "smpl_params.npz"),
        lambda camera, frame: folder / "images" / camera / f"{frame:08d}.jpg",
        lambda camera, frame: folder / "masks" / camera / f"{frame:08d}.jpg",
        (round(SIZE * 1330 / 1150), SIZE),
    )


def read_mvhumannet(folder: Path, body: BodyModel, width: int, height: int) -> Raw:
    K = np.array(json.loads((folder / "camera_intrinsics.json").read_text())["intrinsics"])
    scale = pickle.loads((folder / "camera_scale.pkl").read_bytes())
    extrinsics = json.loads((folder / "camera_extrinsics.json").read_text())
    size = (round(SIZE * width / height), SIZE)
    cameras = []
    for key, entry in extrinsics.items():
        name = key.removesuffix(".png").split("_")[-1]
        shrink = np.diag([size[0] / width, size[1] / height, 1])
        translation = np.array(entry["translation"]) / 1000 * scale
        cameras.append(Camera(name, shrink @ K, np.array(entry["rotation"]), translation))
    vertices = {}
    for path in sorted((folder / "smplx" / "smpl").iterdir()):
        (person,) = json.loads(path.read_text())
        pose = np.ravel(person["poses"])[3:66]
        vertices[int(path.stem)] = easymocap(body, person["shapes"], person["Rh"], person["Th"], without_hands(pose))
    return Raw(
        cameras,
        vertices,
        lambda camera, frame: folder / "images_lr" / camera / f"{5 * (frame + 1):04d}_img.jpg",
        lambda camera, frame: folder / "fmask_lr" / camera / f"{5 * (frame + 1):04d}_img_fmask.png",
        size,
    )


def read_mvhumannet_pp(folder: Path, body: BodyModel) -> Raw:
    cameras = []
    for path in sorted(folder.glob("cameras/cam_*/camera.npz")):
        camera = np.load(path)
        assert (camera["intrinsic"].shape, camera["extrinsic"].shape) == ((3, 3), (3, 4))
        cameras.append(
            Camera(path.parent.name, camera["intrinsic"], camera["extrinsic"][:, :3], camera["extrinsic"][:, 3])
        )
    return Raw(
        cameras,
        read_rows(body, folder / "smplx_params.npz"),
        lambda camera, frame: folder / "images" / camera / f"{25 * (frame + 1):04d}.jpg",
        lambda camera, frame: folder / "masks" / camera / f"{25 * (frame + 1):04d}.jpg",
    )


def read_zju_mocap(folder: Path, body: BodyModel, first: int = 0) -> Raw:
    annots = np.load(folder / "annots.npy", allow_pickle=True).item()
    cams, ims = annots["cams"], [entry["ims"] for entry in annots["ims"]]
    names = [Path(path).parent.name for path in ims[0]]
    assert [np.shape(cams[key]) for key in "KDRT"] == [(VIEWS, 3, 3), (VIEWS, 5, 1), (VIEWS, 3, 3), (VIEWS, 3, 1)]
    cameras = [
        Camera(names[c], np.array(cams["K"][c]), np.array(cams["R"][c]), np.array(cams["T"][c]) / 1000, cams["D"][c])
        for c in range(VIEWS)
    ]
    vertices = {}
    for frame in range(FRAMES):
        person = np.load(folder / "params" / f"{frame + first}.npy", allow_pickle=True).item()
        assert {k: v.shape for k, v in person.items()} == {
            "poses": (1, 72), "Rh": (1, 3), "Th": (1, 3), "shapes": (1, 10)
        }  # fmt: skip
        assert not person["poses"][0, :3].any()
        vertices[frame] = easymocap(body, person["shapes"], person["Rh"], person["Th"], person["poses"][0, 3:])
        stored = np.load(folder / "vertices" / f"{frame + first}.npy")
        assert stored.dtype == np.float32
        np.testing.assert_allclose(stored, vertices[frame], atol=2e-5)
    return Raw(
        cameras,
        vertices,
        lambda camera, frame: folder / ims[frame][names.index(camera)],
        lambda camera, frame: folder / "mask_cihp" / Path(ims[frame][names.index(camera)]).with_suffix(".png"),
    )


READERS: dict[str, Callable[[Path, BodyModel], Raw]] = {
    "avatarrex": read_avatarrex,
    "avatarrex_smplx": read_avatarrex,
    "thuman4": read_thuman4,
    "mvhumannet_48": lambda folder, body: read_mvhumannet(folder, body, 4096, 3000),
    "mvhumannet_16": lambda folder, body: read_mvhumannet(folder, body, 2448, 2048),
    "mvhumannet_pp": read_mvhumannet_pp,
    "zju_mocap": read_zju_mocap,
    "zju_mocap_313": lambda folder, body: read_zju_mocap(folder, body, first=1),
}


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory, body) -> Callable[[str, int], Path]:
    """A subject's folder; number 0 wears a bodysuit, 1 clothes."""
    made: dict[tuple[str, int], Path] = {}

    def get(layout: str, index: int) -> Path:
        if (layout, index) not in made:
            config = SynthesizeConfig(
                tmp_path_factory.mktemp(layout),
                subjects=3,
                frames=FRAMES,
                views=VIEWS,
                size=SIZE,
                layout=layout,  # pyright: ignore[reportArgumentType]
                clothes=("bodysuit", "any")[index],  # pyright: ignore[reportArgumentType]
            )
            write_subject(config, index, body, lambda count: None)
            made[layout, index] = config.out / subject_path(config, index)
        return made[layout, index]

    return get


def person(layout: str, path: Path) -> np.ndarray:
    mask = np.asarray(Image.open(path))
    assert mask.dtype == np.uint8
    assert mask.ndim == 2
    return mask > 0 if layout.startswith("zju") else mask > 127


def silhouette(pixels: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixels that projected triangles cover by half or more; rasterised eight times as large."""
    large = Image.new("L", (8 * size[0], 8 * size[1]))
    draw = ImageDraw.Draw(large)
    for triangle in (8 * pixels[faces] - 0.5).reshape(-1, 6).tolist():
        draw.polygon(triangle, fill=1)
    return np.asarray(large).reshape(size[1], 8, size[0], 8).mean((1, 3)) >= 0.5


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("layout", READERS)
def test_poses_are_where_the_masks_are(layout, folder_of, body):
    raw = READERS[layout](folder_of(layout, 0), body)
    assert len(raw.cameras) == VIEWS
    faces = body.faces.numpy()
    for camera in raw.cameras:
        for frame, vertices in raw.vertices.items():
            mask, pixels = person(layout, raw.mask(camera.name, frame)), camera.project(vertices)
            assert mask.shape == raw.size[::-1]
            x, y = np.floor(pixels).astype(int).T
            assert maximum_filter(mask, 3)[y, x].mean() > 0.99
            rows, columns = np.nonzero(mask)
            box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            np.testing.assert_allclose([*pixels.min(0), *pixels.max(0)], box, atol=1.6)
            if frame in (0, 3):
                assert overlap(silhouette(pixels, faces, raw.size), mask) > 0.9


@pytest.mark.parametrize("layout", READERS)
def test_clothed_people_hide_their_bodies(layout, folder_of, body):
    raw = READERS[layout](folder_of(layout, 1), body)
    lost = {("cam00", 1)} if layout == "thuman4" else set()
    for camera in raw.cameras:
        for frame, vertices in raw.vertices.items():
            path = raw.image(camera.name, frame)
            assert path.exists() == ((camera.name, frame) not in lost)
            mask = person(layout, raw.mask(camera.name, frame))
            if path.exists():
                image = np.asarray(Image.open(path))
                assert (image.shape, image.dtype) == ((*raw.size[::-1], 3), np.uint8)
                assert image[mask].std() > 5
            x, y = np.floor(camera.project(vertices)).astype(int).T
            assert maximum_filter(mask, 3)[y, x].mean() > 0.97
    assert set(raw.vertices) == set(range(FRAMES))
    assert (folder_of(layout, 1) / "body.txt").read_text().strip() == ("open-smplx" if layout in SMPLX else "open")


@pytest.mark.parametrize("layout", ["zju_mocap", "zju_mocap_313"])
def test_lenses_show_in_the_images(layout, folder_of, body):
    """A reader that forgets the distortion finds the body elsewhere."""
    raw = READERS[layout](folder_of(layout, 0), body)
    with_lens, without = [], []
    for camera in raw.cameras:
        mask = person(layout, raw.mask(camera.name, 0))
        for lens, found in ((camera.D, with_lens), (None, without)):
            pixels = replace(camera, D=lens).project(raw.vertices[0])
            found.append(overlap(silhouette(pixels, body.faces.numpy(), raw.size), mask))
    assert np.mean(with_lens) > np.mean(without) + 0.015


def test_mvhumannet(folder_of, body):
    for layout, first, prefix in (("mvhumannet_48", "100001", "1_CC32871A"), ("mvhumannet_16", "200102", "0_")):
        folder = folder_of(layout, 0)
        assert folder.name == first
        assert sorted(p.name for p in folder.iterdir()) == [
            "annots", "body.txt", "camera_extrinsics.json", "camera_intrinsics.json", "camera_scale.pkl", "fmask_lr",
            "images_lr", "smpl_param", "smplx",
        ]  # fmt: skip
        extrinsics = json.loads((folder / "camera_extrinsics.json").read_text())
        assert all(key.startswith(prefix) and key.endswith(".png") for key in extrinsics)
        intrinsics = json.loads((folder / "camera_intrinsics.json").read_text())
        assert intrinsics["dist"] == []
        centres = {len(entry["image_center"]) for entry in extrinsics.values()}
        assert centres == ({2} if layout == "mvhumannet_48" else {4})
        for entry in extrinsics.values():
            R, T = np.array(entry["rotation"]), np.array(entry["translation"])
            assert R[1] @ [0, 0, -1] < -0.8  # up is -z, and image rows run down
            np.testing.assert_allclose(entry["camera_pos"], -R.T @ T)
            w, x, y, z = entry["quaternion"]
            np.testing.assert_allclose(Rotation.from_quat([x, y, z, w]).as_matrix(), R, atol=1e-9)
            np.testing.assert_allclose(entry["focal_length"], np.diag(intrinsics["intrinsics"])[:2])
            np.testing.assert_allclose(entry["image_center"][:2], np.array(intrinsics["intrinsics"])[:2, 2])
        scale = pickle.loads((folder / "camera_scale.pkl").read_bytes())
        assert scale == (120 / 65 if layout == "mvhumannet_48" else 100 / 65)
        annotation = json.loads(next((folder / "annots").rglob("*.json")).read_text())
        full = (4096, 3000) if layout == "mvhumannet_48" else (2448, 2048)
        assert (annotation["width"], annotation["height"]) == full
        np.testing.assert_allclose(np.array(intrinsics["intrinsics"])[:2, 2] / full, 0.5, atol=0.01)
    inputs = {"22327091", "22327116", "22236236", "22327073"}
    assert {p.name for p in (folder_of("mvhumannet_16", 0) / "images_lr").iterdir()} == inputs
    assert inputs < set(WRITERS["mvhumannet_16"].cameras(16))
    assert len(set(WRITERS["mvhumannet_16"].cameras(16))) == 16


def test_mvhumannet_smpl_files(folder_of, body):
    folder = folder_of("mvhumannet_16", 0)
    others = READERS["mvhumannet_16"](folder, body).vertices
    assert sorted(p.name for p in (folder / "smpl_param").iterdir()) == ["000000.pkl", "000001.pkl", "000003.pkl"]
    for path in (folder / "smpl_param").iterdir():
        content = pickle.loads(path.read_bytes())
        tensors = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
        assert all(value.dtype == torch.float32 for value in tensors.values())
        assert {key: tuple(value.shape) for key, value in tensors.items()} == {
            "global_orient": (1, 1, 3, 3), "body_pose": (1, 23, 3, 3), "full_pose": (1, 24, 3, 3), "betas": (1, 10),
            "vertices": (1, 6890, 3), "joints": (1, 45, 3),
        }  # fmt: skip
        assert content["transl"] is None
        assert content["faces"].shape == (13776, 3)
        rotvecs = Rotation.from_matrix(content["full_pose"][0].numpy()).as_rotvec()
        betas = content["betas"][0]
        transl = content["joints"][0, 0] - body.rest_joints(betas)[0]
        vertices = posed(body, betas, rotvecs[0], rotvecs[1:], transl)
        np.testing.assert_allclose(content["vertices"][0], vertices, atol=2e-5)
        np.testing.assert_allclose(others[int(path.stem)], vertices, atol=2e-5)  # of the SMPL-X file
        names = {arg for op, arg, _ in pickletools.genops(path.read_bytes()) if op.name == "SHORT_BINUNICODE"}
        called = {n for n in names if str(n).startswith(("_", "torch", "numpy", "coll"))}
        assert called <= {
            "torch._utils", "_rebuild_tensor_v2", "torch.storage", "_load_from_bytes", "collections",
            "numpy._core.multiarray", "numpy.core.multiarray", "_reconstruct", "numpy", "numpy._core.numeric",
            "numpy.core.numeric", "_frombuffer",
        }  # fmt: skip


def test_mvhumannet_smplx_files(folder_of):
    folder = folder_of("mvhumannet_48", 1) / "smplx" / "smpl"
    assert sorted(p.name for p in folder.iterdir()) == [f"{frame:06d}.json" for frame in range(FRAMES)]
    left, right = open_smplx().hands_componentsl, open_smplx().hands_componentsr
    assert left is not None
    assert right is not None
    same = np.load(folder_of("avatarrex_smplx", 1) / "smpl_params.npz")  # the same person and fingers, all 45 angles
    for frame, path in enumerate(sorted(folder.iterdir())):
        (found,) = json.loads(path.read_text())
        shapes = {key: np.shape(value) for key, value in found.items() if key != "id"}
        assert shapes == {"Rh": (1, 3), "Th": (1, 3), "poses": (1, 87), "expression": (1, 10), "shapes": (1, 10)}
        zeros, pose, l6, r6, jaw, *eyes = np.split(np.array(found["poses"][0]), [3, 66, 72, 78, 81, 84])
        assert not zeros.any()
        np.testing.assert_allclose(pose, same["body_pose"][frame], atol=1e-6)
        np.testing.assert_allclose(jaw, same["jaw_pose"][frame], atol=1e-6)
        np.testing.assert_allclose(found["expression"][0], same["expression"][frame], atol=1e-6)
        assert all(np.abs(eye).max() > 0 for eye in eyes)
        for coefficients, components, hand in ((l6, left, "left"), (r6, right, "right")):
            rest = same[f"{hand}_hand_pose"][frame] - coefficients @ components[:6]
            np.testing.assert_allclose(components[:6] @ rest, 0, atol=1e-5)  # what six components can show is shown
            assert np.abs(coefficients).max() > 1e-3


@pytest.mark.parametrize(("layout", "path"), [
    ("avatarrex_smplx", "smpl_params.npz"), ("thuman4", "smpl_params.npz"), ("mvhumannet_pp", "smplx_params.npz")
])  # fmt: skip
def test_smplx_archives(layout, path, folder_of):
    params = np.load(folder_of(layout, 0) / path)
    hands = 6 if layout == "mvhumannet_pp" else 45
    expected = {
        "betas": (1, 10), "global_orient": (FRAMES, 3), "transl": (FRAMES, 3), "body_pose": (FRAMES, 63),
        "jaw_pose": (FRAMES, 3), "expression": (FRAMES, 10), "left_hand_pose": (FRAMES, hands),
        "right_hand_pose": (FRAMES, hands),
    }  # fmt: skip
    shapes = {key: params[key].shape for key in params}
    assert shapes == expected
    for key in params:
        assert params[key].dtype == np.float32
        assert np.abs(params[key]).max() > 1e-4


def test_thuman4_lists_the_image_that_is_missing(folder_of):
    folder = folder_of("thuman4", 0)
    (line,) = (folder / "missing_img_files.txt").read_text().splitlines()
    assert line == "images/cam00/00000001.jpg"
    assert not (folder / line).exists()
    assert len(list(folder.glob("images/*/*.jpg"))) == FRAMES * VIEWS - 1
    assert len(list(folder.glob("masks/*/*.jpg"))) == FRAMES * VIEWS


def test_zju_mocap_names_and_labels(folder_of):
    usual, early = folder_of("zju_mocap", 1), folder_of("zju_mocap_313", 1)
    assert (usual.name, early.name) == ("CoreView_386", "CoreView_315")
    assert (usual / "Camera_B1" / "000000.jpg").exists()
    assert (usual / "mask_cihp" / "Camera_B1" / "000000.png").exists()
    stem = "Camera (1)/CoreView_315_Camera_(1)_0001_2019-08-23_16-08-50.592"
    assert (early / f"{stem}.jpg").exists()
    assert (early / f"mask_cihp/{stem}.png").exists()
    assert sorted(p.name for p in (early / "params").iterdir()) == ["1.npy", "2.npy", "3.npy", "4.npy"]
    labels = np.unique(np.asarray(Image.open(usual / "mask_cihp" / "Camera_B1" / "000000.png")))
    assert labels[0] == 0
    assert len(labels) > 3
    assert labels[-1] < 20


@pytest.mark.parametrize(
    ("layout", "height", "width"),
    [("mvhumannet_48", 1500, 2048), ("mvhumannet_16", 1024, 1224), ("thuman4", 1150, 1330), ("zju_mocap", 1024, 1024)],
)
def test_full_sizes(layout, height, width):
    assert WRITERS[layout].image_size(height) == (width, height)


@pytest.mark.parametrize(("rotation", "up"), [(MINUS_Z_UP, [0, 0, -1]), (Z_UP, [0, 0, 1])])
def test_rotating_the_world_moves_bodies_and_cameras_alike(rotation, up, body, make_pose):
    np.testing.assert_allclose(rotation @ [0, 1, 0], up)
    assert np.linalg.det(rotation) == pytest.approx(1)
    pose = make_pose(2, seed=8)
    rotvecs = torch.cat([pose.global_orient, pose.body_pose], 1).reshape(2, 24, 3).double().numpy()
    view = View(np.diag([50.0, 50, 1]), Rotation.from_rotvec([0.3, 0.2, 3]).as_matrix(), np.array([0, 1, 4.0]), 8, 8)
    footage = Footage(
        "a", ("c",), (view,), body, pose.betas.numpy(), rotvecs, pose.transl.double().numpy(),
        draw_face_and_hands(np.random.default_rng(0), 2),
    )  # fmt: skip
    rotated = footage.rotated(rotation)
    before, after = (body.pose(f.poses()).vertices.double().numpy() for f in (footage, rotated))
    np.testing.assert_allclose(after, before @ rotation.T, atol=2e-5)
    np.testing.assert_allclose(rotated.views[0].project(after[0]), view.project(before[0]), atol=1e-3)
    orient, shift = rotated.easymocap()
    for frame in range(2):
        again = easymocap(body, footage.betas, orient[frame], shift[frame], rotated.rotvecs[frame, 1:])
        np.testing.assert_allclose(again, after[frame], atol=2e-5)


def test_hand_coefficients_are_the_nearest_pose():
    components = np.linalg.qr(np.random.default_rng(0).normal(size=(45, 45)))[0]
    pose = np.random.default_rng(1).normal(size=(3, 45))
    np.testing.assert_allclose(hand_coefficients(pose, components, 45) @ components, pose, atol=1e-12)
    six = hand_coefficients(pose, components)
    nearest = np.linalg.lstsq(components[:6].T, pose.T, rcond=None)[0].T
    np.testing.assert_allclose(six, nearest, atol=1e-12)
