"""The words in which the portraits model knows faces: attributes to captions, and prompts back to attributes.

One vocabulary serves both: the captions of the training pictures, and the check of what a prompt asked for.
"""

from __future__ import annotations

import colorsys
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

HAIR_COLOURS = ("black", "dark brown", "light brown", "brown", "blond", "red", "grey", "white")
HAIR_STYLES = ("short", "long", "bob", "ponytail", "braided", "afro", "balding", "bald")
SKINS = ("fair", "light", "tan", "brown", "dark")
EYES = ("brown", "blue", "green", "grey")
BEARDS = ("full beard", "short beard", "goatee", "moustache", "stubble")
EXPRESSIONS = ("smiling", "open mouth", "frowning", "neutral expression")
TURNS = ("turned to the left", "turned to the right", "facing the camera")
TILTS = ("looking up", "looking down")
LIGHTS = ("soft light", "side light", "rim light", "backlight", "outdoor light", "warm light")
BACKGROUNDS = ("dark", "grey", "bright", "blue", "green", "brown", "purple")
ORIGINS = ("european", "african", "asian")
GENDERS = ("male", "female")
GROWN = 16.0
"""Years from which on captions say man and woman."""
AGE_WORDS: dict[str, tuple[float, float]] = {
    "child": (5, 12.5),
    "teenage": (12.5, 19.5),
    "young": (19.5, 34.5),
    "middle-aged": (34.5, 59.5),
    "old": (59.5, 77.5),
    "very old": (77.5, 95),
}

_HAIR_NAMES = {"dkbrown": "dark brown", "ltbrown": "light brown"}
_STYLE_OF = {"bob01": "bob", "bob02": "bob", "long01": "long", "ponytail01": "ponytail", "braid01": "braided",
             "afro01": "afro", "none": "bald"}  # fmt: skip
_BEARD_OF = {"full": "full beard", "short full": "short beard", "goatee": "goatee", "moustache": "moustache"}
_HUES = ((70, 170, "green"), (170, 250, "blue"), (250, 345, "purple"))
_WOMEN, _MEN = r"wom[ae]n|female|girl|lady|grandmother|grandma", r"m[ae]n|male|boy|guy|gentleman|grandfather|grandpa"


@dataclass(frozen=True)
class Attributes:
    """What is known of a face, or what a prompt asks for; None: nothing was said.

    age: years, or a range of years.
    """

    age: float | tuple[float, float] | None = None
    gender: str | None = None
    origin: str | None = None
    skin: str | None = None
    hair_colour: str | None = None
    hair_style: str | None = None
    eyes: str | None = None
    beard: str | None = None
    expression: str | None = None
    turn: str | None = None
    tilt: str | None = None
    light: str | None = None
    background: str | None = None

    def known(self) -> dict[str, Any]:
        """The attributes that are not None, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def mirrored(self) -> Attributes:
        """The same face in a mirror: left and right change places."""
        swap = {TURNS[0]: TURNS[1], TURNS[1]: TURNS[0]}
        return replace(self, turn=swap.get(self.turn or "", self.turn))


def attributes_of_render(meta: Mapping[str, Any], background: str | None = None) -> Attributes:
    """The attributes of a rendered head from its line in `meta.jsonl`; the background's word is measured elsewhere."""
    expression, pose = meta["expression"], meta["pose"]
    style = _STYLE_OF.get(meta["hair"], "short")
    if meta["baldness"] > 0.45 and style != "bald":
        style = "balding"
    return Attributes(
        age=float(meta["age"]),
        gender=meta["gender"],
        origin={"caucasian": "european"}.get(meta["ethnicity"], meta["ethnicity"]),
        skin=SKINS[sum(meta["melanin"] > limit for limit in (0.15, 0.28, 0.45, 0.7))],
        hair_colour=None if style == "bald" else hair_colour(meta["hair_colour"], meta["grey"]),
        hair_style=style,
        eyes=eye_colour(meta["eye_colour"]),
        beard=_BEARD_OF.get(meta["beard"]) or ("stubble" if meta["stubble"] > 0.45 and meta["age"] > 20 else None),
        expression=expression_word(expression),
        turn=TURNS[2] if abs(pose["yaw"]) < 9 else TURNS[pose["yaw"] > 0],
        tilt=None if abs(pose["pitch"]) < 7 else TILTS[pose["pitch"] < 0],
        light={"soft": "soft light", "side": "side light", "rim": "rim light", "back": "backlight",
               "outdoor": "outdoor light", "warm": "warm light"}[meta["light"]],
        background=background,
    )  # fmt: skip


def hair_colour(colour: str, grey: float) -> str:
    """The word for hair of this born colour of which the share `grey` (0..1) has turned."""
    if grey > 0.95 and colour not in ("black", "dkbrown"):
        return "white"
    return "grey" if grey > 0.4 else _HAIR_NAMES.get(colour, colour)


def eye_colour(name: str) -> str:
    """One of EYES for the renderer's finer names."""
    for word in ("brown", "blue", "ice", "green", "grey"):
        if word in name:
            return "blue" if word == "ice" else word
    return "brown"


def background_word(colour: tuple[float, float, float]) -> str:
    """One of BACKGROUNDS for a colour: red, green and blue in 0..1, as seen beside the head."""
    hue, saturation, value = colorsys.rgb_to_hsv(*colour)
    if value < 0.3:
        return "dark"
    if saturation < 0.13:
        return "grey" if value < 0.72 else "bright"
    degrees = 360 * hue
    return next((word for low, high, word in _HUES if low <= degrees < high), "brown")


