"""Stands in for the networks in tests of the collection: faces where a rule says so, vectors out of the pixels.

A photo twice as wide as high has two faces side by side; one with a black corner has none; all others have one.
As a program, `python tests/fake_faces.py DATA FOLDER [PERSON]` imports a folder, a line a photo.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

from models.faces.align import canonical_landmarks
from models.faces.detect import Face
from photos.library import ImportReport, Library
from photos.library.names import name_key
from photos.library.reading import CROP_SIDE, Read, cut
from photos.library.tables import Person

NETS: Any = object()


def picture(seed: int, width: int = 96, height: int = 96) -> Image.Image:
    """A photo of soft colours, different for each seed."""
    noise = np.random.default_rng(seed).integers(40, 216, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def vector(crop: Image.Image) -> np.ndarray:
    """A unit vector (128,) float32 that changes slowly with the picture."""
    levels = np.asarray(crop.convert("L").resize((16, 8)), dtype=np.float32).ravel()
    levels -= levels.mean()
    return levels / np.linalg.norm(levels)


def read_faces(photo: Image.Image, nets: object, embed: bool) -> list[Read]:
    """In place of `photos.library.reading.read_faces`."""
    if photo.getpixel((0, 0)) == (0, 0, 0):
        return []
    side = min(photo.size)
    found = []
    for place in range(max(photo.width // side, 1)):
        points = canonical_landmarks(side) + np.array([place * side, 0], dtype=np.float32)
        box = (place * side + side * 0.25, side * 0.2, side * 0.5, side * 0.65)
        crop = cut(photo, points)
        estimate = 20 + zlib.crc32(photo.tobytes()) % 50
        found.append(Read(Face(box, points, 0.95), crop, estimate, "female", vector(crop) if embed else None))
    return found


def read_embedding(path: Path, face: object, nets: object) -> bytes:
    """In place of `photos.library.embedding.read_embedding`."""
    with Image.open(path) as crop:
        return vector(crop).astype("<f4").tobytes()


@contextmanager
def fake_networks() -> Iterator[None]:
    """Lets imports see these faces."""
    with (
        patch("photos.library.entering.read_faces", read_faces),
        patch("photos.library.embedding.read_embedding", read_embedding),
    ):
        yield


def add_person(library: Library, name: str) -> int:
    """A person of this name; their number."""
    with library.session() as session:
        person = Person(
            name=name, key=name_key(name), folder=f"{zlib.crc32(name.encode()):032x}", created=datetime.now(UTC)
        )
        session.add(person)
        session.flush()
        assert person.id is not None
        return person.id


def run_import(library: Library, *sources: Path, **options: Any) -> ImportReport:
    """Import with fake networks; the report."""
    with fake_networks():
        report = list(library.import_photos(list(sources), NETS, **options))[-1].value
    assert report is not None
    return report


assert CROP_SIDE == 512

if __name__ == "__main__":
    collection = Library(Path(sys.argv[1]))
    with fake_networks():
        for step in collection.import_photos([Path(sys.argv[2])], NETS, person=(sys.argv[3:] or [None])[0]):
            print(step.message, flush=True)
