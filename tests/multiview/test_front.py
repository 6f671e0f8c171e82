"""Wonder3D as a front: its folder read strictly, its views before a per-frame network, and what it refuses."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("diffusers", reason='pip install "hgg_pyg[diffusion]"')

from hgg_pyg.backbones import Moment, SurfaceBackbone, SurfaceConfig
from hgg_pyg.body import BodyModel
from hgg_pyg.config import config_digest
from hgg_pyg.data import frame_sources, open_captures
from hgg_pyg.data.frames import check_views
from hgg_pyg.io.extras import import_extra
from hgg_pyg.multiview import FrontConfig, FrontedBackbone, FrontKind, FrontViews, behind_front, make_front
from hgg_pyg.multiview.clip import ClipVision, ClipVisionConfig
from hgg_pyg.multiview.codecs import LatentCodec
from hgg_pyg.multiview.cutout import alpha_on_white, check_one_person
from hgg_pyg.multiview.embedding import ClipEmbedder
from hgg_pyg.multiview.folder import VIEWS_FILE, load_model, save_model
from hgg_pyg.multiview.micro import VIEWS, micro_model
from hgg_pyg.multiview.model import MultiViewModel, Picture
from hgg_pyg.multiview.network import multi_view_unet
from hgg_pyg.multiview.preprocessing import ClipPreprocessing
from hgg_pyg.multiview.views import ViewsConfig
from hgg_pyg.types import BodyPose, Cameras, Gaussians, UserError
from tests.multiview.test_network import small


def public_kind() -> MultiViewModel:
    """Random weights in the parts that the public folder has, at 32 pixels."""
    torch.manual_seed(0)
    library = import_extra("diffusers", "diffusion", "a test")
    vae = library.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), latent_channels=4, norm_num_groups=4, layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
    )  # fmt: skip
    encoder = ClipVision(
        ClipVisionConfig(
            hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28,
            patch_size=14, projection_dim=48,
        )
    )  # fmt: skip
    scheduler = library.DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False,
        steps_offset=1,
    )  # fmt: skip
    unet = multi_view_unet({**small(), "out_channels": 4})
    embedder = ClipEmbedder(encoder, ClipPreprocessing(28, 28))
    return MultiViewModel(unet, LatentCodec(vae), embedder, scheduler, ViewsConfig(size=32, steps=2))


@pytest.fixture(scope="module")
def public_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("public") / "wonder3d"
    save_model(folder, public_kind())
    return folder


@pytest.fixture(scope="module")
def micro_folder(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("micro") / "model"
    save_model(folder, micro_model(replace(VIEWS, size=32, steps=2), (8, 16), 4))
    return folder


@pytest.fixture
def folder(public_folder, tmp_path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(public_folder, tmp_path / "wonder3d"))


def picture(size: int = 32) -> Picture:
    generator = torch.Generator().manual_seed(0)
    return Picture(torch.rand(1, 3, size, size, generator=generator), torch.ones(1, 1, size, size))


def test_a_folder_is_read_as_it_was_written(public_folder, micro_folder) -> None:
    for where, model in ((public_folder, public_kind()), (micro_folder, None)):
        loaded = load_model(where)
        assert not loaded.model.unet.training
        assert loaded.digest == load_model(where).digest
        if model is not None:
            expected, found = model.draw(picture(), normals=True), loaded.model.draw(picture(), normals=True)
            torch.testing.assert_close(expected.rgb, found.rgb)
            assert found.normals is not None
            assert found.rgb.shape == (1, 6, 3, 32, 32)
            assert (found.normals - found.rgb).abs().max() > 1e-3
    assert load_model(public_folder).digest != load_model(micro_folder).digest


def test_pickles_and_older_names_are_read(public_folder, folder) -> None:
    """What the public files are: fp16, pickles, and the VAE's attention in an older spelling."""
    for part, name in (
        ("unet", "diffusion_pytorch_model"),
        ("vae", "diffusion_pytorch_model"),
        ("image_encoder", "model"),
    ):
        path = folder / part / f"{name}.safetensors"
        state = load_file(path)
        path.unlink()
        for now, old in ((".attn_joint_mid.", ".attn_joint_twice."), (".norm_joint_mid.", ".norm_joint_twice.")):
            state = {name.replace(now, old): weight for name, weight in state.items()}
        if part == "vae":
            for now, old in ((".to_q.", ".query."), (".to_k.", ".key."), (".to_out.0.", ".proj_attn.")):
                state = {name.replace(now, old): weight for name, weight in state.items()}
        else:
            state = {name: weight.half() for name, weight in state.items()}
        if part == "image_encoder":
            state["vision_model.embeddings.position_ids"] = torch.arange(5)[None]
        torch.save(state, path.with_name("pytorch_model.bin" if part == "image_encoder" else f"{name}.bin"))
    loaded, expected = load_model(folder), load_model(public_folder)
    found, wanted = (one.model.draw(picture(), normals=True).rgb for one in (loaded, expected))
    assert (found - wanted).abs().max() < 0.05
    for part in ("unet", "vae", "image_encoder"):
        assert next((folder / part).glob("*.bin")).is_file()


