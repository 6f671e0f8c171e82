"""The Triton kernels compiled to machine code at the sizes of use: that takes no device, and shows what would not fit.

Triton brings the assembler, which says how much of a kernel's state does not fit into registers.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from hgg_pyg.attention import Edges
from hgg_pyg.attention.kernels import triton_items

triton = pytest.importorskip("triton", reason="needs triton")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="the interpreter compiles nothing"),
]

F32, BF16, F16, F64 = torch.float32, torch.bfloat16, torch.float16, torch.float64
SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}
"""shared memory that a program may have, by compute capability"""
SPILLED_BYTES = 512
"""what a thread may keep outside its registers: 30 numbers of 256 channels, read and written once a tile of edges"""

# Graph; slots, heads, channels, whether the values are the keys; types of queries and of keys; gradients of the keys.
CASES = [
    ("in order", (1, 8, 16, False), F32, F32, True),
    ("shared", (1, 8, 16, False), F32, F32, True),
    ("shared", (1, 4, 16, False), BF16, BF16, True),
    ("shared", (20, 8, 16, False), F32, F32, True),
    ("in order", (8, 1, 128, True), F32, F32, False),
    ("in order", (8, 1, 128, True), F32, BF16, False),
    ("in order", (8, 1, 128, True), BF16, BF16, True),
    ("in order", (160, 1, 128, True), F16, F16, True),
    ("in order", (8, 1, 256, True), F32, F32, True),
    ("in order", (8, 1, 256, True), F64, F64, False),
]
ON_TENSOR_CORES = [case for case in CASES if case[1][0] > 1 and case[1][2] <= 128 and case[2] == F32]
"""those that `benchmarks.gpu` also times as "tf32x3"; at 256 channels gradients of keys would not fit so"""
KERNELS = {
    *(f"triton_vector._{name}" for name in ("forward", "backward_query", "backward_source")),
    *(f"triton_matrix._{name}" for name in ("forward", "backward_query", "backward_unique")),
    *(f"triton_merge._{name}" for name in ("merge_softmax", "merge_sum", "row_dot")),
}


class NoDevice:
    """Stands for the driver of a card whose kernels can be compiled here but not run."""

    def __init__(self, capability: int) -> None:
        self.capability = capability

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self) -> str:
        return f"none, {self.capability}"  # Triton keeps compiled kernels by device: those of a real one stay apart

    def get_current_stream(self, device: str) -> int:
        return 0


def graph(kind: str) -> Edges:
    """As many edges a target as in use, but for one of many, whose row is split; 19 a source where they are shared."""
    targets, count = 20, 1520
    generator = torch.Generator().manual_seed(0)
    target = torch.where(torch.arange(count) < 700, 1, torch.randint(targets, (count,), generator=generator))
    source = torch.randint(80, (count,), generator=generator) if kind == "shared" else torch.arange(count)
    source = torch.where(torch.arange(count) > count - 600, 3, source) if kind == "shared" else source
    edges = Edges.from_index(torch.stack([source, target]), 80 if kind == "shared" else count, targets)
    return edges.lay_out(torch.empty(edges.num_sources, 0))[1] if kind == "in order" else edges


def attend_and_differentiate(
    kind: str, shape: tuple[int, int, int, bool], dtype: torch.dtype, stored: torch.dtype, with_keys: bool
) -> None:
    from hgg_pyg.attention.kernels.triton_csr import triton_attention

    slots, heads, channels, one_array = shape
    edges = graph(kind)
    assert triton_items.by_target(edges).places
    query = torch.zeros(edges.num_targets, slots, heads, channels, dtype=dtype, requires_grad=True)
    arrays = [torch.zeros(edges.num_sources, heads, channels, dtype=stored) for _ in range(1 if one_array else 2)]
    leaves = [query, *(array.requires_grad_(with_keys) for array in arrays)]
    out = triton_attention(query, leaves[1], leaves[-1], edges)
    torch.autograd.grad(out, [leaf for leaf in leaves if leaf.requires_grad], torch.zeros_like(out))


def spilled_bytes(kernel: Any, folder: Path) -> int:
    """Bytes that a thread writes to memory because its registers are full."""
    ptx = folder / "kernel.ptx"
    ptx.write_text(kernel.asm["ptx"])
    target = re.search(r"^\.target (\w+)", kernel.asm["ptx"], re.M)
    assert target is not None
    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    newest = next(tool for name in ("ptxas-blackwell", "ptxas") if (tool := tools / name).is_file())
    command = [newest, "-v", f"--gpu-name={target[1]}", ptx, "-o", folder / "kernel.cubin"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    spills = re.search(r"(\d+) bytes spill stores", said)
    assert spills is not None, said
    return int(spills[1])


@pytest.mark.parametrize("precision", ["ieee", "tf32x3"])
@pytest.mark.parametrize("capability", [90, 80])
def test_every_kernel_fits_the_card(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capability: int, precision: str
) -> None:
    from triton.runtime import driver, jit

    from hgg_pyg.attention.kernels import triton_matrix

    launch, compiled, measured = jit.JITFunction.run, set(), set()

    def compile_only(self, *args, grid, warmup, **kwargs):
        kernel = launch(self, *args, grid=grid, warmup=True, **kwargs)
        assert kernel is not None
        name = f"{self.__module__.rpartition('.')[2]}.{self.__name__}"
        compiled.add(name)
        if kernel.hash not in measured:
            measured.add(kernel.hash)
            assert kernel.asm["cubin"], name
            assert kernel.metadata.shared <= SHARED_BYTES[capability], name
            assert spilled_bytes(kernel, tmp_path) <= SPILLED_BYTES, name

    monkeypatch.setattr(jit.JITFunction, "run", compile_only)
    monkeypatch.setattr(driver, "_active", NoDevice(capability))
    monkeypatch.setattr(triton_matrix, "PRECISION", precision)
    for case in CASES if precision == "ieee" else ON_TENSOR_CORES:
        attend_and_differentiate(*case)
    assert compiled == KERNELS if precision == "ieee" else compiled > {"triton_matrix._forward"}
