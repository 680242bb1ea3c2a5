"""Forgetting a person. What is to go is written down first, so that a kill in the middle leaves nothing half done."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from filelock import Timeout
from sqlmodel import Session, col, delete, func, select

from models.errors import EveryageError
from photos.files import write_atomically
from photos.library import consent, traces
from photos.library.names import find_person
from photos.library.tables import Embedding, Face, Import, Meant, Person, Photo, Source
from photos.library.views import Forgotten

if TYPE_CHECKING:
    from photos.library.library import Library

PLAN = ".forgetting.json"
WAIT_S = 5.0


@dataclass(frozen=True)
class Plan:
    """Everything that goes.

    folder: of the person; photos: hashes of the photos that go; crops: file names; shared: hashes of photos that stay,
    since they show somebody else as well, with the places of the person's faces in them; words: what logs must not
    mention; places: folders and archives with originals that stay.
    """

    name: str
    folder: str
    photos: list[str]
    crops: list[str]
    embeddings: int
    shared: dict[str, list[int]]
    words: list[str]
    places: list[str]


def forget(library: Library, name: str) -> Forgotten:
    """See `Library.forget`."""
    lock = library.store.importing()
    try:
        lock.acquire(timeout=WAIT_S)
    except Timeout as error:
        raise EveryageError(f"An import is running; let it end or cancel it, then forget {name} again.") from error
    try:
        with library.session(write=False) as session:
            plan = _plan(session, find_person(session, name))
        _write(library.folder / PLAN, plan)
        return _carry_out(library, plan)
    finally:
        lock.release()


def plan_of(library: Library, name: str) -> Plan:
    """What would go. Raises InputError if there is nobody of this name."""
    with library.session(write=False) as session:
        return _plan(session, find_person(session, name))


def no_import_runs(library: Library, name: str) -> None:
    """Raises EveryageError while an import is running: it holds what is to be forgotten."""
    lock = library.store.importing()
    try:
        lock.acquire(timeout=WAIT_S)
    except Timeout as error:
        raise EveryageError(f"An import is running; let it end or cancel it, then forget {name} again.") from error
    lock.release()


def resume(library: Library) -> Forgotten | None:
    """Finish what a killed process began; None if there is nothing to finish."""
    path = library.folder / PLAN
    if not path.exists():
        return None
    lock = library.store.importing()
    try:
        lock.acquire(timeout=0)
    except Timeout:  # somebody is at it right now
        return None
    try:
        if not path.exists():
            return None
        return _carry_out(library, Plan(**json.loads(path.read_text(encoding="utf-8"))))
    finally:
        lock.release()


def _plan(session: Session, person: Person) -> Plan:
    own = set(session.exec(select(Face.photo_id).where(Face.person_id == person.id)).all())
    own |= set(session.exec(select(Meant.photo_id).where(Meant.person_id == person.id)).all())
    others = col(Face.person_id).is_not(None) & (col(Face.person_id) != person.id)
    kept = own & set(session.exec(select(Face.photo_id).where(others)).all())
    photos = {photo.id: photo for photo in session.exec(select(Photo)).all() if photo.id in own}
    faces = [face for face in session.exec(select(Face).order_by(col(Face.id))).all() if face.photo_id in own]
    sources = [source for source in session.exec(select(Source)).all() if source.photo_id in own - kept]
    going = [face for face in faces if face.photo_id not in kept or face.person_id == person.id]
    embedded = set(session.exec(select(Embedding.face_id)).all())
    shared: dict[str, list[int]] = {}
    for photo_id in sorted(kept):
        mine = [face for face in faces if face.photo_id == photo_id]
        places = [place for place, face in enumerate(mine) if face.person_id == person.id]
        shared[photos[photo_id].sha256] = places
    gone = [photos[photo_id] for photo_id in sorted(own - kept)]
    return Plan(
        name=person.name,
        folder=person.folder,
        photos=[photo.sha256 for photo in gone],
        crops=[face.crop for face in going],
        embeddings=sum(face.id in embedded for face in going),
        shared=shared,
        words=sorted({person.name, *(photo.sha256 for photo in gone), *(source.path for source in sources)}),
        places=sorted({_place(source.path) for source in sources if not source.path.startswith("upload!")}),
    )


def _place(path: str) -> str:
    """The folder or the archive in which a source lies."""
    archive, member, _ = path.partition("!")
    return archive if member else str(Path(path).parent)


def _write(path: Path, plan: Plan) -> None:
    def write(file: BinaryIO) -> None:
        file.write(json.dumps(asdict(plan)).encode())

    write_atomically(path, write)


def _carry_out(library: Library, plan: Plan) -> Forgotten:
    """Remove all that the plan names. Can be cut off and done again."""
    data, store = library.data, library.store
    with library.session() as session:
        _delete_rows(session, plan)
        # Photos that were imported anew since a killed attempt are not the ones that were meant.
        again = set(session.exec(select(Photo.sha256)).all())
        wanted = {store.kept(row.sha256, row.format).name for row in session.exec(select(Photo)).all()}
    hashes = set(plan.photos) - again
    faces = {*hashes, *plan.shared}
    copies = [path for path in store.files.iterdir() if path.name not in wanted]
    crops = [library.crop(name) for name in plan.crops]
    folder = library.folder / plan.folder
    models = [path for path in folder.rglob("*") if path.is_file()] if plan.folder else []
    removed = {
        "photos": len(plan.photos),
        "face pictures": _unlink(crops),
        "embeddings": plan.embeddings,
        "own copies of photos": _unlink(copies),
        "files of the personal model": len(models),
        "results": traces.remove_results(data, hashes, plan.shared, plan.folder),
        "adapters and pictures made with them": traces.remove_learnt(data, plan.folder),
        "originals of results": traces.remove_originals(data, faces),
        "cached files": traces.remove_cached(data, faces, plan.folder),
        "copies shown in the browser": traces.remove_served(data),
        "logs": traces.remove_logs(data, plan.words),
        "old backups": sum(1 for path in library.database.backups.iterdir() if path.is_file()),
    }
    if plan.folder and folder.is_dir():
        shutil.rmtree(folder)
    with library.session(write=False) as session:
        unnamed = session.exec(select(func.count(col(Face.id))).where(col(Face.person_id).is_(None))).one()
    clean = library.database.scrub()
    (library.folder / PLAN).unlink(missing_ok=True)
    return Forgotten(plan.name, removed, tuple(_kept(plan, clean, unnamed)))


def _delete_rows(session: Session, plan: Plan) -> None:
    """All of it in one transaction; the person's row, deleted with it, says whether that has been done."""
    person = session.exec(select(Person).where(Person.folder == plan.folder)).first()
    if person is None:
        return
    for start in range(0, len(plan.photos), 500):
        session.exec(delete(Photo).where(col(Photo.sha256).in_(plan.photos[start : start + 500])))
    session.exec(delete(Face).where(col(Face.person_id) == person.id))
    session.exec(delete(Import))  # the log of imports names files and folders
    session.delete(person)
    session.flush()
    connection = session.connection()
    connection.exec_driver_sql(f"PRAGMA user_version = {era(session) + 1}")
    consent.drop_uncovered(session)  # of others in shared photos, which had only this person's consent


