"""What a person looks like at an age beyond shape: skin tone, hair's colour, greying and loss, as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.heads.noise import smooth
from training.heads.people import Person

# Linear RGB of the middle of a face's skin at four amounts of melanin.
_TONE_LEVELS = (0.0, 0.3, 0.62, 1.0)
_TONES = np.log([(0.74, 0.455, 0.345), (0.58, 0.325, 0.215), (0.28, 0.142, 0.082), (0.080, 0.042, 0.027)])
_HAIR = {"black": (0.012, 0.010, 0.009), "dkbrown": (0.032, 0.019, 0.012), "brown": (0.075, 0.041, 0.023),
         "ltbrown": (0.14, 0.086, 0.049), "blond": (0.35, 0.232, 0.122), "red": (0.18, 0.055, 0.019)}  # fmt: skip
_WHITE = np.array([0.52, 0.51, 0.49])
BALD_FROM = 0.93
"""Share of hair lost from which on a head is called bald."""
GROWN_BEARD = 17.0
"""Years at which a beard begins to show."""


@dataclass(frozen=True)
class Looks:
    """Colours are linear RGB (3,); `grey`, `bald`, `thin` and `beard` are shares of 0..1."""

    skin: np.ndarray
    hair: np.ndarray
    turned: np.ndarray
    grey: float
    bald: float
    thin: float
    beard: float


def looks_at(person: Person, age: float) -> Looks:
    """The person's colours at `age` years."""
    hair = person.hair
    grey = smooth(hair.grey_onset - 12, hair.grey_onset + 22 * hair.grey_pace, age)
    born = np.array(_HAIR[hair.colour]) * np.exp(np.array(hair.tint) * 0.6)
    if hair.colour != "black":
        # Children are fairer than they will be.
        born = born * (1 + 0.6 * (1 - smooth(4, 18, age)))
    bald = hair.baldness * 1.15 * smooth(hair.bald_onset - 12, hair.bald_onset + 30, age)
    thin = (0.25 if person.female else 0.35) * smooth(45, 92, age)
    grown = smooth(GROWN_BEARD, GROWN_BEARD + 6, age)
    # Hairs that have turned whiten for decades.
    turned = _WHITE * (0.5 + 0.5 * smooth(48, 88, age))
    return Looks(skin_tone(person, age), born, turned, grey, min(1.0, bald), thin, grown)


def skin_tone(person: Person, age: float) -> np.ndarray:
    """Linear RGB of the middle of the face."""
    melanin = min(1.0, person.melanin + 0.025 * smooth(30, 80, age))
    tone = np.array([np.interp(melanin, _TONE_LEVELS, _TONES[:, i]) for i in range(3)])
    blood = person.haemoglobin + 0.25 * (1 - smooth(8, 20, age))
    tone = tone + np.array([0.02, -0.032, -0.035]) * blood + np.array([0.0, -0.01, -0.10]) * person.warmth
    # Old skin is thinner and yellower.
    return np.exp(tone + np.array([-0.03, -0.04, -0.08]) * smooth(42, 88, age))
