"""Training a front by noise: in the mixed stage normals or colours alone, in the joint stage what joins them."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from tqdm import tqdm

from hgg_pyg.data.people import NOBODY
from hgg_pyg.evaluation.metrics import psnr
from hgg_pyg.finetuning.multiview.config import MultiviewConfig
from hgg_pyg.finetuning.multiview.examples import Batch, Example, ExampleLoader, recolor, stack
from hgg_pyg.multiview.attention import Layout
from hgg_pyg.multiview.model import COLOURS, NORMALS, MultiViewModel, Picture
from hgg_pyg.multiview.network import is_joint, predict
from hgg_pyg.training.checkpoint import StepRecord
from hgg_pyg.training.loop import TrainingLoop
from hgg_pyg.types import UserError

_WARM_UP = 100  # steps
_MOST_SNR = 5.0  # min-SNR weighting (Hang et al. 2023), as Wonder3D has it


class Averaged(nn.Module):
    """The network that is trained, and the running average of its weights, which is what is kept."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet, self.average = unet, copy.deepcopy(unet).requires_grad_(False)

    def forward(self, noisy: Tensor, time: Tensor, tokens: Tensor, labels: Tensor, layout: Layout) -> Tensor:
        """See `predict`; with one domain the attention across domains takes part with nothing, for its gradient."""
        said = predict(self.unet, noisy, time, tokens, labels, layout)
        if layout.domains == 1 and self.training:
            said = said + 0 * torch.stack([p.sum() for n, p in self.unet.named_parameters() if is_joint(n)]).sum()
        return said

    @torch.no_grad()
    def follow(self, share: float) -> None:
        """Move the average towards the weights, keeping so much of it."""
        for mean, weight in zip(self.average.parameters(), self.unet.parameters(), strict=True):
            mean.lerp_(weight, 1 - share)


