"""What is known of a video file: values only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class VideoFacts:
    """A checked video file.

    path, sha256: of the file; container: the demuxer that reads it. stream: index of the picture stream. width,
    height: of the stored frames. rotation: degrees (0, 90, 180, 270) by which a stored frame is turned clockwise to
    stand upright. time_base: of all timestamps; rate: average frames a second. pixel_format: ffmpeg's name; bits: per
    sample (8, 10, 12). codec: of the pictures; audio, subtitles: indices of the streams that are carried over.
    seconds: stated length, 0 if it is not stated.
    """

    path: Path
    sha256: str
    container: str
    stream: int
    width: int
    height: int
    rotation: int
    time_base: Fraction
    rate: Fraction
    pixel_format: str
    bits: int
    codec: str
    audio: tuple[int, ...]
    subtitles: tuple[int, ...]
    seconds: float

    @property
    def upright_size(self) -> tuple[int, int]:
        """(width, height) as a person sees it."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        exact = {"path": str(self.path), "time_base": str(self.time_base), "rate": str(self.rate)}
        return asdict(self) | exact

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> VideoFacts:
        """What `as_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        exact = {"path": Path(stored["path"]), "time_base": Fraction(stored["time_base"])}
        exact |= {"rate": Fraction(stored["rate"])}
        return cls(**stored | exact | {name: tuple(stored[name]) for name in ("audio", "subtitles")})


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Every frame of a video in the order in which it is shown, found by decoding it once.

    pts: (F,) int64, rising strictly, in units of the time base; made from the average rate where the file has none.
    keys: numbers of frames at which decoding can begin; empty where seeking can't be trusted, then it begins at 0.
    duration: of the last frame, in units of the time base.
    """

    pts: np.ndarray
    keys: np.ndarray
    duration: int

    def __len__(self) -> int:
        return len(self.pts)
