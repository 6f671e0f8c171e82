"""A model's folder, laid out as diffusers and the public Wonder3D have it: read strictly, written by fine-tuning."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hgg_pyg.config import config_from_json, config_json
from hgg_pyg.io.extras import import_extra
from hgg_pyg.io.files import write_text
from hgg_pyg.io.json_files import read_json_object
from hgg_pyg.io.shown import shown
from hgg_pyg.io.tensors import load_tensors, save_tensors
from hgg_pyg.io.weights import own_names
from hgg_pyg.multiview.clip import ClipVision, ClipVisionConfig
from hgg_pyg.multiview.codecs import Codec, LatentCodec, PixelCodec
from hgg_pyg.multiview.embedding import ClipEmbedder, Embedder, ThumbnailEmbedder
from hgg_pyg.multiview.model import MultiViewModel
from hgg_pyg.multiview.network import multi_view_unet
from hgg_pyg.multiview.posed_body import GUIDES
from hgg_pyg.multiview.preprocessing import ClipPreprocessing
from hgg_pyg.multiview.views import ViewsConfig
from hgg_pyg.types import UserError

VIEWS_FILE = "views.json"
WANTED = (
    "the folder of weights (2.6 GB: unet/, vae/, image_encoder/, scheduler/, feature_extractor/) of "
    "huggingface.co/flamehaze1115/wonder3d-v1.0 anywhere on this disk, or one that finetune_multiview wrote"
)
_WEIGHTS = ("diffusion_pytorch_model", "model", "pytorch_model")  # names of files, by diffusers and transformers
_OLD = {  # older spellings of parts of names
    "attn_joint_twice": "attn_joint_mid",
    "norm_joint_twice": "norm_joint_mid",
}
_OLD_VAE = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_UNSAVED = {"vision_model.embeddings.position_ids"}  # a constant that older files hold


@dataclass(frozen=True)
class LoadedModel:
    """Frozen networks in float32 on the CPU, and what says that they are the same again."""

    model: MultiViewModel
    digest: str  # of weights and configurations


def load_model(folder: Path | None) -> LoadedModel:
    """Read a model: the public Wonder3D's, or one of ours, which may have pixels and thumbnails for VAE and CLIP.

    Every weight must have its place and shape. Files are safetensors, or pickles of torch that hold nothing but
    tensors. A folder without `views.json` draws the public network's six views.

    Raises:
        UserError: there is no folder or a part of it is missing, a file is damaged, or the weights are of another
            model: the first three that do not fit are named.
    """
    if folder is None:
        raise UserError(f"front wonder3d: expected weights, found none: give --front.checkpoint DIR, {WANTED}")
    if not folder.is_dir():
        raise UserError(f"{folder}: expected {WANTED}; found no such folder")
    library, hashes = import_extra("diffusers", "diffusion", folder), hashlib.sha256()
    views = ViewsConfig()
    if (folder / VIEWS_FILE).is_file():
        views = _read_views(folder / VIEWS_FILE)
        hashes.update(config_json(views).encode())
    unet = _load_part(folder / "unet", hashes, lambda o, where: multi_view_unet(o, str(where)), _OLD)
    codec: Codec = PixelCodec()
    if (folder / "vae").is_dir() or not views.guided:
        vae = _load_part(folder / "vae", hashes, lambda o, where: _make(library.AutoencoderKL, o, where), _OLD_VAE)
        codec = LatentCodec(vae)
    embedder: Embedder = ThumbnailEmbedder()
    if (folder / "image_encoder").is_dir() or not views.guided:
        embedder = _load_clip(folder, hashes)
    settings = _read_config(folder / "scheduler" / "scheduler_config.json", hashes)
    if "DDIM" not in (found := str(settings.get("_class_name", "DDIMScheduler"))):
        raise UserError(f"{folder / 'scheduler'}: _class_name: expected DDIMScheduler, found {shown(found)}")
    scheduler = _make(library.DDIMScheduler, settings, folder / "scheduler")
    _check_widths(folder, unet, codec, embedder, views)
    model = MultiViewModel(unet, codec, embedder, scheduler, views)
    return LoadedModel(model, hashes.hexdigest()[:16])


def save_model(folder: Path, model: MultiViewModel) -> None:
    """Write a model's folder; `load_model` reads it once `views.json`, the last file, is there.

    A VAE and a CLIP that were not trained are written as well, so that the folder needs no other.

    Raises:
        UserError: a file cannot be written, or the disk is full.
    """
    _save_part(folder / "unet", model.unet, "diffusion_pytorch_model")
    if isinstance(model.codec, LatentCodec):
        _save_part(folder / "vae", model.codec.vae, "diffusion_pytorch_model")
    if isinstance(model.embedder, ClipEmbedder):
        _save_part(folder / "image_encoder", model.embedder.encoder, "model")
        text = model.embedder.preprocessing.to_json_string()
        write_text(folder / "feature_extractor" / "preprocessor_config.json", text)
    write_text(folder / "scheduler" / "scheduler_config.json", model.scheduler.to_json_string())
    write_text(folder / VIEWS_FILE, config_json(model.views))


def _load_clip(folder: Path, hashes: Any) -> ClipEmbedder:
    def make(options: Mapping[str, Any], where: Path) -> ClipVision:
        try:
            return ClipVision(ClipVisionConfig.read(options))
        except ValueError as error:
            raise UserError(f"{where}: {shown(error, 200)}") from None

    encoder = _load_part(folder / "image_encoder", hashes, make, {})
    where = folder / "feature_extractor" / "preprocessor_config.json"
    try:
        return ClipEmbedder(encoder, ClipPreprocessing.read(_read_config(where, hashes)))
    except ValueError as error:
        raise UserError(f"{where}: {shown(error, 200)}") from None


def _load_part(
    folder: Path, hashes: Any, make: Callable[[Mapping[str, Any], Path], Any], old: Mapping[str, str]
) -> Any:
    """One network of a folder, by its config.json, with every weight in its place; frozen, in evaluation mode."""
    if not folder.is_dir():
        raise UserError(f"{folder}: expected this part of {WANTED}; found no such folder")
    options = _read_config(folder / "config.json", hashes)
    with torch.device("meta"):
        network = make(options, folder / "config.json")
    path, state = _read_weights(folder)
    expected = network.state_dict()
    state = {name: weight for name, weight in own_names(state, expected).items() if name not in _UNSAVED}
    for before, now in old.items():
        state = {name if name in expected else name.replace(before, now): w for name, w in state.items()}
    _check_weights(path, folder.name, expected, state)
    for name in sorted(state):
        hashes.update(f"{name} {tuple(state[name].shape)}".encode())
        hashes.update(state[name].contiguous().view(-1).view(torch.uint8).numpy().data)
    network.load_state_dict({name: weight.float() for name, weight in state.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _read_weights(folder: Path) -> tuple[Path, Mapping[str, Tensor]]:
    for name in _WEIGHTS:
        for middle in ("", ".fp16"):
            if (path := folder / f"{name}{middle}.safetensors").is_file():
                return path, load_tensors(path).tensors
    for name in _WEIGHTS:
        for middle in ("", ".fp16"):
            if (path := folder / f"{name}{middle}.bin").is_file():
                return path, _read_pickle(path)
    raise UserError(f"{folder}: expected {_WEIGHTS[0]}.safetensors or .bin (model, pytorch_model), found none of them")


def _read_pickle(path: Path) -> Mapping[str, Tensor]:
    """Tensors by name of a file of torch.save; anything else in it is refused and not run."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: expected a file of torch.save with tensors alone ({shown(said, 200)})") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected tensors by name, found {type(state).__name__}")
    for name, weight in state.items():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise UserError(f"{path}: {shown(name)}: expected finite numbers, found NaN or infinity")
    return state


