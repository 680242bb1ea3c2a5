"""The source's sound and subtitle tracks: carried over packet by packet, not a byte changed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer, OutputContainer

from .facts import VideoFacts
from .tags import stream_tags

EMPTY_TEXT = b"\0\0"  # a pause between two subtitles of an MP4
# ISO 639-2 has two names for some languages; QuickTime knows the older ones.
OLD_NAMES = {
    "deu": "ger", "fra": "fre", "nld": "dut", "ell": "gre", "zho": "chi", "isl": "ice", "ron": "rum", "ces": "cze",
    "slk": "slo", "fas": "per", "hye": "arm", "kat": "geo", "mkd": "mac", "msa": "may", "mya": "bur", "sqi": "alb",
    "eus": "baq", "cym": "wel", "bod": "tib",
}  # fmt: skip
WORDS = {"audio": "sound", "subtitle": "subtitle"}


@dataclass
class Track:
    """One track: from where, to where, and when its last packet was."""

    source: Any
    target: Any
    last: int | None = None


@dataclass
class Carried:
    """All tracks that go into the result."""

    container: InputContainer
    tracks: dict[int, Track] = field(default_factory=dict)

    def packets(self, start: Fraction | None, end: Fraction | None) -> Iterator[tuple[float, av.Packet]]:
        """(seconds, packet) of those that begin at `start` or later and before `end`, counted from `start` on."""
        if not self.tracks:
            return
        try:
            for packet in self.container.demux([track.source for track in self.tracks.values()]):
                if not packet.size:
                    continue  # the end
                track = self.tracks[packet.stream_index]
                if packet.size == 2 and track.source.type == "subtitle" and bytes(packet) == EMPTY_TEXT:
                    continue  # MP4 writes its own pauses
                if self._moved(packet, track, start, end):
                    packet.stream = track.target
                    yield float((packet.dts or 0) * packet.time_base), packet
        except av.error.FFmpegError:
            return  # the rest of the file is lost; what was there is used

    def _moved(self, packet: av.Packet, track: Track, start: Fraction | None, end: Fraction | None) -> bool:
        """Give a packet its time in the result; False if it lies outside."""
        base = packet.time_base
        pts = packet.pts if packet.pts is not None else packet.dts
        if pts is None:
            pts = 0 if track.last is None else track.last + 1
        dts = packet.dts if packet.dts is not None else pts
        if (start is not None and pts * base < start) or (end is not None and pts * base >= end):
            return False
        shift = round(start / base) if start is not None else 0
        dts -= shift
        if track.last is not None:  # a container wants rising times
            dts = max(dts, track.last + 1)
        packet.dts, packet.pts = dts, max(pts - shift, dts)
        track.last = dts
        return True


def carried_streams(
    target: OutputContainer, source: InputContainer, facts: VideoFacts, form: str
) -> tuple[Carried, tuple[str, ...]]:
    """The tracks that the container can hold, added to it, and one sentence for each of the others."""
    carried, notes = Carried(source), []
    for number in facts.audio + facts.subtitles:
        stream = source.streams[number]
        word = WORDS[stream.type]
        if not can_hold(form, stream):
            name = stream.codec_context.codec.canonical_name
            notes.append(
                f"The {word} track {number} ({name}) is left out: .{form} can't hold it, .mkv can."
                if form != "matroska"
                else f"The {word} track {number} ({name}) is left out: .mkv can't hold it."
            )
            continue
        made = target.add_stream_from_template(stream, opaque=True)
        made.time_base = stream.time_base
        made.disposition = stream.disposition
        made.metadata.update(stream_tags(stream.metadata))
        if form == "mov":
            spoken = made.metadata.get("language", "")
            made.metadata["language"] = OLD_NAMES.get(spoken, spoken)
        carried.tracks[number] = Track(stream, made)
    return carried, tuple(notes)


def can_hold(form: str, stream: Any) -> bool:
    """Whether a container takes a stream as it is: tried out on a file in memory."""
    try:
        trial = av.open(io.BytesIO(), "w", format=form)
        trial.add_stream_from_template(stream, opaque=True)
        trial.start_encoding()
        trial.close()
    except (av.error.FFmpegError, ValueError):
        return False
    return True
