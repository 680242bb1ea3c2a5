"""A video as a job: look, tune a generator for each shot, draw runs of frames, join them."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.errors import InputError
from photos.files import check_output, make_folder
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell
from pipelines.jobs.whole import given_path, read_json, write_file
from pipelines.video.media.facts import VideoFacts
from pipelines.video.options import VideoOptions, default_name, video_options

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.video.media.facts import FrameIndex
    from pipelines.video.seen import Look

VIDEO_RECIPE = 1
FRAMES = re.compile(r"frames-(\d{7})-(\d{7})")
TUNE = re.compile(r"tune-(\d+)-(\d+)")
PREVIEW_S, PREVIEW_SIDE = 2.0, 512
DONE = "done.json"
# Work beside that of ageing one frame: a frame that is looked at, one that is only encoded, a step of tuning.
LOOK_EFFORT, IDLE_EFFORT, TUNE_EFFORT, TYPICAL_STEPS = 0.03, 0.03, 2.5, 120


class VideoJob(JobKind):
    """request: "source", "out" (paths; without "out" the result goes to `data / "videos"`), "options"."""

    name = "video"

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        """Opens the video, so that what can't be used is said before anything waits in the queue."""
        from pipelines.video.media import Quality, check_video_path, open_video

        options = self._lasting(video_options(request.get("options", {})))
        facts = open_video(given_path(request.get("source"), "a video"))
        out = request.get("out")
        target = given_path(out, "a name for the result") if out else self._own_name(facts, options)
        check_video_path(target, Quality.of(options))
        check_output(target)
        if target.exists() and target.samefile(facts.path):
            raise InputError(f"The result {target} would replace the video itself; choose another name.")
        return {
            "source": str(facts.path),
            "sha256": facts.sha256,
            "out": str(target),
            "options": options.model_dump(mode="json"),
            "facts": facts.as_dict(),
            "file": _file_state(facts.path),
        }

    def _lasting(self, options: VideoOptions) -> VideoOptions:
        """People by the token of their folder, which stays theirs. Raises InputError for one who is not learnt."""
        from pipelines.aging.personal import person_token

        tokens = [person_token(self.settings.data, subject.person) for subject in options.subjects]
        subjects = [s.model_copy(update={"person": t}) for s, t in zip(options.subjects, tokens, strict=True)]
        return options.model_copy(update={"subjects": tuple(subjects)})

    def _own_name(self, facts: VideoFacts, options: VideoOptions) -> Path:
        """Named by what made it, so that another age or another setting does not replace it."""
        made_by = json.dumps([facts.sha256, options.model_dump(mode="json"), VIDEO_RECIPE], sort_keys=True)
        name = Path(default_name(facts.path, options))
        digest = hashlib.sha256(made_by.encode()).hexdigest()[:8]
        return make_folder(self.settings.data / "videos") / f"{name.stem}-{digest}{name.suffix}"

    def title(self, request: dict[str, Any]) -> str:
        ages = video_options(request["options"]).subjects[0].ages
        span = f"{ages[0][1]:g}" if len(ages) == 1 else f"{ages[0][1]:g} to {ages[-1][1]:g}"
        return f"{Path(request['source']).name} at {span}"

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        """First "look"; then "tune-WHO-SHOT" for each person and shot; then "frames-FIRST-STOP"."""
        if (folder / DONE).is_file():
            return []
        work = _Work.at_hand(self, request)
        if work is None:
            return ["look"]
        tunes = [name for name in work.tunes() if not (folder / f"{name}.safetensors").is_file()]
        if tunes:
            return tunes
        return [name for name in work.runs() if not (folder / f"{name}.part").is_file()]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        work = _Work.at_hand(self, request)
        return 1 + len(work.tunes()) + len(work.runs()) if work else 0

    def place(self, request: dict[str, Any], folder: Path, chunk: str) -> tuple[float, float] | None:
        work = _Work.at_hand(self, request)
        return work.place(folder, chunk) if work else None

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        if chunk == "look":
            self._look(request, tell, cancel)
            return
        work = _Work.of(self, request)
        if tune := TUNE.fullmatch(chunk):
            for event in work.tune(int(tune[1]), int(tune[2]), folder, cancel):
                tell(event)
        elif frames := FRAMES.fullmatch(chunk):
            work.draw(int(frames[1]), int(frames[2]), folder, tell, cancel)

    def _look(self, request: dict[str, Any], tell: Tell, cancel: CancelToken) -> None:
        from pipelines.video.look import look_at

        for event in look_at(still_there(request), self.runtime(), self.settings.data / "cache", cancel):
            tell(event if event.stage != "done" else Event("look", event.message, event.done, event.total))
        work = _Work.of(self, request)
        work.tunes()  # says at once if somebody was chosen who is not there
        work.runs()

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        """The result, and then a note of it: whoever is called again after that finds the note."""
        result = read_json(folder / DONE)
        if result is None:
            result = _Work.of(self, request).join(folder, tell, cancel)
            write_file(folder / DONE, json.dumps(result).encode())
        for path in (*folder.glob("*.part"), *folder.glob("tune-*.safetensors")):
            path.unlink(missing_ok=True)
        return result


class _Work:
    """One video with what was found in it."""

    def __init__(self, kind: VideoJob, request: dict[str, Any], look: Look, index: FrameIndex) -> None:
        from pipelines.video.plan import kept_frames

        self.kind, self.request, self.look, self.index = kind, request, look, index
        self.facts = still_there(request)
        self.options = video_options(request["options"])
        self.first, self.stop = kept_frames(self.facts, index, self.options)

    @classmethod
    def at_hand(cls, kind: VideoJob, request: dict[str, Any]) -> _Work | None:
        """None while nobody has looked at the video yet."""
        from pipelines.video.look.stored import load, look_path

        found = load(look_path(kind.settings.data / "cache", VideoFacts.from_dict(request["facts"])))
        return cls(kind, request, *found) if found else None

    @classmethod
    def of(cls, kind: VideoJob, request: dict[str, Any]) -> _Work:
        work = cls.at_hand(kind, request)
        if work is None:
            raise InputError("What was found in this video is not there any more; start the job anew.")
        return work

    def tunes(self) -> list[str]:
        from pipelines.video.plan import shots_of

        return [
            f"tune-{subject.who}-{shot}"
            for subject in self.options.subjects
            for shot in shots_of(self.look, subject, self.first, self.stop)
        ]

    def runs(self) -> list[str]:
        from pipelines.video.plan import busy_frames, split

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
        from pipelines.video.plan import busy_frames

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
        from pipelines.video.plan import busy_frames

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
        from pipelines.video.plan import busy_frames

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
    if _file_state(facts.path) != request["file"]:
        raise InputError(f"The video {facts.path} was moved or changed since this job was made; put it back as it was.")
    return facts


def _file_state(path: Path) -> list[int]:
    """Size and time of a file, which change with its content; hashing it for every chunk would take too long."""
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def shown_frame(frame: Any, facts: VideoFacts, side: int) -> Image.Image:
    """A frame as a person sees it, upright, at most `side` pixels wide and high."""
    from PIL import Image

    from pipelines.video.media import small_rgb, upright

    return Image.fromarray(upright(small_rgb(frame, side), facts.rotation))
