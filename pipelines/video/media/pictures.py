"""Pictures out of frames: the square of a face, small ones for detectors, upright ones for people."""

from __future__ import annotations

import cv2
import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from PIL import Image

from models.faces import resample
from models.faces.quad import crop_to_photo_matrix

from .planes import ACCURATE, SWS_OF, is_full, layout_of, plane_matrix, planes_of, space_of, to_planes, zero_of

MARGIN = 4  # pixels round what is seen, for the filters


def crop_rgb(frame: VideoFrame, quad: np.ndarray, size: int) -> np.ndarray:
    """The FFHQ square of a face, (size, size, 3) float32, R'G'B' in levels of 0..255.

    quad: (4, 2) in stored pixels, as `models.faces.quad.ffhq_quad` gives it. Each plane is cut out by itself, at its
    own resolution, free of aliasing, and mirrored beyond the frame; only what the square sees is read.
    """
    layout = layout_of(frame.format.name)
    matrix = crop_to_photo_matrix(quad, size)
    chroma = plane_matrix(matrix, layout, is_full(frame))
    planes = planes_of(frame)
    samples = cv2.merge([_cut(plane, each, size) for plane, each in zip(planes, (matrix, chroma, chroma), strict=True)])
    back = np.linalg.inv(to_planes(frame))
    rgb = cv2.transform(samples, np.concatenate([back, -back @ zero_of(frame)[:, None]], 1))
    return np.asarray(np.clip(rgb, 0, 255, out=rgb))


def _cut(plane: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """The square (size, size) float32 of a plane, as `resample.cut` takes it of a photo."""
    scale = float(np.linalg.norm(matrix[:, :2], axis=0).max())
    factor = int(np.clip(np.ceil(scale), 1, max(1, resample.FINEST // size)))
    fine = resample.finer(matrix, factor)
    left, top, right, bottom = resample._reach(fine, size * factor, (plane.shape[1], plane.shape[0]))
    fine[:, 2] -= (left, top)
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if factor > 1 else cv2.INTER_CUBIC)
    region = plane[top:bottom, left:right].astype(np.float32)
    sampled = cv2.warpAffine(region, fine, (size * factor,) * 2, flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    if factor == 1:
        return np.asarray(sampled)
    return np.asarray(Image.fromarray(sampled).resize((size, size), Image.Resampling.LANCZOS))


def small_rgb(frame: VideoFrame, side: int) -> np.ndarray:
    """The whole frame as (h, w, 3) uint8 R'G'B' in stored orientation, its longest side `side` (never enlarged)."""
    share = min(side / max(frame.width, frame.height), 1.0)
    size = (max(round(frame.width * share), 1), max(round(frame.height * share), 1))
    space = Colorspace(SWS_OF[space_of(frame)])
    small = frame.reformat(
        *size,
        format="rgb24",
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=ColorRange.JPEG if is_full(frame) else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=(Interpolation.AREA if share < 1 else Interpolation.BICUBIC) | ACCURATE,
    )
    return np.ascontiguousarray(small.to_ndarray())


def whole_rgb(frame: VideoFrame) -> np.ndarray:
    """The whole frame as (H, W, 3) uint8 R'G'B' in stored orientation and size."""
    return small_rgb(frame, max(frame.width, frame.height))


def upright(image: np.ndarray, rotation: int) -> np.ndarray:
    """A stored picture (H, W, ...) as a person sees it: turned clockwise by `rotation` (0, 90, 180, 270) degrees."""
    return np.rot90(image, k=-(rotation // 90) % 4)


def stored(image: np.ndarray, rotation: int) -> np.ndarray:
    """The way back from `upright`."""
    return np.rot90(image, k=rotation // 90 % 4)


def to_upright(points: np.ndarray, size: tuple[int, int], rotation: int) -> np.ndarray:
    """Places (..., 2), x and y of pixel centres, of a stored frame of `size` (width, height), in the upright one."""
    x, y = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    right, bottom = size[0] - 1, size[1] - 1
    turned = {0: (x, y), 90: (bottom - y, x), 180: (right - x, bottom - y), 270: (y, right - x)}[rotation % 360]
    return np.stack(turned, -1)


def to_stored(points: np.ndarray, size: tuple[int, int], rotation: int) -> np.ndarray:
    """The way back from `to_upright`; `size` is again the stored frame's."""
    turned = size if rotation % 180 == 0 else (size[1], size[0])
    return to_upright(points, turned, -rotation % 360)