def expression_word(expression: Mapping[str, float]) -> str:
    """One of EXPRESSIONS for strengths of 0..1 (brow: negative for a frown)."""
    if expression["smile"] > 0.3:
        return "smiling"
    if expression["open"] > 0.35:
        return "open mouth"
    return "frowning" if expression["brow"] < -0.45 else "neutral expression"


def caption(known: Attributes, rng: random.Random) -> str:
    """One way to say it: some attributes are left out, their order changes, the age is a number or a word."""
    said = [part for part in _phrases(known) if rng.random() < 0.72]
    rng.shuffle(said)
    person = _person(known, rng)
    style = rng.choice(("a photo of", "portrait of", "a portrait photo of", "photo of", ""))
    return ", ".join([f"{style} {person}".strip(), *said])


def _person(known: Attributes, rng: random.Random) -> str:
    """ "a 42 year old asian woman", "an old man", "a person", ..."""
    age = known.age if isinstance(known.age, float) else None
    female = known.gender == "female"
    noun = ("woman" if female else "man") if age is None or age >= GROWN else ("girl" if female else "boy")
    noun = "person" if rng.random() < 0.04 else noun
    words = [known.origin] if known.origin and rng.random() < 0.4 else []
    if age is not None:
        drawn = rng.random()
        if drawn < 0.65:
            words.insert(0, f"{age:.0f} year old")
        elif drawn < 0.9:
            words.insert(0, age_word(age))
    said = " ".join([*words, noun])
    return f"{'an' if said[0] in 'aeiou' or said.startswith(('8', '11 ', '18 ')) else 'a'} {said}"


def _phrases(known: Attributes) -> list[str]:
    hair = "bald" if known.hair_style == "bald" else None
    if hair is None and known.hair_style and known.hair_colour:
        hair = {
            "balding": f"balding, {known.hair_colour} hair",
            "ponytail": f"{known.hair_colour} hair in a ponytail",
            "bob": f"{known.hair_colour} hair in a bob",
        }.get(known.hair_style, f"{known.hair_style} {known.hair_colour} hair")
    eyes = f"{known.eyes} eyes" if known.eyes else None
    skin = f"{known.skin} skin" if known.skin else None
    ground = f"{known.background} background" if known.background else None
    parts = [hair, eyes, skin, known.beard, known.expression, known.turn, known.tilt, known.light, ground]
    return [part for part in parts if part]


def age_word(age: float) -> str:
    """The word of AGE_WORDS for an age in years."""
    return next(word for word, (_, high) in AGE_WORDS.items() if age < high or word == "very old")


def attributes_of(prompt: str) -> Attributes:
    """What a prompt asks for, as far as the vocabulary knows it."""
    text = " ".join(prompt.lower().replace("-", " ").replace("gray", "grey").replace("blonde", "blond").split())
    return Attributes(
        age=_age(text),
        gender=_gender(text),
        origin=_first(text, ORIGINS, "{}"),
        skin=_first(text, SKINS, "{} skin"),
        hair_colour=_hair(text),
        hair_style=_style(text),
        eyes=_first(text, EYES, "{} eyes"),
        beard=_first(text, BEARDS, "{}") or ("full beard" if re.search(r"\bbeard", text) else None),
        expression=_first(text, EXPRESSIONS, "{}") or ("smiling" if re.search(r"\b(smil|laugh)", text) else None),
        turn=_first(text, TURNS, "{}"),
        tilt=_first(text, TILTS, "{}"),
        light=_first(text, LIGHTS, "{}"),
        background=_first(text, BACKGROUNDS, "{} background"),
    )


def _first(text: str, words: tuple[str, ...], form: str) -> str | None:
    return next((word for word in words if re.search(rf"\b{re.escape(form.format(word))}\b", text)), None)


def _age(text: str) -> float | tuple[float, float] | None:
    years = re.search(r"\b(\d{1,3}) ?(?:years? old|yo|y/o|years?)\b", text) or re.search(r"\baged? (\d{1,3})\b", text)
    if years and int(years[1]) <= 120:
        return float(years[1])
    if re.search(r"\b(boy|girl|kid)\b", text) and "teenage" not in text and "child" not in text:
        return (AGE_WORDS["child"][0], GROWN)
    if re.search(r"\b(elderly|grand(mother|father|ma|pa))\b", text):
        return (AGE_WORDS["old"][0], AGE_WORDS["very old"][1])
    longest = sorted(AGE_WORDS, key=len, reverse=True)
    return next((AGE_WORDS[w] for w in longest if re.search(rf"\b{w.replace('-', ' ')}\b", text)), None)


def _gender(text: str) -> str | None:
    if re.search(rf"\b({_WOMEN})\b", text):
        return "female"
    return "male" if re.search(rf"\b({_MEN})\b", text) else None


def _hair(text: str) -> str | None:
    found = re.search(rf"\b({'|'.join(HAIR_COLOURS)})(?: [a-z]+)? hair\b", text)
    return found[1] if found else None


def _style(text: str) -> str | None:
    if re.search(r"\bponytail\b", text):
        return "ponytail"
    found = re.search(r"\b(short|long|braided|afro)(?: [a-z]+){0,2} hair\b", text)
    return found[1] if found else _first(text, ("balding", "bald", "bob", "afro"), "{}")
