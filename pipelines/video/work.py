"""One video with what was found in it: which chunks that makes, and how each is done."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.options import video_options
from pipelines.video.plan import busy_frames, kept_frames, shots_of, split

if TYPE_CHECKING:
    from pipelines.video.seen import Look

VIDEO_RECIPE = 1
FRAMES = re.compile(r"frames-(\d{7})-(\d{7})")
PREVIEW_S, PREVIEW_SIDE = 2.0, 512
# Work beside that of ageing one frame: a frame that is looked at, one that is only encoded, a step of tuning.
LOOK_EFFORT, IDLE_EFFORT, TUNE_EFFORT, TYPICAL_STEPS = 0.03, 0.03, 2.5, 120


class VideoWork:
    """What a job of `kind` asked for with `request`, and what the look at its video found."""

    def __init__(self, kind: JobKind, request: dict[str, Any], look: Look, index: FrameIndex) -> None:
        self.kind, self.request, self.look, self.index = kind, request, look, index
        self.facts = still_there(request)
        self.options = video_options(request["options"])
        self.first, self.stop = kept_frames(self.facts, index, self.options)

    @classmethod
    def at_hand(cls, kind: JobKind, request: dict[str, Any]) -> VideoWork | None:
        """None while nobody has looked at the video yet."""
        from pipelines.video.look.stored import load, look_path

        found = load(look_path(kind.settings.data / "cache", VideoFacts.from_dict(request["facts"])))
        return cls(kind, request, *found) if found else None

    @classmethod
    def of(cls, kind: JobKind, request: dict[str, Any]) -> VideoWork:
        work = cls.at_hand(kind, request)
        if work is None:
            raise InputError("What was found in this video is not there any more; start the job anew.")
        return work

    def tunes(self) -> list[str]:
        return [
            f"tune-{subject.who}-{shot}"
            for subject in self.options.subjects
            for shot in shots_of(self.look, subject, self.first, self.stop)
        ]

    def runs(self) -> list[str]:
        runs = split(self.look, busy_frames(self.look, self.options), self.first, self.stop)
        return [f"frames-{a:07d}-{b:07d}" for a, b in runs]

    def place(self, folder: Path, chunk: str) -> tuple[float, float]:
        """See `JobKind.place`."""
        efforts, done = self._efforts(), 0.0
        for name, effort in efforts.items():
            made = folder / f"{name}.{'part' if FRAMES.fullmatch(name) else 'safetensors'}"
            done += effort if name != chunk and (name == "look" or made.is_file()) else 0.0
        whole = sum(efforts.values())
        return done / whole, efforts.get(chunk, 0.0) / whole

    def _efforts(self) -> dict[str, float]:
        """Of each chunk, in frames that are aged."""
        busy = busy_frames(self.look, self.options)
        steps = TYPICAL_STEPS if self.options.tune_steps is None else self.options.tune_steps
        efforts = {"look": LOOK_EFFORT * len(self.index)}
        efforts |= dict.fromkeys(self.tunes(), TUNE_EFFORT * (steps + 10))
        for name in self.runs():
            a, b = (int(part) for part in name.split("-")[1:])
            efforts[name] = float(busy[a:b].sum()) + IDLE_EFFORT * (b - a)
        return efforts

    def tune(self, who: int, shot: int, folder: Path, cancel: CancelToken) -> Iterator[Event]:
        from pipelines.video.aging import VideoAger

        subject = next(each for each in self.options.subjects if each.who == who)
        ager = VideoAger(self.kind.runtime(), self.kind.settings.data)
        yield from ager.tune(self.facts, self.index, self.look, subject, shot, self.options, folder, cancel)

    def draw(self, first: int, stop: int, folder: Path, tell: Tell, cancel: CancelToken) -> None:
        """Write one part of the result."""
        from pipelines.video.aging import VideoAger
        from pipelines.video.media import PartWriter, Quality, read_frames
        from pipelines.video.sheet import shown_frame

        part = folder / f"frames-{first:07d}-{stop:07d}.part"
        if part.is_file():
            return
        if busy_frames(self.look, self.options)[first:stop].any():
            ager = VideoAger(self.kind.runtime(), self.kind.settings.data)
            frames = ager.render(self.facts, self.index, self.look, first, stop, self.options, folder, cancel)
        else:
            frames = enumerate(read_frames(self.facts, self.index, first, stop), first)
        words, shown = f"Frames {first + 1} to {stop} of {self.stop}", 0.0
        with PartWriter(part, self.facts, Quality.of(self.options)) as writer:
            for number, frame in frames:
                cancel.check()
                picture = None
                if time.monotonic() - shown > PREVIEW_S:
                    picture, shown = shown_frame(frame, self.facts, PREVIEW_SIDE), time.monotonic()
                writer.add(frame)
                tell(Event("age", words, number - first + 1, stop - first, value=picture))

    def join(self, folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        from pipelines.video.media import Quality, join

        out, runs = Path(self.request["out"]), self.runs()
        tell(Event("join", "Putting the parts together"))
        parts = [folder / f"{name}.part" for name in runs]
        quality, span = Quality.of(self.options), (self.first, self.stop)
        notes = join(parts, self.facts, self.index, *span, out, quality, self.recipe(), cancel, tell)
        seen = busy_frames(self.look, self.options)[self.first : self.stop]
        return {
            "files": [str(out)],
            "frames": self.stop - self.first,
            "aged": int(seen.sum()),
            "people": [
                {"who": person.who, "age": round(person.age, 1)}
                for person in self.look.people
                if person.who in {subject.who for subject in self.options.subjects}
            ],
            "notes": list(notes),
        }

    def recipe(self) -> dict[str, Any]:
        """Everything needed to make the result again from the same video."""
        return {
            "kind": "video",
            "version": VIDEO_RECIPE,
            "source": {"name": self.facts.path.name, "sha256": self.facts.sha256},
            "options": self.options.model_dump(mode="json"),
        }


def still_there(request: dict[str, Any]) -> VideoFacts:
    """The facts that were found when the job was made. Raises InputError if the file has changed or gone since."""
    facts = VideoFacts.from_dict(request["facts"])
    if file_state(facts.path) != request["file"]:
        raise InputError(f"The video {facts.path} was moved or changed since this job was made; put it back as it was.")
    return facts


def file_state(path: Path) -> list[int]:
    """Size and time of a file, which change with its content; hashing it for every chunk would take too long."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]
