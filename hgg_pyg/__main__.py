"""`python -m hgg_pyg`: the commands there are, and what of this machine they can use."""

from __future__ import annotations

import importlib.util
import os
from importlib.metadata import PackageNotFoundError, version

import torch

from hgg_pyg.attention import variants
from hgg_pyg.body.files import DEFAULT_BODY, installed_bodies
from hgg_pyg.evaluation.lpips import BACKBONE_FILE, find_lpips_weights
from hgg_pyg.io.streams import lasting_streams

COMMANDS = (
    ("prepare", "videos from calibrated cameras to a capture: masks, landmarks, body poses"),
    ("refine", "a capture's poses mended, by its own images, and written in its own layout"),
    ("avatar", "a capture to an animatable avatar in one file"),
    ("train", "captures to a trained, evaluated model; the defaults are a demo"),
    ("precompute", "per-frame Gaussians of a whole data set into a cache, before training"),
    ("finetune", "the per-frame network on captures; the defaults are a demo"),
    ("finetune_multiview", "a front, which draws four views of one, on captures or synthetic people"),
    ("multiview", "one picture of a person in, the same person from all around out"),
    ("evaluate", "novel views and novel poses of test subjects, beside direct binding"),
    ("inspect", "where a trained network looks and what it changes, in images and numbers"),
    ("animate", "a film of an avatar in motion"),
    ("export", "an avatar in other programs' formats, in a pose or with motions"),
    ("view", "inside an avatar, a capture or a trained network at work, in the browser"),
    ("synthesize", "make synthetic captures of clothed people"),
    ("weights", "fetch LPIPS's networks, the landmark networks or a clip from the package index"),
    ("check", "whether a capture can be trained on, and if not, what is wrong with it"),
)


def backends() -> list[tuple[str, bool, str]]:
    """Name, whether it is usable here, and a remark, for everything that differs between machines."""
    cuda = torch.cuda.is_available()
    rows = [
        ("torch", True, f"{torch.__version__}, {torch.get_num_threads()} threads"),
        ("CUDA", cuda, torch.cuda.get_device_name() if cuda else "no device: everything runs on the CPU"),
        ("torch_scatter", *_package("torch_scatter")),
        ("torch_cluster", *_package("torch_cluster")),
        ("pyg-lib", *_package("pyg_lib", "optional, stands in for torch_cluster")),
        ("numba rasteriser", *_package("numba")),
        ("embreex", *_package("embreex", "trimesh's own ray caster is used, which is slower")),
    ]
    there, remark = _package("gsplat")
    rows.append(("gsplat", there and cuda, remark if cuda or not there else f"{remark}, waits for a CUDA device"))
    bodies = installed_bodies()
    where = os.environ.get("HGG_BODY_MODELS")
    rows.append(("default body", DEFAULT_BODY.is_file(), "open, SMPL's 24 joints"))
    licensed = ", ".join(map(str, bodies)) or (f"none in {where}" if where else "set HGG_BODY_MODELS, or give --body")
    rows.append(("SMPL files", bool(bodies), licensed))
    weights = find_lpips_weights()
    rows.append(
        (
            "LPIPS weights",
            weights is not None,
            str(weights or f"none of {BACKBONE_FILE}: python -m hgg_pyg.weights lpips"),
        )
    )
    return rows


def _package(name: str, missing: str = "not installed") -> tuple[bool, str]:
    if importlib.util.find_spec(name) is None:
        return False, missing
    try:
        return True, version(name)
    except PackageNotFoundError:
        return True, "installed"


@lasting_streams()
def main() -> None:
    """Print the commands, the variants of attention and the backends."""
    print("commands, each with --help:")
    for name, what in COMMANDS:
        print(f"  python -m hgg_pyg.{name:18} {what}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"\nattention on {device} (--model.backend NAME, python -m benchmarks.attention):")
    for variant in variants().values():
        why = variant.missing(device)
        remarks = [*([] if variant.backward else ["no gradients"]), *([] if variant.exact else ["another operation"])]
        remark = "; ".join([variant.summary, *remarks, *([why] if why else [])])
        print(f"  {'no ' if why else 'yes':4} {variant.name:18} {remark}")
    print("\nthis machine:")
    for name, usable, remark in backends():
        print(f"  {'yes' if usable else 'no ':4} {name:18} {remark}")


if __name__ == "__main__":
    main()
