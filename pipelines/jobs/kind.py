"""The contract between the queue and the work: a kind of job says which chunks there are, and does one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipelines.events import CancelToken, Event
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.runtime import Runtime

Tell = Callable[[Event], None]
"""What the work says while it goes on. `done` and `total` of the event count within the chunk; a PIL picture as its
`value` becomes the job's preview."""
Others = Callable[[], Sequence[dict[str, Any]]]


class JobKind(ABC):
    """One kind of work. Made anew in each process that needs it; holds no state of a job.

    All that a job leaves between its chunks are files in its folder, each written whole (`photos.files`). So a chunk
    that is done twice, by a worker that was believed dead for example, gives the same files again.
    """

    name: ClassVar[str]

    def __init__(self, settings: Settings, runtime: Callable[[], Runtime]) -> None:
        """runtime: gives the device with its loaded models; called only where work is done, for it loads PyTorch."""
        self.settings, self.runtime = settings, runtime

    @abstractmethod
    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        """The request, complete and absolute, as it will be stored. Raises InputError for one that can't be done."""

    @abstractmethod
    def title(self, request: dict[str, Any]) -> str:
        """A few words for a person."""

    @abstractmethod
    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        """Names of the chunks that may be done now, in any order and side by side; empty when all are done.

        It is asked again after these are done, so that later chunks can follow from what earlier ones found. A name
        is a plain word ([a-z0-9-]); a name that was given before is not given again.
        """

    def of(self, request: dict[str, Any], folder: Path) -> int:
        """How many chunks there will be in all, as far as is known; 0 while it is not."""
        return 0

    def place(self, request: dict[str, Any], folder: Path, chunk: str) -> tuple[float, float] | None:
        """Shares of the whole job (0..1): what is done before this chunk, and what it adds. None: all weigh alike."""
        return None

    @abstractmethod
    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        """Do one chunk, unless its files are there. Calls `cancel.check()` at least every half second or so."""

    @abstractmethod
    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        """After the last chunk: make the result, remove what only the chunks needed; returns `Job.result`.

        May be called again when it has done all that, for a worker can be killed before it is noted: whatever the
        result is made of, or known by, goes last or stays.
        """

    def removed(self, request: dict[str, Any], others: Others) -> None:  # noqa: B027 - most kinds leave none
        """The job was taken off the list, whatever became of it: delete what lies outside its folder for it alone.

        others: gives the requests of the kind's other jobs.
        """
