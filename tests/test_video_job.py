"""A video as a job: chunks in their order, the result frame by frame, and what a kill or a change leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Clip, make_clip

import app
from models.errors import InputError
from photos.files import read_json
from pipelines.events import CancelToken, Event
from pipelines.jobs.kinds import make_kind
from pipelines.settings import Settings
from pipelines.video.job import VideoJob
from pipelines.video.look.stored import look_path, store
from pipelines.video.media import VideoFacts, index_frames, read_frames, read_recipe
from pipelines.video.seen import Look, SeenPerson

FRAMES, CUT, SEEN = 60, 20, (10, 50)
LOSSLESS = {"subjects": [{"who": 1, "ages": [[0, 70]]}], "crf": 0}


class FakeAger:
    """As `VideoAger`: a tuned shot is a file, and an aged frame has its first row of brightness at 16 + its number."""

    def __init__(self, runtime: Any, data: Path) -> None:
        self.runtime = runtime

    def tune(
        self,
        facts: Any,
        index: Any,
        look: Any,
        subject: Any,
        shot: int,
        options: Any,
        folder: Path,
        cancel: CancelToken,
    ) -> Iterator[Event]:
        cancel.check()
        (folder / f"tune-{subject.who}-{shot}.safetensors").write_bytes(b"tuned")
        yield Event("tune", "Learning", 1, 1)

    def render(
        self, facts: VideoFacts, index: Any, look: Look, first: int, stop: int, options: Any, folder: Path, cancel: Any
    ) -> Iterator[tuple[int, Any]]:
        for number, frame in enumerate(read_frames(facts, index, first, stop), first):
            assert any((folder / f"tune-1-{shot}.safetensors").is_file() for shot in (0, 1))
            if np.isfinite(look.people[0].landmarks[number]).all():
                changed = frame.to_ndarray()
                changed[0, : facts.width] = 16 + number
                aged = av.VideoFrame.from_ndarray(changed, format="yuv420p")
                aged.pts, aged.time_base = frame.pts, frame.time_base
                frame = aged
            yield number, frame


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", Clip(frames=FRAMES, audio=("eng",), options=(("qp", "0"), ("g", "12"))))


@pytest.fixture
def job(settings: Settings, clip: Path, monkeypatch: pytest.MonkeyPatch) -> VideoJob:
    """The kind; somebody who looks at the clip finds one person in two shots."""

    def look_at(facts: VideoFacts, runtime: Any, cache: Path, cancel: CancelToken) -> Iterator[Event]:
        index = index_frames(facts, cancel, lambda _: None)
        seen = (np.arange(FRAMES) >= SEEN[0]) & (np.arange(FRAMES) < SEEN[1])
        marks = np.where(seen[:, None, None], 40.0, np.nan) * np.ones((FRAMES, 5, 2))
        vector = np.eye(128, dtype=np.float32)[0]
        person = SeenPerson(1, marks.astype(np.float32), seen, vector, 41.0, 60.0, SEEN[0])
        look = Look(np.array([[0, CUT], [CUT, FRAMES]]), (person,))
        store(look_path(cache, facts), look, index)
        yield Event("done", "Looked", FRAMES, FRAMES, value=(look, index))

    monkeypatch.setattr("pipelines.video.look.look_at", look_at)
    monkeypatch.setattr("pipelines.video.aging.VideoAger", FakeAger)
    return VideoJob(settings, lambda: None)  # type: ignore[arg-type,return-value]


def do(job: VideoJob, request: dict[str, Any], folder: Path) -> list[list[str]]:
    """All chunks; the names in the order in which they were given."""
    folder.mkdir(exist_ok=True)
    given = []
    while names := job.chunks(request, folder):
        given.append(names)
        for name in names:
            job.work(request, folder, name, lambda _: None, CancelToken())
    return given


def brightness(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as source:
        return [frame.to_ndarray()[: frame.height] for frame in source.decode(video=0)]


def test_a_video(job: VideoJob, clip: Path, tmp_path: Path) -> None:
    out, work = tmp_path / "old.mp4", tmp_path / "work"
    request = json.loads(json.dumps(job.check({"source": str(clip), "out": str(out), "options": LOSSLESS})))
    assert job.title(request) == "clip.mp4 at 70"
    assert job.of(request, work) == 0 and job.place(request, work, "look") is None
    given = do(job, request, work)
    assert given[0] == ["look"] and given[1] == ["tune-1-0", "tune-1-1"]
    assert given[2] == ["frames-0000000-0000020", "frames-0000020-0000060"]
    assert job.of(request, work) == 5
    told: list[Event] = []
    result = job.finish(request, work, told.append, CancelToken())
    assert result == {
        "files": [str(out)], "frames": 60, "aged": 40, "people": [{"who": 1, "age": 41.0}], "notes": [],
    }  # fmt: skip
    before, after = brightness(clip), brightness(out)
    assert len(after) == FRAMES
    for number, (a, b) in enumerate(zip(before, after, strict=True)):
        assert np.array_equal(a[1:], b[1:])
        assert np.array_equal(b[0], a[0] if not SEEN[0] <= number < SEEN[1] else np.full_like(a[0], 16 + number))
    recipe = read_recipe(out)
    assert recipe is not None and recipe["options"]["crf"] == 0
    assert recipe["source"] == {"name": "clip.mp4", "sha256": request["sha256"]}
    assert sorted(path.name for path in work.iterdir()) == ["done.json"]


def test_shares_of_the_chunks_add_up(job: VideoJob, clip: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    request = job.check({"source": str(clip), "out": str(tmp_path / "old.mp4"), "options": LOSSLESS})
    work.mkdir()
    job.work(request, work, "look", lambda _: None, CancelToken())
    ends = [0.0]
    while names := job.chunks(request, work):
        for name in names:
            place = job.place(request, work, name)
            assert place is not None and place[0] >= ends[-1] - 1e-9
            ends.append(place[0] + place[1])
            job.work(request, work, name, lambda _: None, CancelToken())
    assert ends[-1] == pytest.approx(1.0) and len(ends) == 5


def test_a_finish_that_was_not_noted_is_done_again(job: VideoJob, clip: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    request = job.check({"source": str(clip), "out": str(tmp_path / "old.mp4"), "options": LOSSLESS})
    do(job, request, work)
    result = job.finish(request, work, lambda _: None, CancelToken())
    assert job.chunks(request, work) == []
    assert job.finish(request, work, lambda _: None, CancelToken()) == result == read_json(work / "done.json")


def test_what_is_done_stays(job: VideoJob, clip: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    request = job.check({"source": str(clip), "out": str(tmp_path / "old.mp4"), "options": LOSSLESS})
    do(job, request, work)
    kept = work / "frames-0000000-0000020.part"
    content = kept.read_bytes()
    (work / "frames-0000020-0000060.part").unlink()
    assert job.chunks(request, work) == ["frames-0000020-0000060"]
    job.work(request, work, "frames-0000000-0000020", lambda _: None, CancelToken())
    assert kept.read_bytes() == content


def test_without_a_name_results_are_named_by_what_made_them(job: VideoJob, clip: Path, settings: Settings) -> None:
    names = {
        Path(job.check({"source": str(clip), "options": LOSSLESS | more})["out"])
        for more in ({}, {"strength": 0.5}, {"subjects": [{"ages": [[0, 20], [2, 80]]}]})
    }
    assert len(names) == 3 and {path.parent for path in names} == {settings.data / "videos"}
    assert sorted(re.sub("[0-9a-f]{8}", "DIGEST", path.name) for path in names) == [
        "clip-at-20-80-DIGEST.mp4",
        "clip-at-70-DIGEST.mp4",
        "clip-at-70-DIGEST.mp4",
    ]


def test_a_video_that_changed_is_not_mixed_with_itself(job: VideoJob, clip: Path, tmp_path: Path) -> None:
    request = job.check({"source": str(clip), "out": str(tmp_path / "old.mp4"), "options": LOSSLESS})
    do(job, request, tmp_path / "work")
    make_clip(clip, Clip(frames=30))
    with pytest.raises(InputError, match=r"clip\.mp4 was moved or changed since"):
        job.chunks(request, tmp_path / "work")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"source": ""}, "Give a video"),
        ({"source": "/nowhere.mp4"}, "/nowhere.mp4"),
        ({"out": "/nowhere/old.mp4"}, "folder /nowhere does not exist"),
        ({"out": "old.gif"}, "does not end in"),
        ({"options": {"subjects": []}}, "subjects"),
        ({"options": LOSSLESS | {"codec": "prores"}}, "ProRes goes into"),
    ],
)
def test_requests_that_are_refused(job: VideoJob, clip: Path, tmp_path: Path, wrong: dict[str, Any], said: str) -> None:
    asked = {"source": str(clip), "out": str(tmp_path / "old.mp4"), "options": LOSSLESS}
    with pytest.raises(InputError, match=said):
        job.check(asked | wrong)
    with pytest.raises(InputError, match="would replace the video itself"):
        job.check(asked | {"out": str(clip)})


def test_somebody_who_is_not_there(job: VideoJob, clip: Path, tmp_path: Path) -> None:
    chosen = {"subjects": [{"who": 2, "ages": [[0, 70]]}]}
    request = job.check({"source": str(clip), "out": str(tmp_path / "old.mp4"), "options": chosen})
    (tmp_path / "work").mkdir()
    with pytest.raises(InputError, match="Person 2 was chosen, but one person can be seen"):
        job.work(request, tmp_path / "work", "look", lambda _: None, CancelToken())


def test_shards_one_after_the_other(
    job: VideoJob, clip: Path, tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whoever comes first looks and learns; the last one joins."""
    monkeypatch.setattr("pipelines.jobs.kinds.make_kind", lambda name, settings: job)
    out = tmp_path / "old.mp4"
    told = []
    for shard in ("1/3", "2/3", "3/3"):
        arguments = ["video", str(clip), "--to", "70", "--crf", "0", "--out", str(out), "--shard", shard, "--json"]
        assert app.main([*arguments, "--data", str(settings.data)]) == 0
        told.append(json.loads(capsys.readouterr().out.splitlines()[-1]))
    finished = [facts for facts in told if "left" not in facts]
    assert finished and finished[0]["frames"] == FRAMES and len(brightness(out)) == FRAMES
    assert all(facts["left"] > 0 for facts in told if "left" in facts)


def test_the_command_refuses_in_one_sentence(clip: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, said in [
        (["--out", "x.mp4"], "Give --to AGE"),
        (["--to", "70"], "Give --out"),
        (["--to", "70", "--out", "x.mp4", "--shard", "4/3"], "--shard is written I/N"),
        (["--to", "70", "--out", "x.mp4", "--also", "two"], "--also is written WHO=AGE"),
        (["--to", "300", "--out", "x.mp4"], "between 0 and 100"),
    ]:
        assert app.main(["video", str(clip), *arguments, "--data", str(tmp_path / "data")]) == 2
        error = capsys.readouterr().err.strip()
        assert said in error and "\n" not in error


def test_the_queue_knows_the_kind(settings: Settings) -> None:
    assert isinstance(make_kind("video", settings), VideoJob)
