"""A folder of pictures to learn from: what can be used, with which words, and what is wrong with the rest.

Words come from, in this order: `metadata.jsonl` beside the pictures (a JSON object a line with "file_name" and "text"
or "caption"), a file of the same name that ends in .txt or .caption, one phrase for all, the picture's own name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InputError
from photos.opening import open_photo

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif")
WORDS = (".txt", ".caption")
METADATA = "metadata.jsonl"
MOST = 20_000
"""Pictures that are read from a folder; more would be a data set, not a collection."""
LONGEST = 2_000
"""Characters of a caption that are kept."""
_NUMBERS = re.compile(r"^\d+$|^(img|dsc|dscn|pxl|image|photo|picture|untitled)\d*$", re.IGNORECASE)


@dataclass(frozen=True)
class TrainingPicture:
    """path; size: (width, height) as a person sees it; caption: may be empty; sha256: of the file."""

    path: Path
    size: tuple[int, int]
    caption: str
    sha256: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with a file, in a sentence that names it. used: whether it is learned from all the same."""

    path: Path
    words: str
    used: bool = False


@dataclass(frozen=True)
class TrainingFolder:
    """What a folder holds. Every file in it that looks like a picture or a caption is used or named in `problems`."""

    pictures: tuple[TrainingPicture, ...]
    problems: tuple[Problem, ...]


def holds_pictures(folder: Path) -> None:
    """Raises InputError where there is no folder, or nothing in it that is a picture by its name; opens no file."""
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give a folder of pictures.")
    if not any(path.suffix.lower() in PICTURES for path in folder.rglob("*")):
        raise InputError(f"{folder} holds no picture that can be learned from; add JPEG, PNG or WebP files.")


def read_folder(folder: str | Path, phrase: str | None = None, side: int | None = None) -> TrainingFolder:
    """Look at every picture of the folder and of those in it, decoding each once.

    phrase: the words for pictures that have none of their own. side: pictures with a side shorter than half of this
    are named, because enlarging them would teach blur. Raises InputError where there is no folder or no picture left.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give a folder of pictures.")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    found = [path for path in files if path.suffix.lower() in PICTURES]
    if len(found) > MOST:
        raise InputError(f"{folder} holds {len(found)} pictures; {MOST} are the most that are learned from.")
    problems: list[Problem] = []
    told = _metadata(files, problems)
    pictures: list[TrainingPicture] = []
    seen: dict[str, Path] = {}
    for path in found:
        try:
            photo = open_photo(path)
        except InputError as error:
            problems.append(Problem(path, str(error).replace(str(path), path.name)))
            continue
        if photo.sha256 in seen:
            problems.append(
                Problem(path, f"{path.name} is the same file as {seen[photo.sha256].name}; it counts once.")
            )
            continue
        seen[photo.sha256] = path
        width, height = photo.image.size
        if side is not None and min(width, height) < side / 2:
            words = f"{path.name} has {width} x {height} pixels and is enlarged to {side}; a larger one teaches more."
            problems.append(Problem(path, words, used=True))
        pictures.append(TrainingPicture(path, (width, height), _caption(path, told, phrase, problems), photo.sha256))
    problems += _without_pictures(files, found, told)
    if not pictures:
        reason = f" ({problems[0].words})" if problems else ""
        raise InputError(f"{folder} holds no picture that can be learned from{reason}; add JPEG, PNG or WebP files.")
    if len(pictures) == 1:
        words = "There is one picture alone: expect copies of it. Five or more teach what they have in common."
        problems.append(Problem(pictures[0].path, words, used=True))
    return TrainingFolder(tuple(pictures), tuple(problems))


def _metadata(files: list[Path], problems: list[Problem]) -> dict[Path, str]:
    """Path of a picture -> its words, from all metadata files."""
    found: dict[Path, str] = {}
    for source in files:
        if source.name != METADATA:
            continue
        for number, line in _lines(source, problems):
            try:
                row = json.loads(line)
                name, text = row["file_name"], row.get("text", row.get("caption"))
                if not isinstance(name, str) or not isinstance(text, str):
                    raise TypeError
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                words = f'Line {number} of {source.name} names no "file_name" with a "text"; it is left out.'
                problems.append(Problem(source, words))
                continue
            found[source.parent / name] = _tidy(text)
    return found


def _lines(source: Path, problems: list[Problem]) -> Iterator[tuple[int, str]]:
    text = _text(source, problems)
    return ((i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip())


def _text(path: Path, problems: list[Problem]) -> str:
    """The file's text; a problem and nothing where it is no UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        problems.append(Problem(path, f"{path.name} is no text in UTF-8; save it again as such."))
        return ""


def _caption(path: Path, told: dict[Path, str], phrase: str | None, problems: list[Problem]) -> str:
    if path in told:
        return told[path]
    for suffix in WORDS:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            return _tidy(_text(beside, problems))
    return _tidy(phrase) if phrase is not None else name_as_words(path.stem)


def name_as_words(stem: str) -> str:
    """A file's name as a caption: "red_fox-in snow (2)" is "red fox in snow"; nothing for numbers alone."""
    words = re.sub(r"\(\d+\)", " ", stem)
    parts = [part for part in re.split(r"[\s_\-.,]+", words) if part and not _NUMBERS.match(part)]
    return _tidy(" ".join(parts))


def _tidy(text: Any) -> str:
    """One line, no more than LONGEST characters."""
    return " ".join(str(text).split())[:LONGEST]


def _without_pictures(files: list[Path], pictures: list[Path], told: dict[Path, str]) -> list[Problem]:
    """Captions whose picture is not there."""
    known, found = set(pictures), []
    stems = {path.with_suffix("") for path in pictures}
    for path in files:
        if path.suffix.lower() in WORDS and path.with_suffix("") not in stems:
            found.append(Problem(path, f"{path.name} is the caption of no picture here; it is left out."))
    for path in told:
        if path not in known:
            found.append(Problem(path, f"{METADATA} describes {path.name}, which is not here."))
    return found
