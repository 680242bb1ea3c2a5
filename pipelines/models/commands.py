"""`python app.py models ...`: the store for the command line. Typer only at the top, so that --help is instant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import EveryageError

if TYPE_CHECKING:
    from pipelines.events import Event
    from pipelines.models import Entry, ModelStore

cli = typer.Typer(rich_markup_mode=None, help="List, add, download, check and remove models.")

Id = Annotated[str, typer.Argument(metavar="ID", help="The model's id, as `models list` shows it.")]
Data = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Agree = Annotated[bool, typer.Option("--accept-licence", help="Accept the model's licence, which is shown.")]


@cli.command("list")
def list_models(
    ctx: typer.Context,
    here: Annotated[bool, typer.Option("--here", help="Only what is on this machine.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Show all models: what is here, and what can be added."""
    store = _store(ctx, data)
    entries = [entry for entry in store.list() if entry.stored or entry.problem or not here]
    facts = {"models": [entry.as_dict() for entry in entries], "disk_bytes": store.disk_used()}
    lines = [_line(entry) for entry in entries]
    return _say(facts, as_json, *lines, f"{store.disk_used() / 1e6:,.1f} MB in {store.folder}.")


@cli.command()
def show(ctx: typer.Context, id: Id, as_json: Json = False, data: Data = None) -> int:
    """Show what is known of one model: its licence, its source, and how to get it."""
    from pipelines.models import how_to_add

    entry = _store(ctx, data).get(id)
    record = entry.record
    lines = [record.title, record.about, f"State: {entry.state}.{f' {entry.problem}.' if entry.problem else ''}"]
    lines.append(f"Licence: {record.licence.title}. {record.licence.use}")
    lines += [f"Full text: {record.licence.url}"] if record.licence.url else []
    lines += [f"Read about it: {record.source.page}"] if record.source.page else []
    if not entry.stored and record.source.kind != "own":
        lines.append(f"To get it, {how_to_add(record)}.")
    return _say(entry.as_dict(), as_json, *lines)


@cli.command()
def accept(ctx: typer.Context, id: Id, as_json: Json = False, data: Data = None) -> int:
    """Accept the licence of a model (or of OWNER/NAME on the Hugging Face Hub)."""
    entry = _store(ctx, data).accept(id)
    licence = entry.record.licence
    return _say(entry.as_dict(), as_json, f"Accepted for {entry.record.title}: {licence.title}. {licence.use}")


@cli.command()
def add(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="A weight file, or a Diffusers folder.")],
    id: Annotated[str | None, typer.Option(metavar="ID", help="The model of the list that this file is.")] = None,
    name: Annotated[str | None, typer.Option(help="A name of your own for it.")] = None,
    accept_licence: Agree = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Add a file that you have. Foreign files are converted; nothing in them is run."""
    store = _store(ctx, data)
    stored = _run(store, store.add(path, id, name))
    entry = store.accept(stored.id) if accept_licence else store.get(stored.id)
    return _say(entry.as_dict(), as_json, f"{stored.id}: {stored.title} is here.", *_licence_hint(entry))


@cli.command()
def download(
    ctx: typer.Context,
    id: Id,
    accept_licence: Agree = False,
    background: Annotated[bool, typer.Option("--background", help="Leave it to the worker (see `jobs`).")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Download a model (or OWNER/NAME from the Hugging Face Hub). Interrupted downloads go on where they were."""
    store = _store(ctx, data)
    if accept_licence:
        licence = store.accept(id).record.licence
        _note(f"Accepted: {licence.title}. {licence.use}")
    if background:
        from pipelines.job_commands import leave_job

        return leave_job(store.settings, "download", {"model": id}, as_json)
    stored = _run(store, store.download(id))
    entry = store.get(stored.id)
    return _say(entry.as_dict(), as_json, f"{stored.id}: {stored.title} is here.", *_licence_hint(entry))


