"""`python -m benchmarks.render_gallery`: one avatar rendered by every backend that runs here, and where they differ."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks import gsplat_torch
from graphs import GraphSpec
from hgg_pyg.backbones import SurfaceBackbone, SurfaceConfig
from hgg_pyg.body import load_body
from hgg_pyg.config import Bounds, Seed, check_choices
from hgg_pyg.data import FrameSource, clip_graph, open_captures
from hgg_pyg.data.views import spread_cameras
from hgg_pyg.io.files import try_folder, write_atomically
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.render import Mode, render
from hgg_pyg.render.scene import compose, make_scene
from hgg_pyg.runtime import run_command
from hgg_pyg.synthetic import SynthesizeConfig, synthesize
from hgg_pyg.types import Cameras, Gaussians, RenderOutput

_HEAD, _LINE = 26, 24  # pixels of text

Backend = Callable[[Gaussians, Cameras, Mode, bool], RenderOutput]


@dataclass(frozen=True)
class GalleryConfig:
    """What to render."""

    size: Annotated[int, Bounds(16, 65_535)] = 320
    """width and height of the images, in pixels"""
    seed: Seed = 0
    """random seed: another one gives another person"""
    amplify: Annotated[float, Bounds(0, 1e30, above=True)] = 1e4
    """factor by which differences are multiplied in the sheet"""
    out: Path = Path("docs/render.png")
    """file to write"""

    def __post_init__(self) -> None:
        check_choices(self)


def synthetic_avatar(config: GalleryConfig) -> tuple[Gaussians, Tensor, Cameras]:
    """A synthetic person's first frame, put into another pose; [M] the vertex of each Gaussian; and a camera."""
    body = load_body()
    with tempfile.TemporaryDirectory() as folder:
        made = synthesize(SynthesizeConfig(Path(folder), subjects=3, frames=8, size=config.size, seed=config.seed))
        capture = open_captures(made).train[0]
        source = FrameSource(
            capture, spread_cameras(capture, 4), SurfaceBackbone(SurfaceConfig()), body, Path(folder) / "cache"
        )
        start = capture.poses[[0]]
        graph = clip_graph([source.predict(0)], body.pose(start), body.faces, start.betas, GraphSpec())
        avatar = DirectBinding().avatar(graph)
        return avatar.repose(body, capture.poses[[5]])[0], avatar.binding, capture.cameras[1:2]


def backends() -> dict[str, Backend]:
    """Name to function, of what runs here; the first is ours."""

    def ours(gaussians: Gaussians, cameras: Cameras, mode: Mode, antialiased: bool) -> RenderOutput:
        return render(gaussians, cameras, mode=mode, antialiased=antialiased, backend="cpu")

    def torch_code(gaussians: Gaussians, cameras: Cameras, mode: Mode, antialiased: bool) -> RenderOutput:
        return compose(gsplat_torch.render_scene(make_scene(gaussians, cameras, mode, antialiased)), None, mode, ())

    def cuda(gaussians: Gaussians, cameras: Cameras, mode: Mode, antialiased: bool) -> RenderOutput:
        return render(gaussians.to("cuda"), cameras, mode=mode, antialiased=antialiased).to("cpu")

    found: dict[str, Backend] = {"ours, CPU": ours, "gsplat's torch code": torch_code}
    return found | {"gsplat, CUDA": cuda} if torch.cuda.is_available() else found


def normals(gaussians: Gaussians, cameras: Cameras) -> Tensor:
    """The shortest axis of each Gaussian, towards the camera, as a colour. [M, 3]"""
    w, x, y, z = torch.nn.functional.normalize(gaussians.quats, dim=-1).unbind(-1)
    columns = torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1),
            torch.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1),
            torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1),
        ],
        -2,
    )  # row k is the k-th axis
    shortest = gaussians.scales.argmin(-1)
    axis = columns[torch.arange(len(shortest)), shortest]
    towards = ((cameras.centers[0] - gaussians.means) * axis).sum(-1, keepdim=True)
    return 0.5 + 0.5 * torch.where(towards < 0, -axis, axis)


