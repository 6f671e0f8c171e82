"""The benchmarks' graphs have the degrees that they are named after."""

import numpy as np
import pytest
import torch

from benchmarks import graphs


def test_a_body_s_degrees_are_as_skewed_as_real_ones():
    figures = graphs.degree_figures(graphs.intra(524_288).degree)
    assert figures["mean"] == pytest.approx(76.1, abs=0.1)
    assert 12 <= figures["median"] <= 28  # 19 on a real graph
    assert 700 <= figures["p99"] <= 1400  # 1,016
    assert 3000 <= figures["max"] <= 7000  # 4,485
    assert 0.03 <= figures["empty"] <= 0.2  # 0.13


def test_bindings_are_the_same_every_time():
    first = graphs.body_bindings.__wrapped__(1)
    assert len(first) == 65_536
    assert np.array_equal(first, graphs.body_bindings.__wrapped__(1))


@pytest.mark.parametrize("edges", [10_000, 1_048_576])
def test_other_sizes_keep_the_shape(edges):
    shares = graphs.intra(524_288).degree / 524_288
    found = graphs.intra(edges).degree / edges
    assert float((found - shares).abs().sum()) < (1e-6 if edges > 524_288 else 0.8)
    assert float(found.max()) == pytest.approx(float(shares.max()), rel=0.2)


def test_even_and_half():
    even, half = graphs.intra(30_001, "even").degree, graphs.intra(30_001, "half").degree
    assert int(even.max() - even.min()) <= 1
    assert int(half.max()) == 15_000
    rest = half.sort().values[:-1]
    assert int(rest.max() - rest.min()) <= 1
    assert int(even.sum()) == int(half.sum()) == 30_001


def test_gaussians_are_laid_out_or_as_they_are_made():
    laid_out, made = graphs.intra(5000), graphs.intra(5000, in_order=False)
    assert laid_out.in_order
    assert torch.equal(laid_out.source, torch.arange(5000))
    assert torch.equal(laid_out.target, made.target)
    assert not torch.equal(made.source, laid_out.source)
    assert torch.equal(made.source.sort().values, laid_out.source)


@pytest.mark.parametrize("targets", [1722, 27_560])
def test_bodies_of_other_sizes(targets):
    edges = graphs.intra(20_000, targets=targets)
    assert edges.num_targets == len(edges.degree) == targets
    assert int(edges.degree.sum()) == 20_000
    assert int(edges.target.max()) > 0.95 * targets


@pytest.mark.parametrize("targets", [500, graphs.VERTICES])
def test_shuffled_neighbours_are_the_same_graph_under_other_ids(targets):
    plain, shuffled = (graphs.inter(1, shuffled, targets) for shuffled in (False, True))
    assert torch.equal(plain.degree.sort().values, shuffled.degree.sort().values)
    assert float(plain.degree.double().mean()) == pytest.approx(7, abs=0.1)  # six neighbours, and itself
    gaps = [(edges.source - edges.target).abs().double().mean() for edges in (plain, shuffled)]
    assert gaps[1] > 1.5 * gaps[0]


@pytest.mark.parametrize("arguments", [{"edges": 0}, {"edges": 10, "targets": 1}, {"edges": 10, "skew": "odd"}])
def test_impossible_graphs_are_refused(arguments):
    with pytest.raises(ValueError, match="expected"):
        graphs.intra(**arguments)
