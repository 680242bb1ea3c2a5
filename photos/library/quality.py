"""How useful a face is for learning what a person looks like: figures, an overall score, and what is wrong in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from models.faces.checks import (
    DARK_EYES,
    MAX_TURN,
    MIN_FACE,
    MIN_SHARPNESS,
    SIDE,
    SOFT_FACE,
    SOME_TURN,
    eyes_to_cheeks,
    inside,
    sharpness,
    turn,
)
from models.faces.detect import Face

DARK, LIGHT = 0.16, 0.86  # mean luminance of a face outside of which its skin has no detail left
FLAT = 0.06  # standard deviation of luminance in the face below which it is fog
UNSURE = 0.8  # the detector's score below which something may be no face
GOOD_SIZE = 160.0  # pixels; more do not help a crop that is used at 256


@dataclass(frozen=True)
class Quality:
    """Figures of one face.

    size: longer side of the box, pixels; sharpness: share of the finest detail, see `models.faces.checks`; exposure:
    mean luminance of the face, 0 black to 1 white; contrast: its standard deviation; turn: 0 from the front, above 1.4
    in profile, positive towards image-right; inside: share of the face that the photo shows; eyes: brightness of the
    eyes over that of the cheeks, low under sunglasses; score: the detector's.
    """

    size: float
    sharpness: float
    exposure: float
    contrast: float
    turn: float
    inside: float
    eyes: float
    score: float

    @property
    def overall(self) -> float:
        """0 (useless) to 1: every flaw takes its share, and one grave flaw is enough to spoil a face."""
        factors = (
            _ramp(self.size, MIN_FACE / 2, GOOD_SIZE, least=0.1),
            _ramp(self.sharpness, MIN_SHARPNESS / 4, MIN_SHARPNESS * 1.2, least=0.1) if self._shows_blur else 1.0,
            _ramp(self.exposure, DARK / 2, DARK * 1.6, least=0.2),
            _ramp(-self.exposure, -(1 + LIGHT) / 2, -LIGHT * 0.92, least=0.2),
            _ramp(self.contrast, FLAT / 2, FLAT * 1.5, least=0.3),
            _ramp(-abs(self.turn), -MAX_TURN - 0.2, -SOME_TURN * 0.8, least=0.15),
            _ramp(self.inside, 0.5, 0.95, least=0.1),
            _ramp(self.eyes, DARK_EYES * 0.5, DARK_EYES * 1.2, least=0.3),
            _ramp(self.score, 0.65, 0.9, least=0.3),
        )
        return float(np.prod(factors))

    @property
    def reasons(self) -> list[str]:
        """What is wrong, one sentence each, the gravest kinds first; empty for a good face."""
        turned = abs(self.turn)
        found = {
            "This may be no face.": self.score < UNSURE,
            f"The face is only {self.size:.0f} pixels large.": self.size < SOFT_FACE,
            "The face is blurred.": self._shows_blur and self.sharpness < MIN_SHARPNESS,
            "The face is seen from the side.": turned > MAX_TURN,
            "The face is turned aside.": SOME_TURN < turned <= MAX_TURN,
            "The eyes seem to be covered.": self.eyes < DARK_EYES,
            f"Only {self.inside:.0%} of the face are inside the photo.": self.inside < 0.9,
            "The face is too dark.": self.exposure < DARK,
            "The face is too light.": self.exposure > LIGHT,
            "The face has hardly any contrast.": self.contrast < FLAT,
        }
        return [sentence for sentence, holds in found.items() if holds]

    @property
    def _shows_blur(self) -> bool:
        """A small face looks blurred at any size above its own: its size says enough."""
        return self.size >= SOFT_FACE


def judge(face: Face, photo: Image.Image, aligned: Image.Image) -> Quality:
    """The figures of a face in its photo (PIL RGB, upright), `aligned` being its FFHQ-aligned crop of any size."""
    grey = aligned.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    crop = np.asarray(grey, dtype=np.float64) / 255.0
    middle = crop[SIDE // 4 : -SIDE // 8, SIDE // 4 : -SIDE // 4]
    return Quality(
        face.size,
        sharpness(crop),
        float(middle.mean()),
        float(middle.std()),
        turn(face),
        min(inside(face, photo), 1.0),
        eyes_to_cheeks(crop),
        face.score,
    )


def _ramp(value: float, low: float, high: float, least: float) -> float:
    """`least` up to `low`, 1 from `high` on, straight between."""
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return least + (1.0 - least) * share
