"""The pictures made from words, kept in the data folder until they are removed, with search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from photos.history import History, HistoryEntry
from pipelines.generate.generator import Generated
from pipelines.generate.line import line_of
from pipelines.generate.recipe import recipe_of
from pipelines.generate.settings import GenerateSettings, settings_from

SEARCHED = 5000


class Gallery:
    """Newest first. Several processes may use one folder at a time."""

    def __init__(self, data: Path) -> None:
        """Raises EveryageError if the folder can't be made."""
        self._history = History(data, "generated")

    def add(self, result: Generated) -> list[HistoryEntry]:
        """Keep every picture of a run, each with the settings that made it."""
        return [
            self._history.add(
                recipe_of(made.settings, made.figures, result.start), made.image, parameters=line_of(made.settings)
            )
            for made in result.pictures
        ]

    def search(self, words: str = "", limit: int = 60) -> Sequence[HistoryEntry]:
        """Pictures whose prompt, model or settings hold all of the words; all pictures for none."""
        wanted = words.lower().split()
        if not wanted:
            return self._history.list(limit)
        found = []
        for entry in self._history.list(SEARCHED):
            text = json.dumps(entry.recipe.get("settings", {}), ensure_ascii=False).lower()
            if all(word in text for word in wanted):
                found.append(entry)
            if len(found) >= limit:
                break
        return found

    def get(self, id: str) -> HistoryEntry:
        """Raises InputError if there is none of this id."""
        return self._history.get(id)

    def settings(self, entry: HistoryEntry) -> GenerateSettings:
        """What made the picture. Raises InputError if that is damaged."""
        return settings_from(entry.recipe.get("settings", {}))

    def remove(self, id: str) -> None:
        """Delete a picture. Raises InputError if there is none of this id."""
        self._history.remove(id)
