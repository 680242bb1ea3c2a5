"""`python app.py video IN.mp4 --to 70 --out OUT.mp4`: a whole video at another age. Typer only at the top."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import typer

from models.errors import InputError

if TYPE_CHECKING:
    from pipelines.console import Progress
    from pipelines.runtime import Runtime
    from pipelines.settings import Settings


def video(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="VIDEO", help="The video: MP4, MOV, MKV, WebM, AVI, ...")],
    out: Annotated[Path | None, typer.Option(help="The video to write: .mp4, .mov, .mkv or .webm.")] = None,
    to: Annotated[
        str | None, typer.Option(metavar="AGES", help="Target age, or keyframes SECOND:AGE such as 0:20,10:80.")
    ] = None,
    who: Annotated[int, typer.Option(min=1, help="Which person, as --look counts them; 1 is most on screen.")] = 1,
    also: Annotated[
        list[str] | None, typer.Option(metavar="WHO=AGES", help="Another person and their age; may be repeated.")
    ] = None,
    person: Annotated[str, typer.Option(metavar="NAME", help="Whose own aging to use (see `personalize`).")] = "",
    start: Annotated[float | None, typer.Option(min=0, help="First second that is kept.")] = None,
    end: Annotated[float | None, typer.Option(min=0, help="Second at which the result ends.")] = None,
    strength: Annotated[float, typer.Option(min=0, max=2, help="How strongly to age; 1 is natural.")] = 1.0,
    detail: Annotated[float, typer.Option(min=0, max=1, help="How much of the video's own detail stays.")] = 1.0,
    steps: Annotated[int | None, typer.Option(min=0, help="Tuning steps a shot: more are closer and slower.")] = None,
    model: Annotated[str, typer.Option(metavar="ID", help="An added model (see `models list`).")] = "heads",
    codec: Annotated[str, typer.Option(help="h264, hevc, av1 or prores.")] = "h264",
    crf: Annotated[int | None, typer.Option(min=0, max=63, help="Quality: lower is better and larger.")] = None,
    ten_bit: Annotated[
        bool | None, typer.Option("--ten-bit/--eight-bit", help="Without it as the source, where the codec can.")
    ] = None,
    all_frames: Annotated[
        bool, typer.Option("--all-frames", help="Age frames, too, in which the person is not surely known.")
    ] = False,
    look: Annotated[bool, typer.Option("--look", help="Only say who is in the video.")] = False,
    preview: Annotated[
        float | None, typer.Option(metavar="SECOND", help="Only one frame, before and after, to --out (a picture).")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Do the I-th of N parts; whoever is last joins them.")
    ] = None,
    background: Annotated[bool, typer.Option("--background", help="Leave it to the worker (see `jobs`).")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")] = False,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for results, caches and logs.")] = None,
    device: Annotated[str | None, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = None,
) -> int:
    """Age the people in a video. Goes on where the same command was stopped."""
    from pipelines.console import Progress
    from pipelines.crash import crash_log
    from pipelines.settings import load_settings

    given = {"data": data, "device": device}
    settings = load_settings(**(ctx.obj or {}) | {key: value for key, value in given.items() if value is not None})
    began = time.monotonic()
    with crash_log(settings.data), Progress() as progress:
        if look:
            facts = _look(settings, source, progress)
        else:
            options = {
                "subjects": _subjects(to, who, also or [], person), "start": start, "end": end, "strength": strength,
                "detail": detail, "tune_steps": steps, "model": model, "codec": codec, "crf": crf, "ten_bit": ten_bit,
                "skip_unsure": not all_frames,
            }  # fmt: skip
            if out is None:
                raise InputError("Give --out, the name of the file to write, such as --out old.mp4.")
            request = {"source": str(source), "out": str(out), "options": options}
            if preview is not None:
                facts = _preview(settings, request, preview, progress)
            elif shard is not None:
                facts = _shard(settings, request, *_part(shard), progress)
            else:
                facts = _job(settings, request, progress, background)
    facts["seconds"] = round(time.monotonic() - began, 2)
    print(json.dumps(facts) if as_json else facts["sentence"])
    return 0


def _subjects(to: str | None, who: int, also: list[str], person: str) -> list[dict[str, Any]]:
    from pipelines.video.options import parse_keyframes

    if to is None:
        raise InputError("Give --to AGE, such as --to 70, or keyframes such as --to 0:20,10:80.")
    subjects: list[dict[str, Any]] = [{"who": who, "ages": parse_keyframes(to), "person": person}]
    for text in also:
        number, equals, ages = text.partition("=")
        if not equals or not number.strip().isdigit():
            raise InputError(f"--also is written WHO=AGE, such as --also 2=30, not {text!r}.")
        subjects.append({"who": int(number), "ages": parse_keyframes(ages), "person": ""})
    return subjects


def _part(text: str) -> tuple[int, int]:
    """ "2/8" as (2, 8)."""
    part, slash, parts = text.partition("/")
    if slash and part.isdigit() and parts.isdigit() and 1 <= int(part) <= int(parts):
        return int(part), int(parts)
    raise InputError(f"--shard is written I/N, such as --shard 2/8, not {text!r}.")


def _found(settings: Settings, runtime: Runtime, source: Path, progress: Progress) -> tuple[Any, Any, Any]:
    """Facts, look and index of a video."""
    from pipelines.events import CancelToken
    from pipelines.video.look import look_at
    from pipelines.video.media import open_video

    facts, found = open_video(source.expanduser().absolute()), None
    for event in look_at(facts, runtime, settings.data / "cache", CancelToken()):
        progress.show(event)
        found = event.value if event.stage == "done" else found
    assert found is not None
    return facts, *found


def _look(settings: Settings, source: Path, progress: Progress) -> dict[str, Any]:
    from pipelines.runtime import Runtime

    facts, look, index = _found(settings, Runtime(settings), source, progress)
    people = [
        {
            "who": person.who,
            "age": round(person.age, 1),
            "frames": int((person.landmarks[:, 0, 0] == person.landmarks[:, 0, 0]).sum()),
            "size": round(person.size),
        }
        for person in look.people
    ]
    told = ", ".join(f"person {each['who']} (looks {each['age']:.0f}, {each['frames']} frames)" for each in people)
    sentence = f"{source.name}: {len(index)} frames, {len(look.shots)} shots; {told or 'no face was found'}."
    return {"source": str(source), "frames": len(index), "shots": look.shots.tolist(), "people": people} | {
        "size": list(facts.upright_size),
        "sentence": sentence,
    }


def _preview(settings: Settings, request: dict[str, Any], second: float, progress: Progress) -> dict[str, Any]:
    from photos.results import check_result_path, save_image
    from pipelines.runtime import Runtime
    from pipelines.video.options import video_options
    from pipelines.video.preview import preview_frame
    from pipelines.video.sheet import side_by_side

    out = Path(request["out"])
    check_result_path(out)
    options, runtime = video_options(request["options"]), Runtime(settings)
    facts, look, index = _found(settings, runtime, Path(request["source"]), progress)
    pair: Any = None
    for event in preview_frame(runtime, settings.data, facts, index, look, options, second):
        progress.show(event)
        pair = event.value if event.stage == "done" else pair
    recipe = {"kind": "video-frame", "second": second, "options": options.model_dump(mode="json")}
    save_image(side_by_side(*pair), out, recipe)
    return {"out": str(out), "second": second, "sentence": f"{out}: the frame at {second:g} s, before and after."}


def _job(settings: Settings, request: dict[str, Any], progress: Progress, background: bool) -> dict[str, Any]:
    from pipelines.job_commands import do_job

    job = do_job(settings, "video", request, progress, leave=background)
    if job.result is None:
        return {"job": job.id, "state": job.state, "sentence": f"Waiting as job {job.id}; see `jobs show {job.id}`."}
    return {"job": job.id} | _told(job.result)


def _told(result: dict[str, Any]) -> dict[str, Any]:
    out, frames, aged = result["files"][0], result["frames"], result["aged"]
    notes = "".join(f" {note}" for note in result["notes"])
    return {"out": out, **result, "sentence": f"{out}: {frames} frames, {aged} of them aged.{notes}"}


def _shard(settings: Settings, request: dict[str, Any], part: int, parts: int, progress: Progress) -> dict[str, Any]:
    """Work without the queue, for schedulers that only know commands: all that passes between shards are files.

    What later chunks need (the look, the tuning) is done by whoever comes first; runs of frames are dealt out.
    """
    from filelock import FileLock

    from photos.files import make_folder, write_file
    from pipelines.events import CancelToken
    from pipelines.jobs.kinds import make_kind

    kind = make_kind("video", settings)
    request, cancel = kind.check(request), CancelToken()
    folder = make_folder(
        settings.data / "jobs" / "shards" / f"{crc32(json.dumps(request, sort_keys=True).encode()):08x}"
    )
    # Forgetting a person finds by it what was done for them.
    write_file(folder / "request.json", json.dumps(request).encode())
    while chunks := kind.chunks(request, folder):
        dealt = chunks[0].startswith("frames-")
        for chunk in chunks:
            if dealt and crc32(chunk.encode()) % parts != part - 1:
                continue
            with FileLock(folder / f".{chunk}.lock"):
                kind.work(request, folder, chunk, progress.show, cancel)
        if dealt:
            break
    with FileLock(folder / ".finish.lock"):
        if not kind.chunks(request, folder):
            return _told(kind.finish(request, folder, progress.show, cancel)) | {"shard": f"{part}/{parts}"}
    missing = len(kind.chunks(request, folder))
    sentence = f"Part {part} of {parts} is done; {missing} runs of frames are left for the others."
    return {"shard": f"{part}/{parts}", "left": missing, "sentence": sentence}
