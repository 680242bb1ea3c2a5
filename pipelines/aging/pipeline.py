"""A photo at another age: detect, align, invert, move in w+, decode, put the change back onto the photo."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from models.errors import InputError
from models.faces.checks import check_face, face_warnings, require_face
from models.faces.detect import Face, FaceDetector, detect_faces, load_detector
from models.faces.parse import FaceParser, parser_weights
from models.images import to_pil
from photos.opening import Photo
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime

from .compose import blur, enlarge
from .invert import Inversion, InversionCache, tune
from .loading import AgingModels, load_readers
from .options import EMBEDDED, Aged, AgingOptions, FoundFace
from .subject import Readers, Subject, prepare
from .work import Work, mixed_style, with_steps

THUMBNAIL = 128
MASK_SOFTNESS = 0.02  # of the edge of a parsed face, as a share of the crop's side


class AgingPipeline:
    """What the Age page and `app.py age` call. Networks come from the runtime's pool; tuned faces from `data`."""

    def __init__(self, runtime: Runtime, data: Path):
        self.runtime = runtime
        self.data = Path(data)
        self.models = AgingModels(runtime, self.data)
        self.cache = InversionCache(self.data / "cache" / "aging")
        self._seen: dict[int, tuple[weakref.ref[Image.Image], list[Face]]] = {}

    def _detector(self) -> FaceDetector:
        return self.runtime.pool.get("faces/yunet", lambda: load_detector(self.runtime.device))

    def _readers(self) -> Readers:
        return load_readers(self.runtime)

    def face_mask(self, subject: Subject) -> np.ndarray | None:
        """Face and hair (S, S) by the parsing network, softened, if the person has added its weights; else None."""
        weights = parser_weights(self.data)
        if weights is None:
            return None
        parser = self.runtime.pool.get(str(weights), lambda: FaceParser(weights, self.runtime.device))
        mask = blur(parser(subject.crop).clone(), sigma=subject.crop.shape[-1] * MASK_SOFTNESS)
        return mask[0, 0].cpu().numpy()

    def find_faces(self, photo: Image.Image) -> list[FoundFace]:
        """Every face of a photo (PIL RGB), largest first. Raises InputError when there is none."""
        return [self._found(photo, face) for face in self._faces(photo)]

    def _faces(self, photo: Image.Image) -> list[Face]:
        """The faces of a photo; those of the last photos are remembered as long as the photos live."""
        known = self._seen.get(id(photo))
        if known is not None and known[0]() is photo:
            return known[1]
        faces = detect_faces(photo, self._detector())
        require_face(faces, photo)
        alive = {key: entry for key, entry in self._seen.items() if entry[0]() is not None}
        self._seen = {**alive, id(photo): (weakref.ref(photo), faces)}
        return faces

    def _found(self, photo: Image.Image, face: Face) -> FoundFace:
        subject = prepare(photo, face, self._readers())
        small = to_pil(enlarge(subject.crop, THUMBNAIL))
        return FoundFace(face, subject.age, subject.gender, tuple(face_warnings(face, photo)), small)

    def run(
        self,
        photo: Photo,
        targets: Sequence[float],
        options: AgingOptions | None = None,
        face: int = 0,
        cancel: CancelToken | None = None,
        style: Photo | None = None,
    ) -> Iterator[Event]:
        """Age face number `face` (0 is the largest) to each of `targets` (years, 0 to 100).

        style: a photo whose largest face gives the mixed layers; without it they come from a random style.
        Events: "detect"; "load" for an added model; "encode" with a preview of the first target (value: Aged, from the
        encoder alone); "tune" a step, unless this face is in the cache; "age" with an Aged for each target; "done" with
        the list of them.
        Raises InputError for a face that is not there or can't be used, or for a model that is not here; Cancelled at
        the next step after a cancel.
        """
        options, cancel = options or AgingOptions(), cancel or CancelToken()
        yield Event("detect", "Looking for faces")
        subject = self._subject(photo.image, face)
        if options.model != EMBEDDED or options.person:
            yield Event("load", "Loading the model")
        nets = self.models.nets(options.model, options.official, options.person)
        options = with_steps(options, nets)
        cancel.check()
        mixed = mixed_style(nets, options, self._subject(style.image, 0) if style else None)
        work = Work(self._readers(), nets, photo, subject, options, face, self.face_mask(subject), mixed, style)
        key = work.cache_key()
        inversion = self.cache.load(key, nets) if options.tune_steps else None
        cancel.check()
        results: list[Aged] = []
        if inversion is None:
            inversion = Inversion(nets.synthesis, work.present, 0.0, 1.0)
            first = work.age(inversion, targets[0])
            yield Event("encode", "A first look; now learning this face", preview=True, value=first)
            for event in tune(nets, work.small, work.present, options.tune_steps, cancel) if options.tune_steps else ():
                inversion = event.value or inversion
                yield Event(event.stage, event.message, event.done, event.total, event.seconds_left)
            if options.tune_steps:
                self.cache.store(key, inversion)
            else:
                results.append(first)
                yield Event("age", f"{targets[0]:g} years", 1, len(targets), value=first)
        for index, target in enumerate(targets[len(results) :], len(results)):
            cancel.check()
            results.append(work.age(inversion, target))
            yield Event("age", f"{target:g} years", index + 1, len(targets), value=results[-1])
        yield Event("done", "Done", 1, 1, 0.0, value=results)

    def _subject(self, photo: Image.Image, index: int) -> Subject:
        faces = self._faces(photo)
        if not 0 <= index < len(faces):
            have = "there is 1 face" if len(faces) == 1 else f"there are {len(faces)} faces"
            raise InputError(f"Face {index + 1} was asked for, but {have} in this photo; choose 1 to {len(faces)}.")
        check_face(faces[index], photo)
        return prepare(photo, faces[index], self._readers())
