"""Diffusers' folders: which files of one are needed, and whether it can be opened without running a stranger's code."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import InputError

INDEX = "model_index.json"
SMALL = {".json", ".txt", ".model", ".jinja"}
WEIGHTS = ".safetensors"
PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
OTHER_WEIGHTS = PICKLED | {".msgpack", ".h5", ".onnx", ".gguf"}
LIBRARIES = {"diffusers", "transformers", "stable_diffusion"}
WITHOUT_WEIGHTS = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "ProcessorFast", "FeatureExtractor")
PLAIN = re.compile(r"[a-z_]+(-\d{5}-of-\d{5})?\.safetensors")
MAX_FILES = 2000


def safe_name(name: str) -> bool:
    """Whether this relative name stays inside its folder."""
    path = PurePosixPath(name)
    odd = "\\" in name or ":" in name or "\0" in name or path.is_absolute()
    return bool(name) and not odd and all(part not in ("", ".", "..") for part in name.split("/"))


def read_index(text: str | bytes, what: str) -> dict[str, Any]:
    """model_index.json as a dict. Raises InputError if it is none, or names code from outside the known libraries."""
    try:
        return check_index(json.loads(text), what)
    except ValueError as error:
        raise InputError(f"{INDEX} of {what} is damaged ({error}); give another copy.") from error


def check_index(index: Any, what: str) -> dict[str, Any]:
    """The same for what was read already."""
    if not isinstance(index, dict) or not isinstance(index.get("_class_name"), str):
        raise InputError(f"{what} brings its own program code, which Everyage does not run; choose another model.")
    for name, (library, _) in components(index).items():
        if library not in LIBRARIES:
            raise InputError(f"{what} needs {library!r} for its {name}, which Everyage does not run; choose another.")
        if not safe_name(name) or "/" in name:
            raise InputError(f"{what} has a part named {name!r}; that can't be a folder, so it is not opened.")
    return index


def components(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """The parts that a pipeline loads: name -> (library, class). Parts that it leaves out are [null, null]."""
    found = {}
    for name, value in index.items():
        if isinstance(value, list) and len(value) == 2 and all(isinstance(part, str) for part in value):
            found[name] = (value[0], value[1])
    return found


def choose(names: Collection[str], index: Mapping[str, Any], what: str, variant: str | None = None) -> list[str]:
    """The files to take, of all that a folder has: settings and word lists, and each part's safetensors weights.

    Raises InputError, one sentence, if a part has weights only in a form that could run code, or none at all.
    """
    if len(names) > MAX_FILES:
        raise InputError(f"{what} has {len(names)} files; {MAX_FILES} are the most that are looked through.")
    chosen = [INDEX]
    for part, (_, kind) in components(index).items():
        inside = [name for name in names if name.startswith(f"{part}/") and safe_name(name)]
        weights = _weights(inside, variant)
        if not weights and not kind.endswith(WITHOUT_WEIGHTS):
            raise InputError(_no_weights(inside, part, what))
        small = [name for name in inside if PurePosixPath(name).suffix in SMALL and ".index." not in name]
        chosen += [*small, *weights]
    return sorted(chosen)


def _weights(inside: list[str], variant: str | None) -> list[str]:
    """Weights of the wanted variant if there are such, else the plain ones; with the lists of their pieces."""
    files = [name for name in inside if name.endswith(WEIGHTS)]
    if variant and (of_variant := [name for name in files if f".{variant}." in name or f".{variant}-" in name]):
        lists = [name for name in inside if name.endswith(f"{WEIGHTS}.index.{variant}.json")]
        return of_variant + lists
    plain = [name for name in files if PLAIN.fullmatch(name.rpartition("/")[2])]
    return plain + ([name for name in inside if name.endswith(f"{WEIGHTS}.index.json")] if plain else [])


def _no_weights(inside: list[str], part: str, what: str) -> str:
    other = next((name for name in inside if PurePosixPath(name).suffix in OTHER_WEIGHTS), None)
    if other is None:
        return f"{what} has no weights for its {part}; give the whole folder."
    danger = "such files can run code" if PurePosixPath(other).suffix in PICKLED else "only safetensors are read"
    return f"{what} has the weights of its {part} as {other}, and {danger}; get the folder with .safetensors files."


def local_names(folder: Path) -> list[str]:
    """All files below a folder, as names with /. Links to folders are not followed."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            found.append(path.relative_to(folder).as_posix())
        if len(found) > MAX_FILES:
            break
    return sorted(found)
