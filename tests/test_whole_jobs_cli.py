"""`--background`: commands that leave their work to the worker, and the worker that does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_models import foreign_file, quick_convert, record
from naughty import serving
from PIL import Image

import app
from models import catalog, foreign
from photos.library import Library
from photos.people import People
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.worker import work
from pipelines.models import ModelStore
from pipelines.settings import Settings
from tests import tiny_diffusion
from tests.fake_faces import NETS, fake_networks, picture


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", device="cpu")


@pytest.fixture
def queue(settings: Settings) -> Iterator[JobQueue]:
    queue = JobQueue(settings)
    yield queue
    queue.close()


def left(capsys: pytest.CaptureFixture[str], settings: Settings, *arguments: object) -> dict[str, Any]:
    """Leave work to the worker; what the command says of it."""
    capsys.readouterr()
    line = [*map(str, arguments), "--background", "--data", str(settings.data), "--json"]
    assert app.main(line) == 0, capsys.readouterr().err
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert isinstance(facts, dict) and facts["state"] == "waiting"
    return facts


def do(capsys: pytest.CaptureFixture[str], settings: Settings, facts: dict[str, Any]) -> None:
    """Be the worker until this job is over."""
    with capsys.disabled():  # the engine keeps the stream that it logs to
        work(settings, until=facts["job"])


def refused(capsys: pytest.CaptureFixture[str], settings: Settings, *arguments: object) -> str:
    capsys.readouterr()
    assert app.main([*map(str, arguments), "--background", "--data", str(settings.data)]) == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    tiny_diffusion.sd(place).save_pretrained(place / "tiny", safe_serialization=True)
    return place / "tiny"


def test_an_import_is_left_and_done(
    settings: Settings,
    queue: JobQueue,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipelines.collection.Collection.nets", lambda self: NETS)
    (tmp_path / "album").mkdir()
    for seed in range(3):
        picture(seed).save(tmp_path / "album" / f"{seed}.png")
    said = refused(capsys, settings, "photos", "import", tmp_path / "no", "--person", "Ada")
    assert "no file or folder" in said
    first = left(capsys, settings, "photos", "import", tmp_path / "album", "--person", "Ada")
    again = left(capsys, settings, "photos", "import", tmp_path / "album", "--person", "Ada")
    assert first["job"] == again["job"] and first["title"] == "Importing photos of Ada from album"
    assert [job.id for job in queue.list()] == [first["job"]]
    people = People(Library(settings.data))
    assert people.get("Ada").consent is not None and people.get("Ada").faces == 0
    with fake_networks():
        do(capsys, settings, first)
    done = queue.get(first["job"])
    assert (done.state, done.error) == ("done", "") and done.result is not None and done.result["added"] == 3
    assert people.get("Ada").faces == 3


def test_a_grid_is_left_and_done(
    settings: Settings, queue: JobQueue, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted, out = tmp_path / "wanted.png", tmp_path / "grid.png"
    line = ["generate", "a face", "--model", tiny, "--steps", 2, "--size", "16x16", "--seed", 4]
    line += ["--grid", "guidance=cfg,apg"]
    assert app.main([*map(str, line), "--out", str(wanted), "--data", str(settings.data), "--device", "cpu"]) == 0
    assert "--grid" in refused(capsys, settings, *line[:2], "--model", tiny)
    facts = left(capsys, settings, *line, "--out", out)
    do(capsys, settings, facts)
    done = queue.get(facts["job"])
    assert done.state == "done" and done.result is not None and done.result["files"] == [str(out)]
    assert np.array_equal(np.array(Image.open(out)), np.array(Image.open(wanted)))
    assert queue.delete(done.id, results=True)[0] == out and not out.exists()


def test_trainings_are_left(
    settings: Settings, queue: JobQueue, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fox").mkdir()
    picture(1).save(tmp_path / "fox" / "fox.png")
    line = ["finetune", tmp_path / "fox", "--model", tiny, "--steps", 3]
    first = left(capsys, settings, *line, "--name", "Foxes")
    second = left(capsys, settings, *line, "--compare", "lora,sara", "--seeds", 2, "--out", tmp_path / "table")
    request = queue.get(first["job"]).request
    assert (request["title"], request["settings"]["steps"], request["person"]) == ("Foxes", 3, "")
    assert queue.get(second["job"]).request["compare"] == ["lora", "sara"]
    assert [job.position for job in queue.list()] == [1, 2]
    assert "--check" in refused(capsys, settings, *line, "--check")
    assert "not both" in refused(capsys, settings, *line, "--person", "Ada")
    assert "not both" in refused(capsys, settings, *line, "--name", "A", "--out", tmp_path / "b")
    assert "nobody named 'Ada'" in refused(capsys, settings, "personalize", "Ada")
    assert "--evaluate" in refused(capsys, settings, "personalize", "Ada", "--evaluate")


def test_a_download_is_left_and_done(
    settings: Settings, queue: JobQueue, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(foreign, "convert_safely", quick_convert)
    content = foreign_file(tmp_path / "net.pkl").read_bytes()
    with serving() as server:
        tiny = record(server.put("/tiny.pkl", content), content)
        known = (*catalog.records(), tiny)
        monkeypatch.setattr(catalog, "records", lambda: known)
        monkeypatch.setattr(catalog, "find_record", lambda id: next((r for r in known if r.id == id), None))
        assert "First accept" in refused(capsys, settings, "models", "download", "tiny")
        facts = left(capsys, settings, "models", "download", "tiny", "--accept-licence")
        assert server.asked == []
        do(capsys, settings, facts)
    assert queue.get(facts["job"]).state == "done" and ModelStore(settings.data, settings).get("tiny").usable
