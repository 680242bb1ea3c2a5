"""What one tab knows: its photo and the results made of it. Values only; every change makes a new one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ui.pictures import close_up, data_uri
from ui.views import FaceBox, Picture, years

if TYPE_CHECKING:
    from photos.io import Photo
    from pipelines.aging import AgingOptions, FoundFace

WHOLE, FACE = "Whole photo", "Face"
CARE_STEPS = {"Quick": 40, "Normal": 120, "Careful": 300}
FORMATS = ("PNG", "JPEG", "WebP")
STRIP_AGES = "5, 20, 35, 50, 65, 80"
OWN, GLOBAL, BOTH = "Their own aging", "Everybody's", "Both side by side"
WHOSE = (OWN, GLOBAL, BOTH)
RANGES = {"target": (0, 100), "strength": (0, 2), "detail": (0, 1), "seed": (0, 2**31 - 1), "amount": (0, 1)}


@dataclass(frozen=True)
class Choices:
    """The settings of the page, as remembered and as read back from a result. Names follow `AgingOptions`.

    person: the folder of somebody whose own aging was learnt, or ""; whose: with such a person, one of WHOSE.
    """

    target: float = 70
    strength: float = 1.0
    detail: float = 1.0
    care: str = "Normal"
    seed: int = 0
    ages: str = STRIP_AGES
    format: str = "PNG"
    model: str = "heads"
    official: bool = False
    layers: str = ""
    amount: float = 1.0
    person: str = ""
    whose: str = OWN

    @property
    def both(self) -> bool:
        """Whether the person's own aging is to be compared with everybody's."""
        return bool(self.person) and self.whose == BOTH

    def options(self) -> AgingOptions:
        """The same for the pipeline. Raises InputError for layers that are none."""
        from pipelines.aging import EMBEDDED, AgingOptions, parse_layers

        return AgingOptions(
            strength=self.strength,
            detail=self.detail,
            # How long an added model needs depends on the device: the pipeline knows what suits it.
            tune_steps=CARE_STEPS[self.care] if self.model == EMBEDDED else None,
            seed=int(self.seed),
            model=self.model,
            official=self.official,
            mix_layers=parse_layers(self.layers),
            mix_amount=self.amount,
            person="" if self.whose == GLOBAL else self.person,
        )

    def values(self) -> tuple[Any, ...]:
        """The values in the order of the fields, which is the order of the page's controls."""
        return tuple(asdict(self).values())

    def updated(self, given: Mapping[str, Any]) -> Choices:
        """These choices with every usable value of `given`; it may come from a stranger's file, so each is checked."""
        known = {f.name: given[f.name] for f in fields(self) if f.name in given}
        steps = given.get("tune_steps")
        if isinstance(steps, int | float) and math.isfinite(steps):
            known["care"] = min(CARE_STEPS, key=lambda name: abs(CARE_STEPS[name] - steps))
        mixed = given.get("mix_layers")
        if isinstance(mixed, list) and all(type(layer) is int for layer in mixed):
            known |= {"layers": ",".join(map(str, mixed)), "amount": given.get("mix_amount")}
        return replace(self, **{name: value for name, value in known.items() if _usable(name, value)})


def _usable(name: str, value: Any) -> bool:
    if name in RANGES:
        low, high = RANGES[name]
        return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    if name == "official":
        return isinstance(value, bool)
    if name in ("ages", "layers", "model", "person"):
        return isinstance(value, str) and len(value) < 200
    if name == "whose":
        return value in WHOSE
    return isinstance(value, str) and value in (CARE_STEPS if name == "care" else FORMATS)


@dataclass(frozen=True)
class PhotoState:
    """The photo of the tab and its faces; `whole` and `near` are data addresses of the photo and the chosen face."""

    photo: Photo | None = None
    name: str = ""
    faces: tuple[FoundFace, ...] = ()
    chosen: int = 0
    whole: str = ""
    near: str = ""

    @classmethod
    def of(cls, photo: Photo, name: str, faces: tuple[FoundFace, ...]) -> PhotoState:
        """A photo just opened; its largest face is chosen."""
        return cls(photo, name, faces, 0, data_uri(photo.image)).choose(0)

    def choose(self, index: int) -> PhotoState:
        """The same photo with another face chosen; an index out of range changes nothing."""
        if self.photo is None or not 0 <= index < len(self.faces):
            return self
        near = data_uri(close_up(self.photo.image, self.faces[index].face.box))
        return replace(self, chosen=index, near=near)

    @property
    def face(self) -> FoundFace | None:
        """The chosen face."""
        return self.faces[self.chosen] if self.faces else None

    def boxes(self) -> list[FaceBox]:
        """The faces' boxes in per cent of the photo."""
        if self.photo is None:
            return []
        width, height = self.photo.image.size
        scale = (100 / width, 100 / height, 100 / width, 100 / height)
        found = []
        for face in self.faces:
            left, top, across, down = (v * s for v, s in zip(face.face.box, scale, strict=True))
            found.append(FaceBox((left, top, across, down), face.age))
        return found

    def picture(self, near: bool) -> Picture:
        """The photo as it is, or its chosen face, for the page."""
        age = f"about {years(self.face.age)}" if self.face else "the photo"
        return Picture(self.near if near else self.whole, f"{self.name} now, {age}", f"Now · {age}")


@dataclass(frozen=True)
class Made:
    """One result as the page shows it; the full picture is the file `path`.

    rival: the same age by everybody's aging, whole and near, to compare with; extrapolated: the person's own aging was
    learnt from photos of other ages only.
    """

    target: float
    whole: str
    near: str
    thumbnail: str
    age: float | None = None
    identity: float | None = None
    preview: bool = False
    path: Path | None = None
    rival: tuple[str, str] | None = None
    extrapolated: bool = False

    def picture(self, name: str, near: bool) -> Picture:
        """The result, or its face, for the page."""
        shown = self.near if near and self.near else self.whole
        age = years(self.target)
        if self.rival:
            return Picture(shown, f"{name} at {age} by their own aging", f"Their own at {age}")
        return Picture(shown, f"{name} at {age}", f"At {age}")

    def other(self, name: str, near: bool) -> Picture | None:
        """The same by everybody's aging, if it is to be compared with."""
        if self.rival is None:
            return None
        return Picture(self.rival[near], f"{name} at {years(self.target)} by everybody's aging", "Everybody's")


@dataclass(frozen=True)
class Shelf:
    """The results of the present photo and face, by rising age. `alone`: a result shown without its photo."""

    made: tuple[Made, ...] = ()
    shown: int | None = None
    strip_path: Path | None = None
    alone: Picture | None = None
    alone_path: Path | None = None

    @property
    def current(self) -> Made | None:
        """The result that is shown."""
        return None if self.shown is None else self.made[self.shown]

    def put(self, made: Made) -> Shelf:
        """With this result, shown, in place of an earlier one of the same age."""
        others = [m for m in self.made if years(m.target) != years(made.target)]
        row = tuple(sorted([*others, made], key=lambda m: m.target))
        return replace(self, made=row, shown=row.index(made), alone=None)

    def show(self, index: int) -> Shelf:
        """With another result shown; an index out of range changes nothing."""
        return replace(self, shown=index, alone=None) if 0 <= index < len(self.made) else self

    @property
    def finished(self) -> tuple[Made, ...]:
        """The results that are no mere previews."""
        return tuple(m for m in self.made if not m.preview)
