"""The stages from a clip's images to an avatar, and of a training step: each as work that can be timed by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.floors import Work
from benchmarks.rates import count_flops, num_bytes
from benchmarks.timing import Work as Call
from hgg_pyg.avatar import BoundAvatar
from hgg_pyg.data.clip_input import graph_for, load_clip
from hgg_pyg.data.clips import even_frames, input_range
from hgg_pyg.data.frames import FrameSource, side_by_side
from hgg_pyg.model.direct_binding import as_avatar
from hgg_pyg.model.network import HGGNet
from hgg_pyg.render import render
from hgg_pyg.training.losses import rendering_loss
from hgg_pyg.training.run import TrainConfig
from hgg_pyg.training.trainer import Trainer
from hgg_pyg.types import Gaussians, RenderOutput

WHOLE_AVATAR = "images to avatar, all at once"


@dataclass(frozen=True)
class Stage:
    """One stage: what it does, and the least that this takes: bytes of what it is given and of what it gives."""

    name: str
    forward: Call
    needs: Work
    backward: Call | None = None
    backward_needs: Work | None = None


def avatar_stages(source: FrameSource, config: TrainConfig, network: HGGNet) -> list[Stage]:
    """From T frames' files to an avatar, as `evaluate` goes; the last stage is all of it at once."""
    inputs = even_frames(0, input_range(source.capture), config.clip.frames)
    moments = [source.moment(frame) for frame in inputs]
    pixels = [moment.pixels() for moment in moments]
    decoded = [replace(moment, read=partial(_given, pair)) for moment, pair in zip(moments, pixels, strict=True)]
    gaussians = source.predict_all(inputs)
    load = partial(load_clip, source, inputs, config.graph, images=network.feedback, gaussians=gaussians)
    clip = load()
    told = graph_for(clip, network)
    bodies = num_bytes([(moment.vertices, moment.vertex_transforms) for moment in moments])
    seen, found = num_bytes(pixels), num_bytes(gaussians)

    def whole() -> BoundAvatar:
        predicted = source.predict_all(inputs)
        loaded = load_clip(source, inputs, config.graph, images=network.feedback, gaussians=predicted)
        return network.avatar(graph_for(loaded, network))

    refine = torch.no_grad()(lambda: network(told))
    given = num_bytes([told, list(network.parameters())])

    def each(function: Callable, items: Iterable) -> Call:
        def work() -> list:
            with side_by_side(source.backbone) as pool:
                return list(pool.map(function, items))

        return work

    stages = [
        Stage("decode images and masks", each(lambda moment: moment.pixels(), moments), Work(seen)),
        Stage("pose the body", each(source.moment, inputs), Work(bodies)),
        Stage("per-frame network", each(source.backbone, decoded), Work(seen + bodies + found)),
        Stage("graph", load, Work(found + num_bytes([clip.graph, clip.images]))),
        Stage("feedback", lambda: graph_for(clip, network), Work(num_bytes(clip.images))),
        Stage("network", refine, Work(given + num_bytes(refine()), count_flops(refine))),
    ]
    least = sum((stage.needs for stage in stages), Work(0))
    return [*stages, Stage(WHOLE_AVATAR, torch.no_grad()(whole), least)]


def training_stages(trainer: Trainer) -> list[Stage]:
    """What training does with a clip, forward and backward.

    A backward pass starts from gradients of ones and ends at what the stage before gave. It reads what the forward
    pass was given and the gradients of what that gave, and writes gradients of the former.
    """
    network = trainer.network
    item = trainer.load(np.random.default_rng(0))
    graph = graph_for(item.told, network)
    parameters = list(network.parameters())
    refined = network(graph)
    leaf = _leaf(refined)
    avatar = as_avatar(leaf, graph)
    truth = item.rgb.flatten(0, 1), item.alpha.flatten(0, 1)

    def pose() -> Gaussians:
        return avatar.repose(trainer.body, item.poses)

    posed = pose()
    posed_leaf = _leaf(posed)

    def draw() -> RenderOutput:
        return render(posed_leaf, item.cameras)

    rendered = draw()
    images = rendered.map(lambda found: found.flatten(0, 1).detach().requires_grad_())

    def compare() -> Tensor:
        return rendering_loss(images, *truth, trainer.config.loss, trainer.lpips)

    # Of a copy: weights that change would spoil the network's backward pass.
    optimizer = deepcopy(trainer.optimizer.optimizer)
    copies = optimizer.param_groups[0]["params"]

    def update() -> None:
        for parameter in copies:
            parameter.grad = torch.zeros_like(parameter)
        torch.nn.utils.clip_grad_norm_(copies, trainer.config.clip_norm)
        optimizer.step()

    given, weights, made = num_bytes(graph), num_bytes(parameters), num_bytes(refined)
    bodies, shown = num_bytes(posed), num_bytes(images)
    network_flops, loss_flops = count_flops(lambda: network(graph)), count_flops(compare)
    read = num_bytes([item.told.graph, item.told.images, truth])
    return [
        Stage("load (on a thread of its own)", lambda: trainer.load(np.random.default_rng(0)), Work(read)),
        Stage("feedback", lambda: graph_for(item.told, network), Work(num_bytes(item.told.images))),
        Stage(
            "network", lambda: network(graph), Work(given + weights + made, network_flops),
            _backward(_tensors(refined), parameters), Work(given + 2 * weights + made, 2 * network_flops),
        ),
        Stage(
            "pose the avatar", pose, Work(made + bodies),
            _backward(_tensors(pose()), _tensors(leaf)), Work(2 * made + bodies),
        ),
        Stage(
            "render", draw, Work(bodies + shown),
            _backward(_tensors(rendered), _tensors(posed_leaf)), Work(2 * bodies + shown),
        ),
        Stage(
            "loss", compare, Work(2 * shown, loss_flops),
            _backward([compare()], _tensors(images)), Work(3 * shown, 2 * loss_flops),
        ),
        Stage("clip gradients and step", update, Work(6 * weights)),
    ]  # fmt: skip


def _given(pair: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return pair


def _leaf(gaussians: Gaussians) -> Gaussians:
    return gaussians.map(lambda tensor: tensor.detach().requires_grad_())


def _tensors(record: Gaussians | RenderOutput) -> list[Tensor]:
    """The tensors of a record that have a gradient."""
    values = [getattr(record, field.name) for field in fields(record)]
    return [value for value in values if isinstance(value, Tensor) and value.requires_grad]


def _backward(outputs: Sequence[Tensor], inputs: Sequence[Tensor]) -> Call:
    """The backward pass of what has been computed, as often as it is called."""
    grads = [torch.ones_like(output) for output in outputs]
    return lambda: torch.autograd.grad(outputs, inputs, grads, retain_graph=True, allow_unused=True)
