"""A video file, open for reading, from which nothing else can be opened: no other file, no address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
from av import VideoFrame
from av.container import InputContainer
from av.video.stream import VideoStream

from models.errors import InputError

from .facts import VideoFacts

BUFFER = 1 << 18  # bytes read at once
PADDING = 1 << 20  # pixels; decoders round sizes up
OPTIONS = {"protocol_whitelist": "file"}


def refuse_more(url: str, *_: Any) -> Any:
    """What is called for every further file that a video asks for."""
    raise PermissionError(f"the video asks for {url[:100]}")


@contextmanager
def opened(path: Path, demuxer: str) -> Iterator[InputContainer]:
    """The container, read by this demuxer and no other. Raises InputError if it can't be opened."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); choose another video.") from error
    with file:
        try:
            container = av.open(
                file, "r", format=demuxer, options=OPTIONS, buffer_size=BUFFER, io_open=refuse_more,
                metadata_errors="replace",
            )  # fmt: skip
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{path} is damaged ({brief(error)}); give another copy of the video.") from error
        with container:
            yield container


@contextmanager
def opened_pictures(facts: VideoFacts) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its picture stream; all other streams are passed over."""
    with opened(facts.path, facts.container) as container:
        if facts.stream >= len(container.streams) or container.streams[facts.stream].type != "video":
            raise InputError(f"{facts.path} has changed since it was opened; open it again.")
        stream = container.streams[facts.stream]
        assert isinstance(stream, VideoStream)
        # A stream that grows on its way would take memory that nobody has agreed to.
        stream.codec_context.options = {"max_pixels": str(facts.width * facts.height + PADDING)}
        for other in container.streams:
            if other is not stream:
                other.discard = av.stream.Discard.all
        yield container, stream


def first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    """The first frame that can be decoded, as the decoder gives it."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        if frames:
            return frames[0]
    return None


def brief(error: BaseException) -> str:
    """The reason within an error of FFmpeg, without names of functions and files."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).strip().splitlines()[0][:120].lower()
