"""Opening videos that nobody vouches for: told apart by their first bytes, looked into by a process with limits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from io import FileIO
from pathlib import Path
from typing import Any

from models.errors import EveryageError, InputError

from .facts import VideoFacts
from .kinds import FIRST_BYTES, demuxer_of

PROBE = Path(__file__).with_name("probe.py")
# What FFmpeg says in plain words; its other reasons are those of something else.
PLAIN_REASONS = ("invalid data found when processing input", "end of file")
LONGEST_SECONDS = 100 * 3600.0


@dataclass(frozen=True)
class Limits:
    """What a video may have and take. pixels: of a frame; side: least width and height; seconds, memory: of the first
    look into the file (bytes)."""

    pixels: int = 64_000_000
    side: int = 64
    seconds: float = 20.0
    memory: int = 3 * 2**30


def open_video(path: str | Path, limits: Limits | None = None) -> VideoFacts:
    """The facts of a video file that can be read.

    Raises InputError, one sentence, for: nothing there, a folder, an empty file, no video of a known kind, a list that
    points elsewhere, no moving pictures, more pixels than `limits.pixels` (told from the header alone), a side below
    `limits.side`, nothing that can be decoded, more time or memory for the first look than allowed. A file that is cut
    short or damaged further on is opened: the frames that can be decoded are used.
    """
    path, limits = Path(path).absolute(), limits or Limits()
    check_file(path)
    try:
        with path.open("rb", buffering=0) as file:  # the other process shares the place where reading goes on
            demuxer = demuxer_of(file.read(FIRST_BYTES), str(path))
            found = _checked(_probe(file, demuxer, path, limits), path, limits)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}); choose another video.") from error
    return _facts(found, path, digest, demuxer)


def check_file(path: Path) -> None:
    """Raises InputError unless `path` is a plain file that is not empty."""
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give one video.")
        if not path.exists():
            raise InputError(f"There is no file {path}; check the name.")
        if not path.is_file():
            raise InputError(f"{path} is not a plain file; give a video.")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty; give a video.")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise InputError(f"{str(path)!r} can't be read ({error}).") from error


def _probe(file: FileIO, demuxer: str, path: Path, limits: Limits) -> dict[str, Any]:
    file.seek(0)
    numbers = (limits.memory, max(int(limits.seconds), 1), limits.pixels)
    # With -P Python looks for no module beside the script, which would shadow others by its names.
    command = [sys.executable, "-P", str(PROBE), demuxer, *map(str, numbers)]
    try:
        done = subprocess.run(command, stdin=file, capture_output=True, timeout=limits.seconds, check=False)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"{path} could not be read within {limits.seconds:g} seconds; it is damaged or hostile."
        ) from None
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        found = {"error": "ended", "why": f"signal {-done.returncode}" if done.returncode < 0 else ""}
        if done.returncode > 0:
            last = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
            raise EveryageError(f"{path} could not be looked into ({last[:200]}); report this.") from None
    return dict(found)


def _checked(found: dict[str, Any], path: Path, limits: Limits) -> dict[str, Any]:
    """The answer of the other process, or the sentence for what is wrong. It has read the file, so trust no value."""
    error, why = found.get("error"), str(found.get("why", ""))
    if error == "memory":
        raise InputError(
            f"{path} can't be read within {limits.memory / 2**30:g} GB of memory; it is damaged or hostile."
        )
    if error == "pictures":
        raise InputError(f"{path} has no moving pictures that can be decoded; choose another video.")
    if error == "frames":
        raise InputError(f"{path} has no frame that can be decoded; it is damaged or cut short: give another copy.")
    if error == "damaged":
        reason = f" ({why})" if why in PLAIN_REASONS else ""
        raise InputError(f"{path} is damaged or cut short{reason}; give another copy of the video.")
    if error == "ended":
        raise InputError(f"{path} stopped the process that read it ({why}); it is damaged or hostile.")
    width, height = int(found["width"]), int(found["height"])
    if error == "size" or width * height > limits.pixels:
        raise InputError(
            f"{path} has frames of {width} x {height} pixels; {limits.pixels:,} pixels are the most that are read."
        )
    if min(width, height) < limits.side:
        raise InputError(f"{path} has only {width} x {height} pixels; {limits.side} x {limits.side} is the least.")
    if found["seconds"] > LONGEST_SECONDS:
        # A damaged header; the frames themselves are counted later.
        found["seconds"] = 0.0
    return found


def _facts(found: dict[str, Any], path: Path, digest: str, demuxer: str) -> VideoFacts:
    return VideoFacts(
        path=path,
        sha256=digest,
        container=demuxer,
        stream=found["stream"],
        width=found["width"],
        height=found["height"],
        rotation=found["rotation"],
        time_base=Fraction(found["time_base"]),
        rate=Fraction(found["rate"]),
        pixel_format=found["pixel_format"],
        bits=found["bits"],
        codec=found["codec"],
        audio=tuple(found["audio"]),
        subtitles=tuple(found["subtitles"]),
        seconds=float(found["seconds"]),
    )
