"""Is this face fit to be aged? Clear sentences for a person.

`check_face` refuses what cannot work, `face_warnings` says what may look odd.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from models.errors import InputError
from models.faces.align import align_crop, canonical_landmarks, ffhq_quad
from models.faces.detect import Face

MIN_FACE = 48.0
"""Pixels on the longer side of the face's box below which there is too little to see."""
SOFT_FACE = 96.0
MAX_TURN = 1.2
"""`turn` above which one side of the face is hidden; profiles have 1.4 and more."""
SOME_TURN = 0.75
# Distance of the eyes over that from the eyes to the mouth, seen from the front: mean of the test portraits.
FRONT_RATIO = 0.92
# Of luminance in a 128 px crop: eyes darker than this share of the cheeks are covered; how flat a covered eye is.
DARK_EYES = 0.5
# Blurred portraits lie below, a face of 60 sharp pixels lies above.
MIN_SHARPNESS = 0.03
SIDE = 128


def turn(face: Face) -> float:
    """How far the head is turned aside: about 0 from the front, above 1.4 in profile; positive towards image-right.

    Two signs together: the nose leaves the middle between the eyes, and the eyes come close to each other.
    """
    points = face.landmarks.astype(np.float64)
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    down = mouth - eyes
    length = max(float(np.hypot(*down)), 1e-6)
    aside = np.array([down[1], -down[0]]) / length
    half = max(float((points[1] - points[0]) @ aside) / 2.0, 0.12 * length)
    nose = float((points[2] - eyes) @ aside) / half
    narrow = max(FRONT_RATIO * length / (2.0 * half) - 1.0, 0.0)
    return float(np.copysign(abs(nose) + narrow, nose))


def require_face(faces: Sequence[Face], photo: Image.Image) -> None:
    """InputError if a photo has no face."""
    if not faces:
        raise InputError(
            f"No face was found in this photo of {photo.width} x {photo.height} pixels; "
            "take one that shows a face from the front, in good light."
        )


def check_face(face: Face, photo: Image.Image) -> None:
    """InputError if the face is too small, seen from the side, or mostly outside the photo."""
    if face.size < MIN_FACE:
        raise InputError(
            f"The face is only {face.size:.0f} pixels high and {MIN_FACE:.0f} are needed; "
            "take a larger copy of the photo or one from nearer."
        )
    if abs(turn(face)) > MAX_TURN:
        raise InputError(
            "The face is seen from the side; take a photo that shows it from the front, both eyes in full view."
        )
    if inside(face, photo) < 0.5:
        raise InputError(
            f"Only {inside(face, photo):.0%} of the face are inside the photo; take one that shows the whole face."
        )


def inside(face: Face, photo: Image.Image) -> float:
    """The share of the face's box that lies inside the photo."""
    x, y, width, height = face.box
    across = min(x + width, float(photo.width)) - max(x, 0.0)
    down = min(y + height, float(photo.height)) - max(y, 0.0)
    return max(across, 0.0) * max(down, 0.0) / max(width * height, 1e-6)


def face_warnings(face: Face, photo: Image.Image) -> list[str]:
    """Sentences on what may spoil the result: sunglasses, blur, a turned, small or cut-off face."""
    crop = np.asarray(align_crop(photo, ffhq_quad(face.landmarks), SIDE).convert("L"), dtype=np.float64) / 255.0
    found = []
    if eyes_to_cheeks(crop) < DARK_EYES:
        found.append("The eyes seem to be covered, perhaps by sunglasses; the result may invent them.")
    if face.size < SOFT_FACE:
        found.append(f"The face is small ({face.size:.0f} pixels); a larger photo gives a better result.")
    elif sharpness(crop) < MIN_SHARPNESS:
        found.append("The face is blurred; a sharper photo gives a better result.")
    if abs(turn(face)) > SOME_TURN:
        found.append("The face is turned aside; a photo from the front gives a better result.")
    if inside(face, photo) < 0.9:
        found.append("The face is cut off by the edge of the photo; the missing part stays missing.")
    return found


def _disc(crop: np.ndarray, center: np.ndarray, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: crop.shape[0], : crop.shape[1]]
    return np.asarray(crop[(columns - center[0]) ** 2 + (rows - center[1]) ** 2 <= radius**2])


def eyes_to_cheeks(crop: np.ndarray) -> float:
    """Brightness around the lighter eye over that of the lighter cheek, in a crop (128, 128) of luminance.

    The lighter ones, so that a shadow over half the face is not taken for glasses.
    """
    points = canonical_landmarks(SIDE)
    nose, radius = points[2], 0.07 * SIDE
    # The lightest tenth: an open eye shows white and skin around it, a dark lens shows neither.
    eyes = [np.quantile(_disc(crop, eye, radius), 0.9) for eye in points[:2]]
    cheeks = [np.median(_disc(crop, np.array([eye[0], nose[1]]), 0.06 * SIDE)) for eye in points[:2]]
    return float(max(eyes) / max(*cheeks, 1e-3))


def sharpness(crop: np.ndarray) -> float:
    """Energy of the finest detail over that of all detail, inside the face, in a crop (128, 128) of luminance."""
    middle = crop[SIDE // 4 : -SIDE // 8, SIDE // 4 : -SIDE // 4]
    fine = middle[1:-1, 1:-1] * 4.0 - middle[:-2, 1:-1] - middle[2:, 1:-1] - middle[1:-1, :-2] - middle[1:-1, 2:]
    return float((fine**2).mean() / max(((middle - middle.mean()) ** 2).mean(), 1e-6))
