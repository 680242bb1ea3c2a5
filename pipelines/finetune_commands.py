"""`python app.py finetune FOLDER`: teach a generator from a folder of pictures. Typer only at the top."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError

if TYPE_CHECKING:
    from pipelines.console import Progress
    from pipelines.finetune.finetuner import Finetuner
    from pipelines.finetune.settings import FinetuneSettings

NOTED = 20
NO_OUT = "A comparison needs --out DIR, a folder for its table, its grid and the adapters."
"""Problems of a folder that are told one by one."""


def finetune(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="A folder of pictures, with captions beside them or without.")
    ] = None,
    person: Annotated[
        str | None, typer.Option(metavar="NAME", help="Somebody in the collection, in place of a folder.")
    ] = None,
    method: Annotated[str, typer.Option(help="sara, wara, lora, dora, pissa, oft, sorsa, salt, allora, ...")] = "sara",
    strength: Annotated[str, typer.Option(help="subtle, medium or strong: how many weights are trained.")] = "medium",
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps: more are closer and slower.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the adapter; without it, it is kept in the app.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The adapter's name in the app.")] = None,
    model: Annotated[str | None, typer.Option(metavar="ID", help="A model's id (see `models list`) or folder.")] = None,
    phrase: Annotated[str | None, typer.Option(help="The words for pictures that have none of their own.")] = None,
    sample: Annotated[
        list[str] | None, typer.Option(metavar="PROMPT", help="Drawn while it trains; may be repeated.")
    ] = None,
    sample_every: Annotated[int | None, typer.Option(min=0, help="Steps between samples; 0 draws none.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures side by side.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Batches a step.")] = None,
    side: Annotated[int | None, typer.Option(help="About side x side pixels a picture.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate; the method's own without.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed and pictures give the same adapter.")] = 0,
    ema: Annotated[float | None, typer.Option(help="Horizon of the average of the weights, such as 0.99.")] = None,
    min_snr: Annotated[float | None, typer.Option(help="Limit of the weight by signal to noise; 0 = none.")] = None,
    offset: Annotated[float | None, typer.Option(help="Offset noise, for dark and bright pictures: 0 to 0.1.")] = None,
    flips: Annotated[bool, typer.Option(help="Mirror the pictures, too.")] = True,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Less memory, slower.")] = False,
    precision: Annotated[str | None, typer.Option(help="auto, no, fp16 or bf16.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adamw, or adamw8bit where bitsandbytes is here.")] = None,
    compare: Annotated[
        str | None, typer.Option(metavar="METHOD,...", help="Compare methods; --out gets a table and a grid.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=20, help="With --compare: so many trainings a method.")] = 1,
    check: Annotated[bool, typer.Option("--check", help="Only look at the folder and count the memory.")] = False,
    background: Annotated[bool, typer.Option("--background", help="Leave it to the worker (see `jobs`).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = None,
) -> int:
    """Teach a generator from a folder of pictures. Goes on where the same training was stopped."""
    from pipelines.console import Progress
    from pipelines.crash import crash_log
    from pipelines.settings import load_settings

    given = {"data": data, "device": device}
    settings = load_settings(**(ctx.obj or {}) | {key: value for key, value in given.items() if value is not None})
    asked: dict[str, Any] = {
        "method": method, "strength": strength, "steps": steps, "model": model, "phrase": phrase, "samples": sample,
        "sample_every": sample_every, "batch": batch, "accumulate": accumulate, "side": side, "rate": rate,
        "seed": seed, "ema": ema, "offset": offset, "flips": flips, "checkpointing": checkpointing,
        "precision": precision, "optimizer": optimizer,
    }  # fmt: skip
    with crash_log(settings.data), Progress() as progress:
        from pipelines.finetune.finetuner import Finetuner
        from pipelines.finetune.settings import finetune_settings
        from pipelines.job_commands import leave_job
        from pipelines.runtime import Runtime

        values = {key: value for key, value in asked.items() if value is not None}
        if min_snr is not None:
            values["min_snr"] = min_snr or None
        chosen = finetune_settings(values)
        if background:
            if check:
                raise InputError("--check only looks, and at once: leave --background out.")
            return leave_job(settings, "finetune", _request(folder, person, chosen, name, out, compare, seeds), as_json)
        tuner = Finetuner(Runtime(settings), settings.data)
        whose, folder, name = _source(tuner, folder, person, phrase, name, out)
        if compare is not None:
            facts = _compare(tuner, folder, chosen, compare.split(","), seeds, out, progress, whose)
        else:
            facts = _look(tuner, folder, chosen) if check else _train(tuner, folder, chosen, name, out, progress, whose)
    print(json.dumps(facts) if as_json else facts["sentence"])
    return 0


def _request(
    folder: Path | None,
    person: str | None,
    settings: FinetuneSettings,
    name: str | None,
    out: Path | None,
    compare: str | None,
    seeds: int,
) -> dict[str, Any]:
    """The same as a job asks for it."""
    if folder is not None and person is not None:
        raise InputError("Give either a folder of pictures or --person, not both.")
    if compare is not None and out is None:
        raise InputError(NO_OUT)
    asked: dict[str, Any] = {"folder": str(folder or ""), "person": person or "", "title": name, "out": str(out or "")}
    asked["settings"] = settings.model_dump(mode="json")
    return asked | ({"compare": compare.split(","), "seeds": seeds} if compare is not None else {})


def _source(
    tuner: Finetuner, folder: Path | None, person: str | None, phrase: str | None, name: str | None, out: Path | None
) -> tuple[str, Path, str | None]:
    """(the person's own folder or nothing, the folder of the pictures, the adapter's name)."""
    if person is None:
        if folder is None:
            raise InputError("Give a folder of pictures, or --person NAME for somebody in the collection.")
        return "", folder, name
    if folder is not None:
        raise InputError("Give either a folder of pictures or --person, not both.")
    from photos.library import Library
    from photos.people import People
    from pipelines.finetune.collected import collect

    found = collect(tuner.data, People(Library(tuner.data)), person, phrase)
    return found.person, found.folder, name if name is not None or out is not None else found.name


def _look(tuner: Finetuner, folder: Path, settings: FinetuneSettings) -> dict[str, Any]:
    """What the folder holds and what the training would need."""
    found = tuner.look(folder, settings)
    problems = [problem.words for problem in found.folder.problems]
    count = len(found.folder.pictures)
    going = [f"It would go on from step {found.step}."] if found.step else []
    words = [f"{count} pictures to learn from.", found.forecast.sentence(), found.advice, *going, *problems]
    return {
        "pictures": count,
        "problems": problems,
        "needed_bytes": found.forecast.needed,
        "free_bytes": found.forecast.free,
        "weights": found.forecast.trainable,
        "step": found.step,
        "sentence": "\n".join(word for word in words if word),
    }


def _compare(
    tuner: Finetuner,
    folder: Path,
    settings: FinetuneSettings,
    methods: list[str],
    seeds: int,
    out: Path | None,
    progress: Progress,
    person: str,
) -> dict[str, Any]:
    """Train several methods and write what came of them; a comparison that was stopped goes on."""
    from pipelines.finetune.comparing import compare
    from pipelines.finetune.comparison import write

    if out is None:
        raise InputError(NO_OUT)
    found = None
    named = [method.strip() for method in methods]
    for event in compare(tuner, folder, settings, named, range(seeds), out, person=person):
        progress.show(event)
        found = event.value if event.stage in ("compare", "done") else found
    assert found is not None
    written = write(found, out)
    lines = [
        f"{row['method']}: distance {row['distance']:.1f}, at equal drift {row['distance_at_drift']:.1f}, "
        f"drift {row['drift']:.3f}, {row['seconds']:.0f} s, {row['bytes'] / 1e6:.1f} MB"
        for row in found.table()
    ]
    return written | {"out": str(out), "sentence": "\n".join([*lines, f"The table and the grid are in {out}."])}


def _train(
    tuner: Finetuner,
    folder: Path,
    settings: FinetuneSettings,
    name: str | None,
    out: Path | None,
    progress: Progress,
    person: str,
) -> dict[str, Any]:
    from pipelines.console import duration

    if name is not None and out is not None:
        raise InputError("Give either --name, to keep it in the app, or --out, for a folder of your own.")
    began, done = time.monotonic(), None
    problems: list[str] = []
    for event in tuner.run(folder, settings, name, out, person=person):
        progress.show(event)
        if event.stage == "check":
            problems = [problem.words for problem in event.value.problems]
            for words in problems[:NOTED]:
                progress.note(f"Note: {words}")
        done = event.value if event.stage == "done" else done
    if done is None:
        return {"sentence": "The first process wrote the adapter."}
    seconds = round(time.monotonic() - began, 2)
    use = f"--adapter {done.id or done.path}"
    learnt = f"{done.title} is learnt from {done.card['pictures']} pictures, in {duration(seconds)}"
    return {
        "out": str(done.path),
        "id": done.id,
        "title": done.title,
        "method": settings.method,
        "steps": settings.steps,
        "card": done.card,
        "problems": problems,
        "seconds": seconds,
        "sentence": f"{learnt}; use it with `{use}`.",
    }
