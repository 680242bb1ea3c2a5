"""The photo collection with the networks that it needs: what the People page and `app.py photos` call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

from models.errors import Cancelled, InputError
from models.faces.age import load_age_net, load_gender_net
from models.faces.detect import load_detector
from models.faces.identity import load_identity_net
from photos.library import ImportStep, Library
from photos.library.names import name_key
from photos.library.reading import FaceNets
from photos.library.sources import check_sources
from photos.people import People, PersonView
from pipelines.events import CancelToken, Eta, Event
from pipelines.runtime import Runtime


class Collection:
    """The library and its people under `data / "people"`, and the networks from the runtime's pool."""

    def __init__(self, runtime: Runtime, data: Path) -> None:
        """Raises EveryageError if the collection can't be opened, InputError if a newer Everyage wrote it."""
        self.runtime = runtime
        self.library = Library(data)
        self.people = People(self.library)

    def nets(self) -> FaceNets:
        """The networks that look at faces, on the runtime's device; they stay loaded while they are used."""
        pool, device = self.runtime.pool, self.runtime.device
        return FaceNets(
            pool.get("faces/yunet", lambda: load_detector(device)),
            pool.get("faces/age", lambda: load_age_net(device)),
            pool.get("faces/gender", lambda: load_gender_net(device)),
            pool.get("faces/identity", lambda: load_identity_net(device)),
        )

    def import_photos(
        self,
        sources: Sequence[Path],
        *,
        person: str | None = None,
        born: date | None = None,
        consent: str | None = None,
        keep: bool = False,
        cancel: CancelToken | None = None,
        met: bool = False,
    ) -> Iterator[Event]:
        """Import files, folders and zips; see `Library.import_photos`.

        person: whose photos they are; added if there is nobody of this name. Importing somebody's photos under their
        name needs consent to their embeddings, which is recorded with the text that was shown (`consent`).
        keep: copy loose files, too (uploads). met: the person is there and was asked for consent, see `People.meet`.
        Events: "import" for each file; "embed" and "settle" for a person; "compare"; "done" with an ImportReport.
        Raises InputError for a source that is not there or a birth date in the future; Cancelled at the next photo
        after a cancel: what was imported stays.
        """
        cancel = cancel or CancelToken()
        sources = [Path(source) for source in sources]
        check_sources(sources)
        if person is not None and not met:
            self.people.meet(person, born, consent)
        elif person is None and born is not None:
            raise InputError("A birth date needs a name: say whose it is, too.")
        return self._import(sources, person, keep, cancel)

    def _import(self, sources: list[Path], person: str | None, keep: bool, cancel: CancelToken) -> Iterator[Event]:
        report, eta = None, Eta(smoothing=0.98)
        yield Event("import", "Loading the networks that find faces")
        try:
            for step in self.library.import_photos(sources, self.nets(), person=person, keep=keep, check=cancel.check):
                report = step.value or report
                yield _event(step, eta)
        except Cancelled:
            if person is not None:
                self.people.settle(person)  # what is imported stays, and needs its ages
            raise
        if person is not None:
            yield from self._embed(person, cancel)
            yield Event("settle", f"Sorting the faces of {person}")
            self.people.settle(person)
        cancel.check()
        yield Event("compare", "Looking for photos that look alike")
        self.library.find_likenesses(cancel.check)
        yield Event("done", report.sentence() if report else "Done", 1, 1, 0.0, value=report)

    def consented(self, name: str) -> datetime | None:
        """When consent was given for a person, if it was, and if there is such a person."""
        known = self._find(name)
        return known.consent if known else None

    def _find(self, name: str) -> PersonView | None:
        return next((each for each in self.people.list() if name_key(each.name) == name_key(name)), None)

    def group(self, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Sort all faces into people and unnamed groups: "embed", "group", "done" with the number of groups.

        Raises InputError if the collection has no consent for it.
        """
        cancel = cancel or CancelToken()
        if self.library.consent() is None:
            raise InputError("Grouping needs consent first; give it on the People page or by `photos consent give`.")
        return self._group(cancel)

    def _group(self, cancel: CancelToken) -> Iterator[Event]:
        yield from self._embed(None, cancel)
        yield Event("group", "Sorting the faces")
        self.people.group(cancel.check)
        groups = self.people.groups()
        yield Event("done", f"{len(groups)} groups without a name", 1, 1, 0.0, value=len(groups))

    def _embed(self, person: str | None, cancel: CancelToken) -> Iterator[Event]:
        eta, total = Eta(smoothing=0.9), 0
        for left in self.library.embed(self.nets(), person, cancel.check):
            total = total or left
            if left:
                done = total - left
                yield Event("embed", f"Reading {total} faces", done, total, eta.update(done, total))


def _event(step: ImportStep, eta: Eta) -> Event:
    left = eta.update(step.done, step.total) if step.total else None
    return Event("import", step.message, step.done, step.total, left)
