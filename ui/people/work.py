"""Work on the collection that takes a while: it runs at the desk of the server, and the tabs look how far it is."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import InputError
from pipelines.events import CancelToken, Event
from ui.background import Task
from ui.people import words
from ui.people.form import Order
from ui.services import Services

if TYPE_CHECKING:
    from pipelines.personalize import PersonalizeOptions


def start_import(services: Services, order: Order) -> Task:
    """Import what the form asked for. Raises InputError while something else is being done."""
    consent = words.CONSENT.format(name=order.person) if order.person else None
    given: dict[str, Any] = {"person": order.person, "born": order.born, "consent": consent, "keep": order.keep}

    def work(cancel: CancelToken) -> Iterator[Event]:
        try:
            yield from services.collection.import_photos(list(order.sources), cancel=cancel, **given)
        finally:
            if order.keep:
                discard(services, order.sources)

    return services.desk.begin("import", order.person or "", work, "Importing", finished)


def discard(services: Services, uploads: tuple[Path, ...]) -> None:
    """Delete handed-over files: the collection has its own copies."""
    served = services.served.resolve()
    for home in {path.resolve().parent for path in uploads}:
        if home.is_relative_to(served) and home != served:
            shutil.rmtree(home, ignore_errors=True)


def start_group(services: Services, fields: dict[str, str]) -> Task:
    """Group the faces without a name; the consent for it is recorded first, unless it is there."""
    library = services.collection.library
    if library.consent() is None:
        if fields.get("consent") != "yes":
            raise InputError("Tick the box first: faces are told apart only with your consent.")
        library.give_consent(text=words.COLLECTION_CONSENT)
    return services.desk.begin(
        "group", "", lambda cancel: services.collection.group(cancel=cancel), "Grouping the faces", finished
    )


def start_training(services: Services, name: str, fields: dict[str, str]) -> Task:
    """Learn how `name` ages; with "go" in the fields, as it was begun. Raises InputError for unusable options."""
    options = services.personalizer.unfinished_options(name) if fields.get("go") else None
    options = options or training_options(fields)
    return services.desk.begin(
        "train",
        name,
        lambda cancel: with_previews(services.personalizer.run(name, options, cancel)),
        "Learning",
        finished,
    )


def training_options(fields: dict[str, str]) -> PersonalizeOptions:
    """The options in a sent form. Raises InputError for those that can't be used."""
    from pipelines.personalize import PersonalizeOptions

    given = fields.get("steps", "").strip()
    if given and not given.isdigit():
        raise InputError(f"{given!r} is no number of steps; write a whole number, or leave it empty.")
    return PersonalizeOptions(preset=fields.get("preset", "everyage"), steps=int(given) if given else None)


def start_evaluation(services: Services, name: str) -> Task:
    """Measure the model of `name`; the result is a report that the browser may fetch."""

    def work(cancel: CancelToken) -> Iterator[Event]:
        yield Event("evaluate", "Measuring on photos that were held out")
        page, _ = services.personalizer.evaluate(name)
        cancel.check()
        report = services.new_file(f"How {name} ages", page.suffix)
        shutil.copyfile(page, report)
        yield Event("done", "Measured", 1, 1, 0.0, value=report)

    return services.desk.begin("evaluate", name, work, "Measuring", finished)


def with_previews(events: Iterator[Event]) -> Iterator[Event]:
    """The events of training, each with the newest preview: most steps draw none."""
    newest: Any = None
    for event in events:
        view = event.value
        if event.stage == "train" and view is not None:
            newest = view.preview or newest
            event = replace(event, value=replace(view, preview=newest))
        yield event


def finished(task: Task) -> str:
    """What came of a task, in a sentence or two."""
    if task.kind == "import":
        return f"Imported: {task.result.sentence()}"
    if task.kind == "group":
        return "The faces are grouped. Name those that you know."
    if task.kind == "train":
        return f"Everyage knows how {task.subject} ages. Choose {task.subject} on the Age page."
    return "Measured. The report is ready."