def era(session: Session) -> int:
    """How many people were forgotten so far: whoever remembers rows from before must not bring them back."""
    return int(session.connection().exec_driver_sql("PRAGMA user_version").scalar() or 0)


def _kept(plan: Plan, clean: bool, unnamed: int) -> list[str]:
    """What could not be reached, in sentences."""
    found = []
    if plan.places:
        named = ", ".join(plan.places[:3])
        named += f" and {len(plan.places) - 3} more places" if len(plan.places) > 3 else ""
        found.append(f"The original files in {named} are yours and stay; delete them yourself if you want to.")
    if plan.shared:
        number = len(plan.shared)
        what = "1 photo shows" if number == 1 else f"{number} photos show"
        found.append(f"{what} somebody else as well and stay{'s' if number == 1 else ''}, without {plan.name}'s face.")
    if unnamed:
        faces = "1 face without a name stays" if unnamed == 1 else f"{unnamed} faces without a name stay"
        found.append(f"{faces} in the collection, for nobody said whether {plan.name} is among them.")
    if not clean:
        found.append("Another program is reading the collection; deleted bytes are on the disk until it stops.")
    found.append("Pictures that were saved or sent elsewhere can't be reached.")
    return found


def _unlink(paths: list[Path]) -> int:
    there = [path for path in paths if path.is_file()]
    for path in there:
        path.unlink(missing_ok=True)
    return len(there)
