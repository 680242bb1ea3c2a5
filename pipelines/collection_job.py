"""Importing photos, and sorting faces into people, as jobs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import Tell
from pipelines.jobs.request import given_path, only_known
from pipelines.jobs.whole import Stages, WholeJob

if TYPE_CHECKING:
    from photos.people import People
    from pipelines.collection import Collection

UPLOADS = "uploads"  # in the data folder: photos that a browser handed over, each hand-over in a folder of its own
NO_CONSENT = "Grouping needs consent first; give it on the People page or by `photos consent give`."


class _CollectionJob(WholeJob):
    def people(self) -> People:
        from photos.library import Library
        from photos.people import People

        return People(Library(self.settings.data))

    def collection(self) -> Collection:
        from pipelines.collection import Collection

        return Collection(self.runtime(), self.settings.data)


class ImportJob(_CollectionJob):
    """request: "sources" (files, folders, zips); "person" (a name, or nothing) with "born" (YYYY-MM-DD) and "consent"
    (the text that was shown); "keep" (the sources are uploads and do not stay).

    Consent counts from when it was given, and the person is there from then on: the job itself knows them by the token
    of their folder.
    """

    name = "import"
    STAGES: ClassVar[Stages] = {
        "import": (0.0, 0.9),
        "embed": (0.9, 0.97),
        "settle": (0.97, 0.98),
        "compare": (0.98, 1.0),
    }

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        from photos.library.sources import check_sources

        only_known(request, "sources", "person", "born", "consent", "keep")
        sources = [given_path(source, "files, folders or zip archives") for source in request.get("sources") or []]
        check_sources(sources)
        named, born = str(request.get("person") or ""), _day(request.get("born"))
        if born is not None and not named:
            raise InputError("A birth date needs a name: say whose it is, too.")
        checked = {"sources": [str(path) for path in sources], "person": "", "keep": bool(request.get("keep"))}
        return checked | ({"person": self._met(named, born, request.get("consent"))} if named else {})

    def _met(self, named: str, born: date | None, consent: str | None) -> str:
        people = self.people()
        known = next((person for person in people.list() if person.folder == named), None)
        return (known or people.meet(named, born, consent)).folder

    def title(self, request: dict[str, Any]) -> str:
        whose = f" of {self.people().whose(request['person']).name}" if request["person"] else ""
        sources = request["sources"]
        where = "" if request["keep"] else f" from {Path(sources[0]).name}" + (" and more" if len(sources) > 1 else "")
        return f"Importing photos{whose}{where}"

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        collection = self.collection()
        sources = [Path(source) for source in request["sources"]]
        whose = collection.people.whose(request["person"]).name if request["person"] else None
        yield from collection.import_photos(sources, person=whose, keep=request["keep"], cancel=cancel, met=True)

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        """Hand-overs go only now: until it is written down what came of them, they may be needed again."""
        result = super().finish(request, folder, tell, cancel)
        remove_uploads(self.settings.data, [Path(source) for source in request["sources"]])
        return result

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        from pipelines.people_words import import_facts

        facts = import_facts(value) | {"sentence": value.sentence()}
        return {"files": [], "person": request["person"], **facts}


class GroupJob(_CollectionJob):
    """Sort all faces into people and unnamed groups; the request is empty."""

    name = "group"
    STAGES: ClassVar[Stages] = {"embed": (0.0, 0.9), "group": (0.9, 1.0)}

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        only_known(request)
        if self.people().library.consent() is None:
            raise InputError(NO_CONSENT)
        return {}

    def title(self, request: dict[str, Any]) -> str:
        return "Grouping the faces"

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        yield from self.collection().group(cancel)

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        return {"files": [], "groups": int(value)}


def remove_uploads(data: Path, sources: Sequence[Path]) -> list[Path]:
    """Delete hand-overs of which these are parts; says which folders are gone. What lies elsewhere is not touched."""
    home = data / UPLOADS
    gone = {home / path.relative_to(home).parts[0] for path in sources if path != home and path.is_relative_to(home)}
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return sorted(gone)


def _day(text: Any) -> date | None:
    if not text:
        return None
    from pipelines.people_commands import parse_date

    return parse_date(str(text))
