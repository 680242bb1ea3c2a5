"""Random people and random photo situations; every value follows from a seed.

The order of the draws is part of the format: another order makes other people. Person seeds below 800,000 are for
training, those from 800,000 to 899,999 for validation; no others are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.errors import InputError

LAST_SEED = 899_999
ETHNICITIES = ("caucasian", "african", "asian")
HAIR_COLOURS = ("black", "dkbrown", "brown", "ltbrown", "blond", "red")
EYE_COLOURS = ("brown", "brownlight", "blue", "deepblue", "ice", "green", "grey")
LIGHTS = ("soft", "soft", "side", "rim", "back", "outdoor", "warm")
BEARDS = ("none", "full", "short full", "goatee", "moustache")
GLASSES = ("none", "round", "square", "half")
MODIFIERS, ASYMMETRIES, STYLES = 256, 64, 12
"""Numbers a person keeps for the face's modifiers, its asymmetry, and its own way of ageing."""

_COLOUR_SHARES = {
    "caucasian": (0.10, 0.28, 0.25, 0.15, 0.15, 0.07),
    "asian": (0.70, 0.25, 0.05, 0, 0, 0),
    "african": (0.85, 0.14, 0.01, 0, 0, 0),
}
_EYE_SHARES = {
    "caucasian": (0.24, 0.16, 0.22, 0.08, 0.06, 0.12, 0.12),
    "asian": (0.8, 0.2, 0, 0, 0, 0, 0),
    "african": (0.86, 0.14, 0, 0, 0, 0, 0),
}
_MELANIN = {"caucasian": (0.16, 0.10), "asian": (0.27, 0.10), "african": (0.74, 0.14)}
_WOMENS_HAIR = ("bob01", "bob02", "long01", "long01", "long01", "ponytail01", "short03", "short04")
_MENS_HAIR = ("short01", "short02", "short02", "short03", "short04", "short05")


@dataclass(frozen=True)
class SkinMix:
    """Which skin photographs a person has. Numbers of 0..1 choose among those there are; shares are of the second."""

    tone: tuple[float, float]
    tone_share: float
    relief: tuple[float, float]
    relief_share: float
    mirrored: tuple[bool, bool]


@dataclass(frozen=True)
class Hair:
    """Hair of the head. length, curl, volume: 0..1 within the style; part: -1..1, image-left to image-right."""

    colour: str
    tint: tuple[float, float, float]
    style: str
    length: float
    curl: float
    volume: float
    part: float
    hairline: float
    peak: float
    grey_onset: float
    grey_pace: float
    baldness: float
    bald_onset: float
    bald_crown: float


@dataclass(frozen=True)
class Brows:
    """Thickness, density and arch are 0..1; height in decimetres."""

    thickness: float
    density: float
    arch: float
    height: float


@dataclass(frozen=True)
class Beard:
    """`kind` is one of BEARDS; density, length and stubble are 0..1."""

    kind: str
    density: float
    length: float
    stubble: float


@dataclass(frozen=True)
class Person:
    """Everything that stays the same over a life."""

    seed: int
    female: bool
    ethnicity: str
    ethnicity_mix: tuple[float, ...]
    masculinity: float
    muscle: float
    weight: float
    face: tuple[float, ...]
    asymmetry: tuple[float, ...]
    skin: SkinMix
    melanin: float
    haemoglobin: float
    warmth: float
    hair: Hair
    brows: Brows
    eye_colour: str
    eye_tint: tuple[float, float]
    beard: Beard
    freckles: float
    moles: tuple[tuple[float, float, float], ...]
    ageing_style: tuple[float, ...]
    ageing_rate: float
    glasses: str
    glasses_from: float

    @property
    def gender(self) -> str:
        return "female" if self.female else "male"


@dataclass(frozen=True)
class View:
    """One photo situation. Angles in degrees (yaw > 0 turns the face to image-right); strengths are 0..1."""

    seed: int
    yaw: float
    pitch: float
    roll: float
    body_yaw: float
    gaze: tuple[float, float]
    smile: float
    open: float
    brow: float
    squint: float
    fov: float
    light: str
    light_seed: int
    background_seed: int
    clothes: int
    exposure: float
    makeup: float


def draw_person(seed: int) -> Person:
    """The person of this seed. InputError for seeds that are kept for others."""
    if not 0 <= seed <= LAST_SEED:
        raise InputError(f"Person seed {seed} is outside 0 to {LAST_SEED}; those above are kept for other tests.")
    rng = np.random.default_rng([seed, 1])
    female = bool(rng.random() < 0.5)
    main = int(rng.choice(3, p=[0.46, 0.24, 0.30]))
    mix = np.eye(3)[main]
    if rng.random() < 0.35:
        mix = 0.65 * mix + 0.35 * rng.dirichlet([0.6, 0.6, 0.6])
    ethnicity = ETHNICITIES[main]
    melanin = sum(share * rng.normal(*_MELANIN[name]) for share, name in zip(mix, ETHNICITIES, strict=True))
    body = (
        _normal(rng, 0.02 if female else 1.0, 0.06, *((-0.04, 0.2) if female else (0.85, 1.04))),
        _normal(rng, 0.45 if female else 0.62, 0.14, 0.1, 0.95),
        _normal(rng, 0.5, 0.2, 0.05, 0.95),
    )
    return Person(
        seed, female, ethnicity, tuple(mix.tolist()), *body,
        tuple(rng.normal(0, 1, MODIFIERS).tolist()), tuple(rng.normal(0, 1, ASYMMETRIES).tolist()),
        _draw_skin(rng), float(np.clip(melanin, 0.02, 1)), _normal(rng, 0.25, 0.7, -0.8, 1.5),
        _normal(rng, 0, 0.6, -1.2, 1.2), _draw_hair(rng, female, ethnicity), _draw_brows(rng, female),
        str(rng.choice(EYE_COLOURS, p=_EYE_SHARES[ethnicity])), (float(rng.normal()), float(rng.normal())),
        _draw_beard(rng, female), _freckles(rng, ethnicity),
        tuple((float(a), float(b), float(c)) for a, b, c in rng.random((max(0, int(rng.integers(-2, 5))), 3))),
        tuple(rng.normal(0, 1, STYLES).tolist()), _normal(rng, 1, 0.1, 0.8, 1.2), *_draw_glasses(rng),
    )  # fmt: skip


