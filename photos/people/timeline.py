"""Which ages a collection covers, and where more photos would help."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from photos.library.tables import AgeSource

from .views import FaceView, Timeline, Year

WIDE = 5.0  # years without a photo that are a gap
FEW = 3  # photos in ten years below which more would help


def timeline(faces: Sequence[FaceView]) -> Timeline:
    """The years of the faces whose age is known."""
    known = [face for face in faces if face.age is not None]
    years = []
    for age in sorted({int(face.age or 0) for face in known}):
        there = [face for face in known if int(face.age or 0) == age]
        guessed = sum(face.age_source is AgeSource.ESTIMATED for face in there)
        years.append(Year(age, len(there), float(np.mean([face.quality for face in there])), guessed))
    ages = sorted(face.age or 0.0 for face in known)
    covered = (ages[0], ages[-1]) if ages else None
    gaps = tuple(pair for pair in pairwise(ages) if pair[1] - pair[0] >= WIDE)
    return Timeline(tuple(years), covered, gaps, tuple(_sentences(ages, gaps, known)))


def _sentences(ages: list[float], gaps: tuple[tuple[float, float], ...], faces: Sequence[FaceView]) -> list[str]:
    if not ages:
        return ["No photo has an age yet; give a birth date, or type the ages."]
    told = [f"No photo between {low:.0f} and {high:.0f} years: some from there would help most." for low, high in gaps]
    for decade in range(int(ages[0] // 10) * 10, int(ages[-1]) + 1, 10):
        count = sum(decade <= age < decade + 10 for age in ages)
        if 0 < count < FEW and len(ages) > FEW:
            told.append(f"Only {count} photo{'s' if count > 1 else ''} between {decade} and {decade + 10} years.")
    if ages[-1] - ages[0] < WIDE:
        told.append("All photos are of about one age: photos from other years show how the person changes.")
    guessed = sum(face.age_source is AgeSource.ESTIMATED for face in faces)
    if guessed:
        told.append(f"{guessed} of {len(faces)} ages are estimates; a birth date or typed ages would be surer.")
    return told
