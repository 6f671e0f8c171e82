"""The page of a capture and of a run: the layers of its scene are what data, graph and network have."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("viser")

from graphs import BINDS, NEAR
from hgg_pyg.evaluation.inspection import findings_of
from hgg_pyg.evaluation.inspection.subject import RunSubject
from hgg_pyg.model.config import ModelConfig
from hgg_pyg.model.network import HGGNet
from hgg_pyg.refine import RefineConfig
from hgg_pyg.types import UserError
from hgg_pyg.view import ViewConfig, open_page
from hgg_pyg.viewing.capture_page import DIRECT, FITTED, NOBODY, OF_FRAME, REFINED, CapturePage
from hgg_pyg.viewing.paints import paints_of
from hgg_pyg.viewing.palette import NOTHING, distinct_colors
from hgg_pyg.viewing.server import close_server, open_server
from tests.chromium import open_chromium
from tests.viewing.browser import open_in, wait_for
from tests.viewing.scene import node, shown


@pytest.fixture(scope="module")
def captures(tiny_captures) -> Path:
    return tiny_captures


@pytest.fixture(scope="module")
def page(captures) -> Iterator[CapturePage]:
    """One that is drawn when told to; each test sets the controls that it needs."""
    server, page = open_page(ViewConfig(captures, subject="subject000", port=0, frames=3, direct=True))
    assert isinstance(page, CapturePage)
    yield page
    page.close()
    close_server(server)


@pytest.fixture(scope="module")
def learnt(page) -> Iterator[CapturePage]:
    """The same with a network whose weights are drawn at random, as if it were a run's."""
    source, body = page.subject.source, page.subject.body
    torch.manual_seed(0)
    config = ModelConfig(
        in_channels=source.backbone.feature_dim,
        num_vertices=body.num_vertices,
        num_layers=2,
        hidden_channels=8,
        heads=2,
    )
    network = HGGNet(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))
    server = open_server("127.0.0.1", 0, "page")
    page = CapturePage(server, replace(page.subject, network=network), 0.05)
    yield page
    page.close()
    close_server(server)


def draw(page: CapturePage) -> None:
    """Until nothing is missing."""
    for _ in range(50):
        if not page.draw():
            return
    raise AssertionError("the page is never drawn")


def test_cameras_stand_where_they_are_and_show_their_images(page):
    capture = page.subject.capture
    page.timeline.frame.value = 2
    draw(page)
    for camera, name in enumerate(capture.camera_names):
        handle = node(page, f"/cameras/{name}")
        np.testing.assert_allclose(handle.position, capture.cameras.centers[camera], atol=1e-5)
        np.testing.assert_allclose(handle.fov, 2 * np.arctan(16 / float(capture.cameras.Ks[camera, 1, 1])), rtol=1e-5)
        np.testing.assert_allclose(handle.image / 255, capture.image(2, camera), atol=1 / 255)
    page.images.value = "masks"
    draw(page)
    mask = node(page, f"/cameras/{capture.camera_names[3]}").image[..., 0]
    np.testing.assert_allclose(mask / 255, capture.mask(2, 3), atol=1 / 255)
    page.cameras.value = False
    draw(page)
    assert not [name for name in shown(page) if name.startswith("/cameras/")]
    page.cameras.value, page.images.value = True, "as filmed"


def test_what_a_camera_saw_stands_behind_the_person_for_who_looks_through_it(page):
    capture, camera = page.subject.capture, 1
    page._step_into(camera)
    draw(page)
    assert f"/cameras/{capture.camera_names[camera]}" not in shown(page)
    backdrop = node(page, "/backdrop")
    view = capture.views(int(page.timeline.frame.value), [camera])
    place = view.viewmats[0].double().numpy() @ [*backdrop.position, 1.0]
    pixel = view.Ks[0].double().numpy() @ place[:3] / place[2]
    np.testing.assert_allclose(pixel[:2], [16, 16], atol=1e-3)  # its middle is the image's
    assert place[2] > np.linalg.norm(capture.cameras.centers[camera].numpy() - page.eyes.at)
    np.testing.assert_allclose(backdrop.render_height * float(view.Ks[0, 1, 1]) / place[2], 32, rtol=1e-4)
    page.through.value = NOBODY
    draw(page)
    assert "/backdrop" not in page.server.scene._handle_from_node_name
    assert f"/cameras/{capture.camera_names[camera]}" in shown(page)


