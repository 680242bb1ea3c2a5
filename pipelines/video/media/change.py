"""Laying what age changes over a frame, in the frame's own planes."""

from __future__ import annotations

import cv2
import numpy as np
from av import VideoFrame

from models.faces import resample
from models.faces.quad import crop_to_photo_matrix

from .planes import is_full, layout_of, plane_matrix, planes_of, to_planes, whole_copy


def lay_change(frame: VideoFrame, change: np.ndarray, weights: np.ndarray, quad: np.ndarray) -> VideoFrame:
    """A new frame: this one plus `weights` times `change`, laid where the square of the face lies.

    change: (S, S, 3) float32, in levels of R'G'B' (0..255). weights: (M, M) in [0, 1], over the same square; its
    outermost pixels count as 0. quad: (4, 2) in stored pixels. The change is taken to the frame's Y', Cb and Cr and
    added to its samples at each plane's own resolution; every sample whose weight is 0 keeps its bits, and so do
    times, colour tags and side data (captions, HDR). `frame` stays as it is.
    """
    aged = whole_copy(frame)
    layout, full = layout_of(frame.format.name), is_full(frame)
    samples = cv2.transform(np.asarray(change, dtype=np.float32), to_planes(frame))
    new = planes_of(aged)
    place = (crop_to_photo_matrix(quad, change.shape[0]), crop_to_photo_matrix(quad, weights.shape[0]))
    _add(new[:1], samples[..., :1], weights, place, layout.top)
    chroma = (plane_matrix(place[0], layout, full), plane_matrix(place[1], layout, full))
    _add(new[1:], samples[..., 1:], weights, chroma, layout.top)
    return aged


def _add(
    planes: list[np.ndarray],
    samples: np.ndarray,
    weights: np.ndarray,
    place: tuple[np.ndarray, np.ndarray],
    top: int,
) -> None:
    """Add samples (S, S, P) times weights to P planes of one size. place: the matrices of samples and of weights."""
    extent = (planes[0].shape[1], planes[0].shape[0])
    box = resample.footprint(place[1], weights.shape[0], extent)
    if box is None:
        return
    mask = np.clip(resample.lay(np.asarray(weights, np.float32), place[1], box, is_mask=True), 0.0, 1.0)
    laid = resample.lay(np.ascontiguousarray(samples), place[0], box).reshape(*mask.shape, len(planes))
    left, upper, right, lower = box
    for i, plane in enumerate(planes):
        region = plane[upper:lower, left:right]
        # Where the mask is 0 nothing is added, and a whole number stays itself when it is rounded.
        region[:] = np.clip(np.rint(region + mask * laid[..., i]), 0, top).astype(plane.dtype)
