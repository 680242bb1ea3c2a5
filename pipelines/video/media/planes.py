"""The stored planes of a frame as arrays, in one of few formats, and their arithmetic of colour.

Formats: Y'CbCr in three planes, chroma 4:2:0, 4:2:2 or 4:4:4, of 8, 10 or 12 bits (little endian): FFmpeg's yuv420p to
yuv444p12le. A decoder's other formats are brought to the nearest of these once, when a frame is read: nv12, "full
range" names, grey and planes with alpha keep every sample of brightness and colour; RGB, palettes and rare samplings
are converted.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av import VideoFrame
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange, Colorspace, Interpolation

FORMATS = tuple(f"yuv{chroma}p{depth}" for depth in ("", "10le", "12le") for chroma in ("420", "422", "444"))
# AVColorSpace -> Kr, Kb (ITU-T H.273, table 4).
MATRICES = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087)}
MATRICES |= {9: (0.2627, 0.0593), 10: (0.2627, 0.0593)}
# Formats whose chroma lies in pairs.
PAIRED = (("nv12", "yuv420p"), ("nv16", "yuv422p"), ("nv24", "yuv444p"))
# swscale's slower, exact arithmetic.
ACCURATE = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
FULL = int(ColorRange.JPEG)
HD_SIDE = 720  # from this height on, untagged video is taken for BT.709, below for BT.601


@dataclass(frozen=True)
class Layout:
    """How a format stores a frame: chroma is `across` times narrower and `down` times lower; samples have `bits`."""

    across: int
    down: int
    bits: int

    @property
    def dtype(self) -> type[np.unsignedinteger]:
        return np.uint8 if self.bits == 8 else np.uint16

    @property
    def top(self) -> int:
        """The largest sample."""
        return (1 << self.bits) - 1


def layout_of(name: str) -> Layout:
    """The layout of one of FORMATS. Raises KeyError for another."""
    if name not in FORMATS:
        raise KeyError(name)
    chroma, depth = name[3:6], name[7:].removesuffix("le")
    return Layout(1 if chroma == "444" else 2, 2 if chroma == "420" else 1, int(depth or 8))


def planes_of(frame: VideoFrame) -> list[np.ndarray]:
    """The planes of a frame, as views that can be written: (H, W) uint8 or uint16 each."""
    dtype = np.uint8 if frame.format.components[0].bits <= 8 else np.uint16
    return [_view(plane, dtype) for plane in frame.planes]


def _view(plane: VideoPlane, dtype: type[np.unsignedinteger]) -> np.ndarray:
    row = plane.line_size // np.dtype(dtype).itemsize
    samples = np.frombuffer(memoryview(plane), dtype)[: row * plane.height]
    return samples.reshape(plane.height, row)[:, : plane.width]


def bare_copy(frame: VideoFrame, name: str) -> VideoFrame:
    """A new frame of the same size, time and colour tags in another format, its samples not yet set."""
    copy = VideoFrame(frame.width, frame.height, name)
    copy.pts, copy.dts, copy.duration = frame.pts, frame.dts, frame.duration
    if frame.time_base is not None:
        copy.time_base = frame.time_base
    copy.color_range, copy.colorspace = frame.color_range, frame.colorspace
    copy.color_primaries, copy.color_trc = frame.color_primaries, frame.color_trc
    copy.key_frame = frame.key_frame  # type: ignore[misc]
    return copy


def whole_copy(frame: VideoFrame) -> VideoFrame:
    """A copy of a frame with everything that belongs to it, side data too, which PyAV itself can't copy."""
    graph = Graph()
    graph.threads = 1
    base = frame.time_base or Fraction(1, 25)
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)
    graph.link_nodes(source, graph.add("copy"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def normal_name(form: VideoFormat) -> str:
    """Into which of FORMATS a decoder's format is brought."""
    name = form.name
    for old, new in (("yuvj", "yuv"), ("yuva", "yuv"), ("gray", "yuv420p"), *PAIRED):
        if name.startswith(old) and name.replace(old, new, 1) in FORMATS:
            return name.replace(old, new, 1)
    if name in FORMATS:
        return name
    bits = max(part.bits for part in form.components)
    depth = "" if bits <= 8 else "10le" if bits <= 10 else "12le"
    if form.has_palette or (form.is_rgb and bits < 8):  # GIF and its like: nothing is lost that an eye would see
        return "yuv420p"
    across, down = round(64 / form.chroma_width(64)), round(64 / form.chroma_height(64))
    chroma = "444" if form.is_rgb or across == 1 else "420" if down > 1 else "422"
    return f"yuv{chroma}p{depth}"


def normal(frame: VideoFrame) -> VideoFrame:
    """The frame in one of FORMATS: itself, if it is in one."""
    name = frame.format.name
    if name in FORMATS:
        return frame
    if name in dict(PAIRED):
        return _split(frame)
    wanted = normal_name(frame.format)
    if wanted in (name.replace("yuvj", "yuv"), name.replace("yuva", "yuv"), name.replace("gray", "yuv420p")):
        return _relabelled(frame, wanted)
    return _converted(frame, wanted)


def _relabelled(frame: VideoFrame, name: str) -> VideoFrame:
    """The same samples under another name; chroma that is not there is grey, alpha goes."""
    copy = bare_copy(frame, name)
    old = planes_of(frame)
    for i, plane in enumerate(planes_of(copy)):
        plane[:] = old[i] if len(old) >= 3 or i == 0 else 1 << (layout_of(name).bits - 1)
    if frame.format.name.startswith("yuvj"):
        copy.color_range = ColorRange.JPEG
    return copy


def _split(frame: VideoFrame) -> VideoFrame:
    """Chroma that is stored as pairs, in two planes."""
    copy = bare_copy(frame, dict(PAIRED)[frame.format.name])
    new = planes_of(copy)
    bright, pairs = frame.planes
    new[0][:] = _view(bright, np.uint8)
    both = np.frombuffer(memoryview(pairs), np.uint8).reshape(-1, pairs.line_size)[
        : new[1].shape[0], : 2 * new[1].shape[1]
    ]
    new[1][:], new[2][:] = both[:, 0::2], both[:, 1::2]
    return copy


def _converted(frame: VideoFrame, name: str) -> VideoFrame:
    """Another format, by swscale. RGB becomes limited-range Y'CbCr with the matrix of its size."""
    rgb = frame.format.is_rgb or frame.format.has_palette
    space = default_space(frame.width, frame.height) if rgb else space_of(frame)
    of_source = ColorRange.JPEG if rgb or is_full(frame) else ColorRange.MPEG
    new = frame.reformat(
        format=name,
        interpolation=Interpolation.BICUBIC | ACCURATE,
        src_colorspace=None if rgb else Colorspace(SWS_OF[space]),
        dst_colorspace=Colorspace(SWS_OF[space]),
        src_color_range=of_source,
        dst_color_range=ColorRange.MPEG if rgb else of_source,
    )
    new.colorspace = space
    return new


# AVColorSpace -> swscale's own numbers of the same matrices.
SWS_OF = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}


def default_space(width: int, height: int) -> int:
    """What untagged video of a size is taken for: BT.709 (1) or BT.601 (6)."""
    return 1 if min(width, height) >= HD_SIDE or max(width, height) >= 1280 else 6


def space_of(frame: VideoFrame) -> int:
    """The AVColorSpace of a frame: its tag, or else the default of its size."""
    tag = int(frame.colorspace)
    return tag if tag in MATRICES else default_space(frame.width, frame.height)


def to_planes(frame: VideoFrame) -> np.ndarray:
    """The matrix (3, 3) float64 that takes a difference of R'G'B' in levels of 0..255 to one of the frame's samples of
    Y', Cb, Cr (ITU-T H.273, equations 38 to 60)."""
    red, blue = MATRICES[space_of(frame)]
    bits = layout_of(frame.format.name).bits
    bright = np.array([red, 1 - red - blue, blue])
    cb = (np.array([0, 0, 1.0]) - bright) / (2 * (1 - blue))
    cr = (np.array([1.0, 0, 0]) - bright) / (2 * (1 - red))
    if int(frame.color_range) == FULL:
        scale = np.full(3, (1 << bits) - 1.0)
    else:
        scale = np.array([219.0, 224.0, 224.0]) * (1 << (bits - 8))
    return np.stack([bright, cb, cr]) * scale[:, None] / 255.0


def zero_of(frame: VideoFrame) -> np.ndarray:
    """The samples (3,) of black without colour."""
    bits = layout_of(frame.format.name).bits
    black = 0.0 if int(frame.color_range) == FULL else 16.0 * (1 << (bits - 8))
    return np.array([black, 1 << (bits - 1), 1 << (bits - 1)])


def plane_matrix(matrix: np.ndarray, layout: Layout, full: bool) -> np.ndarray:
    """A (2, 3) matrix that ends in pixels of the picture, as one that ends in samples of a chroma plane.

    Chroma of video lies on the left one of two pixels and between two rows (H.264, figure 6-1); of full-range pictures,
    which come from JPEG, between the columns, too.
    """
    if (layout.across, layout.down) == (1, 1):
        return matrix
    first = np.array([0.5 if full and layout.across == 2 else 0.0, 0.5 if layout.down == 2 else 0.0])
    moved = np.concatenate([matrix[:, :2], (matrix[:, 2] - first)[:, None]], 1)
    return moved / np.array([[layout.across], [layout.down]])


def is_full(frame: VideoFrame) -> bool:
    """Whether the samples use their whole range."""
    return int(frame.color_range) == FULL
