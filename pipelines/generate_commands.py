"""`python app.py generate "PROMPT"`: pictures from words. Typer only at the top: `--help` stays quick."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

    from pipelines.console import Progress
    from pipelines.generate.generator import Generated, ImageGenerator
    from pipelines.generate.settings import GenerateSettings
    from pipelines.settings import Settings

Number = float | None


def generate(
    ctx: typer.Context,
    prompt: Annotated[str, typer.Argument(help="What to show; may be left out with --from.")] = "",
    out: Annotated[Path, typer.Option(help="The file to write: .png, .jpg or .webp; more get -2, -3, ...")] = Path(
        "generated.png"
    ),
    negative: Annotated[str | None, typer.Option(help="What not to show.")] = None,
    model: Annotated[str | None, typer.Option(metavar="ID", help="A model's id (see `models list`) or folder.")] = None,
    scale: Annotated[Number, typer.Option(min=1, max=50, help="How strongly to follow the prompt; 1 = off.")] = None,
    guidance: Annotated[str | None, typer.Option(help="apg, cfg, rescale, threshold, cfgpp, zero_star, ...")] = None,
    eta: Annotated[Number, typer.Option(help="APG: kept share of the push along the picture, 0 to 1.")] = None,
    norm: Annotated[str | None, typer.Option(help="APG: longest push of a step; 0 = no limit, or auto.")] = None,
    momentum: Annotated[Number, typer.Option(help="APG: negative turns away from the last step.")] = None,
    interval: Annotated[
        str | None, typer.Option(metavar="LOW-HIGH", help="Noise levels (sigma) where guidance works, such as 0.3-5.4.")
    ] = None,
    seed: Annotated[int, typer.Option(min=-1, help="The same seed gives the same picture; -1 draws one.")] = -1,
    count: Annotated[int | None, typer.Option(min=1, max=64, help="How many pictures.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, max=150, help="Steps: more are finer and slower.")] = None,
    weak: Annotated[
        str | None, typer.Option(metavar="ID", help="Autoguidance: a weaker version of the model, its id or folder.")
    ] = None,
    sampler: Annotated[str | None, typer.Option(help="default, ddim, euler, heun, dpmpp_2m, unipc, ...")] = None,
    schedule: Annotated[str | None, typer.Option(help="default, karras, exponential, beta or sgm_uniform.")] = None,
    size: Annotated[str | None, typer.Option(metavar="WxH", help="Pixels, such as 128x128.")] = None,
    init: Annotated[Path | None, typer.Option(metavar="IMAGE", help="A picture to start from.")] = None,
    mask: Annotated[Path | None, typer.Option(metavar="IMAGE", help="Light where the picture is made anew.")] = None,
    strength: Annotated[Number, typer.Option(help="How much of the start picture is made anew, 0 to 1.")] = None,
    adapter: Annotated[
        list[str] | None, typer.Option(metavar="ID[:WEIGHT]", help="An adapter's id, file or folder; may be repeated.")
    ] = None,
    grid: Annotated[
        str | None, typer.Option(metavar="AXES", help='Compare, such as "guidance=cfg,apg;scale=4,8,12".')
    ] = None,
    from_picture: Annotated[
        Path | None, typer.Option("--from", metavar="PNG", help="Begin with the settings inside a picture.")
    ] = None,
    memory: Annotated[str | None, typer.Option(help="auto, fast, balanced or low.")] = None,
    background: Annotated[
        bool, typer.Option("--background", help="With --grid: leave it to the worker (see `jobs`).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = None,
) -> int:
    """Make pictures from words."""
    from photos.results import check_result_path
    from pipelines.console import Progress
    from pipelines.crash import crash_log
    from pipelines.settings import load_settings

    check_result_path(out)
    given = {"data": data, "device": device}
    settings = load_settings(**(ctx.obj or {}) | {key: value for key, value in given.items() if value is not None})
    with crash_log(settings.data), Progress() as progress:
        from pipelines.generate.generator import ImageGenerator
        from pipelines.runtime import Runtime

        guided = {"method": guidance, "scale": scale, "eta": eta, "norm_threshold": _norm(norm), "momentum": momentum,
                  "interval": _interval(interval)}  # fmt: skip
        plain = {"prompt": prompt or None, "negative": negative, "model": model, "count": count, "steps": steps,
                 "sampler": sampler, "schedule": schedule, "strength": strength, "memory": memory, "weak": weak,
                 "seed": seed if seed >= 0 or from_picture is None else None, **_size(size)}  # fmt: skip
        generator = ImageGenerator(Runtime(settings), settings.data)
        chosen = _settings(generator, from_picture, plain, guided, adapter, progress)
        if background:
            return _enqueue(settings, chosen, grid, out, init, mask, as_json)
        start = {"init": _picture(init), "mask": _picture(mask)}
        facts = _grid(generator, chosen, grid, out, progress, start) if grid else None
        facts = facts or _pictures(generator, chosen, out, progress, start)
    print(json.dumps(facts) if as_json else facts["sentence"])
    return 0


def _enqueue(
    settings: Settings,
    chosen: GenerateSettings,
    axes: str | None,
    out: Path,
    init: Path | None,
    mask: Path | None,
    as_json: bool,
) -> int:
    """Leave a grid to the worker."""
    from pipelines.job_commands import leave_job

    if axes is None:
        raise InputError("--background is for grids, which take long: give --grid, or leave it out.")
    request = {"settings": chosen.model_dump(mode="json"), "axes": axes, "out": str(out)}
    request |= {name: str(path) for name, path in (("init", init), ("mask", mask)) if path is not None}
    return leave_job(settings, "generate", request, as_json)


def _settings(
    generator: ImageGenerator,
    source: Path | None,
    plain: dict[str, Any],
    guided: dict[str, Any],
    adapters: list[str] | None,
    progress: Progress,
) -> GenerateSettings:
    """The options over the settings of a picture, or over the defaults of the model's kind."""
    from pipelines.generate.recipe import restore
    from pipelines.generate.settings import AdapterUse, GenerateSettings

    if source is not None:
        found = restore(source)
        for note in found.notes:
            progress.note(f"Note: {note}")
        base = found.settings
    else:
        base = GenerateSettings()
        choice = generator.models.choice(plain["model"] or base.model)
        base = base.with_changes(guidance=choice.guidance())
    guidance = base.guidance.to_dict() | {name: value for name, value in guided.items() if value is not None}
    values: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    if adapters:
        values["adapters"] = [AdapterUse(where=where, weight=weight) for where, weight in map(_adapter, adapters)]
    return base.with_changes(**{**values, "guidance": guidance})


