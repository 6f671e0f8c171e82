"""LGM: its state against the published one, its cameras against projection, and the backbone as a whole."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import trimesh
from safetensors.torch import save_file
from torch import Tensor

from hgg_pyg.backbones import Moment
from hgg_pyg.backbones.lgm import LGM, PRESETS, LGMBackbone, LGMConfig
from hgg_pyg.backbones.lgm.anchors import body_anchors
from hgg_pyg.backbones.lgm.backbone import to_world
from hgg_pyg.backbones.lgm.cameras import (
    FOVY,
    RADIUS,
    LGMFrame,
    crop_cameras,
    crop_images,
    focal_length,
    lgm_frame,
    network_input,
    rays,
)
from hgg_pyg.backbones.lgm.checkpoint import load_lgm, save_lgm
from hgg_pyg.backbones.lgm.network import activate
from hgg_pyg.body import BodyModel
from hgg_pyg.data import frame_sources
from hgg_pyg.types import BodyPose, Cameras, Gaussians, UserError

TABLES = Path(__file__).parent / "lgm_tables"


@pytest.mark.parametrize("preset", ["big", "small", "tiny"])
def test_every_weight_of_the_public_release_has_its_place(preset) -> None:
    with torch.device("meta"):
        model = LGM(PRESETS[preset])
    found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    lines = (TABLES / f"lgm_state_dict_{preset}.txt").read_text().splitlines()
    expected = {}
    for line in lines[1:]:
        name, shape = line.split("\t")
        expected[name] = tuple(int(x) for x in re.findall(r"\d+", shape))
    assert found == expected
    count = sum(math.prod(shape) for shape in found.values())
    assert f"params={count} " in lines[0]


@pytest.mark.parametrize(
    ("preset", "size", "gaussians", "width"), [("big", 256, 65_536, 128), ("tiny", 256, 16_384, 128)]
)
def test_shapes_of_the_public_presets(preset, size: int, gaussians: int, width: int) -> None:
    with torch.device("meta"):
        predicted = LGM(PRESETS[preset])(torch.empty(2, 4, 9, size, size))
    assert predicted.raw.shape == (2, gaussians, 14)
    assert predicted.hidden.shape == (2, gaussians, width)
    assert predicted.quats.shape == (2, gaussians, 4)


def micro(seed: int = 0) -> LGM:
    torch.manual_seed(seed)
    return LGM(PRESETS["micro"]).eval().requires_grad_(False)


def test_the_small_preset_of_ours_is_small() -> None:
    assert sum(p.numel() for p in micro().parameters()) < 2e6


def test_gaussians_stand_view_by_view_and_row_by_row() -> None:
    """The numbers of a Gaussian are those of its pixel, as the last convolution gives them."""
    network, inputs = micro(), torch.randn(2, 4, 9, 32, 48, generator=torch.Generator().manual_seed(1))
    output, hidden = network.unet(inputs.flatten(0, 1), 4)
    raw, predicted = network.conv(output), network(inputs, torch.zeros(2, 4 * 16 * 24, 3))
    pixel = (1 * 4 + 3, slice(None), 5, 7)  # second object, fourth view
    at = (3 * 16 + 5) * 24 + 7
    torch.testing.assert_close(predicted.raw[1, at], raw[pixel])
    torch.testing.assert_close(predicted.hidden[1, at], hidden[pixel])


def test_views_of_an_object_see_one_another_and_no_other_object() -> None:
    network, inputs = micro(), torch.randn(2, 4, 9, 32, 32, generator=torch.Generator().manual_seed(1))
    anchors = torch.zeros(2, 4 * 16 * 16, 3)
    before = network(inputs, anchors).raw.view(2, 4, -1, 14)
    inputs[0, 3] += 1
    after = network(inputs, anchors).raw.view(2, 4, -1, 14)
    assert (after[0, 0] - before[0, 0]).abs().max() > 1e-4
    torch.testing.assert_close(after[1], before[1])


def test_activations() -> None:
    raw = torch.tensor([[[-2.0, 0.5, 2, 0, 0, 1, -50, 0, 3, 0, 4, 0, 100, -100]]])
    found = activate(raw, raw)
    assert found.means[0, 0].tolist() == [-1, 0.5, 1]
    assert float(found.opacities) == 0.5
    torch.testing.assert_close(found.scales[0, 0], torch.tensor([0.0693147, 0.1313262, 0.0]))
    torch.testing.assert_close(found.quats[0, 0], torch.tensor([0, 0.6, 0, 0.8]))
    assert found.colors[0, 0].tolist() == [0.5, 1, 0]


def test_anchors_are_where_positions_start_from() -> None:
    network, inputs = micro(), torch.randn(1, 4, 9, 32, 32, generator=torch.Generator().manual_seed(1))
    anchors = torch.rand(1, 4 * 16 * 16, 3, generator=torch.Generator().manual_seed(2)) - 0.5
    still, moved = network(inputs, torch.zeros_like(anchors)), network(inputs, anchors)
    assert torch.equal(still.raw, moved.raw)
    inside = (still.means + anchors).abs() < 1
    torch.testing.assert_close(moved.means[inside], (still.means + anchors)[inside])
    with pytest.raises(ValueError, match="expected anchors given"):
        network(inputs)
    with torch.device("meta"), pytest.raises(ValueError, match="expected anchors None"):
        LGM(PRESETS["tiny"])(torch.empty(1, 4, 9, 64, 64), torch.empty(1, 16, 3))


def test_anchors_lie_on_the_rays_and_on_the_body(body: BodyModel) -> None:
    """Of a ball: every ray that meets it ends on it; the others lie on their ray, as deep as the ball is."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    vertices, faces = torch.tensor(ball.vertices, dtype=torch.float32), torch.tensor(ball.faces)
    frame = LGMFrame(torch.eye(3), 1.0, torch.zeros(3))
    middle = scattered_cameras()
    cameras = crop_cameras(middle, replace(frame, center=torch.tensor([0.3, 1, -0.2])), 24)
    vertices = vertices + torch.tensor([0.3, 1, -0.2])
    anchors = body_anchors(cameras, vertices, faces).view(4, 24, 24, 3)
    origins, directions = rays(cameras)
    away = anchors - origins
    along = (away * directions).sum(-1)
    torch.testing.assert_close(along[..., None] * directions, away, rtol=0, atol=1e-4)
    radius = (anchors - torch.tensor([0.3, 1, -0.2])).norm(dim=-1)
    nearest = torch.linalg.cross(torch.tensor([0.3, 1, -0.2]) - origins, directions).norm(dim=-1)  # of the ray
    assert (nearest < 0.39).sum() > 50
    torch.testing.assert_close(radius[nearest < 0.39], torch.full_like(radius, 0.4)[nearest < 0.39], rtol=0, atol=2e-3)
    distance = (middle.centers - torch.tensor([0.3, 1, -0.2])).norm(dim=-1)[:, None, None]
    assert ((along - distance).abs() < 0.6).all()
    aside = body_anchors(cameras[:1], vertices + 50, faces)
    assert aside.isfinite().all()


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[B, V, 9, H, W\] with sides that 8 divides, found \(1, 4, 9, 36, 32\)"):
        micro()(torch.zeros(1, 4, 9, 36, 32))


