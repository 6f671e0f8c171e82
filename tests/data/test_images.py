"""Reading images: values against the plain reference, every kind of file, windows, and one clear line for bad files."""

from __future__ import annotations

import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hgg_pyg.data.images import Window, _resample, fitted_size, header_size, mask_range, read_pixels, resample
from hgg_pyg.data.lens import Lens
from hgg_pyg.types import UserError

FULL = (96, 64)
WHOLE = Window(0, 0, *FULL)


def smooth(full: tuple[int, int] = FULL) -> np.ndarray:
    """Soft colours, which a JPEG keeps. [h, w, 3] uint8"""
    x, y = np.meshgrid(np.arange(full[0]) + 0.5, np.arange(full[1]) + 0.5)
    waves = [np.sin(x / 15) * np.cos(y / 11), np.sin((x + y) / 19), np.cos((x - 2 * y) / 23)]
    return np.round(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


def noise(*shape: int, seed: int = 0, top: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top, shape, np.uint8 if top <= 256 else np.uint16)


def save(path: Path, pixels: np.ndarray | Image.Image, **options) -> Path:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


extents = st.floats(0.5, 60) | st.integers(1, 60).map(float)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3]),
    corner=st.tuples(st.floats(-50, 50), st.integers(-50, 50).map(float)),
    extent=st.tuples(extents, extents),
    size=st.tuples(st.integers(1, 50), st.integers(1, 50)),
)
def test_the_kernel_is_the_reference(shape, channels, corner, extent, size):
    pixels = noise(*shape, channels, seed=shape[0])
    pixels.flags.writeable = False
    window = Window(*corner, *extent)
    found = _resample(pixels, window, size, 1 / 255)
    assert (found.shape, found.dtype) == ((size[1], size[0], channels), np.float32)
    np.testing.assert_allclose(found, resample(pixels / 255, window, size), atol=1e-6)


@pytest.mark.parametrize("size", [(512, 428), (1224, 1024), (306, 256), (999, 1001), (1300, 1024)])
def test_the_kernel_is_the_reference_on_large_images(size):
    pixels = noise(1024, 1224, 3)
    pixels.flags.writeable = False
    for window in (Window(0, 0, 1224, 1024), Window(-3.7, 11.1, 1200.3, 800.9)):
        expected = resample(pixels / 255, window, size)
        np.testing.assert_allclose(_resample(pixels, window, size, 1 / 255), expected, atol=2e-6)


def test_the_reference_on_numbers_worked_out_by_hand():
    row = np.array([[0.0, 6.0, 12.0]])
    assert resample(row, Window(0, 0, 3, 1), (1, 1)) == pytest.approx(6)
    np.testing.assert_allclose(resample(row, Window(0, 0, 3, 1), (2, 1)), [[2, 10]])  # (0 + 6/2) / 1.5, ...
    np.testing.assert_allclose(resample(row, Window(1, 0, 1, 1), (2, 1)), [[4.5, 7.5]])  # at 1.25 and 1.75
    np.testing.assert_allclose(resample(row, Window(0, 0, 3, 1), (6, 1)), [[0, 1.5, 4.5, 7.5, 10.5, 12]])
    np.testing.assert_allclose(resample(row, Window(2, 0, 4, 2), (2, 1)), [[3, 0]])  # 12 over four, the rest outside
    np.testing.assert_allclose(resample(row, Window(2.5, 0, 1, 1), (4, 1)), [[12, 12, 0, 0]])
    np.testing.assert_allclose(resample(row, Window(0.5, 0, 2, 1), (2, 1)), [[3, 9]])


