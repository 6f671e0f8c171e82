"""The skinned glTF: read back by our reader, which shares no code with the writer, by glTF's validator and by three."""

import gzip
import json
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from hgg_pyg.avatar import Avatar
from hgg_pyg.avatar.exporters.glb import glb_bytes
from hgg_pyg.avatar.exporters.glb_reader import SkinnedSplats, Splats, parse_glb, read_glb
from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.body.skinning import matrix_to_quaternion
from hgg_pyg.types import BodyPose, Gaussians, UserError
from tests.avatar.avatars import small_avatar, some_motion
from tests.bit_flips import flip_bits
from tests.node import run_node

BODIES: dict[str, Callable[[], BodyModel]] = {"24 joints": load_body, "55 joints": lambda: BodyModel(open_smplx())}
FRAMES = (0, 1, 3)


@pytest.fixture(scope="module", params=list(BODIES))
def avatar(request: pytest.FixtureRequest) -> Avatar:
    """Two motions; one turns by more than a circle."""
    body = BODIES[request.param]()
    own = small_avatar(body)
    turning = some_motion(body.num_joints, 4, "turning")
    angles = torch.linspace(0, 8, 4)[:, None] * torch.tensor([0.0, 1, 0])
    return replace(own, motions=(*own.motions, replace(turning, global_orient=angles)))


def sorted_by_binding(avatar: Avatar) -> Avatar:
    """As the file has them."""
    order = torch.argsort(avatar.binding, stable=True)
    return replace(avatar, gaussians=avatar.gaussians[order], binding=avatar.binding[order])


def as_avatar(file: SkinnedSplats, avatar: Avatar) -> Avatar:
    """The Gaussians and weights of a file on the avatar's skeleton."""
    splats, (count, joints) = file.splats, (len(file.weights), avatar.weights.shape[1])
    weights = torch.zeros(count, joints, dtype=torch.float64)
    weights.scatter_add_(1, torch.from_numpy(file.joints), torch.from_numpy(file.weights))
    numbers = (splats.means, splats.rotations, splats.scales, splats.opacities, splats.colors)
    means, rotations, scales, opacities, colors = (torch.from_numpy(array).float() for array in numbers)
    gaussians = Gaussians(means, matrix_to_quaternion(rotations), scales, opacities, colors)
    return replace(avatar, gaussians=gaussians, binding=torch.arange(count), weights=weights.float())


def poses(avatar: Avatar, name: str) -> BodyPose:
    motion = avatar.motion(name)
    assert motion is not None
    return motion.pose(avatar.betas)


def assert_same(found: Splats, expected: Gaussians, tolerance: float = 1e-5) -> None:
    turned = matrix_to_quaternion(torch.from_numpy(found.rotations).float())
    apart = (turned * normalize(expected.quats, dim=-1)).sum(-1).abs()
    torch.testing.assert_close(apart, torch.ones_like(apart), rtol=0, atol=tolerance)
    for name in ("means", "scales", "opacities", "colors"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name).numpy(), 0, tolerance, err_msg=name)


@pytest.mark.parametrize("name", ["captured", "turning"])
def test_a_precise_file_is_the_avatar_in_every_frame(avatar: Avatar, name: str) -> None:
    file = parse_glb(glb_bytes(avatar, avatar.motions, precise=True))
    assert_same(file.pose(), sorted_by_binding(avatar).gaussians)
    expected = sorted_by_binding(avatar).repose(poses(avatar, name))
    for frame in FRAMES:
        assert_same(file.pose(name, frame / 10), expected[frame])


@pytest.mark.parametrize("name", ["captured", "turning"])
def test_what_is_in_a_small_file_is_posed_as_we_pose_it(avatar: Avatar, name: str) -> None:
    file = parse_glb(glb_bytes(avatar, avatar.motions))
    expected = as_avatar(file, avatar).repose(poses(avatar, name))
    for frame in FRAMES:
        assert_same(file.pose(name, frame / 10), expected[frame])


