"""`python app.py personalize NAME`: learn how somebody in the collection ages. Typer only at the top."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import EveryageError, InputError

if TYPE_CHECKING:
    from pipelines.settings import Settings


def personalize(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The person's name in the collection (see `photos people`).")],
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps: more are closer and slower.")] = None,
    preset: Annotated[str, typer.Option(help="everyage, or official: as MyTimeMachine was published.")] = "everyage",
    photos: Annotated[int, typer.Option(min=2, help="At most so many of the person's photos.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same model.")] = 0,
    model: Annotated[str, typer.Option(metavar="ID", help="The model to learn on (see `models list`).")] = "heads",
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Measure it on held-out photos, and write a report with pictures.")
    ] = False,
    background: Annotated[bool, typer.Option("--background", help="Leave it to the worker (see `jobs`).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = None,
) -> int:
    """Learn how a person ages, from their photos in the collection. Goes on where it was stopped."""
    from pipelines.console import Progress
    from pipelines.crash import crash_log
    from pipelines.settings import load_settings

    given = {"data": data, "device": device}
    settings = load_settings(**(ctx.obj or {}) | {key: value for key, value in given.items() if value is not None})
    began = time.monotonic()
    if background:
        asked = {"preset": preset, "steps": steps, "seed": seed, "photos": photos, "model": model}
        return _enqueue(settings, name, asked, evaluate, as_json)
    with crash_log(settings.data), Progress() as progress:
        from pipelines.personalize import PersonalizeOptions, Personalizer
        from pipelines.runtime import Runtime

        personalizer = Personalizer(Runtime(settings), settings.data)
        done = None
        for event in personalizer.run(name, PersonalizeOptions(preset, steps, seed, photos, model)):
            progress.show(event)
            done = event.value if event.stage == "done" else done
        if done is None:
            raise EveryageError("The training ended without a result; try again.")
        facts: dict[str, Any] = {"person": done.person, "adapter": str(done.path), "card": done.card}
        if evaluate:
            for event in personalizer.evaluate(name):
                progress.show(event)
                if event.stage == "done":
                    page, evaluation = event.value
                    facts |= {"report": str(page), "evaluation": evaluation.as_dict()}
    facts["seconds"] = round(time.monotonic() - began, 2)
    print(json.dumps(facts) if as_json else _sentence(facts))
    return 0


def _enqueue(settings: Settings, name: str, options: dict[str, Any], evaluate: bool, as_json: bool) -> int:
    """Leave it to the worker."""
    from pipelines.job_commands import leave_job

    if evaluate:
        raise InputError("--evaluate needs the finished model: leave --background out, or measure it later.")
    return leave_job(settings, "personalize", {"person": name, "options": options}, as_json)


def _sentence(facts: dict[str, Any]) -> str:
    """The result for a person."""
    from pipelines.console import duration

    low, high = facts["card"]["ages"]
    photos, took = facts["card"]["photos"], duration(facts["seconds"])
    text = f"{facts['person']} is learnt from {photos} photos at {low:.0f} to {high:.0f} years, in {took}."
    return text + (f" The report is {facts['report']}." if "report" in facts else "")
