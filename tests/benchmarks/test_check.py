"""The truth that variants are held against, and how they are."""

import pytest
import torch

from benchmarks import graphs
from benchmarks.check import FrozenSources, GivenSources, ProjectedSources, deviation, solve, worst
from hgg_pyg.attention import Edges, attend

SOURCES, TARGETS, HEADS, CHANNELS = 40, 9, 2, 5


@pytest.fixture
def edges() -> Edges:
    generator = torch.Generator().manual_seed(0)
    index = torch.stack([torch.randint(n, (150,), generator=generator) for n in (SOURCES, TARGETS - 1)])
    return Edges.from_index(index, SOURCES, TARGETS)  # some edges are there twice, one target has none


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(params=[1 << 22, 64], ids=["at once", "in chunks"])
def _chunks(request, monkeypatch):
    monkeypatch.setattr("benchmarks.check._AT_ONCE", request.param)


@pytest.mark.usefixtures("_chunks")
def test_keys_and_values_given(edges):
    query, grad = draw(TARGETS, 3, HEADS, CHANNELS), draw(TARGETS, 3, HEADS, CHANNELS, seed=1)
    key, value = draw(SOURCES, HEADS, CHANNELS, seed=2), draw(SOURCES, HEADS, CHANNELS, seed=3)
    asked = [x.requires_grad_() for x in (query, key, value)]
    out = attend(*asked, edges, backend="reference")
    expected = [out, *torch.autograd.grad(out, asked, grad)]
    given = GivenSources(key.detach(), value.detach())
    found = [*solve(query, given, grad, edges), *given.gradients]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs.detach())
    assert worst(found, expected) < 1e-12


@pytest.mark.usefixtures("_chunks")
def test_frozen_features(edges):
    query, grad = draw(TARGETS, 4, 1, 6).requires_grad_(), draw(TARGETS, 4, 1, 6, seed=1)
    features = draw(SOURCES, 6, seed=2)
    out = attend(query, features[:, None], features[:, None], edges, backend="reference")
    found = solve(query, FrozenSources(features), grad, edges)
    assert worst(found, [out, *torch.autograd.grad(out, [query], grad)]) < 1e-12


@pytest.mark.usefixtures("_chunks")
def test_projected_features(edges):
    query, grad = draw(TARGETS, 1, HEADS, CHANNELS), draw(TARGETS, 1, HEADS, CHANNELS, seed=1)
    features, width = draw(SOURCES, 7, seed=2).requires_grad_(), HEADS * CHANNELS
    weights = [draw(width, 7, seed=s).requires_grad_() for s in (3, 4)]
    biases = [draw(width, seed=s).requires_grad_() for s in (5, 6)]
    key, value = ((features @ w.T + b).view(SOURCES, HEADS, CHANNELS) for w, b in zip(weights, biases, strict=True))
    out = attend(query, key, value, edges, backend="reference")
    expected = torch.autograd.grad(out, [features, *weights, biases[1]], grad)
    plain = ([w.detach() for w in weights], [b.detach() for b in biases])
    sources = ProjectedSources(features.detach(), (plain[0][0], plain[0][1]), (plain[1][0], plain[1][1]), HEADS)
    sources.want_features()
    found = solve(query, sources, grad, edges)
    assert worst([found[0]], [out.detach()]) < 1e-12
    assert sources.features is not None
    assert worst([sources.features, *sources.weights, sources.biases[1]], expected) < 1e-10


def test_one_wrong_short_row_shows():
    truth = draw(100, 4)
    truth[7] *= 0.02  # as short as the mean of many values
    found = truth.clone()
    assert deviation(found, truth) == 0
    found[7] *= 1.01
    assert deviation(found, truth) == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_infinitely_wrong(bad):
    truth = draw(10, 4)
    found = truth.clone()
    found[3, 2] = bad
    assert deviation(found, truth) == float("inf")


def test_where_nothing_is_due_nothing_may_be():
    truth = draw(10, 4)
    truth[3] = 0
    found = truth.clone()
    found[3, 0] = 0.01
    assert deviation(found, truth) > 0.1


def test_the_truth_of_a_skewed_graph_agrees_with_scatter():
    edges = graphs.intra(3000, "half", targets=50)
    query, key, value = draw(50, 1, 2, 4), draw(3000, 2, 4, seed=1), draw(3000, 2, 4, seed=2)
    out, _ = solve(query, GivenSources(key, value), torch.zeros_like(query), edges)
    torch.testing.assert_close(out, attend(query, key, value, edges, backend="scatter"))
