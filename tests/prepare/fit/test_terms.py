"""The parts of the energy beside what they stand for."""

import numpy as np
import torch

from hgg_pyg.body import load_body
from hgg_pyg.kernels.raster import silhouette
from hgg_pyg.prepare.fit import FitConfig
from hgg_pyg.prepare.fit.anchors import make_anchors
from hgg_pyg.prepare.fit.energy import Energy
from hgg_pyg.prepare.fit.figure import Figure
from hgg_pyg.prepare.fit.joints import JointPrior
from hgg_pyg.prepare.fit.silhouettes import Skin, cut_squares
from hgg_pyg.prepare.landmark_sets import COCO_17
from tests.prepare.scenes import SIZE, ring


def make_figure(frames: int = 2) -> Figure:
    body = load_body()
    turns = torch.eye(3).repeat(frames, 1, 1)
    return Figure(body, make_anchors(body, COCO_17), JointPrior(body), turns, torch.zeros(frames, 3))


def test_the_silhouette_of_gaussians_is_that_of_the_mesh() -> None:
    figure, cameras, body = make_figure(), ring(3, lens=()), load_body()
    with torch.no_grad():
        figure.bends.normal_(0, 0.2, generator=torch.Generator().manual_seed(0))
    vertices = body.pose(figure.pose()).vertices.double().numpy()
    full = np.full((SIZE[1], SIZE[0]), 0, np.uint8)
    full[300:1000, 200:800] = 255  # says where to cut, no more
    squares = cut_squares(lambda frame, view: full, cameras, np.zeros((2, 3)), 224)
    assert squares is not None
    assert len(squares.frames) == 6
    with torch.no_grad():
        alpha = Skin(body).silhouettes(figure.betas, figure(), squares, torch.arange(6)) > 0.5
    for place in range(6):
        viewmat, K = squares.viewmats[place].double().numpy(), squares.Ks[place].double().numpy()
        mesh = silhouette(vertices[squares.frames[place]], body.faces.numpy(), viewmat, K, (224, 224))
        gaussians = alpha[place].numpy()
        assert (mesh & gaussians).sum() > 0.9 * (mesh | gaussians).sum()
        assert 0.95 < gaussians.sum() / mesh.sum() < 1.05


def test_squares_are_cut_without_distortion() -> None:
    bent, body = ring(2), load_body()
    vertices = body.v_template.double().numpy() - body.v_template.mean(0).numpy()

    def mask(frame: int, view: int) -> np.ndarray:
        viewmat = np.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = bent.R[view], bent.T[view]
        shape = silhouette(vertices, body.faces.numpy(), viewmat, bent.K[view], SIZE).astype(np.uint8) * 255
        rows, columns = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
        import cv2

        maps = cv2.undistortPoints(
            np.stack([columns, rows], -1).reshape(-1, 1, 2), bent.K[view], bent.distortion[view], P=bent.K[view]
        ).reshape(SIZE[1], SIZE[0], 2)
        return cv2.remap(shape, *(np.moveaxis(maps - 0.5, -1, 0).astype(np.float32)), cv2.INTER_LINEAR)

    squares = cut_squares(mask, bent, np.zeros((1, 3)), 96)
    assert squares is not None
    for place, view in enumerate((0, 1)):
        K = squares.Ks[place].double().numpy()
        mesh = silhouette(vertices, body.faces.numpy(), squares.viewmats[place].double().numpy(), K, (96, 96))
        cut = squares.masks[place].numpy() > 0.5
        assert (mesh & cut).sum() > 0.96 * (mesh | cut).sum(), bent.names[view]


def test_motion_costs_acceleration_alone_at_uneven_times() -> None:
    figure = make_figure(4)
    times = np.array([0.0, 0.1, 0.25, 0.3])
    energy = Energy(figure, JointPrior(load_body()), figure().anchors.detach(), None, times, FitConfig())
    values = torch.from_numpy(3 * times**2 + 5 * times - 1).float()[:, None, None]
    torch.testing.assert_close(energy._second_difference(values), torch.full((2, 1, 1), 6.0), atol=0.02, rtol=0)
    with torch.no_grad():
        figure.transl[:, 0] = torch.from_numpy(2 * times)
    assert energy._of_motion(figure()).item() < 1e-4


def test_a_landmark_far_away_counts_no_more_than_its_bound() -> None:
    figure = make_figure(1)
    at = figure().anchors.detach()
    config = FitConfig()

    def cost(shift: float) -> float:
        moved = at.clone()
        moved[0, 0, 0] += shift
        energy = Energy(figure, JointPrior(load_body()), moved, None, np.zeros(1), config)
        return energy.of_landmarks(figure()).item()

    near = cost(0.1 * config.landmark_sigma) - cost(0.0)
    assert abs(near - 0.005) < 1e-4
    assert 4.0 < cost(10.0) - cost(0.0) < 4.5
