"""What a person may choose when Everyage learns how somebody ages."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from models.errors import InputError
from pipelines.aging.options import EMBEDDED

PRESETS = ("everyage", "official")
MOST_STEPS = 100_000
MOST_PHOTOS = 1000


@dataclass(frozen=True)
class PersonalizeOptions:
    """How a personal model is trained.

    preset: one of PRESETS. steps: None as many as the preset has. seed: of everything drawn at random.
    photos: how many of the collection's photos at most. model: "heads", or the id of an added SAM model.
    """

    preset: str = "everyage"
    steps: int | None = None
    seed: int = 0
    photos: int = 50
    model: str = EMBEDDED

    def __post_init__(self) -> None:
        """Raises InputError for a value that can't be used."""
        if self.preset not in PRESETS:
            raise InputError(f"There is no preset {self.preset!r}; choose one of {', '.join(PRESETS)}.")
        checks = [("steps", self.steps, 1, MOST_STEPS), ("photos", self.photos, 2, MOST_PHOTOS)]
        checks.append(("seed", self.seed, 0, 2**31 - 1))
        for name, value, low, high in checks:
            if value is None and name == "steps":
                continue
            if type(value) is not int or not low <= value <= high:
                raise InputError(f"The {name} must be a whole number from {low} to {high}, not {value!r}.")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
