"""Which faces train a person's model: spread over the ages, good, different from each other, and surely theirs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_QUALITY = 0.25
TWINS = 0.97  # cosine above which two faces are one shot
STRANGE = 3.5  # how many robust deviations a face may be less alike than the others
SPAN = 2.0  # years: faces closer in age compete with each other
NEAR_AGES = 12.0  # years within which faces should look alike


@dataclass(frozen=True)
class Candidates:
    """What is known of N faces: ages in years, quality 0..1, embeddings (N, 128) or None, turn of the head, exposure.

    always, never: what the person said; early_loss: NaN where training has not seen the face; photos: ids.
    """

    ages: np.ndarray
    quality: np.ndarray
    vectors: np.ndarray | None
    turn: np.ndarray
    exposure: np.ndarray
    always: np.ndarray
    never: np.ndarray
    early_loss: np.ndarray


@dataclass(frozen=True)
class Chosen:
    """The places of the faces that train, and for each face why not, if there is a reason ("" if none)."""

    places: np.ndarray
    reasons: list[str]
    flagged: np.ndarray


def choose(faces: Candidates, most: int) -> Chosen:
    """At most `most` faces; those that the person always wants come first, those never wanted never."""
    strange, hard = outliers(faces), hard_to_learn(faces.early_loss)
    reasons = [""] * len(faces.ages)
    for face in range(len(faces.ages)):
        if faces.never[face]:
            reasons[face] = "You left it out"
        elif strange[face]:
            reasons[face] = "It looks unlike the other photos of about that age; is it the same person?"
        elif hard[face]:
            reasons[face] = "It stayed much harder to learn than the others; is it the same person, at this age?"
        elif faces.quality[face] < LEAST_QUALITY:
            reasons[face] = "The photo is too poor"
    allowed = faces.always | np.array([not reason for reason in reasons], bool)
    allowed &= ~faces.never
    picked = _greedy(faces, allowed, most, reasons)
    flagged = np.flatnonzero((strange | hard) & ~faces.never & ~faces.always)
    return Chosen(np.array(sorted(picked), int), reasons, flagged)


def outliers(faces: Candidates) -> np.ndarray:
    """Faces (N,) that are far less like the person's own at near ages than those are like each other."""
    if faces.vectors is None or len(faces.ages) < 6:
        return np.zeros(len(faces.ages), bool)
    cosines = faces.vectors @ faces.vectors.T
    near = np.abs(faces.ages[:, None] - faces.ages) <= NEAR_AGES
    np.fill_diagonal(near, False)
    alone = near.sum(axis=1) < 3  # too few of that age: the nearest in likeness speak, whatever their age
    near[alone] = True
    np.fill_diagonal(near, False)
    best = np.sort(np.where(near, cosines, -2), axis=1)[:, -3:]
    fit = np.where(best > -2, best, 0).sum(axis=1) / np.maximum((best > -2).sum(axis=1), 1)
    middle = np.median(fit)
    deviation = max(1.4826 * np.median(np.abs(fit - middle)), 0.02)
    return np.asarray((fit < middle - STRANGE * deviation) & (fit < 0.6))


def hard_to_learn(losses: np.ndarray) -> np.ndarray:
    """Faces (N,) whose loss early in training is far above the others' (as EL2N scores find wrong labels)."""
    seen = np.isfinite(losses)
    if seen.sum() < 8:
        return np.zeros(len(losses), bool)
    middle = np.median(losses[seen])
    deviation = max(1.4826 * np.median(np.abs(losses[seen] - middle)), 1e-6)
    return np.asarray(seen & (np.nan_to_num(losses, nan=-np.inf) > middle + STRANGE * deviation))


def _greedy(faces: Candidates, allowed: np.ndarray, most: int, reasons: list[str]) -> list[int]:
    """One after another: whoever adds most of quality, of an age that lacks faces, and of a new pose and light."""
    picked = np.flatnonzero(allowed & faces.always)[:most].tolist()
    left = [face for face in np.flatnonzero(allowed).tolist() if face not in set(picked)]
    crowd = sum((_crowding(faces, face) for face in picked), np.zeros(len(faces.ages)))
    looks = np.stack([faces.turn, faces.exposure * 2], axis=1)
    apart = np.full(len(faces.ages), 1.0)
    alike = np.zeros(len(faces.ages))
    for face in picked:
        apart, alike = _closer(faces, looks, apart, alike, face)
    while left and len(picked) < most:
        worth = faces.quality - 0.5 * crowd + 0.2 * apart - 2.0 * (alike > TWINS)
        best = max(left, key=lambda face: (worth[face], -face))
        if alike[best] > TWINS and not faces.always[best]:
            for face in left:
                if alike[face] > TWINS:
                    reasons[face] = reasons[face] or "It is nearly the same as another photo"
            left = [face for face in left if alike[face] <= TWINS]
            continue
        picked.append(best)
        left.remove(best)
        crowd = crowd + _crowding(faces, best)
        apart, alike = _closer(faces, looks, apart, alike, best)
    for face in left:
        reasons[face] = reasons[face] or "There are enough photos of this age"
    return picked


def _crowding(faces: Candidates, face: int) -> np.ndarray:
    """How much a chosen face fills the ages around its own."""
    return np.asarray(np.exp(-(((faces.ages - faces.ages[face]) / SPAN) ** 2)))


def _closer(
    faces: Candidates, looks: np.ndarray, apart: np.ndarray, alike: np.ndarray, face: int
) -> tuple[np.ndarray, np.ndarray]:
    """Distances in pose and light, and likenesses, to the nearest chosen face, with one more chosen."""
    apart = np.minimum(apart, np.linalg.norm(looks - looks[face], axis=1))
    if faces.vectors is not None:
        same = faces.vectors @ faces.vectors[face]
        # Two shots of one moment; the years between far ages make twins unlikely, whatever the network says.
        alike = np.maximum(alike, np.where(np.abs(faces.ages - faces.ages[face]) < 1, same, 0))
    return apart, alike