def test_a_small_file_is_the_avatar_but_for_rounding(avatar: Avatar) -> None:
    file = parse_glb(glb_bytes(avatar, avatar.motions))
    own = sorted_by_binding(avatar)
    expected = own.repose(poses(avatar, "captured"))[2]
    found = file.pose("captured", 0.2)
    four = own.weights[own.binding].topk(4, 1).values.sum(1) > 1 - 1e-6  # others have lost a weight
    assert four.float().mean() > 0.9
    apart = np.linalg.norm(found.means - expected.means.numpy(), axis=1)[four.numpy()]
    assert apart.max() < 5e-5  # metres
    assert abs(found.scales - expected.scales.numpy()).max() < 1e-5
    assert abs(found.opacities - expected.opacities.numpy()).max() < 0.51 / 255
    assert abs(found.colors - expected.colors.numpy()).max() < 0.51 / 255
    turned = matrix_to_quaternion(torch.from_numpy(found.rotations).float())[four]
    cosines = (turned * normalize(expected.quats, dim=-1)[four]).sum(-1).abs()
    assert torch.rad2deg(2 * cosines.clamp(max=1).acos()).max() < 1


def test_between_two_frames_the_short_way_is_taken(avatar: Avatar) -> None:
    file = parse_glb(glb_bytes(avatar, avatar.motions, precise=True))
    root = file.skin_matrices("turning", 0.15)[0]  # between frames 1 and 2
    angle = 8 / 3 * 1.5
    np.testing.assert_allclose(root[0, :3], [np.cos(angle), 0, np.sin(angle)], atol=1e-5)


def test_weights_that_do_not_fit_are_counted(said: pytest.LogCaptureFixture) -> None:
    many = small_avatar(BodyModel(open_smplx()), 3000)
    dropped = int(((many.weights > 0).sum(1) > 4)[many.binding].sum())
    assert dropped
    small, precise = (parse_glb(glb_bytes(many, precise=precise)) for precise in (False, True))
    assert [record.message for record in said.records] == [
        f"{dropped} of 3000 Gaussians follow more than four joints: the four that count most are kept"
    ]
    assert small.weights.shape == (3000, 4)
    assert precise.weights.shape == (3000, 8)


def test_the_file_says_what_a_reader_needs(avatar: Avatar) -> None:
    file = parse_glb(glb_bytes(avatar, avatar.motions))
    footprint = {"variance": 0.3, "focal": 300.0, "distance": 3.0}
    betas = avatar.betas.tolist()
    assert file.extension == {"version": 1, "rotation": "polar", "footprint": footprint, "betas": betas}
    assert file.asset["extras"] == dict(avatar.about)
    assert file.asset["copyright"] == avatar.about["licence"]
    assert [file.nodes.names[node] for node in file.skin] == list(avatar.skeleton.names)
    assert {name: round(clip.duration, 6) for name, clip in file.clips.items()} == {"captured": 0.4, "turning": 0.3}


def test_65536_gaussians_are_less_than_four_megabytes(body: BodyModel) -> None:
    motions = [some_motion(24, 120, name) for name in ("captured", "walk", "wave")]
    content = glb_bytes(small_avatar(body, 65536), motions)
    assert len(content) < 4_000_000
    assert len(gzip.compress(content, 6)) < 2_000_000  # of random splats; those of people take less


def test_the_validator_knows_all_but_the_extension(avatar: Avatar, tmp_path: Path) -> None:
    for name, precise in (("small.glb", False), ("precise.glb", True)):
        (tmp_path / name).write_bytes(glb_bytes(avatar, avatar.motions, precise))
        issues = json.loads(run_node(VALIDATE, "gltf-validator", tmp_path / name))
        errors = [f"{issue['message']} {issue['pointer']}" for issue in issues if issue["severity"] < 2]
        splats = "/meshes/0/primitives/0/attributes/KHR_gaussian_splatting:"
        expected = ("ROTATION", "SCALE", "OPACITY", "SH_DEGREE_0_COEF_0")
        assert errors == [f"Invalid attribute name. {splats}{attribute}" for attribute in expected]
        assert {issue["code"] for issue in issues if issue["severity"] >= 2} == {"UNSUPPORTED_EXTENSION"}


