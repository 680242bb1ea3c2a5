"""What a picture says of how it was made, and how that becomes settings again.

A PNG carries two texts: "everyage", our JSON with every setting, and "parameters", the line that other programs for
making pictures read and write: the prompt, a line "Negative prompt: ...", and a line "Steps: 20, Sampler: ...".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InputError
from models.guidance.settings import GuidanceSettings
from photos.results import read_parameters, read_recipe
from pipelines.generate.settings import GenerateSettings, settings_from

KIND = "generate"
LONGEST_LINE = 24_000
_NAMES = {
    "ddim": "DDIM", "euler": "Euler", "euler_a": "Euler a", "heun": "Heun", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "unipc": "UniPC", "pndm": "PLMS", "flow_euler": "Flow Euler",
    "flow_heun": "Flow Heun",
}  # fmt: skip
_GUIDANCE = {
    "Guidance": "method", "APG eta": "eta", "APG norm threshold": "norm_threshold", "APG momentum": "momentum",
    "APG norm units": "norm_units", "CFG rescale phi": "rescale",
}  # fmt: skip
_PAIR = re.compile(r'\s*([A-Za-z][\w +*-]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
_SETTLED = {"Version", "Size", "Model hash", "VAE", "VAE hash", "Model", "Schedule type"}


@dataclass(frozen=True)
class Restored:
    """Settings out of a picture; `notes` says what could not be taken over."""

    settings: GenerateSettings
    notes: tuple[str, ...] = ()


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


def line_of(settings: GenerateSettings) -> str:
    """The settings as other programs write them."""
    chosen = settings.guidance
    values = {
        "Steps": settings.steps,
        "Sampler": _NAMES.get(settings.sampler, "default"),
        "CFG scale": f"{chosen.scale:g}",
        "Seed": settings.seed,
        "Size": f"{settings.width}x{settings.height}" if settings.width and settings.height else None,
        "Model": settings.model.replace(",", " "),
        "Schedule type": settings.schedule.capitalize() if settings.schedule != "default" else None,
        "Guidance": chosen.method,
    }
    if chosen.method == "apg":
        values |= {
            "APG eta": f"{chosen.eta:g}",
            "APG norm threshold": chosen.norm_threshold,
            "APG norm units": chosen.norm_units,
            "APG momentum": f"{chosen.momentum:g}",
        }
    if chosen.method == "rescale":
        values["CFG rescale phi"] = f"{chosen.rescale:g}"
    last = ", ".join(f"{name}: {value}" for name, value in values.items() if value is not None)
    negative = f"\nNegative prompt: {settings.negative}" if settings.negative else ""
    return f"{settings.prompt}{negative}\n{last}, Version: Everyage"


def parse_line(text: str) -> Restored:
    """Settings of such a text, from any program. What is not understood is named; limits are checked."""
    text = text[:LONGEST_LINE].strip()
    body, _, last = text.rpartition("\n")
    if not re.match(r"\s*Steps:", last):
        body, last = text, ""
    prompt, _, negative = body.partition("Negative prompt:")
    values: dict[str, Any] = {"prompt": prompt.strip(), "negative": negative.strip()}
    pairs = {name.strip(): value.strip().strip('"') for name, value in _PAIR.findall(last)}
    notes = [f"{name} is not known here." for name in pairs if not _known(name)]
    guidance: dict[str, Any] = {"method": "cfg"}
    for name, read in (("Steps", int), ("Seed", int), ("CFG scale", float), ("Denoising strength", float)):
        if name in pairs:
            _number(name, pairs[name], read, values, guidance, notes)
    sampler = _sampler(pairs.get("Sampler", ""))
    if sampler is None:
        notes.append(f"The sampler {pairs['Sampler'][:40]} is not known here; the model's own is used.")
    values["sampler"] = sampler or "default"
    schedule = pairs.get("Schedule type", "").lower()
    karras = "karras" in pairs.get("Sampler", "").lower()
    values["schedule"] = (
        "karras" if karras else schedule if schedule in ("karras", "exponential", "beta") else "default"
    )
    size = re.fullmatch(r"(\d{2,5})x(\d{2,5})", pairs.get("Size", ""))
    if size:
        values["width"], values["height"] = int(size[1]), int(size[2])
    for name, field in _GUIDANCE.items():
        if name in pairs:
            guidance[field] = _loose(pairs[name])
    if pairs.get("Version") == "Everyage" and "Model" in pairs:
        values["model"] = pairs["Model"]
    elif "Model" in pairs:
        notes.append(f"It was made with the model {pairs['Model'][:60]}; choose one here.")
    return Restored(settings_from({**values, "guidance": GuidanceSettings.from_dict(guidance)}), tuple(notes))


def _known(name: str) -> bool:
    told = {"Steps", "Sampler", "CFG scale", "Seed", "Denoising strength"}
    return name in told or name in _SETTLED or name in _GUIDANCE


def _number(
    name: str, text: str, read: Any, values: dict[str, Any], guidance: dict[str, Any], notes: list[str]
) -> None:
    try:
        number = read(text)
    except ValueError:
        notes.append(f"{name} is {text[:20]!r}, which is no number.")
        return
    target = {"Steps": "steps", "Seed": "seed", "Denoising strength": "strength"}.get(name)
    if target is None:
        guidance["scale"] = max(number, 1.0)
    else:
        values[target] = number


def _loose(text: str) -> Any:
    """A number where it is one, or else the word."""
    try:
        return float(text)
    except ValueError:
        return text


def _sampler(name: str) -> str | None:
    """Our name for another program's; "default" for none, None for one that is not known."""
    plain = re.sub(r"\b(karras|exponential)\b", "", name, flags=re.IGNORECASE).strip().lower()
    if plain in ("", "default"):
        return "default"
    return next((ours for ours, theirs in _NAMES.items() if plain in (theirs.lower(), ours)), None)
