"""Compiled kernels on disk: numba's cache, which here may fail and may be damaged without ending anything.

Numba stops at import where no folder can be written, at the first call where a disk is full or a file of the cache is
cut off, and runs machine code with a flipped bit. Here a kernel is then compiled anew, and that is said once where the
reason is a folder that cannot be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import pickle
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache, UserWideCacheLocator
from numba.core.serialize import dumps

log = logging.getLogger("hgg_pyg")
_DIGEST = hashlib.sha256().digest_size
_ABANDONED_S = 24 * 3600  # after which no process is writing a file any more
_said = False


def kernel_cache(function: Callable[..., Any], variant: str = "") -> FunctionCache | NullCache:
    """The cache of one kernel, in the folder that numba takes: $NUMBA_CACHE_DIR, beside the source, or the user's.

    Args:
        function: what is compiled.
        variant: tells ways of compiling one function apart.
    """
    try:
        return _KernelCache(function, variant)
    except (RuntimeError, OSError):  # numba found no folder that it can write
        return _NoCache()


class _NoCache(NullCache):
    def save_overload(self, sig: Any, cres: Any) -> None:
        _say_once("neither the folder of the package nor the user's cache can be written")


class _UsersCache(UserWideCacheLocator):
    """Not for a user without a home: numba makes a folder called "~" where such a user stands."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        known = not cls(py_func, py_file).get_cache_path().startswith("~")
        return super().from_function(py_func, py_file) if known else None


class _Folders(CompileResultCacheImpl):
    _locator_classes: ClassVar = [
        _UsersCache if locator is UserWideCacheLocator else locator
        for locator in CompileResultCacheImpl._locator_classes
    ]


class _KernelCache(FunctionCache):
    _impl_class = _Folders

    def __init__(self, function: Callable[..., Any], variant: str) -> None:
        super().__init__(function)
        name = f"{self._impl.filename_base}{variant and '.'}{variant}"
        self._cache_file = _Files(Path(self.cache_path), name, self._impl.locator.get_source_stamp())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a pickle of other versions may raise anything; what cannot be loaded is compiled
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            _say_once(f"{self.cache_path}: {error.strerror or error}")


class _Files:
    """One file for each combination of types that a kernel was compiled for, in place of numba's index and data.

    A file is the digest of what follows: a pickle that tells what the code was compiled from, and the code.
    """

    def __init__(self, folder: Path, name: str, stamp: Any) -> None:
        self.folder, self.name = folder, name
        self.made_from = numba.__version__, stamp

    def _path(self, key: Any) -> Path:
        return self.folder / f"{self.name}.{hashlib.sha256(repr(key[:2]).encode()).hexdigest()[:16]}.kernel"

    def load(self, key: Any) -> Any:
        """What was saved under the key; None where there is nothing, or other code, or a damaged file."""
        try:
            content = self._path(key).read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        body = io.BytesIO(content[_DIGEST:])
        return pickle.load(body) if pickle.load(body) == (self.made_from, key) else None

    def save(self, key: Any, data: Any) -> None:
        body = dumps((self.made_from, key)) + dumps(data)
        for left in self.folder.glob(f"{self.name}*.tmp"):  # by a process that was killed
            if time.time() - left.stat().st_mtime > _ABANDONED_S:
                left.unlink()
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=self.name, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(body).digest() + body)
            os.replace(temporary, self._path(key))
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise

    def flush(self) -> None:
        for path in self.folder.glob(f"{self.name}.*.kernel"):
            path.unlink(missing_ok=True)


def _say_once(why: str) -> None:
    global _said
    if not _said:
        log.warning(
            "compiled kernels cannot be kept, so every process compiles them anew, which takes minutes (%s); "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            why,
        )
    _said = True
