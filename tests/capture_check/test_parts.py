"""Ends of files, overlaps and the guesses about faults, each by itself."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from hgg_pyg.capture_check.examination import Reach
from hgg_pyg.capture_check.faults import frame_faults, intrinsics_fault, known_faults, length_fault
from hgg_pyg.capture_check.file_ends import cut_off_files
from hgg_pyg.capture_check.odd_cameras import cross_fit
from hgg_pyg.capture_check.places import places_of
from hgg_pyg.capture_check.scene import at_size, overlap_of, read_scene
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.layouts import make_capture


@pytest.fixture(scope="module")
def capture(tiny_captures, body):
    subject = next(iter(find_subjects(tiny_captures).values()))
    return make_capture(subject.folder, subject.layout, body)


@pytest.fixture(scope="module")
def scene(capture, body):
    return read_scene(capture, body, (0, 3), (0, 2, 5))[0]


def encoded(kind, **options):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 30, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def test_cut_off_files_are_found_in_their_order(tmp_path):
    jpeg, png = encoded("JPEG"), encoded("PNG")
    contents = {
        "whole.jpg": jpeg,
        "padded.jpg": jpeg + bytes(100),
        "short.jpg": jpeg[:-60],
        "whole.png": png,
        "short.png": png[:-60],
        "empty.jpg": b"",
        "page.jpg": b"<html>not found</html>",
        "other.webp": encoded("WEBP"),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    found = cut_off_files([tmp_path / name for name in (*contents, "missing.jpg")])
    assert [path.name for path in found] == ["short.jpg", "short.png", "empty.jpg", "page.jpg", "missing.jpg"]


@pytest.mark.parametrize(
    ("counts", "good", "bad"),
    [
        ((90, 100, 95, 50, 50), True, False),
        ((55, 100, 56, 50, 50), True, False),  # a wide skirt: all of the body is inside
        ((55, 100, 56, 50, 40), False, False),  # a body too small
        ((70, 100, 85, 50, 50), False, False),
        ((35, 100, 36, 50, 50), False, True),
        ((45, 100, 80, 50, 50), False, True),
        ((0, 100, 0, 50, 0), False, True),
    ],
)
def test_overlaps_are_judged(counts, good, bad):
    overlap = overlap_of(np.array(counts))
    assert overlap is not None
    assert (overlap.good, overlap.bad) == (good, bad)


def test_a_scene_measures_what_its_masks_say(scene):
    painted = np.stack([[scene.silhouette(t, v) for v in range(3)] for t in range(2)])
    same = replace(scene, masks=painted)
    assert all(o is not None and (o.iou, o.inside, o.height) == (1, 1, 1) for o in same.overlaps())
    half = painted.copy()
    half[..., : half.shape[-1] // 2] = False
    overlap = replace(scene, masks=half).overlaps()[0]
    assert overlap is not None
    assert overlap.iou == pytest.approx(half[:, 0].sum() / painted[:, 0].sum())
    assert replace(scene, usable=np.zeros_like(scene.usable)).overlap() is None


def test_masks_without_an_outline_are_set_aside(capture, body):
    masks = {(0, 1): 0.0, (2, 0): 1.0}

    class Painted:
        poses, cameras, size = capture.poses, capture.cameras, capture.size

        def mask(self, frame, camera):
            return np.full((32, 32), masks[frame, camera]) if (frame, camera) in masks else capture.mask(frame, camera)

    scene, faults = read_scene(Painted(), body, (0, 2), (0, 1))
    assert (faults.empty, faults.whole, faults.broken) == (((0, 1),), ((2, 0),), ())
    assert scene.usable.tolist() == [[True, False], [False, True]]


def test_parts_of_a_scene_keep_body_and_mask_together(scene):
    small = scene.part([1], [2, 0], (24, 24))
    assert small.size == (24, 24)
    assert small.overlaps()[0].iou > 0.6
    assert abs(small.overlaps()[1].iou - scene.overlaps()[0].iou) < 0.15


def test_every_known_fault_changes_the_scene_and_says_where_to_look(scene, capture):
    places = places_of(capture)
    names = set()
    for fault in [*known_faults(scene), *frame_faults(scene)]:
        mended = fault.mend(scene)
        changed = [
            not np.allclose(getattr(mended, name), getattr(scene, name))
            for name in ("vertices", "viewmats", "Ks", "masks", "usable")
        ]
        # Square images with centred principal points do not change when x and y of K are exchanged.
        assert any(changed) or fault.name == "width and height exchanged in K", fault.name
        text = fault.advice(places)
        assert any(word in text for word in ("calibration_full.json", "smpl_params.npz", "images and masks")), text
        names.add(fault.name)
    rotations = [name for name in names if name.startswith("poses' (x, y, z)")]
    assert len(rotations) == 23
    assert len(names) == len(known_faults(scene)) + len(frame_faults(scene))


def test_mistakes_are_undone_by_their_opposites(scene):
    for scaled in ("T", "transl", "T and transl"):
        there = length_fault(scaled, 1000.0).mend(length_fault(scaled, 0.001).mend(scene))
        np.testing.assert_allclose(there.vertices, scene.vertices, atol=1e-9)
        np.testing.assert_allclose(there.viewmats, scene.viewmats)
    by_name = {fault.name: fault for fault in known_faults(scene)}
    for name in ("camera-to-world for world-to-camera", "OpenGL's axes for OpenCV's", "images upside down"):
        twice = by_name[name].mend(by_name[name].mend(scene))
        np.testing.assert_allclose(twice.viewmats, scene.viewmats, atol=1e-6)  # R is a rotation to float32
        np.testing.assert_array_equal(twice.masks, scene.masks)
    np.testing.assert_allclose(intrinsics_fault(4.0).mend(intrinsics_fault(0.25).mend(scene)).Ks, scene.Ks)


def test_every_camera_fits_its_own_calibration_best(capture, body):
    whole, _ = read_scene(capture, body, range(4), range(6))
    fit = cross_fit(whole)
    np.testing.assert_array_equal(fit.argmax(1), np.arange(6))
    assert fit.diagonal().min() > 0.6


@pytest.mark.parametrize(
    ("distance", "word"), [(2.9, ": metres"), (310, "centimetres"), (2750, "millimetres"), (5.6, "2 times as many")]
)
def test_units_are_guessed_by_the_person_s_size(distance, word):
    assert word in str(Reach(distance, 2.8, 1.7))


def test_a_capture_is_read_at_another_size(capture):
    small = at_size(capture, 16)
    assert small.size() == (16, 16)
    assert small.mask(0, 0).shape == (16, 16)
    np.testing.assert_allclose(small.cameras.Ks[:, :2], capture.cameras.Ks[:, :2] / 2, rtol=1e-6)
