"""All captures of a data folder: finding subjects, telling their layouts, parting them into splits."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.clips import even_frames
from hgg_pyg.data.layouts import LAYOUTS, Layout, make_capture, stated_kinds, unreadable
from hgg_pyg.data.layouts.base import subject_name
from hgg_pyg.data.protocols import PROTOCOLS, Protocol, ProtocolName
from hgg_pyg.data.views import require_cameras
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError

SPLITS_FILE = "splits.json"
SPLITS = ("train", "val", "test")
_DEPTH = 3  # folders below the data's in which subjects are looked for: main_data/train/<id>

log = logging.getLogger("hgg_pyg")


@dataclass(frozen=True)
class SubjectFolder:
    """A folder that one of the layouts recognises."""

    folder: Path
    layout: Layout

    @property
    def kinds(self) -> tuple[str, ...]:
        """The bodies that its poses are for, the one to be preferred first.

        Raises:
            UserError: `body.txt` or the file of the poses cannot be read.
        """
        return stated_kinds(self.folder, self.layout.kinds(self.folder))


@dataclass(frozen=True)
class CaptureSet:
    """The captures of a data folder by split, each split in the order of `splits.json` or of the names."""

    train: tuple[Capture, ...]
    val: tuple[Capture, ...]
    test: tuple[Capture, ...]
    shared_subjects: bool  # too few subjects to part: every split holds all of them
    refused: tuple[str, ...] = ()  # why subjects that cannot be opened are in no split

    def require(self, split: str, data: Path) -> tuple[Capture, ...]:
        """The captures of a split of a data folder; or of all of them, each capture once.

        Raises:
            UserError: there are none.
        """
        parts = SPLITS if split == "all" else (split,)
        if found := {capture.root: capture for part in parts for capture in getattr(self, part)}:
            return tuple(found.values())
        reasons = f"; left out: {self.refused[0]}" if self.refused else ""
        raise UserError(f"{data}: expected subjects in split {split}, found none{reasons}")

    def describe(self) -> str:
        """What was found, and what of it is left out, one line each."""
        captures = {capture.root: capture for capture in (*self.train, *self.val, *self.test)}.values()
        layouts = Counter(capture.layout for capture in captures)
        lines = [f"{many} subject{'s' if many > 1 else ''} in the layout of {name}" for name, many in layouts.items()]
        lost = [(capture.name, str(item)) for capture in captures for item in capture.left_out]
        lines += [f"{name}: {text}" for name, text in lost[:5]]
        if len(lost) > 5:
            frames = sum(len(i.names) for c in captures for i in c.left_out if i.what == "frame")
            cameras = sum(len(i.names) for c in captures for i in c.left_out if i.what == "camera")
            lines.append(f"and more: {frames} frames and {cameras} cameras are left out in all")
        lines += [f"left out: {reason}" for reason in self.refused]
        return "\n".join(lines)


def load_body_for(data: Path | None, path: Path | None = None) -> BodyModel:
    """The body that the poses of a data folder are for: from `path` if one is given; see `load_body`.

    The first subject that can be read says which body that is. Without a folder, it is the body that synthetic people
    have, which need not be there yet.

    Raises:
        UserError: no subject, none that can be read, or no such body.
    """
    if data is None:
        return load_body(path)
    subjects = list(find_subjects(data).values())
    subject, kinds = first_kinds(subjects)
    try:
        return load_body(path, kinds)
    except UserError as error:
        raise UserError(str(error) if path else f"{subject.folder}: {error}") from None


def first_kinds(subjects: Sequence[SubjectFolder]) -> tuple[SubjectFolder, tuple[str, ...]]:
    """The first of some subjects that says which bodies its poses are for, and what it says.

    Raises:
        UserError: none can be read: what is wrong with the first.
    """
    problems = []
    for subject in subjects:
        try:
            return subject, subject.kinds
        except UserError as error:
            problems.append(error)
    raise problems[0]


def open_captures(
    data: Path,
    image_size: int | None = None,
    body: BodyModel | None = None,
    crop: bool = False,
    protocol: ProtocolName = "own",
    input_views: int = 1,
) -> CaptureSet:
    """Open one subject's folder, or a folder of subjects, in any of the known layouts.

    Splits are those of `splits.json` beside the subjects, or of folders named train, val and test that hold them.
    Otherwise subjects are parted by sorted name: of n >= 3 the last max(1, n // 6) are for testing, the max(1, n // 12)
    before them for validation, the others for training. One or two subjects are in every split. Of three and more,
    those that cannot be opened are left out with a reason, unless `splits.json` asks for them.

    Args:
        data: the folder.
        image_size: images with a longer side than this are shrunk to it, and the intrinsics with them; never enlarged.
        body: that the poses are for; by default what `load_body_for` finds.
        crop: read only the square around the person, at `image_size`.
        protocol: whose test subjects and frames.
        input_views: how many cameras a capture must have.

    Raises:
        UserError: the first thing found wrong with the folder, `splits.json` or a capture.
    """
    if image_size is not None and image_size < 1:
        raise UserError(f"image_size: expected at least 1 pixel, found {image_size}")
    subjects, unread = _find(data)
    named = read_splits(data, subjects)
    rules = PROTOCOLS[protocol]
    splits, shared = _splits(data, subjects, named, rules)
    body = body or load_body_for(data)
    opened: dict[str, Capture] = {}
    refused: list[str] = []
    names = list(dict.fromkeys(chain(*splits.values())))
    for name in tqdm(names, desc="opening captures", unit="subject", leave=False, disable=len(names) < 30):
        try:
            capture = make_capture(subjects[name].folder, subjects[name].layout, body, image_size, crop)
            require_cameras(capture, input_views)
        except UserError as error:
            if named is not None or shared:
                raise
            refused.append(str(error))
            continue
        if rules.frames is not None:
            capture = capture.select(even_frames(0, len(capture.frames), rules.frames))
        opened[name] = capture
    if not opened:
        raise UserError(refused[0])
    parts = {split: tuple(opened[name] for name in chosen if name in opened) for split, chosen in splits.items()}
    return CaptureSet(**parts, shared_subjects=shared, refused=(*refused, *unread))


def find_subjects(data: Path) -> dict[str, SubjectFolder]:
    """Subjects by name: `data` itself if it is one, else folders below it that are, those that can be listed.

    A subject is called as its folder, or as a link to it; a folder that has several names counts once.

    Raises:
        UserError: no such folder, no subject in it, or two of one name in different places.
    """
    return _find(data)[0]


def _find(data: Path) -> tuple[dict[str, SubjectFolder], list[str]]:
    """Subjects by name, and what is wrong with folders that cannot be listed."""
    if not data.is_dir():
        raise UserError(f"{data}: expected a folder of captures, found {'a file' if data.exists() else 'nothing'}")
    unread: list[str] = []
    found = _search(data, _DEPTH, unread)
    if not found and unread:
        raise UserError(unread[0])
    if not found:
        inside = ", ".join(sorted(path.name for path in data.iterdir())[:5]) or "an empty folder"
        signs = "; ".join(f"{layout.name}: {layout.sign}" for layout in LAYOUTS)
        raise UserError(f"{data}: expected a subject's folder, or folders of them ({signs}); found {inside}")
    subjects: dict[str, SubjectFolder] = {}
    for subject in _each_once(found):
        name = subject_name(subject.folder)
        if name in subjects:
            raise UserError(
                f"{subject.folder}: expected subjects of different names, found {subjects[name].folder} too"
            )
        subjects[name] = subject
    return subjects, unread


def _each_once(found: Sequence[SubjectFolder]) -> list[SubjectFolder]:
    """Without second names of the same folder: its own goes before those of links, and of links the first."""
    folders: dict[Path, SubjectFolder] = {}
    for subject in found:
        place = subject.folder.resolve()
        known = folders.setdefault(place, subject)
        if known.folder.name != place.name and subject.folder.name == place.name:
            folders[place] = subject
    return list(folders.values())


def _search(folder: Path, depth: int, unread: list[str]) -> list[SubjectFolder]:
    """Subjects in a folder and below it. Told in `unread`: what is wrong with folders that cannot be listed."""
    try:
        layout = next((layout for layout in LAYOUTS if layout.recognises(folder)), None)
        if layout is not None:
            return [SubjectFolder(folder, layout)]
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        unread.append(str(unreadable(folder, error)))
        return []
    return list(chain(*(_search(path, depth - 1, unread) for path in below))) if depth else []


def _splits(
    data: Path, subjects: dict[str, SubjectFolder], named: dict[str, list[str]] | None, rules: Protocol
) -> tuple[dict[str, list[str]], bool]:
    """Names by split, and whether all splits hold all of them."""
    names = sorted(subjects)
    if rules.test_subjects:
        test = [name for name in rules.test_subjects if name in subjects]
        if not test:
            raise UserError(
                f"{data}: expected test subjects of this protocol ({', '.join(rules.test_subjects)}), found none"
            )
        others = [name for name in names if name not in test]
        val = len(others) - max(1, len(others) // 12) if len(others) > 1 else len(others)
        return {"train": others[:val], "val": others[val:], "test": test}, False
    if named is not None:
        return named, False
    by_folder = {split: [n for n in names if subjects[n].folder.parent.name == split] for split in SPLITS}
    if by_folder["train"] and sum(map(len, by_folder.values())) == len(names):
        return by_folder, False
    if len(names) < 3:
        return dict.fromkeys(SPLITS, names), True
    test = len(names) - max(1, len(names) // 6)
    val = test - max(1, len(names) // 12)
    return {"train": names[:val], "val": names[val:test], "test": names[test:]}, False


def read_splits(data: Path, subjects: Mapping[str, SubjectFolder]) -> dict[str, list[str]] | None:
    """Names of subjects by split as `splits.json` of a data folder has them; None without one, or of one subject.

    Raises:
        UserError: it cannot be read, or names other subjects than there are, or one of them twice.
    """
    path = data / SPLITS_FILE
    single = len(subjects) == 1 and next(iter(subjects.values())).folder == data
    if single or not os.path.lexists(path):
        return None
    content = read_json_object(path, "the keys train, val and test")
    if set(content) != set(SPLITS):
        found = shown(", ".join(sorted(content))) or "none"
        raise UserError(f"{path}: expected the keys train, val and test, found {found}")
    seen: dict[str, str] = {}
    for split in SPLITS:
        names = content[split]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{path}: key '{split}': expected a list of subject names, found {shown(names)}")
        for name in names:
            if name not in subjects:
                raise UserError(f"{path}: key '{split}': no subject '{name}'; found {', '.join(sorted(subjects)[:20])}")
            if name in seen:
                raise UserError(f"{path}: subject '{name}' is in '{seen[name]}' and again in '{split}'; expected once")
            seen[name] = split
    if not seen:
        raise UserError(f"{path}: expected at least one subject, found three empty lists")
    return {split: content[split] for split in SPLITS}
