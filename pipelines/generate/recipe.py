"""What a picture says of how it was made, and how that becomes settings again.

A PNG carries two texts: "everyage", our JSON with every setting, and "parameters": see `pipelines.generate.line`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InputError
from photos.results import read_parameters, read_recipe
from pipelines.generate.line import Restored, parse_line
from pipelines.generate.settings import GenerateSettings, settings_from

KIND = "generate"


def recipe_of(settings: GenerateSettings, figures: Mapping[str, Any], start: str | None = None) -> dict[str, Any]:
    """The recipe of one picture as JSON can hold it. start: sha256 of the start picture, where there was one."""
    found = {"kind": KIND, "settings": settings.model_dump(mode="json"), "figures": dict(figures)}
    return found | ({"start": start} if start else {})


def restore(path: str | Path) -> Restored:
    """The settings that a picture carries. Raises InputError if it carries none, or ours are damaged."""
    recipe = read_recipe(path)
    if recipe is not None and recipe.get("kind") == KIND and isinstance(recipe.get("settings"), dict):
        notes = ("It began from a start picture; drop that in, too.",) if recipe.get("start") else ()
        return Restored(settings_from(recipe["settings"]), notes)
    line = read_parameters(path)
    if line is None:
        raise InputError(f"{Path(path).name} carries no settings; only pictures as they were saved keep them.")
    return parse_line(line)
