"""Which of a person's faces train: `selection` over the rows of the database."""

from __future__ import annotations

import numpy as np
from sqlmodel import Session

from photos.library.tables import Belonging, Face, Photo, Use

from . import selection
from .rows import vectors_of

BELIEVED = 0.5  # confidence from which a suggested face may train


def choose(session: Session, found: list[tuple[Face, Photo]], most: int = 50) -> selection.Chosen:
    """Among the faces whose age is known, that are believed to be theirs, of photos that are not put aside."""
    usable = [
        place
        for place, (face, photo) in enumerate(found)
        if face.age is not None
        and not photo.hidden
        and (face.belonging is Belonging.CONFIRMED or face.confidence is None or face.confidence >= BELIEVED)
    ]
    faces = [found[place][0] for place in usable]
    picked = selection.choose(candidates(session, faces), most)
    reasons = ["" for _ in found]
    for place, reason in zip(usable, picked.reasons, strict=True):
        reasons[place] = reason
    where = np.array(usable, int)
    return selection.Chosen(where[picked.places], reasons, where[picked.flagged])


def candidates(session: Session, faces: list[Face]) -> selection.Candidates:
    """What the choice needs to know of these faces."""
    vectors = vectors_of(session, faces)
    return selection.Candidates(
        np.array([face.age or 0.0 for face in faces]),
        np.array([face.quality for face in faces]),
        vectors,
        np.array([face.turn for face in faces]),
        np.array([face.exposure for face in faces]),
        np.array([face.use is Use.ALWAYS for face in faces], bool),
        np.array([face.use is Use.NEVER for face in faces], bool),
        np.array([np.nan if face.early_loss is None else face.early_loss for face in faces], float),
    )
