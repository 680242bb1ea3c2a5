"""Learning how somebody ages, and measuring it, as jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.errors import InputError
from pipelines.events import CancelToken, Event
from pipelines.jobs.request import only_known
from pipelines.jobs.whole import Stages, View, WholeJob, thinned

if TYPE_CHECKING:
    from PIL import Image

    from photos.people import People
    from pipelines.personalize import PersonalizeOptions, Personalizer


class _PersonJob(WholeJob):
    """Work on one person, who is named by the token of their folder."""

    def people(self) -> People:
        from photos.library import Library
        from photos.people import People

        return People(Library(self.settings.data))

    def personalizer(self) -> Personalizer:
        from pipelines.personalize import Personalizer

        return Personalizer(self.runtime(), self.settings.data, self.people())

    def named(self, request: dict[str, Any]) -> str:
        """What the person is called now."""
        return self.people().whose(request["person"]).name


class PersonalizeJob(_PersonJob):
    """request: "person" (a name or a token), "options" (of `PersonalizeOptions`)."""

    name = "personalize"
    STAGES: ClassVar[Stages] = {"prepare": (0.0, 0.05), "train": (0.05, 1.0)}

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        only_known(request, "person", "options")
        people, options = self.people(), options_of(request)
        person = people.whose(str(request.get("person") or ""))
        people.training_photos(person.name, options.photos)  # says what is missing
        return {"person": person.folder, "options": options.as_dict()}

    def title(self, request: dict[str, Any]) -> str:
        return f"Learning how {self.named(request)} ages"

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        options = options_of(request)
        yield from self.personalizer().run(self.named(request), options, cancel, mark=folder.name)

    def show(self, event: Event, view: View) -> None:
        if event.stage != "train" or event.value is None:
            return
        seen = event.value
        if seen.preview is not None:
            view.picture("preview", seen.preview)
        losses = {name: thinned(values) for name, values in seen.losses.items()}
        view.put(step=seen.step, steps=seen.steps, losses=losses)

    def picture(self, event: Event) -> Image.Image | None:
        return event.value.preview if event.stage == "train" and event.value is not None else None

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        return {"files": [], "person": request["person"], "adapter": str(value.path), "card": value.card}


class EvaluateJob(_PersonJob):
    """request: "person" (a name or a token). The report lies beside the model, and goes with it."""

    name = "evaluate"
    STAGES: ClassVar[Stages] = {"evaluate": (0.0, 1.0)}

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        only_known(request, "person")
        person = self.people().whose(str(request.get("person") or ""))
        if not (self.settings.data / "people" / person.folder / "model" / "card.json").is_file():
            raise InputError(f"{person.name} has not been learnt yet; do that first.")
        return {"person": person.folder}

    def title(self, request: dict[str, Any]) -> str:
        return f"Measuring how {self.named(request)} ages"

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        yield from self.personalizer().evaluate(self.named(request), cancel)

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        page, evaluation = value
        return {"files": [], "person": request["person"], "report": str(page), "evaluation": evaluation.as_dict()}


def options_of(request: dict[str, Any]) -> PersonalizeOptions:
    """Raises InputError for options that can't be used."""
    from pipelines.personalize import PersonalizeOptions

    try:
        return PersonalizeOptions(**request.get("options") or {})
    except TypeError as error:
        raise InputError("The options of this training are of another version; start it anew.") from error
