"""Landmarks without tremble: the face's square is smoothed in time, its centre and its axes apart.

As in "Stitch it in Time" (Tzaban et al., SIGGRAPH Asia 2022), section on alignment: Gaussians of sigma 1 frame for the
centre and 3 for the axes. Here they are straight lines fitted under these Gaussians, which is the same inside an even
run of frames, and neither lags at its ends nor where the frames are spaced unevenly. Where a face really turns back
or starts, so that the line is further from the landmarks than their tremble, the landmarks are believed.
"""

from __future__ import annotations

import numpy as np

from models.faces.quad import ffhq_quad

# Of videos with 25 frames a second, for which the figures are given.
CENTRE_SECONDS, AXES_SECONDS = 1 / 25, 3 / 25
REACH = 4.0
"""Sigmas beyond which a frame has no say."""
MOST = 256
# How far (in sides of the square) the smooth centre and axes may be from the seen ones before these count more.
CENTRE_TREMBLE, AXES_TREMBLE = 0.015, 0.08


def smooth_run(points: np.ndarray, seconds: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Landmarks (n, 5, 2) of one unbroken run of frames at `seconds` (n,) -> the same with smooth squares.

    Each frame's landmarks are moved, turned and scaled so that their FFHQ square is exactly the smoothed one.
    weights: (n,) how much each frame's landmarks are believed, all the same by default.
    """
    quads = np.stack([ffhq_quad(each) for each in points])
    centres = _complex(quads.mean(1))
    axes = _complex(quads[:, 3] - quads[:, 0])
    share = np.ones(len(points)) if weights is None else np.asarray(weights, dtype=np.float64)
    sides = np.abs(axes)
    smooth_centres = _smoothed(centres, seconds, CENTRE_SECONDS, share, CENTRE_TREMBLE * sides)
    smooth_axes = _smoothed(axes, seconds, AXES_SECONDS, share, AXES_TREMBLE * sides)
    turned = (_complex(points) - centres[:, None]) * (smooth_axes / axes)[:, None] + smooth_centres[:, None]
    return np.stack([turned.real, turned.imag], -1)


def _smoothed(
    seen: np.ndarray, seconds: np.ndarray, sigma: float, share: np.ndarray, tremble: np.ndarray
) -> np.ndarray:
    """`fit_lines`, and back towards what was seen where for some frames in a row it lies further off than tremble."""
    smooth = fit_lines(seen, seconds, sigma, share)
    missed = fit_lines(seen - smooth, seconds, CENTRE_SECONDS, share)
    off = (np.abs(missed) / tremble) ** 4
    return np.asarray(smooth + missed * off / (off + 1.0))


def _complex(points: np.ndarray) -> np.ndarray:
    """Points (..., 2) as complex numbers: a similarity of the plane is then a product and a sum."""
    values = np.asarray(points, dtype=np.float64)
    return np.asarray(values[..., 0] + 1j * values[..., 1])


def fit_lines(values: np.ndarray, seconds: np.ndarray, sigma: float, weights: np.ndarray) -> np.ndarray:
    """At each time the value of the line fitted to `values` (n,) under a Gaussian of `sigma` seconds around it."""
    count = len(values)
    steps = np.diff(seconds)
    reach = int(min(np.ceil(REACH * sigma / max(float(steps.min()), 1e-6)), count - 1, MOST)) if count > 1 else 0
    shifts = np.arange(-reach, reach + 1)
    at = np.arange(count)[:, None] + shifts
    there = (at >= 0) & (at < count)
    at = np.clip(at, 0, count - 1)
    apart = seconds[at] - seconds[:, None]
    share = np.where(there, np.exp(-0.5 * (apart / sigma) ** 2), 0.0) * weights[at]
    zeroth, first, second = share.sum(1), (share * apart).sum(1), (share * apart**2).sum(1)
    plain, tilted = (share * values[at]).sum(1), (share * apart * values[at]).sum(1)
    spread = zeroth * second - first**2
    # A frame with no neighbour in reach has no slope.
    alone = spread <= 1e-9 * (zeroth * sigma) ** 2
    line = (second * plain - first * tilted) / np.where(alone, 1.0, spread)
    return np.asarray(np.where(alone, plain / zeroth, line))
