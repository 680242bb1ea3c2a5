"""What can change from picture to picture of a comparison: one or two settings and their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.errors import InputError
from models.guidance.settings import METHODS
from pipelines.generate.settings import GenerateSettings

MOST_PICTURES = 100
MATCHED = "matched"
"""A value of the axis "guidance": CFG at the lower scale at which it pushes as far as APG does at the cell's scale. At
equal scales a weaker push alone looks like less burn; this comparison leaves that out."""
GUIDED = ("scale", "eta", "norm_threshold", "momentum", "rescale", "percentile", "low_scale", "norm_units")
AXES = ("guidance", *GUIDED, "steps", "sampler", "schedule", "seed", "prompt", "negative", "strength")
"""What an axis can be: settings, and "guidance" for its method."""


@dataclass(frozen=True)
class Axis:
    """One direction of a grid: the setting that changes, and its values."""

    name: str
    values: tuple[Any, ...]


def parse_axes(text: str) -> tuple[Axis, ...]:
    """Axes as they are typed: "guidance=cfg,apg;scale=4,8,12": the first runs across, the second down.

    Raises InputError, one sentence, for what is no axis or has no values.
    """
    axes = []
    for part in text.split(";"):
        name, equals, values = part.partition("=")
        name = name.strip()
        if name not in AXES or not equals or not values.strip():
            raise InputError(f"{part.strip()[:60]!r} is no axis; write for example guidance=cfg,apg;scale=4,8,12.")
        axes.append(Axis(name, tuple(_value(name, text.strip()) for text in values.split(","))))
    if not 1 <= len(axes) <= 2 or len({axis.name for axis in axes}) < len(axes):
        raise InputError(f"A grid has one or two different axes; {text[:60]!r} has {len(axes)}.")
    return check_axes(axes)


def check_axes(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Raises InputError for too many pictures or guidance that is not known."""
    count = 1
    for axis in axes:
        count *= len(axis.values)
        for value in axis.values if axis.name == "guidance" else ():
            if value not in (*METHODS, MATCHED):
                raise InputError(f"There is no guidance {value!r}; choose among {', '.join((*METHODS, MATCHED))}.")
    if not 1 <= count <= MOST_PICTURES:
        raise InputError(f"This grid has {count} pictures; {MOST_PICTURES} are the most.")
    return tuple(axes)


def _value(name: str, text: str) -> Any:
    if name in ("guidance", "sampler", "schedule", "prompt", "negative", "norm_units"):
        return text
    try:
        return json.loads(text) if text != "auto" else text
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is no number for {name}.") from error


def cell(settings: GenerateSettings, axes: Sequence[Axis], values: Sequence[Any]) -> GenerateSettings:
    """The settings of one cell. Raises InputError for a value out of range."""
    guided = settings.guidance.to_dict()
    plain: dict[str, Any] = {}
    for axis, value in zip(axes, values, strict=True):
        if axis.name == "guidance":
            guided["method"] = "apg" if value == MATCHED else value
        elif axis.name in GUIDED:
            guided[axis.name] = value
        else:
            plain[axis.name] = value
    return settings.with_changes(**{**plain, "guidance": guided, "count": 1})
