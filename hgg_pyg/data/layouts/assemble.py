"""From what a layout's reader found to a checked capture: the same for all layouts."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.body import BodyModel
from hgg_pyg.config import config_digest
from hgg_pyg.data.calibration import Calibration
from hgg_pyg.data.capture import Capture, ImageFiles, LeftOut
from hgg_pyg.data.images import fitted_size, header_size
from hgg_pyg.data.layouts.base import Layout, Listing, Recording, list_folders, stated_kinds, subject_name
from hgg_pyg.data.mask_values import with_meaning
from hgg_pyg.data.windows import person_windows
from hgg_pyg.io.shown import shown
from hgg_pyg.kernels.threads import one_thread
from hgg_pyg.types import BodyPose, UserError

_MOST = 1e7  # of a pose's numbers: more metres than a world has, and little enough that nothing overflows

log = logging.getLogger("hgg_pyg")


@one_thread()  # what poses and windows are made of is part of the cache's key, and of what it holds
def make_capture(
    folder: Path, layout: Layout, body: BodyModel, image_size: int | None = None, crop: bool = False
) -> Capture:
    """Read a subject's folder and check what can be checked without decoding more than a mask.

    A frame is kept if it has a pose and, from every camera that is kept, an image and a mask. A camera without images
    or masks, or with less than half as many as the others have, is left out rather than the frames.

    Args:
        folder: the subject's.
        layout: how it lies there.
        body: that the poses are for; some layouts need it to bring their poses into the convention of smplx.
        image_size: longest side at which images are read, if they are larger; with `crop`, the side of the square.
        crop: read only the square around the person.

    Raises:
        UserError: the first thing found wrong that cannot be left out, with the file, expected and found.
    """
    with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, and their frames are left out
        recording = layout.read(folder, body)
    recording, cameras_out = _usable_cameras(folder, recording)
    if any(recording.calibration.origin):
        place = ", ".join(f"{value:,.0f}" for value in recording.calibration.origin)
        log.info("%s: coordinates of a map: cameras and poses are read about %s metres as origin", folder, place)
    body.check_fits(stated_kinds(folder, (recording.poses.kind,))[0], str(folder))
    frames, frames_out = _usable_frames(recording)
    left_out = (*recording.left_out, *cameras_out, *frames_out)
    if not frames:
        found = "; ".join(map(str, left_out)) or "no images"
        raise UserError(f"{folder}: expected at least one frame with a pose, all images and masks, found none: {found}")
    rows = {number: row for row, number in enumerate(recording.poses.numbers)}
    poses = recording.poses.poses[[rows[number] for number in frames]]
    images, masks = _files(recording.images, frames), _files(recording.masks, frames, recording.labels)
    masks = with_meaning(replace(masks, inverted=recording.inverted))
    size = _common_size(folder, images, masks, recording.calibration)
    cameras = recording.calibration.cameras(fitted_size(*size, image_size))
    side = image_size or min(size)
    return Capture(
        name=subject_name(folder),
        root=folder,
        layout=layout.name,
        camera_names=recording.calibration.names,
        frames=frames,
        cameras=cameras,
        poses=poses,
        images=images,
        masks=masks,
        file_size=size,
        lenses=recording.calibration.lenses(size),
        windows=person_windows(body, poses, recording.calibration.cameras(size)) if crop else None,
        window_size=side,
        left_out=left_out,
        digest=config_digest(
            f"{layout.name} {cameras.width}x{cameras.height}",
            f"cropped to {side} by {body.digest}" if crop else "whole",
            *(_digest_of(part) for part in (recording, poses, frames)),
            *([] if (masks.labels, masks.white) == (recording.labels, None) else [f"{masks.labels} {masks.white}"]),
            *(["inverted"] if masks.inverted else []),
        ),
        listing=_names_and_sizes((*recording.images, *recording.masks), frames),
    )


def _usable_cameras(folder: Path, recording: Recording) -> tuple[Recording, list[LeftOut]]:
    """Without cameras that lack what most others have."""
    names = recording.calibration.names
    files = list(zip(recording.images, recording.masks, strict=True))
    counts = [min(len(images.names), len(masks.names)) for images, masks in files]
    most = max(counts, default=0)
    reasons: dict[str, list[str]] = {}
    for name, (images, masks), count in zip(names, files, counts, strict=True):
        if not images.names:
            reasons.setdefault(": ".join(filter(None, ("no images", images.unlike))), []).append(name)
        elif not masks.names:
            reasons.setdefault(": ".join(filter(None, ("no masks", masks.unlike))), []).append(name)
        elif count < most / 2:
            reasons.setdefault(f"{count} images with masks, where others have {most}", []).append(name)
    out = [LeftOut("camera", tuple(found), reason) for reason, found in reasons.items()]
    lacking = {name for item in out for name in item.names}
    kept = [c for c, name in enumerate(names) if name not in lacking]
    if not kept:
        found = "; ".join(map(str, (*recording.left_out, *out[:3]))) or "no cameras"
        found += f"; folders there: {', '.join(map(shown, list_folders(folder)[:5])) or 'none'}"
        raise UserError(f"{folder}: expected at least one camera with images and masks, found none: {found}")
    images, masks = (tuple(part[c] for c in kept) for part in (recording.images, recording.masks))
    return replace(recording, calibration=recording.calibration.select(kept), images=images, masks=masks), out


def _usable_frames(recording: Recording) -> tuple[tuple[int, ...], list[LeftOut]]:
    """Numbers of the frames that have everything; an image that no camera has is no frame."""
    table = recording.poses
    parts = (table.poses.global_orient, table.poses.body_pose, table.poses.transl, table.poses.expression)
    possible = torch.stack([(part.abs() <= _MOST).all(1) for part in parts if part is not None]).all(0).tolist()
    good = {number for number, fine in zip(table.numbers, possible, strict=True) if fine}
    listed = set(table.numbers)
    reasons: dict[str, list[int]] = {}
    frames = []
    for number in sorted(set().union(*(listing.names for listing in recording.images))):
        if number not in listed:
            reason = "no pose"
        elif number not in good:
            reason = f"NaN or Inf in the pose, or a number above {_MOST:g}"
        elif any(number not in listing.names for listing in recording.images):
            reason = "an image is missing"
        elif any(number not in listing.names for listing in recording.masks):
            reason = "a mask is missing"
        else:
            frames.append(number)
            continue
        reasons.setdefault(reason, []).append(number)
    return tuple(frames), [LeftOut("frame", tuple(map(str, found)), reason) for reason, found in reasons.items()]


def _files(listings: Sequence[Listing], frames: Sequence[int], labels: bool = False) -> ImageFiles:
    rows: dict[tuple[str, ...], tuple[str, ...]] = {}  # cameras that name files alike keep the names once
    names = [tuple(listing.names[number] for number in frames) for listing in listings]
    return ImageFiles(
        tuple(listing.folder for listing in listings), tuple(rows.setdefault(r, r) for r in names), labels
    )


def _common_size(folder: Path, images: ImageFiles, masks: ImageFiles, calibration: Calibration) -> tuple[int, int]:
    """The one (width, height) of images and masks, from the headers of each camera's first files.

    All the others are checked when they are read: a data set has millions of them.
    """
    first = images.path(0, 0)
    expected = header_size(first)
    for camera, name in enumerate(calibration.names):
        image, mask = images.path(0, camera), masks.path(0, camera)
        if (found := header_size(image)) != expected:
            raise UserError(
                f"{image}: expected {_text(expected)} pixels like {first}, found {_text(found)}; "
                "all images of a capture must have one size"
            )
        if (found := header_size(mask)) != expected:
            raise UserError(f"{mask}: expected {_text(expected)} pixels like its image, found {_text(found)}")
        stated = calibration.sizes[camera]
        if stated is not None and abs(stated[0] / stated[1] / (expected[0] / expected[1]) - 1) > 0.01:
            raise UserError(
                f"{folder}: camera '{name}': calibrated for {_text(stated)} pixels; expected images of that shape, "
                f"found {_text(expected)}"
            )
    return expected


def _names_and_sizes(listings: Sequence[Listing], frames: Sequence[int]) -> str:
    """A hash of the files of some frames: of what survives a copy."""
    total = hashlib.sha256(repr(tuple(frames)).encode())
    for listing in listings:
        total.update("\0".join(listing.names[number] for number in frames).encode(errors="surrogateescape"))
        total.update(np.array([listing.stamps[number][0] for number in frames], "<i8").tobytes())
    return total.hexdigest()[:16]


def _digest_of(part: Recording | BodyPose | tuple[int, ...]) -> str:
    """A hash of cameras and files of the kept cameras, of poses or of frame numbers."""
    if isinstance(part, BodyPose):
        tensors = (part.betas, part.global_orient, part.body_pose, part.transl, part.expression)
        return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors if t is not None)).hexdigest()
    if isinstance(part, Recording):
        c = part.calibration
        total = hashlib.sha256(repr((c.names, c.sizes)).encode())
        total.update(b"".join(values.tobytes() for values in (c.K, c.R, c.T, c.distortion)))
        for listing in (*part.images, *part.masks):
            total.update(repr(sorted(listing.stamps.items())).encode())
        return total.hexdigest()
    return repr(part)


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