class ViewsTuner(TrainingLoop[Batch]):
    """Trains a model's U-Net on examples; its VAE and CLIP stay as they are.

    An item is noised by one step of the schedule for all views of a person and, in the joint stage, one for each
    domain. The loss is the squared error of what the network is to say (the noise, or for micro the picture), the
    noise's weighted by min(SNR, 5) / SNR.

    Raises:
        UserError: all examples show nobody, which is found when they are read.
    """

    def __init__(
        self,
        config: MultiviewConfig,
        accelerator: Accelerator,
        model: MultiViewModel,
        loader: ExampleLoader,
        train: Sequence[Example],
        val: Sequence[Example],
    ) -> None:
        self.config, self.loader, self.train, self.val = config, loader, train, val
        self.views = model
        self.empty: set[int] = set()
        self.joint = config.joint_steps == config.steps
        for part in (getattr(model.codec, "vae", None), getattr(model.embedder, "encoder", None)):
            if part is not None:
                part.to(accelerator.device)
        averaged = Averaged(model.unet.requires_grad_(True))
        for name, weight in averaged.unet.named_parameters():
            if not is_joint(name):  # the joint stage leaves it alone, and clips by the norm of the others
                weight.register_hook(lambda gradient: gradient * 0 if self.joint else gradient)
        super().__init__(config, accelerator, averaged, unit="batch")

    @property
    def trained(self) -> MultiViewModel:
        """The model with the average of its weights."""
        averaged: Averaged = self.accelerator.unwrap_model(self.model)
        return replace(self.views, unet=averaged.average)

    def make_optimizer(self, model: nn.Module) -> Optimizer:
        """AdamW on three groups: the labels' embedding, all else, and the attention across domains."""
        assert isinstance(model, Averaged)
        config, groups = self.config, ([], [], [])
        for name, weight in model.unet.named_parameters():
            groups[2 if is_joint(name) else 0 if name.startswith("class_embedding.") else 1].append(weight)
        rates = (config.lr * config.label_lr, config.lr, config.joint_lr)
        options: Any = [{"params": group, "lr": rate} for group, rate in zip(groups, rates, strict=True)]
        return torch.optim.AdamW(options, betas=(0.9, 0.999), weight_decay=config.weight_decay, fused=True)

    def make_scheduler(self, optimizer: Optimizer) -> LRScheduler:
        """Each stage moves its own groups alone: the others' rate is zero."""
        mixed, falling = self.config.steps - self.config.joint_steps, self.config.schedule == "falling"

        def before(step: int) -> float:
            if step >= mixed:
                return 0.0
            rise = min(1.0, (step + 1) / min(_WARM_UP, 0.1 * mixed + 1))
            return rise * (0.5 + 0.5 * math.cos(math.pi * step / mixed)) if falling else rise

        def after(step: int) -> float:
            return 0.0 if step < mixed else min(1.0, (step - mixed + 1) / _WARM_UP)

        return LambdaLR(optimizer, [before, before, after])

    def train_step(self, step: int, items: Iterator[Batch], bar: tqdm) -> StepRecord | None:
        """See `TrainingLoop`; then the average follows."""
        self.joint = step >= self.config.steps - self.config.joint_steps
        record = super().train_step(step, items, bar)
        if record is not None:
            averaged: Averaged = self.accelerator.unwrap_model(self.model)
            averaged.follow(min(self.config.average, (step + 1) / (step + 10)))
        return record

    def load(self, rng: np.random.Generator) -> Batch:
        """Random people in random frames, each with a random one of its front views.

        Raises:
            UserError: all of them show nobody.
        """
        parts: list[Batch] = []
        while len(parts) < self.config.batch:
            if len(self.empty) == len(self.train):
                raise UserError(f"{self.config.captures}: expected a frame that can be used, found none: {NOBODY}")
            number = int(rng.integers(len(self.train)))
            person = self.loader.read(self.train[number])
            if person is None:
                self.empty.add(number)
            else:
                parts.append(recolor(person, rng) if rng.random() < self.config.recolor else person)
        return stack(parts)

    def loss(self, item: Batch) -> tuple[Tensor, Tensor]:
        """The loss of a batch and the PSNR of its pictures, in what the network is noised in (range 2)."""
        own, model, count = self.accelerator.device, self.views, len(item.rgb)
        views = len(model.views.azimuths)
        domains = (NORMALS, COLOURS) if self.joint else (COLOURS,)
        normals = torch.rand(count) < self.config.normals  # by person, in the mixed stage
        with torch.no_grad():
            picture = item.picture.to(own)
            shown, token = self._leave_out(picture, *model.conditions(picture))
            targets, labels, guesses = [], [], []
            for domain in domains:
                use = (
                    normals.to(own)[:, None, None, None, None]
                    if not self.joint
                    else torch.tensor(domain == NORMALS, device=own)
                )
                rgb = torch.where(use, item.normals.to(own), item.rgb.to(own)).flatten(0, 1)
                alpha = torch.where(use, item.body.to(own), item.alpha.to(own)).flatten(0, 1)
                targets.append(model.codec.encode(rgb, alpha, sample=True))
                guesses.append(
                    torch.where(use, model.guesses(shown, NORMALS), model.guesses(shown, COLOURS)).flatten(0, 1)
                )
                kinds = normals if not self.joint else [domain == NORMALS] * count
                labels += [model.views.labels([NORMALS if normal else COLOURS]) for normal in kinds]
            target, groups = torch.cat(targets), count * len(domains)
            most = model.scheduler.config.num_train_timesteps
            time = (most * torch.rand(groups) ** (1 / self.config.noisy)).long().clamp_max(most - 1)
            time = time.repeat_interleave(views).to(own)
            noise = torch.randn(target.shape).to(own)
            noisy = model.scheduler.add_noise(target, noise, time)
            conditions = shown.flatten(0, 1).repeat(len(domains), 1, 1, 1)
            tokens = token.repeat_interleave(views, 0).repeat(len(domains), 1, 1)
        layout = Layout(views, len(domains))
        said = self.model(torch.cat([noisy, conditions], 1), time, tokens, torch.cat(labels).to(own), layout).float()
        said = said + torch.cat(guesses)
        kept = model.scheduler.alphas_cumprod.to(own)[time][:, None, None, None]
        kind, weight = model.scheduler.config.prediction_type, 1.0
        if kind == "sample":
            wanted, estimate = target, said
        else:
            ratio = kept / (1 - kept).clamp_min(1e-8)
            if kind == "epsilon":
                wanted, weight = noise, ratio.clamp_max(_MOST_SNR) / ratio.clamp_min(1e-8)
                estimate = (noisy - (1 - kept).sqrt() * said) / kept.sqrt().clamp_min(1e-4)
            else:
                wanted, weight = (
                    model.scheduler.get_velocity(target, noise, time),
                    ratio.clamp_max(_MOST_SNR) / (ratio + 1),
                )
                estimate = kept.sqrt() * noisy - (1 - kept).sqrt() * said
        loss = (weight * (said - wanted).square()).mean()
        error = (estimate.detach() - target).square().flatten(1).mean(1)
        return loss, (-10 * (error / 4).clamp_min(1e-10).log10()).mean()

    def _leave_out(self, picture: Picture, shown: Tensor, token: Tensor) -> tuple[Tensor, Tensor]:
        """Zeros in the place of some conditions: of the token, of the picture, of both, or of the drawings."""
        rate, latents = self.config.drop, self.views.codec.channels
        chance = torch.rand(len(token), 1, 1).to(token)
        token = torch.where(chance < 2 * rate, 0.0, token)
        chance = chance[..., None, None]
        parts = [torch.where((chance >= rate) & (chance < 3 * rate), 0.0, shown[:, :, :latents])]
        if shown.shape[2] > latents:
            parts.append(torch.where((chance >= 3 * rate) & (chance < 5 * rate), 0.0, shown[:, :, latents:]))
        return torch.cat(parts, 2), token

    @torch.no_grad()
    def validate(self) -> float | None:
        """PSNR of the validation subject's views but the front, in its middle frame, dB."""
        if not self.val or not self.accelerator.is_main_process:
            return None
        person = self.loader.read(self.val[len(self.val) // 2])
        if person is None:
            return None
        drawn = self.trained.draw(person.picture)
        truth = person.rgb[0, 1:].permute(0, 2, 3, 1)
        return float(psnr(drawn.rgb[0, 1:].permute(0, 2, 3, 1), truth).mean())
