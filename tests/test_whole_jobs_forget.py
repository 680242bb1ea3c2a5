"""Forgetting a person together with the jobs that speak of them: no byte is left, and others keep theirs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from PIL import Image

import app
from models.errors import EveryageError
from photos.library import Library, forgetting
from photos.people import People
from photos.results import save_image
from pipelines.events import CancelToken
from pipelines.forgetting import forget
from pipelines.jobs.job import Job
from pipelines.jobs.kind import JobKind, Tell
from pipelines.jobs.notes import Notes
from pipelines.jobs.queue import JobQueue
from pipelines.jobs.worker import work
from pipelines.settings import Settings
from tests.test_library_forget import NAME, data, everything, marks  # noqa: F401


class Stub(JobKind):
    """Takes any request, and works until it is stopped; it takes a moment to stop."""

    name = "stub"

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    def title(self, request: dict[str, Any]) -> str:
        return str(request.get("title", "Work"))

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        return ["work"]

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        (folder / "begun").touch()
        try:
            while True:
                cancel.check()
                time.sleep(0.02)
        finally:
            time.sleep(0.5)
            Path(request["ended"]).write_text("stopped")

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        return {}


KINDS = dict.fromkeys(("stub", "video", "age", "finetune", "import", "generate"), "tests.test_whole_jobs_forget:Stub")


@pytest.fixture
def queue(data: Path) -> Iterator[JobQueue]:  # noqa: F811
    queue = JobQueue(Settings(data=data, device="cpu"), KINDS)
    yield queue
    queue.close()


def ended(queue: JobQueue, kind: str, request: dict[str, Any], files: list[Path], **files_of: str) -> Job:
    """A job that is done, with files in its folder."""
    job = queue.add(kind, request)
    folder = queue.folder(job.id)
    folder.mkdir(parents=True)
    for name, text in files_of.items():
        (folder / f"{name}.json").write_text(text)
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"made")
    notes = Notes(queue.ledger)
    notes.start(job.id, 1)
    assert notes.end(job.id, 1, {"files": [str(path) for path in files]})
    return job


def tokens(data: Path) -> tuple[str, str]:  # noqa: F811
    people = People(Library(data))
    return people.get(NAME).folder, people.get("Otto").folder


def test_no_byte_is_left_of_jobs(queue: JobQueue, data: Path, tmp_path: Path) -> None:  # noqa: F811
    library, (hers, his) = Library(data), tokens(data)
    with library.session(write=False) as session:
        sha256 = forgetting._plan(session, forgetting.find_person(session, NAME)).photos[0]
    elsewhere, ours = tmp_path / "mine", data / "videos"
    subject = {"who": 1, "person": hers}
    gone = [
        ended(queue, "video", {"options": {"subjects": [subject]}, "sha256": "ab" * 32,
                               "source": str(data / "clips" / "aa" / "clip.mp4")}, [ours / "hers.mp4"]),
        ended(queue, "age", {"options": {"person": NAME.upper()}, "out": str(elsewhere)}, [elsewhere / "hers.png"]),
        ended(queue, "stub", {"title": f"Learning how {NAME} ages"}, []),
        ended(queue, "finetune", {"folder": "/x"}, [], view=json.dumps({"problems": [f"{NAME}.png is odd."]})),
        ended(queue, "import", {"sources": [str(data / "uploads" / "bb" / "x.png")], "person": hers}, []),
        ended(queue, "age", {"photos": [[str(tmp_path / "album" / NAME / "Zphoto0.png"), "a"]]}, [elsewhere / "p.png"]),
        ended(queue, "stub", {"sha": sha256}, []),
        ended(queue, "generate", {"settings": {"adapters": [{"where": "zyx-sara"}]}}, [data / "comparisons" / "g.png"]),
        queue.add("finetune", {"person": hers}),
    ]  # fmt: skip
    kept = [
        ended(queue, "video", {"options": {"subjects": [subject | {"person": his}]}, "sha256": "cd" * 32,
                               "source": str(data / "clips" / "cc" / "clip.mp4")}, [ours / "his.mp4"]),
        ended(queue, "stub", {"title": "Work on a Zyxalinden"}, []),
        ended(queue, "generate", {"settings": {"adapters": [{"where": "otto-sara"}]}}, [data / "comparisons/h.png"]),
        queue.add("video", {"sha256": "ef" * 32}),
    ]  # fmt: skip
    # Results of jobs that are not in the list any more, known by what they say of themselves.
    recipe = {"kind": "grid", "settings": {"adapters": [{"where": "zyx-sara"}]}}
    save_image(Image.new("RGB", (8, 8)), data / "comparisons" / "old.png", recipe)
    for name, person in (("hers", hers), ("his", his)):
        folder = data / "comparisons" / name
        (folder / "lora-medium-0" / "adapter").mkdir(parents=True)
        (folder / "lora-medium-0" / "adapter" / "card.json").write_text(json.dumps({"person": person}))
        (folder / "comparison.json").write_text(json.dumps({"person": person, "rows": [], "table": []}))
    for name in ("clips/aa/clip.mp4", "clips/cc/clip.mp4", "uploads/bb/x.png", "cache/video/" + "ab" * 32 + "/look.npz",
                 "cache/video/" + "cd" * 32 + "/look.npz", "cache/video/" + "ef" * 32 + "/look.npz",
                 "jobs/shards/1/part", "jobs/damaged-1.sqlite"):  # fmt: skip
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(b"x")
    (data / "jobs" / "shards" / "1" / "request.json").write_text(json.dumps({"options": {"subjects": [subject]}}))
    wanted = marks(library)
    assert NAME.encode() in (data / "jobs" / "jobs.sqlite-wal").read_bytes()
    report = forget(queue.settings, library, NAME, queue)
    after = everything(data)
    assert [mark for mark in wanted["hers"] if mark in after] == []
    assert [mark for mark in wanted["his"] if mark not in after] == []
    assert {job.id for job in queue.list()} == {job.id for job in kept}
    assert not any(queue.folder(job.id).exists() for job in gone)
    assert report.removed | {"jobs": 9, "results of jobs": 3, "files handed over for jobs": 2, "parts of videos": 2,
                             "descriptions of faces in videos": 2} == report.removed  # fmt: skip
    assert [path.name for path in ours.iterdir()] == ["his.mp4"]
    assert sorted(path.name for path in (data / "comparisons").iterdir()) == ["h.png", "his"]
    assert report.removed["comparisons of trainings"] == 2
    assert [path.name for path in (data / "clips").iterdir()] == ["cc"]
    assert [path.name for path in (data / "cache" / "video").iterdir()] == ["ef" * 32]
    assert not (data / "jobs" / "damaged-1.sqlite").exists()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["hers.png", "p.png"]
    assert any(str(elsewhere) in sentence and "stays" in sentence for sentence in report.kept)
    with pytest.raises(EveryageError, match="nobody named"):
        forget(queue.settings, library, NAME, queue)


def test_work_that_goes_on_is_stopped_first(queue: JobQueue, data: Path, tmp_path: Path) -> None:  # noqa: F811
    ended_file, stop = tmp_path / "ended", threading.Event()
    job = queue.add("stub", {"person": tokens(data)[0], "ended": str(ended_file)})
    worker = threading.Thread(target=work, args=(queue.settings,), kwargs={"kinds": KINDS, "stop": stop})
    worker.start()
    try:
        while not (queue.folder(job.id) / "begun").exists():
            time.sleep(0.05)
        report = forget(queue.settings, Library(data), NAME, queue)
        assert ended_file.read_text() == "stopped"  # before anything was removed
        assert report.removed["jobs"] == 1 and queue.list() == [] and not queue.folder(job.id).exists()
    finally:
        stop.set()
        worker.join()


def test_while_an_import_of_others_runs_nothing_is_removed(queue: JobQueue, data: Path) -> None:  # noqa: F811
    job = ended(queue, "stub", {"person": tokens(data)[0]}, [])
    library = Library(data)
    with (
        patch.object(forgetting, "WAIT_S", 0.1),
        library.store.importing(),
        pytest.raises(EveryageError, match="impor"),
    ):
        forget(queue.settings, library, NAME, queue)
    assert queue.get(job.id).state == "done" and library.count() == 9


def test_an_account_of_the_same_name_is_not_the_person(
    queue: JobQueue,
    data: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", f"/home/{NAME}")
    ended(queue, "stub", {"source": f"/home/{NAME}/films/{NAME}.mp4"}, [])
    kept = ended(queue, "stub", {"source": f"/home/{NAME}/films/clip.mp4"}, [])
    assert forget(queue.settings, Library(data), NAME, queue).removed["jobs"] == 1
    assert [job.id for job in queue.list()] == [kept.id]


def test_the_command(queue: JobQueue, data: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    ended(queue, "stub", {"title": f"About {NAME}"}, [])
    capsys.readouterr()
    assert app.main(["photos", "forget", NAME, "--yes", "--json", "--data", str(data)]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["removed"]["jobs"] == 1 and facts["removed"]["photos"] == 5
    assert NAME.encode() not in everything(data) and queue.list() == []