class Bomb:
    def __reduce__(self):
        return print, ("ran",)


def test_what_is_wrong_with_a_folder_is_said_in_a_line(folder, tmp_path, capsys) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"

    def fails(message: str, where: Path | None = folder) -> None:
        with pytest.raises(UserError, match=message) as caught:
            load_model(where)
        assert "\n" not in str(caught.value)

    fails(r"expected weights, found none: give --front.checkpoint DIR, the folder of weights \(2.6 GB: unet/", None)
    fails(
        r"nowhere: expected the folder of weights .*flamehaze1115/wonder3d-v1.0.*no such folder", tmp_path / "nowhere"
    )
    state = load_file(weights)
    other = {f"x.{i}": torch.zeros(2) for i in range(5)}
    save_file(other, weights)
    first = r"class_embedding.linear_1.bias: expected \(32,\), found none"
    fails(rf"{re.escape(str(weights))}: \d+ weights are not those of this unet: {first}; [^;]*; [^;]*$")
    save_file({**state, "conv_in.weight": torch.zeros(8, 4, 3, 3)}, weights)
    fails(r"1 weights are not those of this unet: conv_in.weight: expected \(8, 8, 3, 3\), found \(8, 4, 3, 3\)")
    save_file({**state, "conv_in.weight": torch.full_like(state["conv_in.weight"], math.nan)}, weights)
    fails("conv_in.weight: expected finite numbers")
    weights.unlink()
    fails(r"unet: expected diffusion_pytorch_model.safetensors or .bin")
    torch.save({"conv_in.weight": Bomb()}, weights.with_suffix(".bin"))
    fails("expected a file of torch.save with tensors alone")
    assert "ran" not in capsys.readouterr().out
    weights.with_suffix(".bin").write_bytes(b"nothing of the kind")
    fails("expected a file of torch.save with tensors alone")
    weights.with_suffix(".bin").unlink()
    save_file(state, weights)
    load_model(folder)
    views = json.loads((folder / VIEWS_FILE).read_text())
    (folder / VIEWS_FILE).write_text(json.dumps({**views, "azimuths": [0, 90, 180, 200, 300, 310]}))
    fails("views.json: expected which views a model draws .*found none at 270")
    (folder / VIEWS_FILE).write_text(json.dumps(views))
    (folder / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "EulerDiscreteScheduler"}')
    fails("scheduler: _class_name: expected DDIMScheduler, found EulerDiscreteScheduler")
    for part, name, expected in (
        ("image_encoder/config.json", "hidden_size", "a number"),
        ("feature_extractor/preprocessor_config.json", "crop_size", "pixels"),
    ):
        text = (folder / part).read_text()
        (folder / part).write_text(json.dumps({k: v for k, v in json.loads(text).items() if k != name}))
        fails(f"wonder3d/{part}: {name}: expected {expected}, found none")
        (folder / part).write_text(text)
    shutil.rmtree(folder / "vae")
    fails(r"vae: expected this part of the folder of weights .* found no such folder")


@pytest.fixture(scope="module")
def moment(body: BodyModel) -> Moment:
    """A grey person who faces a camera, and the world's vertical axis."""
    return moment_of(body, 0)


def moment_of(body: BodyModel, degrees: float) -> Moment:
    turn = torch.tensor([[0.0, math.radians(degrees), 0.0]])
    posed = body.pose(BodyPose(torch.zeros(10), turn, torch.zeros(1, 69), torch.zeros(1, 3)))
    vertices = posed.vertices[0]
    viewmat = torch.eye(4)
    viewmat[:3, :3] = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    viewmat[:3, 3] = -viewmat[:3, :3] @ torch.tensor([0.0, float(vertices[:, 1].mean()), 3.0])
    K = torch.tensor([[80.0, 0, 32], [0, 80, 32], [0, 0, 1]])
    cameras = Cameras(viewmat[None], K[None], 64, 64)
    seen = vertices @ viewmat[:3, :3].mT + viewmat[:3, 3]
    u, v = (seen @ K.mT)[:, :2].T / seen[:, 2]
    mask = torch.zeros(1, 64, 64)
    mask[0, v.long().clamp(0, 63), u.long().clamp(0, 63)] = 1
    images = 1 - 0.5 * mask[..., None].expand(1, 64, 64, 3)
    up = torch.tensor([0.0, 1.0, 0.0])
    return Moment("someone", 7, cameras, vertices, posed.vertex_transforms[0], body.faces, lambda: (images, mask), up)


