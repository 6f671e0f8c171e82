"""Clips of one capture as other studios would have filmed it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hgg_pyg.backbones import BackboneConfig, make_backbone
from hgg_pyg.config import ClipConfig
from hgg_pyg.data import frame_sources, open_captures
from hgg_pyg.data.capture_set import find_subjects
from hgg_pyg.data.layouts import make_capture
from hgg_pyg.data.variety import VarietyConfig, resized, vary
from hgg_pyg.data.windows import person_windows


@pytest.fixture(scope="module")
def source(tiny_captures, body, tmp_path_factory):
    captures = open_captures(tiny_captures, 24, body)
    return frame_sources(captures.train, 4, make_backbone(BackboneConfig()), body, tmp_path_factory.mktemp("cache"))[0]


@pytest.mark.parametrize("crop", [False, True])
def test_a_resized_capture_is_the_one_that_is_opened_at_that_size(source, tiny_captures, body, crop):
    subject = find_subjects(tiny_captures)[source.capture.name]
    expected = make_capture(subject.folder, subject.layout, body, 20, crop)
    windows = person_windows(body, source.capture.poses, _file_cameras(source)) if crop else None
    found = resized(source.capture, 20, windows)
    assert found.size() == expected.size() == (20, 20)
    torch.testing.assert_close(found.views(1, [0, 3]).Ks, expected.views(1, [0, 3]).Ks)
    np.testing.assert_array_equal(found.image(1, 3), expected.image(1, 3))
    np.testing.assert_array_equal(found.mask(1, 3), expected.mask(1, 3))


def _file_cameras(source):
    capture = source.capture
    return resized(capture, max(capture.file_size)).cameras


def test_draws_keep_within_bounds_and_differ(source):
    config = VarietyConfig(image_sizes=(16, 512), crops=0.5, views=(1, 8), frames=(1, 16))
    rng = np.random.default_rng(0)
    sizes, views, frames, crops = set(), set(), set(), set()
    for _ in range(100):
        varied, clip = vary(source, ClipConfig(), config, rng)
        sizes.add(varied.capture.size()[0])
        views.add(len(varied.cameras))
        frames.add(clip.frames)
        crops.add(varied.capture.windows is None)
        assert clip.input_views == len(varied.cameras) == len(set(varied.cameras))
    assert 16 <= min(sizes) < 20
    assert 28 < max(sizes) <= 32  # that of the files, whatever is asked for
    assert views == {1, 2, 3, 4, 5, 6}
    assert frames == {1, 2, 3, 4}
    assert crops == {False, True}


def test_pixels_are_bounded_by_leaving_out_frames_then_cameras(source):
    few = VarietyConfig(image_sizes=(32, 32), views=(4, 4), frames=(4, 4), input_pixels=2 * 4 * 32 * 32)
    varied, clip = vary(source, ClipConfig(), few, np.random.default_rng(0))
    assert (clip.frames, len(varied.cameras)) == (2, 4)
    fewer = replace(few, input_pixels=2 * 32 * 32)
    varied, clip = vary(source, ClipConfig(), fewer, np.random.default_rng(0))
    assert (clip.frames, len(varied.cameras)) == (1, 2)


def test_wrong_bounds_are_refused():
    with pytest.raises(ValueError, match=r"views: expected the least, then the most, found \(4, 2\)"):
        VarietyConfig(views=(4, 2))
    assert not VarietyConfig()
    assert VarietyConfig(image_sizes=(64, 64))
