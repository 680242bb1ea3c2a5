"""One file into the collection: known already, new, or refused. Rows go in together, after the files they speak of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import imagehash
from PIL import Image
from sqlmodel import Session, col, delete, select

from models.errors import InputError
from photos.library import consent, dates
from photos.library.quality import judge
from photos.library.reading import FaceNets, Read, cut, read_faces
from photos.library.sources import Found, Opener, as_text
from photos.library.tables import Belonging, Embedding, Face, Meant, Photo, Refusal, Rejection, Source
from photos.opening import Photo as Opened
from photos.opening import check_file, open_header, open_photo

if TYPE_CHECKING:
    from photos.library.library import Library

HASH_SIDE = 256  # pixels to which a photo is shrunk before its perceptual hash is taken


@dataclass(frozen=True)
class Entered:
    """What became of one file. known: the collection had it already; faces: in a new photo."""

    known: bool
    faces: int = 0


@dataclass
class Entrance:
    """Where files come in. person_id, keep: see `Library.import_photos`; damaged: photos whose crops are gone."""

    library: Library
    nets: FaceNets
    person_id: int | None
    keep: bool
    opener: Opener = field(default_factory=Opener)
    damaged: set[int] = field(default_factory=set)

    def enter(self, found: Found) -> Entered:
        """Import one file. Raises InputError if it is no usable photo."""
        with self.library.session(write=False) as session:
            source = session.exec(select(Source).where(Source.path == found.label)).first()
        if source is not None and source.stamp == found.stamp and self._is_whole(source):
            return self._known(source.photo_id)
        if found.entry is None:
            check_file(found.path)
        with self.opener.open(found, self.library.store.temporary()) as path:
            digest = _digest(path)
            with self.library.session(write=False) as session:
                known = session.exec(select(Photo).where(Photo.sha256 == digest)).first()
            if known is not None and known.id is not None:
                self._place(found, path, known.id, digest, known.format)
                if known.id in self.damaged:
                    self._cut_again(known.id, path, found.name)
                return self._known(known.id)
            return self._new(found, path)

    def _is_whole(self, source: Source) -> bool:
        """Whether the photo's crops are there, and its own copy if it needs one."""
        if source.photo_id in self.damaged:
            return False
        if not source.kept:
            return True
        with self.library.session(write=False) as session:
            photo = session.get_one(Photo, source.photo_id)
        return self.library.store.kept(photo.sha256, photo.format).exists()

    def _new(self, found: Found, path: Path) -> Entered:
        opened, kind = _open(path, found.name)
        try:
            reads = read_faces(opened.image, self.nets, self._may_embed())
        except (cv2.error, ValueError) as error:
            raise InputError(f"{found.name} can't be searched for faces ({error}); give another copy.") from error
        crops: list[str] = []
        try:
            crops += [self.library.store.add_crop(read.crop) for read in reads]
            if self._keeps(found):
                self.library.store.keep(path, self.library.store.kept(opened.sha256, kind))
            with self.library.session() as session:
                photo = self._photo_row(found, path, opened, kind)
                session.add(photo)
                session.flush()
                assert photo.id is not None
                faces = [_face_row(photo.id, read, crop, opened) for read, crop in zip(reads, crops, strict=True)]
                session.add_all(faces)
                session.flush()
                session.add_all(_embeddings(faces, reads))
                self._record_source(session, found, photo.id, opened.sha256)
                self._mean(session, photo.id, faces)
        except BaseException:
            for name in crops:
                (self.library.store.crops / name).unlink(missing_ok=True)
            raise
        return Entered(known=False, faces=len(reads))

    def _photo_row(self, found: Found, path: Path, opened: Opened, kind: str) -> Photo:
        taken, taken_source = dates.taken(opened.taken, found.name)
        small = opened.image.copy() if max(opened.image.size) <= HASH_SIDE else None
        if small is None:
            small = opened.image.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.BOX, reducing_gap=2.0)
        return Photo(
            sha256=opened.sha256,
            name=found.name,
            format=kind,
            bytes=path.stat().st_size,
            width=opened.image.width,
            height=opened.image.height,
            taken=taken,
            taken_source=taken_source,
            phash=str(imagehash.phash(small)),
            imported=datetime.now(UTC),
        )

    def _cut_again(self, photo_id: int, path: Path, name: str) -> None:
        """Crops that somebody deleted, anew under their names."""
        opened, _ = _open(path, name)
        with self.library.session(write=False) as session:
            faces = session.exec(select(Face).where(Face.photo_id == photo_id)).all()
        for face in faces:
            if not self.library.crop(face.crop).exists():
                self.library.store.write_crop(cut(opened.image, face.points), face.crop)
        self.damaged.discard(photo_id)

    def _keeps(self, found: Found) -> bool:
        return self.keep or found.entry is not None

    def _place(self, found: Found, path: Path, photo_id: int, digest: str, kind: str) -> None:
        """A known photo at a new place."""
        if self._keeps(found):
            self.library.store.keep(path, self.library.store.kept(digest, kind))
        with self.library.session() as session:
            self._record_source(session, found, photo_id, digest)

    def _record_source(self, session: Session, found: Found, photo_id: int, digest: str) -> None:
        """Where the photo is; a file that changed belongs to its new photo from now on."""
        label = found.label
        if self.keep and found.entry is None:
            label = f"upload!{digest}/{as_text(found.path.parent.name)}/{found.name}"
        source = session.exec(select(Source).where(Source.path == label)).first()
        source = source or Source(photo_id=photo_id, path=label, stamp="")
        source.photo_id, source.stamp, source.kept = photo_id, found.stamp, self._keeps(found)
        session.add(source)
        session.exec(delete(Refusal).where(col(Refusal.path) == label))

    def _known(self, photo_id: int) -> Entered:
        if self.person_id is not None:
            with self.library.session(write=False) as session:
                meant = session.get(Meant, (photo_id, self.person_id))
            if meant is None:
                with self.library.session() as session:
                    faces = session.exec(select(Face).where(Face.photo_id == photo_id)).all()
                    self._mean(session, photo_id, faces)
        return Entered(known=True)

    def _mean(self, session: Session, photo_id: int, faces: Sequence[Face]) -> None:
        """Suggest a face that is alone in its photo to be the person's, unless somebody said something else."""
        if self.person_id is None:
            return
        session.add(Meant(photo_id=photo_id, person_id=self.person_id))
        if len(faces) != 1 or faces[0].person_id is not None:
            return
        if session.get(Rejection, (faces[0].id, self.person_id)) is None:
            faces[0].person_id, faces[0].belonging = self.person_id, Belonging.SUGGESTED
            session.add(faces[0])

    def _may_embed(self) -> bool:
        with self.library.session(write=False) as session:
            return consent.may_embed(session, self.person_id)


