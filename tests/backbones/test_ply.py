"""Gaussians from files: how they are brought into the world, and their features."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gsplat import export_splats
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import normalize

from graphs import GraphSpec
from hgg_pyg.backbones import (
    BackboneConfig,
    Moment,
    PlyBackbone,
    PlyConfig,
    SurfaceBackbone,
    SurfaceConfig,
    make_backbone,
)
from hgg_pyg.backbones.ply import move_gaussians, read_similarity
from hgg_pyg.body import BodyModel, unpose_gaussians
from hgg_pyg.data import frame_sources, load_clip, open_captures
from hgg_pyg.io.splats import read_ply, write_ply
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, Cameras, Gaussians, UserError


def matrices(quats: Tensor) -> Tensor:
    return torch.from_numpy(Rotation.from_quat(quats.double().numpy()[:, [1, 2, 3, 0]]).as_matrix())


def covariance(gaussians: Gaussians) -> Tensor:
    """R S S R^T [M, 3, 3] float64"""
    axes = matrices(gaussians.quats) * gaussians.scales.double()[:, None]
    return axes @ axes.mT


def similarity(scale: float = 1.0, seed: int = 0, shift: tuple[float, float, float] = (0.3, -2, 5)) -> Tensor:
    matrix = np.eye(4)
    matrix[:3, :3] = scale * Rotation.from_rotvec(2 * np.random.default_rng(seed).normal(size=3)).as_matrix()
    matrix[:3, 3] = shift
    return torch.from_numpy(matrix)


def no_pixels() -> tuple[Tensor, Tensor]:
    raise AssertionError("the images were read")


@pytest.fixture(scope="module")
def standing(body: BodyModel) -> tuple[Tensor, Tensor]:
    """Vertices and their maps of one pose."""
    generator = torch.Generator().manual_seed(3)
    posed = body.pose(
        BodyPose(torch.zeros(10), torch.zeros(1, 3), 0.2 * torch.randn(1, 69, generator=generator), torch.ones(1, 3))
    )
    return posed.vertices[0], posed.vertex_transforms[0]


@pytest.fixture(scope="module")
def gaussians(standing) -> Gaussians:
    """About the body, and one far away."""
    generator, (vertices, _) = torch.Generator().manual_seed(0), standing
    near = torch.randint(len(vertices), (400,), generator=generator)
    made = Gaussians(
        means=vertices[near] + 0.02 * torch.randn(400, 3, generator=generator),
        quats=normalize(torch.randn(400, 4, generator=generator), dim=1),
        scales=0.003 + 0.02 * torch.rand(400, 3, generator=generator),
        opacities=torch.rand(400, generator=generator),
        colors=1.2 * torch.rand(400, 3, generator=generator) - 0.1,
    )
    made.means[17] = torch.tensor([500.0, 0, 0])
    return made


@pytest.fixture(scope="module")
def moment(standing, body: BodyModel) -> Moment:
    cameras = Cameras(torch.eye(4)[None], torch.eye(3)[None], 8, 8)
    vertices, vertex_transforms = standing
    return Moment("someone", 7, cameras, vertices, vertex_transforms, body.faces, no_pixels)


def stored(folder: Path, gaussians: Gaussians, **options) -> PlyBackbone:
    write_ply(folder / "someone" / "00000007.ply", gaussians)
    return PlyBackbone(PlyConfig(folder, **options))


def column(backbone: PlyBackbone, gaussians: Gaussians, name: str) -> Tensor:
    """The features of one name. [M, width]"""
    assert gaussians.features is not None
    where = [i for i, full in enumerate(backbone.feature_names) if full in (name, f"{name}_{full[-1]}")]
    return gaussians.features[:, where]


def test_a_frame_s_file_becomes_the_frame_s_gaussians(tmp_path, gaussians, moment) -> None:
    backbone = stored(tmp_path, gaussians)
    found = backbone(moment)
    assert found.features is not None
    assert found.features.shape == (400, backbone.feature_dim)
    assert len(set(backbone.feature_names)) == backbone.feature_dim == 20
    expected = read_ply(tmp_path / "someone" / "00000007.ply")
    for name in ("means", "quats", "scales", "opacities"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert torch.equal(found.colors, expected.colors.clamp(0, 1))
    assert (found.colors != expected.colors).any()
    assert all(tensor.dtype == torch.float32 for tensor in (found.means, found.features))
    again = backbone(moment)
    assert again.features is not None
    assert torch.equal(found.features, again.features)


def test_features_say_what_they_are_named_after(tmp_path, gaussians, moment, standing) -> None:
    backbone = stored(tmp_path, gaussians)
    found, (vertices, vertex_transforms) = backbone(moment), standing
    away = (found.means[:, None] - vertices).norm(dim=-1)
    nearest = away.argmin(1)
    rotations = torch.linalg.svd(vertex_transforms[nearest, :3, :3].double())
    rotations = rotations.U @ rotations.Vh  # rest pose to world
    offset = (rotations.mT @ (found.means - vertices[nearest])[..., None].double())[..., 0]
    found_offset = column(backbone, found, "offset").double()
    torch.testing.assert_close(found_offset, (offset / 0.05).clamp(-100, 100), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        matrices(column(backbone, found, "rotation")), rotations.mT @ matrices(found.quats), rtol=0, atol=1e-5
    )
    assert (column(backbone, found, "rotation")[:, 0] >= 0).all()
    assert torch.equal(column(backbone, found, "opacity")[:, 0], found.opacities)
    torch.testing.assert_close(column(backbone, found, "size").exp() * 0.02, found.scales)
    torch.testing.assert_close(column(backbone, found, "color") * 0.25 + 0.5, found.colors)
    order = torch.cdist(found.means.double(), found.means.double()).argsort(1)[:, :16]
    weights = found.opacities[order]
    mean = (weights[..., None] * found.colors[order]).sum(1) / weights.sum(1, keepdim=True)
    torch.testing.assert_close(column(backbone, found, "color_near") * 0.25 + 0.5, mean, rtol=0, atol=1e-5)
    normal = column(backbone, found, "normal").double()
    torch.testing.assert_close(normal.norm(dim=1), torch.ones(400, dtype=torch.float64))
    assert ((normal * offset).sum(1) > 0).all()
    shortest = found.scales.double().amin(1)
    world = (rotations @ normal[..., None])[..., 0]
    # an eigenvector of the covariance with the smallest eigenvalue
    pressed = (covariance(found) @ world[..., None])[..., 0]
    torch.testing.assert_close(pressed, shortest[:, None] ** 2 * world, rtol=0, atol=1e-8)


def test_features_move_with_the_body(tmp_path, gaussians, moment) -> None:
    backbone = stored(tmp_path / "here", gaussians)
    here = backbone(moment)
    motion = similarity(1.0, seed=4)
    vertices = (moment.vertices.double() @ motion[:3, :3].T + motion[:3, 3]).float()
    elsewhere = replace(
        moment, vertices=vertices, vertex_transforms=(motion @ moment.vertex_transforms.double()).float()
    )
    there = stored(tmp_path / "there", move_gaussians(gaussians, motion))(elsewhere)
    assert here.features is not None
    assert there.features is not None
    same = (here.features - there.features).abs().amax(1) < 1e-3
    assert same.double().mean() > 0.99  # but where two vertices, or the 16th and 17th neighbour, are equally near
    assert (here.means - there.means).norm(dim=1).min() > 1


def test_files_of_another_world_are_brought_into_ours(tmp_path, gaussians, moment) -> None:
    expected = stored(tmp_path / "ours", gaussians)(moment)
    to_ours = similarity(0.01, seed=1)
    theirs = move_gaussians(gaussians, torch.linalg.inv(to_ours))
    assert theirs.scales.median() > 0.5
    for name, pattern in (("world.txt", "world.txt"), ("someone/world.txt", "{subject}/world.txt")):
        folder = tmp_path / name.replace("/", "-")
        write_ply(folder / "someone" / "00000007.ply", theirs)
        np.savetxt(folder / name, to_ours.numpy(), header="theirs to ours")
        found = PlyBackbone(PlyConfig(folder, transform=pattern))(moment)
        torch.testing.assert_close(found.means[:17], expected.means[:17], rtol=0, atol=1e-4)
        torch.testing.assert_close(covariance(found), covariance(expected), rtol=1e-4, atol=1e-8)
        assert found.features is not None
        assert expected.features is not None
        same = (found.features - expected.features).abs().amax(1) < 1e-2
        assert same.double().mean() > 0.98
    with pytest.raises(UserError, match=r"7.ply: .*half of them more than .* m away from it: see .*ply.transform$"):
        stored(tmp_path / "forgotten", theirs)(moment)


def test_moved_gaussians_are_the_same_to_a_moved_camera() -> None:
    generator = torch.Generator().manual_seed(0)
    cloud = Gaussians(
        0.3 * torch.randn(40, 3, generator=generator),
        torch.randn(40, 4, generator=generator),
        0.02 + 0.1 * torch.rand(40, 3, generator=generator),
        torch.rand(40, generator=generator),
        torch.rand(40, 3, generator=generator),
        torch.rand(40, 5, generator=generator),
    ).to(torch.float64)
    matrix = similarity(2.5, seed=2)
    moved = move_gaussians(cloud, matrix)
    linear = matrix[:3, :3]
    torch.testing.assert_close(covariance(moved), linear @ covariance(cloud) @ linear.T, rtol=1e-10, atol=1e-12)
    assert moved.features is cloud.features
    viewmat = torch.eye(4, dtype=torch.float64)
    viewmat[2, 3] = 2
    K = torch.tensor([[40.0, 0, 16], [0, 40, 16], [0, 0, 1]], dtype=torch.float64)
    scale = linear.det() ** (1 / 3)
    follows = viewmat @ torch.linalg.inv(matrix)
    follows[:3] *= scale  # the same image, seen from `scale` times as far
    images = [render(g, Cameras(v[None], K[None], 32, 32)).rgb for g, v in ((cloud, viewmat), (moved, follows))]
    assert images[0].std() > 0.05
    torch.testing.assert_close(images[1], images[0], rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match=r"colors: expected \[M, D\], found \(40, 4, 3\)"):
        move_gaussians(replace(cloud, colors=torch.zeros(40, 4, 3)), matrix)


def test_only_the_most_opaque_are_kept_in_the_file_s_order(tmp_path, gaussians, moment) -> None:
    opacities = gaussians.opacities.clone()
    opacities[50:150] = 0.5
    backbone = stored(tmp_path, replace(gaussians, opacities=opacities), keep=220)
    found, all_of_them = backbone(moment), PlyBackbone(PlyConfig(tmp_path))(moment)
    above = all_of_them.opacities > 0.5001
    ties = (all_of_them.opacities - 0.5).abs() < 1e-5
    chosen = above | (ties & (ties.cumsum(0) <= 220 - above.sum()))
    assert 0 < 220 - above.sum() < ties.sum()
    assert torch.equal(found.means, all_of_them.means[chosen])
    assert len(PlyBackbone(PlyConfig(tmp_path, keep=10_000))(moment)) == 400
    assert len(PlyBackbone(PlyConfig(tmp_path, keep=5))(moment)) == 5  # fewer than neighbours


def test_features_of_the_strangest_files_are_finite(tmp_path, moment, standing) -> None:
    vertices, _ = standing
    strange = Gaussians(
        means=vertices[:40].clone(),
        quats=torch.eye(4)[[0, 1, 2, 3] * 10],
        scales=torch.tensor([1e-35, 1, 1e30]).expand(40, 3),
        opacities=torch.zeros(40),
        colors=torch.full((40, 3), 1e8),
    )
    strange.means[:3] = torch.tensor([1e9, -1e9, 0])
    strange.means[5:30] = strange.means[5]  # all in one place
    found = stored(tmp_path, strange)(moment)
    assert found.features is not None
    assert found.features.half().isfinite().all()
    assert found.features.abs().max() <= 100
    assert found.scales.half().isfinite().all()
    assert (found.scales.half() > 0).all()
    alone = stored(tmp_path, strange[4:5])(moment)
    assert alone.features is not None
    assert alone.features.isfinite().all()
    unseen = (strange.means, strange.scales.log(), strange.quats, torch.full((40,), -500.0), torch.zeros(40, 1, 3))
    export_splats(*unseen, torch.zeros(40, 0, 3), save_to=str(tmp_path / "someone" / "00000007.ply"))
    found = PlyBackbone(PlyConfig(tmp_path))(moment)
    assert found.features is not None
    assert (found.opacities == 0).all()
    assert found.features.isfinite().all()


def test_the_digest_follows_the_files_and_the_options(tmp_path, gaussians) -> None:
    folder = tmp_path / "files"
    np.savetxt(tmp_path / "world.txt", np.eye(4))
    digests = [stored(folder, gaussians).digest]
    assert PlyBackbone(PlyConfig(folder)).digest == digests[0]

    def changed(**options) -> None:
        digests.append(PlyBackbone(PlyConfig(folder, **options)).digest)

    changed(keep=3)
    changed(pattern="{subject}/{frame}.ply")
    (folder / "world.txt").write_bytes((tmp_path / "world.txt").read_bytes())
    changed(transform="world.txt")
    os.utime(folder / "world.txt", ns=(5, 5))
    changed(transform="world.txt")
    path = folder / "someone" / "00000007.ply"
    os.utime(path, ns=(5, 5))
    changed()
    write_ply(path, gaussians[:300])
    os.utime(path, ns=(5, 5))
    changed()
    path.rename(path.with_name("8.ply"))
    changed()
    (folder / "linked").symlink_to(folder / "someone", target_is_directory=True)
    changed()
    assert len(set(digests)) == len(digests)


def test_what_is_wrong_with_the_folder_is_said_in_one_line(tmp_path, gaussians, moment) -> None:
    advice = r"expected a folder of .ply files, found {}: give --backbone.ply.folder DIR$"
    with pytest.raises(UserError, match="^backbone ply: " + advice.format("none")):
        make_backbone(BackboneConfig("ply"))
    with pytest.raises(UserError, match=advice.format(".*nowhere")):
        PlyBackbone(PlyConfig(tmp_path / "nowhere"))
    (tmp_path / "notes.txt").write_text("no Gaussians here")
    (tmp_path / "a.ply").mkdir()
    with pytest.raises(UserError, match=f"^{tmp_path}: backbone ply: " + advice.format("none")):
        PlyBackbone(PlyConfig(tmp_path))
    backbone = stored(tmp_path, gaussians)
    missing = r"someone/00000009.ply: expected the Gaussians of frame 9 of someone, found none: see .*ply.pattern$"
    with pytest.raises(UserError, match=missing):
        backbone(replace(moment, frame=9))
    (tmp_path / "someone" / "00000007.ply").write_bytes(b"nonsense")
    with pytest.raises(UserError, match=r"00000007.ply: expected a .ply file with a whole header"):
        backbone(moment)
    with pytest.raises(UserError, match=r"world.txt: expected a 4x4 matrix, found none \(No such file"):
        PlyBackbone(PlyConfig(tmp_path, transform="world.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pattern": "{subject}.ply"}, r"PlyConfig.pattern: .*found '\{subject\}.ply'"),
        ({"pattern": "{frame}"}, r".ply at its end, found '\{frame\}'"),
        ({"pattern": "{frame}{camera}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame}{}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame.real}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame:{width}}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame}{subject:08d}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame:1000000000d}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "{frame:999d}.ply"}, "PlyConfig.pattern"),
        ({"pattern": "/abs/{frame}.ply"}, "PlyConfig.pattern: expected a relative path"),
        ({"pattern": "../{frame}.ply"}, "PlyConfig.pattern: expected a relative path"),
        ({"transform": "{frame}.txt"}, r"PlyConfig.transform: .*found '\{frame\}.txt'"),
        ({"transform": "/abs.txt"}, "PlyConfig.transform: expected a relative path"),
        ({"keep": -1}, "PlyConfig.keep: expected at least 0, found -1"),
    ],
)
def test_impossible_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        PlyConfig(**options)
    assert "\n" not in str(caught.value)


def test_what_is_no_similarity_is_refused(tmp_path) -> None:
    good, path = similarity(0.3).numpy(), tmp_path / "world.txt"
    np.savetxt(path, good, fmt="%.5f")
    torch.testing.assert_close(read_similarity(path), torch.from_numpy(good), rtol=0, atol=1e-5)

    def wrong(content: str | np.ndarray, message: str) -> None:
        path.write_text(content) if isinstance(content, str) else np.savetxt(path, content)
        with pytest.raises(UserError, match=message) as caught:
            read_similarity(path)
        assert str(caught.value).startswith(f"{path}: expected ")
        assert "\n" not in str(caught.value)

    wrong("# nothing\n\n", "found 1 by 1")
    wrong("one two", "expected a 4x4 matrix")
    wrong("1 2\n3", "expected a 4x4 matrix")
    path.write_bytes(bytes([255, 254, 0]))
    with pytest.raises(UserError, match="expected a 4x4 matrix"):
        read_similarity(path)
    wrong(good[:3], "finite numbers, found 3 by 4")
    wrong(good * np.nan, "finite numbers")
    wrong(good.T, "0 0 0 1 as the last row, found 0.3 -2 5 1")
    wrong(good @ np.diag([1, 1, 1.1, 1]), "one scale .*found singular values 0.33, 0.3, 0.3$")
    wrong(good @ np.diag([1, 1, -1, 1]), "found singular values 0.3, 0.3, 0.3, without a positive determinant")
    wrong(np.diag([0.0, 0, 0, 1]), "without a positive determinant")


def test_from_files_to_the_model_it_is_direct_binding(tmp_path, tiny_captures, body: BodyModel) -> None:
    """The whole way, from a file per frame of a capture to an avatar, and to another cache once a file has changed."""
    capture = open_captures(tiny_captures).train[0]
    surface = frame_sources([capture], 4, SurfaceBackbone(SurfaceConfig(stride=2)), body, tmp_path / "cache")[0]
    folder = tmp_path / "files"
    for frame in (0, 2):
        write_ply(folder / capture.name / f"{capture.frames[frame]:08d}.ply", surface.predict(frame))
    config = BackboneConfig("ply", ply=PlyConfig(folder))
    source = frame_sources([capture], 4, make_backbone(config), body, tmp_path / "cache")[0]
    given = read_ply(folder / capture.name / f"{capture.frames[2]:08d}.ply")
    source = replace(source, capture=source.capture.select([0, 2]))
    graph = load_clip(source, [0, 1], GraphSpec(hops=1, readout_k=3), ref_frame=1).graph
    assert graph["gaussian"].x.shape[1] == source.backbone.feature_dim
    torch.manual_seed(0)
    settings = ModelConfig(
        num_layers=1,
        hidden_channels=8,
        heads=2,
        in_channels=source.backbone.feature_dim,
        num_vertices=body.num_vertices,
    )
    avatar = HGGNet(settings).avatar(graph)
    loaded = source.load(1)
    torch.testing.assert_close(loaded.means, given.means)
    torch.testing.assert_close(loaded.opacities, given.opacities, rtol=1e-3, atol=1e-3)
    vertex_transforms = body.pose(capture.poses[[2]]).vertex_transforms[0]
    expected = unpose_gaussians(loaded, vertex_transforms, avatar.binding)
    for name in ("means", "quats", "scales", "opacities", "colors"):
        assert torch.equal(getattr(avatar.gaussians, name), getattr(expected, name)), name
    back = avatar.repose(body, capture.poses[[2]])[0]
    torch.testing.assert_close(back.means, given.means, rtol=0, atol=1e-4)
    write_ply(folder / capture.name / f"{capture.frames[2]:08d}.ply", given[1:])
    changed = frame_sources([capture], 4, make_backbone(config), body, tmp_path / "cache")[0]
    assert changed.folder != replace(source, capture=capture).folder
    assert len(changed.predict(2)) == len(given) - 1
