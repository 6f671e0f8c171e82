"""Images of the same moments, whatever the cameras' rates, starts, lengths, turns and sizes."""

import re

import numpy as np
import pytest

from hgg_pyg.data.calibration import Calibration
from hgg_pyg.prepare.footage.clock import Sampling, Span, Timeline, choose_moments
from hgg_pyg.prepare.footage.extract import extract_camera, image_path, keep_whole, plan_images
from hgg_pyg.prepare.footage.image_folder import ImageFolder
from hgg_pyg.prepare.footage.sizes import plan_sizes
from hgg_pyg.prepare.footage.source import find_image_folders, find_videos
from hgg_pyg.prepare.footage.video import VideoSource
from hgg_pyg.types import UserError
from tests.prepare.films import counting, number_of, write_images, write_video


def line(camera, times, rate=None):
    return Timeline.of(camera, np.asarray(times, float), rate, size=(64, 48))


def steady(camera, count, rate=30.0):
    return line(camera, np.arange(count) / rate)


def calibration(*sizes):
    """Cameras a, b, ... of these stated sizes."""
    count = len(sizes)
    K = np.tile(np.array([[50.0, 0, 30], [0, 50, 20], [0, 0, 1]]), (count, 1, 1))
    R = np.tile(np.eye(3), (count, 1, 1))
    return Calibration(tuple("abcd"[:count]), K, R, np.zeros((count, 3)), np.zeros((count, 5)), sizes)


def test_the_moments_of_steady_cameras_are_their_frames_where_all_of_them_ran():
    lines = [steady("a", 20), steady("b", 14)]
    found = choose_moments(lines, Sampling(every=3))
    assert found.frames.tolist() == [[n, n] for n in range(0, 14, 3)]
    np.testing.assert_allclose(found.times, np.arange(0, 14, 3) / 30)
    assert [str(item) for item in found.left_out] == [
        "6 frames left out: a: not all cameras saw these moments (14, 15, 16, ...)"
    ]


@pytest.mark.parametrize("offset", ["4", "-3", f"{4 / 30}s", "2.4"])
def test_an_offset_says_which_frame_of_a_camera_shows_frame_0_of_the_others(offset):
    span = Span.parse(offset, "--offset")
    found = choose_moments([steady("a", 20), steady("b", 20)], Sampling(offsets={"b": span}))
    ahead = found.frames[:, 1] - found.frames[:, 0]
    assert (ahead == round(span.in_seconds(30) * 30)).all()
    assert found.frames.min() == 0
    assert found.frames.max() >= 18


def test_start_and_end_are_frames_or_seconds_and_the_end_is_not_taken():
    lines = [steady("a", 30), steady("b", 30)]
    frames = choose_moments(lines, Sampling(start=Span(5), end=Span(9))).frames[:, 0]
    assert frames.tolist() == [5, 6, 7, 8]
    seconds = choose_moments(lines, Sampling(start=Span(5 / 30, True), end=Span(0.3, True))).frames[:, 0]
    assert seconds.tolist() == [5, 6, 7, 8]


def test_frames_are_the_nearest_in_time_when_stamps_are_uneven_and_gaps_are_left_out():
    rng = np.random.default_rng(0)
    uneven = np.arange(40) / 30 + rng.uniform(-0.008, 0.008, 40)
    uneven = np.delete(uneven - uneven[0], [20, 21, 22])
    found = choose_moments([steady("a", 40), line("b", uneven)], Sampling())
    away = abs(uneven[found.frames[:, 1]] - found.times)
    assert away.max() < 0.75 / 30
    brute = abs(uneven[None] - found.times[:, None]).min(1)
    np.testing.assert_array_equal(away, brute)
    assert 21 not in found.frames[:, 0]
    assert any("b has a gap there" in str(item) for item in found.left_out)