class Seeing(SurfaceBackbone):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__(SurfaceConfig())
        self.shown: list[Moment] = []

    def __call__(self, moment: Moment) -> Gaussians:
        self.shown.append(moment)
        return super().__call__(moment)


@pytest.mark.parametrize("kind", ["public", "micro"])
def test_a_network_behind_a_front_is_shown_four_views(kind, public_folder, micro_folder, moment, tmp_path) -> None:
    checkpoint, network = {"public": public_folder, "micro": micro_folder}[kind], Seeing()
    backbone = behind_front(network, FrontConfig("wonder3d", checkpoint), tmp_path)
    assert backbone.views == 1
    assert backbone.feature_dim == network.feature_dim
    assert backbone.digest not in (network.digest, backbone.contents[:-1])
    gaussians = backbone(moment)
    (shown,) = network.shown
    assert len(shown.cameras) == 4
    images, masks = shown.pixels()
    size = 32
    assert images.shape == (4, size, size, 3)
    assert 0.5 < float(masks[0].amax(1).sum()) / size < 0.9  # the person's height, three quarters of the picture
    assert 0.4 < float(images[0][masks[0] > 0.9].mean()) < 0.6
    assert gaussians.features is not None
    # All views look at one place: three quarters of a picture above and below it is the person.
    away = shown.cameras.centers - moment.vertices.mean(0)
    directions = torch.nn.functional.normalize(away, dim=-1)
    assert torch.allclose(directions[0], -directions[2], atol=0.1)
    assert torch.allclose(directions[1], torch.tensor([1.0, 0, 0]), atol=0.1)
    assert (away.norm(dim=-1)[1] > 50) == (kind == "public")  # orthographic views are looked at from far away


def test_views_are_drawn_once_and_kept(micro_folder, moment, tmp_path, said, monkeypatch) -> None:
    network = Seeing()
    backbone = behind_front(network, FrontConfig("wonder3d", micro_folder), tmp_path)
    assert isinstance(backbone, FrontedBackbone)
    drawn, front = [], backbone.front
    monkeypatch.setattr(type(front), "__call__", counted(type(front).__call__, drawn))
    first, second = backbone(moment), backbone(moment)
    assert len(drawn) == 1
    torch.testing.assert_close(first.means, second.means)
    (kept,) = tmp_path.rglob("someone-00000007-*.safetensors")
    kept.write_bytes(kept.read_bytes()[:-9] + b"wrong end")
    backbone(moment)
    assert len(drawn) == 2
    assert "drawn anew" in said.text
    images, masks = moment.pixels()
    backbone(replace(moment, read=lambda: (images * 0.9, masks)))
    assert len(drawn) == 3
    other = behind_front(network, FrontConfig("wonder3d", micro_folder, steps=3), tmp_path)
    assert other.digest != backbone.digest


def counted(function, calls: list):
    def call(self, moment: Moment) -> FrontViews:
        calls.append(moment)
        return function(self, moment)

    return call


def test_pictures_that_are_not_of_one_person_are_refused(micro_folder, moment) -> None:
    front = make_front(FrontConfig("wonder3d", micro_folder))
    assert front is not None
    images, masks = moment.pixels()
    with pytest.raises(UserError, match="someone, frame 7: expected a picture of one person, found nobody in its mask"):
        front(replace(moment, read=lambda: (images, torch.zeros_like(masks))))
    mask = torch.zeros(40, 60)
    mask[5:35, 5:15], mask[8:36, 40:52], mask[0, 30] = 1, 1, 1
    with pytest.raises(
        UserError, match=r"x.png: expected a picture of one person, found two in its mask, of 336 and 300"
    ):
        check_one_person(mask.numpy(), "x.png")
    mask[8:36, 40:52] = 0
    mask[20:24, 40:44] = 1  # a hand that something hides the arm of
    check_one_person(mask.numpy(), "x.png")


def test_frames_that_show_a_back_are_left_out(micro_folder, body, tiny_captures, tmp_path) -> None:
    front = make_front(FrontConfig("wonder3d", micro_folder))
    assert front is not None
    assert front.unfit(moment_of(body, 60)) is None
    assert front.unfit(moment_of(body, 180)) == (
        "the front needs a front view, and the person looks past the camera by more than 75 degrees"
    )
    backbone = behind_front(
        SurfaceBackbone(SurfaceConfig()), FrontConfig("wonder3d", micro_folder, facing=45), tmp_path
    )
    capture = open_captures(tiny_captures, 32, body, input_views=1).train[0]
    (source,) = frame_sources([capture], 1, backbone, body, tmp_path)
    usable = source.usable()
    assert 0 < len(usable.capture.frames) < len(capture.frames)
    assert "front view" in str(usable.left_out[0])
    assert len(usable.load(0)) > 0
    backwards = FrontConfig("wonder3d", micro_folder, facing=0)
    (source,) = frame_sources(
        [capture], 1, behind_front(SurfaceBackbone(SurfaceConfig()), backwards, tmp_path), body, tmp_path
    )
    assert source.usable().capture.frames == ()


