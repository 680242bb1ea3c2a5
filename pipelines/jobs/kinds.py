"""Which kinds of work there are. A kind's module is imported where it is needed, so that the list costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from models.errors import InputError
from pipelines.jobs.kind import JobKind
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.runtime import Runtime

KINDS: dict[str, str] = {
    "video": "pipelines.video.job:VideoJob",
    "age": "pipelines.aging.batch:AgeJob",
    "personalize": "pipelines.personalize.job:PersonalizeJob",
    "evaluate": "pipelines.personalize.job:EvaluateJob",
    "finetune": "pipelines.finetune.job:FinetuneJob",
    "generate": "pipelines.generate.grid_job:GridJob",
    "import": "pipelines.collection_job:ImportJob",
    "group": "pipelines.collection_job:GroupJob",
    "download": "pipelines.models.download_job:DownloadJob",
}
"""Name of a kind -> "module:Class". The queue and the worker both take another mapping where one is needed."""


def make_kind(
    name: str,
    settings: Settings,
    kinds: Mapping[str, str] = KINDS,
    runtime: Callable[[], Runtime] | None = None,
) -> JobKind:
    """The kind of that name. Raises InputError for a name that nobody knows."""
    if name not in kinds:
        raise InputError(f"There is no kind of job named {name!r}; there are {', '.join(sorted(kinds))}.")
    module, _, attribute = kinds[name].partition(":")
    kind: type[JobKind] = getattr(import_module(module), attribute)
    return kind(settings, runtime or _lazily(settings))


def _lazily(settings: Settings) -> Callable[[], Runtime]:
    """Gives one runtime, made when it is first asked for: it loads PyTorch."""
    made: list[Runtime] = []

    def runtime() -> Runtime:
        if not made:
            from pipelines.runtime import Runtime

            made.append(Runtime(settings))
        return made[0]

    return runtime
