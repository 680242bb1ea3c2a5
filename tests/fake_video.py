"""Quick stand-ins for the queue and the video pipeline, for tests of the pages above them."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.jobs.job import Job, State, Told
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.options import VideoOptions
from pipelines.video.seen import Look, SeenPerson
from ui.video.source import VideoSource
from ui.video.state import Clip, Seen

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
_List = list  # the method of that name hides it below
ORDER = ("running", "waiting", "done", "failed", "cancelled")


class FakeQueue:
    """As `JobQueue`, in memory; nobody works."""

    def __init__(self, folder: Path) -> None:
        self.root, self.ledger = folder, None
        self.jobs: list[Job] = []
        self.asked: list[Any] = []
        self._numbers = itertools.count(1)

    def put(self, state: State = "waiting", title: str = "clip.mp4 at 70", kind: str = "video", **more: Any) -> Job:
        """A job as it would be found."""
        number = next(self._numbers)
        times: dict[str, Any] = {"created": NOON + timedelta(minutes=number)}
        if state != "waiting":
            times["started"] = NOON + timedelta(minutes=number)
        if state in ("done", "failed", "cancelled"):
            times["ended"] = NOON + timedelta(minutes=number + 3)
        job = Job(f"job{number}", kind, title, state, more.pop("request", {}), **times | more)
        self.jobs.append(job)
        return self.get(job.id)

    def change(self, key: str, **more: Any) -> Job:
        self.jobs = [replace(job, **more) if job.id == key else job for job in self.jobs]
        return self.get(key)

    def add(self, kind: str, request: dict[str, Any], first: bool = False) -> Job:
        source = Path(request["source"])
        if not source.is_file():
            raise InputError(f"There is no file at {source}.")
        stored = request | {"facts": facts_of(source).as_dict()}
        return self.put(title=f"{source.name} at {request['options']['subjects'][0]['ages'][0][1]:g}", request=stored)

    def list(self, limit: int = 100, states: Collection[State] | None = None) -> list[Job]:
        self.asked.append((limit, states))
        waiting = [job.id for job in self.jobs if job.state == "waiting"]
        placed = [replace(job, position=waiting.index(job.id) + 1 if job.id in waiting else None) for job in self.jobs]
        ended = [job for job in placed if job.over][::-1]
        going = [job for state in ORDER[:2] for job in placed if job.state == state]
        return [job for job in going + ended if states is None or job.state in states][:limit]

    def get(self, job_id: str) -> Job:
        found = next((job for job in self.list(10**6) if job.id == job_id), None)
        self.asked.pop()
        if found is None:
            raise InputError(f"There is no job {job_id}.")
        return found

    def cancel(self, job_id: str) -> Job:
        return self.change(self.get(job_id).id, state="cancelled")

    def resume(self, job_id: str) -> Job:
        return self.change(self.get(job_id).id, state="waiting", error="")

    def move(self, job_id: str, where: str) -> Job:
        job = self.get(job_id)
        waiting = [each for each in self.jobs if each.state == "waiting"]
        place = [each.id for each in waiting].index(job_id)
        waiting.insert({"first": 0, "up": max(place - 1, 0), "down": place + 1}[where], waiting.pop(place))
        self.jobs = [each for each in self.jobs if each.state != "waiting"] + waiting
        return job

    def delete(self, job_id: str, results: bool = False) -> _List[Path]:
        job = self.get(job_id)
        self.jobs = [each for each in self.jobs if each.id != job_id]
        made = [Path(path) for path in (job.result or {}).get("files", [])] if results else []
        for path in made:
            path.unlink(missing_ok=True)
        return [*made, self.folder(job_id)]

    def folder(self, job_id: str) -> Path:
        return self.root / job_id

    def close(self) -> None:
        self.jobs = []


def facts_of(path: Path, bits: int = 8, rotation: int = 0) -> VideoFacts:
    """A clip of two seconds with two people."""
    return VideoFacts(
        path, "ab" * 32, "mov,mp4", 0, 320, 240, rotation, Fraction(1, 25), Fraction(25), "yuv420p", bits, "h264",
        (1,), (), 2.0,
    )  # fmt: skip


def landmarks(x: float, frames: int = 50) -> np.ndarray:
    """A face of which the first frames do not show anything."""
    points = np.array([(x, 80), (x + 40, 80), (x + 20, 100), (x + 5, 120), (x + 35, 120)], np.float32)
    found = np.repeat(points[None], frames, axis=0)
    found[: frames // 5] = np.nan
    return found


def look_of(count: int = 2, frames: int = 50) -> tuple[Look, FrameIndex]:
    """What a look at the clip finds."""
    people = tuple(
        SeenPerson(
            i + 1, landmarks(60 + 120 * i, frames), np.ones(frames, bool), np.eye(128, dtype=np.float32)[i],
            34.0 + 6 * i, 80.0, frames // 2,
        )
        for i in range(count)
    )  # fmt: skip
    return Look(np.array([(0, frames)]), people), FrameIndex(np.arange(frames), np.array([0]), 1)


class FakeVideo(VideoSource):
    """As `VideoSource`: a file that begins with "clip" shows two people, one that ends in "empty" none."""

    def __init__(self, steps: int = 2, error: Exception | None = None) -> None:
        self.steps, self.error = steps, error
        self.opened: list[Path] = []
        self.looked = 0
        self.previewed: list[tuple[VideoOptions, float]] = []
        self.runtime: Any = SimpleNamespace()

    def open(self, path: Path) -> VideoFacts:
        self.opened.append(path)
        if not path.is_file() or not path.read_bytes().startswith(b"clip"):
            raise InputError(f"{path} is no video that can be read; choose another file.")
        return facts_of(path)

    def known(self, facts: VideoFacts) -> bool:
        return self.looked > 0

    def look(self, facts: VideoFacts, cancel: CancelToken) -> Iterator[Event]:
        self.looked += 1
        for step in range(self.steps):
            cancel.check()
            yield Event("look", "Looking for people", step, self.steps, 3.0)
        if self.error:
            raise self.error
        look, index = look_of(0 if facts.path.read_bytes().endswith(b"empty") else 2)
        people = tuple(Seen(p.who, p.age, 1 / p.who, 1.0, Image.new("RGB", (160, 160), "teal")) for p in look.people)
        yield Event("done", "Done", 1, 1, 0.0, value=Clip(facts, look, index, people))

    def frame(self, clip: Clip, second: float) -> Image.Image:
        return Image.new("RGB", (320, 240), "grey")

    def preview(self, clip: Clip, options: VideoOptions, second: float, cancel: CancelToken) -> Iterator[Event]:
        self.previewed.append((options, second))
        before, after = Image.new("RGB", (320, 240), "grey"), Image.new("RGB", (320, 240), "white")
        yield Event("look", "A first look", preview=True, value=(before, after))
        for step in range(self.steps):
            cancel.check()
            yield Event("tune", "Learning this face", step, self.steps, 2.0)
        if self.error:
            raise self.error
        yield Event("done", "Done", 1, 1, 0.0, value=(before, after))


def told(done: int = 3, total: int = 12, preview: Path | None = None) -> Told:
    """How far a job is."""
    return Told("Frames 97 to 144 of 576", done, total, 42.0, preview)
