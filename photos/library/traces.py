"""What the app made from some photos, outside the collection: results, originals kept for them, caches, logs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from photos.history import History
from photos.originals import Originals

SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
CACHE_PREFIX = 16  # hex digits of a photo's hash that a cached file's name begins with


def remove_results(data: Path, hashes: Collection[str], faces: Mapping[str, Collection[int]], folder: str) -> int:
    """Delete results made from photos of these hashes, from these faces of others, or with the model in this folder."""
    if not (data / "history").is_dir():
        return 0
    history = History(data)
    gone = [entry for entry in history.list(10**9) if _made_from(entry.recipe, hashes, faces, folder)]
    for entry in gone:
        history.remove(entry.id)
    return len(gone)


def remove_originals(data: Path, hashes: Collection[str]) -> int:
    """Delete the originals of these hashes that no result needs any more."""
    if not (data / "originals").is_dir():
        return 0
    originals = Originals(data)
    needed = {origin for entry in History(data).list(10**9) for origin in _origins(entry.recipe)}
    found = [originals.find(sha256) for sha256 in set(hashes) - needed]
    return _unlink([path for path in found if path is not None])


def remove_cached(data: Path, hashes: Collection[str], folder: str) -> int:
    """Delete what the caches hold of these photos, or of the person with this folder."""
    marks = tuple(sha256[:CACHE_PREFIX] for sha256 in hashes)
    files = [path for path in (data / "cache").rglob("*") if path.is_file()]
    return _unlink([path for path in files if path.name.lstrip(".").startswith(marks) or folder in path.name])


def remove_served(data: Path) -> int:
    """Delete the copies that browsers were shown: they have random names, so that all of them go."""
    return _unlink([path for path in (data / "served").rglob("*") if path.is_file()])


def adapters_of(data: Path, folder: str) -> list[Path]:
    """The finished adapters that were trained on this person's folder."""
    return [card.parent for card in data.glob("models/*/adapter/card.json") if folder and _person(card) == folder]


def remove_learnt(data: Path, folder: str) -> int:
    """Delete adapters, finished or not, that were trained on this person's folder, and pictures made with them."""
    if not folder:
        return 0
    gone = adapters_of(data, folder)
    ids = {adapter.parent.name for adapter in gone}
    homes = [adapter.parent for adapter in gone]
    homes += [mark.parent for mark in data.glob("finetune/*/person.json") if _person(mark) == folder]
    files = [path for home in homes for path in home.rglob("*") if path.is_file()]
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)
    if not ids or not (data / "generated").is_dir():
        return len(files)
    history = History(data, "generated")
    made = [entry for entry in history.list(10**9) if _used(entry.recipe, ids)]
    for entry in made:
        history.remove(entry.id)
    return len(files) + len(made)


def _person(card: Path) -> str:
    try:
        told = json.loads(card.read_bytes())
    except (OSError, ValueError):
        return ""
    return str(told.get("person", "")) if isinstance(told, dict) else ""


def _used(recipe: dict[str, Any], ids: set[str]) -> bool:
    """Whether a picture was made with one of these adapters, named by their ids or by where they lie."""
    settings = recipe.get("settings")
    uses = settings.get("adapters", []) if isinstance(settings, dict) else []
    return any(isinstance(use, dict) and not ids.isdisjoint(Path(str(use.get("where"))).parts) for use in uses)


def remove_logs(data: Path, words: Collection[str]) -> int:
    """Delete log files that mention any of these words."""
    marks = [word.encode() for word in words if word]
    files = [path for path in (data / "logs").rglob("*") if path.is_file()]
    return _unlink([path for path in files if any(mark in path.read_bytes() for mark in marks)])


def _made_from(
    recipe: dict[str, Any], hashes: Collection[str], faces: Mapping[str, Collection[int]], folder: str
) -> bool:
    if not _origins(recipe).isdisjoint(hashes) or (folder and folder in json.dumps(recipe)):
        return True
    photo = recipe.get("photo")
    return isinstance(photo, dict) and recipe.get("face") in faces.get(str(photo.get("sha256")), ())


def _origins(recipe: dict[str, Any]) -> set[str]:
    """Every hash in a recipe, wherever it is: of the photo, of one that gave its style, ..."""
    return set(SHA256.findall(json.dumps(recipe)))


def _unlink(paths: Collection[Path]) -> int:
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)
