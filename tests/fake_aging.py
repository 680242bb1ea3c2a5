"""A quick stand-in for the aging pipeline, for tests of what lies above it: it tints the photo by the target age."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any

from PIL import Image, ImageOps

from photos.io import Photo
from pipelines.errors import InputError
from pipelines.events import CancelToken, Event


@dataclass(frozen=True)
class FakeFace:
    box: tuple[float, float, float, float]
    score: float = 1.0


@dataclass(frozen=True)
class FakeFound:
    face: FakeFace
    age: float
    gender: str
    warnings: tuple[str, ...]
    thumbnail: Image.Image


@dataclass(frozen=True)
class FakeAged:
    target: float
    image: Image.Image
    crop: Image.Image
    age: float
    identity: float
    recipe: dict[str, Any]
    seconds: float
    extrapolated: bool = False


class FakePipeline:
    """As `AgingPipeline`: two faces in a wide photo, one in a tall one, none in a plain one."""

    def __init__(self, steps: int = 4, pause: float = 0.0, error: Exception | None = None) -> None:
        self.steps, self.pause, self.error = steps, pause, error
        self.runtime = SimpleNamespace(device=SimpleNamespace(type="cpu"))
        self.models = SimpleNamespace(choices=lambda: [("Embedded, 128 px", "heads"), ("A model of mine", "mine")])
        self.style: Photo | None = None
        self.ended: list[str] = []

    def find_faces(self, photo: Image.Image) -> list[FakeFound]:
        if len(set(photo.resize((8, 8)).getdata())) == 1:
            raise InputError("No face was found in the photo; choose one where a face looks towards the camera.")
        w, h = photo.size
        boxes = [(0.56 * w, 0.25 * h, 0.2 * w, 0.4 * h), (0.2 * w, 0.3 * h, 0.16 * w, 0.32 * h)]
        if w <= 1.2 * h:
            boxes = [(0.33 * w, 0.1 * h, 0.25 * w, 0.3 * h)]
        faces = [FakeFace(box) for box in boxes]
        return [FakeFound(f, 34.0 + 6 * i, "female", (), cut(photo, f.box)) for i, f in enumerate(faces)]

    def run(
        self,
        photo: Photo,
        targets: Sequence[float],
        options: Any = None,
        face: int = 0,
        cancel: CancelToken | None = None,
        style: Photo | None = None,
    ) -> Iterator[Event]:
        cancel, self.style = cancel or CancelToken(), style
        try:
            yield Event("detect", "Looking at the face")
            yield Event(
                "encode", "A first preview", preview=True, value=self.aged(photo, targets[0], options, face, 0.5)
            )
            for step in range(self.steps):
                cancel.check()
                time.sleep(self.pause)
                left = (self.steps - step) * self.pause
                yield Event("tune", "Learning this face", step, self.steps, left)
            if self.error:
                raise self.error
            made = []
            for i, target in enumerate(targets):
                cancel.check()
                made.append(self.aged(photo, target, options, face, 1.0))
                yield Event("age", f"Age {target:.0f}", i + 1, len(targets), 0.0, value=made[-1])
            yield Event("done", "Done", 1, 1, value=made)
            self.ended.append("done")
        finally:
            self.ended.append("end")

    def aged(self, photo: Photo, target: float, options: Any, face: int, amount: float) -> FakeAged:
        grey = ImageOps.colorize(photo.image.convert("L"), "#201810", "#f4ead8")
        box = self.find_faces(photo.image)[face].face.box
        tinted = photo.image.copy()
        tinted.paste(Image.blend(photo.image, grey, amount * target / 100))
        recipe = {
            "app": "everyage",
            "photo": {"name": photo.path.name, "sha256": photo.sha256},
            "face": face,
            "target": target,
            "options": asdict(options) if options else {},
        }
        beyond = bool(options and options.person) and target > 60
        return FakeAged(target, tinted, cut(tinted, box), target - 2, 0.71, recipe, 0.5, beyond)


def cut(photo: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """The face alone, 128 px."""
    x, y, w, h = box
    return photo.crop((round(x), round(y), round(x + w), round(y + h))).resize((128, 128))
