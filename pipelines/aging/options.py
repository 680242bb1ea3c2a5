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
EMBEDDED = "heads"
"""The model that ships with the app; other ids are those of added models."""
MOST_LAYERS = 18
RANGES = {
    "strength": (0.0, 2.0),
    "detail": (0.0, 1.0),
    "tune_steps": (0, 1000),
    "seed": (0, 2**31 - 1),
    "mix_amount": (0.0, 1.0),
}


@dataclass(frozen=True)
class AgingOptions:
    """How a face is aged.

    strength: times the movement in w+ (0: none, 1: as learnt, up to 2).
    detail: how much of the photo's own fine detail stays (0: none, 1: all where the face keeps its shape).
    tune_steps: steps of pivotal tuning; 0 uses the encoder alone, None as many as suit the model and the device.
    seed: of a random style to mix in.
    model: "heads", or the id of an added SAM or MyTimeMachine model.
    person: the name of somebody whose own aging was learnt (or the name of their folder); "" for everybody's aging.
    official: exactly the published forward of SAM and MyTimeMachine: the generator's own drawing at its full size, no
    tuning, nothing of the photo laid over it; statistics that a personal checkpoint carries are used as they are.
    mix_layers, mix_amount: layers of w+ (0 is the coarsest) that come from another style, and how far. The style is
    that of a second photo, or else a random one. In a 1024 px model the layers 8 and 9 carry colour, of hair above all.
    """

    strength: float = 1.0
    detail: float = 1.0
    tune_steps: int | None = None
    seed: int = 0
    model: str = EMBEDDED
    official: bool = False
    mix_layers: tuple[int, ...] = ()
    mix_amount: float = 1.0
    person: str = ""

    def __post_init__(self) -> None:
        """Raises InputError for a value out of its range."""
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is None and name == "tune_steps":
                continue
            if isinstance(value, bool) or not (isinstance(value, int | float) and low <= value <= high):
                raise InputError(f"The {name.replace('_', ' ')} must lie between {low:g} and {high:g}, not {value}.")
        if not isinstance(self.model, str) or not isinstance(self.official, bool) or not isinstance(self.person, str):
            raise InputError("Model and person must be names, and official true or false; choose them again.")
        layers = self.mix_layers
        known = isinstance(layers, tuple | list) and all(type(n) is int and 0 <= n < MOST_LAYERS for n in layers)
        if not known:
            raise InputError(f"Layers are whole numbers from 0 to {MOST_LAYERS - 1}, not {layers!r}.")
        object.__setattr__(self, "mix_layers", tuple(sorted(set(layers))))

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
        """For JSON."""
        return asdict(self) | {"mix_layers": list(self.mix_layers)}


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
    recipe: everything needed to make it again; seconds: time it took, without tuning. extrapolated: with a person's
    own aging, whether the target lies outside the ages of the photos that it was learnt from.
    """

    target: float
    image: Image.Image
    crop: Image.Image
    age: float
    identity: float
    recipe: dict[str, Any]
    seconds: float
    extrapolated: bool = False


def parse_layers(text: str) -> tuple[int, ...]:
    """Layers from what a person typed, such as "8,9" or "8-11". Raises InputError for anything else."""
    layers: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        try:
            low, high = int(first), int(last if dash else first)
        except ValueError:
            raise InputError(f"Layers are numbers such as 8,9 or 8-11, not {text!r}.") from None
        layers += range(low, min(high, MOST_LAYERS) + 1)  # one too many is told below; a million would fill the memory
    return AgingOptions(mix_layers=tuple(layers)).mix_layers


def parse_age(text: str) -> float:
    """Years from what a person typed, 0 to 100. Raises InputError for anything else."""
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not YOUNGEST <= age <= OLDEST:
        raise InputError(f"An age is a number of years from {YOUNGEST:g} to {OLDEST:g}, not {text!r}.")
    return age
