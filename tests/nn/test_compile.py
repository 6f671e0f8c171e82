"""torch.compile of layers gives what they give without it, by whatever graph breaks it takes."""

from collections.abc import Iterator

import pytest
import torch

from hgg_pyg.attention import variants
from tests.nn.conv_cases import KINDS, Case, case

BACKENDS = [
    pytest.param(name, marks=[pytest.mark.slow] * (name == "compiled"))
    for name, variant in variants().items()
    if variant.missing("cpu") is None
]

pytestmark = pytest.mark.filterwarnings("ignore")  # compiling warns of much, and of other things in each torch


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def check(c: Case, backend: str) -> None:
    """Values, and gradients of weights and inputs, in float32."""
    conv, inputs = c.conv.float(), [x.float().requires_grad_() for x in dict.fromkeys(c.inputs)]
    x = inputs[0] if len(inputs) == 1 else tuple(inputs)
    compiled = torch.compile(conv, backend=backend)
    out, wanted = compiled(x, c.edges), conv(x, c.edges)
    torch.testing.assert_close(out, wanted, rtol=1e-5, atol=1e-5)
    leaves, upstream = [*inputs, *conv.parameters()], torch.randn_like(out)
    gradients = (torch.autograd.grad(y, leaves, upstream, allow_unused=True) for y in (out, wanted))
    for gradient, other in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


@KINDS
def test_layers_of_messages(kind: str) -> None:
    check(case(kind, 2), "eager")


@pytest.mark.parametrize("name", BACKENDS)
def test_the_fused_layer_by_every_backend(name: str) -> None:
    check(case("inter", 2, fused=True, backend=name), "eager")


def test_the_layer_that_folds() -> None:
    check(case("intra", 2, fused=True), "eager")


def test_the_fused_readout() -> None:
    check(case("readout", 2, fused=True), "eager")


@pytest.mark.parametrize("name", ["scatter", "fused"])
def test_gradients_traced_ahead(name: str) -> None:
    check(case("intra", 2, fused=True, backend=name), "aot_eager")


@pytest.mark.slow
def test_by_the_default_compiler() -> None:
    check(case("intra"), "inductor")
