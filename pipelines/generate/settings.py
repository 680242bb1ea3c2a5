"""What to make: the one object behind the Generate page, the command line and the file inside a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator

from models.errors import InputError
from models.guidance.settings import EXPLAIN, METHODS, GuidanceSettings

__all__ = ["EXPLAIN", "METHODS", "SAMPLERS", "SCHEDULES", "AdapterUse", "GenerateSettings", "GuidanceSettings",
           "settings_from"]  # fmt: skip

LONGEST_PROMPT = 10_000
SAMPLERS: dict[str, str] = {
    "default": "the model's own",
    "ddim": "DDIM: steady, first order",
    "euler": "Euler: quick, first order",
    "euler_a": "Euler ancestral: new noise at each step",
    "heun": "Heun: second order, twice the work a step",
    "dpmpp_2m": "DPM++ 2M: good at few steps",
    "dpmpp_2m_sde": "DPM++ 2M SDE: good at few steps, with new noise",
    "dpmpp_sde": "DPM++ SDE: second order in single steps, with new noise",
    "unipc": "UniPC: good at very few steps",
    "deis": "DEIS: good at few steps",
    "pndm": "PNDM: fourth order",
    "lcm": "LCM: for models that were distilled to a few steps",
    "flow_euler": "Flow Euler: for flow models",
    "flow_heun": "Flow Heun: for flow models, twice the work a step",
}
"""Name of each sampler, and what it is in a few words."""
SCHEDULES: dict[str, str] = {
    "default": "the model's own",
    "karras": "Karras: more steps at little noise",
    "exponential": "exponential: even steps in the logarithm",
    "beta": "beta: more steps at both ends",
    "sgm_uniform": "SGM uniform: even steps that end at no noise",
}
"""Name of each schedule of noise levels."""


class AdapterUse(BaseModel):
    """One adapter and how strongly it acts: `where` is a file or folder of adapter weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    where: str
    weight: Annotated[float, Field(ge=-2, le=2)] = 1.0


class GenerateSettings(BaseModel):
    """All that a picture is made from, as JSON can hold it. Limits are checked: see `settings_from`.

    seed: -1 draws one; picture i of `count` uses seed + i. width, height: None is the model's own. strength: how much
    of a start picture is made anew, 0..1. weak: id or folder of a weaker version of the model, which autoguidance
    needs and other methods leave alone. batch: pictures side by side, None lets memory decide.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    prompt: Annotated[str, Field(max_length=LONGEST_PROMPT)] = ""
    negative: Annotated[str, Field(max_length=LONGEST_PROMPT)] = ""
    model: Annotated[str, Field(max_length=1000)] = "portraits"
    seed: Annotated[int, Field(ge=-1, le=2**53)] = -1
    count: Annotated[int, Field(ge=1, le=64)] = 1
    width: Annotated[int, Field(ge=8, le=4096)] | None = None
    height: Annotated[int, Field(ge=8, le=4096)] | None = None
    steps: Annotated[int, Field(ge=1, le=150)] = 20
    sampler: str = "default"
    schedule: str = "default"
    guidance: GuidanceSettings = GuidanceSettings()
    strength: Annotated[float, Field(ge=0.05, le=1)] = 0.6
    weak: Annotated[str, Field(max_length=1000)] = ""
    adapters: Annotated[tuple[AdapterUse, ...], Field(max_length=8)] = ()
    tiling: bool = False
    slicing: bool = False
    memory: Literal["auto", "fast", "balanced", "low"] = "auto"
    batch: Annotated[int, Field(ge=1, le=64)] | None = None

    @field_validator("guidance", mode="before")
    @classmethod
    def _read_guidance(cls, value: Any) -> Any:
        return GuidanceSettings.from_dict(value) if isinstance(value, Mapping) else value

    @field_serializer("guidance")
    def _write_guidance(self, value: GuidanceSettings) -> dict[str, Any]:
        return value.to_dict()

    @field_validator("sampler")
    @classmethod
    def _known_sampler(cls, value: str) -> str:
        if value not in SAMPLERS:
            raise ValueError(f"there is no sampler {value!r}; choose one of {', '.join(SAMPLERS)}")
        return value

    @field_validator("schedule")
    @classmethod
    def _known_schedule(cls, value: str) -> str:
        if value not in SCHEDULES:
            raise ValueError(f"there is no schedule {value!r}; choose one of {', '.join(SCHEDULES)}")
        return value

    def with_changes(self, **values: Any) -> GenerateSettings:
        """A copy with some values changed, checked again. Raises InputError."""
        return settings_from({**self.model_dump(), **values})


def settings_from(values: Mapping[str, Any]) -> GenerateSettings:
    """Settings of a dict, such as a file's. Raises InputError: one sentence that names the setting and its limits."""
    try:
        return GenerateSettings.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    """The first thing that is wrong, in one sentence."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"]) or "settings"
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = "" if isinstance(given, dict) else f" (given: {json.dumps(given, default=str)[:80]})"
    return f"The setting {name} can't be used: {message[0].lower()}{message[1:]}{shown}."
