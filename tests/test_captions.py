"""Captions and prompts in one vocabulary, and the figures of pictures."""

from __future__ import annotations

import random

import pytest
import torch

from models.captions import (
    BACKGROUNDS,
    BEARDS,
    EXPRESSIONS,
    EYES,
    GENDERS,
    HAIR_COLOURS,
    HAIR_STYLES,
    LIGHTS,
    ORIGINS,
    SKINS,
    TURNS,
    Attributes,
    attributes_of,
    attributes_of_render,
    background_word,
    caption,
)
from models.pictures import clipped_share, colourfulness, contrast, figures, saturation
from pipelines.generate.measure import Reading, expected_reading, met

META = {
    "age": 72.0, "gender": "female", "ethnicity": "caucasian", "melanin": 0.05, "hair_colour": "blond", "grey": 1.0,
    "hair": "bob01", "baldness": 0.0, "eye_colour": "lightblue", "beard": "none", "stubble": 0.0, "light": "rim",
    "expression": {"smile": 0.6, "open": 0.0, "brow": 0.0}, "pose": {"yaw": -20.0, "pitch": 1.0},
}  # fmt: skip


def test_a_render_is_told_as_it_is() -> None:
    known = attributes_of_render(META, "dark")
    assert known.known() == {
        "age": 72.0, "gender": "female", "origin": "european", "skin": "fair", "hair_colour": "white",
        "hair_style": "bob", "eyes": "blue", "expression": "smiling", "turn": "turned to the left",
        "light": "rim light", "background": "dark",
    }  # fmt: skip
    assert known.mirrored().turn == "turned to the right" and known.mirrored().mirrored() == known
    bald = attributes_of_render({**META, "hair": "none", "gender": "male", "beard": "short full"})
    assert (bald.hair_style, bald.hair_colour, bald.beard) == ("bald", None, "short beard")


def test_what_a_caption_says_is_read_back() -> None:
    rng = random.Random(3)
    said = 0
    for _ in range(400):
        known = Attributes(
            age=float(rng.randint(5, 95)), gender=rng.choice(GENDERS), origin=rng.choice(ORIGINS),
            skin=rng.choice(SKINS), hair_colour=rng.choice(HAIR_COLOURS), hair_style=rng.choice(HAIR_STYLES[:-1]),
            eyes=rng.choice(EYES), beard=rng.choice((None, *BEARDS)), expression=rng.choice(EXPRESSIONS),
            turn=rng.choice(TURNS), light=rng.choice(LIGHTS), background=rng.choice(BACKGROUNDS),
        )  # fmt: skip
        for name, value in attributes_of(caption(known, rng)).known().items():
            said += 1
            if name == "age" and isinstance(value, tuple):
                assert value[0] - 0.5 <= known.age <= value[1] + 0.5  # type: ignore[operator]
            else:
                assert value == getattr(known, name), name
    assert said > 2500


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Grandma with gray hair", {"age": (59.5, 95), "gender": "female", "hair_colour": "grey"}),
        (
            "man, aged 40, long blonde hair",
            {"age": 40.0, "gender": "male", "hair_colour": "blond", "hair_style": "long"},
        ),
        ("a laughing boy", {"age": (5, 16.0), "gender": "male", "expression": "smiling"}),
        ("a 7 yo girl with brown eyes", {"age": 7.0, "gender": "female", "eyes": "brown"}),
        ("a bowl of fruit", {}),
        ("", {}),
    ],
)
def test_free_prompts_are_read_as_far_as_they_go(prompt: str, expected: dict[str, object]) -> None:
    assert attributes_of(prompt).known() == expected


def test_backgrounds_by_colour() -> None:
    colours = {"dark": (0.1, 0.1, 0.2), "grey": (0.5, 0.5, 0.52), "bright": (0.9, 0.9, 0.92), "green": (0.2, 0.6, 0.3),
               "blue": (0.2, 0.3, 0.7), "purple": (0.6, 0.3, 0.6), "brown": (0.6, 0.45, 0.2)}  # fmt: skip
    assert {word: background_word(colour) for word, colour in colours.items()} == {word: word for word in colours}


def test_figures_of_plain_pictures() -> None:
    def plain(red: float, green: float, blue: float) -> torch.Tensor:
        return torch.tensor([red, green, blue]).mul(2).sub(1)[None, :, None, None].expand(1, 3, 4, 4)

    assert saturation(plain(1, 0, 0)).item() == pytest.approx(1)
    assert saturation(plain(0.8, 0.6, 0.4)).item() == pytest.approx(0.5)
    assert saturation(plain(0, 0, 0)).item() == 0
    half = torch.cat([plain(0, 0, 0), plain(1, 1, 1)], dim=3)
    assert contrast(half).item() == pytest.approx(0.5)
    assert clipped_share(half).item() == 1
    assert clipped_share(plain(0.5, 0.5, 1.0)).item() == 1  # one colour at its end is enough
    assert clipped_share(torch.cat([plain(0.5, 0.5, 0.5), plain(0.5, 0, 0.5)], 3)).item() == pytest.approx(0.5)
    assert colourfulness(plain(0.5, 0.5, 0.5)).item() == 0
    assert colourfulness(plain(1, 0, 0)).item() == pytest.approx(0.3 * (1 + 0.25) ** 0.5)
    assert figures(half)[0] == {"saturation": 0.0, "contrast": 0.5, "clipped": 1.0, "colourfulness": 0.0}


def test_prompts_are_checked_against_what_was_read() -> None:
    assert met("a 45 year old man", Reading(True, 30.0, "male")) == {"face": True, "gender": True, "age": True}
    assert met("a 45 year old man", Reading(True, 45.0, "female")) == {"face": True, "gender": False, "age": False}
    assert met("an old woman", Reading(False)) == {"face": False, "gender": False, "age": False}
    seen = Reading(True, 30.0, "male", ("tan", "light", "fair"), ("grey", "white", "blond"))
    assert met("a man, white hair, fair skin", seen) == {"face": True, "gender": True, "hair": True, "skin": False}
    assert met("blond hair, dark skin", Reading(False)) == {"face": False, "hair": False, "skin": False}
    assert met("blue eyes", Reading(True, 30.0, "male")) == {"face": True}
    assert expected_reading(75) == 44.8
