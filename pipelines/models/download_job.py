"""Fetching a model as a job: what has arrived stays, and the job goes on from there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from models.errors import InputError
from pipelines.console import size
from pipelines.events import CancelToken, Event
from pipelines.jobs.request import only_known
from pipelines.jobs.whole import Stages, WholeJob
from pipelines.models.store import ModelStore


class DownloadJob(WholeJob):
    """request: "model", an id of the catalog or OWNER/NAME of the Hugging Face Hub; its licence is accepted before."""

    name = "download"
    STAGES: ClassVar[Stages] = {"download": (0.0, 1.0)}

    def store(self) -> ModelStore:
        return ModelStore(self.settings.data, self.settings)

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        only_known(request, "model")
        model = request.get("model")
        if not isinstance(model, str) or not model.strip():
            raise InputError("Give the id of a model, as `models list` shows it.")
        self.store().check_download(model.strip())
        return {"model": model.strip()}

    def title(self, request: dict[str, Any]) -> str:
        return f"Downloading {self.store().get(request['model']).record.title}"

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        """A model that is here already is what this job brought before its process died: it was missing before."""
        store = self.store()
        stored = store.get(request["model"]).stored
        if stored is None:
            for event in store.download(request["model"], cancel):
                yield replace(event, message=_message(event))
        else:
            store.forget_download(stored.id)
            yield Event("done", f"{stored.title} is here", 1, 1, value=stored)

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        return {"files": [], "model": value.id, "title": value.title, "path": str(value.path), "bytes": value.bytes}


def _message(event: Event) -> str:
    """With how much has arrived."""
    if event.stage != "download" or not event.done:
        return event.message
    return f"{event.message}: {size(event.done)}" + (f" of {size(event.total)}" if event.total else "")