@cli.command()
def convert(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(help="The weight file of another program: .pt, .pth, .pkl, ...")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    half: Annotated[bool, typer.Option("--half", help="Store the numbers in 16 bits: half the size.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Turn a foreign weight file into safetensors, without adding it. Nothing in it is run."""
    made = _store(ctx, data).convert(path, out, "float16" if half else "float32")
    facts = made.as_dict() | {"out": str(out)}
    return _say(facts, as_json, f"{out}: {made.title}, {made.tensors} tensors, {made.bytes / 1e6:,.1f} MB.")


@cli.command()
def export(
    ctx: typer.Context,
    id: Annotated[str, typer.Argument(metavar="ADAPTER", help="An adapter's id, or its folder.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file (lora, lycoris) or new folder (merged, peft).")],
    form: Annotated[str, typer.Option(help="lora, lycoris, merged or peft.")] = "lora",
    rank: Annotated[int, typer.Option(help="Of a LoRA: more loses less.")] = 32,
    weight: Annotated[float, typer.Option(help="What the adapter's change is multiplied by.")] = 1.0,
    model: Annotated[str | None, typer.Option(metavar="ID", help="The base, if not the one that it names.")] = None,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Write an adapter of the app for other programs, or its model with the adapter in it."""
    store = _store(ctx, data)
    from pipelines.crash import crash_log

    with crash_log(store.settings.data):
        from pipelines.finetune.exporting import export as write
        from pipelines.generate.loading import DiffusionModels
        from pipelines.runtime import Runtime

        models = DiffusionModels(Runtime(store.settings), store.settings.data)
        done = write(models, id, form, out, model, rank, weight)  # type: ignore[arg-type]
    facts = {"out": str(done.path), "form": done.form, "bytes": done.bytes, "lost": round(done.lost, 5)}
    return _say(facts, as_json, done.sentence())


@cli.command()
def verify(
    ctx: typer.Context,
    id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One model; without it, all that are here.")] = None,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Compare the files with their checksums."""
    store = _store(ctx, data)
    verdicts = _run(store, store.verify(id))
    good = all(verdict.ok for verdict in verdicts)
    facts = {"ok": good, "models": [vars(verdict) for verdict in verdicts]}
    lines = [f"{'ok ' if verdict.ok else 'BAD'}  {verdict.id}: {verdict.detail}" for verdict in verdicts]
    _say(facts, as_json, *lines, "All files are as they should be." if good else "See the lines marked BAD.")
    return 0 if good else 1


@cli.command()
def remove(ctx: typer.Context, id: Id, as_json: Json = False, data: Data = None) -> int:
    """Delete a model, and what an unfinished download of it left."""
    freed = _store(ctx, data).remove(id)
    return _say({"id": id, "freed_bytes": freed}, as_json, f"{id} is removed; {freed / 1e6:,.1f} MB are free again.")


def _store(ctx: typer.Context, data: Path | None) -> ModelStore:
    """The store of the data folder; options before the command count unless the command has its own."""
    from pipelines.models import ModelStore
    from pipelines.settings import load_settings

    settings = load_settings(**(ctx.obj or {}) | ({"data": data} if data is not None else {}))
    return ModelStore(settings.data, settings)


def _run(store: ModelStore, events: Iterator[Event]) -> Any:
    """Show the events of long work; the last one's value."""
    from pipelines.console import Progress
    from pipelines.crash import crash_log

    value = None
    with crash_log(store.settings.data), Progress() as progress:
        for event in events:
            value = event.value
            if event.stage != "done":
                progress.show(event)
    if value is None:
        raise EveryageError("The work ended without a result; try again.")
    return value


def _line(entry: Entry) -> str:
    size = f"{entry.bytes / 1e6:,.1f} MB" if entry.bytes else "size not known"
    wrong = f" ({entry.problem})" if entry.problem else ""
    return f"{entry.id:<22} {entry.state:<14} {size:>14}  {entry.record.title}{wrong}"


def _licence_hint(entry: Entry) -> list[str]:
    if entry.usable:
        return []
    licence = entry.record.licence
    return [f"Before it can be used, accept {licence.title}: python app.py models accept {entry.id}", licence.use]


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _say(facts: dict[str, Any], as_json: bool, *lines: str) -> int:
    for line in [json.dumps(facts)] if as_json else lines:
        typer.echo(line)
    return 0
