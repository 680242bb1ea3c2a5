"""The colours of skin and hair as a picture shows them, and the words that they are read as.

Light colours a picture as much as pigment does, so a colour is never one word: the words are ranked by Mahalanobis
distance (linear discriminant analysis, Fisher 1936) to what rendered heads of each word look like in all lights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from models.assets import asset_path
from models.errors import EveryageError
from models.faces.detect import Face

ASSET = "faces/colour_names.json"
# (across, down) from the middle of the eyes, in eye-to-mouth distances along the face's own axes.
SKIN_PLACES = ((-0.45, 0.5), (0.45, 0.5), (0.0, -0.35), (0.0, 0.45), (-0.3, -0.3), (0.3, -0.3))
HAIR_PLACES = ((-0.6, -1.3), (-0.3, -1.3), (0.0, -1.3), (0.3, -1.3), (0.6, -1.3))
PATCH = 0.14
"""Half the side of a patch, in eye-to-mouth distances."""


@dataclass(frozen=True)
class Colours:
    """CIE L*a*b* of skin and hair, each (3,): the median over patches; NaN where the picture ends before."""

    skin: np.ndarray
    hair: np.ndarray


@dataclass(frozen=True)
class ColourWords:
    """Words (K), what they look like on average (K, 3), and the inverse (3, 3) of what they vary by."""

    words: tuple[str, ...]
    means: np.ndarray
    precision: np.ndarray

    def ranked(self, colour: np.ndarray) -> tuple[str, ...]:
        """All words, the likeliest first; none for a colour that could not be seen."""
        if not np.isfinite(colour).all():
            return ()
        gaps = self.means - colour
        order = np.einsum("ki,ij,kj->k", gaps, self.precision, gaps).argsort(kind="stable")
        return tuple(self.words[i] for i in order)


def see_colours(photo: Image.Image, face: Face) -> Colours:
    """The colours of a face in a photo (PIL RGB)."""
    lab = cv2.cvtColor(np.asarray(photo.convert("RGB"), dtype=np.float32) / 255, cv2.COLOR_RGB2LAB)
    points = face.landmarks.astype(np.float64)
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    across = np.array([down[1], -down[0]])
    reach = max(1, int(PATCH * float(np.linalg.norm(down))))

    def median(places: tuple[tuple[float, float], ...]) -> np.ndarray:
        seen = [_patch(lab, eyes + x * across + y * down, reach) for x, y in places]
        found = [np.median(patch, axis=0) for patch in seen if len(patch)]
        return np.median(found, axis=0) if found else np.full(3, np.nan)

    return Colours(median(SKIN_PLACES), median(HAIR_PLACES))


def _patch(lab: np.ndarray, middle: np.ndarray, reach: int) -> np.ndarray:
    x, y = int(middle[0]), int(middle[1])
    rows, columns = slice(max(y - reach, 0), max(y + reach + 1, 0)), slice(max(x - reach, 0), max(x + reach + 1, 0))
    return lab[rows, columns].reshape(-1, 3)


def fit_words(words: tuple[str, ...], colours: np.ndarray, named: np.ndarray) -> ColourWords:
    """Words from examples: colours (N, 3), named (N,) as places in `words`. Each word needs two examples."""
    means = np.stack([colours[named == k].mean(0) for k in range(len(words))])
    gaps = colours - means[named]
    return ColourWords(words, means, np.linalg.inv(gaps.T @ gaps / (len(gaps) - len(words))))


def load_colour_words() -> dict[str, ColourWords]:
    """The words for "skin" and "hair". Raises EveryageError if the file is missing or damaged."""
    path = asset_path(ASSET)
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: ColourWords(tuple(one["words"]), np.array(one["means"]), np.array(one["precision"]))
            for name, one in stored["colours"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EveryageError(f"The file {path} is damaged ({error}); install the app again.") from error
