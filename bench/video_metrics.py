"""How steady an aged video is, and how near the truth: figures only, no networks.

Identity over time follows "Stitch it in Time" (SIGGRAPH Asia 2022): cosines between frames of the result, over those of
the same frames of the source. The other definitions are said at each function. T is the number of frames; everything
that is compared has one entry a frame, in order. Embeddings are (T, 128) unit vectors; landmarks (T, 5, 2) pixels;
frames (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

# Where the flow there and back misses its start, something is hidden (Sundaram, Brox and Keutzer, ECCV 2010).
FLOW_SHARE, FLOW_PIXELS = 0.01, 0.5
LEVELS = 255.0


def local_identity(source: np.ndarray, result: np.ndarray) -> float:
    """TL-ID: mean over t of cos(result t, t+1) / cos(source t, t+1). 1: as steady as the source."""
    return float(np.mean(_next_to(result) / _next_to(source)))


def global_identity(source: np.ndarray, result: np.ndarray) -> float:
    """TG-ID: the same ratio over all pairs of different frames, near or far."""
    ratios = (result @ result.T) / (source @ source.T)
    others = ~np.eye(len(source), dtype=bool)
    return float(ratios[others].mean())


def _next_to(embeddings: np.ndarray) -> np.ndarray:
    return (embeddings[:-1] * embeddings[1:]).sum(axis=1)


def jitter(landmarks: np.ndarray) -> float:
    """Mean length of the landmarks' second difference in time, in pixels: 0 for steady motion."""
    return float(np.linalg.norm(np.diff(landmarks, n=2, axis=0), axis=-1).mean())


def jitter_ratio(source: np.ndarray, result: np.ndarray) -> float:
    """Jitter of the result over that of the source; 1: moves as smoothly."""
    return jitter(result) / jitter(source)


def spread(values: np.ndarray, window: int = 25) -> dict[str, float]:
    """Mean and standard deviation over time; flicker: standard deviation from the mean over `window` frames around."""
    width = min(window, len(values))
    counted = np.convolve(np.ones(len(values)), np.ones(width), "same")
    slow = np.convolve(values, np.ones(width), "same") / counted
    return {"mean": float(values.mean()), "std": float(values.std()), "flicker": float((values - slow).std())}


def inside(quad: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W) bool: the pixels of a face's square, (4, 2) in pixels of the frame."""
    mask = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(mask, np.round(quad).astype(np.int32), 1)
    return mask.astype(bool)


class Flow:
    """Dense optical flow by DIS (Kroeger et al., ECCV 2016), with what is hidden left out."""

    def __init__(self) -> None:
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def back(self, earlier: np.ndarray, later: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From each pixel of the later frame to its place in the earlier one.

        Returns (H, W, 2) float32 positions in the earlier frame, and (H, W) bool: whether the flow there and back
        agrees, so that the pixel can be seen in both.
        """
        one, two = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (earlier, later))
        there, again = self._dis.calc(two, one, _still(two)), self._dis.calc(one, two, _still(one))
        rows, columns = np.mgrid[: one.shape[0], : one.shape[1]].astype(np.float32)
        places = np.stack([columns, rows], axis=-1) + there
        returned = warp(again, places)
        missed = ((there + returned) ** 2).sum(-1)
        length = (there**2).sum(-1) + (returned**2).sum(-1)
        height, width = one.shape
        framed = ((places >= 0) & (places <= (width - 1, height - 1))).all(-1)
        return places, framed & (missed < FLOW_SHARE * length + FLOW_PIXELS)


def _still(picture: np.ndarray) -> np.ndarray:
    """No motion (H, W, 2), which the search begins with."""
    return np.zeros((*picture.shape, 2), np.float32)


def warp(picture: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The picture (H, W, C) looked up at (H, W, 2) positions, bicubic."""
    return np.asarray(
        cv2.remap(picture, places[..., 0], places[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )


@dataclass(frozen=True)
class Steadiness:
    """Errors of one video along the motion of its source, per pixel, on levels from 0 to 1, mean over RGB.

    warp: squared difference between frame t and frame t-1 moved along. change: the same of what was *changed* (the
    video minus its source): what flow and light leave over in the source falls out, so that only flicker of the aging
    itself remains. size: mean square of the change, to see how much there is that could flicker.
    """

    warp: float
    change: float
    size: float


def steadiness(frames: Iterable[tuple[np.ndarray, ...]], quads: np.ndarray) -> list[Steadiness]:
    """Of the source (first) and of any number of videos made of it; means over t.

    frames: for each t the source's frame and then those of the others; quads: (T, 4, 2), the face's square in each. The
    flow is that of the *source*, so that all are judged by one motion. Pixels outside the square, or hidden in one of
    both frames, don't count.
    """
    flow = Flow()
    found = []
    for (before, now), quad in zip(pairwise(frames), quads[1:], strict=True):
        places, seen = flow.back(before[0], now[0])
        seen &= inside(quad, *seen.shape)
        if not seen.any():
            continue
        moved = [warp(_level(each), places)[seen] for each in before]
        shown = [_level(each)[seen] for each in now]
        found.append([_steps(moved[0], shown[0], *pair) for pair in zip(moved, shown, strict=True)])
    return [Steadiness(*(float(each) for each in row)) for row in np.mean(found, axis=0)]


def _level(frame: np.ndarray) -> np.ndarray:
    return frame.astype(np.float32) / LEVELS


def _steps(source_before: np.ndarray, source: np.ndarray, before: np.ndarray, now: np.ndarray) -> list[float]:
    """Squared errors of one frame; the frames before are moved along."""
    change, earlier = now - source, before - source_before
    return [float((each**2).mean()) for each in (now - before, change - earlier, change)]


def psnr(one: np.ndarray, other: np.ndarray, quad: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two frames within a face's square, in decibels; infinite for equal ones."""
    mask = inside(quad, *one.shape[:2])
    error = float(((one[mask].astype(np.float64) - other[mask]) ** 2).mean())
    return float("inf") if error == 0 else 10 * float(np.log10(LEVELS**2 / error))


def to_truth(result: np.ndarray, truth: np.ndarray, result_ages: np.ndarray, true_ages: np.ndarray) -> dict[str, float]:
    """Frame by frame against the true frames: mean cosine of the embeddings; mean, mean absolute value and standard
    deviation of the age difference (what the network misreads in a pose, it misreads in both)."""
    gap = result_ages - true_ages
    return {
        "identity": float((result * truth).sum(axis=1).mean()),
        "age_difference": float(gap.mean()),
        "age_error": float(np.abs(gap).mean()),
        "age_std": float(gap.std()),
    }
