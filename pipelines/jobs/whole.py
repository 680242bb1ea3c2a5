"""Work of one chunk that keeps a state of its own: a training with checkpoints, an import, a download that goes on.

What such a job leaves in its folder: `done.json`, written when its work is over and before anybody hears of it, so
that a kill in between does not bring the work about twice; and what pages draw beside its progress, see `View`.
"""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.errors import EveryageError
from photos.files import read_json, write_file
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell

if TYPE_CHECKING:
    from PIL import Image

CHUNK, DONE, VIEW = "all", "done.json", "view.json"
VIEW_EVERY_S = 1.0
POINTS = 400  # of a curve: more than a page shows
PLACES = 1000  # in which the whole work is counted

Stages = Mapping[str, tuple[float, float]]


class View:
    """What pages draw beside a job's progress: `view.json` with values and names of pictures, all in its folder.

    Written at most once a second; a picture is written at once and stands in for the one before. A job that goes on
    after a stop keeps what was drawn before it.
    """

    def __init__(self, folder: Path, every_s: float = VIEW_EVERY_S) -> None:
        self._folder, self._every = folder, every_s
        self._values, self._written = read_view(folder), float("-inf")
        self._drawn: dict[str, Image.Image] = {}

    def put(self, **values: Any) -> None:
        """Set some values, as JSON can hold them."""
        self._values.update(values)
        if time.monotonic() - self._written >= self._every:
            self.write()

    def picture(self, name: str, image: Image.Image) -> None:
        """Keep a picture as `NAME.png`, unless it is the one that was kept last; the file's name becomes the value."""
        if self._drawn.get(name) is image:
            return
        self._drawn[name], content = image, BytesIO()
        image.convert("RGB").save(content, "PNG", compress_level=1)
        write_file(self._folder / f"{name}.png", content.getvalue())
        self._values[name] = f"{name}.png"

    def write(self) -> None:
        """Bring the file up to date."""
        write_file(self._folder / VIEW, json.dumps(self._values).encode())
        self._written = time.monotonic()


def read_view(folder: Path) -> dict[str, Any]:
    """What `View` wrote last; empty while there is nothing."""
    return read_json(folder / VIEW) or {}


def thinned(values: Sequence[float], points: int = POINTS) -> list[float]:
    """At most so many values: means of equal stretches."""
    count = min(points, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)] if count else []
    return [float(f"{sum(values[a:b]) / (b - a):.6g}") for a, b in pairwise(edges)]


class WholeJob(JobKind):
    """A kind of one chunk. The folder of its files bears the job's id, a mark by which finished work is known again."""

    STAGES: ClassVar[Stages] = {}
    """Stage of an event -> (where it begins, where it ends) in the whole work, 0..1; others do not move the bar."""

    @abstractmethod
    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        """The work, or what is left of it. The last event is "done", with what `outcome` takes as its value."""

    @abstractmethod
    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        """`Job.result` out of the value of the event "done"; "files" are those that go with the job's results."""

    def show(self, event: Event, view: View) -> None:
        """Note what pages draw of an event."""

    def picture(self, event: Event) -> Image.Image | None:
        """What the event has to show, for the list of jobs."""
        return None

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        return [] if (folder / DONE).is_file() else [CHUNK]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        return 1

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        if (folder / DONE).is_file():
            return
        cancel.check()
        view, result, place = View(folder), None, 0.0
        try:
            with closing(_iterator(self.events(request, folder, cancel))) as events:
                for event in events:
                    if event.stage == "done":  # and on to the end: the work may have to tidy up
                        result = self.outcome(request, event.value)
                        continue
                    self.show(event, view)
                    place = self._place(event, place)
                    tell(self._told(event, place))
        finally:
            with suppress(EveryageError):  # a full disk must not hide why the work ended
                view.write()
        if result is None:
            raise EveryageError("The work ended without a result; try again.")
        write_file(folder / DONE, json.dumps(result).encode())

    def _place(self, event: Event, before: float) -> float:
        """How much of the whole work is done."""
        begin, end = self.STAGES.get(event.stage, (before, before))
        return max(begin + (event.fraction or 0.0) * (end - begin), before)

    def _told(self, event: Event, place: float) -> Event:
        last = self.STAGES.get(event.stage, (0.0, 0.0))[1] == 1.0  # only then is the stage's time the whole's
        left, shown = event.seconds_left if last else None, self.picture(event)
        return Event(event.stage, event.message, round(place * PLACES), PLACES, left, value=shown)

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        result = read_json(folder / DONE)
        if result is None:
            raise EveryageError("What came of this work can't be read; do it again.")
        return result


def _iterator(events: Iterator[Event]) -> Any:
    """As something that can be closed, which generators can."""
    yield from events
