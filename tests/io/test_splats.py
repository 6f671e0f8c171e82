"""The 3DGS .ply: against gsplat's exporter and trimesh's reader, there and back, and what is wrong with a file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from gsplat import export_splats
from torch import Tensor
from torch.nn.functional import normalize

from hgg_pyg.io.splats import read_ply, write_ply
from hgg_pyg.render import render
from hgg_pyg.types import Cameras, Gaussians, UserError

Y0 = 0.28209479177387814


def some(count: int = 50, harmonics: int = 0, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    shape = (count, harmonics, 3) if harmonics else (count, 3)
    return Gaussians(
        means=0.4 * torch.randn(count, 3, generator=generator),
        quats=normalize(torch.randn(count, 4, generator=generator), dim=1),
        scales=0.1 * torch.rand(count, 3, generator=generator) + 1e-4,
        opacities=torch.rand(count, generator=generator),
        colors=torch.rand(shape, generator=generator) - (0.5 if harmonics else 0),
    )


def same(found: Gaussians, expected: Gaussians) -> None:
    assert torch.equal(found.means, expected.means)
    for name in ("quats", "scales", "opacities", "colors"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-7, msg=lambda text, name=name: f"{name}: {text}")


def exported(gaussians: Gaussians) -> bytes:
    """The file as gsplat writes it."""
    colors = gaussians.colors if gaussians.colors.ndim == 3 else ((gaussians.colors - 0.5) / Y0)[:, None]
    return export_splats(
        gaussians.means,
        gaussians.scales.log(),
        gaussians.quats,
        gaussians.opacities.logit(),
        colors[:, :1],
        colors[:, 1:],
        format="ply",
    )


def table(content: bytes) -> tuple[list[str], np.ndarray]:
    """Names and values of a binary file of floats, read here independently. [M, P]"""
    header, data = content.split(b"end_header\n", 1)
    names = re.findall(r"property float (\w+)\n", header.decode())
    return names, np.frombuffer(data, "<f4").reshape(-1, len(names))


@pytest.mark.parametrize("harmonics", [0, 4, 9, 16])
def test_gsplat_s_files_are_read(tmp_path, harmonics: int) -> None:
    gaussians = some(harmonics=harmonics)
    path = tmp_path / "a.ply"
    path.write_bytes(exported(gaussians))
    same(read_ply(path, sh=harmonics > 0), gaussians)
    if harmonics:
        same(read_ply(path), replace(gaussians, colors=0.5 + Y0 * gaussians.colors[:, 0]))


@pytest.mark.parametrize("harmonics", [0, 1, 4, 9, 16])
def test_we_write_what_gsplat_writes(tmp_path, harmonics: int) -> None:
    gaussians = some(harmonics=harmonics)
    path = tmp_path / "folder" / "a.ply"
    write_ply(path, gaussians)
    names, values = table(path.read_bytes())
    assert names[3:6] == ["nx", "ny", "nz"]
    assert (values[:, 3:6] == 0).all()
    keep = [i for i, name in enumerate(names) if not name.startswith("n")]
    expected_names, expected = table(exported(gaussians))
    assert [names[i] for i in keep] == expected_names
    np.testing.assert_allclose(values[:, keep], expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("harmonics", [0, 1, 16])
def test_there_and_back(tmp_path, harmonics: int) -> None:
    gaussians, path = some(harmonics=harmonics), tmp_path / "a.ply"
    write_ply(path, gaussians)
    once = read_ply(path, sh=harmonics > 0)
    same(once, gaussians)
    write_ply(path, once)
    same(read_ply(path, sh=harmonics > 0), once)
    cameras = Cameras(torch.eye(4)[None], torch.tensor([[[40.0, 0, 16], [0, 40, 16], [0, 0, 1]]]), 32, 32)
    cameras.viewmats[:, 2, 3] = 2
    degree = {0: None, 1: 0, 16: 3}[harmonics]
    images = [render(g, cameras, sh_degree=degree).rgb for g in (gaussians, once)]
    assert images[0].std() > 0.05
    torch.testing.assert_close(images[1], images[0], rtol=0, atol=2e-6)


def test_extremes_are_kept_as_far_as_the_format_can(tmp_path) -> None:
    path = tmp_path / "a.ply"
    gaussians = some(4)
    opacities = torch.tensor([0.0, 1.0, 1e-3, 1 - 1e-3])
    colors = torch.tensor([[-1.0, 2, 0.5], [0, 1, 1], [0, 0, 0], [9, 9, 9]])
    scales = torch.tensor([[1e-9, 1, 1000]]).expand(4, 3)
    quats = torch.tensor([[2.0, 0, 0, 0], [0, -3, 0, 4], [1e-20, 0, 0, 0], [-1e10, 1e10, 0, 0]])
    write_ply(path, Gaussians(gaussians.means, quats, scales, opacities, colors))
    found = read_ply(path)
    torch.testing.assert_close(found.opacities, torch.tensor([1e-6, 1 - 1e-6, 1e-3, 1 - 1e-3]))
    torch.testing.assert_close(found.colors, colors)
    torch.testing.assert_close(found.scales, scales, rtol=3e-6, atol=0)
    half = 0.5**0.5
    torch.testing.assert_close(
        found.quats, torch.tensor([[1.0, 0, 0, 0], [0, -0.6, 0, 0.8], [1, 0, 0, 0], [-half, half, 0, 0]])
    )


def edited(gaussians: Gaussians, change: Callable[[np.ndarray, list[str]], object]) -> bytes:
    content = exported(gaussians)
    names, values = table(content)
    changed = values.copy()
    change(changed, names)
    return content.split(b"end_header\n")[0] + b"end_header\n" + changed.tobytes()


def test_what_float32_can_hardly_hold_is_read(tmp_path) -> None:
    path, gaussians = tmp_path / "a.ply", some()

    def shrink(values: np.ndarray, names: list[str]) -> None:
        values[3, names.index("scale_1")] = -500
        values[:, -4:] *= 1e-30

    path.write_bytes(edited(gaussians, shrink))
    found = read_ply(path)
    assert found.scales[3, 1] == torch.finfo(torch.float32).tiny
    torch.testing.assert_close(found.quats, gaussians.quats)


def ascii_file(content: bytes) -> bytes:
    names, values = table(content)
    lines = ["ply", "format ascii 1.0", "comment by hand", f"element vertex {len(values)}"]
    lines += [f"property float {name}" for name in names]
    lines += ["element face 1", "property list uchar int vertex_indices"]
    rows = [" ".join(repr(float(x)) for x in row) for row in values]
    return "\r\n".join([*lines, "end_header", "", *rows, "3 0 1 2", ""]).encode()


def big_endian(content: bytes, kind: str = ">f4") -> bytes:
    """Also properties that we do not know, and an element after the vertices."""
    names, values = table(content)
    word = {">f4": "float32", ">f8": "double"}[kind]
    lines = ["ply", "format binary_big_endian 1.0", "obj_info x", f"element vertex {len(values)}", "property uchar red"]
    lines += [*(f"property {word} {name}" for name in names), "property int id", "element camera 1", "property float f"]
    rows = np.zeros(len(values), [("red", "u1"), *((name, kind) for name in names), ("id", ">i4")])
    for name, column in zip(names, values.T, strict=True):
        rows[name] = column
    return "\n".join([*lines, "end_header", ""]).encode() + rows.tobytes() + bytes(4)


@pytest.mark.parametrize("harmonics", [0, 9])
@pytest.mark.parametrize("write", [ascii_file, big_endian, lambda content: big_endian(content, ">f8")])
def test_every_encoding_is_read(tmp_path, harmonics: int, write: Callable[[bytes], bytes]) -> None:
    gaussians, path = some(harmonics=harmonics), tmp_path / "a.ply"
    path.write_bytes(write(exported(gaussians)))
    same(read_ply(path, sh=harmonics > 0), gaussians)


def test_trimesh_reads_what_we_write(tmp_path) -> None:
    gaussians, path = some(harmonics=4), tmp_path / "a.ply"
    write_ply(path, gaussians)
    vertices = trimesh.load(path, process=False).metadata["_ply_raw"]["vertex"]["data"]  # pyright: ignore
    assert np.array_equal(np.stack([vertices[axis] for axis in "xyz"], 1), gaussians.means.numpy())
    np.testing.assert_allclose(vertices["f_rest_4"], gaussians.colors[:, 2, 1], rtol=1e-6)  # green of the third one
    assert vertices.dtype.names[-4:] == ("rot_0", "rot_1", "rot_2", "rot_3")


def wrong(path: Path, content: bytes, message: str, sh: bool = False) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_ply(path, sh)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_a_whole_ply_is_refused_in_one_line(tmp_path) -> None:
    path, good = tmp_path / "a.ply", exported(some())
    with pytest.raises(UserError, match=r"none.ply: expected a 3DGS .ply file, found nothing to read \(No such file"):
        read_ply(tmp_path / "none.ply")
    with pytest.raises(UserError, match=r"expected a 3DGS .ply file, found nothing to read \(Is a directory"):
        read_ply(tmp_path)
    wrong(path, b"", "whole header, found b''")
    wrong(path, b"\x89PNG\n\x00 and\n so on", "whole header, found b'.x89PNG")
    wrong(path, good[:200], "whole header")
    wrong(path, good[:-1], r"expected 2800 bytes of vertex, found 2799: cut off")
    wrong(path, good[: len(good) // 2], "cut off")
    wrong(path, good.replace(b"vertex 50", b"vertex 999999999999999"), "cut off")
    wrong(path, good.replace(b"vertex 50", b"vertex 0"), "vertex: expected Gaussians, found 0")
    wrong(path, good.replace(b"vertex 50", b"vertex many"), "header: expected format, .* found 'element vertex many'")
    wrong(path, good.replace(b"little_endian", b"middle"), "header: .* found 'format binary_middle 1.0'")
    wrong(path, good.replace(b"float x", b"quad x"), "header: .* found 'property quad x'")
    wrong(path, good.replace(b"float x", b"list uchar float x"), "vertex: expected single numbers, found lists of x")
    wrong(path, good.replace(b"float y", b"float x"), "each element and property once, found x twice")
    wrong(path, good.replace(b"element vertex", b"element chunk"), "the element vertex, found chunk")
    text = ascii_file(good)
    wrong(path, b"\n".join(text.split(b"\n")[:-10]), "expected 50 lines of vertex, found 42: cut off")
    row = text.split(b"\n")[30]
    for spoilt in (b"nonsense " * 14, b"# " + row):
        wrong(path, text.replace(row, spoilt), "expected 14 numbers per vertex")
    wrong(path, text.replace(row, row.rpartition(b" ")[0]), "expected 14 numbers per vertex")


def test_what_is_not_gaussians_is_refused_in_one_line(tmp_path) -> None:
    path, good = tmp_path / "a.ply", exported(some())
    cloud = trimesh.PointCloud(np.eye(3), colors=np.eye(3)).export(file_type="ply")
    assert isinstance(cloud, bytes)
    wrong(path, cloud, "expected properties f_dc_0, f_dc_1, f_dc_2 and 8 more, found x, y, z, red, green, blue, ...$")
    wrong(path, good.replace(b"float opacity", b"float alpha  "), "expected properties opacity, found x, y, z")
    wrong(path, exported(some(harmonics=4)).replace(b"f_rest_8", b"f_dummy8"), "0, 9, 24, 45 .*found 8", sh=True)
    wrong(path, exported(some(harmonics=4)).replace(b"f_rest_8", b"f_rest_9"), "properties f_rest_8, found", sh=True)
    for name, value in (("opacity", np.nan), ("scale_2", 90), ("rot_0", np.inf), ("x", -np.inf)):

        def spoil(values: np.ndarray, names: list[str], name: str = name, value: float = value) -> None:
            values[[3, 7], names.index(name)] = value

        wrong(path, edited(some(), spoil), f"NaN or infinite ones in 2 of 50 Gaussians, first in {name}$")
    wrong(path, edited(some(), lambda values, _: values[5:8, -4:].fill(0)), "rot_.*found zeros in 3 of 50 Gaussians")


def test_what_cannot_be_written_is_refused_and_nothing_is_left(tmp_path) -> None:
    good, path = some(), tmp_path / "a.ply"

    def spoilt(name: str, value: float) -> Gaussians:
        tensor: Tensor = getattr(good, name).clone()
        tensor[4] = value
        return replace(good, **{name: tensor})

    for gaussians, message in (
        (spoilt("scales", 0), "scales: expected positive numbers, found 0.0"),
        (spoilt("scales", torch.nan), "scales: expected positive numbers, found nan"),
        (spoilt("quats", 0), "quats: expected rotations, found zeros"),
        (spoilt("means", torch.inf), "expected finite numbers"),
        (spoilt("opacities", torch.nan), "expected finite numbers"),
        (replace(good, colors=torch.zeros(50, 4)), r"colors: expected \[M, 3\] .*found \(50, 4\)"),
        (replace(good, colors=torch.zeros(50, 5, 3)), r"colors: .*found \(50, 5, 3\)"),
        (good[:0], r"means: expected \[M, 3\], M > 0, found \(0, 3\)"),
        (good.map(lambda tensor: tensor[None]), r"means: .*found \(1, 50, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            write_ply(path, gaussians)
    assert list(tmp_path.iterdir()) == []


def test_gradients_and_double_precision_are_left_behind(tmp_path) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, some().to(torch.float64).map(lambda tensor: tensor.requires_grad_()))
    same(read_ply(path), some())


NAMES = ["x", "y", "z", "f_dc_0", "f_dc_1", "f_dc_2", "opacity", "scale_0", "scale_1", "scale_2"]
NAMES += ["rot_0", "rot_1", "rot_2", "rot_3"]


def plain(values: np.ndarray, names: list[str], order: str = "little", ahead: str = "", before: bytes = b"") -> bytes:
    header = "".join(f"property float {name}\n" for name in names)
    head = f"ply\nformat binary_{order}_endian 1.0\n{ahead}element vertex {len(values)}\n{header}end_header\n"
    return head.encode() + before + values.astype({"little": "<f4", "big": ">f4"}[order]).tobytes()


@pytest.mark.parametrize("order", ["little", "big"])
def test_elements_before_the_vertices_are_passed_over(tmp_path, order: str) -> None:
    """Cameras, as SHARP writes them, and faces of different lengths, in each encoding."""
    path, values = tmp_path / "a.ply", np.random.default_rng(0).normal(size=(4, len(NAMES)))
    path.write_bytes(plain(values, NAMES))
    expected = read_ply(path)
    ahead = "element extrinsic 16\nproperty float extrinsic\nelement face 2\nproperty uchar red\n"
    ahead += "property list uchar int vertex_indices\n"
    mark = {"little": "<", "big": ">"}[order]
    faces = b"".join(b"\7" + bytes([n]) + np.arange(n).astype(f"{mark}i4").tobytes() for n in (3, 5))
    path.write_bytes(plain(values, NAMES, order, ahead, bytes(64) + faces))
    same(read_ply(path), expected)
    lines = [*["0"] * 16, "7 3 0 1 2", "7 5 0 1 2 3 4", *(" ".join(map(str, row)) for row in values.astype("f4"))]
    head = plain(values, NAMES, order, ahead).partition(b"end_header")[0].replace(b"binary_little_endian", b"ascii")
    path.write_bytes(head.replace(b"binary_big_endian", b"ascii") + b"end_header\n" + "\n".join(lines).encode())
    same(read_ply(path), expected)
    wrong(path, plain(values, NAMES, order, ahead, bytes(64) + b"\7"), "of (face|vertex), found .*: cut off")


def test_logits_of_opacities_0_and_1_are_infinite(tmp_path) -> None:
    path, values = tmp_path / "a.ply", np.random.default_rng(0).normal(size=(3, len(NAMES)))
    values[:, 6] = -np.inf, np.inf, 0
    values[1, 7] = -np.inf
    path.write_bytes(plain(values, NAMES))
    found = read_ply(path)
    assert found.opacities.tolist() == [0, 1, 0.5]
    assert found.scales[1, 0] == torch.finfo(torch.float32).tiny


def test_other_kinds_are_named(tmp_path) -> None:
    path, values = tmp_path / "a.ply", np.ones((4, len(NAMES)))
    flat = [name for name in NAMES if name != "scale_2"]
    wrong(path, plain(values[:, :-1], flat), "properties scale_2, found x, .*: these are 2D Gaussians")
    mesh = trimesh.creation.box().export(file_type="ply")
    assert isinstance(mesh, bytes)
    wrong(path, mesh, "expected properties f_dc_0, .* found x, y, z.*: this is a mesh of 12 faces$")


ENDS = [f"{end}_{n}" for end in ("min", "max") for n in ("x", "y", "z", "scale_x", "scale_y", "scale_z", "r", "g", "b")]


def packed(chunks: np.ndarray, words: np.ndarray, ends: list[str], harmonics: np.ndarray | None = None) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element chunk {len(chunks)}"]
    lines += [f"property float {name}" for name in ends] + [f"element vertex {len(words)}"]
    lines += [f"property uint packed_{name}" for name in ("position", "rotation", "scale", "color")]
    if harmonics is not None:
        lines += [f"element sh {len(harmonics)}", *(f"property uchar f_rest_{i}" for i in range(harmonics.shape[1]))]
    tail = b"" if harmonics is None else harmonics.astype("u1").tobytes()
    rows = chunks.astype("<f4").tobytes() + words.astype("<u4").tobytes() + tail
    return "\n".join([*lines, "end_header", ""]).encode() + rows


def test_supersplat_s_compressed_kind_is_read(tmp_path) -> None:
    """258 Gaussians in two chunks; the last two are worked out by hand from the format's description."""
    path, words = tmp_path / "a.ply", np.zeros((258, 4), np.int64)
    words[:, 1] = 512 << 20 | 512 << 10 | 512
    words[256] = (2047 << 21 | 0 << 11 | 1023, 0 << 30 | 1023 << 20 | 512 << 10 | 512, 2047 << 21, 255 << 24 | 51)
    words[257] = (0 << 21 | 1023 << 11, 3 << 30 | 512 << 20 | 512 << 10 | 1023, 2047, 255 << 16 | 255)
    chunks = np.zeros((2, 18))
    chunks[1] = (-1, -2, -3, -5, -6, -7, 0.1, 0.2, 0.3, 1, 2, 3, -1, -2, -3, 0.9, 0.8, 0.7)
    harmonics = np.full((258, 9), 0)
    harmonics[257] = 255
    path.write_bytes(packed(chunks, words, ENDS, harmonics))
    found = read_ply(path)[256:]
    torch.testing.assert_close(found.means, torch.tensor([[1, -2, -3 + 6 * 1023 / 2047], [-1, 2, -3]]))
    torch.testing.assert_close(found.scales.log(), torch.tensor([[-1.0, -6, -7], [-5, -6, -3]]))
    colors = torch.tensor([[0.9, 0.2, 0.3], [0.1, 0.8, 0.3]])
    torch.testing.assert_close(found.colors, colors, rtol=0, atol=1e-6)
    assert found.opacities.tolist() == [pytest.approx(51 / 255), 1]
    half = 0.5**0.5
    assert torch.allclose(found.quats, torch.tensor([[half, half, 0, 0], [0, 0, half, half]]), atol=1e-3)
    with_harmonics = read_ply(path, sh=True).colors
    assert with_harmonics.shape == (258, 4, 3)
    assert (with_harmonics[256, 1:] == -4).all()
    assert (with_harmonics[257, 1:] == 4).all()
    old = [i for i, name in enumerate(ENDS) if name[4:] not in ("r", "g", "b")]  # before colours had ranges
    path.write_bytes(packed(chunks[:, old], words, [ENDS[i] for i in old]))
    assert torch.allclose(read_ply(path).colors[256], torch.tensor([1.0, 0, 0]), atol=1e-6)


def test_a_damaged_compressed_file_is_one_line(tmp_path) -> None:
    path, words = tmp_path / "a.ply", np.zeros((257, 4), np.int64)
    words[:, 1] = 512 << 20 | 512 << 10 | 512
    chunks = np.zeros((2, 18))
    good = packed(chunks, words, ENDS)
    wrong(path, packed(chunks[:1], words, ENDS), "compressed .ply: expected a chunk for each 256 of 257 Gaussians")
    wrong(path, packed(chunks[:, 1:], words, ENDS[1:]), "compressed .ply: expected the properties min_x of chunk")
    wrong(path, packed(chunks, words, ENDS, np.zeros((3, 9))), "compressed .ply: expected 257 rows of sh, found 3")
    wrong(path, good[:-1], "cut off")
    words[5, 1] = 0
    wrong(path, packed(chunks, words, ENDS), "compressed .ply: expected quaternions .*, found longer ones in 1 of 257")
