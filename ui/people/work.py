"""Work on the collection that takes a while: jobs on the queue, and the tabs look how far they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import EveryageError, InputError
from ui.following import Followed
from ui.people import words
from ui.people.form import Order
from ui.services import Services
from ui.uploads import discard_uploads, keep_uploads

if TYPE_CHECKING:
    from pipelines.personalize import PersonalizeOptions, TrainingView


def start_import(services: Services, order: Order) -> Followed:
    """Import what the form asked for. Raises InputError for what can't be imported."""
    sources = keep_uploads(services, order.sources) if order.keep else order.sources
    request: dict[str, Any] = {"sources": [str(path) for path in sources], "keep": order.keep}
    if order.person:
        request |= {"person": order.person, "born": order.born.isoformat() if order.born else None}
        request["consent"] = words.CONSENT.format(name=order.person)
    try:
        return services.people_jobs.begin("import", request)
    except EveryageError:
        if order.keep:
            discard_uploads(services, sources)
        raise


def start_group(services: Services, fields: dict[str, str]) -> Followed:
    """Group the faces without a name; the consent for it is recorded first, unless it is there."""
    library = services.collection.library
    if library.consent() is None:
        if fields.get("consent") != "yes":
            raise InputError("Tick the box first: faces are told apart only with your consent.")
        library.give_consent(text=words.COLLECTION_CONSENT)
    return services.people_jobs.begin("group", {})


def start_training(services: Services, name: str, fields: dict[str, str]) -> Followed:
    """Learn how `name` ages; with "go" in the fields, as it was begun. Raises InputError for unusable options."""
    options = services.personalizer.unfinished_options(name) if fields.get("go") else None
    options = options or training_options(fields)
    return services.people_jobs.begin("personalize", {"person": name, "options": options.as_dict()})


def training_options(fields: dict[str, str]) -> PersonalizeOptions:
    """The options in a sent form. Raises InputError for those that can't be used."""
    from pipelines.personalize import PersonalizeOptions

    given = fields.get("steps", "").strip()
    if given and not given.isdigit():
        raise InputError(f"{given!r} is no number of steps; write a whole number, or leave it empty.")
    return PersonalizeOptions(preset=fields.get("preset", "everyage"), steps=int(given) if given else None)


def start_evaluation(services: Services, name: str) -> Followed:
    """Measure the model of `name`; the result is a report that the browser may fetch."""
    return services.people_jobs.begin("evaluate", {"person": name})


def whose(services: Services, found: Followed) -> str:
    """What the person is called whom the work is about; nothing where it is about nobody."""
    person = str(found.job.request.get("person") or "")
    if not person:
        return ""
    try:
        return services.collection.people.whose(person).name
    except InputError:  # forgotten meanwhile
        return ""


def training_view(found: Followed) -> TrainingView | None:
    """What training left to be drawn; None while there is nothing."""
    from pipelines.personalize import TrainingView

    view = found.view
    if "step" not in view:
        return None
    return TrainingView(int(view["step"]), int(view["steps"]), dict(view["losses"]), found.picture("preview"))


def report(services: Services, found: Followed | None) -> Path | None:
    """A copy of the report, named after the person, that the browser may fetch; None where there is none."""
    if found is None or found.job.kind != "evaluate" or found.ended != "done":
        return None
    page = Path(str(found.result.get("report")))
    if not page.is_file():
        return None
    facts = page.stat()
    key = (str(page), facts.st_size, facts.st_mtime_ns)
    known = services.handed.get(key)
    if known is None or not known.is_file():
        known = services.new_file(f"How {whose(services, found)} ages", page.suffix)
        shutil.copyfile(page, known)
        services.handed[key] = known
    return known


def finished(services: Services, found: Followed) -> str:
    """What came of a job, in a sentence or two."""
    if found.job.kind == "import":
        return f"Imported: {found.result['sentence']}"
    if found.job.kind == "group":
        return "The faces are grouped. Name those that you know."
    if found.job.kind == "personalize":
        name = whose(services, found)
        return f"Everyage knows how {name} ages. Choose {name} on the Age page."
    return "Measured. The report is ready."
