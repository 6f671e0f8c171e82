"""The paper's Table 1, to stand beside ours: of MVHumanNet and other networks, so orders compare and numbers do not."""

from __future__ import annotations

# PSNR in dB of novel views and novel poses; None: not given
_SINGLE = {"GART": (20.109, 18.964), "ExAvatar": (21.450, 19.327), "LGM": (21.274, 19.560), "ours": (23.112, 21.857)}
_MULTI = {"4DGS": (19.072, None), "GPS-Gaussian": (19.129, None), "ours": (26.536, 24.013)}


def paper_remarks() -> tuple[str, ...]:
    """Both halves of the table, a line each, marked as of other data."""
    return tuple(
        f"the paper's Table 1, {setting}, of other data (MVHumanNet), PSNR in novel views / novel poses: "
        + ", ".join(f"{method} {_shown(view)} / {_shown(pose)}" for method, (view, pose) in rows.items())
        for setting, rows in (("one camera", _SINGLE), ("several cameras", _MULTI))
    )


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