def _adapter(text: str) -> tuple[str, float]:
    where, colon, weight = text.rpartition(":")
    try:
        return (where, float(weight)) if colon else (text, 1.0)
    except ValueError:
        return text, 1.0


def _norm(text: str | None) -> float | str | None:
    if text is None or text == "auto":
        return text
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"--norm is {text!r}; give a number, 0 for no limit, or auto.") from error


def _interval(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        low, high = (float(end) for end in text.split("-"))
    except ValueError as error:
        raise InputError(f"--interval is {text!r}; write two noise levels, such as 0.3-5.4.") from error
    return [low, high]


def _size(text: str | None) -> dict[str, int | None]:
    if text is None:
        return {"width": None, "height": None}
    width, x, height = text.lower().partition("x")
    if not (x and width.isdecimal() and height.isdecimal()):
        raise InputError(f"--size is {text!r}; write for example 128x128.")
    return {"width": int(width), "height": int(height)}


def _picture(path: Path | None) -> Image.Image | None:
    from photos.opening import open_photo

    return open_photo(path).image if path is not None else None


def _pictures(
    generator: ImageGenerator, settings: GenerateSettings, out: Path, progress: Progress, start: dict[str, Any]
) -> dict[str, Any]:
    from pipelines.generate.generator import finish

    result = finish(generator.run(settings, previews=False, **start), progress.show)
    for note in result.notes:
        progress.note(f"Note: {note}")
    paths = _save(result, out)
    used = result.pictures[0].settings
    facts: dict[str, Any] = {
        "out": [str(path) for path in paths] if len(paths) > 1 else str(paths[0]),
        "seed": used.seed,
        "seconds": result.seconds,
        "notes": list(result.notes),
        "settings": used.model_dump(mode="json"),
        "figures": [made.figures for made in result.pictures],
    }
    many = f"{len(paths)} pictures, the first is" if len(paths) > 1 else "The picture is"
    return facts | {"sentence": f"{many} {paths[0]} (seed {used.seed}, {result.seconds:.1f} s)."}


def _save(result: Generated, out: Path) -> list[Path]:
    from photos.results import save_image
    from pipelines.generate.line import line_of
    from pipelines.generate.recipe import recipe_of

    paths = []
    for i, made in enumerate(result.pictures):
        path = out if i == 0 else out.with_stem(f"{out.stem}-{i + 1}")
        recipe = recipe_of(made.settings, made.figures, result.start)
        save_image(made.image, path, recipe, parameters=line_of(made.settings))
        paths.append(path)
    return paths


def _grid(
    generator: ImageGenerator,
    settings: GenerateSettings,
    axes: str,
    out: Path,
    progress: Progress,
    start: dict[str, Any],
) -> dict[str, Any]:
    from photos.results import save_image
    from pipelines.generate.axes import parse_axes
    from pipelines.generate.compare import grid

    made = None
    for event in grid(generator, settings, parse_axes(axes), **start):
        progress.show(event)
        made = event.value if event.stage == "done" else made
    assert made is not None
    save_image(made.image, out, {"kind": "grid", "axes": axes, "table": made.table()[:50]})
    return {"out": str(out), "table": made.table(), "sentence": f"The grid of {len(made.table())} pictures is {out}."}
