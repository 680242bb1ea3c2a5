"""Writing one part of a result: a small closed video, whose packets can be joined with those of its neighbours."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from av import Packet, VideoFrame
from av.video.frame import PictureType
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from av.video.stream import VideoStream

from models.errors import InputError

from .facts import VideoFacts
from .files import written
from .planes import ACCURATE, SWS_OF, bare_copy, is_full, layout_of, normal, planes_of, space_of
from .quality import ENCODERS, THREADS, Quality, encoded_format, encoder_options
from .source import first_frame, opened_pictures
from .threads import calm_threads

HEVC_AHEAD = 2


@dataclass(frozen=True)
class Look:
    """How a player must show the pictures: colour tags as FFmpeg counts them, the shape of a pixel, and the display
    matrix (nine numbers) if the file has one."""

    range: int
    space: int
    primaries: int
    transfer: int
    aspect: Fraction
    matrix: tuple[int, ...] | None


@lru_cache(maxsize=16)
def look_of(facts: VideoFacts) -> Look:
    """From the first frame and the header. Raises InputError if the file can't be read any more."""
    with opened_pictures(facts) as (container, stream):
        aspect = stream.sample_aspect_ratio or Fraction(0)
        raw = first_frame(container, stream)
        if raw is None:
            raise InputError(f"{facts.path} gives no frame any more; has it changed? Open it again.")
        data: Any = raw.side_data.get("DISPLAYMATRIX")
        matrix = None if data is None else tuple(int(x) for x in np.frombuffer(bytes(data), np.int32))
        frame = normal(raw)
    primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
    return Look(int(frame.color_range), int(frame.colorspace), primaries, transfer, aspect, matrix)


def part_rate(facts: VideoFacts) -> Fraction:
    """The rate at which a part counts its frames; parts know no times."""
    return facts.rate.limit_denominator(10_000)


class PartWriter:
    """One part of a result, as a context manager: `add` each frame in order.

    The file appears whole at the end of the `with`, or not at all after an error. Frames carry their numbers within
    the part as times; `join` gives them their own. All parts of a result need the same facts and quality. A frame in
    the encoder's format goes to it untouched. Raises EveryageError if the disk or the encoder refuses.
    """

    def __init__(self, path: Path, facts: VideoFacts, quality: Quality) -> None:
        self._path, self._facts, self._quality = Path(path), facts, quality
        self._format = encoded_format(facts, quality)
        self._rate = part_rate(facts)
        self._count = self._muxed = 0
        self._stack = ExitStack()

    def __enter__(self) -> PartWriter:
        look = look_of(self._facts)
        with ExitStack() as stack:
            temporary = stack.enter_context(written(self._path))
            kind = "mov" if self._quality.codec == "prores" else "mp4"
            self._container = stack.enter_context(av.open(f"file:{temporary}", "w", format=kind))
            self._stream = self._new_stream(look)
            self._stack = stack.pop_all()
        return self

    def _new_stream(self, look: Look) -> VideoStream:
        options = encoder_options(self._quality, self._rate)
        stream = self._container.add_stream(ENCODERS[self._quality.codec], rate=self._rate, options=options)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = self._facts.width, self._facts.height, self._format
        context.time_base = stream.time_base = 1 / self._rate
        context.thread_count = THREADS
        context.color_range, context.colorspace = look.range, look.space
        context.color_primaries, context.color_trc = look.primaries, look.transfer
        if look.aspect > 0:
            context.sample_aspect_ratio = look.aspect
        if self._quality.codec == "hevc":
            context.codec_tag = "hvc1"
        return stream

    def add(self, frame: VideoFrame) -> None:
        """Encode the next frame."""
        if (frame.width, frame.height) != (self._facts.width, self._facts.height):
            raise ValueError(f"a frame of {frame.width} x {frame.height} pixels")
        ready = in_format(frame, self._format)
        kept = (ready.pts, ready.time_base, ready.pict_type, ready.duration)
        # An encoder would follow the source's own choice of key frames.
        ready.pts, ready.time_base, ready.pict_type, ready.duration = self._count, 1 / self._rate, PictureType.NONE, 1
        try:
            packets = self._stream.encode(ready)
            if self._count == 0:  # the encoder has just begun
                calm_threads()
            self._mux(packets)
        finally:
            ready.pts, ready.pict_type, ready.duration = kept[0], kept[2], kept[3]
            if kept[1] is not None:
                ready.time_base = kept[1]
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is not None:
                self._stack.__exit__(kind, error, trace)
                return
            if self._count == 0:
                raise ValueError(f"no frame for {self._path}")
            self._mux(self._stream.encode(None))

    def _mux(self, packets: list[Packet]) -> None:
        """Packets come in order of decoding; one more frame is shown with each, after the first few."""
        context = self._stream.codec_context
        # The encoder of HEVC does not say by how many frames it runs ahead, and gives short parts no usable times.
        ahead = HEVC_AHEAD if self._quality.codec == "hevc" else context.reorder_depth
        for packet in packets:
            packet.dts = self._muxed - ahead
            self._muxed += 1
            self._container.mux(packet)


def in_format(frame: VideoFrame, name: str) -> VideoFrame:
    """The frame in another of `planes.FORMATS`; itself if it is in that one already."""
    if frame.format.name == name:
        return frame
    old, new = layout_of(frame.format.name), layout_of(name)
    if (new.across, new.down) == (1, 1) and old.bits == new.bits:
        return _repeated(frame, name)
    space = Colorspace(SWS_OF[space_of(frame)])
    of_both = ColorRange.JPEG if is_full(frame) else ColorRange.MPEG
    made = frame.reformat(
        format=name,
        interpolation=Interpolation.BICUBIC | ACCURATE,
        src_colorspace=space,
        dst_colorspace=space,
        src_color_range=of_both,
        dst_color_range=of_both,
    )
    made.colorspace, made.color_range = frame.colorspace, frame.color_range
    return made


def _repeated(frame: VideoFrame, name: str) -> VideoFrame:
    """4:4:4 in which each sample of chroma stands where it stood, repeated: nothing is made up, nothing lost."""
    layout = layout_of(frame.format.name)
    copy = bare_copy(frame, name)
    for old, new in zip(planes_of(frame), planes_of(copy), strict=True):
        if old.shape != new.shape:
            old = old.repeat(layout.down, 0).repeat(layout.across, 1)[: new.shape[0], : new.shape[1]]
        new[:] = old
    return copy
