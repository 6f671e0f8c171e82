"""The fourth stage: the body's shape and poses, from landmarks and masks."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hgg_pyg.body import BodyModel
from hgg_pyg.prepare.fit import FitConfig, fit_body
from hgg_pyg.prepare.footage.filming import Filmed
from hgg_pyg.prepare.locating import Located
from hgg_pyg.prepare.progress import Bar
from hgg_pyg.prepare.stages import Stage
from hgg_pyg.prepare.triangulation import Triangulated
from hgg_pyg.types import BodyPose

_ARRAYS = "fit.npz"
_POSE = "pose."


@dataclass(frozen=True, eq=False)
class Fitted:
    """The body in F frames, and what the fit says of itself."""

    pose: BodyPose
    told: dict[str, np.ndarray]  # the other fields of `Fit`, by name


def fit(
    space: Stage,
    filmed: Filmed,
    located: Located,
    body: BodyModel,
    config: FitConfig,
    work: Path,
    bar: Bar,
) -> Fitted:
    """Fit the body, unless that is done.

    Args:
        space: the stage that found landmarks in space.
        filmed: the images.
        located: the person in them.
        body: that is to be fitted.
        config: what is expected of it.
        work: folder of the stages.
        bar: of the progress.

    Raises:
        UserError: as `fit_body`.
    """
    stage = Stage.open(work, "fit", space.key, body.digest, config)
    if not stage.done:
        reached, moved = 0, bar(config.all_steps(located.seen.size))

        def progress(step: int, total: int) -> None:
            nonlocal reached
            moved(step - reached)
            reached = step

        def mask(frame: int, camera: int) -> np.ndarray | None:
            path = located.masks[frame][camera]
            return None if path is None else np.asarray(Image.open(path).convert("L"))

        found = fit_body(
            body=body,
            landmarks=located.landmarks,
            points3d=located.found.points3d,
            points2d=_agreeing(located.found),
            calibration=located.calibration,
            masks=mask,
            times=filmed.times[located.selection.frames],
            config=config,
            progress=progress,
        )
        pose = {f"{_POSE}{item.name}": getattr(found.pose, item.name) for item in fields(found.pose)}
        told = {item.name: getattr(found, item.name) for item in fields(found) if item.name != "pose"}
        known = {name: np.asarray(value) for name, value in (pose | told).items() if value is not None}
        stage.save(_ARRAYS, **known)
        stage.finish({})
    arrays = stage.load(_ARRAYS)
    pose = {name.removeprefix(_POSE): arrays.pop(name) for name in list(arrays) if name.startswith(_POSE)}
    tensors = {name: torch.from_numpy(value.astype(np.float32)) for name, value in pose.items()}
    return Fitted(BodyPose(**tensors), arrays)


def _agreeing(found: Triangulated) -> np.ndarray | None:
    """Landmarks in the images, those without weight that do not agree with the others. [F, V, J, 3]

    None where only landmarks in space are known.
    """
    if not found.used.any():
        return None
    return np.concatenate([found.points2d[..., :2], (found.points2d[..., 2] * found.used)[..., None]], -1)
