"""What a terminal shows of long work: one line that renews itself, or a few plain lines where output is recorded."""

from __future__ import annotations

import sys
from typing import TextIO

from pipelines.events import Event

CLEAR_LINE = "\r\x1b[K"
QUARTER = 0.25


class Progress:
    """Shows events on a stream (standard error by default). Use as a context manager, so that the line ends."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._last: tuple[str, int] | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._write(CLEAR_LINE)

    def show(self, event: Event) -> None:
        """Renew the line; on a plain stream only where a stage begins and at each further quarter of it."""
        if self._live:
            self._write(CLEAR_LINE + describe(event))
            return
        mark = (event.stage, int((event.fraction or 0.0) / QUARTER))
        if mark != self._last:
            self._last = mark
            self._write(describe(event) + "\n")

    def note(self, text: str) -> None:
        """A line that stays."""
        self._write(f"{CLEAR_LINE if self._live else ''}{text}\n")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def describe(event: Event) -> str:
    """An event as one line: "Fitting the face, 40 %, about 12 s left"."""
    parts = [event.message.rstrip(".")]
    if event.fraction is not None:
        parts.append(f"{event.fraction:.0%}".replace("%", " %"))
    if event.seconds_left is not None and event.seconds_left >= 1:
        parts.append(f"about {duration(event.seconds_left)} left")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """ "45 s", "3 min 20 s" or "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """ "310 kB", "14 MB", "2.3 GB"."""
    if count < 1_000_000:
        return f"{count / 1e3:.0f} kB"
    if count < 1_000_000_000:
        return f"{count / 1e6:.0f} MB"
    return f"{count / 1e9:.1f} GB"
