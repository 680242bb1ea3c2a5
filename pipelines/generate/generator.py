"""Pictures from words, or from words and a picture: what the Generate page and `app.py generate` call."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from models.errors import InputError
from models.guidance import WEAK, StepProbe
from pipelines.events import CancelToken, Event
from pipelines.generate import memory
from pipelines.generate.adapters import adapted
from pipelines.generate.job import Job, Made
from pipelines.generate.loading import DiffusionModels, ModelChoice
from pipelines.generate.settings import GenerateSettings
from pipelines.runtime import Runtime

__all__ = ["Generated", "ImageGenerator", "Made", "StepProbe", "finish"]


@dataclass(frozen=True)
class Generated:
    """The result of a run. notes: what a person should know, such as a size that was rounded. seconds: wall time."""

    pictures: tuple[Made, ...]
    notes: tuple[str, ...]
    seconds: float
    start: str | None = None


class ImageGenerator:
    """Makes pictures with any of the models that `models.choices()` lists, or a folder of one."""

    def __init__(self, runtime: Runtime, data: Path) -> None:
        self.runtime = runtime
        self.models = DiffusionModels(runtime, data)

    def run(
        self,
        settings: GenerateSettings,
        init: Image.Image | None = None,
        mask: Image.Image | None = None,
        cancel: CancelToken | None = None,
        previews: bool = True,
        opened: Sequence[Any] | None = None,
    ) -> Iterator[Event]:
        """Make `settings.count` pictures.

        init: a picture (PIL RGB) to start from; mask: PIL, light where it is made anew. opened: what `open` gave for
        the same model and adapters, where several runs follow each other. Events: "load", "encode", "sample" after
        each step (preview: value is a list of PIL pictures), "decode", "done" (value: Generated).
        Raises InputError for settings that do not fit the model; Cancelled at the next step after a cancel.
        """
        cancel = cancel or CancelToken()
        began = time.monotonic()
        if mask is not None and init is None:
            raise InputError("A mask needs the picture that it belongs to; give that, too.")
        choice = self.models.choice(settings.model)
        self._weaker(settings, choice)  # said before anything is loaded
        yield Event("load", f"Loading {choice.title}")
        notes: list[str] = []
        with ExitStack() as stack:
            pipe, *others = opened or stack.enter_context(self.open(settings, notes.append))
            cancel.check()
            job = Job(pipe, self.runtime.device, settings, cancel, init, mask, previews, *others)
            yield Event("encode", "Reading the prompt")
            pictures: list[Made] = []
            fit = memory.first_fit(settings, pipe, self.runtime.device)
            while len(pictures) < settings.count:
                begun = partial(job.batch, len(pictures))
                for used, value in memory.fitting(begun, fit, self.runtime.device):
                    if isinstance(value, Event):
                        yield value
                    else:
                        pictures += value
                        fit = used  # what memory was too small for once is not tried again
        start = hashlib.sha256(init.tobytes()).hexdigest() if init is not None else None
        result = Generated(tuple(pictures), (*notes, *job.notes), round(time.monotonic() - began, 2), start)
        yield Event("done", "Done", 1, 1, 0.0, value=result)

    @contextmanager
    def open(self, settings: GenerateSettings, say: Callable[[str], None] = lambda _: None) -> Iterator[list[Any]]:
        """The pipeline of the model with its adapters, and guidance's second one, held until the end of the block.

        Laying an adapter in costs as much as a few steps: a series of runs does it once. say: see `adapted`.
        """
        choice = self.models.choice(settings.model)
        with (
            self.models.use(choice, *self._weaker(settings, choice)) as pipes,
            adapted(pipes[0], settings.adapters, self.models.adapter, say),
        ):
            yield pipes

    def _weaker(self, settings: GenerateSettings, choice: ModelChoice) -> list[ModelChoice]:
        """The second model, for guidance that needs one. Raises InputError where none is named, or the same."""
        if settings.guidance.method not in WEAK:
            return []
        if not settings.weak:
            raise InputError("Autoguidance needs a weaker version of the model; name one, or choose apg or cfg.")
        weak = self.models.choice(settings.weak)
        if weak.folder == choice.folder:
            raise InputError("The weaker model is the model itself; name an earlier or smaller version.")
        return [weak]


def finish(events: Iterator[Event], show: Callable[[Event], None] = lambda _: None) -> Generated:
    """Run to the end and give back the result."""
    result: Generated | None = None
    for event in events:
        show(event)
        result = event.value if event.stage == "done" else result
    assert result is not None
    return result
