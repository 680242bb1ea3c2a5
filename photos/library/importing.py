"""Importing: one photo, one transaction, its crops written before it. Cut off anywhere, nothing is lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout
from sqlmodel import col, delete, select

from models.errors import InputError
from photos.library.entering import Entrance
from photos.library.names import find_person
from photos.library.reading import FaceNets
from photos.library.sources import Found, Ignored, as_text, check_sources, walk
from photos.library.tables import Face, Import, Refusal
from photos.library.views import ImportReport, ImportStep, Refused

if TYPE_CHECKING:
    from photos.library.library import Library

WAIT_S = 0.3
PROBLEMS_SHOWN = 100


def import_photos(
    library: Library,
    sources: Sequence[Path],
    nets: FaceNets,
    person: str | None,
    keep: bool,
    check: Callable[[], None],
) -> Iterator[ImportStep]:
    """See `Library.import_photos`. What is wrong with the call is raised at once, not at the first step."""
    check_sources(sources)
    person_id = None
    if person is not None:
        with library.session(write=False) as session:
            person_id = find_person(session, person).id
    entrance = Entrance(library, nets, person_id, keep)
    return _Import(library, entrance, check).run([Path(source) for source in sources])


class _Import:
    """One import, from the lock to the report."""

    def __init__(self, library: Library, entrance: Entrance, check: Callable[[], None]) -> None:
        self.library, self.entrance, self.check = library, entrance, check
        self.report = ImportReport(0)

    def run(self, sources: Sequence[Path]) -> Iterator[ImportStep]:
        lock = self.library.store.importing()
        yield from self._wait(lock)
        began, finished = time.monotonic(), False
        try:
            self.report = ImportReport(self._begin(sources))
            yield ImportStep(0, 0, "Looking for photos")
            found = self._look(sources)
            for index, each in enumerate(found):
                yield ImportStep(index, len(found), f"Photo {index + 1} of {len(found)}: {each.name}")
                self.check()
                self._enter(each)
            finished = True
        finally:
            self.entrance.opener.close()
            self.report = replace(self.report, seconds=round(time.monotonic() - began, 2))
            self._end(finished)
            lock.release()
        if self.report.added:
            self.library.database.backup()
        yield ImportStep(len(found), len(found), self.report.sentence(), self.report)

    def _wait(self, lock: FileLock) -> Iterator[ImportStep]:
        """Until no other import runs: each sweeps up after killed ones, and must not sweep up after a living one."""
        while True:
            self.check()
            try:
                lock.acquire()
                return
            except Timeout:
                yield ImportStep(0, 0, "Waiting for another import to end")
                time.sleep(WAIT_S)

    def _begin(self, sources: Sequence[Path]) -> int:
        """Sweep up after a killed import, and record this one."""
        store = self.library.store
        asked = [as_text(str(source.absolute())) for source in sources]
        with self.library.session() as session:
            crops = dict(session.exec(select(Face.crop, Face.photo_id)).all())
            there = store.sweep(crops)
            self.entrance.damaged = {photo_id for name, photo_id in crops.items() if name not in there}
            row = Import(asked=asked, person_id=self.entrance.person_id, started=datetime.now(UTC))
            session.add(row)
            session.flush()
            assert row.id is not None
            return row.id

    def _look(self, sources: Sequence[Path]) -> list[Found]:
        """Everything that is a photo by its name; the rest is counted or refused."""
        found: list[Found] = []
        refused: list[Refused] = []
        ignored = 0
        for each in walk(sources):
            self.check()
            if isinstance(each, Found):
                found.append(each)
            elif isinstance(each, Ignored):
                ignored += 1
            else:
                refused.append(each)
        self.report = replace(self.report, ignored=ignored)
        self._refuse(refused)
        return found

    def _enter(self, found: Found) -> None:
        try:
            entered = self.entrance.enter(found)
        except InputError as error:
            self._refuse([Refused(found.label, str(error))])
            return
        report = self.report
        if entered.known:
            self.report = replace(report, known=report.known + 1)
            return
        added, faces, faceless = report.added + 1, report.faces + entered.faces, report.faceless + (not entered.faces)
        self.report = replace(report, added=added, faces=faces, faceless=faceless)

    def _refuse(self, refused: Sequence[Refused]) -> None:
        """Record refusals, in place of older ones of the same files."""
        shown = [Refused(as_text(each.path), as_text(each.reason)) for each in refused]
        with self.library.session() as session:
            for each in shown:
                session.exec(delete(Refusal).where(col(Refusal.path) == each.path))
                session.add(Refusal(import_id=self.report.import_id, path=each.path, reason=each.reason))
        problems = (*self.report.problems, *shown)[:PROBLEMS_SHOWN]
        self.report = replace(self.report, refused=self.report.refused + len(shown), problems=problems)

    def _end(self, finished: bool) -> None:
        report = self.report
        with self.library.session() as session:
            row = session.get(Import, report.import_id)
            if row is None:  # it never began
                return
            row.added, row.known, row.refused, row.ignored = report.added, report.known, report.refused, report.ignored
            row.finished = datetime.now(UTC) if finished else None
            session.add(row)
