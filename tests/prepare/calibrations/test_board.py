"""Cameras found from drawn chessboards are those that the boards were drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from hgg_pyg.data.calibration import Calibration, Entry, make_calibration
from hgg_pyg.prepare.calibrations.board import Board
from hgg_pyg.prepare.calibrations.board_cameras import cameras_from_board, find_board_footage, lenses_from_board
from hgg_pyg.prepare.rays import normalised, project
from hgg_pyg.types import UserError

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")
SIZE = (480, 360)
BOARD = Board(7, 4, 0.06)
K = np.array([[520.0, 0, 251], [0, 522, 174], [0, 0, 1]])
BENDS = (-0.08, 0.05)


def looking_at(points: Sequence[Sequence[float]], rolls: Sequence[float]) -> Calibration:
    """Cameras at places above the board, which look at its middle."""
    entries = []
    for number, (place, roll) in enumerate(zip(np.array(points, float), rolls, strict=True)):
        z = BOARD.points.mean(0) - place
        z /= np.linalg.norm(z)
        x = np.cross(z, (0, 0, 1.0))
        x /= np.linalg.norm(x)
        R = Rotation.from_euler("z", roll).as_matrix() @ np.stack([x, np.cross(z, x), z])
        entries.append(Entry(f"cam{number:02d}", "here", K, R, -R @ place, (*BENDS, 0, 0, 0), SIZE))
    return make_calibration(entries)


def draw(camera: Calibration, board: Board = BOARD, fine: int = 3) -> np.ndarray:
    """What one camera sees of the board on gray ground, each pixel the mean of `fine` squared. [H, W, 3] uint8"""
    width, height = SIZE
    v, u = np.mgrid[:height, :width] + 0.5
    plane = normalised(np.stack([u, v], -1).reshape(1, -1, 2), camera)[0].reshape(height, width, 2)
    plane = cv2.resize(plane, (width * fine, height * fine)).reshape(-1, 2)  # a lens bends little between pixels
    ends = plane @ camera.R[0, :2] + camera.R[0, 2]
    place = -camera.R[0].T @ camera.T[0]
    on_board = (place[:2] - ends[:, :2] * (place[2] / ends[:, 2:])) / board.square
    column, row = np.floor(on_board[:, 0]).astype(int), np.floor(-on_board[:, 1]).astype(int)
    inside = (column >= -1) & (column < board.columns) & (row >= -1) & (row < board.rows)
    paper = (column >= -2) & (column <= board.columns) & (row >= -2) & (row <= board.rows)
    gray = np.where(inside & ((column + row) % 2 == 0), 30.0, np.where(paper, 225.0, 110.0))
    image = gray.reshape(height, fine, width, fine).mean((1, 3)).round().astype(np.uint8)
    return np.repeat(image[..., None], 3, 2)


def save(folder: Path, name: str, image: np.ndarray) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / name)


AROUND = looking_at(
    [(0.1, -0.8, 0.5), (0.7, -0.4, 0.6), (-0.3, -0.5, 0.7), (0.2, 0.4, 0.8), (0.3, -0.1, 0.75), (-0.4, 0.2, 0.6)],
    [0.1, -0.3, 0.5, 0.0, 1.0, -0.6],
)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """The board as each of the places sees it."""
    return [draw(AROUND.select([number])) for number in range(len(AROUND.names))]


@pytest.fixture(scope="module")
def folder(images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as Pose2Sim does: two cameras of one lens, and the board on the floor as three places see it."""
    made = tmp_path_factory.mktemp("calibration")
    for number, image in enumerate(images):
        for camera in ("cam00", "cam03"):
            save(made / "intrinsics" / f"int_{camera}_img", f"{number}.png", image)
        if number in (0, 3):
            save(made / "extrinsics", f"cam{number:02d}_ext.png", image)
    return made


def test_corners_are_where_they_are_seen_in_the_order_of_the_board(images: list[np.ndarray]) -> None:
    for number, image in enumerate(images):  # also from the other side of the board, and turned
        found = BOARD.find(image)
        assert found is not None
        assert np.abs(found - project(BOARD.points, AROUND.select([number]))[0]).max() < 0.4


