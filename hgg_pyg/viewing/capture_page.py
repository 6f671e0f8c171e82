"""The page of a capture: cameras with their images, the body, Gaussians, the graph, and what a network makes of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch

from graphs import BINDS, GAUSSIAN, VERTEX
from hgg_pyg.avatar.upright import up_of
from hgg_pyg.body.model import rotation_matrices
from hgg_pyg.types import Gaussians
from hgg_pyg.viewing.body_layer import BodyLayer
from hgg_pyg.viewing.bones import Bones
from hgg_pyg.viewing.cameras import CameraLayer, Shown
from hgg_pyg.viewing.edge_layer import EdgeLayer, edges_at, sources_by_frame
from hgg_pyg.viewing.eyes import Eyes, whole
from hgg_pyg.viewing.paints import NONE, gaussian_colors, paints_of
from hgg_pyg.viewing.redraw import Redrawer
from hgg_pyg.viewing.splats import SplatLayer
from hgg_pyg.viewing.subject import ViewedSubject
from hgg_pyg.viewing.text import add_facts, complain, facts
from hgg_pyg.viewing.timeline import Timeline

if TYPE_CHECKING:
    from viser import ViserServer

OF_FRAME, DIRECT, REFINED = "of this frame", "avatar: direct binding", "avatar: after the read-out"
FITTED = "avatar: fitted to the images"
NOBODY = "none of them"
_PER_SECOND = 10.0  # pictures


class CapturePage:
    """Shows a subject as the controls have it.

    Args:
        server: that shows nothing yet.
        subject: with a network, or without.
        metres: that a pixel of its images spans at the person.
        fps: frames per second of the capture.
    """

    def __init__(self, server: ViserServer, subject: ViewedSubject, metres: float, fps: float = 30.0) -> None:
        self.server, self.subject, self._metres = server, subject, metres
        capture = subject.capture
        tell = partial(complain, server)
        self._redrawer = Redrawer(self.draw, tell, _PER_SECOND)
        ask, gui = self._redrawer.ask, server.gui
        self.eyes = Eyes(server, ask)
        self._stand()
        self._cameras = CameraLayer(server, capture, subject.source.cameras, self.eyes.at, self._step_into, tell)
        self._body = BodyLayer(server, subject.body.faces.numpy(), self._choose)
        self._bones = Bones(server, "/body/skeleton", subject.body.parents.tolist())
        self._splats = SplatLayer(server, "/gaussians")
        self._edges = EdgeLayer(server)
        self._paints = paints_of(subject)
        with gui.add_folder("Time"):
            self.timeline = Timeline(server, ask, len(capture.frames), fps)
            self._now = add_facts(gui, {})
        with gui.add_folder("Layers"):
            self.cameras = gui.add_checkbox("cameras", True)
            self.images = gui.add_dropdown("their images", get_args(Shown), initial_value="as filmed")
            names = (NOBODY, *(f"{number}: {name}" for number, name in enumerate(capture.camera_names)))
            self.through = gui.add_dropdown("look through", names, initial_value=NOBODY)
            self.body = gui.add_checkbox("body", True)
            self.vertices = gui.add_checkbox("vertices", False)
            self.skeleton = gui.add_checkbox("skeleton", False)
            self.gaussians = gui.add_checkbox("Gaussians", False)
            there = {
                OF_FRAME: True,
                DIRECT: True,
                REFINED: subject.network is not None,
                FITTED: subject.fit is not None,
            }
            kinds = tuple(kind for kind, is_there in there.items() if is_there)
            self.which = gui.add_dropdown("which of them", kinds, initial_value=OF_FRAME)
            self.sharpness = gui.add_slider("sharpness", 0.2, 3.0, 0.1, 1.0, hint="1: as sharp as its images were")
        with gui.add_folder("Paint"):
            self.paint = gui.add_dropdown("body with", tuple(self._paints), initial_value=NONE)
            self._legend = add_facts(gui, {})
        with gui.add_folder("Graph"):
            self.edges = gui.add_checkbox("edges of a vertex", False, hint="a click on the body chooses one")
            self.vertex = gui.add_number("vertex", 0, min=0, max=subject.body.num_vertices - 1, step=1)
            self._about_vertex = add_facts(gui, {})
        with gui.add_folder("About", expand_by_default=False):
            add_facts(gui, self._facts())
        self.through.on_update(lambda _: self._look_through())
        for control in (
            *(self.cameras, self.images, self.body, self.vertices, self.skeleton, self.gaussians),
            *(self.which, self.sharpness, self.paint, self.edges, self.vertex),
        ):
            control.on_update(lambda _: ask())
        if subject.frames:
            self.timeline.frame.value = subject.frames[0]
        ask()

    def start(self) -> None:
        """Draw from now on what the controls say."""
        self._redrawer.start()

    def close(self) -> None:
        """Draw no more."""
        self._redrawer.close()

    def draw(self) -> bool:
        """Draw what the controls say, now. -> whether time goes on, or images are to come

        Raises:
            UserError: a file is broken.
        """
        subject, frame = self.subject, self.timeline.now()
        vertices = subject.posed(frame).vertices[0].numpy()
        self.eyes.at = vertices.mean(0)
        self._now.content = facts(self._told(frame))
        self._draw_body(frame, vertices)
        self._draw_gaussians(frame)
        self._draw_edges(frame, vertices)
        if not self.cameras.value:
            self._cameras.hide()
            return self.timeline.running
        more = self._cameras.show(frame, self.images.value, self._camera)
        return more or self.timeline.running

    def _draw_body(self, frame: int, vertices: np.ndarray) -> None:
        colors = None
        if self.paint.value == NONE:
            self._legend.content = ""
        else:
            painted = self._paints[self.paint.value](self.subject, frame)
            colors = painted.colors
            self._legend.content = facts(painted.legend, painted.swatches)
        self._body.show(vertices, colors, self.body.value, self.vertices.value)
        if self.skeleton.value:
            self._bones.show(self.subject.joints(frame).numpy())
        else:
            self._bones.hide()

    def _draw_gaussians(self, frame: int) -> None:
        shown = self._shown_gaussians(frame) if self.gaussians.value else None
        if shown is None or not len(shown):
            self._splats.hide()
        else:
            self._splats.show(shown, self._metres / self.sharpness.value, self.eyes.pixel)

    def _draw_edges(self, frame: int, vertices: np.ndarray) -> None:
        if not self.edges.value:
            self._edges.hide()
            self._about_vertex.content = ""
            return
        subject, vertex = self.subject, int(self.vertex.value)
        in_clip = subject.frames.index(frame) if frame in subject.frames else None
        places = {VERTEX: vertices, GAUSSIAN: np.zeros((0, 3))}
        if in_clip is not None:
            places[GAUSSIAN] = subject.gaussians(frame).means.numpy()
        lines = edges_at(subject.graph, vertex, places, in_clip, subject.attention)
        self._edges.show(lines, vertices[vertex])
        told = {f"edges {name}": f"{len(sources):,} here" for name, (sources, _) in lines.items()}
        counts = sources_by_frame(subject.graph, BINDS, vertex, len(subject.frames))
        numbers = [subject.capture.frames[f] for f in subject.frames]
        told["Gaussians by frame"] = ", ".join(f"{n}: {c}" for n, c in zip(numbers, counts, strict=True))
        self._about_vertex.content = facts(told)

    @torch.no_grad()
    def _shown_gaussians(self, frame: int) -> Gaussians:
        """Those that are chosen, in the world and the pose of a frame. [M]"""
        subject = self.subject
        if self.which.value == OF_FRAME:
            return subject.gaussians(frame)
        if self.which.value == FITTED:
            posed = subject.fitted.avatar.repose(subject.body, subject.fitted_pose(frame))[0]
        else:
            avatar = subject.direct if self.which.value == DIRECT else subject.refined
            posed = avatar.repose(subject.body, subject.capture.poses[[frame]])[0]
        colors = gaussian_colors(subject, self.paint.value)
        return posed if colors is None else replace(posed, colors=colors)

    def _choose(self, vertex: int) -> None:
        self.vertex.value = vertex
        self.edges.value = True
        self._redrawer.ask()

    @property
    def _camera(self) -> int | None:
        """The one that is looked through."""
        chosen = self.through.value
        return None if chosen == NOBODY else int(chosen.split(":")[0])

    def _step_into(self, camera: int) -> None:
        self.through.value = f"{camera}: {self.subject.capture.camera_names[camera]}"

    def _look_through(self) -> None:
        """Put all eyes where the camera is, that was chosen."""
        if self._camera is not None:
            for client in self.server.get_clients().values():
                self._cameras.look_through(client, self.timeline.now(), self._camera)
        self._redrawer.ask()

    def _stand(self) -> None:
        """Half in front of the person, a little above, and outside of most cameras."""
        subject = self.subject
        poses = subject.capture.poses
        first = subject.frames[0] if subject.frames else 0
        vertices = subject.posed(first).vertices[0].numpy()
        up = up_of(poses.global_orient)
        front = rotation_matrices(poses.global_orient[first])[:, 2]
        front = torch.nn.functional.normalize(front - up * (front @ up), dim=0)
        towards = front + 0.5 * torch.linalg.cross(up, front) + 0.35 * up
        middle, along = vertices.mean(0), vertices @ up.numpy()
        cameras = np.linalg.norm(subject.capture.cameras.centers.numpy() - middle, axis=1)
        away = max(1.5 * float(np.median(cameras)), whole(float(np.ptp(along))))
        self.eyes.stand(middle, towards.numpy(), up.numpy(), away)

    def _told(self, frame: int) -> dict[str, str]:
        number = str(self.subject.capture.frames[frame])
        if frame not in self.subject.frames:
            return {"frame": number}
        return {"frame": f"{number}, one of the graph's" + (", its t0" if frame == self.subject.frames[0] else "")}

    def _facts(self) -> dict[str, str]:
        capture, subject = self.subject.capture, self.subject
        width, height = capture.size()
        return {
            "subject": capture.name,
            "layout": capture.layout,
            "frames": f"{len(capture.frames):,}",
            "frames of the graph": ", ".join(str(capture.frames[frame]) for frame in subject.frames),
            "cameras": f"{len(capture.cameras)}, of which the network sees {', '.join(subject.source.views)} (blue)",
            "images": f"{width}x{height} pixels",
            "body": subject.body.name,
            "relations": ", ".join(subject.spec.relations),
            "left out": "; ".join(map(str, capture.left_out)) or "nothing",
        }
