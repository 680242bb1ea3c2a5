"""The collection's database: damage, backups, migrations, many users at a time."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlmodel import SQLModel, select

from models.errors import EveryageError, InputError
from photos.library import Library, database
from photos.library.tables import Belonging, Consent, Embedding, Face, Person
from photos.library.tables import Photo as PhotoRow
from tests.fake_faces import add_person


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A collection with Anna in it, closed, with a backup that holds her."""
    library = Library(tmp_path)
    add_person(library, "Anna")
    library.database.backup()
    library.database.engine.dispose()
    return tmp_path / "people" / "collection.sqlite"


def names(library: Library) -> list[str]:
    with library.session(write=False) as session:
        return sorted(person.name for person in session.exec(select(Person)).all())


def test_each_connection_has_the_settings(tmp_path: Path) -> None:
    library = Library(tmp_path)
    wanted = {"journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1, "synchronous": 1, "busy_timeout": 30_000}
    with (
        library.database.engine.connect() as one,
        library.database.engine.execution_options(begin="BEGIN").connect() as two,
    ):
        del one
        for name, value in wanted.items():
            assert two.exec_driver_sql(f"PRAGMA {name}").scalar() == value, name


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    library = Library(tmp_path)
    with library.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_an_error_rolls_back(tmp_path: Path) -> None:
    library = Library(tmp_path)

    def fail() -> None:
        with library.session() as session:
            session.add(Person(name="Anna", key="anna", folder="a", created=datetime.now(UTC)))
            session.flush()
            raise KeyError("anna")

    with pytest.raises(KeyError):
        fail()
    assert names(library) == []


def cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" + path.read_bytes()[21:])


def spoil_page(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        size, page = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
    content = bytearray(path.read_bytes())
    for number in range(1, page):
        content[number * size : number * size + size // 2] = b"\xa5" * (size // 2)
    path.write_bytes(bytes(content))


def empty_schema(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = bytes(3996)
    path.write_bytes(bytes(content))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("spoil", [empty, cut_in_half, spoil_header, spoil_page, empty_schema])
def test_a_damaged_file_is_put_aside_and_the_backup_restored(file: Path, spoil: object) -> None:
    assert callable(spoil)
    spoil(file)
    damaged = file.read_bytes()
    library = Library(file.parent.parent)
    assert names(library) == ["Anna"]
    (warning,) = library.warnings
    assert "damaged" in warning and "is restored" in warning
    (aside,) = (file.parent / "backups").glob("damaged-*.sqlite")
    assert aside.read_bytes() == damaged and str(aside) in warning
    assert Library(file.parent.parent).warnings == ()


def test_a_damaged_backup_is_not_used(file: Path) -> None:
    newest, older = sorted((file.parent / "backups").glob("collection-*"), reverse=True)
    cut_in_half(newest)
    spoil_header(file)
    library = Library(file.parent.parent)
    assert names(library) == [] and older.name in library.warnings[0]


def test_without_a_good_backup_the_collection_starts_empty(file: Path) -> None:
    shutil.rmtree(file.parent / "backups")
    cut_in_half(file)
    library = Library(file.parent.parent)
    assert names(library) == [] and "starts empty" in library.warnings[0]
    assert len(list((file.parent / "backups").glob("damaged-*.sqlite"))) == 1


def test_a_locked_file_is_not_taken_for_damaged(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT_S", 0.2)
    monkeypatch.setattr(database, "PRAGMAS", ("journal_mode=WAL", "busy_timeout=200"))
    library = Library(file.parent.parent)
    with closing(library.database.raw()) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(EveryageError, match="in use by another process"), library.session():
            pass
        assert names(library) == ["Anna"]  # reading goes on
        again = Library(file.parent.parent)
        assert again.warnings == () and names(again) == ["Anna"]
    assert not list((file.parent / "backups").glob("damaged-*"))


def test_a_newer_schema_is_refused_and_left_as_it_is(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    with pytest.raises(InputError, match=r"newer Everyage.*9999.*update the app"):
        Library(file.parent.parent)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT name FROM person").fetchall() == [("Anna",)]


@pytest.fixture
def next_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the migrations with one more; what its `upgrade` does can be written into it."""
    folder = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(database, "MIGRATIONS", folder)
    yield folder / "versions" / "next.py"


MIGRATION = """
from alembic import op
import sqlalchemy as sa
revision, down_revision, branch_labels, depends_on = "next", "0001", None, None
def upgrade():
    op.add_column("person", sa.Column("nickname", sa.String()))
    {more}
"""


def test_a_migration_makes_a_backup_first(file: Path, next_migration: Path) -> None:
    next_migration.write_text(MIGRATION.format(more=""))
    before = set((file.parent / "backups").iterdir())
    library = Library(file.parent.parent)
    (backup,) = set((file.parent / "backups").iterdir()) - before
    with closing(sqlite3.connect(backup)) as old, closing(sqlite3.connect(file)) as new:
        assert old.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert new.execute("SELECT version_num FROM alembic_version").fetchone() == ("next",)
        assert new.execute("SELECT name, nickname FROM person").fetchall() == [("Anna", None)]
        assert "nickname" not in old.execute("SELECT sql FROM sqlite_master WHERE name = 'person'").fetchone()[0]
    assert names(library) == ["Anna"]


def test_a_failed_migration_changes_nothing(file: Path, next_migration: Path) -> None:
    next_migration.write_text(MIGRATION.format(more="raise RuntimeError('power cut')"))
    with pytest.raises(RuntimeError, match="power cut"):
        Library(file.parent.parent)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
        assert "nickname" not in connection.execute("SELECT sql FROM sqlite_master WHERE name='person'").fetchone()[0]


def test_backups_are_few_and_whole(tmp_path: Path) -> None:
    library = Library(tmp_path)
    for _ in range(12):
        assert database.examine(library.database.backup()) == []
    assert len(list((tmp_path / "people" / "backups").iterdir())) == database.BACKUPS_KEPT


def test_a_backup_a_day(file: Path) -> None:
    backups = file.parent / "backups"
    number = len(list(backups.iterdir()))
    Library(file.parent.parent)
    assert len(list(backups.iterdir())) == number


def test_many_threads_and_two_libraries_write_at_a_time(tmp_path: Path) -> None:
    libraries = Library(tmp_path), Library(tmp_path)

    def add(worker: int) -> None:
        for index in range(20):
            with libraries[worker % 2].session() as session:
                number = len(session.exec(select(Person)).all())
                session.add(
                    Person(name=str(number), key=str(number), folder=f"{worker}-{index}", created=datetime.now(UTC))
                )

    threads = [threading.Thread(target=add, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The number was read and written in one transaction, so that nobody got the same one.
    assert sorted(map(int, names(libraries[0]))) == list(range(120))


def test_deleting_a_person_leaves_no_consent_for_everybody(tmp_path: Path) -> None:
    library = Library(tmp_path)
    anna = add_person(library, "Anna")
    library.give_consent("anna")
    with library.session() as session:
        photo = PhotoRow(
            sha256="a" * 64, name="a.jpg", format="JPEG", bytes=1, width=64, height=64, phash="0" * 16,
            imported=datetime.now(UTC),
        )  # fmt: skip
        session.add(photo)
        session.flush()
        assert photo.id is not None
        face = Face(
            photo_id=photo.id, box=[0.0] * 4, points=[0.0] * 10, score=1, crop="c", estimate=30, gender="male",
            sharpness=1, exposure=0.5, turn=0, inside=1, eyes=1, quality=1, reasons=[], person_id=anna,
            belonging=Belonging.CONFIRMED,
        )  # fmt: skip
        session.add(face)
        session.flush()
        assert face.id is not None
        session.add(Embedding(face_id=face.id, vector=b"\0" * 512))
    with library.session() as session:
        session.delete(session.get_one(Person, anna))
    with library.session(write=False) as session:
        assert session.exec(select(Consent)).all() == []
        assert session.exec(select(Face)).one().person_id is None
        assert len(session.exec(select(Embedding)).all()) == 1
    assert library.consent() is None
