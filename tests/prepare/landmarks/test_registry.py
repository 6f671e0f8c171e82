"""Networks by name, and the user's own."""

import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from hgg_pyg.prepare.landmark_sets import COCO_17
from hgg_pyg.prepare.landmarks import LANDMARKERS, Sighting, find_landmarker, registry
from hgg_pyg.prepare.landmarks.network import Network
from hgg_pyg.types import UserError


class Own:
    """A network that sees one person in every image."""

    landmarks = COCO_17

    def find(self, image: np.ndarray, most: int) -> list[Sighting]:
        """See `Landmarker`."""
        return [Sighting(np.zeros((17, 3)))][:most]


class Broken(Own):
    """A network that lacks its file."""

    def __init__(self) -> None:
        raise FileNotFoundError("weights.onnx")


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_landmarks")
    vars(module).update(Own=Own, made=Own(), Broken=Broken, without="text", Points=type("Points", (), {"find": 1}))
    monkeypatch.setitem(sys.modules, "own_landmarks", module)


@pytest.mark.parametrize("name", ["own_landmarks:Own", "own_landmarks:made"])
def test_a_users_own_network_is_found(name: str) -> None:
    landmarker = find_landmarker(name)
    assert landmarker.landmarks is COCO_17
    assert len(landmarker.find(np.zeros((4, 4, 3), np.uint8), most=1)) == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openpose", f"expected one of {', '.join(LANDMARKERS)}, or module:NAME .* found 'openpose'"),
        ("nowhere:Own", "'nowhere:Own' cannot be imported"),
        ("own_landmarks:Other", "'own_landmarks:Other' cannot be imported"),
        ("own_landmarks:without", "'own_landmarks:without': expected an object with landmarks .* and find.* found str"),
        ("own_landmarks:Points", "expected an object with landmarks .* and find.* found Points"),
        ("own_landmarks:Broken", "cannot be made ready .FileNotFoundError: weights.onnx"),
        ("", "expected one of .* found ''"),
        ("a\nb", "expected one of"),
    ],
)
def test_what_is_no_network_is_said_in_a_line(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as raised:
        find_landmarker(name)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x00" * 4096])
def test_a_file_that_is_no_network_is_said_in_a_line(tmp_path: Path, content: bytes) -> None:
    pytest.importorskip("ai_edge_litert")
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.tflite: expected a TensorFlow Lite network, found: .+") as raised:
        Network(path, threads=1)
    assert "\n" not in str(raised.value)


def test_missing_litert_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match=r'found none: pip install "hgg_pyg\[prepare\]"'):
        Network(tmp_path / "any.tflite", threads=1)


def test_the_smaller_network_stands_in_for_the_larger_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse() -> None:
        raise UserError("python -m hgg_pyg.weights landmarks-heavy: no network")

    monkeypatch.setattr(registry, "heavy_landmark_model", refuse)
    monkeypatch.setattr(registry, "_full", Own)
    assert isinstance(find_landmarker(), Own)
    assert (
        "mediapipe-full, for want of the larger: python -m hgg_pyg.weights landmarks-heavy: no network" in caplog.text
    )
    with pytest.raises(UserError, match="landmarks-heavy: no network"):
        find_landmarker("mediapipe-heavy")


def failing(*_: object) -> list[Sighting]:
    raise ValueError("two\nlines")


MASK = np.zeros((4, 6), np.uint8)
POINTS = np.zeros((17, 3))


@pytest.mark.parametrize(
    ("find", "said"),
    [
        (failing, r"find\(image, most\) failed \(ValueError: two"),
        (lambda image, most: None, r"failed \(TypeError"),
        (lambda image, most: [POINTS], "expected find to give Sightings, found ndarray"),
        (lambda image, most: [Sighting(POINTS[:, :2])], r"points of \[17, 3\] numbers, .* found \[17, 2\] of float64"),
        (lambda image, most: [Sighting(POINTS.astype(str))], r"points of \[17, 3\] numbers, .* found \[17, 3\] of <U"),
        (lambda image, most: [Sighting(POINTS, MASK.T)], r"a mask of \[4, 6\] uint8, .* found \[6, 4\] of uint8"),
        (lambda image, most: [Sighting(POINTS, MASK > 0)], r"found \[4, 6\] of bool"),
        (lambda image, most: [Sighting(POINTS, "mask")], r"found \[\] of str"),  # type: ignore[arg-type]
    ],
)
def test_what_an_own_network_does_wrong_is_said_in_a_line(find, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "find", lambda self, image, most: find(image, most))
    with pytest.raises(UserError, match=said) as raised:
        find_landmarker("own_landmarks:Own").find(np.zeros((4, 6, 3), np.uint8), 1)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("--landmarker 'own_landmarks:Own': ")


def test_an_own_network_gives_no_more_people_than_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Own, "find", lambda self, image, most: [Sighting(POINTS.astype(np.float32), MASK)] * 3)
    people = find_landmarker("own_landmarks:Own").find(np.zeros((4, 6, 3), np.uint8), 2)
    assert [person.points.dtype for person in people] == [np.float64] * 2


def test_the_example_of_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "prepare.md").read_text("utf-8")
    (example,) = (block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "rtmlib" in block)
    rtmlib, module = ModuleType("rtmlib"), ModuleType("my_landmarks")
    body = np.array([[[3.0, 4.0]] * 17, [[1.0, 2.0]] * 17]), np.array([[0.9] * 17, [1.7] * 17])
    vars(rtmlib).update(Body=lambda **_: lambda image: body)
    monkeypatch.setitem(sys.modules, "rtmlib", rtmlib)
    exec(example, vars(module))
    monkeypatch.setitem(sys.modules, "my_landmarks", module)
    (person, other) = find_landmarker("my_landmarks:RTMPose").find(np.zeros((8, 8, 3), np.uint8), most=2)
    assert person.points[0] == pytest.approx([1.5, 2.5, 1.0])
    assert other.points[0] == pytest.approx([3.5, 4.5, 0.9])
