"""What a stage left is found again if nothing that it depends on has changed, and only then."""

import numpy as np
import pytest

from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.landmarks import Sighting
from hgg_pyg.prepare.people import mask_path, see_people
from hgg_pyg.prepare.stages import Stage
from hgg_pyg.types import UserError


def test_a_stage_goes_on_with_what_is_there_and_starts_afresh_when_anything_changed(tmp_path):
    stage = Stage.open(tmp_path, "one", "footage", "options")
    assert not stage.done
    stage.save("part.npz", numbers=np.arange(3), names=np.array(["a", "bc"]))
    again = Stage.open(tmp_path, "one", "footage", "options")
    assert again.load("part.npz")["names"].tolist() == ["a", "bc"]
    again.finish({"frames": 3})
    assert Stage.open(tmp_path, "one", "footage", "options").record() == {"frames": 3}
    other = Stage.open(tmp_path, "one", "footage", "other options")
    assert not other.done
    assert not other.has("part.npz")
    assert other.key != stage.key
    assert Stage.open(tmp_path, "two", "footage", "options").key != stage.key


def test_a_stage_that_was_half_removed_is_not_taken_for_whole(tmp_path, monkeypatch):
    """The user tries other options, interrupts the command at once, and goes back to the first options."""
    Stage.open(tmp_path, "one", "options").finish({})

    def stopped(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hgg_pyg.prepare.stages.shutil.rmtree", stopped)
        with pytest.raises(KeyboardInterrupt):
            Stage.open(tmp_path, "one", "other options")
    assert not Stage.open(tmp_path, "one", "options").done


def test_what_was_changed_since_is_one_line_with_the_remedy(tmp_path):
    stage = Stage.open(tmp_path, "one", "options")
    stage.save("part.npz", numbers=np.arange(3))
    stage.finish({})
    (stage.folder / "done.json").write_text("{")
    (stage.folder / "other.npz").write_bytes((stage.folder / "part.npz").read_bytes()[:100])
    (stage.folder / "empty.npz").touch()
    for read in (stage.record, *(lambda name=name: stage.load(f"{name}.npz") for name in ("other", "empty", "gone"))):
        with pytest.raises(UserError, match=f"one.*: expected .* found it changed .*: remove {tmp_path} and"):
            read()
    (stage.folder / "key.txt").write_bytes(b"\xff")
    assert not Stage.open(tmp_path, "one", "options").done


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="expected a folder that can be written"):
        Stage.open(tmp_path / "file", "one")


PERSON = np.random.default_rng(0).uniform(0, 8, (17, 3))


class Counting:
    """A network that finds as many people as the image is bright."""

    landmarks = COCO_17

    def __init__(self, stops_at=None):
        self.images, self.stops_at = 0, stops_at

    def find(self, image, most):
        self.images += 1
        if self.images == self.stops_at:
            raise KeyboardInterrupt
        count = int(image[0, 0, 0])
        return [Sighting(PERSON + 10.0 * count + n, np.full(image.shape[:2], n, np.uint8)) for n in range(count)]


def quiet(total):
    return lambda count: None


def images(frame, camera):
    return np.full((4, 5, 3), (frame + camera) % 3, np.uint8)


def test_sightings_are_kept_and_only_missing_images_are_looked_at_again(tmp_path):
    stage, shape = Stage.open(tmp_path, "people", "x"), (40, 2)
    with pytest.raises(KeyboardInterrupt):
        see_people(stage, lambda: Counting(stops_at=50), images, shape, 4, quiet)
    network, told = Counting(), []
    found = see_people(stage, lambda: network, images, shape, 4, lambda total: told.append)
    assert network.images == 40  # those of the first camera were kept
    assert sum(told) == 80
    assert [len(found.of(frame, 1)) for frame in range(5)] == [1, 2, 0, 1, 2]
    assert found.of(1, 1)[1].points[0, 0] == PERSON[0, 0] + 21
    mask_of = found.mask_of(COCO_17)
    assert mask_of(1, 1, PERSON + 20.2) == mask_path(stage.folder, 1, 1, 0)
    assert mask_of(1, 1, PERSON + 21.1) == mask_path(stage.folder, 1, 1, 1)
    assert mask_of(1, 1, PERSON + 60.0) is None
    assert mask_of(1, 1, PERSON * np.nan) is None
    assert mask_of(2, 1, PERSON + 20.0) is None
    again = see_people(stage, lambda: pytest.fail("no image is missing"), images, shape, 4, quiet)
    np.testing.assert_array_equal(again.points[39][0], found.points[39][0])


def test_only_as_many_people_as_asked_for(tmp_path):
    found = see_people(Stage.open(tmp_path, "people"), Counting, images, (3, 1), 1, quiet)
    assert [len(found.of(frame, 0)) for frame in range(3)] == [0, 1, 1]