def test_three_moves_the_same_bones(avatar: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(glb_bytes(avatar, avatar.motions))
    found = json.loads(run_node(LOAD_IN_THREE, "three", path, "captured", "0.2"))
    assert found["points"] == len(avatar)
    assert found["clips"] == {"captured": pytest.approx(0.4), "turning": pytest.approx(0.3)}
    assert found["bones"] == list(avatar.skeleton.names)
    expected = read_glb(path).skin_matrices("captured", 0.2)
    np.testing.assert_allclose(np.reshape(found["matrices"], (-1, 4, 4)).swapaxes(1, 2), expected, atol=1e-5)


VALIDATE = """
import fs from "fs";
import validator from "gltf-validator";
const report = await validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])), {maxIssues: 1000});
console.log(JSON.stringify(report.issues.messages));
"""

LOAD_IN_THREE = """
import fs from "fs";
import { AnimationMixer } from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
globalThis.self ??= globalThis;
const [file, name, time] = process.argv.slice(2);
const content = new Uint8Array(fs.readFileSync(file)).buffer;
const gltf = await new GLTFLoader().parseAsync(content, "");
const skin = await gltf.parser.getDependency("skin", 0);
let points;
gltf.scene.traverse((object) => { if (object.isPoints) points = object; });
const mixer = new AnimationMixer(gltf.scene);
mixer.clipAction(gltf.animations.find((clip) => clip.name === name)).play();
mixer.setTime(Number(time));
gltf.scene.updateMatrixWorld(true);
console.log(JSON.stringify({
  points: points.geometry.attributes.position.count,
  clips: Object.fromEntries(gltf.animations.map((clip) => [clip.name, clip.duration])),
  bones: skin.bones.map((bone) => bone.name),
  matrices: skin.bones.map((bone, j) => bone.matrixWorld.clone().multiply(skin.boneInverses[j]).elements),
}));
"""


def rewritten(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """The file with another JSON."""
    (length,) = struct.unpack_from("<I", content, 12)
    document = json.loads(content[20 : 20 + length])
    change(document)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(text) + len(rest), len(text), b"JSON") + text + rest


def primitive(document: dict[str, Any]) -> dict[str, Any]:
    return document["meshes"][0]["primitives"][0]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda content: content[: len(content) // 2], "as many bytes as it says"),
        (lambda content: b"", "unpack_from requires"),
        (lambda content: b"PK" + content[2:], "the header of glTF 2"),
        (lambda content: rewritten(content, lambda d: d.pop("skins")), "no 'skins'"),
        (
            lambda content: rewritten(content, lambda d: primitive(d)["extensions"].clear()),
            "no 'KHR_gaussian_splatting'",
        ),
        (lambda content: rewritten(content, lambda d: d["accessors"][0].update(count=10**12)), "outside the buffer"),
        (lambda content: rewritten(content, lambda d: d["bufferViews"][0].update(byteOffset=-4)), "outside the buffer"),
        (lambda content: rewritten(content, lambda d: d["nodes"][1].update(children=[1])), "nodes in a circle"),
        (
            lambda content: rewritten(
                content,
                lambda d: primitive(d)["extensions"]["KHR_gaussian_splatting"]["extensions"][
                    "HGG_skinned_splats"
                ].update(version=2),
            ),
            "of version 1, found 2",
        ),
    ],
)
def test_a_wrong_file_is_one_line(body: BodyModel, tmp_path: Path, spoil: Callable[[bytes], bytes], said: str) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(spoil(glb_bytes(small_avatar(body, 20))))
    with pytest.raises(UserError, match=re.escape(said)) as caught:
        read_glb(path).pose()
    assert str(caught.value).startswith(f"{path}: expected a .glb file of skinned splats, found")


def test_a_wrong_bit_is_refused_or_read_as_it_stands(body: BodyModel, tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    path.write_bytes(glb_bytes(small_avatar(body, 4)))  # mostly JSON, which has no digest
    outcomes = flip_bits(path, lambda: read_glb(path), lambda file: isinstance(file, SkinnedSplats), 150)
    assert outcomes["refused"] > 10
    assert not outcomes["wrong"]
