"""What a person may choose for a video, checked at the border; the same object behind page, command and job."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from models.errors import InputError
from pipelines.aging.options import EMBEDDED, OLDEST, YOUNGEST

Codec = Literal["h264", "hevc", "av1", "prores"]
CRF = {"h264": 18, "hevc": 20, "av1": 26, "prores": 0}
"""Default quality of each codec: lower is better and larger; ProRes has none."""


class Subject(BaseModel):
    """One person of the video and how old they become.

    who: number of the person, as the look at the video counts them (1 has the most of the screen). ages: keyframes
    (second of the video, target age in years), in order of time; between them the age goes evenly, before the first
    and after the last it stays. One keyframe is a constant age. person: somebody in the collection whose own aging was
    learnt, "" for everybody's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    who: int = Field(default=1, ge=1, le=64)
    ages: tuple[tuple[float, float], ...] = Field(min_length=1, max_length=200)
    person: str = ""

    @field_validator("ages")
    @classmethod
    def _in_order(cls, value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for second, age in value:
            if not (second >= 0 and YOUNGEST <= age <= OLDEST):
                raise ValueError(f"ages lie between {YOUNGEST:g} and {OLDEST:g} at seconds from 0 on")
        if any(later[0] <= earlier[0] for earlier, later in pairwise(value)):
            raise ValueError("the seconds of the ages must rise")
        return value

    def age_at(self, second: float) -> float:
        """The target age at a second of the video."""
        before = [key for key in self.ages if key[0] <= second]
        after = [key for key in self.ages if key[0] > second]
        if not before or not after:
            return (before[-1] if before else after[0])[1]
        (s0, a0), (s1, a1) = before[-1], after[0]
        return a0 + (a1 - a0) * (second - s0) / (s1 - s0)


class VideoOptions(BaseModel):
    """How a video is aged and written.

    subjects: whom, and to which age. start, end: seconds of the part that is kept, None for the whole. strength,
    detail: as in `AgingOptions`. tune_steps: pivotal tuning per shot; None: as many as suit model and device, 0: none.
    model: "heads" or an added model's id. codec, crf: of the result; None: the codec's default. ten_bit: None keeps
    what the source has where the codec can. skip_unsure: frames in which the person is not surely recognised stay as
    they are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subjects: tuple[Subject, ...] = Field(min_length=1, max_length=16)
    start: float | None = Field(default=None, ge=0)
    end: float | None = Field(default=None, gt=0)
    strength: float = Field(default=1.0, ge=0, le=2)
    detail: float = Field(default=1.0, ge=0, le=1)
    tune_steps: int | None = Field(default=None, ge=0, le=1000)
    model: str = EMBEDDED
    codec: Codec = "h264"
    crf: int | None = Field(default=None, ge=0, le=63)
    ten_bit: bool | None = None
    skip_unsure: bool = True

    @model_validator(mode="after")
    def _sensible(self) -> VideoOptions:
        numbers = [subject.who for subject in self.subjects]
        if len(set(numbers)) != len(numbers):
            raise ValueError("each person of the video can be chosen once")
        if self.end is not None and self.end <= (self.start or 0):
            raise ValueError("the end must come after the start")
        if self.codec in ("h264", "hevc") and (self.crf or 0) > 51:
            raise ValueError(f"the quality of {self.codec} goes from 0 to 51")
        return self

    @property
    def quality(self) -> int:
        """The CRF that is used."""
        return CRF[self.codec] if self.crf is None else self.crf


def video_options(given: dict[str, Any]) -> VideoOptions:
    """Options from a form, a command line or a stored job. Raises InputError that names the first wrong one."""
    try:
        return VideoOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(f"The video setting {where} can't be used: {reason}.") from error


def parse_keyframes(text: str) -> tuple[tuple[float, float], ...]:
    """Keyframes from what a person typed: "70", or "0:20,10:80" (second:age). Raises InputError for anything else."""
    keys = []
    for part in (part.strip() for part in text.split(",")):
        second, colon, age = part.rpartition(":")
        try:
            keys.append((float(second) if colon else 0.0, float(age)))
        except ValueError:
            raise InputError(f"Ages are written like 70, or like 0:20,10:80 (second:age), not {text!r}.") from None
    try:
        return Subject(ages=tuple(keys)).ages
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"The ages {text!r} can't be used: {reason}.") from error


def default_name(source: Path, options: VideoOptions) -> str:
    """A file name for the result, without a folder."""
    ages = options.subjects[0].ages
    span = f"{ages[0][1]:g}" if len(ages) == 1 else f"{ages[0][1]:g}-{ages[-1][1]:g}"
    return f"{source.stem}-at-{span}{'.mov' if options.codec == 'prores' else '.mp4'}"
