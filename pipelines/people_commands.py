"""`python app.py photos ...`: the collection for the command line. Typer only at the top, so that --help is instant."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import Cancelled, EveryageError, InputError
from pipelines import people_words as words

if TYPE_CHECKING:
    from photos.library import ImportReport, Library
    from photos.people import People
    from pipelines.events import Event
    from pipelines.settings import Settings

cli = typer.Typer(rich_markup_mode=None, help="The photo collection: import, people, ages, duplicates, forgetting.")
consent_cli = typer.Typer(rich_markup_mode=None, help="Consent to telling faces apart: show, give, withdraw.")
cli.add_typer(consent_cli, name="consent")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A person of the collection.")]
Whose = Annotated[str | None, typer.Argument(metavar="[NAME]", help="A person; without it, the whole collection.")]
Data = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Background = Annotated[bool, typer.Option("--background", help="Leave it to the worker (see `jobs`).")]
Born = Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="Birth date: gives photos with a date an age.")]


@cli.command("import")
def import_photos(
    ctx: typer.Context,
    sources: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders, photos or zip archives.")],
    person: Annotated[str | None, typer.Option(metavar="NAME", help="Whose photos these are.")] = None,
    born: Born = None,
    background: Background = False,
    as_json: Json = False,
    data: Data = None,
    device: Device = None,
) -> int:
    """Import photos. With --person their faces are told apart: that is the consent to it, and it is recorded."""
    settings = _settings(ctx, data, device)
    birthday = parse_date(born) if born else None
    if background:
        return _enqueue(settings, sources, person, born, as_json)
    from pipelines.collection import Collection
    from pipelines.crash import crash_log
    from pipelines.runtime import Runtime

    with crash_log(settings.data):
        collection = Collection(Runtime(settings), settings.data)
        _warn(collection.library)
        shown = None
        if person is not None:
            from photos.library.consent import PERSON_TEXT

            shown = PERSON_TEXT.format(name=person)
            if collection.consented(person) is None:
                _note(f"Recorded consent: {shown}")
        events = collection.import_photos(sources, person=person, born=birthday, consent=shown)
        report: ImportReport = _run(events)
        facts = words.import_facts(report) | {"person": collection.people.get(person).name if person else None}
    return _say(facts, as_json, *words.import_lines(report))


def _enqueue(settings: Settings, sources: list[Path], person: str | None, born: str | None, as_json: bool) -> int:
    """Leave an import to the worker; consent is given, and recorded, now."""
    from photos.library.consent import PERSON_TEXT
    from pipelines.job_commands import leave_job

    request: dict[str, Any] = {"sources": [str(source) for source in sources], "person": person or "", "born": born}
    if person is not None:
        request["consent"] = PERSON_TEXT.format(name=person)
    leave_job(settings, "import", request, as_json)
    if person is not None:
        _note(f"Recorded consent: {request['consent']}")
    return 0


@cli.command("list")
def list_photos(
    ctx: typer.Context,
    person: Annotated[str | None, typer.Option(metavar="NAME", help="Only this person's.")] = None,
    hidden: Annotated[bool, typer.Option("--hidden", help="Also those put aside as duplicates.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Show the photos of the collection, or one person's with their ages."""
    library, people = _open(ctx, data)
    if person is None:
        views = library.photos(hidden=hidden)
        return _say({"photos": [words.photo_facts(view) for view in views]}, as_json, *map(words.photo_line, views))
    whose = people.get(person)
    photos = {view.id: view for view in library.photos(hidden=hidden, person=whose.id)}
    rows = [words.face_facts(face, photos[face.photo_id]) for face in people.faces(person) if face.photo_id in photos]
    return _say({"person": whose.name, "photos": rows}, as_json, *map(words.face_line, rows))


@cli.command("people")
def list_people(ctx: typer.Context, as_json: Json = False, data: Data = None) -> int:
    """Show the people of the collection."""
    views = _open(ctx, data)[1].list()
    facts = {"people": [words.person_facts(view) for view in views]}
    return _say(facts, as_json, *(map(words.person_line, views) if views else [words.NOBODY]))


