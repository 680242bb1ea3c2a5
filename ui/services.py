"""What every page needs, made once for the whole server: the pipeline, the history, and who is running what."""

from __future__ import annotations

import logging
import re
import secrets
import threading
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from photos.history import History
from photos.originals import Originals
from pipelines.errors import EveryageError
from pipelines.events import CancelToken
from pipelines.models import ModelStore
from ui.background import Desk
from ui.following import JobDesk

if TYPE_CHECKING:
    from pipelines.aging import AgingPipeline
    from pipelines.collection import Collection
    from pipelines.finetune.finetuner import Finetuner
    from pipelines.generate.gallery import Gallery
    from pipelines.generate.generator import ImageGenerator
    from pipelines.jobs.process import WorkerProcess
    from pipelines.jobs.queue import JobQueue
    from pipelines.personalize import Personalizer
    from pipelines.runtime import Runtime
    from pipelines.settings import Settings
    from ui.video.source import VideoSource


@dataclass(eq=False)
class Run:
    """One piece of work that a tab asked for. `replaced`: the tab moved on, so nothing of it may be shown."""

    cancel: CancelToken = field(default_factory=CancelToken)
    replaced: bool = False


class Runs:
    """The running work of each tab, by Gradio's session hash: a tab has at most one."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()

    def start(self, tab: str) -> Run:
        """A new run for this tab; one that was still going is stopped and stays silent."""
        self.drop(tab)
        with self._lock:
            return self._runs.setdefault(tab, Run())

    def get(self, tab: str) -> Run | None:
        """The tab's run, or None."""
        with self._lock:
            return self._runs.get(tab)

    def cancel(self, tab: str) -> bool:
        """Stop the tab's run, which then reports that it stopped. False if there was none."""
        run = self.get(tab)
        if run is not None:
            run.cancel.cancel()
        return run is not None

    def drop(self, tab: str) -> None:
        """Stop the tab's run for good: its photo was replaced, or the tab was closed."""
        with self._lock:
            run = self._runs.pop(tab, None)
        if run is not None:
            run.replaced = True
            run.cancel.cancel()

    def finish(self, tab: str, run: Run) -> None:
        """Forget a run that ended by itself, unless a newer one took its place."""
        with self._lock:
            if self._runs.get(tab) is run:
                del self._runs[tab]


