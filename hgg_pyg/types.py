"""The types that cross package boundaries. Metres; OpenCV cameras; quaternions wxyz; linear scales; opacities 0..1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


class UserError(Exception):
    """A mistake in what the user gave us: commands print its one line and exit with code 2."""


class NotFiniteError(UserError, ValueError):
    """Numbers of ours are NaN or infinite, after a run that has diverged for example."""


class _TensorRecord:
    """Moving and converting, shared by the frozen dataclasses of tensors below."""

    def map(self, function: Any) -> Self:
        """A copy with `function` applied to every tensor field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return replace(self, **{k: function(v) for k, v in values.items() if isinstance(v, Tensor)})  # type: ignore[type-var]

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """A copy with `Tensor.to` applied to every tensor field (all of them are floating point)."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))

    def detach(self) -> Self:
        """A copy cut from the autograd graph."""
        return self.map(Tensor.detach)


@dataclass(frozen=True)
class Gaussians(_TensorRecord):
    """M anisotropic 3D Gaussians (Eq. 2), the names and meanings gsplat uses.

    Leading dimensions may stand before M, the same ones on every field.

    Raises:
        ValueError: a field's shape does not fit `means`.
    """

    means: Tensor  # [..., M, 3] metres
    quats: Tensor  # [..., M, 4] wxyz, normalised where they are used
    scales: Tensor  # [..., M, 3] standard deviations in metres
    opacities: Tensor  # [..., M] in [0, 1]
    colors: Tensor  # [..., M, 3] RGB, or any channels; or coefficients of spherical harmonics [..., M, K, 3]
    features: Tensor | None = None  # [..., M, C] what the per-frame network knows of each Gaussian

    def __post_init__(self) -> None:
        lead = tuple(self.means.shape[:-1])
        per_view = self.colors.ndim == len(lead) + 2
        colors = ("colors", (-1, -1) if per_view else (-1,))
        for name, tail in (("means", (3,)), ("quats", (4,)), ("scales", (3,)), ("opacities", ()), colors):
            shape = tuple(getattr(self, name).shape)
            fits = shape[: len(lead)] == lead and len(shape) == len(lead) + len(tail)
            if not fits or (tail and tail[0] > 0 and shape[-1] != tail[0]):
                raise ValueError(f"Gaussians.{name}: expected {(*lead, *tail)}, found {shape}")
        if self.features is not None and tuple(self.features.shape[:-1]) != lead:
            raise ValueError(f"Gaussians.features: expected {(*lead, 'C')}, found {tuple(self.features.shape)}")

    def __len__(self) -> int:
        """M."""
        return self.means.shape[-2]

    def __getitem__(self, item: Any) -> Gaussians:
        """Select along the first dimension, every field alike."""
        return self.map(lambda tensor: tensor[item])

    @staticmethod
    def none(features: int) -> Gaussians:
        """No Gaussians, of so many features. [0]"""
        empty = torch.empty(0, 3)
        return Gaussians(empty, torch.empty(0, 4), empty, torch.empty(0), empty, torch.empty(0, features))

    @staticmethod
    def cat(parts: Sequence[Gaussians]) -> Gaussians:
        """Concatenate along M (no leading dimensions); features only if all parts have them."""
        names = [f.name for f in fields(Gaussians)]
        if any(part.features is None for part in parts):
            names.remove("features")
        return Gaussians(**{n: torch.cat([getattr(p, n) for p in parts]) for n in names})


@dataclass(frozen=True)
class Cameras(_TensorRecord):
    """V pinhole cameras of one image size, OpenCV: x right, y down, z forward, pixel centres at +0.5.

    Leading dimensions may stand before V where scenes have cameras of their own.

    Raises:
        ValueError: shapes do not fit, or the size is not positive.
    """

    viewmats: Tensor  # [..., V, 4, 4] world to camera, metres
    Ks: Tensor  # [..., V, 3, 3] pixels
    width: int
    height: int

    def __post_init__(self) -> None:
        views = tuple(self.viewmats.shape[:-2])
        for name, expected in (("viewmats", (*(views or ("V",)), 4, 4)), ("Ks", (*views, 3, 3))):
            if tuple(getattr(self, name).shape) != expected:
                raise ValueError(f"Cameras.{name}: expected {expected}, found {tuple(getattr(self, name).shape)}")
        if self.width < 1 or self.height < 1:
            raise ValueError(f"Cameras: expected a positive size, found {self.width}x{self.height}")

    def __len__(self) -> int:
        """V."""
        return self.viewmats.shape[-3]

    def __getitem__(self, item: Any) -> Cameras:
        """Select along the first dimension by slice, list or index tensor (an int would drop it: use a slice)."""
        return replace(self, viewmats=self.viewmats[item], Ks=self.Ks[item])

    @staticmethod
    def stack(parts: Sequence[Cameras]) -> Cameras:
        """Cameras of one size in a new first dimension."""
        viewmats, Ks = (torch.stack([getattr(part, name) for part in parts]) for name in ("viewmats", "Ks"))
        return replace(parts[0], viewmats=viewmats, Ks=Ks)

    @property
    def centers(self) -> Tensor:
        """Camera positions in the world, -R^T t. [..., V, 3]"""
        return -(self.viewmats[..., :3, :3].mT @ self.viewmats[..., :3, 3:])[..., 0]


@dataclass(frozen=True)
class BodyPose(_TensorRecord):
    """Parameters of one person's body over T frames, SMPL's or SMPL-X's, in the convention of the smplx package.

    SMPL-X's joints but the root: 21 of the body, jaw, left eye, right eye, 15 of the left hand, 15 of the right hand.
    All of them are full rotations, with the means of the hands already added.

    Raises:
        ValueError: a field's number of frames differs from `global_orient`'s.
    """

    betas: Tensor  # [B] shape, the same in every frame
    global_orient: Tensor  # [T, 3] axis-angle, radians
    body_pose: Tensor  # [T, (J-1)*3] axis-angle in the model's joint order, radians
    transl: Tensor  # [T, 3] metres
    expression: Tensor | None = None  # [T, E] of SMPL-X's face; None is a face at rest

    def __post_init__(self) -> None:
        frames = self.global_orient.shape[0]
        for name, expected in (("global_orient", (frames, 3)), ("transl", (frames, 3))):
            if tuple(getattr(self, name).shape) != expected:
                raise ValueError(f"BodyPose.{name}: expected {expected}, found {tuple(getattr(self, name).shape)}")
        if self.body_pose.ndim != 2 or self.body_pose.shape[0] != frames or self.body_pose.shape[1] % 3:
            raise ValueError(f"BodyPose.body_pose: expected ({frames}, (J-1)*3), found {tuple(self.body_pose.shape)}")
        if self.betas.ndim != 1:
            raise ValueError(f"BodyPose.betas: expected one row of shape values, found {tuple(self.betas.shape)}")
        if self.expression is not None and (self.expression.ndim != 2 or self.expression.shape[0] != frames):
            raise ValueError(f"BodyPose.expression: expected ({frames}, E), found {tuple(self.expression.shape)}")

    def __len__(self) -> int:
        """T."""
        return self.global_orient.shape[0]

    def __getitem__(self, item: Any) -> BodyPose:
        """Select frames by slice, list or index tensor."""
        return replace(
            self,
            global_orient=self.global_orient[item],
            body_pose=self.body_pose[item],
            transl=self.transl[item],
            expression=None if self.expression is None else self.expression[item],
        )

    def put(self, rows: Sequence[int], other: BodyPose) -> BodyPose:
        """The same with some frames, and the shape, of another; the face of these frames stays. other [len(rows)]"""
        into = torch.as_tensor(list(rows), device=self.transl.device)
        changed = {
            name: getattr(self, name).index_copy(0, into, getattr(other, name).to(getattr(self, name)))
            for name in ("global_orient", "body_pose", "transl")
        }
        return replace(self, betas=other.betas.to(self.betas), **changed)


@dataclass(frozen=True)
class RenderOutput(_TensorRecord):
    """What `render` returns for V views of H x W pixels; the Gaussians' leading dimensions stand before V."""

    rgb: Tensor  # [..., V, H, W, D] composited over the background
    alpha: Tensor  # [..., V, H, W, 1]
    depth: Tensor | None  # [..., V, H, W, 1] along z in metres as the mode says, None without one