def test_the_body_is_posed_and_its_layers_are_switched_on_and_off(page):
    page.vertices.value = page.skeleton.value = True
    page.timeline.frame.value = 1
    draw(page)
    expected = page.subject.posed(1).vertices[0]
    np.testing.assert_allclose(node(page, "/body/mesh").vertices, expected, atol=1e-6)
    np.testing.assert_allclose(node(page, "/body/vertices").points, expected, atol=1e-6)
    joints = page.subject.body.joints_of(page.subject.body.shaped_vertices(page.subject.capture.poses.betas))
    assert len(node(page, "/body/skeleton").points) == len(joints) - 1
    page.body.value = page.vertices.value = page.skeleton.value = False
    draw(page)
    assert not {"/body/mesh", "/body/vertices", "/body/skeleton"} & shown(page)
    page.body.value = True


def test_gaussians_are_the_frame_s_or_the_avatar_s_in_its_pose(page):
    subject = page.subject
    page.gaussians.value, page.which.value = True, OF_FRAME
    page.timeline.frame.value = 1
    draw(page)
    handle = node(page, "/gaussians")
    np.testing.assert_allclose(handle.centers * handle.scale, subject.gaussians(1).means, atol=1e-5)
    page.which.value = DIRECT
    draw(page)
    expected = subject.direct.repose(subject.body, subject.capture.poses[[1]])[0]
    np.testing.assert_allclose(handle.centers * handle.scale, expected.means, atol=1e-5)
    page.gaussians.value = False
    draw(page)
    assert "/gaussians" not in shown(page)


def test_the_fitted_avatar_is_shown_in_the_poses_that_the_fit_found(captures, page):
    seen = page.subject
    server, page = open_page(ViewConfig(captures, subject="subject000", port=0, frames=3, direct=True, refine=1e-6))
    assert isinstance(page, CapturePage)
    try:
        assert page.subject.fitted.steps == 0
        page.subject = replace(page.subject, fit=RefineConfig(seconds=None, steps=4))
        page.gaussians.value, page.which.value = True, FITTED
        fitted, (inside, outside) = page.subject.fitted, (seen.frames[1], *{0, 1, 2, 3}.difference(seen.frames))
        for frame, pose in ((inside, fitted.poses[[1]]), (outside, seen.capture.poses[[outside]])):
            page.timeline.frame.value = frame
            draw(page)
            handle = node(page, "/gaussians")
            expected = fitted.avatar.repose(seen.body, pose)[0].means
            np.testing.assert_allclose(handle.centers * handle.scale, expected, atol=1e-5)
        assert not torch.equal(fitted.poses.transl, seen.capture.poses.transl[list(seen.frames)])
    finally:
        page.close()
        close_server(server)
    with pytest.raises(UserError, match="--refine SECONDS"):
        _ = seen.fitted


def test_a_vertex_has_the_edges_of_the_graph(page):
    subject = page.subject
    t = 1
    page.timeline.frame.value = subject.frames[t]
    source, target = subject.graph[BINDS].edge_index
    of_frame = subject.graph["gaussian"].frame[source] == t
    vertex = int(target[of_frame].bincount().argmax())
    page._choose(vertex)
    draw(page)
    assert page.edges.value
    here = source[(target == vertex) & of_frame] - int((subject.graph["gaussian"].frame < t).sum())
    vertices = subject.posed(subject.frames[t]).vertices[0]
    binds, near = node(page, "/edges/binds").points, node(page, "/edges/near").points
    np.testing.assert_allclose(binds[:, 0], subject.gaussians(subject.frames[t]).means[here], atol=1e-6)
    neighbours = subject.graph[NEAR].edge_index[0][subject.graph[NEAR].edge_index[1] == vertex]
    np.testing.assert_allclose(near[:, 0], vertices[neighbours], atol=1e-6)
    np.testing.assert_allclose(near[:, 1], vertices[vertex].expand(len(neighbours), -1), atol=1e-6)
    assert node(page, "/edges/vertex").radius < np.linalg.norm(near[:, 0] - near[:, 1], axis=1).max() / 2
    page.edges.value = False
    draw(page)
    assert not {"/edges/binds", "/edges/near", "/edges/vertex"} & shown(page)


def test_a_click_finds_the_vertex_that_is_met_first(page):
    draw(page)
    vertices = page.subject.posed(int(page.timeline.frame.value)).vertices[0].numpy()
    camera = page.subject.capture.cameras.centers[0].double().numpy()
    middle = vertices.mean(0)
    met = page._body.vertex_at(camera, middle - camera)
    assert met is not None
    line = (middle - camera) / np.linalg.norm(middle - camera)
    offsets = vertices - camera
    aside = np.linalg.norm(offsets - (offsets @ line)[:, None] * line, axis=1)
    assert aside[met] < 0.05
    assert (offsets @ line)[met] < (middle - camera) @ line
    assert page._body.vertex_at(camera, camera - middle) is None


