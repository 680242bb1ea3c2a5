"""Small videos of every sort, made with seeded content: what tests of videos read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


@dataclass(frozen=True)
class Clip:
    """What a test video is like. `pts`: times in units of `base`; None: even ones at `rate`. `audio`: languages of its
    sound tracks. `subtitles`: texts, one each second."""

    frames: int = 24
    size: tuple[int, int] = (96, 80)
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    form: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = (("preset", "ultrafast"), ("g", "8"))
    pts: tuple[int, ...] | None = None
    base: Fraction | None = None
    audio: tuple[str, ...] = ()
    audio_codec: str = "aac"
    subtitles: tuple[str, ...] = ()
    subtitle_codec: str = "mov_text"
    rotation: int = 0
    tags: tuple[tuple[str, str], ...] = ()
    colours: tuple[int, int, int, int] | None = None  # range, space, primaries, transfer
    aspect: Fraction | None = None
    colour: tuple[int, int, int] | None = None
    container: str | None = None


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """The RGB picture of a frame (H, W, 3) uint8: soft waves that wander, a box that says which frame it is."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    waves = [np.sin((x * a + y * b) / 17 + number / c) for a, b, c in ((1, 0.5, 3), (0.4, 1, 5), (0.8, -0.7, 7))]
    image = np.stack([128 + 70 * wave for wave in waves], -1)
    left = 4 + number * 3 % (width - 24)
    image[8:24, left : left + 16] = (20 + number * 7 % 200, 200, 40)
    return image.astype(np.uint8)


def make_clip(path: Path, clip: Clip = Clip()) -> Path:
    """Write the video; returns its path."""
    options = {"movflags": "use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", format=clip.container, options=options) as target:
        target.metadata.update(dict(clip.tags))
        stream = _pictures(target, clip)
        sounds = [_sound(target, clip, number) for number in range(len(clip.audio))]
        texts = _texts(target, clip)
        for number in range(clip.frames):
            target.mux(stream.encode(_frame(clip, number)))
        target.mux(stream.encode(None))
        seconds = clip.frames / float(clip.rate)
        for number, sound in enumerate(sounds):
            _tone(target, sound, seconds, 300 + 170 * number)
        for second, text in enumerate(clip.subtitles):
            _text(target, texts, second, text, clip.subtitle_codec)
    return path


def _pictures(target: Any, clip: Clip) -> Any:
    stream = target.add_stream(clip.codec, rate=clip.rate, options=dict(clip.options))
    context = stream.codec_context
    context.width, context.height, context.pix_fmt = *clip.size, clip.form
    context.time_base = stream.time_base = clip.base or 1 / clip.rate
    if clip.colours:
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = clip.colours
    if clip.aspect:
        context.sample_aspect_ratio = clip.aspect
    if clip.rotation:
        stream.set_display_rotation(clip.rotation)
    context.thread_count = 1
    return stream


def _frame(clip: Clip, number: int) -> av.VideoFrame:
    image = picture(number, clip.size)
    if clip.colour is not None:
        image[:] = clip.colour
    frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format=clip.form)
    frame.pts = number if clip.pts is None else clip.pts[number]
    frame.time_base = clip.base or 1 / clip.rate
    return frame


def _sound(target: Any, clip: Clip, number: int) -> Any:
    stream = target.add_stream(clip.audio_codec, rate=44100 if number % 2 else 48000)
    stream.codec_context.layout = "mono"
    stream.metadata["language"] = clip.audio[number]
    return stream


def _tone(target: Any, stream: Any, seconds: float, pitch: float) -> None:
    rate = stream.codec_context.sample_rate
    samples = np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)[None]
    kind = stream.codec_context.format.name
    samples = samples.astype(np.float32) if kind.startswith("flt") else (samples * 20000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), kind, "mono")
    frame.sample_rate, frame.pts = rate, 0
    resampler = av.AudioResampler(kind, "mono", rate, frame_size=stream.codec_context.frame_size or 1024)
    for piece in resampler.resample(frame) + resampler.resample(None):
        target.mux(stream.encode(piece))
    target.mux(stream.encode(None))


def _texts(target: Any, clip: Clip) -> Any:
    if not clip.subtitles:
        return None
    stream = target.add_mux_stream(clip.subtitle_codec)
    stream.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "fra"
    return stream


def _text(target: Any, stream: Any, second: int, text: str, codec: str) -> None:
    data = text.encode()
    packet = av.Packet(len(data).to_bytes(2, "big") + data if codec == "mov_text" else data)
    packet.stream, packet.time_base = stream, Fraction(1, 1000)
    packet.pts = packet.dts = second * 1000
    packet.duration = 400
    target.mux(packet)


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, bytes]]]:
    """(time, bytes) of all packets of each stream of a kind ("audio", "subtitle")."""
    with av.open(str(path)) as source:
        streams = [stream for stream in source.streams if stream.type == kind]
        found: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in streams}
        for packet in source.demux(streams) if streams else ():
            if packet.size:
                found[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
    return list(found.values())


def planes(frame: av.VideoFrame) -> list[bytes]:
    """The visible samples of each plane, row by row."""
    width = 1 if frame.format.components[0].bits <= 8 else 2
    rows = []
    for plane in frame.planes:
        data = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * plane.height]
        rows.append(data.reshape(plane.height, -1)[:, : plane.width * width].tobytes())
    return rows


def all_planes(frames: Sequence[av.VideoFrame]) -> list[list[bytes]]:
    return [planes(frame) for frame in frames]
