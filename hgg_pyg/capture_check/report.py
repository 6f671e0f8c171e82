"""What the check says on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from hgg_pyg.capture_check.examination import Examination
from hgg_pyg.capture_check.scene import Overlap
from hgg_pyg.data.capture import Capture

THRESHOLDS = (
    "good: IoU >= 0.85, or in loose clothes IoU >= 0.5 with 92% of the body inside; and as tall as the body to 15%. "
    "Not trainable: IoU < 0.4, or less than 60% inside, or a known mistake explains what is missing"
)
_LISTED = 16  # cameras, one line each; of more only the worst


def describe(examination: Examination, body: str) -> str:
    """One subject: a table, its cameras, its findings and the verdict."""
    rows = [("subject", f"{examination.name}, in the layout of {examination.layout}"), ("body", body)]
    if examination.capture is not None:
        rows += _rows(examination, examination.capture)
    lines = [f"{label:10} {value}" for label, value in rows]
    if examination.capture is not None:
        lines += ["", *_cameras(examination, examination.capture)]
    return "\n".join([*lines, "", *_findings(examination), examination.verdict])


def summarise(examinations: Sequence[Examination], body: str, others: int) -> str:
    """Several subjects: a row each, then what was found."""
    wide = max(len("subject"), *(len(e.name) for e in examinations))
    lines = [f"body       {body}", f"thresholds {THRESHOLDS}", ""]
    lines.append(f"{'subject':{wide}}  {'layout':12}  frames  cameras   IoU  inside  verdict")
    for e in examinations:
        counts = (len(e.capture.frames), len(e.capture.cameras)) if e.capture is not None else ("-", "-")
        overlap = _numbers(e.overlap)
        lines.append(f"{e.name:{wide}}  {e.layout:12}  {counts[0]:>6}  {counts[1]:>7}  {overlap}  {e.verdict}")
    for e in examinations:
        said = _findings(e)
        left = () if e.capture is None else map(str, e.capture.left_out)
        lines += [f"{e.name}: {text}" for text in left if not any(text in line for line in said)]
        lines += [f"{e.name}: {text}" for text in said]
    if others:
        lines.append(f"{others} other subjects were not looked at: see --subjects")
    return "\n".join(lines)


def _rows(e: Examination, capture: Capture) -> list[tuple[str, str]]:
    first, last = capture.frames[0], capture.frames[-1]
    lost = "; ".join(map(str, capture.left_out)) or "nothing"
    shown = [capture.images.path(t, v) for t in e.shown_frames for v in e.shown_cameras]
    weight = sum(path.stat().st_size for path in shown) / len(shown) / 1e3
    bent = ", distorted" if capture.lenses is not None else ""
    rows = [
        ("frames", f"{len(capture.frames)}, numbers {first} to {last}"),
        ("cameras", f"{len(capture.cameras)}"),
        ("images", f"{capture.file_size[0]}x{capture.file_size[1]} pixels{bent}, {weight:.0f} kB each"),
        ("left out", lost),
    ]
    if e.reach is not None:
        rows.append(("units", str(e.reach)))
    if e.masks is not None and e.scene is not None:
        bad = f"{len(e.masks.empty)} empty, {len(e.masks.whole)} white all over, {len(e.masks.broken)} unreadable"
        rows.append(("masks", f"{e.scene.usable.size} looked at: {bad}"))
    cut = next((f.text for f in e.findings if f.topic == "files cut off"), "none is cut off")
    rows.append(("files", f"{e.files} looked at: {cut.split(':')[0]}"))
    if e.overlap is not None:
        rows.append(("overlap", f"{e.overlap} (median of the cameras)"))
    rows.append(("thresholds", THRESHOLDS))
    return rows


def _cameras(e: Examination, capture: Capture) -> list[str]:
    names = [capture.camera_names[view] for view in e.shown_cameras]
    wide = max(len("camera"), *map(len, names))
    found = list(zip(names, e.overlaps, strict=True))
    worst = sorted(found, key=lambda pair: pair[1].iou if pair[1] is not None else -1)[:_LISTED]
    lines = [f"{'camera':{wide}}   IoU  inside"]
    lines += [f"{name:{wide}}  {_numbers(overlap)}" for name, overlap in found if (name, overlap) in worst]
    if len(found) > _LISTED:
        lines.append(f"and {len(found) - _LISTED} others that are no worse")
    return lines


def _numbers(overlap: Overlap | None) -> str:
    return f"{overlap.iou:4.2f}  {overlap.inside:6.0%}" if overlap is not None else "   -       -"


def _findings(e: Examination) -> list[str]:
    said = [("error: " if finding.serious else "note: ") + finding.text for finding in e.findings]
    return said if e.expected is None else [*said, e.expected]
