"""Joining parts to the result: their packets with exact times, the source's sound and subtitles, and its words."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from models.errors import EveryageError, InputError
from pipelines.events import CancelToken, Event

from .carried import carried_streams
from .facts import FrameIndex, VideoFacts
from .files import written
from .part import look_of, part_rate
from .quality import Quality
from .source import opened
from .tags import chapters, container_tags

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
EVERY = 100  # packets between two words, and two looks at whether to stop
MOST_TICKS = 10_000_000  # of a second, in which the start of a track is told


@dataclass(frozen=True)
class Span:
    """The kept part of the source: frames first to stop - 1. start, end: its seconds, None where nothing is cut off."""

    first: int
    stop: int
    start: Fraction | None
    end: Fraction | None

    @classmethod
    def of(cls, facts: VideoFacts, index: FrameIndex, first: int, stop: int) -> Span:
        last = int(index.pts[stop]) if stop < len(index) else None
        start = int(index.pts[first]) * facts.time_base if first > 0 else None
        return cls(first, stop, start, None if last is None else last * facts.time_base)


def check_video_path(out: Path, quality: Quality) -> str:
    """FFmpeg's name of the container that the name `out` asks for.

    Raises InputError for another suffix, or for a codec that this container can't hold: useful before long work.
    """
    form = FORMATS.get(out.suffix.lower())
    if form is None:
        raise InputError(f"{out} does not end in {', '.join(FORMATS)}; choose one of these.")
    if quality.codec == "prores" and form not in ("mov", "matroska"):
        raise InputError(f"{out}: ProRes goes into .mov or .mkv; choose one of these.")
    if form == "webm" and quality.codec != "av1":
        raise InputError(f"{out}: .webm holds AV1 only; choose that codec, or another suffix.")
    return form


def join(
    parts: Sequence[Path],
    facts: VideoFacts,
    index: FrameIndex,
    first: int,
    stop: int,
    out: Path,
    quality: Quality,
    recipe: dict[str, Any],
    cancel: CancelToken,
    tell: Callable[[Event], None],
) -> tuple[str, ...]:
    """Write the result from parts that together hold the frames `first` to `stop` - 1; nothing is encoded again.

    Each frame gets the time that it has in the source; after a cut at the beginning the first one gets 0. All sound and
    subtitle tracks are carried over packet by packet within the kept part, with language and disposition; chapters and
    container metadata stay, places go. MP4 and MOV keep times to the tick; MKV and WebM count milliseconds, from the
    first thing that is heard or seen. Returns one sentence for each track that the container can't hold.
    Raises InputError for a name that won't do, EveryageError for parts that do not fit or a full disk, Cancelled.
    """
    form = check_video_path(Path(out), quality)
    span = Span.of(facts, index, first, stop)
    times = Times(parts, facts, index, span)
    with written(Path(out)) as temporary, opened(facts.path, facts.container) as source:
        options = _options(form, facts, source)
        with av.open(f"file:{temporary}", "w", format=form, options=options) as target:
            notes = _write(target, times, source, facts, span, recipe, form, cancel, tell)
    return notes


def _options(form: str, facts: VideoFacts, source: InputContainer) -> dict[str, str]:
    if form not in ("mp4", "mov"):
        return {}
    # Starts of tracks are told in ticks of the whole file, by default of 1/1000 second, which would shift them.
    ticks = facts.time_base.denominator
    for number in facts.audio:
        base = source.streams[number].time_base
        together = math.lcm(ticks, base.denominator if base else 1)
        ticks = together if together <= MOST_TICKS else ticks
    return {"movflags": "+faststart+use_metadata_tags", "movie_timescale": str(min(ticks, 2**31 - 1))}


def _write(
    target: OutputContainer,
    times: Times,
    source: InputContainer,
    facts: VideoFacts,
    span: Span,
    recipe: dict[str, Any],
    form: str,
    cancel: CancelToken,
    tell: Callable[[Event], None],
) -> tuple[str, ...]:
    target.metadata.update(container_tags(source.metadata, recipe))
    streams = _pictures(target, times, facts)
    carried, notes = carried_streams(target, source, facts, form)
    seconds = (None if span.start is None else float(span.start), None if span.end is None else float(span.end))
    target.set_chapters(chapters(source, *seconds))
    packets = heapq.merge(times.packets(streams), carried.packets(span.start, span.end), key=lambda pair: pair[0])
    for count, (_, packet) in enumerate(packets):
        if count % EVERY == 0:
            cancel.check()
            tell(Event("save", "Writing the video", times.done, span.stop - span.first))
        target.mux(packet)
    if times.done != span.stop - span.first:
        raise EveryageError(f"The parts hold {times.done} frames instead of {span.stop - span.first}; make them again.")
    return notes


def _pictures(target: OutputContainer, times: Times, facts: VideoFacts) -> av.video.stream.VideoStream:
    with opened(times.parts[0], "mov") as part:
        template = part.streams.video[0]
        stream = target.add_stream_from_template(template, opaque=True)
        if template.codec_context.name == "hevc":
            stream.codec_context.codec_tag = "hvc1"
    stream.time_base = facts.time_base
    matrix = look_of(facts).matrix
    if matrix is not None:
        stream.set_display_matrix(matrix)
    return stream


class Times:
    """The parts' packets in order, with the times of the source.

    A part counts frames in order of display; its packets come in order of decoding. The k-th packet of all is decoded
    when the (k - delay)-th frame is shown, so that decoding times rise whatever the parts are.
    """

    def __init__(self, parts: Sequence[Path], facts: VideoFacts, index: FrameIndex, span: Span) -> None:
        """Looks at the head of every part. Raises EveryageError if they do not fit together."""
        self.parts = [Path(part) for part in parts]
        if not self.parts or span.stop <= span.first:
            raise EveryageError("There is no part to make a video of; choose a longer piece of the video.")
        self.done = 0
        self._base, self._rate = facts.time_base, part_rate(facts)
        shift = int(index.pts[span.first]) if span.start is not None else 0
        self._pts = index.pts[span.first : span.stop] - shift
        after = index.pts[span.stop] - shift if span.stop < len(index) else self._pts[-1] + index.duration
        self._ends = np.append(self._pts[1:], after)
        self._step = max(int(np.diff(self._pts).min()) if len(self._pts) > 1 else 1, 1)
        heads = [self._head(part) for part in self.parts]
        if any(head[0] != heads[0][0] for head in heads):
            raise EveryageError("The parts of the video were written with different settings; make them again.")
        self._delay = max(head[1] for head in heads)

    def _head(self, path: Path) -> tuple[bytes, int]:
        """What the decoder needs to know before a part, and by how many frames decoding runs ahead in it."""
        with opened(path, "mov") as part:
            stream = part.streams.video[0]
            first = next((packet for packet in part.demux(stream) if packet.size), None)
            if first is None or first.pts is None or first.dts is None or not first.is_keyframe:
                raise EveryageError(f"The part {path} of the video is damaged; remove it, so that it is made again.")
            return stream.codec_context.extradata or b"", self._frames(first.pts - first.dts, stream)

    def _frames(self, ticks: int, stream: av.video.stream.VideoStream) -> int:
        assert stream.time_base is not None
        return round(ticks * stream.time_base * self._rate)

    def packets(self, target: av.video.stream.VideoStream) -> Iterator[tuple[float, av.Packet]]:
        """(seconds of decoding, packet) of all parts."""
        for path in self.parts:
            with opened(path, "mov") as part:
                stream = part.streams.video[0]
                begin, before = None, self.done
                for packet in part.demux(stream):
                    if not packet.size or packet.pts is None:
                        continue
                    begin = packet.pts if begin is None else begin
                    yield self._timed(packet, before + self._frames(packet.pts - begin, stream), target)

    def _timed(self, packet: av.Packet, number: int, target: av.video.stream.VideoStream) -> tuple[float, av.Packet]:
        """The packet of frame `number`, with the times of the result."""
        if not 0 <= number < len(self._pts):
            raise EveryageError(f"The parts hold more than {len(self._pts)} frames; make them again.")
        place = self.done - self._delay
        dts = int(self._pts[place]) if place >= 0 else int(self._pts[0]) + place * self._step
        packet.stream, packet.time_base = target, self._base
        packet.pts, packet.dts = int(self._pts[number]), dts
        packet.duration = int(self._ends[number] - self._pts[number])
        self.done += 1
        return dts * float(self._base), packet
