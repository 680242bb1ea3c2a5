"""How old somebody was in a photo, from what is known; the surest first.

Typed by a person; birth date and the date of the photo; the file's name (MyTimeMachine's `{age}_{idx}.jpg`, decimals
allowed, or "age 42"); the folder's name ("age 40", "40s", or a year such as 1987 with a birth date); what the age
network reads, corrected by this person's own known ages, and marked as an estimate.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePath

import numpy as np

from photos.library.tables import AgeSource

OLDEST = 120.0
DAYS = 365.2425
CONFLICT = 3.0  # years by which two sources may differ
# The convention counts where so many of a folder's names follow it.
MOSTLY = 0.6
CONVENTION = re.compile(r"^(\d{1,3}(?:\.\d{1,4})?)_\d{1,6}$")
SPOKEN = re.compile(r"(?:^|[^a-z])(?:age|aged|at)[ _-]?(\d{1,3})(?!\d)(?:[^a-z0-9]|$)", re.IGNORECASE)
DECADE = re.compile(r"(?:^|[^0-9])([1-9]0)s(?:[^a-z]|$)", re.IGNORECASE)
YEAR = re.compile(r"(?<!\d)(1[89]\d\d|20\d\d)(?!\d)")
LEAST_KNOWN = 4  # ages before the network's readings are corrected by them


@dataclass(frozen=True)
class Known:
    """What is known of a face's photo: its path (of a source), the date taken, a typed age, the network's reading."""

    path: str
    taken: datetime | None
    typed: float | None
    estimate: float


@dataclass(frozen=True)
class Age:
    """Years at the time of the photo; conflict: what another source says, if it differs by more than 3 years."""

    years: float
    source: AgeSource
    conflict: str | None = None


def ages(photos: Sequence[Known], born: date | None) -> list[Age]:
    """The age in each photo of one person."""
    conventional = _conventional_folders(photos)
    sure = [_sure(photo, born, conventional) for photo in photos]
    read = np.array([photo.estimate for photo in photos])
    known = np.array([age.years if age else np.nan for age in sure])
    corrected = correct(read, known)
    return [
        age or Age(float(np.clip(guess, 0, OLDEST)), AgeSource.ESTIMATED)
        for age, guess in zip(sure, corrected, strict=True)
    ]


def between(born: date, taken: datetime) -> float:
    """Years from birth to a photo; negative before birth."""
    return (taken.date() - born).days / DAYS


def in_name(name: str) -> float | None:
    """The age that a file's name says in words: "age 42.jpg", "at 42"."""
    found = SPOKEN.search(PurePath(name).stem)
    return _plausible(float(found[1])) if found else None


def by_convention(name: str) -> float | None:
    """The age in a name such as 42_0007.jpg or 33.4_0001.webp."""
    found = CONVENTION.match(PurePath(name).stem)
    return _plausible(float(found[1])) if found else None


def in_folder(path: str, born: date | None) -> float | None:
    """The age that the folder's name says: "age 40", "40s" (the middle of it), or a year with a birth date."""
    folder = PurePath(path).parent.name
    spoken = SPOKEN.search(folder)
    if spoken:
        return _plausible(float(spoken[1]))
    decade = DECADE.search(folder)
    if decade and not YEAR.search(folder):
        return float(decade[1]) + 5
    year = YEAR.search(folder)
    if year and born:
        # The middle of that year; a child of that year is half as old as the year has gone since its birth.
        age = between(born, datetime(int(year[1]), 7, 1))
        return _plausible(max(age, 0.0)) if age > -1 else None
    return None


def correct(read: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The network's readings (N,) as this person's ages, by the ages that are known (N,) (NaN where they are not).

    A rising line through the known pairs, drawn towards the reading itself as long as they are few.
    """
    have = np.isfinite(known)
    if have.sum() < LEAST_KNOWN:
        return read + (np.median(known[have] - read[have]) * have.sum() / LEAST_KNOWN if have.any() else 0.0)
    x, y = read[have], known[have]
    spread = ((x - x.mean()) ** 2).sum()
    # As if eight more photos, five years around the mean, had been read rightly: no steep line through noise.
    slope = (((x - x.mean()) * (y - y.mean())).sum() + 8 * 25) / (spread + 8 * 25)
    return np.asarray(y.mean() + np.clip(slope, 0.2, 3.0) * (read - x.mean()))


def _sure(photo: Known, born: date | None, conventional: set[str]) -> Age | None:
    """The age by the surest source, with what the next one says if they disagree; None without any."""
    found: list[tuple[float, AgeSource]] = []
    if photo.typed is not None:
        return Age(photo.typed, AgeSource.TYPED)
    if born and photo.taken and -0.5 < between(born, photo.taken) <= OLDEST:
        found.append((max(between(born, photo.taken), 0.0), AgeSource.BIRTH_DATE))
    named = by_convention(photo.path) if _folder(photo.path) in conventional else in_name(photo.path)
    if named is not None:
        found.append((named, AgeSource.FILE_NAME))
    around = in_folder(photo.path, born)
    if around is not None:
        found.append((around, AgeSource.FOLDER))
    if not found:
        return None
    (years, source), rest = found[0], found[1:]
    other = next(((value, kind) for value, kind in rest if abs(value - years) > CONFLICT), None)
    return Age(years, source, f"the {other[1]} says {other[0]:.0f}" if other else None)


def _conventional_folders(photos: Sequence[Known]) -> set[str]:
    """The folders whose files mostly follow the convention, with more than one age or as the only file."""
    names: dict[str, list[float | None]] = {}
    for photo in photos:
        names.setdefault(_folder(photo.path), []).append(by_convention(photo.path))
    return {
        folder for folder, found in names.items() if sum(value is not None for value in found) >= MOSTLY * len(found)
    }


def _folder(path: str) -> str:
    return str(PurePath(path).parent)


def _plausible(years: float) -> float | None:
    return years if 0 <= years <= OLDEST else None