def scattered_cameras(seed: int = 0, width: int = 160, height: int = 120) -> Cameras:
    """Four cameras at unequal distances that look past a person at (0.3, 1, -0.2)."""
    generator = torch.Generator().manual_seed(seed)
    viewmats, Ks = [], []
    for view in range(4):
        angle = view * math.pi / 2 + 0.2
        forward = torch.nn.functional.normalize(torch.tensor([math.cos(angle), 0.1, math.sin(angle)]), dim=0)
        target = torch.tensor([0.3, 1, -0.2]) + 0.2 * torch.randn(3, generator=generator)
        right = torch.nn.functional.normalize(torch.linalg.cross(torch.tensor([0.0, -1, 0]), forward), dim=0)
        rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
        viewmat = torch.eye(4)
        viewmat[:3, :3] = rotation
        viewmat[:3, 3] = -rotation @ (target - (2.5 + 0.6 * view) * forward)
        viewmats.append(viewmat)
        Ks.append(torch.tensor([[150.0 + 9 * view, 0, 82], [0, 155.0 + 9 * view, 57], [0, 0, 1]]))
    return Cameras(torch.stack(viewmats), torch.stack(Ks), width, height)


def person(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    box = torch.rand(200, 3, generator=generator) - 0.5
    return torch.tensor([0.3, 1, -0.2]) + box * torch.tensor([0.6, 1.7, 0.4])


def project(points: Tensor, cameras: Cameras) -> Tensor:
    """[N, 3] -> [V, N, 2] pixels"""
    seen = points @ cameras.viewmats[:, :3, :3].mT + cameras.viewmats[:, None, :3, 3]
    pixels = seen @ cameras.Ks.mT
    return pixels[..., :2] / pixels[..., 2:]


def test_a_point_is_seen_at_one_pixel_in_either_world() -> None:
    points, cameras = person(), scattered_cameras()
    frame = lgm_frame(points, cameras)
    crops = crop_cameras(cameras, frame, 256)
    here, there = project(points, crops), project(frame.points_to_lgm(points), frame.cameras_to_lgm(crops))
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(frame.points_to_world(frame.points_to_lgm(points)), points)
    # All of the person is in every crop, and its centre in the middle, at the scale of LGM's training.
    assert ((here > 0) & (here < 256)).all()
    torch.testing.assert_close(project(frame.center[None], crops), torch.full((4, 1, 2), 128.0), rtol=0, atol=1e-2)
    up = project(frame.points_to_world(torch.tensor([[0, 0.01, 0]])), crops) - 128
    torch.testing.assert_close(
        up.norm(dim=-1)[:, 0] / 0.01, torch.full((4,), focal_length(256) / RADIUS), rtol=0.1, atol=0
    )


def test_lgm_s_own_cameras_stay_as_they_are() -> None:
    """Radius 1.5 in some unit, 49.1 degrees, on the person: view 0 is (I, z = 1.5) and the intrinsics do not change."""
    size, metres = 64, 2.0  # metres for each of LGM's units
    viewmats = []
    for azimuth in (0.3, 0.3 + math.pi / 2, 0.3 + math.pi, 0.3 + 1.5 * math.pi):
        rotation = torch.tensor(
            [[math.cos(azimuth), 0, math.sin(azimuth)], [0, 1, 0], [-math.sin(azimuth), 0, math.cos(azimuth)]]
        )
        viewmat = torch.eye(4)
        viewmat[:3, :3] = torch.diag(torch.tensor([1.0, -1, -1])) @ rotation
        viewmat[:3, 3] = torch.tensor([0, 0, RADIUS * metres])
        viewmats.append(viewmat)
    focal = 0.5 * size / math.tan(FOVY / 2)
    K = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    cameras = Cameras(torch.stack(viewmats), K.expand(4, 3, 3), size, size)
    corner = torch.tensor([0.0, 0.6 * metres, 0])
    frame = lgm_frame(torch.stack([corner, -corner]), cameras)
    assert frame.scale == pytest.approx(1 / metres)
    crops = crop_cameras(cameras, frame, size)
    torch.testing.assert_close(crops.Ks, cameras.Ks)
    seen = frame.cameras_to_lgm(crops)
    torch.testing.assert_close(seen.centers[0], torch.tensor([0, 0, RADIUS]), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen.viewmats[0, :3, :3], torch.diag(torch.tensor([1.0, -1, -1])), rtol=0, atol=1e-6)
    torch.testing.assert_close(seen.centers.norm(dim=-1), torch.full((4,), RADIUS))


def test_rays_go_through_what_is_seen() -> None:
    cameras = scattered_cameras()
    origins, directions = rays(cameras)
    points = origins + 2.5 * directions
    pixels = torch.stack([project(points[v].reshape(-1, 3), cameras)[v] for v in range(4)]).view(4, 120, 160, 2)
    x, y = torch.meshgrid(torch.arange(160) + 0.5, torch.arange(120) + 0.5, indexing="xy")
    torch.testing.assert_close(pixels, torch.stack([x, y], -1).expand(4, -1, -1, -1), rtol=0, atol=1e-2)
    made = network_input(torch.full((4, 120, 160, 3), 0.5), cameras)
    assert made.shape == (4, 9, 120, 160)
    torch.testing.assert_close(made[:, 6:].norm(dim=1), torch.ones(4, 120, 160))
    assert (made[:, 3:6] * made[:, 6:]).sum(1).abs().max() < 1e-5


@pytest.mark.parametrize("size", [256, 24])
def test_crops_show_what_their_cameras_say(size: int) -> None:
    """An image whose colour is linear in its pixels, enlarged and shrunk: still linear, in the crop's pixels."""
    points, cameras = person(), scattered_cameras()
    x, y = torch.meshgrid(torch.arange(160) + 0.5, torch.arange(120) + 0.5, indexing="xy")
    gradient = torch.stack([x / 160, y / 120, torch.zeros_like(x)], -1).expand(4, -1, -1, -1)
    crops = crop_cameras(cameras, lgm_frame(points, cameras), size)
    shown, mask = crop_images(gradient, torch.ones(4, 120, 160), cameras, crops)
    slope = cameras.Ks[:, [0, 1], [0, 1]] / crops.Ks[:, [0, 1], [0, 1]]
    inside = mask > 0.999
    for axis, scale in ((0, 160), (1, 120)):
        pixel = torch.arange(size) + 0.5
        place = (pixel - crops.Ks[:, axis, 2, None]) * slope[:, axis, None] + cameras.Ks[:, axis, 2, None]
        place = place[:, None, :] if axis == 0 else place[:, :, None]
        expected = (place / scale).expand(-1, size, size)
        within = inside & (expected > 0.05) & (expected < 0.95)
        assert within.any()
        torch.testing.assert_close(shown[..., axis][within], expected[within], rtol=0, atol=2e-3)
    assert (shown[mask == 0] == 1).all()


def save(network: LGM, path: Path) -> Path:
    save_file(network.state_dict(), path)
    return path


def test_weights_that_do_not_fit_are_named(tmp_path) -> None:
    path = save(micro(), tmp_path / "micro.safetensors")
    assert torch.equal(load_lgm(path, "micro").network.conv.weight, micro().conv.weight)
    assert load_lgm(path, "micro").size == 256
    save_lgm(micro(), "micro", 96, path)
    loaded = load_lgm(path)  # the file says what it is
    assert (loaded.preset, loaded.size) == ("micro", 96)
    assert load_lgm(path, size=64).size == 64
    save_file(micro().state_dict(), path, {"preset": "huge"})
    with pytest.raises(UserError, match="preset: expected one of big, small, tiny, micro, found 'huge'"):
        load_lgm(path)
    with pytest.raises(UserError, match=r"model_fp16_fixrot.safetensors \(830 MB, preset big\).*--backbone.checkpoint"):
        load_lgm(None)
    with pytest.raises(UserError, match="no such file"):
        load_lgm(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"\d+ weights are not those of preset tiny: (unet|conv)\S+: expected .*;.*;"):
        load_lgm(path, "tiny")
    save_file({f"model.module.{name}": tensor for name, tensor in micro().state_dict().items()}, path)
    assert torch.equal(load_lgm(path, "micro").network.conv.weight, micro().conv.weight)
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="expected a safetensors file"):
        load_lgm(path, "micro")
    state = micro().state_dict()
    del state["conv.bias"]
    save_file(state, path)
    with pytest.raises(UserError, match=r"1 weights .* conv.bias: expected \(14,\), found none"):
        load_lgm(path, "micro")