def _check_weights(path: Path, part: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    """Name the first three weights that do not fit."""
    wrong = [
        f"{shown(name)}: expected {_form(expected.get(name))}, found {_form(found.get(name))}"
        for name in sorted(expected.keys() | found.keys())
        if _form(expected.get(name)) != _form(found.get(name))
    ]
    if wrong:
        raise UserError(f"{path}: {len(wrong)} weights are not those of this {part}: {'; '.join(wrong[:3])}")


def _form(weight: Tensor | None) -> str:
    if weight is None:
        return "none"
    return str(tuple(weight.shape)) if weight.is_floating_point() else f"{tuple(weight.shape)} of {weight.dtype}"


def _read_config(path: Path, hashes: Any) -> dict[str, Any]:
    content = read_json_object(path, "the configuration of a part of a model")
    hashes.update(repr(sorted((name, value) for name, value in content.items() if not name.startswith("_"))).encode())
    return content


def _read_views(path: Path) -> ViewsConfig:
    try:
        return config_from_json(ViewsConfig, read_json_object(path, "which views a model draws"))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: expected which views a model draws ({shown(error, 300)})") from None


def _make(kind: Any, options: Mapping[str, Any], where: Path) -> Any:
    """An object of diffusers from its options."""
    try:
        return kind.from_config({name: value for name, value in options.items() if not name.startswith("_")})
    except Exception as error:  # what diffusers' own checks raise changes from version to version
        raise UserError(f"{where}: expected options of {kind.__name__} ({shown(error, 200)})") from None


def _check_widths(folder: Path, unet: Any, codec: Codec, embedder: Embedder, views: ViewsConfig) -> None:
    """Refuse parts of different models."""
    guides = 0
    if views.guided:
        guides = GUIDES * (4 if isinstance(codec, PixelCodec) else 64)
    for name, expected, found in (
        ("in_channels", 2 * codec.channels + guides, unet.config.in_channels),
        ("out_channels", codec.channels, unet.config.out_channels),
        ("cross_attention_dim", embedder.channels, unet.config.cross_attention_dim),
    ):
        if expected != found:
            raise UserError(f"{folder}: unet: {name}: expected {expected}, which the other parts have, found {found}")


def _save_part(folder: Path, network: Any, name: str) -> None:
    save_tensors(folder / f"{name}.safetensors", network.state_dict(), {"format": "pt"})
    text = network.to_json_string() if hasattr(network, "to_json_string") else network.config.to_json_string()
    write_text(folder / "config.json", text)
