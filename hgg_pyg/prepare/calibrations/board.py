"""A chessboard: how it is written down, and finding its inner corners in an image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from hgg_pyg.io.shown import shown
from hgg_pyg.prepare.extra import opencv
from hgg_pyg.types import UserError

_WRITTEN = re.compile(r"(\d{1,3})x(\d{1,3}):(\d+(?:\.\d*)?|\.\d+)(mm|cm|m|in)", re.IGNORECASE)
_METRES = {"mm": 0.001, "cm": 0.01, "m": 1.0, "in": 0.0254}
_SHRUNK = (1.0, 0.5, 0.25)  # a large board in a large image is found where the image is smaller
_SMALLEST = 100  # pixels of a side: OpenCV stops at images that are much smaller
_WINDOW = (3, 25)  # pixels: half of the side of what is looked at about a corner, a quarter of a square


@dataclass(frozen=True)
class Board:
    """A flat chessboard, counted by its inner corners."""

    columns: int
    rows: int
    square: float  # metres

    def __post_init__(self) -> None:
        if min(self.columns, self.rows) < 3 or max(self.columns, self.rows) > 100:
            raise UserError(f"--board: expected 3 to 100 inner corners a side, found {self.columns}x{self.rows}")
        if not 0.001 <= self.square <= 1:
            raise UserError(f"--board: expected squares of 1 mm to 1 m, found {self.square:g} m")

    @staticmethod
    def parse(text: str) -> Board:
        """A board as it is written in an option: "9x6:25mm" has 9 x 6 inner corners, 10 x 7 squares.

        Raises:
            UserError: it is not written so, or there is no such board.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            expected = "inner corners and the side of a square with its unit, as in 9x6:25mm"
            raise UserError(f"--board: expected {expected}; found {shown(repr(text))}")
        columns, rows, side, unit = found.groups()
        return Board(int(columns), int(rows), float(side) * _METRES[unit.lower()])

    @property
    def one_way_round(self) -> bool:
        """Whether the board turned by 180 degrees has other colours, so that its corners can be told apart."""
        return (self.columns + self.rows) % 2 == 1

    @property
    def points(self) -> np.ndarray:
        """Where the corners are on the board, row by row: x along the columns, y up the rows, z to who looks at it.

        [rows * columns, 3] metres, float64
        """
        row, column = np.mgrid[: self.rows, : self.columns]
        return np.stack([column, -row, 0 * row], -1).reshape(-1, 3) * self.square

    def find(self, image: np.ndarray) -> np.ndarray | None:
        """The inner corners in an image [H, W, 3] or [H, W] uint8, in the order of `points`.

        Which corner is the first is told by colours, where `one_way_round`: the square between the first four is dark.

        Returns:
            [rows * columns, 2] pixels, centres at +0.5, float64; None where they are not all found.
        """
        cv2 = opencv("--board: to find a chessboard")
        gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        corners = self._rough(cv2, gray)
        if corners is None:
            return None
        grid = corners.reshape(self.rows, self.columns, 2)
        nearest = min(float(np.linalg.norm(np.diff(grid, axis=axis), axis=-1).min()) for axis in (0, 1))
        half = int(np.clip(nearest / 4, *_WINDOW))
        stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-4)
        start = np.ascontiguousarray(corners, np.float32)[:, None].copy()
        fine = cv2.cornerSubPix(gray, start, (half, half), (-1, -1), stop)
        grid = fine.astype(np.float64).reshape(self.rows, self.columns, 2)
        return (self._ordered(gray, grid) + 0.5).reshape(-1, 2)

    def _rough(self, cv2: Any, gray: np.ndarray) -> np.ndarray | None:
        """Corners to a pixel or two, the middle of the first pixel is 0. [N, 2]"""
        size = (self.columns, self.rows)
        flags = cv2.CALIB_CB_ADAPTIVE_THRESH | cv2.CALIB_CB_NORMALIZE_IMAGE
        for scale in _SHRUNK:
            if min(gray.shape) * scale < _SMALLEST:
                break
            small = gray if scale == 1 else cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            found, corners = cv2.findChessboardCorners(small, size, flags=flags)
            if found:
                return (corners.reshape(-1, 2).astype(np.float64) + 0.5) / scale - 0.5
        if min(gray.shape) < _SMALLEST:
            return None
        found, corners = cv2.findChessboardCornersSB(gray, size)  # slower; finds a board whose rim is cut
        return corners.reshape(-1, 2).astype(np.float64) if found else None

    def _ordered(self, gray: np.ndarray, grid: np.ndarray) -> np.ndarray:
        """Corners [rows, columns, 2] so that x and y turn as on the board, and the first square is a dark one."""
        along, down = grid[0, -1] - grid[0, 0], grid[-1, 0] - grid[0, 0]
        if along[0] * down[1] - along[1] * down[0] < 0:
            grid = grid[::-1]
        if not self.one_way_round:
            return grid
        middles = (grid[:-1, :-1] + grid[1:, :-1] + grid[:-1, 1:] + grid[1:, 1:]) / 4
        columns, rows = (middles.round().astype(int)[..., axis].clip(0, gray.shape[1 - axis] - 1) for axis in (0, 1))
        even = np.add.outer(np.arange(self.rows - 1), np.arange(self.columns - 1)) % 2 == 0
        seen = gray[rows, columns].astype(np.float64)
        brighter = seen[even].mean() - seen[~even].mean()
        return grid[::-1, ::-1] if brighter > 0 else grid
