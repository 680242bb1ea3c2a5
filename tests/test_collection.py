"""Importing and grouping with progress, cancelling, and the networks of the runtime."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlmodel import select

from models.errors import Cancelled, InputError
from photos.library.tables import Embedding, Face
from pipelines.collection import Collection
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from tests.fake_faces import fake_networks, picture


@pytest.fixture
def collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collection]:
    collection = Collection(Runtime(load_settings(data=tmp_path / "data", device="cpu")), tmp_path / "data")
    monkeypatch.setattr(collection, "nets", lambda: None)
    with fake_networks():
        yield collection


@pytest.fixture
def album(tmp_path: Path) -> Path:
    folder = tmp_path / "album"
    folder.mkdir()
    for seed in range(8):
        picture(seed).save(folder / f"{20 + 5 * seed}_{seed:04d}.png")
    return folder


def embeddings(collection: Collection) -> int:
    with collection.library.session(write=False) as session:
        return len(session.exec(select(Embedding)).all())


def test_the_networks_come_from_the_pool(tmp_path: Path) -> None:
    collection = Collection(Runtime(load_settings(data=tmp_path, device="cpu")), tmp_path)
    assert collection.nets().identity is collection.nets().identity
    assert collection.nets().device.type == "cpu"


def test_an_import_tells_how_far_it_is(collection: Collection, album: Path) -> None:
    events = list(collection.import_photos([album], person="Anna", born=date(1950, 1, 1)))
    stages = list(dict.fromkeys(event.stage for event in events))
    assert stages[0] == "import" and stages[-3:] == ["settle", "compare", "done"]
    counted = [event for event in events if event.stage == "import" and event.total]
    assert [event.done for event in counted] == [*range(8), 8] and all(event.total == 8 for event in counted)
    assert counted[4].seconds_left is not None and counted[4].seconds_left >= 0
    assert "35_0003.png" in counted[3].message
    assert events[-1].value.added == 8 and events[-1].fraction == 1.0
    anna = collection.people.get("anna")
    assert (
        anna.faces == 8 and anna.born == date(1950, 1, 1) and anna.consent is not None and embeddings(collection) == 8
    )


def test_photos_that_were_there_before_become_theirs(collection: Collection, album: Path) -> None:
    list(collection.import_photos([album]))
    assert embeddings(collection) == 0
    list(collection.import_photos([album], person="Anna", consent="the text that was shown"))
    assert collection.people.get("Anna").faces == 8 and embeddings(collection) == 8
    given = collection.library.consent("Anna")
    assert given is not None and given.text == "the text that was shown"


def test_cancelling_keeps_what_is_imported(collection: Collection, album: Path) -> None:
    cancel = CancelToken()
    seen: list[Event] = []
    with pytest.raises(Cancelled):
        for event in collection.import_photos([album], person="Anna", cancel=cancel):
            seen.append(event)
            if event.done == 4:
                cancel.cancel()
    assert collection.library.count() == 4
    assert list(collection.import_photos([album], person="Anna"))[-1].value.known == 4


def test_a_generator_that_is_dropped_lets_the_next_import_in(collection: Collection, album: Path) -> None:
    events = collection.import_photos([album])
    while next(events).done < 2:
        pass
    events.close()
    assert list(collection.import_photos([album]))[-1].value.added == 6


def test_wrong_calls_are_refused_before_anybody_is_added(collection: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file or folder"):
        collection.import_photos([tmp_path / "nowhere"], person="Anna")
    with pytest.raises(InputError, match="needs a name"):
        collection.import_photos([tmp_path], born=date(1950, 1, 1))
    assert collection.people.list() == []


def test_grouping_needs_consent(collection: Collection, album: Path) -> None:
    list(collection.import_photos([album]))
    with pytest.raises(InputError, match="consent"):
        collection.group()
    collection.library.give_consent()
    events = list(collection.group())
    assert events[-1].stage == "done" and events[-1].value == len(collection.people.groups())
    assert embeddings(collection) == 8
    with collection.library.session(write=False) as session:
        assert len(session.exec(select(Face)).all()) == 8
