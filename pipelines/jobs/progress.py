"""From what one chunk says to how far the whole job is, not more often than anybody can read."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.errors import EveryageError
from photos.files import write_atomically
from pipelines.events import Eta, Event
from pipelines.jobs.job import Told

CHUNK = 1000
"""A job counts in thousandths of a chunk, so that also one of a single chunk has something to show."""
TELL_S, PREVIEW_S = 0.3, 1.0
PREVIEW, PREVIEW_SIDE = "preview.jpg", 512


def pace() -> Eta:
    """The time left of a job that is counted in thousandths of chunks: half of its weight lies on the last three."""
    return Eta(smoothing=0.8 ** (1 / CHUNK))


class Teller:
    """What a chunk's work calls. Keeps message, numbers and preview where pages and commands find them.

    place: of the chunk in the whole job, if its kind knows; see `JobKind.place`.
    """

    def __init__(self, keep: Callable[[Told], None], folder: Path, finished: int, chunks: int, eta: Eta) -> None:
        """finished of chunks: done before this one; chunks 0 while their number is not known."""
        self._keep, self._folder = keep, folder
        self._finished, self._chunks, self._eta = finished, chunks, eta
        self._told_at = self._shown_at = 0.0
        self.place: tuple[float, float] | None = None
        eta.update(finished * CHUNK, chunks * CHUNK)

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        picture = self._preview(event.value) if now - self._shown_at >= PREVIEW_S else None
        if picture is not None:
            self._shown_at = now
        if picture is None and now - self._told_at < TELL_S:
            return
        self._told_at = now
        total = max(self._chunks, self._finished) * CHUNK if self._chunks else 0
        done = self._done(event.fraction or 0.0)
        done = min(done, total) if total else done  # the last step, after all chunks, adds nothing
        left = self._eta.update(done, total)
        if self._chunks == 1 and event.seconds_left is not None:  # the work knows its own pace, also after a stop
            left = event.seconds_left
        with contextlib.suppress(EveryageError):  # a full disk must not end work that may still find room
            self._keep(Told(event.message, done, total, left, picture))

    def _done(self, fraction: float) -> int:
        """In thousandths of a chunk, of all chunks together."""
        if self.place is None or not self._chunks:
            return round((self._finished + fraction) * CHUNK)
        before, adds = self.place
        return round((before + fraction * adds) * self._chunks * CHUNK)

    def _preview(self, value: Any) -> Path | None:
        """Keep a picture as the job's preview; None for anything else."""
        from PIL import Image

        if not isinstance(value, Image.Image):
            return None
        small = value.convert("RGB")
        small.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        path = self._folder / PREVIEW
        try:
            write_atomically(path, lambda file: small.save(file, "JPEG", quality=88))
        except EveryageError:
            return None
        return path