@pytest.fixture
def backbone(tmp_path) -> LGMBackbone:
    return LGMBackbone(LGMConfig(save(micro(), tmp_path / "micro.safetensors"), "micro", 64))


def test_features_do_not_depend_on_where_the_person_stands(backbone, body: BodyModel) -> None:
    """Move the body and all cameras: the same Gaussians, moved along, with the same features."""
    generator = torch.Generator().manual_seed(0)
    angles = 0.2 * torch.randn(1, 69, generator=generator)
    cameras = scattered_cameras()
    images, masks = torch.rand(4, 120, 160, 3, generator=generator), torch.ones(4, 120, 160)
    found: list[tuple[Gaussians, Tensor, Tensor]] = []
    for yaw, shift in ((0.0, [0.3, 1, -0.2]), (0.7, [4.0, 0.5, 2.0])):
        pose = BodyPose(torch.zeros(10), torch.tensor([[0, yaw, 0]]), angles, torch.tensor([shift]))
        posed = body.pose(pose)
        # the root rotates about its joint, so what moves the body is read off a vertex's map
        move = posed.vertex_transforms[0, 0] @ torch.linalg.inv(found[0][1]) if found else torch.eye(4)
        seen = Cameras(cameras.viewmats @ torch.linalg.inv(move), cameras.Ks, 160, 120)
        standing = (posed.vertices[0], posed.vertex_transforms[0], body.faces)
        gaussians = backbone(Moment("someone", 0, seen, *standing, lambda: (images, masks)))
        found.append((gaussians, posed.vertex_transforms[0, 0], move))
    (first, _, _), (second, _, move) = found
    assert first.features is not None
    assert second.features is not None
    assert first.features.shape == (4 * 32 * 32, backbone.feature_dim)
    torch.testing.assert_close(second.means, first.means @ move[:3, :3].T + move[:3, 3], rtol=1e-4, atol=1e-3)
    same = (first.features - second.features).abs().amax(1) < 2e-2
    assert same.double().mean() > 0.98  # but where two vertices are equally near
    torch.testing.assert_close(first.scales, second.scales, rtol=1e-3, atol=1e-5)