@cli.command()
def duplicates(
    ctx: typer.Context,
    hide: Annotated[bool, typer.Option("--hide", help="Put the lesser photo of each pair aside.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Show photos that look alike, the better one first."""
    library, _ = _open(ctx, data)
    from photos.library.tables import Decision

    library.find_likenesses()
    pairs = library.likenesses()
    for pair in pairs if hide else ():
        library.decide(pair.id, Decision.KEEP_FIRST)
    facts = {"pairs": [words.pair_facts(pair) for pair in pairs], "hidden": hide}
    done = f"{len(pairs)} pairs{', the second of each is hidden now' if hide else ''}."
    return _say(facts, as_json, *map(words.pair_line, pairs), done)


@cli.command()
def decide(
    ctx: typer.Context,
    pair: Annotated[int, typer.Argument(help="Number of a pair, as `photos duplicates` shows it.")],
    keep: Annotated[str, typer.Argument(help="first, second or both.")],
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Say which photo of a pair is to be kept; the other is hidden, not deleted."""
    from photos.library.tables import Decision

    if keep not in ("first", "second", "both"):
        raise InputError(f"{keep!r} is none of first, second and both.")
    _open(ctx, data)[0].decide(pair, Decision(f"keep {keep}"))
    return _say({"pair": pair, "keep": keep}, as_json, f"Pair {pair}: keep {keep}.")


@cli.command()
def rename(ctx: typer.Context, name: Name, new: str, as_json: Json = False, data: Data = None) -> int:
    """Give a person another name."""
    _open(ctx, data)[1].rename(name, new)
    return _say({"name": new}, as_json, f"{name} is {new} now.")


@cli.command()
def merge(
    ctx: typer.Context,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="People that are one; the last name stays.")],
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Make several people one."""
    if len(names) < 2:
        raise InputError("Merging takes two names or more; the last one stays.")
    _open(ctx, data)[1].merge(names[:-1], names[-1])
    return _say({"name": names[-1]}, as_json, f"{', '.join(names[:-1])} and {names[-1]} are {names[-1]} now.")


@cli.command()
def born(
    ctx: typer.Context,
    name: Name,
    day: Annotated[str, typer.Argument(metavar="YYYY-MM-DD", help="The birth date.")],
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Set a birth date; the ages of photos with a date follow."""
    birthday = parse_date(day)
    _open(ctx, data)[1].set_born(name, birthday)
    return _say({"name": name, "born": day}, as_json, f"{name} was born on {birthday}.")


@cli.command("set-age")
def set_age(
    ctx: typer.Context,
    face: Annotated[int, typer.Argument(help="Number of a face, as `photos list --person NAME` shows it.")],
    age: Annotated[str, typer.Argument(metavar="YEARS", help="Age in the photo, or none to take it back.")],
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Say how old somebody is in a photo."""
    try:
        years = None if age == "none" else float(age)
    except ValueError as error:
        raise InputError(f"{age!r} is no age; give years, such as 42, or none.") from error
    _open(ctx, data)[1].set_age([face], years)
    return _say({"face": face, "age": years}, as_json, f"Face {face}: {words.age(years)}.")


@cli.command()
def forget(
    ctx: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
    data: Data = None,
) -> int:
    """Remove everything about a person: photos, faces, embeddings, models, results, caches, backups."""
    library, people = _open(ctx, data)
    known = people.get(name).name
    ask = sys.stdin.isatty() and not yes and not as_json
    if ask and not typer.confirm(f"Remove everything about {known}? This can't be undone"):
        raise Cancelled
    from pipelines.forgetting import forget as forget_all

    report = forget_all(_settings(ctx, data), library, known)
    facts = {"forgotten": report.name, "removed": report.removed, "kept": list(report.kept)}
    return _say(facts, as_json, report.sentence(), *report.kept)


@cli.command()
def check(ctx: typer.Context, as_json: Json = False, data: Data = None) -> int:
    """Check the collection: its database, face pictures and own copies."""
    found = _open(ctx, data)[0].check()
    _say({"ok": not found, "problems": found}, as_json, *(found or ["The collection is as it should be."]))
    return 1 if found else 0


@consent_cli.command("show")
def show_consent(ctx: typer.Context, name: Whose = None, as_json: Json = False, data: Data = None) -> int:
    """Show the consent in force."""
    given = _open(ctx, data)[0].consent(name)
    facts = {"consent": given.given.isoformat() if given else None, "text": given.text if given else None}
    return _say(facts, as_json, f"Given on {given.given:%Y-%m-%d}: {given.text}" if given else "There is no consent.")


@consent_cli.command("give")
def give_consent(ctx: typer.Context, name: Whose = None, as_json: Json = False, data: Data = None) -> int:
    """Give consent: faces may be told apart."""
    given = _open(ctx, data)[0].give_consent(name)
    return _say({"consent": given.given.isoformat(), "text": given.text}, as_json, f"Recorded: {given.text}")


@consent_cli.command("withdraw")
def withdraw_consent(ctx: typer.Context, name: Whose = None, as_json: Json = False, data: Data = None) -> int:
    """Take consent back: the embeddings are deleted."""
    gone = _open(ctx, data)[0].withdraw_consent(name)
    return _say({"embeddings_removed": gone}, as_json, f"Consent is withdrawn; {gone} embeddings are deleted.")


def parse_date(text: str) -> date:
    """A day, written YYYY-MM-DD. Raises InputError for anything else, and for a day to come."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is no date; write it as YYYY-MM-DD, such as 1956-04-30.") from error
    if day > date.today():
        raise InputError(f"{text} is still to come; give a birth date.")
    return day


def _settings(ctx: typer.Context, data: Path | None, device: str | None = None) -> Settings:
    """Options before the command count unless the command has its own."""
    from pipelines.settings import load_settings

    given = {name: value for name, value in (("data", data), ("device", device)) if value is not None}
    return load_settings(**(ctx.obj or {}) | given)


def _open(ctx: typer.Context, data: Path | None) -> tuple[Library, People]:
    """The collection without networks."""
    from photos.library import Library
    from photos.people import People

    library = Library(_settings(ctx, data).data)
    _warn(library)
    return library, People(library)


def _warn(library: Library) -> None:
    for warning in library.warnings:
        _note(warning)


def _run(events: Iterator[Event]) -> Any:
    """Show the events of long work; the last one's value."""
    from pipelines.console import Progress

    value = None
    with Progress() as progress:
        for event in events:
            value = event.value
            if event.stage != "done":
                progress.show(event)
    if value is None:
        raise EveryageError("The work ended without a result; try again.")
    return value


def _note(text: str) -> None:
    typer.echo(text, err=True)


def _say(facts: dict[str, Any], as_json: bool, *lines: str) -> int:
    for line in [json.dumps(facts)] if as_json else lines:
        typer.echo(line)
    return 0
