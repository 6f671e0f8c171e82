"""Many synthetic subjects, in parallel, resumed where an earlier run stopped."""

from __future__ import annotations

import json
import multiprocessing
import os
import queue
import signal
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path

import torch
from tqdm import tqdm

from hgg_pyg.avatar.motions import Clip, read_clip
from hgg_pyg.body import BodyModel, load_body
from hgg_pyg.body.arrays import write_body
from hgg_pyg.body.open_smplx import open_smplx
from hgg_pyg.io.files import try_folder, write_text, writing
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.synthetic.capture_writer import held_out, subject_path, view_count, write_subject
from hgg_pyg.synthetic.config import SynthesizeConfig
from hgg_pyg.synthetic.given_motion import named
from hgg_pyg.synthetic.layouts import WRITERS
from hgg_pyg.types import UserError

_VERSION = 1  # raise it when the same options give other images
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def synthesize(config: SynthesizeConfig) -> Path:
    """Write synthetic captures: a folder per subject, `splits.json`, and `synthetic.json` with the options.

    Subjects that are already there from a run with the same options are kept; `splits.json` is written last, so a
    folder that has it is complete. A layout whose folders say what is for testing has none. Where poses are SMPL-X's,
    `open_smplx.npz` is the open body that they are for.

    Returns:
        The folder, `config.out`.

    Raises:
        UserError: the folder cannot be made, or holds something else; or a motion cannot be read.
    """
    try_folder(config.out, "--out")
    clips = [read_clip(name) for name in config.motion]
    config.out.mkdir(parents=True, exist_ok=True)
    _claim(config)
    if (config.out / "splits.json").exists():
        return config.out
    writer = WRITERS[config.layout]
    if writer.smplx and not (config.out / "open_smplx.npz").exists():
        write_body(config.out / "open_smplx.npz", open_smplx())
    paths = [subject_path(config, index) for index in range(config.subjects)]
    missing = [index for index, path in enumerate(paths) if not (config.out / path).exists()]
    if missing:
        images = config.frames * view_count(config)
        done = (config.subjects - len(missing)) * images
        with tqdm(total=config.subjects * images, initial=done, unit="image") as bar:
            for count in _write_all(config, missing, clips):
                bar.update(count)
    if not writer.own_split:
        _write_json(config.out / "splits.json", split_names(paths))
    return config.out


def split_names(names: list[str]) -> dict[str, list[str]]:
    """Disjoint parts: a sixth for testing, a twelfth for validation, at least one each, the rest for training."""
    test, val = held_out(len(names)), max(1, round(len(names) / 12))
    train = len(names) - val - test
    return {"train": names[:train], "val": names[train : train + val], "test": names[train + val :]}


def _claim(config: SynthesizeConfig) -> None:
    """Make sure that the folder is empty or was made with the same options, and mark it with them."""
    path = config.out / "synthetic.json"
    options = {name: getattr(config, name) for name in ("subjects", "frames", "views", "size", "seed")}
    options |= {"version": _VERSION, "layout": config.layout, "clothes": config.clothes, "views": view_count(config)}
    if config.motion:
        options["motion"] = named(config.motion)
    if config.turn:
        options["turn"] = config.turn
    if path.exists():
        found = {"layout": "avatarrex", "clothes": "any"}  # all there was before there was a choice
        found |= read_json_object(path, "the options that these captures were made with")
        if found != options:
            names = [name for name in {**options, **found} if options.get(name) != found.get(name)]
            wanted, made = ({name: some[name] for name in names if name in some} for some in (options, found))
            raise UserError(f"{path}: expected {wanted}, found {made}; choose another --out or remove this folder")
        return
    if any(config.out.iterdir()):
        raise UserError(
            f"--out {config.out}: expected an empty folder or one of an earlier run, found other files in it"
        )
    _write_json(path, options)


def _write_json(path: Path, content: object) -> None:
    write_text(path, json.dumps(content, indent=1))


def _write_all(config: SynthesizeConfig, indices: list[int], clips: list[Clip]) -> Iterator[int]:
    """Write the subjects in worker processes; yields numbers of images as they are written.

    Always in other processes, with one thread each: results of matrix products depend on the number of threads.
    """
    context = multiprocessing.get_context("spawn")
    progress = context.Queue()
    workers = min(config.workers or os.cpu_count() or 1, len(indices))
    with (
        _one_thread_each(),
        ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(progress, clips)) as pool,
    ):
        pending: set[Future[None]] = {pool.submit(_write_one, config, index) for index in indices}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                yield from _drain(progress)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    yield from _drain(progress)


def _drain(progress: Queue[int]) -> Iterator[int]:
    while True:
        try:
            yield progress.get_nowait()
        except queue.Empty:
            return


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started in this context inherit one thread for every numerical library."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_worker: tuple[BodyModel, Queue[int], list[Clip]] | None = None  # of a worker process, set when it starts


def _start_worker(progress: Queue[int], clips: list[Clip]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and in silence; the parent reports
    torch.set_num_threads(1)
    _worker = load_body(), progress, clips


def _write_one(config: SynthesizeConfig, index: int) -> None:
    assert _worker is not None
    body, progress, clips = _worker

    def written(images: int) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            os._exit(1)  # nobody waits for the rest
        progress.put(images)

    with writing(config.out / subject_path(config, index)):
        write_subject(config, index, body, written, clips)
