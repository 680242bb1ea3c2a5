"""Trainings as jobs on the queue, and looks at a folder at the desk of the server, which are short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import EveryageError, InputError
from pipelines.events import CancelToken, Event
from ui.finetune.form import Order
from ui.following import Followed
from ui.services import Services

if TYPE_CHECKING:
    from pipelines.finetune.comparison import Stored
    from pipelines.finetune.finetuner import FinetuneView
    from pipelines.finetune.stored import Unfinished
    from pipelines.jobs.job import Job

STOPPED = ("cancelled", "failed")
SHOWN = 6
"""Comparisons that the page lists."""


def start(services: Services, order: Order) -> int:
    """Queue a training, or only look at the folder; a number for the form, which is emptied.

    Raises InputError for what can't be learned from.
    """
    if order.check:
        return _look(services, order)
    request: dict[str, Any] = {"settings": order.settings.model_dump(mode="json"), "title": order.title or ""}
    request |= {"folder": str(order.folder)} if order.folder is not None else {"person": order.person}
    if order.compare:
        request |= {"compare": list(order.compare), "seeds": order.seeds}
    try:
        return _begin(services, request)
    except EveryageError:
        if order.given:
            discard(services, order.folder)
        raise


def go_on(services: Services, key: str) -> int:
    """Go on with a training that was stopped. Raises InputError if there is none of this key."""
    if any(job.id == key for job in stopped_comparisons(services)):
        services.desk.clear()
        services.jobs.resume(key)
        return 0
    found = next((one for one in services.finetuner.unfinished() if one.key == key), None)
    if found is None:
        raise InputError("This training is not there any more; start it anew.")
    for job in services.jobs.list(1000, STOPPED):  # type: ignore[arg-type]
        if is_of(job, found):
            return _begin(services, job.request)
    request = {"folder": found.folder, "person": found.person, "title": found.title}
    return _begin(services, request | {"settings": found.settings.model_dump(mode="json")})


def forget(services: Services, key: str) -> None:
    """Delete a training or a comparison that was stopped, with its jobs and the pictures that were handed over for it;
    or a finished comparison."""
    if done := next((one for one in comparisons(services) if one.id == key), None):
        done.remove()
        return
    if any(job.id == key for job in stopped_comparisons(services)):
        services.jobs.delete(key)
        return
    found = next((one for one in services.finetuner.unfinished() if one.key == key), None)
    services.finetuner.forget(key)
    if found is None:
        return
    for job in services.jobs.list(1000, STOPPED):  # type: ignore[arg-type]
        if is_of(job, found):
            services.jobs.delete(job.id)
    discard(services, Path(found.folder))


def waiting(services: Services) -> list[Unfinished]:
    """Trainings that were stopped, without those that are on the queue again."""
    going = services.finetune_jobs.open_jobs()
    return [one for one in services.finetuner.unfinished() if not any(is_of(job, one) for job in going)]


def stopped_comparisons(services: Services) -> list[Job]:
    """Comparisons that can go on."""
    found = services.jobs.list(1000, STOPPED)  # type: ignore[arg-type]
    return [job for job in found if job.kind == "finetune" and job.request["compare"]]


def comparisons(services: Services) -> list[Stored]:
    """Finished comparisons, newest first."""
    from pipelines.finetune.comparison import stored

    return stored(services.settings.data)[:SHOWN]


def keep(services: Services, key: str) -> str:
    """Put an adapter of a finished comparison, "ID/NAME", beside the others; its id.

    Raises InputError if it is not there any more.
    """
    from pipelines.finetune.methods import METHODS

    for one in comparisons(services):
        for name, method in one.names:
            if key == f"{one.id}/{name}":
                title = f"{one.title} {METHODS[method].title}"
                return services.finetuner.keep(one.folder / name / "adapter", title)
    raise InputError("This comparison is not there any more; make it anew.")


def is_of(job: Job, training: Unfinished) -> bool:
    """Whether the job does this training."""
    asked = job.request
    if job.kind != "finetune" or asked["compare"] or asked["settings"] != training.settings.model_dump(mode="json"):
        return False
    return asked["folder"] == training.folder or (not asked["folder"] and asked["person"] == training.person)


def stop(services: Services) -> None:
    """Stop a look or, if there is none, the training."""
    if not services.desk.stop():
        services.finetune_jobs.stop()


def busy(services: Services) -> bool:
    """Whether something goes on that the page shows."""
    return services.desk.running is not None or services.finetune_jobs.running is not None


def discard(services: Services, folder: Path | None) -> None:
    """Delete handed-over pictures; a folder of the person's own stays."""
    from pipelines.finetune.stored import remove_given

    if folder is not None:
        remove_given(services.settings.data, folder)


def _begin(services: Services, request: dict[str, Any]) -> int:
    services.desk.clear()
    return services.finetune_jobs.begin("finetune", request).number


def _look(services: Services, order: Order) -> int:
    folder = order.folder
    if folder is None:
        from pipelines.finetune.collected import collect

        people = services.collection.people
        folder = collect(services.settings.data, people, order.person, order.settings.phrase).folder

    def work(_: CancelToken) -> Iterator[Event]:
        try:
            yield Event("look", "Looking at the pictures")
            with services.interactive():
                found = services.finetuner.look(folder, order.settings)
            yield Event("done", "Looked", 1, 1, 0.0, value=found)
        finally:
            if order.given:
                discard(services, folder)

    task = services.desk.begin("look", str(folder), work, "Looking", lambda _: "Nothing is trained yet.")
    return task.number


def training_view(found: Followed) -> FinetuneView | None:
    """What training left to be drawn; None while there is nothing."""
    from pipelines.finetune.finetuner import FinetuneView

    view = found.view
    if "step" not in view:
        return None
    return FinetuneView(int(view["step"]), int(view["steps"]), list(view["losses"]["loss"]), found.picture("strip"))


def finished(found: Followed) -> str:
    """What came of a training."""
    done = found.result
    if found.job.request["compare"]:
        return "The methods are compared; keep the adapter that you like best."
    if done.get("id"):
        return f"{done['title']} is learnt. Choose {done['id']} under Adapters on the Generate page."
    return f"{found.job.title} is done; see {done['out']}."
