"""The text "parameters" by which programs for making pictures tell each other how one was made.

The prompt, a line that begins with "Negative prompt:", and a last line "Steps: 20, Sampler: Euler, ...", whose values
stand in quotation marks, as JSON writes text, where they hold a comma, a colon or a new line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from models.guidance.settings import GuidanceSettings
from pipelines.generate.settings import SCHEDULES, GenerateSettings, settings_from

LONGEST = 24_000
"""Characters that are read; more is no line of settings."""
_SAMPLERS = {
    "ddim": "DDIM", "euler": "Euler", "euler_a": "Euler a", "heun": "Heun", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_sde": "DPM++ SDE", "unipc": "UniPC", "deis": "DEIS", "pndm": "PLMS",
    "lcm": "LCM", "flow_euler": "Flow Euler", "flow_heun": "Flow Heun",
}  # fmt: skip
_SCHEDULES = {"karras": "Karras", "exponential": "Exponential", "beta": "Beta", "sgm_uniform": "SGM Uniform"}
# Name in the line -> our setting. The first are the guidance's own; `None`: told by any method.
_GUIDANCE: dict[str, tuple[str, str | None]] = {
    "Guidance": ("method", None),
    "APG eta": ("eta", "apg"),
    "APG norm threshold": ("norm_threshold", "apg"),
    "APG norm units": ("norm_units", "apg"),
    "APG momentum": ("momentum", "apg"),
    "CFG rescale phi": ("rescale", "rescale"),
    "Threshold percentile": ("percentile", "threshold"),
    "FDG low scale": ("low_scale", "fdg"),
    "Zero init steps": ("zero_steps", "zero_star"),
}
_NUMBERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "Steps": ("steps", int),
    "Seed": ("seed", int),
    "Denoising strength": ("strength", float),
}
_INTERVAL = "Guidance interval"
_SETTLED = {"Version", "Size", "Model hash", "VAE", "VAE hash", "Model", "Schedule type", "Sampler", "CFG scale"}
_NEGATIVE = re.compile(r"^Negative prompt:", re.MULTILINE)


@dataclass(frozen=True)
class Restored:
    """Settings out of a picture; `notes` says what could not be taken over."""

    settings: GenerateSettings
    notes: tuple[str, ...] = ()


def line_of(settings: GenerateSettings) -> str:
    """The settings as other programs write them. Memory modes and adapters have no place in it."""
    guidance = settings.guidance
    values: dict[str, Any] = {
        "Steps": settings.steps,
        "Sampler": _SAMPLERS.get(settings.sampler, "default"),
        "CFG scale": guidance.scale,
        "Seed": settings.seed,
        "Size": f"{settings.width}x{settings.height}" if settings.width and settings.height else None,
        "Model": settings.model,
        "Schedule type": _SCHEDULES.get(settings.schedule),
    }
    if settings.strength != GenerateSettings.model_fields["strength"].default:
        values["Denoising strength"] = settings.strength
    for name, (field, method) in _GUIDANCE.items():
        if method in (None, guidance.method):
            values[name] = getattr(guidance, field)
    if guidance.interval != GuidanceSettings().interval:
        values[_INTERVAL] = "-".join(_text(end) for end in guidance.interval)
    told = [f"{name}: {_text(value)}" for name, value in values.items() if value is not None]
    negative = f"\nNegative prompt: {settings.negative}" if settings.negative else ""
    return f"{settings.prompt}{negative}\n{', '.join(told)}, Version: Everyage"


def _text(value: Any) -> str:
    """A value of the last line: no digit of a number is lost, and text that could be misread is quoted."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r'[,:\n"]', text) else text


