"""Faces that overlap: no change of one shows on the other."""

from __future__ import annotations

import numpy as np

from models.faces.quad import canonical_landmarks, crop_to_photo_matrix, ffhq_quad
from pipelines.video.aging.cover import open_share
from pipelines.video.seen import Look, SeenPerson

SIZE = 128


def person(who: int, left: float, side: float, seen: bool = True) -> SeenPerson:
    """Somebody whose square begins at (`left`, 40) and has sides of `side`, in one frame."""
    marks = canonical_landmarks(round(side)) + np.array([left, 40]) if seen else np.full((5, 2), np.nan)
    return SeenPerson(who, marks[None].astype(np.float32), np.array([seen]), np.zeros(128, np.float32), 40, side, 0)


def share(*people: SeenPerson, who: int = 1) -> np.ndarray | None:
    marks = next(each for each in people if each.who == who).landmarks[0]
    return open_share(Look(np.array([[0, 1]]), people), who, 0, ffhq_quad(marks), SIZE)


def at(found: np.ndarray, person_: SeenPerson, of: SeenPerson) -> float:
    """The share at the nose of `of`, in the square of `person_`."""
    matrix = np.vstack([crop_to_photo_matrix(ffhq_quad(person_.landmarks[0]), SIZE), [0, 0, 1]])
    x, y, _ = np.linalg.inv(matrix) @ [*of.landmarks[0, 2], 1]
    return float(found[round(y), round(x)])


def test_nobody_near_leaves_everything_open() -> None:
    assert share(person(1, 0, 100)) is None
    assert share(person(1, 0, 100), person(2, 400, 100)) is None
    assert share(person(1, 0, 100), person(2, 30, 100, seen=False)) is None


def test_of_two_equal_faces_neither_takes_the_other() -> None:
    a, b = person(1, 0, 100), person(2, 45, 100)
    for own, other, who in ((a, b, 1), (b, a, 2)):
        found = share(a, b, who=who)
        assert found is not None and found.shape == (SIZE, SIZE)
        assert at(found, own, other) == 0.0 and at(found, own, own) == 1.0
        assert 0 < ((found > 0.01) & (found < 0.99)).mean() < 0.3


def test_a_small_face_behind_covers_nothing() -> None:
    large, small = person(1, 0, 160), person(2, 60, 80)
    assert share(large, small, who=1) is None
    found = share(large, small, who=2)
    assert found is not None and at(found, small, small) < 0.5