@pytest.mark.parametrize("window", [None, Window(10, 5, 50, 40), Window(-20.5, -7, 130, 80.25), Window(40, 20, 6, 9)])
@pytest.mark.parametrize("size", [(96, 64), (48, 32), (31, 17), (1, 1), (130, 70)])
def test_windows_of_files(tmp_path, window, size):
    colours, mask = noise(64, 96, 3), noise(64, 96)
    save(tmp_path / "a.png", colours)
    save(tmp_path / "m.png", mask)
    part = window or WHOLE
    found = read_pixels(tmp_path / "a.png", "RGB", FULL, size, window)
    assert (found.shape, found.dtype) == ((size[1], size[0], 3), np.float32)
    np.testing.assert_allclose(found, resample(colours / 255, part, size), atol=1e-6)
    found = read_pixels(tmp_path / "m.png", "L", FULL, size, window)
    assert found.shape == (size[1], size[0])
    np.testing.assert_allclose(found, resample(mask / 255, part, size), atol=1e-6)
    found = read_pixels(tmp_path / "m.png", "labels", FULL, size, window)
    np.testing.assert_allclose(found, resample(mask != 0, part, size), atol=1e-6)


@pytest.mark.parametrize(
    "numbers", [(np.nan, 0, 5, 5), (0, np.inf, 5, 5), (0, 0, np.inf, 5), (0, 0, 5, np.nan), (0, 0, 0, 5), (0, 0, 5, -1)]
)
def test_a_window_has_a_place_and_an_area(numbers):
    with pytest.raises(ValueError, match="Window: expected finite numbers and an area, found"):
        Window(*numbers)


@pytest.mark.parametrize("window", [Window(-1e200, 3, 5, 5), Window(0, 0, 1e200, 1e200), Window(5, 1e200, 1e-200, 9)])
@pytest.mark.parametrize("lens", [None, Lens(np.diag([90.0, 90, 1]), np.array([0.1, 0, 0, 0, 1e5]))])
def test_a_window_far_away_or_huge_indexes_nothing(tmp_path, window, lens):
    save(tmp_path / "a.png", np.full((64, 96, 3), 200, np.uint8))
    for size in ((20, 20), (200, 3)):
        found = read_pixels(tmp_path / "a.png", "RGB", FULL, size, window, lens)
        assert ((found >= 0) & (found <= 1)).all()


