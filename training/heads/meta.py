"""What is true of a picture, in the words that `training.rendered` and `models.captions.attributes_of_render` read."""

from __future__ import annotations

from typing import Any

from training.heads.looks import BALD_FROM, Looks
from training.heads.people import Person, View


def describe(
    person: Person, age: float, view: View, looks: Looks, landmarks: list[list[float]], *, size: int
) -> dict[str, Any]:
    """One line of `meta.jsonl` but for the file's name.

    landmarks: (5, 2) pixels, centres at whole numbers: eyes, nose tip, mouth corners, image-left first.
    """
    hair = person.hair
    bearded = person.beard.kind != "none" and looks.beard > 0.5
    return {
        "age": age, "seed": person.seed, "view_seed": view.seed, "size": size, "gender": person.gender,
        "ethnicity": person.ethnicity, "ethnicity_mix": list(person.ethnicity_mix), "melanin": person.melanin,
        "eye_colour": person.eye_colour, "hair_colour": hair.colour,
        "hair": hair.style if looks.bald < BALD_FROM else "none", "curl": hair.curl, "grey": looks.grey,
        "baldness": looks.bald, "beard": person.beard.kind if bearded else "none",
        "beard_density": person.beard.density if bearded else 0.0,
        "stubble": person.beard.stubble * looks.beard,
        "glasses": person.glasses if age >= person.glasses_from else "none",
        "expression": {"smile": view.smile, "open": view.open, "brow": view.brow, "squint": view.squint},
        "gaze": list(view.gaze),
        "pose": {"yaw": view.yaw, "pitch": view.pitch, "roll": view.roll, "body_yaw": view.body_yaw},
        "fov": view.fov, "light": view.light, "exposure": view.exposure,
        "makeup": view.makeup if person.female and age > 17 else 0.0, "landmarks": landmarks,
    }  # fmt: skip