def test_what_a_front_cannot_stand_before(micro_folder, tmp_path) -> None:
    backbone = behind_front(SurfaceBackbone(SurfaceConfig()), FrontConfig("wonder3d", micro_folder), tmp_path)
    with pytest.raises(
        UserError, match="input_views: --front makes four views of one: this backbone takes 1 views, found 4"
    ):
        check_views(backbone, 4)
    two = Seeing()
    two.views = 2
    with pytest.raises(UserError, match="--front: expected a per-frame network of four views, found one of 2"):
        FrontedBackbone(two, backbone.front, tmp_path)  # pyright: ignore[reportAttributeAccessIssue]
    for name, message in (
        ("wonder4d", "--front: expected none, wonder3d, or module:NAME of a front of yours; found 'wonder4d'"),
        ("tests.nowhere:X", "--front: 'tests.nowhere:X' cannot be imported from here"),
        ("math:pi", "--front: expected 'math:pi' to be a FrontKind, found float"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            make_front(FrontConfig(name))
    with pytest.raises(UserError, match="--front: expected numpyy, found none: pip install numpyy"):
        raise_missing()
    assert make_front(FrontConfig()) is None
    network = SurfaceBackbone(SurfaceConfig())
    assert behind_front(network, FrontConfig(), tmp_path) is network
    assert config_digest(FrontConfig()) == config_digest(FrontConfig())


def raise_missing() -> None:
    try:
        make_front(FrontConfig("tests.multiview.test_front:MINE"))
    except UserError as error:
        raise UserError(str(error).replace(" tests.multiview.test_front:MINE", "")) from None


class Copies:
    """A front of somebody's own: the same picture four times."""

    one_core, digest = True, "copies"

    def unfit(self, moment: Moment) -> None:
        return None

    def __call__(self, moment: Moment) -> FrontViews:
        images, masks = moment.pixels()
        return FrontViews(moment.cameras[[0] * 4], images.repeat(4, 1, 1, 1), masks.repeat(4, 1, 1))


MINE = FrontKind(name="mine", summary="", make=lambda config, device: Copies(), requires={"numpyy": "numpyy"})
COPIES = FrontKind(name="copies", summary="", make=lambda config, device: Copies())


def test_a_front_of_one_s_own(moment, tmp_path) -> None:
    network = Seeing()
    backbone = behind_front(network, FrontConfig("tests.multiview.test_front:COPIES"), tmp_path)
    assert len(backbone(moment)) > 0
    assert len(network.shown[0].cameras) == 4


def test_what_is_drawn_on_white_is_cut_out_of_it() -> None:
    rgb = torch.ones(1, 3, 20, 20)
    rgb[:, :, 4:16, 6:14] = 0.4
    rgb[:, :, 8:10, 9:11] = 1  # a white button
    rgb[:, :, 1, 1] = 0.2  # a speck
    rgb[:, :, 4, 6:14] = 0.97  # an edge, half covered
    alpha = alpha_on_white(rgb)[0, 0]
    assert alpha[5:16, 6:14].min() == 1
    assert alpha[1, 1] == alpha[0].max() == 0
    assert alpha[4, 8] == 0


def test_a_report_shows_what_was_drawn_beside_the_truth(micro_folder, body, tiny_captures, tmp_path) -> None:
    from hgg_pyg.evaluation.drawn_views import drawn_views

    backbone = behind_front(SurfaceBackbone(SurfaceConfig()), FrontConfig("wonder3d", micro_folder), tmp_path)
    capture = open_captures(tiny_captures, 32, body, input_views=1).train[0]
    (source,) = frame_sources([capture], 1, backbone, body, tmp_path)
    found = drawn_views(source, 0)
    assert found is not None
    assert found.names == ("front", "left", "back", "right")
    assert found.cameras[0] == f"{source.views[0]}, 0° beside"
    assert len(set(found.cameras)) == 4
    assert abs(found.drawn[0].astype(int) - found.truth[0]).max() <= 1  # the input, cut out alike
    there, body_there = (images[1].min(-1) < 200 for images in (found.truth, found.drawn))
    assert (there & body_there).sum() / body_there.sum() > 0.5  # untrained, the body is drawn where the person is
    plain = replace(source, backbone=backbone.backbone)  # pyright: ignore[reportAttributeAccessIssue]
    assert drawn_views(plain, 0) is None
