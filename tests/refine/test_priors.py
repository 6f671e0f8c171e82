"""Priors are the sums that they say, pull at nothing before a fit has moved it, and hold what would drift."""

import math

import pytest
import torch

from graphs import mesh_hop_edges
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.body.joint_limits import beyond, joint_limits
from hgg_pyg.refine import RefineConfig
from hgg_pyg.refine.figure import Figure
from hgg_pyg.refine.priors import Neighbours, Priors, overbent, unsteadiness

ALL = RefineConfig(smooth=1.0, limits=1.0, shared=1.0)
FACES = torch.tensor([[0, 1, 2], [2, 1, 3], [2, 3, 4], [4, 3, 5], [5, 6, 7]])


@pytest.fixture
def figure(body, make_pose, make_frames) -> Figure:
    pose = make_pose(3)
    pose.body_pose[0, 9] = math.radians(170)  # the left knee, beyond its limit from the beginning
    gaussians = make_frames(pose[[0]], 300)[0]
    binding = torch.randint(500, (300,), generator=torch.Generator().manual_seed(0))
    return Figure(BoundAvatar(gaussians, binding, pose.betas), body, pose)


def priors(figure: Figure, config: RefineConfig = ALL) -> Priors:
    return Priors(figure, (3, 5, 9), torch.full((figure.moved.shape[1],), 2.0), config)


def test_what_has_not_moved_costs_nothing_and_is_not_pulled_at(figure) -> None:
    for values in figure.tensors():
        values.requires_grad_()
    cost = priors(figure).cost([0, 2])
    gradients = torch.autograd.grad(cost, figure.tensors(), allow_unused=True)
    assert cost == 0
    assert all(gradient is None or not gradient.any() for gradient in gradients)


def test_a_weight_of_nothing_leaves_a_prior_out(figure) -> None:
    figure.moved += torch.randn(figure.moved.shape, generator=torch.Generator().manual_seed(0)) * 60
    figure.residuals += torch.randn(figure.residuals.shape, generator=torch.Generator().manual_seed(1))
    parts = [RefineConfig(smooth=1.0), RefineConfig(limits=1.0), RefineConfig(shared=1.0)]
    costs = [float(priors(figure, config).cost([1, 2])) for config in parts]
    assert min(costs) > 0
    assert priors(figure).cost([1, 2]) == pytest.approx(sum(costs))
    nothing = RefineConfig(smooth=0, limits=0, shared=0)
    assert priors(figure, nothing).cost([1, 2]) == 0
    fixed = RefineConfig(smooth=1.0, limits=1.0, shared=1.0, poses=False, gaussians=False)
    assert priors(figure, fixed).cost([1, 2]) == 0


def test_corrections_that_are_alike_are_steady_however_the_person_moves(figure) -> None:
    figure.moved += 20
    steady = RefineConfig(smooth=1.0, limits=0, shared=0)
    assert priors(figure, steady).cost([0]) == 0
    figure.moved[2] += 4
    columns = figure.moved.shape[1]
    assert priors(figure, steady).cost([0, 1]) == pytest.approx(columns * (4 / 2) ** 2 / (9 - 5) / 2)


def test_only_what_bends_farther_beyond_its_limit_than_it_did_costs(figure) -> None:
    limits = RefineConfig(smooth=0, limits=1.0, shared=0)
    knee = 3 + 9  # about x, behind the root
    figure.moved[0, knee] = -15.0
    assert priors(figure, limits).cost([0]) == 0
    figure.moved[0, knee] = 8.0
    assert priors(figure, limits).cost([0]) == pytest.approx((8 / 4) ** 2, rel=1e-4)
    assert priors(figure, limits).cost([1]) == 0


def test_limits_are_mirrored_and_open_where_none_is_known() -> None:
    left, right, jaw = joint_limits(["left_elbow", "right_elbow", "jaw"])
    assert torch.rad2deg(left[1]).tolist() == pytest.approx([-155, 8])
    assert torch.rad2deg(right[1]).tolist() == pytest.approx([-8, 155])
    assert torch.equal(left[0], right[0])
    assert not beyond(torch.full((3,), 50.0), jaw).any()
    bend = torch.deg2rad(torch.tensor([[0.0, 30.0, 0.0]]))
    assert torch.rad2deg(beyond(bend, left)).tolist()[0] == pytest.approx([0, 22, 0])
    assert not beyond(bend, right).any()


def test_neighbours_differ_as_a_plain_sum_says() -> None:
    """Vertices without a Gaussian have no part in it."""
    generator = torch.Generator().manual_seed(0)
    binding = torch.tensor([0, 0, 1, 3, 3, 3, 5, 7])
    residuals = torch.randn(8, 13, generator=generator, dtype=torch.float64)
    found = Neighbours(binding, FACES).discord(residuals)
    terms = []
    for u, v in mesh_hop_edges(FACES, 2).T.tolist():
        if u < v and u in binding and v in binding:
            terms.append((residuals[binding == u].mean(0) - residuals[binding == v].mean(0)).square().sum())
    assert len(terms) > 5
    assert found == pytest.approx(float(torch.stack(terms).mean()))
    assert Neighbours(binding, FACES).discord(residuals[:1].expand(8, 13)) < 1e-24
    assert Neighbours(torch.tensor([2, 2]), FACES).discord(residuals[:2]) == 0


def test_gradients_are_those_of_the_sums() -> None:
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    gaps = torch.tensor([1.0, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda moved: unsteadiness(moved, gaps), values(3, 4))
    limits = joint_limits(["left_knee", "right_elbow"]).double()
    bends = values(2, 2, 3)
    began = beyond(bends.detach() / 2, limits)
    assert torch.autograd.gradcheck(lambda bends: overbent(bends, limits, began), bends)
    neighbours = Neighbours(torch.tensor([0, 0, 1, 3, 6]), FACES)
    assert torch.autograd.gradcheck(neighbours.discord, values(5, 3))
