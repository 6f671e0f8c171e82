"""A model of several views: one picture of a person in, the same person from all around out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hgg_pyg.multiview.attention import Layout
from hgg_pyg.multiview.codecs import Codec
from hgg_pyg.multiview.embedding import Embedder
from hgg_pyg.multiview.network import predict
from hgg_pyg.multiview.posed_body import GUIDES
from hgg_pyg.multiview.views import ViewsConfig

NORMALS, COLOURS = 0, 1


@dataclass(frozen=True)
class Picture:
    """B pictures of a person each, cut out and placed, with drawings of the body for models that are guided."""

    rgb: Tensor  # [B, 3, S, S] on white in [0, 1]
    alpha: Tensor  # [B, 1, S, S]
    guides: Tensor | None = None  # [B, V, 6, S, S], see `draw_body`

    def to(self, device: torch.device | str) -> Picture:
        """The same on a device."""
        guides = None if self.guides is None else self.guides.to(device)
        return Picture(self.rgb.to(device), self.alpha.to(device), guides)


@dataclass(frozen=True)
class Drawn:
    """B people in V views."""

    rgb: Tensor  # [B, V, 3, S, S] on white in [0, 1]
    alpha: Tensor  # [B, V, 1, S, S]
    normals: Tensor | None  # [B, V, 3, S, S] as colours, in the input view's axes; None: not asked for


@dataclass(frozen=True)
class MultiViewModel:
    """The networks of a folder, and which views they draw."""

    unet: Any  # of `multi_view_unet`
    codec: Codec
    embedder: Embedder
    scheduler: Any  # DDIMScheduler of diffusers
    views: ViewsConfig

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return next(self.unet.parameters()).device

    def conditions(self, picture: Picture) -> tuple[Tensor, Tensor]:
        """What every step of a picture's views is shown: channels beside the noise, and a token.

        The input's latent, the same for all views; a guided model is shown it mirrored where it looks from behind, and
        the drawings as well, or zeros where there are none.

        Returns:
            [B, V, C, h, w], the latent's channels first, and [B, 1, E]
        """
        views, token = len(self.views.azimuths), self.embedder(picture.rgb)
        latent = self.codec.encode(picture.rgb, picture.alpha)
        shown = latent[:, None].expand(-1, views, -1, -1, -1)
        if not self.views.guided:
            return shown, token
        mirrored = self.codec.encode(picture.rgb.flip(-1), picture.alpha.flip(-1))
        behind = torch.tensor([90 < azimuth < 270 for azimuth in self.views.azimuths], device=latent.device)
        shown = torch.where(behind[None, :, None, None, None], mirrored[:, None], shown)
        shrink = picture.rgb.shape[-1] // latent.shape[-1]
        if picture.guides is None:
            drawn = latent.new_zeros(len(latent), views, GUIDES * shrink**2, *latent.shape[-2:])
        else:
            drawn = F.pixel_unshuffle(2 * picture.guides.flatten(0, 1) - 1, shrink).unflatten(0, (-1, views))
        return torch.cat([shown, drawn.to(shown)], 2), token

    def guesses(self, shown: Tensor, domain: int) -> Tensor:
        """What a guided model adds to: a first guess of each view, from what the model is shown. [B, V, C', h, w]

        Of colours the input, mirrored from behind; from the sides the body in the input's colours. Of normals the
        body's. Where the conditions are zeros, so are the guesses; those of a model that is not guided are all zeros.
        """
        latents = self.codec.channels
        if not self.views.guided:
            return shown.new_zeros(*shown.shape[:2], latents, *shown.shape[-2:])
        picture, drawn = shown[:, :, :latents], shown[:, :, latents:]
        shrink = round((drawn.shape[2] // GUIDES) ** 0.5)
        there = drawn.flatten(2).abs().amax(2)[:, :, None, None] > 0  # else they were left out
        colors = F.pixel_shuffle(drawn.flatten(0, 1), shrink).unflatten(0, shown.shape[:2])
        normals, colors = colors[:, :, :3], colors[:, :, 3:]
        alpha = torch.where(normals.amin(2, keepdim=True) < 0.99, 1.0, -1.0)  # no normal has three ones
        rgb = normals if domain == NORMALS else colors
        body = F.pixel_unshuffle(torch.cat([rgb, alpha], 2).flatten(0, 1), shrink).unflatten(0, shown.shape[:2])
        body = torch.where(there[..., None], body, 0.0)
        if domain == NORMALS:
            return body
        beside = torch.tensor([azimuth not in (0, 180) for azimuth in self.views.azimuths], device=shown.device)
        return torch.where(beside[None, :, None, None, None], body, picture)

    @torch.no_grad()
    def draw(
        self, picture: Picture, normals: bool = False, steps: int | None = None, guidance: float = 1.0, seed: int = 0
    ) -> Drawn:
        """Draw all views by DDIM (Song et al. 2021): the same picture and seed, the same views.

        Args:
            picture: B pictures on any device.
            normals: draw normals as well, as a network that was trained in both stages has learnt to draw colours.
            steps: of DDIM; by default the model's.
            guidance: weight of the conditions, 1 for none beyond what they say (Ho and Salimans 2022).
            seed: of the noise, which does not depend on the device.

        Returns:
            On the picture's device.
        """
        own, views, count = self.device, len(self.views.azimuths), len(picture.rgb)
        domains = (NORMALS, COLOURS) if normals else (COLOURS,)
        shown, token = self.conditions(picture.to(own))
        groups = [(shown, token)]
        if guidance != 1:  # within each domain the unconditional half comes first, so that the halves are the domains
            groups.insert(0, (torch.zeros_like(shown), torch.zeros_like(token)))
        guesses = torch.cat([self.guesses(part, domain).flatten(0, 1) for domain in domains for part, _ in groups])
        shown = torch.cat([part.flatten(0, 1) for part, _ in groups] * len(domains))
        tokens = torch.cat([part.repeat_interleave(views, 0) for _, part in groups] * len(domains))
        labels = torch.cat([self.views.labels([domain]).repeat(len(groups) * count, 1) for domain in domains]).to(own)
        generator = torch.Generator().manual_seed(seed)
        form = (len(domains), 1, views, self.codec.channels, *shown.shape[-2:])  # every person gets the same noise
        latents = torch.randn(form, generator=generator).expand(-1, count, *form[2:])
        latents = latents.reshape(-1, *form[3:]).to(own) * self.scheduler.init_noise_sigma
        self.scheduler.set_timesteps(steps or self.views.steps)
        layout = Layout(views, len(domains))
        for time in self.scheduler.timesteps:
            noisy = torch.cat([latents.unflatten(0, (len(domains), -1))] * len(groups), 1).flatten(0, 1)
            times = torch.full((len(noisy),), int(time), device=own)
            with torch.autocast(own.type, torch.bfloat16, enabled=own.type == "cuda"):
                said = predict(self.unet, torch.cat([noisy, shown], 1), times, tokens, labels, layout).float()
            said = said + guesses
            if guidance != 1:
                without, given = said.unflatten(0, (len(domains), 2, -1)).unbind(1)
                said = (without + guidance * (given - without)).flatten(0, 1)
            again = torch.randn(form, generator=generator).expand(-1, count, *form[2:]).reshape(latents.shape).to(own)
            latents = self.scheduler.step(
                said, int(time), latents, eta=self.views.eta, variance_noise=again if self.views.eta > 0 else None
            ).prev_sample
        rgb, alpha = (
            part.unflatten(0, (len(domains), count, views)).to(picture.rgb) for part in self.codec.decode(latents)
        )
        return Drawn(rgb[-1], alpha[-1], rgb[0] if normals else None)
