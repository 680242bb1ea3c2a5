"""A photo at another age: detect, align, invert, move in w+, decode, put the change back onto the photo."""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.aging import load_encoder
from models.assets import asset_path, read_card
from models.errors import InputError
from models.faces.age import load_age_net, load_gender_net
from models.faces.change import paste_change
from models.faces.checks import check_face, face_warnings, require_face
from models.faces.detect import Face, FaceDetector, detect_faces, load_detector
from models.faces.identity import load_identity_net
from models.faces.parse import FaceParser, parser_weights
from models.faces.person import load_person_net
from models.images import to_pil
from models.perceptual import load_perceptual
from models.stylegan2 import SynthesisNetwork, load_generator
from photos.opening import Photo
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime

from .compose import blur, compose, enlarge
from .invert import AgingNets, Inversion, InversionCache, tune
from .options import Aged, AgingOptions, FoundFace
from .subject import Readers, Subject, keep_likeness, prepare

RECIPE_VERSION = 2
THUMBNAIL = 128
# The prior takes too little age away; likeness leaves room for more.
YOUNGER_PACE = 1.35
MASK_SOFTNESS = 0.02  # of the edge of a parsed face, as a share of the crop's side


class AgingPipeline:
    """What the Age page and `app.py age` call. Networks come from the runtime's pool; tuned faces from `data`."""

    def __init__(self, runtime: Runtime, data: Path):
        self.runtime = runtime
        self.data = Path(data)
        self.cache = InversionCache(self.data / "cache" / "aging")
        self._seen: dict[int, tuple[weakref.ref[Image.Image], list[Face]]] = {}

    def _detector(self) -> FaceDetector:
        return self.runtime.pool.get("faces/yunet", lambda: load_detector(self.runtime.device))

    def _readers(self) -> Readers:
        device = self.runtime.device
        return self.runtime.pool.get(
            "faces/readers",
            lambda: Readers(
                load_age_net(device), load_gender_net(device), load_identity_net(device), load_person_net(device)
            ),
        )

    def _nets(self) -> AgingNets:
        device, pool = self.runtime.device, self.runtime.pool
        generator, encoder = "heads/generator.safetensors", "heads/encoder.safetensors"
        return AgingNets(
            pool.get(generator, lambda: load_generator(asset_path(generator), device)),
            pool.get(encoder, lambda: load_encoder(asset_path(encoder), device)),
            pool.get("faces/stlpips", lambda: load_perceptual(device)),
            read_card(generator)["sha256"][:16] + read_card(encoder)["sha256"][:16],
            _reading(read_card(encoder)),
        )

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
    ) -> Iterator[Event]:
        """Age face number `face` (0 is the largest) to each of `targets` (years, 0 to 100).

        Events: "detect"; "encode" with a preview of the first target (value: Aged, from the encoder alone); "tune" a
        step, unless this face is in the cache; "age" with an Aged for each target; "done" with the list of them.
        Raises InputError for a face that is not there or can't be used, Cancelled at the next step after a cancel.
        """
        options, cancel = options or AgingOptions(), cancel or CancelToken()
        yield Event("detect", "Looking for faces")
        subject = self._subject(photo.image, face)
        nets = self._nets()
        work = _Work(self, nets, photo, subject, options, face)
        key = work.cache_key()
        inversion = self.cache.load(key, nets) if options.tune_steps else None
        cancel.check()
        if inversion is None:
            rough = Inversion(nets.generator.synthesis, work.present, 0.0, 1.0)
            preview = work.age(rough, targets[0])
            yield Event("encode", "A first look; now learning this face", preview=True, value=preview)
            inversion = rough
            if options.tune_steps:
                for event in tune(nets, work.small, work.present, options.tune_steps, cancel):
                    inversion = event.value or inversion
                    yield Event(event.stage, event.message, event.done, event.total, event.seconds_left)
                self.cache.store(key, inversion)
        results = []
        for index, target in enumerate(targets):
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


class _Work:
    """The state of one run: a subject, its codes, and what is written into the recipe."""

    def __init__(
        self, pipeline: AgingPipeline, nets: AgingNets, photo: Photo, subject: Subject, options: AgingOptions, face: int
    ):
        self.readers, self.nets, self.photo = pipeline._readers(), nets, photo
        self.subject, self.options, self.face = subject, options, face
        self.mask = pipeline.face_mask(subject)
        small = enlarge(subject.crop, nets.generator.resolution)
        # The face and its mirror image: what the generator does to one side only is halved when both are averaged.
        self.small = torch.cat([small, small.flip(3)])
        with torch.no_grad():
            self.present = nets.encode(self.small, subject.age)

    def cache_key(self) -> str:
        """Everything that the tuned generator depends on."""
        places = self.subject.quad.round(2).tolist()
        options = self.options
        return InversionCache.key(
            self.photo.sha256, places, options.tune_steps, options.seed, self.nets.fingerprint, RECIPE_VERSION
        )

    def codes(self, inversion: Inversion, target: float) -> Tensor:
        """The pivot moved by what the encoder says age does, times the strength."""
        moved = self.nets.encode(self.small, target) - self.present
        pace = YOUNGER_PACE if target < self.subject.age else 1.0
        return inversion.pivot + pace * self.options.strength * moved

    @torch.no_grad()
    def age(self, inversion: Inversion, target: float) -> Aged:
        """Decode, compose, paste, and read the result."""
        began = time.monotonic()
        subject = self.subject
        now, then = (_decode(inversion.synthesis, ws) for ws in (inversion.pivot, self.codes(inversion, target)))
        years = target - subject.age
        years *= self.options.strength
        crop = compose(subject.crop, now, then, self.options.detail, years, subject.skin, subject.free)
        crop, identity = keep_likeness(subject, crop, self.readers)
        image = paste_change(subject.photo, subject.crop, crop, subject.quad, self.mask)
        age = self.readers.read_age(crop, subject.points)
        recipe = self.recipe(target)
        return Aged(target, image, to_pil(crop), age, identity, recipe, time.monotonic() - began)

    def recipe(self, target: float) -> dict[str, Any]:
        """Everything needed to make the result again from the same photo."""
        return {
            "kind": "aging",
            "version": RECIPE_VERSION,
            "target": target,
            "present": round(self.subject.age, 1),
            "face": self.face,
            "options": self.options.as_dict(),
            "photo": {"name": self.photo.path.name, "sha256": self.photo.sha256},
            "models": self.nets.fingerprint,
        }


def _reading(card: dict[str, Any]) -> tuple[list[float], list[float]]:
    table = card.get("quality", {}).get("reading", {"asked": [], "read": []})
    return table["asked"], table["read"]


def _decode(synthesis: SynthesisNetwork, ws: Tensor) -> Tensor:
    """The face (1, 3, R, R) from the codes (2, num_ws, w_dim) of a crop and of its mirror image."""
    plain, mirrored = synthesis(ws).float().split(1)
    return (plain + mirrored.flip(3)) / 2
