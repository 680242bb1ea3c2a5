"""The settings of guidance: one object behind page, command line and file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from models.errors import InputError

METHODS = {
    "apg": "Adaptive projected guidance: follows the prompt without burnt colours",
    "cfg": "Classifier-free guidance: the plain method",
    "rescale": "CFG rescale: plain guidance brought back to its natural contrast",
    "threshold": "Dynamic thresholding: values out of range are clipped and shrunk",
    "cfgpp": "CFG++: the noise that is added again stays unguided (DDIM and Euler)",
    "zero_star": "CFG-Zero*: the unguided prediction is fitted to the guided one first",
    "fdg": "Frequency-decoupled guidance: colours and layout less than detail",
    "autoguidance": "Autoguidance: away from a weaker version of the same model",
}
"""Name of each method, and what it does in one line."""

EXPLAIN = {
    "method": "How the prompt pulls on the picture.",
    "scale": "How strongly the picture follows the prompt; 1 switches guidance off.",
    "eta": "How much of the push along the picture itself is kept: 0 keeps colours calm, 1 is plain guidance.",
    "norm_threshold": "Longest push of one step; longer ones are shortened. 0: no limit; auto: measured for the model.",
    "norm_units": "sdxl: the limit is that of a 1024 px picture of SDXL, converted to this size; paper: as it is.",
    "momentum": "Negative: each step turns away from the last one's direction, which calms the picture; 0: off.",
    "rescale": "How much of the natural contrast is restored; 0 is plain guidance.",
    "percentile": "The share of values that stays in range.",
    "low_scale": "The scale for colours and layout; empty: half of the scale.",
    "zero_steps": "First steps without any change (flow models).",
    "interval": "Noise levels between which guidance works; outside, the prompt alone is followed at half the cost.",
}
"""One line of help for each setting."""

_LIMITS: dict[str, tuple[float, float]] = {
    "scale": (1.0, 50.0),
    "eta": (0.0, 1.0),
    "momentum": (-0.95, 0.95),
    "rescale": (0.0, 1.0),
    "percentile": (0.5, 1.0),
    "zero_steps": (0, 50),
}


@dataclass(frozen=True)
class GuidanceSettings:
    """What to do with the two predictions of a step. `EXPLAIN` says what each setting is.

    norm_threshold: 0 = no clip, "auto" = measured before the run. interval: (low, high) of sigma / alpha; guidance
    works where low < sigma / alpha <= high. Raises InputError for a value out of range.
    """

    method: str = "apg"
    scale: float = 5.0
    eta: float = 0.0
    norm_threshold: float | Literal["auto"] = "auto"
    norm_units: Literal["sdxl", "paper"] = "sdxl"
    momentum: float = -0.5
    rescale: float = 0.7
    percentile: float = 0.995
    low_scale: float | None = None
    zero_steps: int = 1
    interval: tuple[float, float] = (0.0, math.inf)

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise InputError(f"There is no guidance {self.method!r}; choose one of {', '.join(METHODS)}.")
        for name, (low, high) in _LIMITS.items():
            _check(name, getattr(self, name), low, high)
        if self.norm_threshold != "auto":
            _check("norm_threshold", self.norm_threshold, 0.0, 1000.0)
        if self.norm_units not in ("sdxl", "paper"):
            raise InputError(f"norm_units is {self.norm_units!r}; choose sdxl or paper.")
        if self.low_scale is not None:
            _check("low_scale", self.low_scale, *_LIMITS["scale"])
        low, high = self.interval
        if not (_is_number(low) and _is_number(high) and 0 <= low < high):
            raise InputError(f"The interval is {low} to {high}; give two noise levels, the lower one first, from 0 on.")

    @property
    def neutral(self) -> bool:
        """Whether the result is plain classifier-free guidance by definition."""
        if self.method == "apg":
            return self.eta == 1 and self.norm_threshold == 0 and self.momentum == 0
        return self.method == "cfg" or (self.method == "rescale" and self.rescale == 0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: an endless interval ends at None."""
        found = asdict(self)
        found["interval"] = [value if math.isfinite(value) else None for value in self.interval]
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GuidanceSettings:
        """The reverse of `to_dict`; settings that are left out have their defaults. Raises InputError."""
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise InputError(f"Guidance has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}.")
        return cls(**{**values, **({"interval": _interval(values["interval"])} if "interval" in values else {})})


def _interval(value: Any) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"The interval is {value!r}; give two noise levels, such as [0.3, 5.4].")
    low, high = value
    return (0.0 if low is None else low, math.inf if high is None else high)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _check(name: str, value: Any, low: float, high: float) -> None:
    if not _is_number(value) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}; it must be a number from {low:g} to {high:g}.")