def test_rates_that_differ_are_sampled_by_time_when_a_rate_is_given():
    lines = [steady("a", 60, 60.0), steady("b", 25, 25.0)]
    with pytest.raises(UserError, match="one frame rate, found 25 a second of b and 60 of a; --fps 25"):
        choose_moments(lines, Sampling())
    found = choose_moments(lines, Sampling(fps=5))
    assert found.frames.tolist() == [[0, 0], [12, 5], [24, 10], [36, 15], [48, 20]]
    with pytest.raises(UserError, match=r"--fps: expected at most .* 25 a second of b; found 50"):
        choose_moments(lines, Sampling(fps=50))


def test_a_time_stamp_that_is_days_away_takes_no_memory():
    lines = [line(name, [0.0, 1 / 30, 2 / 30, 1e9]) for name in "ab"]
    with pytest.raises(UserError, match="expected at most 1,000,000 moments, found frames 0 to 30000000000 at 30"):
        choose_moments(lines, Sampling())
    assert len(choose_moments(lines, Sampling(end=Span(1.0, True))).times) == 3


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        (Sampling(offsets={"c": Span(1)}), "--offset: expected one of the cameras a, b; found 'c'"),
        (Sampling(offsets={"b": Span(40)}), "a moment that all cameras saw, found none: b ends at -0.70 s, before a"),
        (Sampling(start=Span(25)), r"--start, --end: expected a moment within .* \(frames 0 to 19\), found none"),
    ],
)
def test_moments_that_are_none(sampling, said):
    with pytest.raises(UserError, match=said):
        choose_moments([steady("a", 20), steady("b", 20)], sampling)


@pytest.mark.parametrize("text", ["", "s", "1m", "nan", "1e9", "--3", "0.35 sec"])
def test_a_span_that_is_none(text):
    with pytest.raises(ValueError, match=re.escape("--start: expected frames (12) or seconds (0.35s), found")):
        Span.parse(text, "--start")


def test_a_videos_frames_come_by_their_stamps(tmp_path):
    stamps = [0, 33, 66, 133, 167, 200, 267, 300]
    source = VideoSource("a", write_video(tmp_path / "a.mkv", counting(8), stamps=stamps))
    found = source.timeline()
    np.testing.assert_allclose(found.times * 1000, stamps, atol=1)
    assert found.rate == pytest.approx(30, rel=0.02)
    assert [(frame, number_of(image)) for frame, image in source.images([2, 5, 7])] == [(2, 2), (5, 5), (7, 7)]
    assert [frame for frame, _ in source.images([])] == []


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_videos_are_turned_as_players_turn_them(tmp_path, rotation):
    source = VideoSource("a", write_video(tmp_path / "a.mp4", counting(3), rotation=rotation))
    _, image = next(source.images([1]))
    expected = np.rot90(counting(3)[1], rotation // 90)
    assert source.timeline().size == image.shape[1::-1] == expected.shape[1::-1]
    assert abs(image.astype(int) - expected).mean() < 6


def test_a_video_that_is_cut_off_gives_what_is_there_and_says_so(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "a.mp4", list(noise), options={"movflags": "faststart"})
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) * 2 // 3])
    source = VideoSource("a", whole)
    found = source.timeline()
    assert 15 < len(found.times) < 35
    (note,) = found.notes
    assert note == f"{whole} ends early: after {len(found.times)} of the 40 frames that its header states"
    decoded = [frame for frame, _ in source.images(range(len(found.times)))]
    assert len(decoded) >= len(found.times) - 4  # of the last group of pictures
    whole.write_bytes(content[:200])
    with pytest.raises(UserError, match="expected a video, found"):
        source.timeline()
    (tmp_path / "b.mp4").write_text("no video")
    with pytest.raises(UserError, match=r"b\.mp4: expected a video, found what cannot be opened"):
        VideoSource("b", tmp_path / "b.mp4").timeline()


def test_images_keep_their_numbers(tmp_path):
    folder = write_images(tmp_path / "a", counting(6), numbers=[0, 5, 10, 15, 20, 25])
    whole = ImageFolder("a", folder, 1.0)
    other = ImageFolder("b", write_images(tmp_path / "b", counting(4), numbers=[0, 5, 15, 20]), 1.0)
    moments = choose_moments([whole.timeline(), other.timeline()], Sampling())
    assert moments.times.tolist() == [0, 5, 15, 20]
    assert moments.frames.tolist() == [[0, 0], [1, 1], [3, 2], [4, 3]]
    assert moments.numbers[:, 0].tolist() == moments.numbers[:, 1].tolist() == [0, 5, 15, 20]
    (folder / "0005.png").write_bytes(b"broken")
    assert [frame for frame, _ in whole.images([0, 1, 2])] == [0, 2]