def _face_row(photo_id: int, read: Read, crop: str, opened: Opened) -> Face:
    quality = judge(read.face, opened.image, read.crop)
    return Face(
        photo_id=photo_id,
        box=[round(number, 2) for number in read.face.box],
        points=[round(float(number), 3) for number in read.face.landmarks.ravel()],
        score=read.face.score,
        crop=crop,
        estimate=read.estimate,
        gender=read.gender,
        sharpness=quality.sharpness,
        exposure=quality.exposure,
        turn=quality.turn,
        inside=quality.inside,
        eyes=quality.eyes,
        quality=quality.overall,
        reasons=quality.reasons,
    )


def _embeddings(faces: Sequence[Face], reads: Sequence[Read]) -> list[Embedding]:
    return [
        Embedding(face_id=face.id, vector=read.vector.astype("<f4").tobytes())
        for face, read in zip(faces, reads, strict=True)
        if read.vector is not None and face.id is not None
    ]


def _open(path: Path, name: str) -> tuple[Opened, str]:
    """The photo and its format; messages speak of its own name, not of a temporary copy's."""
    try:
        opened = open_photo(path)
        with path.open("rb") as file:
            return opened, str(open_header(file).format)
    except InputError as error:
        raise InputError(str(error).replace(str(path), name)) from error
    except OSError as error:
        raise InputError(f"{name} can't be read ({error.strerror or error}).") from error


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path.name} can't be read ({error.strerror or error}).") from error
