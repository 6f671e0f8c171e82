"""What a synthetic person performs: procedural motions one after the other, within the limits of the joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hgg_pyg.avatar.motions.procedural import PROCEDURES, Style, joint_limits
from hgg_pyg.body import JOINTS

_INPUT_SHARE = 0.7  # of the time, in which a turn that is asked for is made: a bit before the last frame that is input


@dataclass(frozen=True)
class Performance:
    """A sequence of motions one after the other, blended where they meet, while the person turns round.

    A performance lasts as long whatever the number of frames: more frames sample it more finely.
    """

    names: tuple[str, ...]  # the motions, all different
    styles: tuple[Style, ...]
    heading: tuple[float, float]  # degrees about y at the start, and how far the person turns until the end
    sway: tuple[float, float, float]  # a slow sine added everywhere: degrees, hertz, radians
    seconds: float = 7.0

    def sample(self, frames: int) -> tuple[np.ndarray, np.ndarray]:
        """Angles at equal steps of time.

        Returns:
            Euler angles of the joints within `joint_limits`, degrees [F, J, 3], the root's without the heading; and the
            heading, degrees about y, applied after it [F].
        """
        share = (np.arange(frames) + 0.5) / frames
        time = share * self.seconds
        borders = np.linspace(0, 1, len(self.names) + 1)[1:-1]
        fade = 0.3 / self.seconds  # half the blend, as a share of the whole
        total = np.zeros((frames, len(JOINTS), 3))
        for index, (name, style) in enumerate(zip(self.names, self.styles, strict=True)):
            weight = np.ones(frames)
            if index > 0:
                weight = weight * _smoothstep((share - borders[index - 1]) / fade / 2 + 0.5)
            if index < len(borders):
                weight = weight * (1 - _smoothstep((share - borders[index]) / fade / 2 + 0.5))
            total += weight[:, None, None] * PROCEDURES[name](time, style).values
        degrees, hertz, phase = self.sway
        for joint, lag in (("spine2", 0.0), ("neck", 1.0), ("head", 2.0)):
            total[:, JOINTS.index(joint)] += degrees * np.sin(
                2 * np.pi * hertz * time[:, None] + phase + lag + np.arange(3)
            )
        low, high = joint_limits()
        start, sweep = self.heading
        quick = self.names.index("turn") if "turn" in self.names else None
        heading = start + sweep * _progress(share)
        if quick is not None:
            middle = (quick + 0.5) / len(self.names)
            heading = heading + np.sign(sweep) * 200 * _smoothstep((share - middle) * len(self.names) + 0.5)
        return np.clip(total, low, high), heading


def draw_performance(rng: np.random.Generator, turn: float = 0.0) -> Performance:
    """Two or three different motions in random order and style.

    Args:
        rng: what is drawn from; the same draws for any `turn`.
        turn: degrees by which the heading changes at least until three quarters of the time.
    """
    names = tuple(str(name) for name in rng.permutation(list(PROCEDURES))[: rng.integers(2, 4)])
    styles = tuple(
        Style(
            phase=float(rng.uniform(0, 2 * np.pi)),
            vigour=float(rng.uniform(0.8, 1.15)),
            lead=str(rng.choice(["left", "right"])),
            extra=rng.random(8),
        )
        for _ in names
    )
    side, sweep = rng.choice([-1, 1]), rng.uniform(120, 280)
    sweep = float(side * max(sweep, turn / _progress(np.array(_INPUT_SHARE))))
    heading = (float(rng.uniform(-180, 180)), sweep)
    sway = (float(rng.uniform(1, 3)), float(rng.uniform(0.2, 0.4)), float(rng.uniform(0, 2 * np.pi)))
    return Performance(names, styles, heading, sway)


def _progress(share: np.ndarray) -> np.ndarray:
    """How much of its turn a person has made after a share of the time."""
    return 0.5 * share + 0.5 * _smoothstep(share)


def _smoothstep(t: np.ndarray) -> np.ndarray:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
