"""What a result says about itself: the recipe, the mark, and those words of the source that give no place away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av

from models.errors import EveryageError
from photos.results import MAX_RECIPE, SOFTWARE, SOURCE_TYPE

from .kinds import FIRST_BYTES, demuxer_of
from .source import opened

MARK = "AI-generated: faces in this video were made by Everyage"
RECIPE, SOURCE_TYPE_KEY = "everyage", "digitalsourcetype"
# Words in the names of entries that say where a video was taken, or belong to the old file alone.
PLACES = ("location", "gps", "xyz", "latitude", "longitude", "altitude", "geo", "place", "loci", "accuracy.horizontal")
OF_THE_FILE = (
    "major_brand", "minor_version", "compatible_brands", "encoder", "duration", "software", "comment",
    RECIPE, SOURCE_TYPE_KEY, "bps", "number_of_", "_statistics",
)  # fmt: skip
LONGEST = 4096


def container_tags(source: dict[str, str], recipe: dict[str, Any]) -> dict[str, str]:
    """The entries of a result: the source's, without places, and our own. Raises EveryageError for a huge recipe."""
    text = json.dumps(recipe, ensure_ascii=True, sort_keys=True)
    if len(text) > MAX_RECIPE:
        raise EveryageError(f"The recipe of a video has {len(text)} characters; {MAX_RECIPE} fit into one.")
    kept = {key: value for key, value in source.items() if may_stay(key) and len(value) <= LONGEST}
    return kept | {"comment": MARK, "software": SOFTWARE, SOURCE_TYPE_KEY: SOURCE_TYPE, RECIPE: text}


def may_stay(key: str) -> bool:
    """Whether an entry of the source is carried over."""
    low = key.lower()
    return not any(word in low for word in PLACES) and not any(word in low for word in OF_THE_FILE)


def stream_tags(source: dict[str, str]) -> dict[str, str]:
    """What is kept of a stream's own entries."""
    return {key: source[key] for key in ("language", "title", "handler_name") if source.get(key)}


def read_recipe(path: str | Path) -> dict[str, Any] | None:
    """The recipe inside a video that `join` wrote, or None if there is none. Decodes nothing, never raises.

    Anyone can write a recipe: check each value before use.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            demuxer = demuxer_of(file.read(FIRST_BYTES), path.name)
        with opened(path, demuxer) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
        text = found.get(RECIPE, "")
        ours = found.get("software") == SOFTWARE
        recipe = json.loads(text) if ours and len(text) <= MAX_RECIPE else None
    except Exception:  # hostile files raise whatever they like, and a file without a recipe is nothing wrong
        return None
    return recipe if isinstance(recipe, dict) else None


def chapters(container: av.container.InputContainer, start: float | None, end: float | None) -> list[Any]:
    """The source's chapters within `start` to `end` seconds (None: not trimmed there), from `start` on."""
    kept = []
    for chapter in container.chapters():
        base = float(chapter["time_base"] or 0)
        if base <= 0 or chapter["end"] < chapter["start"]:
            continue
        first, last = chapter["start"] * base, chapter["end"] * base
        first = max(first, start) - start if start is not None else first
        last = (min(last, end) if end is not None else last) - (start or 0.0)
        if last > first:
            title = {key: value for key, value in chapter["metadata"].items() if may_stay(key)}
            kept.append(chapter | {"start": round(first / base), "end": round(last / base), "metadata": title})
    return kept