def test_what_the_network_does_is_painted(learnt):
    subject = learnt.subject
    run = RunSubject(subject.network, subject.source, subject.spec, subject.frames)
    found = findings_of(run)
    paints = paints_of(subject)
    leading = paints["attention: leading frame, block 2"](subject, 0)
    shares = found.intra[1].shares
    there = ~shares.isnan().any(1)
    palette = distinct_colors(len(subject.frames))
    np.testing.assert_array_equal(leading.colors[there], palette[shares[there].argmax(1)])
    np.testing.assert_array_equal(leading.colors[~there], np.tile(NOTHING, (int((~there).sum()), 1)))
    share = paints["attention: share of this frame, block 1"](subject, subject.frames[1])
    assert np.unique(share.colors[there], axis=0).shape[0] > 3
    for change in found.changes:
        painted = paints[f"read-out: {change.name}"](subject, 0)
        assert change.unit in next(iter(painted.legend))
        assert np.isfinite(painted.colors).all()
    learnt.paint.value = "read-out: moved"
    learnt.gaussians.value, learnt.which.value = True, REFINED
    draw(learnt)
    assert "/body/painted" in shown(learnt)
    assert "/body/mesh" not in shown(learnt)
    handle = node(learnt, "/gaussians")
    expected = subject.refined.repose(subject.body, subject.capture.poses[[int(learnt.timeline.frame.value)]])[0]
    np.testing.assert_allclose(handle.centers * handle.scale, expected.means, atol=1e-5)
    moved = found.changes[0].values
    dark, light = handle.rgbs[moved.argmin()].sum(), handle.rgbs[moved.argmax()].sum()
    assert dark < light


def test_edges_are_as_bright_as_the_attention(learnt):
    subject = learnt.subject
    vertex = int(subject.graph[NEAR].edge_index[1].bincount().argmax())
    learnt._choose(vertex)
    draw(learnt)
    layer = subject.attention.inter[-1]
    weights = layer.weights[layer.target == vertex].mean((1, 2)).numpy()
    brightness = node(learnt, "/edges/near").colors[:, 0].astype(int).sum(1)
    assert brightness[weights.argmax()] == brightness.max()
    assert brightness[weights.argmin()] == brightness.min()


def test_a_broken_image_is_said_once_and_the_page_goes_on(captures, tmp_path, said):
    shutil.copytree(captures / "subject000", tmp_path / "somebody")
    server, page = open_page(ViewConfig(tmp_path / "somebody", port=0, frames=3, direct=True))
    try:
        page._redrawer.start()
        wait_for(lambda: (-1, "none") not in page._cameras._images, 60)
        images = page.subject.capture.images
        images.path(3, 2).write_bytes(b"nothing")
        page.timeline.frame.value = 3
        wait_for(lambda: str(images.path(3, 2)) in said.text, 60)
        wait_for(lambda: all(found[0] == 3 for found in page._cameras._images), 60)
        page._redrawer.close()
        assert len(said.records) == 1
        assert [handle.image is None for handle in page._cameras.handles] == [False, False, True, False, False, False]
    finally:
        page.close()
        close_server(server)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "--subject: expected one of"),
        ({"subject": "nobody"}, "found 'nobody'"),
        ({"subject": "subject000", "run": Path("nowhere")}, "nowhere"),
        ({"subject": "subject000", "data": Path("nowhere")}, "--data: expected it with the folder of a run"),
        ({"subject": "subject000", "body": Path("nowhere")}, "nowhere"),
    ],
)
def test_what_does_not_fit_a_capture_is_one_line(captures, options, expected):
    with pytest.raises(UserError, match=expected) as error:
        open_page(ViewConfig(captures, port=0, **options))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_a_browser_shows_the_body_where_it_is(page):
    page.cameras.value = page.gaussians.value = page.edges.value = False
    page.start()
    with open_chromium() as browser, open_in(browser, page.server) as opened:
        page.images.value = "none"
        page.through.value = "0: cam00"
        camera = page.subject.capture.cameras[[0]]
        wait_for(lambda: np.allclose(opened.client.camera.position, camera.centers[0], atol=1e-3), 30)
        through = opened.picture()[..., 3] > 127
        assert opened.errors == []
        assert opened.asked_elsewhere == []
    mask = page.subject.capture.mask(int(page.timeline.frame.value), 0) > 0.5
    rows, columns = np.nonzero(through)
    across = through.shape[0] / mask.shape[0]  # both have the same field of view from top to bottom
    at, expected = np.array([rows.mean(), columns.mean()]) / across, np.array([c.mean() for c in np.nonzero(mask)])
    expected[1] += (through.shape[1] / across - mask.shape[1]) / 2
    assert np.abs(at - expected).max() < 2.5  # of 32 pixels: clothes and hair are not the body's
