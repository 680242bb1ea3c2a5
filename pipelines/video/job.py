"""A video as a job: look, tune a generator for each shot, draw runs of frames, join them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from models.errors import InputError
from photos.files import check_output, make_folder, read_json, write_file
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell
from pipelines.jobs.request import given_path
from pipelines.video.media.facts import VideoFacts
from pipelines.video.options import VideoOptions, default_name, video_options
from pipelines.video.work import FRAMES, VIDEO_RECIPE, VideoWork, file_state, still_there

TUNE = re.compile(r"tune-(\d+)-(\d+)")
DONE = "done.json"


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
            "file": file_state(facts.path),
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
        work = VideoWork.at_hand(self, request)
        if work is None:
            return ["look"]
        tunes = [name for name in work.tunes() if not (folder / f"{name}.safetensors").is_file()]
        if tunes:
            return tunes
        return [name for name in work.runs() if not (folder / f"{name}.part").is_file()]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        work = VideoWork.at_hand(self, request)
        return 1 + len(work.tunes()) + len(work.runs()) if work else 0

    def place(self, request: dict[str, Any], folder: Path, chunk: str) -> tuple[float, float] | None:
        work = VideoWork.at_hand(self, request)
        return work.place(folder, chunk) if work else None

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        if chunk == "look":
            self._look(request, tell, cancel)
            return
        work = VideoWork.of(self, request)
        if tune := TUNE.fullmatch(chunk):
            for event in work.tune(int(tune[1]), int(tune[2]), folder, cancel):
                tell(event)
        elif frames := FRAMES.fullmatch(chunk):
            work.draw(int(frames[1]), int(frames[2]), folder, tell, cancel)

    def _look(self, request: dict[str, Any], tell: Tell, cancel: CancelToken) -> None:
        from pipelines.video.look import look_at

        for event in look_at(still_there(request), self.runtime(), self.settings.data / "cache", cancel):
            tell(event if event.stage != "done" else Event("look", event.message, event.done, event.total))
        work = VideoWork.of(self, request)
        work.tunes()  # says at once if somebody was chosen who is not there
        work.runs()

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        """The result, and then a note of it: whoever is called again after that finds the note."""
        result = read_json(folder / DONE)
        if result is None:
            result = VideoWork.of(self, request).join(folder, tell, cancel)
            write_file(folder / DONE, json.dumps(result).encode())
        for path in (*folder.glob("*.part"), *folder.glob("tune-*.safetensors")):
            path.unlink(missing_ok=True)
        return result