def test_orientations_come_back_with_the_frame() -> None:
    """A Gaussian's covariance in our world, rotated into LGM's frame and scaled, is what the network said."""
    points, cameras = person(), scattered_cameras()
    frame = lgm_frame(points, cameras)
    raw = torch.randn(1, 50, 14, generator=torch.Generator().manual_seed(0))
    predicted = activate(raw, raw)
    world = to_world(predicted, frame)

    def covariance(quats: Tensor, scales: Tensor) -> Tensor:
        w, x, y, z = quats.unbind(-1)
        rows = [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)]  # fmt: skip
        axes = torch.stack(rows, -1).unflatten(-1, (3, 3)) * scales[..., None, :]
        return axes @ axes.mT

    ours = covariance(world.quats, world.scales)
    expected = covariance(predicted.quats[0], predicted.scales[0])
    found = frame.scale**2 * frame.rotation @ ours @ frame.rotation.T
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_wrong_inputs_of_the_backbone(backbone, body: BodyModel) -> None:
    cameras = scattered_cameras()
    images, masks = torch.rand(4, 120, 160, 3), torch.ones(4, 120, 160)
    rest = torch.eye(4).expand(body.num_vertices, 4, 4)
    moment = Moment("someone", 0, cameras, body.v_template, rest, body.faces, lambda: (images[:3], masks))
    with pytest.raises(ValueError, match=r"images: expected \(4, 120, 160, 3\), found \(3, 120, 160, 3\)"):
        backbone(moment)
    with pytest.raises(ValueError, match="expected 4 views, found 3"):
        backbone(replace(moment, cameras=cameras[:3]))
    with pytest.raises(ValueError, match="multiple of 32, found 100"):
        replace(backbone.config, size=100)


def test_another_number_of_views_is_refused_before_any_work(backbone, body: BodyModel, tmp_path) -> None:
    with pytest.raises(UserError, match=r"^input_views: this backbone takes 4 views, found 3"):
        frame_sources([], 3, backbone, body, tmp_path)


def test_the_digest_follows_the_weights(tmp_path) -> None:
    digests = set()
    for seed, size in ((0, 64), (1, 64), (0, 96)):
        path = save(micro(seed), tmp_path / f"{seed}.safetensors")
        digests.add(LGMBackbone(LGMConfig(path, "micro", size)).digest)
    assert len(digests) == 3
