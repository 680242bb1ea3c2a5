"""What a job has made, so that deleting it with its results takes nothing that somebody has changed since."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def noted(result: dict[str, Any]) -> str:
    """The files of a result with size and time of change, as JSON."""
    return json.dumps([_facts(path) for path in map(Path, result.get("files", [])) if path.is_file()])


def remove(note: str) -> list[Path]:
    """Remove the noted files that are as they were; returns them. Folders and links are never touched."""
    paths = [Path(facts[0]) for facts in json.loads(note) if _same(facts)]
    for path in paths:
        path.unlink(missing_ok=True)
    return paths


def _same(facts: list[Any]) -> bool:
    path = Path(facts[0])
    return path.is_file() and not path.is_symlink() and _facts(path) == facts


def _facts(path: Path) -> list[Any]:
    state = path.stat()
    return [str(path), state.st_size, state.st_mtime_ns]