def _normal(rng: np.random.Generator, mean: float, spread: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, spread), low, high))


def _draw_skin(rng: np.random.Generator) -> SkinMix:
    a, b, c, d, share, relief, left, right = rng.random(8).tolist()
    return SkinMix((a, b), share, (c, d), relief, (left < 0.5, right < 0.5))


def _draw_hair(rng: np.random.Generator, female: bool, ethnicity: str) -> Hair:
    african = ethnicity == "african"
    styles = (_WOMENS_HAIR if female else _MENS_HAIR) + (("afro01",) * 4 if african else ())
    colour = str(rng.choice(HAIR_COLOURS, p=_COLOUR_SHARES[ethnicity]))
    tint = tuple(rng.normal(0, 0.12, 3).tolist())
    style = str(rng.choice(styles))
    length, curl, volume = rng.random(3).tolist()
    curl = 0.75 + 0.25 * curl if african else (0.25 * curl**2 if ethnicity == "asian" else curl**1.7)
    bald = rng.beta(1, 6) * 0.45 if female else rng.beta(1.1, 1.6)
    return Hair(
        colour, tint, style, length, curl, volume, float(rng.uniform(-1, 1)), float(rng.normal()),
        float(max(0, rng.normal(0.1, 0.5))), float(rng.normal(47, 7)), float(rng.uniform(0.8, 1.3)),
        float(bald), float(rng.normal(38, 8)), float(rng.random()),
    )  # fmt: skip


def _draw_brows(rng: np.random.Generator, female: bool) -> Brows:
    thick, density, arch = rng.random(3).tolist()
    return Brows(thick * 0.6 if female else 0.3 + 0.7 * thick, density, 0.3 + 0.7 * arch if female else 0.6 * arch,
                 float(rng.normal(0, 0.018)))  # fmt: skip


def _draw_beard(rng: np.random.Generator, female: bool) -> Beard:
    kind = str(rng.choice(BEARDS, p=[0.62, 0.12, 0.12, 0.07, 0.07]))
    density, length, stubble = rng.random(3).tolist()
    return Beard("none", 0.0, 0.0, 0.0) if female else Beard(kind, density, length, stubble)


def _freckles(rng: np.random.Generator, ethnicity: str) -> float:
    drawn = max(0.0, float(rng.normal(-0.4, 0.6)))
    return min(drawn, 1.0) if ethnicity == "caucasian" else 0.0


def _draw_glasses(rng: np.random.Generator) -> tuple[str, float]:
    """Kind, and the age from which on they are worn."""
    kind = str(rng.choice(GLASSES[1:]))
    wears, since = rng.random(2).tolist()
    return (kind, 8 + 50 * since) if wears < 0.3 else ("none", 0.0)


def _draw_mouth(rng: np.random.Generator) -> tuple[float, float]:
    """How much the person smiles and opens the mouth: broad smiles mostly show teeth."""
    smile, opened, shown = _normal(rng, 0.25, 0.4, 0, 1), _normal(rng, -0.1, 0.18, 0, 0.7), rng.random()
    return smile, max(opened, 0.28 * smile) if smile > 0.45 and shown < 0.6 else opened


def draw_view(seed: int, calm: bool = False) -> View:
    """The photo situation of this seed; calm: milder poses."""
    rng = np.random.default_rng([seed, 2])
    k = 0.55 if calm else 1.0
    return View(
        seed, _normal(rng, 0, 17 * k, -45, 45), _normal(rng, 0, 6 * k, -18, 18), _normal(rng, 0, 3 * k, -12, 12),
        _normal(rng, 0, 13 * k, -40, 40), (_normal(rng, 0, 6 * k, -20, 20), _normal(rng, 0, 3 * k, -10, 10)),
        *_draw_mouth(rng), _normal(rng, 0.06, 0.25, -1, 1),
        _normal(rng, 0, 0.2, 0, 0.6), float(rng.uniform(10, 26)), str(rng.choice(LIGHTS)), int(rng.integers(1 << 30)),
        int(rng.integers(1 << 30)), int(rng.integers(1000)), _normal(rng, 0, 0.12, -0.4, 0.4),
        _normal(rng, 0.1, 0.5, 0, 1.2),
    )  # fmt: skip
