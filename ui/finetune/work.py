"""Trainings at the desk of the server: they go on without the page, and the tabs look how far they are."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from ui.background import Task
from ui.finetune.form import GIVEN, Order
from ui.services import Services

STAGE = "finetune"


def start(services: Services, order: Order) -> Task:
    """Train, or only look at the folder. Raises InputError while something else is being done."""
    folder, person, title = order.folder, "", order.title
    if folder is None:
        from pipelines.finetune.collected import collect

        settings = order.settings
        found = collect(services.settings.data, services.collection.people, order.person, settings.phrase)
        folder, person, title = found.folder, found.person, title or found.name
    if order.check:
        return _look(services, folder, order)
    return _train(services, folder, order.settings, title, person)


def go_on(services: Services, key: str) -> Task:
    """Go on with a training that was stopped. Raises InputError if there is none of this key."""
    found = next((one for one in services.finetuner.unfinished() if one.key == key), None)
    if found is None:
        raise InputError("This training is not there any more; start it anew.")
    return _train(services, Path(found.folder), found.settings, found.title, found.person)


def forget(services: Services, key: str) -> None:
    """Delete a training that was stopped, with the pictures that were handed over for it."""
    found = next((one for one in services.finetuner.unfinished() if one.key == key), None)
    services.desk.require_free()
    services.finetuner.forget(key)
    if found is not None:
        discard(services, Path(found.folder))


def discard(services: Services, folder: Path) -> None:
    """Delete handed-over pictures; a folder of the person's own stays."""
    home = services.settings.data / "finetune"
    if folder.parent == home and folder.name.startswith(GIVEN):
        shutil.rmtree(folder, ignore_errors=True)


def _train(services: Services, folder: Path, settings: Any, title: str | None, person: str) -> Task:
    named = title or ("My pictures" if folder.name.startswith(GIVEN) else None)

    def work(cancel: CancelToken) -> Iterator[Event]:
        yield from services.finetuner.run(folder, settings, named, cancel=cancel, person=person)
        discard(services, folder)

    return services.desk.begin(STAGE, named or folder.name, work, "Getting ready", finished)


def _look(services: Services, folder: Path, order: Order) -> Task:
    def work(_: CancelToken) -> Iterator[Event]:
        try:
            yield Event("look", "Looking at the pictures")
            yield Event("done", "Looked", 1, 1, 0.0, value=services.finetuner.look(folder, order.settings))
        finally:
            if order.given:
                discard(services, folder)

    return services.desk.begin("look", str(folder), work, "Looking", lambda _: "Nothing is trained yet.")


def finished(task: Task) -> str:
    """What came of a training."""
    done = task.result
    return f"{done.title} is learnt. Choose {done.id} under Adapters on the Generate page."
