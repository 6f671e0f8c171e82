"""What every command does around its work: read the command line, report mistakes in one line, keep memory pages."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import ctypes
import io
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro
import tyro.extras

from hgg_pyg.io.streams import lasting_streams
from hgg_pyg.mistakes import one_line
from hgg_pyg.processes import lost_a_process
from hgg_pyg.types import UserError

Config = TypeVar("Config")


_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from glibc's malloc.h


@lasting_streams()
def run_command(config: type[Config], work: Callable[[Config], object]) -> None:
    """Parse the command line into a configuration and do the work. The process exits with

    0 when done, 2 with one line on stderr for a mistake of the user's or a path that the system refuses, 130 when
    interrupted, 1 with one line when another of the processes that it works with has ended.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("PIL", "matplotlib", "numba", "trimesh"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    keep_memory_pages()
    atexit.register(remove_generated_code)
    try:
        work(_parse(config, work.__doc__))
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except OSError as error:
        if error.filename is None:
            raise
        named = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else error.filename
        print(f"error: {' '.join(f'{named}: {error.strerror}'.split())}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        if not lost_a_process(error):
            raise
        said = " ".join(re.sub(r"\[\S*\.(cc|cpp|h):\d+\]", "", str(error)).split()).split(". ")[0][:100]
        whole = "what is on disk is whole: start again, training with --resume"
        print(f"error: another process has ended or cannot be reached ({said}); {whole}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)  # at once: what the libraries do when they are closed waits for the others


def _parse(config: type[Config], description: str | None) -> Config:
    """The command line as a configuration; what tyro says of a mistake, in a box, becomes our one line.

    A class with `PRESETS`, names and what they are for, and `preset(name)` takes its defaults by `--preset NAME`. One
    with `MAIN_OPTIONS`, options by group, shows these by `--help` and all by `--help-all`.
    """
    said, arguments = io.StringIO(), sys.argv[1:]
    program = f"python -m {_module(Path(sys.argv[0]))}"
    presets: Mapping[str, str] = getattr(config, "PRESETS", {})
    main_options: Mapping[str, Sequence[str]] = getattr(config, "MAIN_OPTIONS", {})
    default: Any = {}
    try:
        with contextlib.redirect_stderr(said), _wide(unless={"-h", "--help", "--help-all"} & {*arguments}):
            if presets:
                parser = argparse.ArgumentParser(program, add_help=False, allow_abbrev=False)
                parser.add_argument("--preset", choices=tuple(presets), default=next(iter(presets)))
                known, arguments = parser.parse_known_args(arguments)
                default = {"default": config.preset(known.preset)}  # pyright: ignore[reportAttributeAccessIssue]
                told = "; ".join(f"{name}: {what}" for name, what in presets.items())
                description = f"{description} --preset NAME chooses other defaults. {told}."
            if main_options:
                if {"-h", "--help"} & {*arguments}:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", DeprecationWarning)  # tyro has no other list of its options yet
                        whole: Any = tyro.extras.get_parser(config, prog=program, description=description, **default)
                    print(_short_help(whole, main_options))
                    sys.exit(0)
                arguments = ["--help" if word == "--help-all" else word for word in arguments]
            return tyro.cli(config, prog=program, description=description, args=arguments, **default)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(one_line(config, said.getvalue(), program)) from None
    except ValueError as error:  # a configuration refuses what tyro let pass, a preset's own values for example
        raise UserError(str(error)) from None


@contextlib.contextmanager
def _wide(unless: object) -> Iterator[None]:
    """A terminal on which tyro breaks no line, which it would do within a number."""
    before = os.environ.get("COLUMNS")
    if unless:
        yield
        return
    os.environ["COLUMNS"] = "100000"
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


def _module(script: Path) -> str:
    """What `python -m` calls a command: the module, or the package whose `__main__` it is."""
    if script.stem == "__main__":
        return f"{script.parent.parent.name or 'hgg_pyg'}.{script.parent.name}"
    return f"{script.parent.name or 'hgg_pyg'}.{script.stem}"


def _short_help(whole: argparse.ArgumentParser, main_options: Mapping[str, Sequence[str]]) -> str:
    """The options that matter first, by group, with the help texts of the whole parser."""
    known = {option: action for action in whole._actions for option in action.option_strings}
    short = argparse.ArgumentParser(whole.prog, usage="%(prog)s [OPTIONS]", description=whole.description)
    for title, names in main_options.items():
        group = short.add_argument_group(title)
        for name in names:
            action = known[f"--{name}"]
            shown: Any = (
                {"nargs": 0} if action.nargs == 0 or len(action.option_strings) > 1 else {"metavar": action.metavar}
            )
            group.add_argument(*action.option_strings, help=action.help, action=_Shown, **shown)
    listed = sum(map(len, main_options.values()))
    every = len({id(action) for action in known.values()})
    return f"{short.format_help()}\n--help-all shows {every - listed} more options."


class _Shown(argparse.Action):
    """An option that is listed and never parsed."""

    def __call__(self, *_: Any) -> None: ...


def remove_generated_code() -> None:
    """Remove what PyG wrote to the folder of temporary files for the convs of this process, and leaves there."""
    for name, module in list(sys.modules.items()):
        path = Path(getattr(module, "__file__", None) or "/")
        if path.name.startswith(f"{name}_") and path.parent == Path(tempfile.gettempdir()):
            path.unlink(missing_ok=True)


def keep_memory_pages() -> None:
    """Tell glibc to keep freed memory instead of returning it: halves the time of scatter operations on a CPU.

    Without it every large temporary tensor gets fresh pages, each of which the kernel must clear. On another C library
    nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