def test_lens_and_places(folder: Path) -> None:
    lenses = lenses_from_board(find_board_footage(folder, "intrinsics"), BOARD)
    assert list(lenses) == ["cam00", "cam03"]
    lens = lenses["cam00"]
    assert (lens.used, lens.images, lens.size) == (6, 6, SIZE)
    assert lens.error < 0.1
    assert np.abs(lens.K - K).max() < 2.0
    grid = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 5), np.linspace(-0.2, 0.2, 5), [1.0]), -1).reshape(-1, 3)
    still = [Entry("a", "", lens.K, np.eye(3), np.zeros(3), lens.distortion, SIZE)]
    true = [Entry("a", "", K, np.eye(3), np.zeros(3), (*BENDS, 0, 0, 0), SIZE)]
    off = project(grid, make_calibration(still)) - project(grid, make_calibration(true))
    assert np.linalg.norm(off, axis=-1).max() < 2.0  # K and bends give and take, but see alike

    cameras = cameras_from_board(find_board_footage(folder, "extrinsics"), lenses, BOARD)
    assert cameras.names == ("cam00", "cam03")
    assert cameras.sizes == (SIZE, SIZE)
    for found, number in enumerate((0, 3)):
        true_place = -AROUND.R[number].T @ AROUND.T[number]
        place = -cameras.R[found].T @ cameras.T[found]
        assert np.linalg.norm(place - true_place) < 0.01
        assert place[2] > 0  # z points up from the board


def test_a_wrong_count_of_corners_says_so(folder: Path) -> None:
    with pytest.raises(UserError, match=r"camera 'cam00': expected at least 4 .* 8x5 inner corners .*found 0 of 6"):
        lenses_from_board(find_board_footage(folder, "intrinsics"), Board(8, 5, 0.06))


def test_what_is_wrong_with_a_folder_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--board-images .*expected a folder of images of the board, found none"):
        find_board_footage(tmp_path / "none", "intrinsics")
    assert find_board_footage(tmp_path, "extrinsics") == {}
    image = np.zeros((60, 80, 3), np.uint8)
    for name in ("int_cam1", "cam1_img"):
        save(tmp_path / "intrinsics" / name, "0.png", image)
    with pytest.raises(UserError, match=r"found two for 'cam1': cam1_img.0.png and int_cam1.0.png"):
        find_board_footage(tmp_path, "intrinsics")
    lenses = lenses_from_board({"cam00": find_board_footage(folder, "intrinsics")["cam00"]}, BOARD)
    (blank,) = tmp_path.glob("intrinsics/int_cam1/0.png")
    with pytest.raises(UserError, match="expected an image of the board from each camera, found none of cam00"):
        cameras_from_board({}, lenses, BOARD)
    with pytest.raises(UserError, match="expected camera 'cam00' to see all 7x4 inner corners"):
        cameras_from_board({"cam00": (blank,)}, lenses, BOARD)
    with pytest.raises(UserError, match="expected one odd and one even number of corners"):
        cameras_from_board({}, lenses, Board(7, 5, 0.06))
    blank.with_name("1.png").write_bytes(b"no image")
    save(blank.parent, "2.png", np.zeros((50, 80, 3), np.uint8))
    with pytest.raises(UserError, match=r"expected images of one size, found 80x50 and 80x60"):
        lenses_from_board({"cam1": sorted(blank.parent.iterdir())}, BOARD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9x6", "expected inner corners and the side of a square with its unit, as in 9x6:25mm; found '9x6'"),
        ("9x6:25", "expected inner corners and the side"),
        ("2x6:25mm", "expected 3 to 100 inner corners a side, found 2x6"),
        ("9x6:25m", "expected squares of 1 mm to 1 m, found 25 m"),
        ("9x6:0mm", "expected squares of 1 mm to 1 m, found 0 m"),
    ],
)
def test_boards_that_are_none(text: str, message: str) -> None:
    with pytest.raises(UserError, match=f"--board: {message}"):
        Board.parse(text)


def test_a_board_in_any_unit() -> None:
    assert Board.parse("9x6:25mm") == Board.parse("9x6:2.5cm") == Board(9, 6, 0.025)
