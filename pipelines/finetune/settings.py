"""How to fine-tune: the one object behind page, command line and file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from models.errors import InputError
from pipelines.finetune.methods import METHODS, Strength


class FinetuneSettings(BaseModel):
    """Limits are checked: see `finetune_settings`.

    side: pictures have about side x side pixels, None is the model's own. batch, accumulate: pictures side by side, and
    batches a step of the optimizer. rate: None is the method's own. rank_weight: of SaRA's rank loss. drop: share of
    the captions that are left out, so that guidance still has a free prediction. ema: horizon of the average of the
    adapter's weights, 0 is none. reselect: SaRA's choice made anew at half time, unless that would leave next to none.
    phrase: the words for pictures without any. samples: prompts that are drawn every `sample_every` steps, none for
    captions of the folder; sample_every 0 draws nothing, None five times in all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str = "sara"
    strength: Strength = "medium"
    model: Annotated[str, Field(max_length=1000)] = "portraits"
    phrase: Annotated[str, Field(max_length=2000)] | None = None
    steps: Annotated[int, Field(ge=1, le=200_000)] = 800
    batch: Annotated[int, Field(ge=1, le=256)] = 4
    accumulate: Annotated[int, Field(ge=1, le=256)] = 1
    side: Annotated[int, Field(ge=8, le=2048)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**53)] = 0
    rate: Annotated[float, Field(gt=0, le=1)] | None = None
    min_snr: Annotated[float, Field(gt=0, le=100)] | None = 5.0
    offset: Annotated[float, Field(ge=0, le=1)] = 0.0
    drop: Annotated[float, Field(ge=0, le=1)] = 0.1
    flips: bool = True
    rank_weight: Annotated[float, Field(ge=0, le=1)] = 5e-4
    reselect: bool = True
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    checkpointing: bool = False
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    save_every: Annotated[int, Field(ge=1)] = 100
    keep: Annotated[int, Field(ge=1, le=100)] = 2
    samples: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    sample_every: Annotated[int, Field(ge=0)] | None = None

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in METHODS:
            raise ValueError(f"there is no method {value!r}; choose one of {', '.join(METHODS)}")
        return value


def finetune_settings(values: Mapping[str, Any]) -> FinetuneSettings:
    """Settings of a dict, such as a file's. Raises InputError: one sentence that names the setting and its limits."""
    try:
        return FinetuneSettings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"The setting {name} can't be used: {message[0].lower()}{message[1:]}.") from error
