"""Whether a portrait shows what its prompt asked for, as far as networks that know nothing of the prompt can tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.captions import attributes_of
from models.errors import InputError
from models.faces.age import load_age_net, load_gender_net
from models.faces.detect import FaceDetector, detect_faces, load_detector
from models.faces.identity import load_identity_net
from models.faces.person import load_person_net
from pipelines.aging.subject import Readers, prepare
from pipelines.runtime import Runtime

READ_AT = 256
"""Side in pixels at which faces are looked for: smaller portraits are enlarged."""
TRUE = (10.0, 20.0, 30.0, 45.0, 60.0, 75.0, 90.0)
READ = (18.3, 26.1, 27.0, 28.4, 32.6, 44.8, 54.7)
"""What the age network reads in renders of heads of the ages `TRUE`: it sees less age than is meant."""
NEAR = 8.0
"""An age is met if the reading is within so many years of what true renders of that age are read as."""


@dataclass(frozen=True)
class Reading:
    """What was read in a picture. face: whether one was found; age in years as the network reads it."""

    face: bool
    age: float = 0.0
    gender: str = ""


class PortraitReader:
    """Reads age and sex in portraits. Networks come from the runtime's pool."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def read(self, image: Image.Image) -> Reading:
        """The largest face of a picture (PIL RGB)."""
        side = max(READ_AT, *image.size)
        large = image.resize((side, round(side * image.height / image.width)), Image.Resampling.BICUBIC)
        found = detect_faces(large, self._detector())
        if not found:
            return Reading(False)
        try:
            subject = prepare(large, found[0], self._readers())
        except InputError:  # a face that can't be aligned is none that a person would see
            return Reading(False)
        return Reading(True, subject.age, subject.gender)

    def _detector(self) -> FaceDetector:
        return self.runtime.pool.get("faces/yunet", lambda: load_detector(self.runtime.device))

    def _readers(self) -> Readers:
        device = self.runtime.device
        return self.runtime.pool.get(
            "faces/readers",
            lambda: Readers(
                load_age_net(device), load_gender_net(device), load_identity_net(device), load_person_net(device)
            ),
        )


def met(prompt: str, reading: Reading) -> dict[str, bool]:
    """For each thing that the prompt asks for and that can be read: whether it is there."""
    asked = attributes_of(prompt)
    found = {"face": reading.face}
    if asked.gender is not None:
        found["gender"] = reading.face and reading.gender == asked.gender
    if asked.age is not None:
        low, high = asked.age if isinstance(asked.age, tuple) else (asked.age, asked.age)
        bounds = expected_reading(low) - NEAR, expected_reading(high) + NEAR
        found["age"] = reading.face and bounds[0] <= reading.age <= bounds[1]
    return found


def expected_reading(age: float) -> float:
    """What the age network reads in a true render of this age, in years."""
    return float(np.interp(age, TRUE, READ))
