"""Dates, ages and numbers of the People page in a person's words, and what is read from its fields."""

from __future__ import annotations

import math
from datetime import date, datetime

from pipelines.errors import InputError

CONSENT = (
    "Everyage may compute numeric descriptions (embeddings) of the faces in the photos of {name}, to tell {name} from "
    "others and to learn how {name} ages. They stay on this machine, are used for nothing else, and are deleted when "
    "consent is withdrawn or {name} is forgotten. {name} agrees, or I may decide for {name}."
)
COLLECTION_CONSENT = (
    "Everyage may compute a numeric description (an embedding) of every face in this collection, to group the photos "
    "of each person. It stays on this machine, is used for nothing else, and is deleted when consent is withdrawn. "
    "The people shown agree, or I may decide for them."
)
OLDEST = 130


def parse_day(text: str) -> date | None:
    """YYYY-MM-DD as a day; empty is None. Raises InputError for anything else."""
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip())
    except ValueError as error:
        raise InputError(f"{text.strip()!r} is no date; write it as 1961-05-03.") from error


def parse_years(text: str) -> float | None:
    """An age in years, 0 to 130; empty is None. Raises InputError for anything else."""
    if not text.strip():
        return None
    try:
        value = float(text.strip().replace(",", "."))
    except ValueError:
        value = math.nan
    if not 0 <= value <= OLDEST:
        raise InputError(f"{text.strip()!r} is no age; write years from 0 to {OLDEST}, such as 42.")
    return value


def day(when: date | datetime) -> str:
    """ "3 May 1961"."""
    return f"{when.day} {when:%B %Y}"


def years(age: float) -> str:
    """An age as a person says it: whole years, a small child's with its fraction."""
    if age < 0.95:
        months = round(12 * age)
        return "newborn" if months == 0 else f"{months} months" if months > 1 else "1 month"
    return f"{age:.1f}".removesuffix(".0") if age < 3 else f"{age:.0f}"


def span(ages: tuple[float, float] | None) -> str:
    """ "ages 20 to 40", "age 20", or "no ages yet"."""
    if ages is None:
        return "no ages yet"
    low, high = years(ages[0]), years(ages[1])
    return f"age {low}" if low == high else f"ages {low} to {high}"


def count(number: int, one: str, many: str | None = None) -> str:
    """ "1 photo", "1,204 photos"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def field_age(age: float | None) -> str:
    """An age as it stands in its field: at most one digit after the point."""
    return "" if age is None else f"{age:.1f}".removesuffix(".0")
