"""Many photos as one job: a folder in, a folder out; a photo that can't be used does not stop the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.errors import Cancelled, EveryageError, InputError
from photos.files import make_folder, write_file
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif"}
RESULT_SUFFIXES = (".png", ".jpg", ".webp")
MOST_TARGETS = 24


class AgeJob(JobKind):
    """request: "sources" (photos and folders), "out" (a folder), "targets" (years), "options" (of `AgingOptions`),
    "suffix" of the results. The largest face of each photo is aged."""

    name = "age"

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        from pipelines.aging.options import AgingOptions, parse_age
        from pipelines.aging.personal import person_token

        out = Path(str(request.get("out") or "")).expanduser().absolute()
        photos = listed([Path(source).expanduser().absolute() for source in request.get("sources", [])], out)
        targets = [parse_age(str(target)) for target in request.get("targets", [])]
        if not 1 <= len(targets) <= MOST_TARGETS:
            raise InputError(f"Give 1 to {MOST_TARGETS} ages, not {len(targets)}.")
        suffix = request.get("suffix", RESULT_SUFFIXES[0])
        if suffix not in RESULT_SUFFIXES:
            raise InputError(f"Results end in {', '.join(RESULT_SUFFIXES)}, not in {suffix!r}.")
        if out.is_file():
            raise InputError(f"{out} is a file; several photos need a folder for their results.")
        make_folder(out)
        options = AgingOptions.from_recipe({"options": request.get("options", {})}).as_dict()
        options["person"] = person_token(self.settings.data, options["person"])
        names = result_names(photos)
        return {
            "photos": [[str(path), name] for path, name in zip(photos, names, strict=True)],
            "out": str(out),
            "targets": targets,
            "options": options,
            "suffix": suffix,
        }

    def title(self, request: dict[str, Any]) -> str:
        ages = ", ".join(f"{target:g}" for target in request["targets"])
        count = len(request["photos"])
        return f"{count} photo{'' if count == 1 else 's'} at {ages}"

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        """A photo each: "photo-0001" and so on."""
        numbers = range(1, len(request["photos"]) + 1)
        return [name for name in (f"photo-{n:06d}" for n in numbers) if not (folder / f"{name}.json").is_file()]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        return len(request["photos"])

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        """What came of the photo is `CHUNK.json`: its files, or the reason why there are none."""
        record = folder / f"{chunk}.json"
        if record.is_file():
            return
        path, name = request["photos"][int(chunk.removeprefix("photo-")) - 1]
        try:
            found: dict[str, Any] = {"files": self._age(request, Path(path), name, tell, cancel)}
        except Cancelled:
            raise
        except InputError as error:
            found = {"error": str(error), "photo": path}
        write_file(record, json.dumps(found).encode())

    def _age(self, request: dict[str, Any], path: Path, name: str, tell: Tell, cancel: CancelToken) -> list[str]:
        from photos.io import open_photo, save_image
        from pipelines.aging import AgingOptions, AgingPipeline

        photo = open_photo(path, self.settings.max_pixels)
        pipeline = AgingPipeline(self.runtime(), self.settings.data)
        options = AgingOptions.from_recipe({"options": request["options"]})
        files: list[str] = []
        for event in pipeline.run(photo, request["targets"], options, cancel=cancel):
            shown = event.value.crop if event.stage in ("encode", "age") and event.value is not None else None
            tell(Event(event.stage, f"{path.name}: {event.message}", event.done, event.total, value=shown))
            for aged in event.value if event.stage == "done" else ():
                out = Path(request["out"]) / f"{name}-at-{aged.target:g}{request['suffix']}"
                save_image(aged.image, out, aged.recipe, photo.icc)
                files.append(str(out))
        return files

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        """Raises EveryageError if not one photo could be used."""
        found = [json.loads(path.read_text()) for path in sorted(folder.glob("photo-*.json"))]
        failed = [{"photo": each["photo"], "reason": each["error"]} for each in found if "error" in each]
        if found and len(failed) == len(found):
            raise EveryageError(f"None of the {len(found)} photos could be aged. {failed[0]['reason']}")
        return {"files": [name for each in found for name in each.get("files", [])], "failed": failed}


def listed(sources: list[Path], out: Path) -> list[Path]:
    """The photos among files and folders, in order of name, each once; without those in `out` and hidden ones.

    Raises InputError for a source that is not there, or if no photo is found.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if source.is_dir():
            inside = sorted(path for path in source.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)
            seen = (path for path in inside if not any(part.startswith(".") for part in path.relative_to(source).parts))
            found |= {path: None for path in seen if path.is_file() and not path.is_relative_to(out)}
        elif source.is_file():
            found[source] = None
        else:
            raise InputError(f"There is no file or folder {source}; check the name.")
    if not found:
        names = ", ".join(str(source) for source in sources) or "nothing"
        raise InputError(f"There are no photos in {names}; JPEG, PNG, WebP and HEIF are read.")
    return list(found)


def result_names(photos: list[Path]) -> list[str]:
    """The stem of each photo, made different where two photos share it."""
    taken: set[str] = set()
    names = []
    for path in photos:
        name, number = path.stem, 2
        while name.casefold() in taken:
            name, number = f"{path.stem}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names
