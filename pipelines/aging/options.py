"""What a person may choose, and what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from PIL import Image

from models.errors import InputError
from models.faces.detect import Face

YOUNGEST, OLDEST = 0.0, 100.0
RANGES = {"strength": (0.0, 2.0), "detail": (0.0, 1.0), "tune_steps": (0, 1000), "seed": (0, 2**31 - 1)}


@dataclass(frozen=True)
class AgingOptions:
    """How a face is aged.

    strength: times the movement in w+ (0: none, 1: as learnt, up to 2).
    detail: how much of the photo's own fine detail stays (0: none, 1: all where the face keeps its shape).
    tune_steps: steps of pivotal tuning; 0 uses the encoder alone.
    seed: of the order of random numbers in tuning.
    """

    strength: float = 1.0
    detail: float = 1.0
    tune_steps: int = 120
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a value out of its range."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if not (isinstance(value, int | float) and low <= value <= high):
                raise InputError(f"The {name.replace('_', ' ')} must lie between {low:g} and {high:g}, not {value}.")

    @classmethod
    def from_recipe(cls, recipe: Mapping[str, Any]) -> AgingOptions:
        """Options out of a picture's recipe; what is missing or unknown takes its default.

        Anyone can write a recipe: raises InputError for values that are none.
        """
        stored = recipe.get("options", {})
        if not isinstance(stored, Mapping):
            raise InputError("The recipe inside this picture is damaged; choose the settings by hand.")
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class FoundFace:
    """One face of a photo as it is offered: estimated age in years, "female" or "male", warnings, a small crop."""

    face: Face
    age: float
    gender: str
    warnings: tuple[str, ...]
    thumbnail: Image.Image


@dataclass(frozen=True)
class Aged:
    """One result: the whole photo and its FFHQ crop at `target` years.

    age: what the age network reads in the result; identity: cosine of its embedding to the input's (1 is equal).
    recipe: everything needed to make it again; seconds: time it took, without tuning.
    """

    target: float
    image: Image.Image
    crop: Image.Image
    age: float
    identity: float
    recipe: dict[str, Any]
    seconds: float


def parse_age(text: str) -> float:
    """Years from what a person typed, 0 to 100. Raises InputError for anything else."""
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not YOUNGEST <= age <= OLDEST:
        raise InputError(f"An age is a number of years from {YOUNGEST:g} to {OLDEST:g}, not {text!r}.")
    return age
