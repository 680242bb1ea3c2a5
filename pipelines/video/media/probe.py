"""The process that first looks into a file that nobody vouches for: `python -P probe.py`, the file as its stdin.

Arguments: demuxer, bytes of memory, seconds of processor time. It answers with one JSON object on stdout: the facts,
or {"error": ..., "why": ...}. It is run as a file and imports nothing of ours, so that it starts in a tenth of a
second. After its start it can open no file and no connection, and write none.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from typing import Any

import av
import av.sidedata.sidedata  # these: what PyAV would else load later, when no file can be opened any more
import av.subtitles.codeccontext
import av.subtitles.stream
import av.subtitles.subtitle

try:
    import resource
except ImportError:  # Windows has no such limits; there the time limit remains
    resource = None  # type: ignore[assignment]

# Decoders round sizes up; the header's own size is checked exactly.
PADDING = 1 << 20
# Packets without a frame after which there is nothing to be had.
MOST_PACKETS = 2000


def main() -> None:
    """Lock this process down, look, answer."""
    demuxer, memory, seconds, most_pixels = sys.argv[1], *(int(word) for word in sys.argv[2:5])
    av.logging.set_level(None)
    lock_down(memory, seconds)
    try:
        answer = look(demuxer, most_pixels)
    except MemoryError:
        answer = {"error": "memory"}
    except Exception as error:  # decoders of hostile files raise whatever they like
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        answer = {"error": "damaged", "why": reason.strip().splitlines()[0][:120].lower()}
    print(json.dumps(answer), flush=True)


def lock_down(memory: int, seconds: int) -> None:
    """Limits of this process: address space beyond what it has, processor time, no new file, no written byte."""
    if resource is None:
        return
    with open("/proc/self/statm") if sys.platform == "linux" else open(0, closefd=False) as status:  # noqa: PTH123
        used = int(status.read().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    limits = [(resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0), (resource.RLIMIT_NOFILE, 0)]
    if sys.platform == "linux":  # macOS takes no value for the address space
        limits.append((resource.RLIMIT_AS, used + memory))
    for kind, limit in limits:
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, limit))


def refuse_more(*_: Any) -> Any:
    """What is called for every further file that the video asks for."""
    raise PermissionError("it asks for another file")


def look(demuxer: str, most_pixels: int) -> dict[str, Any]:
    """Open, read the header, decode the first frame there is."""
    file = open(0, "rb", closefd=False)  # noqa: SIM115
    options = {"protocol_whitelist": "file"}
    with av.open(
        file, "r", format=demuxer, options=options, buffer_size=1 << 18, io_open=refuse_more, metadata_errors="replace"
    ) as container:
        streams = [stream for stream in container.streams.video if is_video(stream)]
        if not streams:
            return {"error": "pictures"}
        stream = max(streams, key=preference)
        stream.thread_count = 1  # threads' stacks would count as memory
        size = (stream.codec_context.width, stream.codec_context.height)
        if size[0] * size[1] > most_pixels:
            return {"error": "size", "width": size[0], "height": size[1]}
        frame = first_frame(container, stream)
        if frame is None:
            return {"error": "frames"}
        return facts(container, stream, frame)


def is_video(stream: Any) -> bool:
    """Whether a stream is one of moving pictures that can be decoded, and not the cover of an audio file."""
    cover = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    return stream.codec_context is not None and not stream.disposition & cover


def preference(stream: Any) -> tuple[bool, int]:
    """What a player would show: the stream marked as the default one, then the largest."""
    default = bool(stream.disposition & av.stream.Disposition.default)
    return default, stream.codec_context.width * stream.codec_context.height


def first_frame(container: Any, stream: Any) -> Any:
    """The first frame that can be decoded, None if there is none near the beginning."""
    for count, packet in enumerate(container.demux(stream)):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames = []
        if frames or count > MOST_PACKETS:
            return frames[0] if frames else None
    return None


def facts(container: Any, stream: Any, frame: Any) -> dict[str, Any]:
    """All that `VideoFacts` needs, as JSON can hold it."""
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
    if not Fraction(1, 60) <= rate <= 1000:
        rate = Fraction(25)
    own = stream.duration * stream.time_base if stream.duration else Fraction(0)
    whole = Fraction(container.duration, av.time_base) if container.duration else Fraction(0)
    usable = [other for other in container.streams if other.type in ("audio", "subtitle") and other.codec_context]
    return {
        "stream": stream.index,
        "width": frame.width,
        "height": frame.height,
        "rotation": -round(frame.rotation / 90) * 90 % 360,
        "time_base": str(stream.time_base or frame.time_base),
        "rate": str(rate),
        "pixel_format": frame.format.name,
        "bits": max(component.bits for component in frame.format.components),
        "codec": stream.codec_context.codec.canonical_name,
        "audio": [other.index for other in usable if other.type == "audio"],
        "subtitles": [other.index for other in usable if other.type == "subtitle"],
        "seconds": float(own if own > 0 else max(whole, Fraction(0))),
    }


if __name__ == "__main__":
    main()
