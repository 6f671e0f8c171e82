"""Novel views and novel poses of test subjects: ours, direct binding and others on the same images, one convention."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from graphs import GraphSpec
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.capture import Capture
from hgg_pyg.data.choosing import EVEN, even_frames
from hgg_pyg.data.clip_input import graph_of
from hgg_pyg.data.clips import Target, input_range, load_target
from hgg_pyg.data.frames import FrameSource, input_frames
from hgg_pyg.data.mending import mended_source
from hgg_pyg.evaluation.drawn_views import DrawnViews, drawn_views
from hgg_pyg.evaluation.lpips import LEAST_SIZE as LPIPS_SIZE
from hgg_pyg.evaluation.lpips import LPIPS
from hgg_pyg.evaluation.metrics import LEAST_SIZE
from hgg_pyg.evaluation.reporting import Gallery, ImageFolder, Report, Shot, Timing
from hgg_pyg.evaluation.reporting.image_folder import SavedImages, Wanted
from hgg_pyg.evaluation.reporting.plan import make_plan, wanted_image
from hgg_pyg.evaluation.reporting.report import DIRECT, MENDED, OURS, TASKS
from hgg_pyg.evaluation.scorer import Scorer
from hgg_pyg.evaluation.scores import ImageScore
from hgg_pyg.evaluation.test_poses import SubjectPoses, TestPoses
from hgg_pyg.model.direct_binding import DirectBinding
from hgg_pyg.model.network import HGGNet
from hgg_pyg.refine import RefineConfig, refine_pass
from hgg_pyg.refine.blank import MOST, optimise
from hgg_pyg.render import render
from hgg_pyg.types import BodyPose, Cameras, Gaussians, UserError

METHODS = (DIRECT, OURS)
_AT_ONCE = 8  # images that are rendered and scored together: bounds the memory
_RENDERS = 3  # of each avatar, for frames per second
_SHOWN_SUBJECTS = 12  # evenly spaced, of which two images a task go into sheet.png: bounds the memory, and the sheet

Result = TypeVar("Result")


@dataclass(frozen=True)
class Contender:
    """A trained model, and the clips that it makes avatars of."""

    name: str
    model: HGGNet | DirectBinding
    spec: GraphSpec  # of the graphs that it was trained on
    frames: int  # T
    choose: str = EVEN  # which T of them
    refine: RefineConfig | None = None  # the fit after its forward pass, to the input images; none if None
    blank: bool = False  # fitted from nothing: without a forward pass, with as many Gaussians as ours or fewer
    sources: Mapping[str, FrameSource] | None = None  # by subject: other input cameras of the same frames


@dataclass(frozen=True)
class Extras:
    """What an evaluation does beside PSNR and SSIM of whole images of direct binding and ours."""

    regions: bool = True  # the mask's and the box's PSNR and SSIM too
    timing: bool = True  # seconds to an avatar, frames per second
    shown: int = 4  # images of each kind and task that are kept to be looked at
    lpips: tuple[LPIPS, ...] = ()
    also: tuple[Contender, ...] = ()  # models on the same per-frame Gaussians
    folders: tuple[ImageFolder, ...] = ()  # images that other methods drew
    allow_missing: bool = False  # leave out, for all methods, images that are missing in a folder
    remarks: tuple[str, ...] = ()  # of the model, for whoever reads the numbers
    save_images: Path | None = None  # where ground truth and renders go, laid out as `folders` are
    poses: TestPoses = field(default_factory=TestPoses)  # how poses are known


LEAN = Extras(regions=False, timing=False, shown=0)


@torch.no_grad()
def evaluate(
    model: HGGNet,
    sources: Sequence[FrameSource],
    spec: GraphSpec,
    frames: int,
    limit: int | None = None,
    seen_in_training: bool = False,
    extras: Extras = Extras(),
    choose: str = EVEN,
) -> Report:
    """Score a model, direct binding and others on the same Gaussians, cameras and images.

    Tasks without images are left out, and the report says so.

    Args:
        model: on any device; everything is rendered and scored there.
        sources: test captures, one body for all.
        spec: the graph that the model was trained on.
        frames: T.
        limit: images per subject and task at most.
        seen_in_training: what to say of the subjects.
        extras: what else to do; `LEAN` for the least.
        choose: which T frames, see `hgg_pyg.data.choosing`.

    Raises:
        UserError: images are too small to be scored, a folder of images lacks some or has wrong ones, a file is broken.
    """
    return _Evaluation(model, sources, spec, frames, limit, extras, choose).run(seen_in_training)


@dataclass(frozen=True)
class _Built:
    """An avatar, the poses of its input frames by which it was made, and the seconds from the images on."""

    avatar: BoundAvatar
    frames: Sequence[int]  # T, by position
    poses: BodyPose  # T
    seconds: float


class _Evaluation:
    """One evaluation under way."""

    def __init__(
        self,
        model: HGGNet,
        sources: Sequence[FrameSource],
        spec: GraphSpec,
        frames: int,
        limit: int | None,
        extras: Extras,
        choose: str,
    ) -> None:
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.sources, self.extras = sources, extras
        ours = Contender(OURS, model, spec, frames, choose)
        self.contenders = (Contender(DIRECT, DirectBinding(), spec.direct(), 1), ours, *extras.also)
        for contender in self.contenders:
            contender.model.to(self.device).eval()
        self.methods = (*(contender.name for contender in self.contenders), *(f.name for f in extras.folders))
        self.body = sources[0].body.on(self.device)
        self.gallery = Gallery(extras.shown)
        self.typical = {sources[i].capture.name for i in even_frames(0, len(sources), _SHOWN_SUBJECTS)}
        self.images: list[ImageScore] = []
        self.drawn: list[DrawnViews] = []
        self.notes: list[str] = [*extras.remarks, *extras.poses.notes]
        self.build_seconds: dict[str, list[float]] = {contender.name: [] for contender in self.contenders}
        self.render_seconds: dict[str, list[float]] = {contender.name: [] for contender in self.contenders}
        sizes = [source.capture.size() for source in sources]
        least = min(min(size) for size in sizes)
        if least < LEAST_SIZE:
            raise UserError(f"images: expected at least {LEAST_SIZE} pixels per side to be scored, found {least}")
        self.lpips = extras.lpips if least >= LPIPS_SIZE else ()
        if len(self.lpips) < len(extras.lpips):
            self.notes.append(f"LPIPS is not computed: it takes {LPIPS_SIZE} pixels per side, the images have {least}")
        for network in self.lpips:
            network.to(self.device)
        self.scorer = Scorer(self.lpips, extras.regions)
        if len(self.typical) < len(sources) and extras.shown:
            self.notes.append(f"sheet.png shows {len(self.typical)} of {len(sources)} subjects, evenly spaced")
        self.plan = make_plan(sources, frames, limit, extras.folders, extras.allow_missing, choose)
        self.notes += self.plan.notes
        self.notes += [f"{source.capture.name}: {item}" for source in sources for item in source.left_out]
        self.saved = None if extras.save_images is None else SavedImages(extras.save_images)

    def run(self, seen_in_training: bool) -> Report:
        """Go over all subjects."""
        for i, source in enumerate(tqdm(self.sources, desc="evaluating", unit="subject", leave=False)):
            if i == 0 and self.extras.timing:  # kernels are compiled, or loaded, before anything is timed
                warm = self._build(source, self.contenders[1], {}, 1).avatar
                self._render(warm, source.capture.poses[[0]], source.capture.views(0, [0]))
            predicted: dict[Path, dict[tuple[int, ...], tuple[list[Gaussians], float]]] = {}
            avatars = []
            if source.capture.name in self.typical and self.extras.shown:
                first = even_frames(0, input_range(source.capture), 1)[0]
                self.drawn += filter(None, [drawn_views(source, first)])
            poses = SubjectPoses.of(self.extras.poses, source)
            for contender in self.contenders:
                seen = poses.estimated
                if contender.sources is not None:
                    seen = self.extras.poses.estimated(contender.sources[source.capture.name])
                if contender.blank and contender.refine is not None:
                    built = self._optimise(seen, contender, len(avatars[1].gaussians), contender.refine)
                else:
                    known = predicted.setdefault(seen.folder, {})
                    built = self._build(seen, contender, known, contender.frames)
                avatars.append(built.avatar)
                poses.keep(contender.name, built.frames, built.poses)
                if self.extras.timing:
                    self.build_seconds[contender.name].append(built.seconds)
                    self.render_seconds[contender.name] += self._time_rendering(built.avatar, source.capture)
            if MENDED in self.extras.poses.tasks:
                self._mend(poses, avatars)
            for task in self.extras.poses.tasks:
                self._score_task(task, poses, avatars)
        if self.saved is not None:
            self.saved.close()
        timings = [
            Timing(name, float(np.median(seconds)), 1 / float(np.median(self.render_seconds[name])))
            for name, seconds in self.build_seconds.items()
            if seconds
        ]
        gpu = self.device.type == "cuda"
        return Report(
            images=tuple(self.images),
            methods=self.methods,
            timings=tuple(timings),
            gallery=self.gallery,
            seen_in_training=seen_in_training,
            region=_region([source.capture for source in self.sources]),
            device=torch.cuda.get_device_name(self.device) if gpu else f"CPU, {torch.get_num_threads()} threads",
            lpips=tuple(network.network for network in self.lpips),
            notes=tuple(self.notes),
            drawn=tuple(self.drawn),
            texts=self.extras.poses.texts,
        )

    def _build(
        self,
        source: FrameSource,
        contender: Contender,
        predicted: dict[tuple[int, ...], tuple[list[Gaussians], float]],
        frames: int,
    ) -> _Built:
        """An avatar of a subject; per-frame Gaussians of frames that another contender had too are computed once.

        Args:
            source: the subject.
            contender: who makes it.
            predicted: Gaussians of several frames and the seconds that they took together, filled.
            frames: T.
        """
        inputs = input_frames(source, frames, contender.choose)
        model = contender.model
        mended, mending = self._timed(partial(mended_source, source, inputs, model))
        if mended is not source:
            gaussians, before = self._timed(partial(mended.predict_all, inputs))
        else:
            if inputs not in predicted:
                predicted[inputs] = self._timed(partial(source.predict_all, inputs))
            gaussians, before = predicted[inputs]

        def forward(source: FrameSource, gaussians: Sequence[Gaussians] | None = None) -> BoundAvatar:
            return model.avatar(graph_of(source, inputs, contender.spec, model, self.device, gaussians))

        def make() -> tuple[BoundAvatar, BodyPose]:
            first = forward(mended, gaussians)
            if contender.refine is None:
                return first, mended.capture.poses[list(inputs)]
            fit = refine_pass(first, forward, mended, inputs, contender.refine, not model.mend)
            return fit.avatar, fit.poses

        (avatar, poses), seconds = self._timed(make)
        return _Built(avatar, inputs, poses, mending + before + seconds)

    def _optimise(self, source: FrameSource, contender: Contender, count: int, config: RefineConfig) -> _Built:
        inputs = input_frames(source, contender.frames, contender.choose)
        here = replace(source, body=self.body)
        fit, seconds = self._timed(lambda: optimise(here, inputs, min(count, MOST), config))
        return _Built(fit.avatar, inputs, fit.poses, seconds)

    def _timed(self, work: Callable[[], Result]) -> tuple[Result, float]:
        begin = time.perf_counter()
        result = work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return result, time.perf_counter() - begin

    def _time_rendering(self, avatar: BoundAvatar, capture: Capture) -> list[float]:
        frame = len(capture.frames) - 1
        camera = capture.views(frame, [0])
        pose = capture.poses[[frame]]
        return [self._timed(partial(self._render, avatar, pose, camera))[1] for _ in range(_RENDERS)]

    def _render(self, avatar: BoundAvatar, pose: BodyPose, cameras: Cameras) -> Tensor:
        """An avatar in one pose. [V, H, W, 3] in [0, 1], on the device"""
        posed = avatar.repose(self.body, pose.to(self.device))
        return render(posed[0], cameras.to(self.device)).rgb.clamp(0, 1)

    def _mend(self, poses: SubjectPoses, avatars: Sequence[BoundAvatar]) -> None:
        """Mend the poses of the frames after the input range by each method's avatar."""
        name = poses.true.capture.name
        targets = self.plan.targets[name, TASKS[1]]
        for contender, avatar in zip(self.contenders, avatars, strict=True):
            with torch.enable_grad():
                left = poses.mend(contender.name, avatar, targets)
            if left and contender is self.contenders[0]:
                self.notes.append(f"{name}: {left} poses are not mended: no other input image shows the person")

    def _score_task(self, task: str, poses: SubjectPoses, avatars: Sequence[BoundAvatar]) -> None:
        capture = poses.true.capture
        planned = task if task in TASKS else TASKS[1]
        targets = [part for target in self.plan.targets[capture.name, planned] for part in _parts(target)]
        total = sum(len(target.cameras) for target in targets)
        typical = set(even_frames(0, total, 2)) if total and capture.name in self.typical else set()
        done = 0
        for target in targets:
            cameras, truth, alpha = load_target(capture, target)
            truth, alpha = truth.to(self.device), alpha.to(self.device)
            names = [wanted_image(capture, task, target.frame, camera) for camera in target.cameras]
            rendered: list[Tensor | None] = []
            for contender, avatar in zip(self.contenders, avatars, strict=True):
                own = [poses.of_image(task, contender.name, target.frame, camera) for camera in target.cameras]
                # Poses of one frame are one and the same object but where input cameras are mended for.
                groups = {id(pose): pose for pose in own}
                images = {key: self._render(avatar, pose, cameras) for key, pose in groups.items()}
                rendered.append(torch.stack([images[id(pose)][i] for i, pose in enumerate(own)]))
            for folder in self.extras.folders:
                if task not in TASKS or (folder.name, task) in self.plan.absent:
                    rendered.append(None)
                    continue
                rendered.append(torch.from_numpy(np.stack([folder.read(name) for name in names])).to(self.device))
            rows = self.scorer(rendered, truth, alpha)
            after = target.frame - input_range(capture) + 1
            for i, name in enumerate(names):
                psnrs: list[float | None] = []
                for method, row in zip(self.methods, rows, strict=True):
                    psnrs.append(None if row is None else row[i].psnr)
                    if row is not None:
                        about = {"subject": name.subject, "task": task, "camera": name.camera, "frame": name.frame}
                        self.images.append(ImageScore(**vars(row[i]), **about, method=method, after=after))
                direct, ours = psnrs[:2]
                assert direct is not None
                assert ours is not None
                make = partial(_shot, name, i, truth, rendered, tuple(psnrs))
                self.gallery.offer(task, direct, ours, make, done + i in typical)
            if self.saved is not None and task in TASKS:
                shown = zip(("ground truth", *self.methods), (truth, *rendered), strict=True)
                images = {method: images for method, images in shown if images is not None}
                for method in ("ground truth", *(contender.name for contender in self.contenders)):
                    self.saved.add_images(method, names, _to_bytes(images[method]))
                self.saved.add_cameras(names, cameras)
            done += len(names)


def _parts(target: Target) -> Iterator[Target]:
    for first in range(0, len(target.cameras), _AT_ONCE):
        yield Target(target.frame, target.cameras[first : first + _AT_ONCE])


def _to_bytes(images: Tensor) -> np.ndarray:
    return (images.clamp(0, 1) * 255).round().byte().cpu().numpy()


def _shot(
    name: Wanted, i: int, truth: Tensor, rendered: Sequence[Tensor | None], psnr: tuple[float | None, ...]
) -> Shot:
    rendered_bytes = tuple(None if images is None else _to_bytes(images[i]) for images in rendered)
    return Shot(name.task, name.subject, name.camera, name.frame, _to_bytes(truth[i]), rendered_bytes, psnr)


def _region(captures: Sequence[Capture]) -> str:
    sizes = list(dict.fromkeys(capture.size() for capture in captures))
    shown = "the whole image" if captures[0].windows is None else "a square around the person"
    return f"{', '.join(f'{width}x{height}' for width, height in sizes[:3])} pixels, {shown}"