def main(config: GalleryConfig) -> None:
    """Render colour, depth, normals, vertices and a small antialiased image by each backend, and the differences."""
    try_folder(config.out.parent, "--out")
    gaussians, binding, cameras = synthetic_avatar(config)
    cameras = zoomed(gaussians, cameras, config.size)
    paint = torch.rand(int(binding.max()) + 1, 3, generator=torch.Generator().manual_seed(0))
    quarter = replace(cameras, Ks=cameras.Ks * torch.tensor([0.25, 0.25, 1])[:, None], width=cameras.width // 4,
                      height=cameras.height // 4)  # fmt: skip
    rows: list[tuple[str, Gaussians, Cameras, Mode, bool]] = [
        ("colour", gaussians, cameras, "rgb", False),
        ("expected depth", gaussians, cameras, "rgb+ed", False),
        ("normals", replace(gaussians, colors=normals(gaussians, cameras)), cameras, "rgb", False),
        ("vertex of each Gaussian", replace(gaussians, colors=paint[binding]), cameras, "rgb", False),
        ("a quarter of the size, antialiased", gaussians, quarter, "rgb", True),
    ]
    by = backends()
    sheet = Image.new("RGB", ((2 * len(by) - 1) * config.size, _HEAD + len(rows) * (config.size + _LINE)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    titles = [*by, *(f"difference x {config.amplify:g}" for _ in range(len(by) - 1))]
    for column, title in enumerate(titles):
        pen.text((column * config.size + 6, 4), title, fill="black", font=font)
    for row, (what, scene, seen, mode, antialiased) in enumerate(rows):
        rendered = [backend(scene, seen, mode, antialiased).detach() for backend in by.values()]
        images = [_as_image(output) for output in rendered]
        raw = [output.rgb if output.depth is None else output.depth for output in rendered]
        worst = max(float((other - raw[0]).abs().max()) for other in raw[1:])
        images += [_tile(1 - config.amplify * (other - raw[0]).abs()[0]) for other in raw[1:]]
        top = _HEAD + row * (config.size + _LINE)
        for column, image in enumerate(images):
            kind = Image.Resampling.NEAREST if image.width < config.size else Image.Resampling.BICUBIC
            sheet.paste(image.resize((config.size, config.size), kind), (column * config.size, top))
        text = f"{what}: largest difference {worst:.1e}{' m' if rendered[0].depth is not None else ''}"
        pen.text((6, top + config.size + 2), text, fill="dimgray", font=font)
        print(text)
    write_atomically(config.out, lambda path: sheet.save(path))
    print(f"{config.out}: {len(gaussians):,} Gaussians")


def _as_image(output: RenderOutput) -> Image.Image:
    if output.depth is None:
        return _tile(output.rgb[0])
    depth, solid = output.depth[0, ..., 0], output.alpha[0, ..., 0] > 0.5
    near, far = depth[solid].min(), depth[solid].max()
    colors = mpl.colormaps["viridis_r"](((depth - near) / (far - near)).clamp(0, 1).numpy())[..., :3]
    return _tile(torch.where(solid[..., None], torch.from_numpy(colors).float(), 1.0))


def zoomed(gaussians: Gaussians, cameras: Cameras, size: int) -> Cameras:
    """The same view, cut to the square around what is rendered and enlarged to `size`."""
    seen = render(gaussians, cameras, backend="cpu").alpha[0, ..., 0] > 0.01
    top, left = seen.nonzero().amin(0).tolist()
    bottom, right = seen.nonzero().amax(0).tolist()
    half = 0.53 * max(bottom - top, right - left)
    corner = torch.tensor([[0, 0, (left + right) / 2 - half], [0, 0, (top + bottom) / 2 - half], [0, 0, 0]])
    Ks = (cameras.Ks - corner) * torch.tensor([size / (2 * half), size / (2 * half), 1])[:, None]
    return Cameras(cameras.viewmats, Ks, size, size)


def _tile(image: Tensor) -> Image.Image:
    """[H, W, 1 or 3] numbers of 0 to 1"""
    pixels = (image.expand(-1, -1, 3).clamp(0, 1) * 255).round().numpy().astype(np.uint8)
    return Image.fromarray(pixels)


if __name__ == "__main__":
    run_command(GalleryConfig, main)
