"""The models of this machine: what is here, what could be added, and everything that can be done with them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from models import catalog, foreign
from models.catalog import ModelRecord
from models.errors import EveryageError, InputError
from photos.files import check_output, make_folder
from pipelines.events import CancelToken, Event
from pipelines.models.bring import bring, check_source
from pipelines.models.hub import HUB, wanted_files
from pipelines.models.names import ID, check_id, how_to_add, own_record, slug
from pipelines.models.shelf import DOWNLOADS, REPOSITORY, Shelf, bytes_in
from pipelines.models.stored import PIPELINE, Entry, StoredFile, StoredModel
from pipelines.models.transfer import NoRoom, Transfer, Wanted, check_disk, hashing
from pipelines.models.web import Manners, connect
from pipelines.settings import Settings

LOCKS, ADDING = ".locks", ".adding-"


@dataclass(frozen=True)
class Verdict:
    """The outcome of a check of one model: `detail` says what was found, or what is wrong."""

    id: str
    ok: bool
    detail: str


class ModelStore(Shelf):
    """The folder `data / "models"`. Several processes may use it at a time; a model is worked on by one of them.

    Long work (`add`, `download`, `verify`) is a generator of `Event`s, as everywhere in the app; the last event has
    stage "done" and the result as its value. Nothing happens until it is iterated; `finish` does that.
    """

    def __init__(self, data: Path, settings: Settings, manners: Manners | None = None, hub: str = HUB) -> None:
        """manners: of downloads. hub: the address of the Hugging Face Hub. Raises EveryageError without a folder."""
        super().__init__(data)
        self.settings, self.manners, self.hub = settings, manners or Manners(), hub

    def add(
        self, path: str | Path, id: str | None = None, name: str | None = None, cancel: CancelToken | None = None
    ) -> Iterator[Event]:
        """Add a file, a Diffusers folder or an adapter; foreign files are converted without running anything in them.

        id: a model of the catalog that this is, or an id of one's own. name: a title of one's own. Without both, a
        published file is known by its name, and any other gets an id from its name.
        The last event has the `StoredModel`. Raises InputError for what can't be added, Cancelled.
        """
        path = Path(path).expanduser()
        record = self._target(path, id, name)
        check_source(path, record)
        yield from self._bring(path, record, {"file": path.name}, cancel or CancelToken())

    def convert(self, path: str | Path, out: str | Path, dtype: str = "float32") -> foreign.Converted:
        """Turn a foreign weight file into our safetensors form at `out`, without adding it."""
        path, out = Path(path), Path(out)
        check_output(out)
        if out.suffix != ".safetensors":
            raise InputError(f"{out} must end in .safetensors, the only form that is written.")
        if out.exists() and path.exists() and out.samefile(path):
            raise InputError(f"{out} is the source itself; choose another name.")
        return foreign.convert_safely(path, out, dtype=dtype)

    def download(self, id: str, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Fetch a model and add it. `id` may be OWNER/NAME of a Diffusers repository on the Hugging Face Hub.

        What has arrived stays when it is interrupted, and the next download goes on from there. Raises InputError
        where the app is offline, the licence is not accepted, or the model can't be fetched by a program.
        """
        cancel = cancel or CancelToken()
        record = self._record_or_hub(id)
        self._may_download(record)
        with self._claim(record.id):
            self._may_download(record)  # again: another window may just have finished it
            place = make_folder(self.folder / DOWNLOADS / record.id)
            try:
                yield from self._fetch(record, place, cancel)
                source, origin = self._arrived(record, place)
                yield from self._fill(source, record, origin, cancel, move=True)
            except NoRoom:
                raise
            except InputError:
                if self._complete(record, place):  # whole, and still not what it should be
                    shutil.rmtree(place, ignore_errors=True)
                raise
            shutil.rmtree(place, ignore_errors=True)

    def check_download(self, id: str) -> ModelRecord:
        """The model that `download` would fetch. Raises InputError where it would, without asking the network."""
        record = self._record_or_hub(id)
        self._may_download(record)
        return record

    def forget_download(self, id: str) -> None:
        """Delete what a download of this model left that ended, or was killed at its very end."""
        check_id(id)
        shutil.rmtree(self.folder / DOWNLOADS / id, ignore_errors=True)

    def remove(self, id: str) -> int:
        """Delete a model and what an unfinished download of it left. Returns the bytes that became free."""
        record = catalog.find_record(id)
        if record is not None and record.source.kind == "shipped":
            raise InputError(f"{record.title} is part of the app and stays.")
        if not ID.fullmatch(id):
            raise InputError(f"There is no model {id!r}; `python app.py models list` shows all.")
        places = [path for path in (self.folder / id, self.folder / DOWNLOADS / id) if path.exists()]
        if not places:
            raise InputError(f"{id} is not here, so there is nothing to remove.")
        with self._claim(id):
            freed = sum(path.stat().st_size for place in places for path in place.rglob("*") if path.is_file())
            for place in places:
                gone = place.with_name(f"{ADDING}{os.getpid()}-{secrets.token_hex(4)}")
                place.rename(gone)  # at once; a name never stands for half a model
                shutil.rmtree(gone, ignore_errors=True)
        return freed

    def verify(self, id: str | None = None, cancel: CancelToken | None = None) -> Iterator[Event]:
        """Compare every file of one model, or of all, with its SHA-256. The last event has a list of `Verdict`s."""
        cancel = cancel or CancelToken()
        entries = (
            [self.get(id)] if id is not None else [entry for entry in self.list() if entry.stored or entry.problem]
        )
        if id is not None and entries[0].stored is None and not entries[0].problem:
            raise InputError(f"{entries[0].record.title} is not here, so there is nothing to check.")
        verdicts: list[Verdict] = []
        for entry in entries:
            problem = entry.problem if entry.stored is None else ""
            for file in entry.stored.files if entry.stored else ():
                problem = problem or (yield from self._check(entry, file, cancel))
            verdicts.append(self._judge(entry, problem))
        yield Event("done", "Checked", len(entries), len(entries), value=verdicts)

    def _check(self, entry: Entry, file: StoredFile, cancel: CancelToken) -> Any:
        """What is wrong with one file, or ""; a generator of events."""
        path = entry.stored.base / file.name if entry.stored else Path()
        if not path.is_file():
            return f"the file {file.name} is missing"
        digest = hashlib.sha256()
        yield from hashing(path, f"Checking {entry.record.title}", digest, cancel)
        found = digest.hexdigest()
        return "" if found == file.sha256 else f"{file.name} changed: sha256 {found[:12]}..., not {file.sha256[:12]}..."

    def _judge(self, entry: Entry, problem: str) -> Verdict:
        stored = entry.stored
        if stored is not None and entry.here:
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            stored.marked(problem, now).write(self.folder / entry.id)
        advice = "install the app again" if entry.record.source.kind == "shipped" else "remove it and add it again"
        if stored is None:
            return Verdict(entry.id, False, problem)
        return Verdict(
            entry.id, not problem, f"{problem}; {advice}" if problem else f"{stored.bytes / 1e6:,.1f} MB, unchanged"
        )

    def _target(self, path: Path, id: str | None, name: str | None) -> ModelRecord:
        """What a file is added as."""
        if id is None and name is None:
            given = path.name.lower()
            for record in catalog.records():
                if any(file.name.lower() == given for file in record.files) and record.source.kind != "shipped":
                    return record
        own = id if id is not None else slug(name or path.stem)
        check_id(own)
        known = catalog.find_record(own)
        if known is not None and known.source.kind == "shipped":
            raise InputError(f"{own} is part of the app; choose another name.")
        if known is not None and (id is None or name is not None):
            raise InputError(f"{own} is the name of {known.title} in the catalog; choose another name.")
        return known or own_record(own, name or path.stem)

    def _may_download(self, record: ModelRecord) -> None:
        if record.source.kind == "shipped":
            raise InputError(f"{record.title} is part of the app; there is nothing to download.")
        if (self.folder / record.id).exists():
            raise InputError(f"{record.title} is here already; remove it first to download it again.")
        if self.settings.offline:
            raise InputError(
                "Everyage was started offline, so nothing is downloaded; start it without --offline and "
                f"EVERYAGE_OFFLINE, or add the file by hand with `python app.py models add FILE --id {record.id}`."
            )
        if not record.source.direct:
            raise InputError(f"{record.title} can't be downloaded by a program; {how_to_add(record)}.")
        if record.licence.ask and record.id not in self._accepted():
            raise InputError(
                f"First accept the licence of {record.title} ({record.licence.title}): on the Models page, or with "
                f"`python app.py models accept {record.source.where if record.source.kind == 'hub' else record.id}`."
            )

    def _fetch(self, record: ModelRecord, place: Path, cancel: CancelToken) -> Iterator[Event]:
        with connect(self.manners) as client:
            if record.source.kind == "hub":
                yield Event("download", f"Asking the Hub for {record.source.where}")
                (place / REPOSITORY).write_text(record.source.where, encoding="utf-8")
                wanted = wanted_files(client, record, self.hub)
                into = place / PIPELINE
            else:
                known = record.files[0]
                wanted = [Wanted(record.source.where, known.name, known.bytes, known.sha256, record.max_bytes)]
                into = place
            total = sum(file.bytes or 0 for file in wanted)
            if total and record.source.kind == "hub":
                check_disk(make_folder(into), total - bytes_in(into), self.manners.spare_bytes)
            before = 0
            for file in wanted:
                for event in Transfer(client, file, into, self.manners).run(cancel):
                    yield event if len(wanted) == 1 or event.stage != "download" else _overall(event, before, total)
                before += file.bytes or 0

    def _arrived(self, record: ModelRecord, place: Path) -> tuple[Path, dict[str, str]]:
        if record.source.kind == "hub":
            return place / PIPELINE, {"hub": record.source.where}
        return place / record.files[0].name, {"url": record.source.where}

    def _complete(self, record: ModelRecord, place: Path) -> bool:
        source, _ = self._arrived(record, place)
        return source.is_file() or (source / "model_index.json").is_file()

    def _bring(self, path: Path, record: ModelRecord, origin: dict[str, str], cancel: CancelToken) -> Iterator[Event]:
        if (self.folder / record.id).exists():
            raise InputError(
                f"{record.id} is here already; remove it first, or add it as a model of your own, with a name."
            )
        with self._claim(record.id):
            yield from self._fill(path, record, origin, cancel)

    def _fill(
        self, path: Path, record: ModelRecord, origin: dict[str, str], cancel: CancelToken, move: bool = False
    ) -> Iterator[Event]:
        """Bring the source into a folder that nobody sees, then give that folder its name."""
        make_folder(self.folder)
        self._sweep()
        into = self.folder / f"{ADDING}{os.getpid()}-{secrets.token_hex(4)}"
        into.mkdir(mode=0o700)
        try:
            stored: StoredModel | None = None
            for event in bring(path, into, record, origin, cancel, self.manners.spare_bytes, move):
                if event.stage == "stored":
                    stored = event.value
                else:
                    yield event
            assert stored is not None
            final = self.folder / record.id
            try:
                into.rename(final)
            except OSError as error:
                raise EveryageError(f"The folder {final} can't be made ({error.strerror or error}).") from error
            stored = replace(stored, path=final / stored.path.name)
            yield Event("done", f"{stored.title} is here", 1, 1, value=stored)
        finally:
            shutil.rmtree(into, ignore_errors=True)

    def _sweep(self) -> None:
        """Throw away what a process left that was killed while it added or removed a model."""
        import psutil

        for path in [*self.folder.glob(f"{ADDING}*"), *(self.folder / DOWNLOADS).glob(f"{ADDING}*")]:
            owner = path.name.removeprefix(ADDING).partition("-")[0]
            if not owner.isdecimal() or not psutil.pid_exists(int(owner)):
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def _claim(self, id: str) -> Iterator[None]:
        """This model is ours alone, across processes; a process that dies lets go of it."""
        from filelock import FileLock, Timeout

        # The steps of one generator may run in different threads, so the lock must not belong to a thread.
        lock = FileLock(make_folder(self.folder / LOCKS) / f"{id}.lock", timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(
                f"{id} is being added or removed already, perhaps in another window; wait for it."
            ) from error
        try:
            yield
        finally:
            lock.release()


def finish(events: Iterator[Event]) -> Any:
    """Let long work run to its end, and return the value of its last event."""
    value = None
    for event in events:
        value = event.value
    return value


def _overall(event: Event, before: int, total: int) -> Event:
    """The progress of one file as that of all."""
    done = before + event.done
    left = None
    if event.seconds_left is not None and event.total > event.done:
        left = event.seconds_left * (total - done) / (event.total - event.done)
    return Event(event.stage, event.message, done, total, left)
