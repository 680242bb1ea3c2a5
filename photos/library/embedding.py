"""Embeddings that consent allows and that are missing: of faces that were imported before it was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from sqlmodel import Session, col, select

from models.images import to_tensor
from photos.library import consent
from photos.library.names import find_person
from photos.library.reading import FaceNets, embed_crop, points_in_crop
from photos.library.tables import Embedding, Face, Meant

if TYPE_CHECKING:
    from photos.library.library import Library

BATCH = 64


def embed(library: Library, nets: FaceNets, person: str | None, check: Callable[[], None]) -> Iterator[int]:
    """See `Library.embed`. Works from the crops, so that moved originals do not matter."""
    with library.session(write=False) as session:
        waiting = missing(session, find_person(session, person).id if person else None)
    while waiting:
        yield len(waiting)
        batch, waiting = waiting[:BATCH], waiting[BATCH:]
        rows = []
        for face in batch:
            check()
            path = library.crop(face.crop)
            if path.is_file():  # `Library.check` speaks of those that are not
                rows.append(Embedding(face_id=face.id or 0, vector=read_embedding(path, face, nets)))
        with library.session() as session:
            # Consent may have been withdrawn, or the photo forgotten, in the meantime.
            allowed = {face.id for face in missing(session, None)}
            session.add_all(row for row in rows if row.face_id in allowed)
    yield 0


def missing(session: Session, person_id: int | None) -> list[Face]:
    """Faces without an embedding that may have one: all of them, or those of one person's photos."""
    faces = select(Face).where(col(Face.id).not_in(select(Embedding.face_id)))
    faces = faces.where(col(Face.id).in_(consent.covered(session)))
    if person_id is not None:
        meant = select(Meant.photo_id).where(Meant.person_id == person_id)
        faces = faces.where((col(Face.person_id) == person_id) | col(Face.photo_id).in_(meant))
    return list(session.exec(faces.order_by(col(Face.id))).all())


def read_embedding(path: Path, face: Face, nets: FaceNets) -> bytes:
    """What `Embedding.vector` holds, of the face whose crop is at `path`."""
    with Image.open(path) as image:
        picture = to_tensor(image).to(nets.device)
    points = torch.from_numpy(points_in_crop(face.points))[None].to(nets.device)
    return embed_crop(picture, points, nets).astype("<f4").tobytes()
