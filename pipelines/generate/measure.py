"""Whether a portrait shows what its prompt asked for, as far as networks that know nothing of the prompt can tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.captions import attributes_of
from models.errors import InputError
from models.faces.age import load_age_net, load_gender_net
from models.faces.colours import ColourWords, load_colour_words, see_colours
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
LIKELY = 2
"""A colour is met if its word is among so many of the likeliest: neighbours differ by less than the light does."""


@dataclass(frozen=True)
class Reading:
    """What was read in a picture. face: whether one was found; age in years as the network reads it; skin, hair: the
    words for their colours, the likeliest first.
    """

    face: bool
    age: float = 0.0
    gender: str = ""
    skin: tuple[str, ...] = ()
    hair: tuple[str, ...] = ()


class PortraitReader:
    """Reads age, sex and the colours of skin and hair in portraits. Networks come from the runtime's pool."""

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
        words, colours = self._words(), see_colours(large, found[0])
        skin, hair = words["skin"].ranked(colours.skin), words["hair"].ranked(colours.hair)
        return Reading(True, subject.age, subject.gender, skin, hair)

    def _detector(self) -> FaceDetector:
        return self.runtime.pool.get("faces/yunet", lambda: load_detector(self.runtime.device))

    def _words(self) -> dict[str, ColourWords]:
        return self.runtime.pool.get("faces/colours", load_colour_words)

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
    if asked.skin is not None:
        found["skin"] = asked.skin in reading.skin[:LIKELY]
    if asked.hair_colour is not None:
        found["hair"] = asked.hair_colour in reading.hair[:LIKELY]
    return found


def expected_reading(age: float) -> float:
    """What the age network reads in a true render of this age, in years."""
    return float(np.interp(age, TRUE, READ))
