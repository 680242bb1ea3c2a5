"""What `app.py photos` says about the collection: facts for programs, lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from photos.library import ImportReport, LikenessView, PhotoView
    from photos.people import FaceView, PersonView

NOBODY = "Nobody yet: import photos with --person NAME."


def import_facts(report: ImportReport) -> dict[str, Any]:
    """An import's numbers, and what it refused (the first hundred)."""
    numbers = ("added", "known", "refused", "ignored", "faces", "faceless", "seconds")
    facts: dict[str, Any] = {name: getattr(report, name) for name in numbers}
    return facts | {"problems": [vars(problem) for problem in report.problems]}


def import_lines(report: ImportReport) -> list[str]:
    """The refused files with their reasons, then the numbers in a sentence."""
    lines = [f"{problem.path}: {problem.reason}" for problem in report.problems]
    more = report.refused - len(lines)
    return [*lines, *([f"... and {more} more."] if more > 0 else []), report.sentence()]


def photo_facts(view: PhotoView) -> dict[str, Any]:
    """A photo of the collection."""
    return {
        "id": view.id,
        "name": view.name,
        "path": str(view.path) if view.path else None,
        "sha256": view.sha256,
        "taken": view.taken.isoformat() if view.taken else None,
        "taken_source": view.taken_source,
        "size": [view.width, view.height],
        "faces": view.faces,
        "quality": view.quality,
        "hidden": view.hidden,
    }


def photo_line(view: PhotoView) -> str:
    """A photo of the collection."""
    taken = f"{view.taken:%Y-%m-%d}" if view.taken else "no date"
    return f"{view.id:>6}  {taken:<10}  {view.faces} faces  {view.name}{'  (hidden)' if view.hidden else ''}"


def face_facts(face: FaceView, photo: PhotoView) -> dict[str, Any]:
    """A person's face, with its photo's facts."""
    about = {"face": face.id, "age": face.age, "age_source": face.age_source, "belonging": face.belonging}
    return photo_facts(photo) | about | {"quality": face.quality}


def face_line(row: dict[str, Any]) -> str:
    """A row of `face_facts`."""
    source = row["age_source"] or ""
    return f"{row['face']:>6}  {age(row['age']):>10}  {source:<10}  {row['belonging']:<9}  {row['name']}"


def person_facts(view: PersonView) -> dict[str, Any]:
    """A person of the collection."""
    return {
        "name": view.name,
        "born": view.born.isoformat() if view.born else None,
        "faces": view.faces,
        "confirmed": view.confirmed,
        "doubtful": view.doubtful,
        "ages": list(view.ages) if view.ages else None,
        "consent": view.consent.isoformat() if view.consent else None,
    }


def person_line(view: PersonView) -> str:
    """A person of the collection."""
    ages = f", ages {view.ages[0]:.0f} to {view.ages[1]:.0f}" if view.ages else ""
    born = f", born {view.born}" if view.born else ""
    return f"{view.name}: {view.faces} faces, {view.doubtful} doubtful{ages}{born}"


def pair_facts(pair: LikenessView) -> dict[str, Any]:
    """Two photos that look alike."""
    photos = {"first": photo_facts(pair.first), "second": photo_facts(pair.second)}
    return {"id": pair.id, **photos, "distance": pair.distance, "cosine": pair.cosine}


def pair_line(pair: LikenessView) -> str:
    """Two photos that look alike."""
    return f"{pair.id:>5}  {pair.first.name}  ~  {pair.second.name}  ({pair.distance} of 64 bits)"


def age(years: float | None) -> str:
    """An age for a person."""
    return "no age" if years is None else f"{years:.1f} years"
