"""Everyage: `python app.py` opens the browser app, `python app.py COMMAND` does the same work without a browser.

This file reads arguments and calls; heavy packages are imported where they are used, so that --help is instant.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException

from models.errors import Cancelled, EveryageError, InputError
from pipelines.finetune_commands import finetune
from pipelines.generate_commands import generate
from pipelines.jobs_commands import cli as jobs_commands
from pipelines.jobs_commands import worker
from pipelines.models.commands import cli as models_commands
from pipelines.people_commands import cli as photos_commands
from pipelines.personalize_commands import personalize
from pipelines.video_commands import video

if TYPE_CHECKING:
    from photos.io import Photo
    from pipelines.aging import Aged, AgingOptions, AgingPipeline, FoundFace
    from pipelines.console import Progress
    from pipelines.settings import Settings

MAX_STRIP = 24
INTERRUPTED = 130
cli = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, invoke_without_command=True
)
cli.add_typer(models_commands, name="models")
cli.add_typer(photos_commands, name="photos")
cli.command()(personalize)
cli.command()(generate)
cli.command()(finetune)
cli.command()(video)
cli.add_typer(jobs_commands, name="jobs")
cli.command()(worker)

Data = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")]
Device = Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


@cli.callback()
def browser(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(help="Port of the browser app (7860).")] = None,
    host: Annotated[str | None, typer.Option(help="Address to serve on (127.0.0.1: this machine alone).")] = None,
    data: Data = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never download anything.")] = False,
    device: Device = None,
) -> int:
    """Everyage shows a face at every age. Without a command the app opens in the browser."""
    ctx.obj = {"data": data, "device": device, "offline": offline or None}
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    if ctx.invoked_subcommand is not None:
        return 0
    settings = _settings(ctx, port=port, host=host)
    settings.check_serving()
    _check_port(settings.host, settings.port)
    from pipelines.crash import crash_log

    with crash_log(settings.data):
        from ui import launch

        launch(settings)
    return INTERRUPTED  # the server runs until the person stops it


@cli.command()
def age(
    ctx: typer.Context,
    photo: Annotated[Path, typer.Argument(help="The photo (JPEG, PNG, WebP or HEIF), or a folder of photos.")],
    out: Annotated[Path, typer.Option(help="The picture to write: .png, .jpg or .webp; for a folder, a folder.")],
    to: Annotated[str | None, typer.Option(metavar="AGE", help="Target age in years, 0 to 100.")] = None,
    strip: Annotated[
        str | None, typer.Option(metavar="AGE,AGE,...", help="Several ages side by side instead of one.")
    ] = None,
    face: Annotated[int, typer.Option(min=1, help="Which face, if there are several: 1 is the largest.")] = 1,
    strength: Annotated[float, typer.Option(min=0, max=2, help="How strongly to age; 1 is natural.")] = 1.0,
    detail: Annotated[float, typer.Option(min=0, max=1, help="How much of the photo's own detail stays.")] = 1.0,
    steps: Annotated[int | None, typer.Option(min=0, help="Tuning steps: more are closer and slower.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of a random style to mix in; the same seed gives the same.")] = 0,
    model: Annotated[
        str, typer.Option(metavar="ID", help="An added SAM or MyTimeMachine model (see `models list`).")
    ] = "heads",
    official: Annotated[
        bool, typer.Option("--official", help="The published model's own drawing, without the photo's detail.")
    ] = False,
    mix_layers: Annotated[
        str, typer.Option(metavar="N,N-N", help="Layers from another style; 8,9 carry hair colour at 1024 px.")
    ] = "",
    mix_from: Annotated[
        Path | None, typer.Option(help="A photo whose face gives that style; else a random one.")
    ] = None,
    mix_amount: Annotated[float, typer.Option(min=0, max=1, help="How far the layers go to the other style.")] = 1.0,
    person: Annotated[
        str, typer.Option(metavar="NAME", help="Somebody whose own aging was learnt (see `personalize`).")
    ] = "",
    as_json: Json = False,
    data: Data = None,
    device: Device = None,
) -> int:
    """Show the face in a photo at another age."""
    settings = _settings(ctx, data=data, device=device)
    from photos.io import check_result_path, open_photo, save_image
    from pipelines.crash import crash_log

    if photo.is_dir():
        from pipelines.job_commands import age_folder

        if face != 1 or mix_layers or mix_from is not None:
            raise InputError(f"{photo} is a folder; --face and --mix-layers are for one photo: leave them out.")
        given: dict[str, Any] = {"strength": strength, "detail": detail, "tune_steps": steps, "seed": seed}
        given |= {"model": model, "official": official, "person": person}
        return age_folder(settings, photo, out, _targets(to, strip, str.strip), given, as_json)
    check_result_path(out)
    source = open_photo(photo, settings.max_pixels)
    if out.exists() and out.samefile(photo):
        raise InputError(f"--out {out} is the photo itself; choose another name.")
    began = time.monotonic()
    with crash_log(settings.data):
        from pipelines import aging
        from pipelines.console import Progress
        from pipelines.runtime import Runtime

        targets = _targets(to, strip, aging.parse_age)
        if mix_from is not None and not mix_layers:
            raise InputError("--mix-from needs --mix-layers, such as --mix-layers 8,9.")
        style = open_photo(mix_from, settings.max_pixels) if mix_from else None
        options = aging.AgingOptions(
            strength, detail, steps, seed, model, official, aging.parse_layers(mix_layers), mix_amount, person
        )
        with Progress() as progress:
            pipeline = aging.AgingPipeline(Runtime(settings), settings.data)
            found = _choose_face(pipeline, source, face, progress)
            aged = _run(pipeline, source, targets, options, face - 1, progress, style)
        picture, recipe = aged[0].image, aged[0].recipe
        if strip is not None:
            picture, recipe = aging.strip(aged), recipe | {"targets": targets}
        save_image(picture, out, recipe, source.icc)
    facts = {"out": str(out), "size": list(picture.size), "face": face, "seconds": round(time.monotonic() - began, 2)}
    _report(facts | {"recipe": recipe}, found, aged, strip is not None, as_json)
    return 0


@cli.command()
def doctor(ctx: typer.Context, as_json: Json = False, data: Data = None, device: Device = None) -> int:
    """Check that this machine is ready."""
    from pipelines.doctor import doctor as examine

    findings = examine(_settings(ctx, data=data, device=device))
    if as_json:
        print(json.dumps(findings))
    else:
        for check in findings["checks"]:
            print(f"{'ok ' if check['ok'] else 'BAD'}  {check['name']}: {check['detail']}")
        print("Everything is ready." if findings["ok"] else "Something is missing; see the lines marked BAD.")
    return 0 if findings["ok"] else 1


def _settings(ctx: typer.Context, **given: Any) -> Settings:
    """Options before the command count unless the command has its own."""
    from pipelines.settings import load_settings

    return load_settings(**(ctx.obj or {}) | {name: value for name, value in given.items() if value is not None})


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise InputError(f"Port {port} of {host} can't be used ({reason}); choose another with --port.") from error


def _targets(to: str | None, strip: str | None, parse_age: Any) -> list[float]:
    if (to is None) == (strip is None):
        raise InputError("Give either --to AGE or --strip AGE,AGE,..., such as --to 70 or --strip 10,30,50,70,90.")
    texts = [to] if to is not None else (strip or "").split(",")
    if len(texts) > MAX_STRIP:
        raise InputError(f"--strip has {len(texts)} ages; {MAX_STRIP} fit side by side.")
    return [parse_age(text) for text in texts]


def _choose_face(pipeline: AgingPipeline, photo: Photo, number: int, progress: Progress) -> FoundFace:
    faces = pipeline.find_faces(photo.image)
    if number > len(faces):
        has = "only one face" if len(faces) == 1 else f"{len(faces)} faces"
        raise InputError(f"--face {number}: there is {has} in {photo.path}; 1 is the largest.")
    for warning in faces[number - 1].warnings:
        progress.note(f"Note: {warning}")
    return faces[number - 1]


def _run(
    pipeline: AgingPipeline,
    photo: Photo,
    targets: Sequence[float],
    options: AgingOptions,
    face: int,
    progress: Progress,
    style: Photo | None,
) -> list[Aged]:
    results: list[Aged] = []
    for event in pipeline.run(photo, targets, options, face=face, style=style):
        progress.show(event)
        if event.stage == "done":
            results = list(event.value)
    if len(results) != len(targets):
        raise EveryageError(f"{len(results)} of {len(targets)} ages were made; try again.")
    return results


def _report(facts: dict[str, Any], found: FoundFace, aged: Sequence[Aged], several: bool, as_json: bool) -> None:
    """The result for a person, or as JSON for a program; a strip has lists where one age has numbers."""

    def figures(values: list[float]) -> float | list[float]:
        return values if several else values[0]

    after = [round(each.age, 2) for each in aged]
    facts |= {
        "target": figures([each.target for each in aged]),
        "age_before": round(found.age, 2),
        "age_after": figures(after),
        "identity": figures([round(each.identity, 4) for each in aged]),
        "warnings": list(found.warnings),
    }
    if any(each.extrapolated for each in aged):
        facts["extrapolated"] = [each.target for each in aged if each.extrapolated]
    looks = ", ".join(f"{years:.0f}" for years in after)
    print(json.dumps(facts) if as_json else f"{facts['out']}: looked about {found.age:.0f}, now about {looks}.")


def _quiet_environment() -> None:
    """Settings that other packages read when they are imported: no telemetry, no look-ups, no busy waiting."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "1"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("SVT_LOG", "1")  # the encoder of AV1 tells errors only


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code: 0, 2 (bad input), 1 (failure) or 130 (stopped by the person)."""
    _quiet_environment()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # they speak to the writers of packages; errors are told in one sentence
    try:
        code = cli(args=arguments, prog_name="everyage", standalone_mode=False)
        if code == INTERRUPTED:
            raise Cancelled
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, Cancelled):
        return _say("Stopped.", INTERRUPTED)
    except EveryageError as error:
        return _say(str(error), error.exit_code)
    except TyperException as error:
        return _say(f"{error.format_message().rstrip('.')}; see --help.", error.exit_code)
    except Exception as error:
        return _say(f"Something went wrong inside the app ({type(error).__name__}: {error}).", 1)


def _say(sentence: str, code: int) -> int:
    print(" ".join(sentence.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
