"""NeuMan: one moving camera in COLMAP's world, whose unit is its own; SMPL's poses, aligned frame by frame."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from hgg_pyg.io.npz import write_object
from hgg_pyg.synthetic.conventions import matrices_to_rotvecs, quaternion, rotvecs_to_matrices
from hgg_pyg.synthetic.footage import Footage
from hgg_pyg.synthetic.layouts.base import LayoutWriter, save_png, to_bytes
from hgg_pyg.synthetic.raycast import RenderedImage, View

_UNIT = 0.43  # of COLMAP's world, units a metre
_WORLD = Rotation.from_rotvec([0.3, -1.1, 0.4]).as_matrix()  # COLMAP's axes in ours
_SWAY = 0.25  # metres to each side


class NeuMan(LayoutWriter):
    """A sequence of NeuMan.

    ::

        images/00000.png              as the camera saw it, which sways to the sides
        segmentations/00000.png       black is the person, white the rest
        sparse/cameras.txt, images.txt, points3D.txt   COLMAP's text, one PINHOLE camera
        alignments.npy                pickled {image's name: M (4, 3)}, each frame's scale a little wrong, as estimated
        smpl_output_optimized.pkl     {1: {pose: F of (72,), betas: F of (10,)}}, which joblib reads, too

    What --size scales: the images, 1280 x 720 in the data set, and the camera with them.
    """

    monocular = True

    def subject(self, index: int, test: bool) -> str:
        names = ("bike", "citron", "jogging", "lab", "parkinglot", "seattle")  # the data set's; more of ours follow on
        return names[index] if index < len(names) else f"sequence{index:03d}"

    def cameras(self, count: int) -> tuple[str, ...]:
        if count != 1:
            raise ValueError(f"count: expected 1, found {count}")
        return ("camera",)

    def image_size(self, size: int) -> tuple[int, int]:
        return round(size * 16 / 9), size

    def moved(self, view: View, frame: int, frames: int) -> View:
        """The camera sways, and looks at the same place all the while."""
        part = 2 * np.pi * frame / max(frames, 2)
        aside, distance = _SWAY * np.sin(part), float(np.linalg.norm(view.center))
        turn = Rotation.from_rotvec([0, np.arctan2(aside, distance), 0]).as_matrix()
        rotation = turn.T @ view.rotation
        center = view.center + aside * view.rotation[0]
        return replace(view, rotation=rotation, translation=-rotation @ center)

    def image(self, subject: str, camera: str, frame: int) -> str:
        return f"images/{frame:05d}.png"

    def mask(self, subject: str, camera: str, frame: int) -> str:
        return f"segmentations/{frame:05d}.png"

    def save_image(self, path: Path, rendered: RenderedImage) -> None:
        save_png(path, to_bytes(rendered.rgb))

    def save_mask(self, path: Path, rendered: RenderedImage) -> None:
        save_png(path, np.where(rendered.cover >= 0.5, 0, 255).astype(np.uint8))

    def write(self, folder: Path, footage: Footage) -> None:
        (view,) = footage.views
        K = view.intrinsics
        lines = ["# Image list with two lines of data per image:"]
        alignments, poses = {}, []
        for frame in range(footage.frames):
            seen = self.moved(view, frame, footage.frames)
            name = f"{frame:05d}.png"
            turn, shift = seen.rotation @ _WORLD, _UNIT * seen.translation  # from COLMAP's world to the camera
            row = " ".join(f"{value:.12g}" for value in (*quaternion(turn), *shift))
            lines += [f"{frame + 1} {row} 1 {name}", ""]
            # The body as in the camera's frame, but for where it is: V = R0 (L - J0) + J0
            poses.append(matrices_to_rotvecs(seen.rotation @ rotvecs_to_matrices(footage.rotvecs[frame, 0])))
            place = seen.rotation @ (footage.root + footage.transl[frame]) + seen.translation - footage.root
            scale = _UNIT * (1 + 0.05 * np.sin(3 * frame))
            alignments[name] = np.vstack([scale * turn, (scale * place - shift) @ turn])
        sparse = folder / "sparse"
        sparse.mkdir()
        pinhole = f"1 PINHOLE {view.width} {view.height} {K[0, 0]:.12g} {K[1, 1]:.12g} {K[0, 2]:.12g} {K[1, 2]:.12g}"
        texts = {"cameras": f"# Camera list\n{pinhole}\n", "images": "\n".join(lines) + "\n", "points3D": "# Points\n"}
        for part, text in texts.items():
            (sparse / f"{part}.txt").write_text(text, "utf-8")
        (folder / "alignments.npy").write_bytes(write_object(alignments))
        rows = [
            np.concatenate([root, footage.rotvecs[frame, 1:].ravel()]).astype(np.float32)
            for frame, root in enumerate(poses)
        ]
        person = {"pose": rows, "betas": [footage.betas.copy() for _ in rows]}
        (folder / "smpl_output_optimized.pkl").write_bytes(pickle.dumps({1: person}, protocol=2))
