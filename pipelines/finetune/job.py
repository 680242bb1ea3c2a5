"""Teaching a generator from a folder of pictures as a job, and comparing methods as one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from models.errors import InputError
from photos.files import make_folder, read_json
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import Others, Tell
from pipelines.jobs.request import given_path, only_known
from pipelines.jobs.whole import Stages, View, WholeJob, thinned

if TYPE_CHECKING:
    from PIL import Image

    from photos.people import People
    from pipelines.finetune.finetuner import Finetuned, Finetuner
    from pipelines.finetune.settings import FinetuneSettings

ASKED = ("folder", "person", "settings", "title", "out", "compare", "seeds")
COMPARED = "comparison"  # the folder in a job's own, in which a comparison is made
NOTED = 40  # problems of the pictures that are told one by one


class FinetuneJob(WholeJob):
    """request: "folder" of pictures, or "person" (a name or a token) whose pictures are collected when the work begins;
    "settings" (of `FinetuneSettings`); "title" of the adapter, or "out", a folder for it in place of the app's own.
    "compare": methods, with "seeds", how many trainings each: then "out", or else a folder of the app's own that stays
    when the job is removed, gets a table, a grid and all adapters.

    With a folder and a person, the pictures are that person's as they lie there.
    """

    name = "finetune"
    STAGES: ClassVar[Stages] = {"prepare": (0.0, 0.05), "train": (0.05, 1.0), "compare": (0.0, 1.0)}

    def people(self) -> People:
        from photos.library import Library
        from photos.people import People

        return People(Library(self.settings.data))

    def finetuner(self) -> Finetuner:
        from pipelines.finetune.finetuner import Finetuner

        return Finetuner(self.runtime(), self.settings.data)

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        from pipelines.finetune.settings import finetune_settings
        from pipelines.finetune.written import check_folder
        from pipelines.generate.loading import choose_model, lasting
        from pipelines.models import ModelStore

        only_known(request, *ASKED)
        settings = finetune_settings(request.get("settings") or {})
        settings = settings.model_copy(update={"model": lasting(settings.model)})
        choose_model(ModelStore(self.settings.data, self.settings), settings.model)
        out = str(given_path(request["out"], "a folder")) if request.get("out") else ""
        compare = [str(method).strip() for method in request.get("compare") or ()]
        title = " ".join(str(request.get("title") or "").split())
        if title and out:
            raise InputError("Give either a name, to keep the adapter in the app, or a folder of your own, not both.")
        if compare:
            _check_comparison(compare, request.get("seeds", 1))
        elif out:
            check_folder(Path(out))
        folder, person = self._pictures(request)
        return {
            "folder": folder,
            "person": person,
            "settings": settings.model_dump(mode="json"),
            "title": title,
            "out": out,
            "compare": compare,
            "seeds": request.get("seeds", 1) if compare else 1,
        }

    def _pictures(self, request: dict[str, Any]) -> tuple[str, str]:
        """(the folder of the pictures, the person's token), each or nothing."""
        from pipelines.finetune.collected import MOST
        from pipelines.finetune.folder import holds_pictures

        folder, person = "", ""
        if request.get("person"):
            known = self.people().whose(str(request["person"]))
            person = known.folder
        if request.get("folder") or not person:
            found = given_path(request.get("folder"), "a folder of pictures, or somebody in the collection")
            holds_pictures(found)
            folder = str(found)
        elif person:
            self.people().training_photos(known.name, MOST)  # says what is missing
        return folder, person

    def title(self, request: dict[str, Any]) -> str:
        named = self._whose(request)
        if request["compare"]:
            from pipelines.finetune.methods import METHODS

            return f"Comparing {', '.join(METHODS[method].title for method in request['compare'])} on {named}"
        return f"Learning from pictures: {named}"

    def _whose(self, request: dict[str, Any]) -> str:
        """What it is learnt from, for a person."""
        if named := self._named(request):
            return named
        return self.people().whose(request["person"]).name if request["person"] else Path(request["folder"]).name

    def _named(self, request: dict[str, Any]) -> str:
        """What the adapter is to be called; nothing leaves it to the folder's name."""
        from pipelines.finetune.stored import is_given

        if request["title"] or request["out"]:
            return str(request["title"])
        if request["person"]:
            return self.people().whose(request["person"]).name
        return "My pictures" if is_given(self.settings.data, Path(request["folder"])) else ""

    def events(self, request: dict[str, Any], folder: Path, cancel: CancelToken) -> Iterator[Event]:
        from pipelines.finetune.settings import finetune_settings

        tuner, settings = self.finetuner(), finetune_settings(request["settings"])
        pictures = self._collected(request, settings) if not request["folder"] else Path(request["folder"])
        if request["compare"]:
            yield from self._compare(tuner, pictures, settings, request, folder, cancel)
            return
        out = Path(request["out"]) if request["out"] else None
        title = self._named(request) or None
        yield from tuner.run(pictures, settings, title, out, cancel, request["person"], mark=folder.name)

    def _collected(self, request: dict[str, Any], settings: FinetuneSettings) -> Path:
        from pipelines.finetune.collected import collect

        people = self.people()
        return collect(self.settings.data, people, people.whose(request["person"]).name, settings.phrase).folder

    def _compare(
        self, tuner: Finetuner, pictures: Path, settings: FinetuneSettings, request: dict[str, Any], folder: Path,
        cancel: CancelToken,
    ) -> Iterator[Event]:  # fmt: skip
        from pipelines.finetune.comparing import compare
        from pipelines.finetune.comparison import HOME, TABLE, write

        home = self.settings.data / HOME / folder.name
        if not request["out"] and (told := read_json(home / TABLE)):  # a stop came just after the end
            yield Event("done", "The comparison is done", 1, 1, 0.0, value=_at(home, told))
            return
        work, seeds = Path(request["out"] or folder / COMPARED), range(request["seeds"])
        facts = {"title": self._whose(request), "person": request["person"]}
        for event in compare(
            tuner, pictures, settings, request["compare"], seeds, work, cancel=cancel, person=request["person"]
        ):
            if event.stage == "done":
                told = write(event.value, work, **facts) | {"out": str(work)}
                if not request["out"]:
                    make_folder(home.parent)
                    work.replace(home)
                    told = _at(home, told)
                yield replace(event, value=told)
            else:
                own = event.stage in ("check", "compare") and event.value is not None  # the trainings check, too
                yield event if own else Event("part", event.message)

    def show(self, event: Event, view: View) -> None:
        seen = event.value
        if event.stage == "check" and seen is not None:
            problems = [problem.words for problem in seen.problems]
            view.put(pictures=len(seen.pictures), problems=problems[:NOTED], more=max(len(problems) - NOTED, 0))
        elif event.stage == "train" and seen is not None:
            if seen.strip is not None:
                view.picture("strip", seen.strip)
            view.put(step=seen.step, steps=seen.steps, losses={"loss": thinned(seen.losses)})
        elif event.stage == "compare":
            view.picture("grid", seen.grid)
            view.put(table=seen.table())

    def picture(self, event: Event) -> Image.Image | None:
        if event.stage == "compare":
            grid: Image.Image = event.value.grid
            return grid
        return event.value.strip if event.stage == "train" and event.value is not None else None

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        from pipelines.finetune.stored import remove_given

        result = super().finish(request, folder, tell, cancel)
        remove_given(self.settings.data, Path(request["folder"]))
        return result

    def removed(self, request: dict[str, Any], others: Others) -> None:
        """Pictures that were handed over go, unless a training that was stopped or another job goes on with them."""
        from pipelines.finetune.stored import is_given, remove_given, unfinished

        data, pictures = self.settings.data, request["folder"]
        if not is_given(data, Path(pictures)):
            return
        if pictures not in {one.folder for one in unfinished(data)} | {other["folder"] for other in others()}:
            remove_given(data, Path(pictures))

    def outcome(self, request: dict[str, Any], value: Any) -> dict[str, Any]:
        if request["compare"]:
            return dict(value)
        done: Finetuned = value
        return {
            "files": [str(path) for path in sorted(done.path.iterdir()) if path.is_file()] if request["out"] else [],
            "person": request["person"],
            "out": str(done.path),
            "id": done.id,
            "title": done.title,
            "card": done.card,
            "problems": [problem.words for problem in done.problems[:NOTED]],
        }


def _at(home: Path, told: dict[str, Any]) -> dict[str, Any]:
    """What is told of a comparison, with the places of all its files."""
    return told | {"out": str(home), "files": [str(path) for path in sorted(home.rglob("*")) if path.is_file()]}


def _check_comparison(methods: list[str], seeds: Any) -> None:
    from pipelines.finetune.methods import METHODS

    unknown = next((method for method in methods if method not in METHODS), None)
    if unknown is not None:
        raise InputError(f"There is no method {unknown!r}; choose among {', '.join(METHODS)}.")
    if type(seeds) is not int or not 1 <= seeds <= 20:
        raise InputError(f"The number of seeds is a whole number from 1 to 20, not {seeds!r}.")
