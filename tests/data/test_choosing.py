import numpy as np
import pytest

from hgg_pyg.config import ClipConfig
from hgg_pyg.data.choosing import choose_by_heading, chosen_frames, even_frames, find_chooser, looks_of, seen_around
from hgg_pyg.data.clips import sample_clip
from hgg_pyg.types import UserError


def looks_at(*degrees: float) -> np.ndarray:
    """One camera, by how far it stands from the front of the body in each frame. [F, 1, 3]"""
    around = np.radians(degrees)[:, None]
    return np.stack([np.sin(around), 0 * around, np.cos(around)], -1)


def covered(looks: np.ndarray, frames: tuple[int, ...]) -> int:
    return seen_around(looks[list(frames)])


def test_a_short_turn_in_a_long_sequence_is_found() -> None:
    """Of 60 frames all but six show the front; evenly spaced ones miss the turn."""
    turn = [0.0] * 40 + [60.0, 120.0, 180.0, 240.0, 300.0, 330.0] + [0.0] * 14
    looks = looks_at(*turn)
    chosen = choose_by_heading(looks, 6)
    assert chosen[0] == 0
    assert {turn[frame] for frame in chosen} >= {60.0, 120.0, 180.0, 240.0, 300.0}
    assert covered(looks, chosen) == 360
    assert covered(looks, even_frames(0, 60, 6)) < 200


@pytest.mark.parametrize("seed", range(5))
def test_no_side_is_lost_to_even_spacing_whatever_the_world(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turn = np.cumsum(rng.normal(0, 25, 40))
    looks = looks_at(*turn)
    chosen = choose_by_heading(looks, 5)
    assert covered(looks, chosen) >= covered(looks, even_frames(0, 40, 5))
    assert chosen == choose_by_heading(looks, 5)
    assert choose_by_heading(looks_at(*turn + 360), 5) == chosen


def test_who_does_not_turn_is_seen_at_even_times() -> None:
    assert max(np.diff(choose_by_heading(looks_at(*[30.0] * 41), 5))) <= 12


def test_looks_do_not_depend_on_the_world(tiny_captures, body) -> None:
    from hgg_pyg.data import open_captures
    from tests.data.test_clips import rotated

    capture = open_captures(tiny_captures).train[0]
    looks = looks_of(capture, (0, 2))
    assert looks.shape == (len(capture.frames), 2, 3)
    turned = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    assert np.allclose(looks_of(rotated(capture, turned), (0, 2)), looks, atol=1e-5)
    assert looks[0, 0] @ [0, 0, 1] > 0.5 or len(capture.cameras) < 4  # camera 0 of a rig stands in front


def only_first(looks: np.ndarray, count: int) -> list[int]:
    return list(range(count))


def twice(looks: np.ndarray, count: int) -> list[int]:
    return [0] * count


def test_a_chooser_of_ones_own_is_taken_and_checked() -> None:
    looks = looks_at(*range(0, 360, 30))
    assert chosen_frames(f"{__name__}:only_first", looks, 3) == (0, 1, 2)
    assert chosen_frames(f"{__name__}:twice", looks, 12) == tuple(range(12))  # all there are: nothing to choose
    with pytest.raises(UserError, match="expected 3 different positions from 0 to 11, ascending, found"):
        chosen_frames(f"{__name__}:twice", looks, 3)
    for name, said in (
        ("nearest", "expected one of even, heading"),
        ("no:one", "cannot be imported"),
        ("math:pi", "float"),
    ):
        with pytest.raises(UserError, match=said):
            find_chooser(name)
    with pytest.raises(ValueError, match=r"ClipConfig\.choose: expected one of even, heading, or module:NAME"):
        ClipConfig(choose="best")


def test_training_clips_are_chosen_by_heading_and_differ() -> None:
    config, looks = ClipConfig(frames=3, choose="heading"), looks_at(*range(0, 240, 20))
    plans = [sample_clip(12, 8, (0,), config, np.random.default_rng(seed), looks=looks).frames for seed in range(20)]
    drawn = [sample_clip(12, 8, (0,), config, np.random.default_rng(seed)).frames for seed in range(20)]
    assert len(set(plans)) > 5
    assert all(len(set(frames)) == 3 and list(frames) == sorted(frames) for frames in plans)
    mean = [np.mean([covered(looks, frames) for frames in some]) for some in (plans, drawn)]
    assert mean[0] > mean[1]
    whole = {sample_clip(12, 8, (0,), config, np.random.default_rng(s), even=True, looks=looks).frames for s in (0, 1)}
    assert len(whole) == 1
