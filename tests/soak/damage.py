"""What a soak does to files at rest: a flipped bit, a cut, zeros; then the file is read as commands read it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from graphs.mesh_hops import mesh_hop_edges
from hgg_pyg.backbones import make_backbone
from hgg_pyg.backbones.lgm.checkpoint import load_lgm
from hgg_pyg.body import load_body
from hgg_pyg.data.capture_set import open_captures
from hgg_pyg.data.frames import frame_sources
from hgg_pyg.model.network import HGGNet
from hgg_pyg.training.checkpoint import CHECKPOINT_FILE
from hgg_pyg.training.run import CONFIG_FILE, MODEL_FOLDER, find_checkpoint, read_config
from hgg_pyg.training.trained import open_run
from hgg_pyg.types import UserError
from tests.soak.trials import Outcome
from tests.soak.world import RUN, World


def damage(world: World, rng: np.random.Generator, place: Path) -> Outcome:
    """Damage one file of a finished run: reading it gives what was written, or a refusal in one line."""
    kind = list(_READERS)[int(rng.integers(len(_READERS)))]
    folder, pattern, read = _READERS[kind]
    shutil.copytree(world.done / folder, place / folder, ignore=shutil.ignore_patterns("tensorboard"))
    files = sorted((place / folder).rglob(pattern))
    path = files[int(rng.integers(len(files)))]
    how = damage_file(path, rng)
    before = torch.get_rng_state()
    try:
        found = read(world, place, path)
    except UserError as error:
        kept = "\n" not in str(error).strip() and path.name in str(error)
        return Outcome(f"{how} {kind}", kept, "refused" if kept else f"refused without its name: {error}")
    finally:
        torch.set_rng_state(before)
    same = _same(found, read(world, world.done, world.done / path.relative_to(place)))
    return Outcome(f"{how} {kind}", same, "same" if same else "ACCEPTED")


def damage_file(path: Path, rng: np.random.Generator) -> str:
    """Change a file in one of three ways, and say which."""
    content = bytearray(path.read_bytes())
    how = str(rng.choice(["flip", "cut", "zero"], p=[0.7, 0.15, 0.15]))
    at = int(rng.integers(len(content)))
    if how == "flip":
        content[at] ^= 1 << int(rng.integers(8))
    elif how == "cut":
        del content[at:]
    else:
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    stamps = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stamps.st_atime_ns, stamps.st_mtime_ns))  # a disk that rots does not change the time
    return how


def _checkpoint(world: World, place: Path, path: Path) -> object:
    folder = place / "train" / "runs"
    config = replace(read_config(world.done / "train" / "runs" / RUN), out=folder, resume=True)
    return find_checkpoint(config)


def _config(world: World, place: Path, path: Path) -> object:
    return replace(open_run(path.parent, world.captures).config, out=Path(), cache=Path())


def _model(world: World, place: Path, path: Path) -> object:
    return HGGNet.load(path.parent).state_dict()


def _shard(world: World, place: Path, path: Path) -> object:
    body = load_body()
    config = read_config(world.done / "train" / "runs" / RUN)
    captures = open_captures(world.captures, config.image_size, body)
    backbone = make_backbone(config.backbone, torch.device("cpu"))
    sources = frame_sources(
        (*captures.train, *captures.val, *captures.test),
        config.clip.input_views,
        backbone,
        body,
        place / "train" / "cache",
    )
    source = next(source for source in sources if source.folder.name == path.parent.name)
    return [vars(source.load(frame)) for frame in range(len(source.capture.frames))]


def _edges(world: World, place: Path, path: Path) -> object:
    before = os.environ.get("HGG_CACHE")
    os.environ["HGG_CACHE"] = str(path.parent)
    try:
        return mesh_hop_edges(load_body().faces, read_config(world.done / "train" / "runs" / RUN).graph.hops)
    finally:
        os.environ.pop("HGG_CACHE") if before is None else os.environ.update(HGG_CACHE=before)


def _lgm(world: World, place: Path, path: Path) -> object:
    return load_lgm(path, "micro").network.state_dict()


_READERS: Mapping[str, tuple[str, str, Callable[[World, Path, Path], object]]] = {
    "checkpoint": ("train", CHECKPOINT_FILE, _checkpoint),
    "config.json": ("train", CONFIG_FILE, _config),
    "weights": ("train", f"{MODEL_FOLDER}/model.*", _model),
    "shard": ("train", "cache/*/*.safetensors", _shard),
    "mesh edges": ("train", "mesh/*.np*", _edges),
    "LGM weights": ("finetune", "lgm.safetensors", _lgm),
}


def _same(found: object, expected: object) -> bool:
    """Equality to the bit, of nested containers of tensors."""
    if isinstance(found, torch.Tensor) and isinstance(expected, torch.Tensor):
        return found.dtype == expected.dtype and torch.equal(found, expected)
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        return found.keys() == expected.keys() and all(_same(found[key], expected[key]) for key in found)
    if isinstance(found, list | tuple) and isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(_same, found, expected))
    if hasattr(found, "__dict__") and type(found) is type(expected) and not isinstance(found, Path | str):
        return _same(vars(found), vars(expected))
    return found == expected