def test_a_window_that_misses_the_image_is_zero(tmp_path):
    save(tmp_path / "a.png", np.full((64, 96, 3), 200, np.uint8))
    for window in (Window(200, 0, 30, 30), Window(-40, -40, 30, 30), Window(0, 64, 10, 10), Window(96, 0, 4, 4)):
        for size in ((20, 20), (40, 40)):
            assert (read_pixels(tmp_path / "a.png", "RGB", FULL, size, window) == 0).all()


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize(
    ("window", "size", "block"),
    [
        (None, (12, 8), 8),
        (None, (13, 8), 4),
        (None, (24, 16), 4),
        (None, (33, 22), 2),
        (None, (60, 40), 1),
        (Window(16, 8, 64, 48), (8, 6), 8),
        (Window(17.5, 9.25, 64, 48), (16, 12), 4),
        (Window(10, -8, 64, 80), (32, 40), 2),
        (Window(10, 10, 30, 30), (40, 40), 1),
    ],
)
def test_jpegs_are_decoded_no_larger_than_needed_and_not_moved(tmp_path, monkeypatch, window, size, block, grey):
    pixels = smooth()[..., 0] if grey else smooth()
    save(tmp_path / "a.jpg", pixels, quality=98, subsampling=0)
    decoded: list[tuple[int, int]] = []
    monkeypatch.setattr("hgg_pyg.data.images._unpack", _noting(decoded))
    found = read_pixels(tmp_path / "a.jpg", "L" if grey else "RGB", FULL, size, window)
    assert decoded == [(FULL[0] // block, FULL[1] // block)]
    np.testing.assert_allclose(found, resample(pixels / 255, window or WHOLE, size), atol=0.03)
    assert abs(found - resample(pixels / 255, window or WHOLE, size)).mean() < 0.006


def _noting(sizes: list[tuple[int, int]]):
    from hgg_pyg.data.images import _unpack

    def unpack(image, mode, box):
        sizes.append(image.size)
        return _unpack(image, mode, box)

    return unpack


def test_a_jpeg_whose_size_does_not_divide_is_decoded_whole(tmp_path, monkeypatch):
    full = (99, 66)
    save(tmp_path / "a.jpg", smooth(full), quality=98, subsampling=0)
    sizes: list[tuple[int, int]] = []
    monkeypatch.setattr("hgg_pyg.data.images._unpack", _noting(sizes))
    found = read_pixels(tmp_path / "a.jpg", "RGB", full, (12, 8))
    assert sizes == [full]
    np.testing.assert_allclose(found, resample(smooth(full) / 255, Window(0, 0, *full), (12, 8)), atol=0.01)


def test_colour_jpegs_as_masks_are_their_brightness(tmp_path):
    save(tmp_path / "a.jpg", smooth(), quality=98, subsampling=0)
    expected = smooth() @ [0.299, 0.587, 0.114] / 255
    found = read_pixels(tmp_path / "a.jpg", "L", FULL, (48, 32))
    np.testing.assert_allclose(found, resample(expected, WHOLE, (48, 32)), atol=0.02)


def test_other_kinds_of_masks(tmp_path):
    wide, alpha, colours = noise(64, 96, top=65536), noise(64, 96, seed=2), noise(64, 96, 3, seed=3)
    opaque = np.full_like(alpha, 255)
    files = {
        "16 bits": (wide, wide / 65535, wide != 0),
        "matte": (np.dstack([colours, alpha]), alpha / 255, colours.any(-1)),
        "opaque": (np.dstack([colours, opaque]), colours @ [0.299, 0.587, 0.114] / 255, colours.any(-1)),
        "grey matte": (np.dstack([colours[..., 0], alpha]), alpha / 255, colours[..., 0] != 0),
        "one bit": (Image.fromarray(alpha > 99), alpha > 99, alpha > 99),
    }
    for name, (pixels, brightness, labels) in files.items():
        path = save(tmp_path / f"{name}.png", pixels)
        found = read_pixels(path, "L", FULL, (31, 30))
        np.testing.assert_allclose(found, resample(brightness, WHOLE, (31, 30)), atol=0.003, err_msg=name)
        found = read_pixels(path, "labels", FULL, (31, 30))
        np.testing.assert_allclose(found, resample(labels, WHOLE, (31, 30)), atol=1e-6, err_msg=name)


def test_labels_of_a_palette_are_its_indices_and_brightness_its_colours(tmp_path):
    indices = noise(64, 96, top=3)
    image = Image.fromarray(indices).convert("P")
    image.putpalette([255, 255, 255, 0, 0, 0, 0, 0, 0] + [0] * 759)  # nobody is white, people are black
    path = save(tmp_path / "a.png", image)
    with Image.open(path) as stored:
        assert stored.mode == "P"
    found = read_pixels(path, "labels", FULL, (48, 32))
    np.testing.assert_allclose(found, resample(indices != 0, WHOLE, (48, 32)), atol=1e-6)
    found = read_pixels(path, "L", FULL, (48, 32))
    np.testing.assert_allclose(found, resample(indices == 0, WHOLE, (48, 32)), atol=1e-6)


def test_labels_are_thresholded_before_they_are_averaged(tmp_path):
    pixels = np.zeros((64, 96), np.uint8)
    pixels[::2, ::2], pixels[32:, 48:] = 1, 18
    found = read_pixels(save(tmp_path / "a.png", pixels), "labels", FULL, (48, 32))
    np.testing.assert_allclose(found[:16, :24], 0.25)
    np.testing.assert_allclose(found[16:, 24:], 1)


def test_colours_of_other_kinds_of_files(tmp_path):
    wide, grey, colours = noise(64, 96, top=65536), noise(64, 96, seed=1), noise(64, 96, 3)
    for name, pixels, expected in (
        ("wide", wide, np.dstack([wide] * 3) / 65535),
        ("grey", grey, np.dstack([grey] * 3) / 255),
        ("alpha", np.dstack([colours, grey]), colours / 255),
    ):
        found = read_pixels(save(tmp_path / f"{name}.png", pixels), "RGB", FULL, FULL)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


def test_values_stay_within_bounds(tmp_path):
    path = save(tmp_path / "a.png", np.full((64, 96, 3), 255, np.uint8))
    lens = Lens(np.array([[90.0, 0, 48], [0, 90, 32], [0, 0, 1]]), np.array([-0.1, 0.02, 0, 0, 0]))
    for size in [(n, n) for n in range(20, 120, 7)]:
        for found in (read_pixels(path, "RGB", FULL, size), read_pixels(path, "RGB", FULL, size, None, lens)):
            assert found.max() <= 1
            assert found.min() >= 0
    np.testing.assert_allclose(read_pixels(path, "RGB", FULL, (41, 29)), 1, atol=1e-6)


def test_cut_and_damaged_files_are_one_line(tmp_path):
    save(tmp_path / "a.jpg", noise(64, 96, 3))
    save(tmp_path / "a.png", noise(64, 96, 3))
    save(tmp_path / "p.png", Image.fromarray(noise(64, 96, top=3)).convert("P"))
    rng, path = random.Random(0), tmp_path / "broken"
    said: list[str] = []
    for name in ("a.jpg", "a.png", "p.png"):
        content = (tmp_path / name).read_bytes()
        cuts = [0, 1, 2, 10, 30, *range(40, len(content) - 20, max(1, len(content) // 40))]
        damaged = [content[:cut] for cut in cuts]
        for _ in range(150):
            changed = bytearray(content)
            for _ in range(3):
                changed[rng.randrange(min(len(content), 400))] = rng.randrange(256)
            damaged.append(bytes(changed))
        for number, broken in enumerate(damaged):
            path.write_bytes(broken)
            try:
                read_pixels(path, "L" if name == "p.png" else "RGB", FULL, (48, 32))
            except UserError as error:
                said.append(str(error))
            else:
                assert number >= len(cuts), (name, cuts[number])  # a file that was cut never passes
    assert len(said) > 150
    assert all(line.startswith(f"{path}: ") for line in said)


@pytest.mark.parametrize("mode", ["RGB", "L", "labels"])
def test_errors(tmp_path, mode):
    path = tmp_path / "a.png"
    with pytest.raises(UserError, match=r"a\.png: cannot read this image, the file is broken or missing"):
        read_pixels(path, mode, FULL, FULL)
    with pytest.raises(UserError, match=r"a\.png: not a readable image"):
        header_size(path)
    path.write_text("hello")
    with pytest.raises(UserError, match=r"a\.png: cannot read this image, the file is broken or missing"):
        read_pixels(path, mode, FULL, FULL)
    save(path, noise(64, 96, 3))
    assert header_size(path) == FULL
    with pytest.raises(UserError, match=r"a\.png: expected 64x96 pixels, found 96x64"):
        read_pixels(path, mode, (64, 96), (64, 96))
    save(tmp_path / "a.tif", Image.fromarray(np.zeros((64, 96), np.float32)))
    with pytest.raises(UserError, match=r"a\.tif: expected an image of 8 or 16 bits per channel, found one of"):
        read_pixels(tmp_path / "a.tif", mode, FULL, FULL)


def test_fitted_size():
    assert fitted_size(1224, 1024, None) == (1224, 1024)
    assert fitted_size(1224, 1024, 2000) == (1224, 1024)
    assert fitted_size(1224, 1024, 512) == (512, 428)
    assert fitted_size(3, 1000, 10) == (1, 10)


def read_sums(path: Path, seed: int) -> list[float]:
    """Several reads that differ by the seed; a function of a module, so that a spawned process finds it."""
    lens = Lens(np.array([[90.0, 0, 48], [0, 90, 32], [0, 0, 1]]), np.array([-0.1, 0.02, 1e-3, 0, 0]))
    rng = random.Random(seed)
    windows = [Window(rng.uniform(-9, 40), rng.uniform(-9, 30), *[rng.uniform(20, 60)] * 2) for _ in range(6)]
    return [
        float(read_pixels(path, "RGB", FULL, (30, 40), window, used).sum())
        for window in windows
        for used in (None, lens)
    ]


def test_threads_side_by_side_read_the_same(tmp_path):
    path = save(tmp_path / "a.jpg", noise(64, 96, 3))
    expected = [read_sums(path, seed) for seed in range(16)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read_sums, [path] * 16, range(16))) == expected


@pytest.mark.slow  # a new process imports all of it again
def test_a_spawned_process_reads_the_same(tmp_path):
    path = save(tmp_path / "a.jpg", noise(64, 96, 3))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert list(pool.map(read_sums, [path] * 4, range(4))) == [read_sums(path, seed) for seed in range(4)]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(10))
def test_images_that_are_to_be_turned_are_refused(tmp_path, suffix, orientation):
    """By header, colours and masks alike; 1 is upright, and 0 and 9 are nothing."""
    exif = Image.Exif()
    exif[274] = orientation
    path = save(tmp_path / f"a.{suffix}", noise(64, 96, 3), exif=exif)
    if orientation in (0, 1, 9):
        assert header_size(path) == FULL
        assert read_pixels(path, "RGB", FULL, FULL).shape == (64, 96, 3)
        return
    message = rf"a\.{suffix}: expected an image that is stored upright, found EXIF orientation {orientation}, to be .*:"
    with pytest.raises(UserError, match=message):
        header_size(path)
    with pytest.raises(UserError, match=message):
        mask_range(path)
    for mode in ("RGB", "L", "labels"):
        with pytest.raises(UserError, match=message + " mogrify -auto-orient FILES; .* exiftool -Orientation= FILES"):
            read_pixels(path, mode, FULL, (48, 32), Window(3, 4, 20, 20))


def test_an_orientation_behind_the_pixels_of_a_png_is_seen(tmp_path):
    exif = Image.Exif()
    exif[274] = 3
    content = save(tmp_path / "a.png", noise(64, 96, 3), exif=exif).read_bytes()
    start = content.index(b"eXIf") - 4
    length = 12 + int.from_bytes(content[start : start + 4], "big")
    path = tmp_path / "late.png"
    path.write_bytes(content[:start] + content[start + length : -12] + content[start : start + length] + content[-12:])
    with pytest.raises(UserError, match=r"late\.png: .* found EXIF orientation 3"):
        read_pixels(path, "RGB", FULL, FULL)


@pytest.mark.parametrize("mode", ["RGB", "L", "labels"])
def test_changed_pixels_of_a_png_are_refused(tmp_path, mode):
    """What looks behind them for an orientation decodes them first, and must not swallow what is wrong with them."""
    path, rng = tmp_path / "a.png", random.Random(0)
    smooth = np.linspace(0, 250, 64 * 96).reshape(64, 96).astype(np.uint8)
    content = save(path, np.stack([smooth, smooth.T.reshape(64, 96), smooth], -1)).read_bytes()
    start, end = content.index(b"IDAT") + 4, content.index(b"IEND") - 8
    said = []
    for _ in range(40):
        changed = bytearray(content)
        changed[rng.randrange(start, end)] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        try:
            read_pixels(path, mode, FULL, FULL)
        except UserError as error:
            said.append(str(error))
    assert len(said) >= 36
    assert all(line.startswith(f"{path}: cannot read this image") for line in said)


@pytest.mark.parametrize("value", [65536, -1])
def test_integers_of_more_than_16_bits_are_refused(tmp_path, value):
    values = np.zeros((64, 96), np.int32)
    values[3, 4] = value
    path = save(tmp_path / "a.tif", Image.fromarray(values))
    with pytest.raises(UserError, match=r"expected an image of 8 or 16 bits per channel, found .* of more bits"):
        read_pixels(path, "L", FULL, FULL)
    values[3, 4] = 65535
    save(path, Image.fromarray(values))
    assert read_pixels(path, "L", FULL, FULL)[3, 4] == 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("content", [b"hello", b"MM\0*\0\0\0\x08\0", b"MM\0*\xff\xff\xff\xff", b""])
def test_damaged_exif_is_none(tmp_path, content):
    path = save(tmp_path / "a.jpg", noise(64, 96, 3), exif=b"Exif\0\0" + content)
    assert header_size(path) == FULL
    assert read_pixels(path, "RGB", FULL, FULL).shape == (64, 96, 3)