def parse_line(text: str) -> Restored:
    """Settings of such a text, from any program. What is not understood is named; limits are checked."""
    text = text[:LONGEST].strip()
    body, _, last = text.rpartition("\n")
    if not last.lstrip().startswith("Steps:"):
        body, last = text, ""
    found = _NEGATIVE.search(body)
    prompt, negative = (body[: found.start()], body[found.end() :]) if found else (body, "")
    values: dict[str, Any] = {"prompt": prompt.strip(), "negative": negative.strip()}
    pairs = _pairs(last)
    known = {*_SETTLED, *_GUIDANCE, *_NUMBERS, _INTERVAL}
    notes = [f"{name[:40]} is not known here." for name in pairs if name not in known]
    for name, (field, read) in _NUMBERS.items():
        if name in pairs:
            number = _number(name, pairs[name], read, notes)
            values |= {} if number is None else {field: number}
    values |= _sampling(pairs, notes)
    if pairs.get("Version") == "Everyage" and "Model" in pairs:
        values["model"] = pairs["Model"]
    elif "Model" in pairs:
        notes.append(f"It was made with the model {pairs['Model'][:60]}; choose one here.")
    return Restored(settings_from({**values, "guidance": _guidance(pairs, notes)}), tuple(notes))


def _pairs(line: str) -> dict[str, str]:
    """Name -> value of the last line."""
    found: dict[str, str] = {}
    for part in _parts(line):
        name, colon, value = part.partition(":")
        if colon and name.strip():
            found[name.strip()] = _unquoted(value.strip())
    return found


def _parts(line: str) -> list[str]:
    """The line cut at its commas, save those in quotation marks; at all of them where a mark is never closed."""
    cuts, quoted, escaped = [-1], False, False
    for i, sign in enumerate(line):
        if escaped:
            escaped = False
        elif sign == '"':
            quoted = not quoted
        elif quoted:
            escaped = sign == "\\"
        elif sign == ",":
            cuts.append(i)
    if quoted:
        return line.split(",")
    return [line[a + 1 : b] for a, b in pairwise([*cuts, len(line)])]


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value, strict=False))
        except ValueError:
            return value.strip('"')
    return value


def _number(name: str, text: str, read: Callable[[str], Any], notes: list[str]) -> Any:
    try:
        return read(text)
    except ValueError:
        notes.append(f"{name} is {text[:20]!r}, which is no number.")
        return None


def _sampling(pairs: dict[str, str], notes: list[str]) -> dict[str, Any]:
    """Sampler, schedule and size. Older files name the schedule within the sampler."""
    given = pairs.get("Sampler", "")
    plain = re.sub(r"\b(karras|exponential)\b", "", given, flags=re.IGNORECASE).strip().lower()
    sampler = next((ours for ours, theirs in _SAMPLERS.items() if plain in (theirs.lower(), ours)), None)
    if sampler is None and plain not in ("", "default", "automatic"):
        notes.append(f"The sampler {given[:40]} is not known here; the model's own is used.")
    named = pairs.get("Schedule type", "").lower().replace(" ", "_")
    words = [named, *given.lower().split()]
    schedule = next((word for word in words if word in SCHEDULES), "default")
    values: dict[str, Any] = {"sampler": sampler or "default", "schedule": schedule}
    size = re.fullmatch(r"(\d{2,5})x(\d{2,5})", pairs.get("Size", ""))
    return values | ({"width": int(size[1]), "height": int(size[2])} if size else {})


def _guidance(pairs: dict[str, str], notes: list[str]) -> GuidanceSettings:
    """Raises InputError for values out of range. Plain guidance where no method is named: other programs' own."""
    found: dict[str, Any] = {"method": "cfg"}
    if "CFG scale" in pairs:
        scale = _number("CFG scale", pairs["CFG scale"], float, notes)
        found |= {} if scale is None else {"scale": max(scale, 1.0)}
    for name, (field, _) in _GUIDANCE.items():
        if name in pairs:
            found[field] = _loose(pairs[name], whole=field == "zero_steps")
    if _INTERVAL in pairs:
        low, _, high = pairs[_INTERVAL].partition("-")
        found["interval"] = [_number(_INTERVAL, end, float, notes) for end in (low, high)]
    return GuidanceSettings.from_dict(found)


def _loose(text: str, whole: bool) -> Any:
    """A number where it is one, or else the word."""
    try:
        number = float(text)
    except ValueError:
        return text
    return int(number) if whole and math.isfinite(number) else number