class Services:
    """Shared by all tabs, so without state of theirs. `served` is the folder of files that browsers may read."""

    def __init__(
        self,
        settings: Settings,
        pipeline: AgingPipeline | None = None,
        collection: Collection | None = None,
        personalizer: Personalizer | None = None,
        jobs: JobQueue | None = None,
        video: VideoSource | None = None,
    ) -> None:
        """What is not given is made on first use."""
        self.settings = settings
        self.served: Path = settings.data / "served" / str(settings.port)
        self.runs = Runs()
        self.history = History(settings.data)
        self.originals = Originals(settings.data)
        self.models = ModelStore(settings.data, settings)
        self.model_runs = Runs()
        self.generate_runs = Runs()
        self.video_runs = Runs()
        self.desk = Desk(self.report)
        self.people_jobs = JobDesk(lambda: self.jobs, "import", "group", "personalize", "evaluate")
        self.finetune_jobs = JobDesk(lambda: self.jobs, "finetune")
        self.download_jobs = JobDesk(lambda: self.jobs, "download")
        self.grid_jobs = JobDesk(lambda: self.jobs, "generate")
        # Looking through a clip has a desk of its own: it is short, and a training must not keep it waiting.
        self.video_desk = Desk(self.report)
        self.handed: dict[tuple[str, int, int], Path] = {}
        self.worker: WorkerProcess | None = None
        self._pipeline = pipeline
        self._collection = collection
        self._personalizer = personalizer
        self._generator: ImageGenerator | None = None
        self._gallery: Gallery | None = None
        self._finetuner: Finetuner | None = None
        self._jobs = jobs
        self._video = video
        self._runtime: Runtime | None = None
        self._lock = threading.Lock()

    @property
    def pipeline(self) -> AgingPipeline:
        """The aging pipeline; the first call loads PyTorch, which takes some seconds."""
        with self._lock:
            if self._pipeline is None:
                from pipelines.aging import AgingPipeline

                self._pipeline = AgingPipeline(self._get_runtime(), self.settings.data)
            return self._pipeline

    @property
    def collection(self) -> Collection:
        """The photo collection. Raises EveryageError if it can't be opened."""
        with self._lock:
            if self._collection is None:
                from pipelines.collection import Collection

                self._collection = Collection(self._get_runtime(), self.settings.data)
            return self._collection

    @property
    def personalizer(self) -> Personalizer:
        """What trains the model of one person."""
        people = self.collection.people
        with self._lock:
            if self._personalizer is None:
                from pipelines.personalize import Personalizer

                self._personalizer = Personalizer(self._get_runtime(), self.settings.data, people)
            return self._personalizer

    @property
    def generator(self) -> ImageGenerator:
        """What makes pictures from words."""
        with self._lock:
            if self._generator is None:
                from pipelines.generate.generator import ImageGenerator

                self._generator = ImageGenerator(self._get_runtime(), self.settings.data)
            return self._generator

    @property
    def finetuner(self) -> Finetuner:
        """What teaches a generator from a folder of pictures."""
        with self._lock:
            if self._finetuner is None:
                from pipelines.finetune.finetuner import Finetuner

                self._finetuner = Finetuner(self._get_runtime(), self.settings.data)
            return self._finetuner

    @property
    def gallery(self) -> Gallery:
        """The pictures made from words. Raises EveryageError if the folder can't be made."""
        with self._lock:
            if self._gallery is None:
                from pipelines.generate.gallery import Gallery

                self._gallery = Gallery(self.settings.data)
            return self._gallery

    @property
    def jobs(self) -> JobQueue:
        """The durable queue. Raises EveryageError if it can't be opened."""
        with self._lock:
            if self._jobs is None:
                from pipelines.jobs.queue import JobQueue

                self._jobs = JobQueue(self.settings)
            return self._jobs

    @property
    def video(self) -> VideoSource:
        """What opens videos and looks through them."""
        with self._lock:
            if self._video is None:
                from ui.video.source import VideoSource

                self._video = VideoSource(self._get_runtime(), self.settings.data)
            return self._video

    @property
    def working(self) -> bool:
        """Whether a process does what is in the queue: the app's own, or another."""
        if self.worker is not None and self.worker.alive:
            return True
        from pipelines.jobs.worker import somebody_works

        return somebody_works(self.settings, self.jobs.ledger)

    def interactive(self) -> AbstractContextManager[None]:
        """Hold while a person waits for a picture: jobs stand still meanwhile."""
        from pipelines.jobs.lease import interactive

        return interactive(self.settings)

    def start_worker(self) -> None:
        """Start the process that does the jobs; it ends with this one."""
        from pipelines.jobs.process import WorkerProcess

        self.worker = WorkerProcess(self.settings)
        self.worker.start()

    def close(self) -> None:
        """Let go of the worker and the queue; jobs that are not over go on at the next start."""
        if self.worker is not None:
            self.worker.stop()
        if self._jobs is not None:
            self._jobs.close()

    def warm(self) -> None:
        """Load the pipeline before anyone waits for it. What goes wrong here is said when it is asked for."""
        with suppress(Exception):
            _ = self.pipeline

    def _get_runtime(self) -> Runtime:
        from pipelines.runtime import Runtime

        self._runtime = self._runtime or Runtime(self.settings)
        return self._runtime

    def new_file(self, name: str, suffix: str) -> Path:
        """Where a file for one browser goes: a plain name in a folder whose address no other tab can guess."""
        folder = self.served / secrets.token_hex(16)
        folder.mkdir(mode=0o700)
        plain = re.sub(r"[^\w-]+", "-", name).strip("-") or "result"
        return folder / f"{plain[:80]}{suffix}"

    def sentence(self, error: Exception) -> str:
        """What a page says of an error. A defect has no words of its own: the terminal keeps its trace."""
        if isinstance(error, EveryageError):
            return str(error)
        self.report(error)
        return f"Something went wrong ({type(error).__name__}); the terminal says more."

    def report(self, error: Exception) -> None:
        """Write a defect's trace to the log; the page gets a sentence only."""
        logging.getLogger("everyage").error("A page failed.", exc_info=error)

    def device(self) -> str:
        """The device that does the work, in a person's words. Raises DeviceError if the one asked for is missing."""
        with self._lock:
            device = (self._pipeline.runtime if self._pipeline else self._get_runtime()).device
        return {"cpu": "Processor (CPU)", "mps": "Apple GPU"}.get(device.type) or f"GPU ({device})"
