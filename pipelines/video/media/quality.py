"""How the pictures of a result are encoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from av.video.format import VideoFormat

from pipelines.video.options import CRF, Codec, VideoOptions

from .facts import VideoFacts
from .planes import layout_of, normal_name

ENCODERS = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "prores": "prores_ks"}
# Fast enough for 60 frames a second of 512 pixels on two cores; slower ones only save space.
PRESETS = {"h264": "veryfast", "hevc": "veryfast", "av1": "8", "prores": ""}
# Fixed, since some encoders' results depend on it: parts from machines with more cores must fit together.
THREADS = 4
KEY_FRAMES = 10  # at most so many seconds apart, so that players can seek


@dataclass(frozen=True)
class Quality:
    """codec: of the pictures. crf: lower is better and larger, 0 loses nothing (H.264, HEVC). ten_bit: None keeps
    what the source has. preset: the encoder's own word for fast or small, "" for the default."""

    codec: Codec = "h264"
    crf: int = CRF["h264"]
    ten_bit: bool | None = None
    preset: str = ""

    @classmethod
    def of(cls, options: VideoOptions) -> Quality:
        """The quality that a person chose."""
        return cls(options.codec, options.quality, options.ten_bit)

    @property
    def lossless(self) -> bool:
        return self.crf == 0 and self.codec in ("h264", "hevc")


def encoded_format(facts: VideoFacts, quality: Quality) -> str:
    """The pixel format of the result.

    Sampling of chroma and depth are the source's, as far as the codec has them: H.264, HEVC 8 or 10 bits, AV1 4:2:0,
    ProRes 10 bits 4:2:2 or 4:4:4. Frames of an odd side can't have 4:2:0 in H.264 and HEVC; they get 4:4:4, in which
    each sample of chroma is repeated.
    """
    source = layout_of(normal_name(VideoFormat(facts.pixel_format, facts.width, facts.height)))
    deep = source.bits > 8 if quality.ten_bit is None else quality.ten_bit
    chroma = {(2, 2): "420", (2, 1): "422", (1, 1): "444"}[source.across, source.down]
    if quality.codec == "prores":
        return "yuv444p10le" if chroma == "444" else "yuv422p10le"
    if quality.codec == "av1":
        return "yuv420p10le" if deep else "yuv420p"
    if facts.width % source.across or facts.height % source.down:
        chroma = "444"
    return f"yuv{chroma}p10le" if deep else f"yuv{chroma}p"


def encoder_options(quality: Quality, rate: Fraction) -> dict[str, str]:
    """Options of the encoder with which a part begins with a key frame and leans on nothing outside it."""
    preset = quality.preset or PRESETS[quality.codec]
    apart = str(max(round(KEY_FRAMES * rate), 1))
    if quality.codec == "h264":
        crf = {"qp": "0"} if quality.lossless else {"crf": str(quality.crf)}
        return {"preset": preset, "g": apart, "x264-params": "open-gop=0"} | crf
    if quality.codec == "hevc":
        crf = {"crf": str(quality.crf)}
        words = f"open-gop=0:log-level=error:frame-threads=2:info=0:lossless={int(quality.lossless)}"
        return {"preset": preset, "g": apart, "x265-params": words} | crf
    if quality.codec == "av1":
        return {"preset": preset, "crf": str(quality.crf), "g": apart}
    return {"profile": "4" if quality.codec == "prores" and preset == "4444" else "3", "vendor": "apl0"}
