"""A folder of photos as one job: each photo a chunk, a bad one named, the rest done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_aging import FakePipeline
from PIL import Image

from models.errors import EveryageError, InputError
from photos.io import read_recipe
from pipelines.aging.batch import AgeJob, listed, result_names
from pipelines.events import CancelToken, Event
from pipelines.settings import Settings


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two photos with a face each, one of the same name in a folder below, one that is none, and a hidden one."""
    folder = tmp_path / "album"
    (folder / "more").mkdir(parents=True)
    noise = np.random.default_rng(1).integers(0, 255, (120, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "ada.jpg")
    Image.fromarray(noise[::-1]).save(folder / "bob.png")
    Image.fromarray(noise[:, ::-1]).save(folder / "more" / "Ada.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / ".hidden.jpg").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    return folder


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AgeJob:
    pipeline = FakePipeline(steps=1)
    monkeypatch.setattr("pipelines.aging.AgingPipeline", lambda runtime, data: pipeline)
    runtime: Callable[[], Any] = lambda: None  # noqa: E731
    return AgeJob(Settings(data=tmp_path / "data"), runtime)


def do(job: AgeJob, request: dict[str, Any], folder: Path) -> list[Event]:
    folder.mkdir(exist_ok=True)
    told: list[Event] = []
    for chunk in job.chunks(request, folder):
        job.work(request, folder, chunk, told.append, CancelToken())
    return told


def test_a_folder(job: AgeJob, album: Path, tmp_path: Path) -> None:
    asked = {"sources": [str(album)], "out": str(tmp_path / "old"), "targets": ["70", 20], "suffix": ".png"}
    request = job.check(asked)
    assert [name for _, name in request["photos"]] == ["ada", "bob", "broken", "Ada-2"]
    assert job.title(request) == "4 photos at 70, 20" and job.of(request, tmp_path) == 4
    work = tmp_path / "work"
    told = do(job, request, work)
    assert job.chunks(request, work) == []
    assert any(isinstance(event.value, Image.Image) for event in told)
    result = job.finish(request, work, told.append, CancelToken())
    made = sorted(path.name for path in (tmp_path / "old").iterdir())
    assert made == sorted(Path(name).name for name in result["files"])
    assert made == sorted(f"{name}-at-{age}.png" for name in ("ada", "bob", "Ada-2") for age in (70, 20))
    assert len(result["failed"]) == 1 and "broken.jpg" in result["failed"][0]["reason"]
    recipe = read_recipe(tmp_path / "old" / "bob-at-20.png")
    assert recipe is not None and recipe["target"] == 20


def test_what_is_done_is_not_done_again(job: AgeJob, album: Path, tmp_path: Path) -> None:
    request = job.check({"sources": [str(album)], "out": str(tmp_path / "old"), "targets": [70]})
    work = tmp_path / "work"
    do(job, request, work)
    result = tmp_path / "old" / "ada-at-70.png"
    result.write_bytes(b"mine")
    job.work(request, work, "photo-000001", lambda _: None, CancelToken())
    assert result.read_bytes() == b"mine"
    (work / "photo-000001.json").unlink()
    assert job.chunks(request, work) == ["photo-000001"]


def test_nothing_usable_is_a_failure(job: AgeJob, album: Path, tmp_path: Path) -> None:
    request = job.check({"sources": [str(album / "broken.jpg")], "out": str(tmp_path / "old"), "targets": [70]})
    work = tmp_path / "work"
    do(job, request, work)
    with pytest.raises(EveryageError, match=r"None of the 1 photos could be aged\. .*broken\.jpg"):
        job.finish(request, work, lambda _: None, CancelToken())


def test_results_in_the_album_are_no_photos_of_it(album: Path) -> None:
    out = album / "aged"
    out.mkdir()
    Image.new("RGB", (80, 80)).save(out / "ada-at-70.png")
    found = listed([album, album / "ada.jpg"], out)
    assert [path.name for path in found] == ["ada.jpg", "bob.png", "broken.jpg", "Ada.png"]
    assert result_names([Path("a/x.jpg"), Path("b/x.png"), Path("c/X.png")]) == ["x", "x-2", "X-3"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sources": []}, "no photos in nothing"),
        ({"sources": ["/nowhere/at/all"]}, "no file or folder /nowhere/at/all"),
        ({"targets": []}, "Give 1 to 24 ages, not 0"),
        ({"targets": ["old"]}, "not 'old'"),
        ({"suffix": ".gif"}, "not in '.gif'"),
        ({"options": {"strength": 9}}, "strength must lie between"),
    ],
)
def test_requests_that_are_refused(job: AgeJob, album: Path, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        job.check({"sources": [str(album)], "out": str(tmp_path / "old"), "targets": [70], **wrong})
