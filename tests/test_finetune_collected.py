"""Learning from a person of the collection, and forgetting all of it with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from app import main
from models.errors import Cancelled, InputError
from photos.library import Library
from photos.people import People
from pipelines.events import CancelToken
from pipelines.finetune.collected import collect
from pipelines.finetune.finetuner import finish
from pipelines.finetune.folder import read_folder
from tests.test_finetune_run import home, make, settings  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")


@pytest.fixture
def people(tmp_path: Path, portraits: list[Path]) -> People:
    """Ada with six photos whose names say her age: one picture in different light."""
    album = tmp_path / "album"
    album.mkdir()
    for number in range(6):
        with Image.open(portraits[1]) as source:
            photo = source.convert("RGB").resize((320, 320 * source.height // source.width))
        ImageEnhance.Brightness(photo).enhance(0.7 + 0.08 * number).save(album / f"{20 + 5 * number}_{number:04d}.jpg")
    assert main(["photos", "import", str(album), "--person", "Ada", "--data", str(tmp_path / "data")]) == 0
    return People(Library(tmp_path / "data"))


def test_the_pictures_come_with_their_ages(people: People, tmp_path: Path) -> None:
    found = collect(tmp_path / "data", people, "ada", "a photo of qrx")
    assert found.name == "Ada" and found.folder.is_relative_to(tmp_path / "data" / "people" / found.person)
    told = read_folder(found.folder)
    assert len(told.pictures) == len(people.training_photos("Ada")) >= 2 and told.problems == ()
    wanted = sorted(f"a photo of qrx, {photo.age:.0f} years old" for photo in people.training_photos("Ada"))
    assert sorted(p.caption for p in told.pictures) == wanted
    assert all(p.caption.startswith("a photo of zkw, ") for p in read_folder(
        collect(tmp_path / "data", people, "Ada").folder).pictures)  # fmt: skip
    with pytest.raises(InputError, match="Otto"):
        collect(tmp_path / "data", people, "Otto")


def test_forgetting_takes_adapters_and_unfinished_trainings(
    people: People,
    home: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    found, tuner, cancel = collect(data, people, "Ada"), make(data), CancelToken()
    quick = settings(home, steps=2, sample_every=0)
    done = finish(tuner.run(found.folder, quick, title="Ada", person=found.person))
    assert json.loads((done.path / "card.json").read_bytes())["person"] == found.person
    assert "Ada" not in json.dumps(done.card["prompts"])
    with pytest.raises(Cancelled):
        for event in tuner.run(found.folder, settings(home, steps=9), title="Ada", person=found.person, cancel=cancel):
            if event.stage == "train":
                cancel.cancel()
    assert [(one.title, one.person) for one in tuner.unfinished()] == [("Ada", found.person)]
    other = finish(tuner.run(home / "pictures", quick, title="Foxes"))
    report = people.library.forget("Ada")
    assert report.removed["adapters and pictures made with them"] > 5
    assert not (data / "models" / str(done.id)).exists() and (data / "models" / str(other.id)).is_dir()
    assert tuner.unfinished() == [] and not any(path.is_dir() for path in (data / "finetune").iterdir())
    assert not found.folder.exists()
