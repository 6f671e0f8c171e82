"""What a run was trained on, by contents rather than paths: so that it goes on where its files have moved to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hgg_pyg.body import BodyModel
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.capture_set import SPLITS, CaptureSet
from hgg_pyg.evaluation.lpips import LPIPS, load_lpips
from hgg_pyg.io.files import write_text
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.training.losses import describe_loss
from hgg_pyg.training.run import CONFIG_FILE, RunConfig, places_of, read_config
from hgg_pyg.types import UserError

INPUTS_FILE = "inputs.json"
_ROUNDING = 1e-6  # of the sum of absolute values: last digits of converted poses differ between processors
_ANOTHER = "--name starts another run"
_IN_LOSS, _LEFT_OUT = "in the loss", "left out"

Inputs = dict[str, Any]


def inputs_of(captures: CaptureSet, body: BodyModel, lpips: bool, start: str) -> Inputs:
    """What training depends on beside its options, as JSON has it.

    Of a subject: the names and sizes of its images and masks, the bytes of four of them, its frames, cameras and poses.
    Times of change are no part of it, which a copy loses.

    Args:
        captures: all splits.
        body: that the poses are for.
        lpips: whether the loss has its perceptual term.
        start: a digest of the per-frame network, or of the weights that one starts from.

    Raises:
        UserError: a file cannot be read.
    """
    known: dict[Path, Inputs] = {}
    for split in SPLITS:
        for capture in getattr(captures, split):
            if capture.root not in known:
                known[capture.root] = _subject(capture)
    subjects = {split: {c.name: known[c.root] for c in getattr(captures, split)} for split in SPLITS}
    return {"body": body.digest, "network": start, "LPIPS": _IN_LOSS if lpips else _LEFT_OUT, **subjects}


def check_inputs(config: RunConfig, inputs: Inputs) -> None:
    """Refuse to go on with a run on other contents than it was trained on; without a run in the folder, nothing.

    A run that does not say what they were must find them in the same places.

    Raises:
        UserError: the first thing that differs.
    """
    folder = config.folder
    if not (folder / CONFIG_FILE).is_file():
        return
    before = read_inputs(folder)
    if before is None:
        _same_places(folder, config)
        return
    for key in ("body", "network", "LPIPS", "start"):
        then, now = (found.get(key, "none") for found in (before, inputs))
        if then != now:
            raise _differs(folder / INPUTS_FILE, key, then, now)
    for split in SPLITS:
        then, now = before[split], inputs[split]
        if list(then) != list(now):
            raise _differs(config.captures, f"{split} subjects", _listed(then), _listed(now))
        for name in then:
            if part := _difference(then[name], now[name]):
                raise _differs(config.captures, f"{name}: {part}", "those that the run was trained on", "others")


def perceptual_term(config: RunConfig) -> LPIPS | None:
    """LPIPS for a run's loss; None if it is not wanted or not on this machine, or if the run was begun without it.

    Raises:
        UserError: its weights, or what the run says of its inputs, are damaged.
    """
    before = read_inputs(config.folder)
    begun_without = before is not None and before["LPIPS"] == _LEFT_OUT
    return None if begun_without or not config.loss.lpips else load_lpips()


def loss_text(run: Path, config: RunConfig) -> str | None:
    """The loss that a run was trained by, in words; None where its folder does not say whether LPIPS was in it.

    Raises:
        UserError: what it says of its inputs is damaged.
    """
    kept = read_inputs(run)
    return None if kept is None else describe_loss(config.loss, kept["LPIPS"] == _IN_LOSS)


def write_inputs(folder: Path, inputs: Inputs) -> None:
    """Keep them in a run's folder."""
    write_text(folder / INPUTS_FILE, json.dumps(inputs, indent=1))


def read_inputs(folder: Path) -> Inputs | None:
    """What a run was trained on; None where it does not say.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / INPUTS_FILE
    if not path.exists():
        return None
    found = read_json_object(path, "what a run was trained on")
    try:
        parts = [subject for split in SPLITS for subject in found[split].values()]
        if {type(found[key]) for key in ("body", "network", "LPIPS")} != {str}:
            raise ValueError("a digest that is no text")
        for part in parts:
            if not isinstance(part["files"], str) or {len(part[key]) for key in ("cameras", "poses")} != {2}:
                raise ValueError("a subject without files, cameras and poses")
            _difference(part, part)
        return found
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        found = f"{type(error).__name__}: {error}"
        raise UserError(f"{path}: expected what a run was trained on, found a damaged file ({found})") from None


def file_digest(path: Path) -> str:
    """A hash of a file's bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UserError(f"{path}: expected a file that can be read ({error.strerror})") from error


def _subject(capture: Capture) -> Inputs:
    some = [files.path(frame, 0) for files in (capture.images, capture.masks) for frame in (0, -1)]
    said = [capture.listing, capture.layout, capture.frames, capture.camera_names, capture.size(), capture.masks.labels]
    lenses = [array for lens in capture.lenses or () for array in (lens.K, lens.distortion)]
    poses = capture.poses
    numbers = (poses.betas, poses.global_orient, poses.body_pose, poses.transl, poses.expression)
    return {
        "files": hashlib.sha256(f"{said} {[file_digest(path) for path in some]}".encode()).hexdigest()[:16],
        "cameras": _sketch([capture.cameras.viewmats.numpy(), capture.cameras.Ks.numpy(), *lenses]),
        "poses": _sketch([part.numpy() for part in numbers if part is not None]),
    }


def _sketch(arrays: list[np.ndarray]) -> list[float]:
    """A weighted sum of all numbers, which moves by as much as any of them does or more, and the sum of their sizes."""
    values = np.concatenate([array.astype(np.float64).ravel() for array in arrays])
    weights = 1 + np.arange(len(values)) * 0.6180339887498949 % 1
    return [float(weights @ values), float(np.abs(values).sum())]


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Which part of a subject is another one."""
    if before["files"] != now["files"]:
        return "images and masks"
    for part in ("cameras", "poses"):
        (sum_before, size), (sum_now, _) = before[part], now[part]
        if not abs(sum_before - sum_now) <= _ROUNDING * size:
            return part
    return None


def _same_places(folder: Path, config: RunConfig) -> None:
    before, now = places_of(read_config(folder, type(config))), places_of(config)
    for name in before.keys() - {"out", "name", "cache"}:
        if before[name] != now[name]:
            raise _differs(folder / CONFIG_FILE, name, before[name], f"{now[name]}, and no {INPUTS_FILE} to compare by")


def _differs(where: Path, what: str, before: Any, now: Any) -> UserError:
    return UserError(f"{where}: {what}: expected {before}, found {now}; {_ANOTHER}")


def _listed(names: Mapping[str, Any]) -> str:
    shown = list(names)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "") or "none"
