"""People at another age through a whole video."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from av import VideoFrame

from models.errors import EveryageError
from pipelines.aging.loading import AgingModels, load_readers
from pipelines.aging.nets import AgingNets
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.video.media import FrameIndex, VideoFacts, read_frames
from pipelines.video.options import Subject, VideoOptions
from pipelines.video.plan import seen_person
from pipelines.video.seen import Look

from .artist import Cast
from .masks import Masks
from .sampling import choose_frames, read_crops
from .stream import Chunk
from .track import Track, follow
from .tuned import Tuned, load, made_by, store
from .tuning import Learner, unseen

MOST_ENCODED = 256
"""Pixels on a side beyond which no encoder looks."""


class VideoAger:
    """Ages people in a video, shot by shot: `tune` once for each person and shot, then `render` any run of frames.

    Networks come from the runtime's pool; data: the app's data folder.
    """

    def __init__(self, runtime: Runtime, data: Path) -> None:
        self.runtime, self.data = runtime, Path(data)
        self.models = AgingModels(runtime, self.data)

    def tune(
        self,
        facts: VideoFacts,
        index: FrameIndex,
        look: Look,
        subject: Subject,
        shot: int,
        options: VideoOptions,
        folder: Path,
        cancel: CancelToken,
    ) -> Iterator[Event]:
        """Learn `subject` in shot number `shot` and write folder/tune-WHO-SHOT.safetensors, unless it is there.

        Events "tune"; at the last one the file is written. Raises Cancelled between steps, InputError for a person or
        a model that is not there.
        """
        nets = self.models.nets(options.model, person=subject.person)
        track = _follow(facts, look, subject, shot, options, nets)
        path, made = _path(folder, subject, shot), _made_by(facts, look, track, nets, subject, options)
        tuned = load(path, nets, made)
        if tuned is None:
            for event in self._learn(facts, index, look, track, nets, subject, options, cancel):
                tuned = event.value
                yield Event(event.stage, event.message, event.done, event.total, event.seconds_left)
            assert tuned is not None
            store(path, tuned, made)
        yield Event("tune", "This shot is learnt", 1, 1, 0.0)

    def _learn(
        self,
        facts: VideoFacts,
        index: FrameIndex,
        look: Look,
        track: Track,
        nets: AgingNets,
        subject: Subject,
        options: VideoOptions,
        cancel: CancelToken,
    ) -> Iterator[Event]:
        """Events; the last one's value is the Tuned."""
        yield Event("tune", "Choosing samples of this shot")
        numbers = choose_frames(track, track.first, track.stop)
        if not numbers:
            yield Event("tune", "There is nobody to learn in this shot", value=unseen(nets, subject))
            return
        crops = read_crops(facts, index, track, numbers, cancel).to(nets.device)
        points = torch.from_numpy(track.points[np.array(numbers) - track.first]).to(nets.device)
        learner = Learner(nets, load_readers(self.runtime), self._masks(), subject, options)
        yield from learner.learn(crops, points, seen_person(look, subject).age, cancel)

    def render(
        self,
        facts: VideoFacts,
        index: FrameIndex,
        look: Look,
        first: int,
        stop: int,
        options: VideoOptions,
        folder: Path,
        cancel: CancelToken,
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Number and frame of the frames [first, stop), which lie in one shot, in order, with everybody aged.

        What a frame becomes does not depend on `first` and `stop`. A frame in which nobody is aged is the decoder's
        own. Raises EveryageError for a person who has not been learnt in this shot, ValueError for frames of several
        shots.
        """
        cast = self._cast(facts, look, first, stop, options, folder)
        if cast:
            yield from Chunk(facts, index, look, (first, stop), cast, self._masks(), options, cancel).frames()
            return
        for number, frame in enumerate(read_frames(facts, index, first, stop), first):
            cancel.check()
            yield number, frame

    def _cast(
        self, facts: VideoFacts, look: Look, first: int, stop: int, options: VideoOptions, folder: Path
    ) -> list[Cast]:
        """Those who are aged in any of the frames."""
        shot = next((i for i, (a, b) in enumerate(look.shots) if a <= first and stop <= b), None)
        if shot is None:
            raise ValueError(f"frames {first} to {stop} do not lie in one shot")
        found = []
        for subject in options.subjects:
            nets = self.models.nets(options.model, person=subject.person)
            track = _follow(facts, look, subject, shot, options, nets)
            if track.active_in(first, stop):
                made = _made_by(facts, look, track, nets, subject, options)
                found.append(Cast(subject, track, self._tuned(_path(folder, subject, shot), nets, made), nets))
        return found

    def _tuned(self, path: Path, nets: AgingNets, made: str) -> Tuned:
        """What was learnt, read once for all chunks of a shot."""

        def read() -> tuple[object, Tuned]:
            tuned = load(path, nets, made)
            if tuned is None:
                path.unlink(missing_ok=True)
                raise EveryageError(f"What was learnt of a shot ({path}) is missing or damaged; start the job again.")
            return tuned.synthesis if tuned.own else None, tuned  # the pool counts the network

        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            changed = 0
        return self.runtime.pool.get((str(path), changed, made), read)[1]

    def _masks(self) -> Masks:
        return Masks.load(load_readers(self.runtime), self.runtime, self.data)


def _follow(
    facts: VideoFacts, look: Look, subject: Subject, shot: int, options: VideoOptions, nets: AgingNets
) -> Track:
    """The subject's track, with crops that are large enough for the networks."""
    return follow(look, subject, shot, options, float(facts.rate), min(nets.resolution, MOST_ENCODED))


def _path(folder: Path, subject: Subject, shot: int) -> Path:
    return folder / f"tune-{subject.who}-{shot}.safetensors"


def _made_by(
    facts: VideoFacts, look: Look, track: Track, nets: AgingNets, subject: Subject, options: VideoOptions
) -> str:
    """All that a tuned generator depends on."""
    steps = nets.tune_steps if options.tune_steps is None else options.tune_steps
    places = hashlib.sha256(np.nan_to_num(track.quads).round(2).tobytes()).hexdigest()
    chosen = subject.model_dump(), seen_person(look, subject).age, steps, options.strength, options.detail
    return made_by(facts.sha256, track.first, track.stop, track.size, places, nets.fingerprint, *chosen)