def test_a_number_that_is_no_frames_is_one_line(tmp_path):
    folder = write_images(tmp_path / "cam00", counting(1), [10**20])
    with pytest.raises(UserError, match=r"cam00: expected numbers of frames up to 9,.*, found 10+\.png"):
        ImageFolder("cam00", folder, 30.0).timeline()


def test_finding_cameras(tmp_path):
    for name in ("cam2.mp4", "cam1.MOV", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    assert list(find_videos([tmp_path])) == ["cam1", "cam2"]
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "cam1.mkv").touch()
    with pytest.raises(UserError, match="one video for each camera, found"):
        find_videos([tmp_path, tmp_path / "again" / "cam1.mkv"])
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"none: expected videos .* found no files"):
        find_videos([tmp_path / "none"])
    with pytest.raises(UserError, match="found nothing there"):
        find_videos([tmp_path / "nowhere.mp4"])
    write_images(tmp_path / "images" / "cam7", counting(1))
    (tmp_path / "images" / "empty").mkdir()
    assert list(find_image_folders(tmp_path / "images")) == ["cam7"]
    with pytest.raises(UserError, match="a folder of images for each camera"):
        find_image_folders(tmp_path / "none")


def test_one_size_for_all_moves_no_point():
    """A point's pixel, scaled from the images as found, is where the new intrinsics put it."""
    given = calibration((1088, 1920), (540, 960), None)
    framings, placed, notes = plan_sizes(given, [(1080, 1920), (1080, 1920), (1000, 1500)], 960)
    assert {framing.final for framing in framings} == {(544, 960)}
    point = np.array([0.4, -0.2, 1.0])
    for camera, scale in enumerate([(1, 1), (2, 2), (1, 1)]):
        pixel = (given.K[camera] @ point)[:2] * scale
        np.testing.assert_allclose((placed.K[camera] @ point)[:2], pixel * (544 / 1088, 0.5))
    assert "cut on the right, 8 columns" in notes[0]
    assert "calibrated at 540x960" in notes[1]
    image = framings[0].apply(np.full((1920, 1080, 3), 200, np.uint8))
    assert image.shape == (960, 544, 3)
    assert image[:, :539].min() > 190
    assert image[:, 541:].max() == 0


def test_another_shape_than_the_calibration_is_for_is_refused():
    with pytest.raises(UserError, match=r"a: expected images of 1920x1080.*found 1080x1920; it is for images turned"):
        plan_sizes(calibration((1920, 1080)), [(1080, 1920)], None)
    with pytest.raises(UserError, match=r"a: expected images of 1920x1080.*found 1440x1080$"):
        plan_sizes(calibration((1920, 1080)), [(1440, 1080)], None)


def test_images_are_filed_by_moment_and_broken_ones_counted(tmp_path):
    sources = []
    for camera, count in (("a", 9), ("b", 7)):
        sources.append(ImageFolder(camera, write_images(tmp_path / camera, counting(count)), 1.0))
    plan = plan_images(sources, calibration(None, None), Sampling(every=2), None)
    (tmp_path / "b" / "0004.png").write_bytes(b"broken")
    told = []
    present = [extract_camera(plan, camera, tmp_path / "out", told.append) for camera in (0, 1)]
    assert present == [[0, 1, 2, 3], [0, 1, 3]]
    assert sum(told) == 8
    assert image_path(tmp_path / "out", "a", 3).is_file()
    kept, moments = keep_whole(plan.moments, present, plan.calibration.names)
    assert kept == [0, 1, 3]
    assert moments.frames[:, 0].tolist() == [0, 2, 6]
    assert "b: the frame is broken (2)" in str(moments.left_out[-1])
