"""Pictures to learn from out of the collection: one person's face crops, with their ages in the captions.

They are copied into the person's own folder, which goes with everything else when the person is forgotten; what a
training makes of them bears the folder's name (`person`), by which it is found then.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from photos.files import make_folder
from photos.people import People

PHRASE = "a photo of zkw"
"""What the pictures are called where no phrase is given; no name, because captions travel with an adapter."""
PLACE = "pictures"
MOST = 50


@dataclass(frozen=True)
class Collected:
    """folder: of the pictures with captions; person: the name of the person's own folder; name: as it is known."""

    folder: Path
    person: str
    name: str


def collect(data: Path, people: People, name: str, phrase: str | None = None, most: int = MOST) -> Collected:
    """The best photos of a person, spread over their ages, anew at each call.

    Raises InputError if there is nobody of that name, or too little to learn from.
    """
    known = people.get(name)
    chosen = people.training_photos(known.name, most)
    place = make_folder(Path(data) / "people" / known.folder) / PLACE
    shutil.rmtree(place, ignore_errors=True)
    make_folder(place)
    for photo in chosen:
        target = place / f"{photo.face_id:08d}{photo.crop.suffix}"
        shutil.copyfile(photo.crop, target)
        target.with_suffix(".txt").write_text(f"{phrase or PHRASE}, {photo.age:.0f} years old", encoding="utf-8")
    return Collected(place, known.folder, known.name)
