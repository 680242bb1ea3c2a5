"""One run of aging: a subject's codes, their movement, and what is made of the drawings."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.aging import mix_styles
from models.errors import InputError
from models.faces.align import paste_back
from models.faces.change import paste_change
from models.images import to_pil
from models.stylegan2 import SynthesisNetwork, pool_to
from photos.opening import Photo

from .compose import compose, enlarge
from .invert import Inversion, InversionCache
from .nets import AgingNets
from .options import Aged, AgingOptions
from .personal import PersonalNets
from .subject import Readers, Subject, keep_likeness

RECIPE_VERSION = 2
# Drawings are laid over the photo at this size at most: what age changes is wider than the pixels of a larger one.
LAID_SIDE = 512
NEAR = 3.0  # years around the ages of a person's photos that the photos still speak for
STYLE_PSI = 0.7  # truncation of a random style


def with_steps(options: AgingOptions, nets: AgingNets) -> AgingOptions:
    """The options with the number of tuning steps that will be done."""
    if options.official:
        return replace(options, tune_steps=0)
    return replace(options, tune_steps=nets.tune_steps) if options.tune_steps is None else options


@torch.no_grad()
def mixed_style(nets: AgingNets, options: AgingOptions, style: Subject | None) -> Tensor | None:
    """w+ (1, num_ws, w_dim) to take the mixed layers from, or None if there are none.

    Raises InputError for a layer that this model does not have.
    """
    if not options.mix_layers:
        return None
    most = nets.generator.num_ws - 1
    if options.mix_layers[-1] > most:
        raise InputError(f"Layer {options.mix_layers[-1]} can't be mixed: this model has the layers 0 to {most}.")
    if style is not None:
        return nets.style(enlarge(style.crop, nets.resolution), style.age)
    z = torch.randn(1, nets.generator.z_dim, generator=torch.Generator().manual_seed(options.seed)).to(nets.device)
    return nets.generator.mapping(z, truncation_psi=STYLE_PSI)


class Work:
    """The state of one run: a subject, its codes, and what is written into the recipe."""

    def __init__(
        self,
        readers: Readers,
        nets: AgingNets,
        photo: Photo,
        subject: Subject,
        options: AgingOptions,
        face: int,
        mask: np.ndarray | None = None,
        mixed: Tensor | None = None,
        style: Photo | None = None,
    ):
        self.readers, self.nets, self.photo, self.subject = readers, nets, photo, subject
        self.options, self.face, self.mask, self.mixed, self.style = options, face, mask, mixed, style
        small = enlarge(subject.crop, nets.resolution)
        self.small = torch.cat([small, small.flip(3)]) if nets.mirrored else small
        self._today: tuple[Inversion, Tensor] | None = None
        with torch.no_grad():
            self.origin = nets.origin(self.small)
            self.present = nets.encode(self.small, subject.age, self.origin)

    def cache_key(self) -> str:
        """Everything that the tuned generator depends on."""
        places = self.subject.quad.round(2).tolist()
        return InversionCache.key(
            self.photo.sha256, places, self.options.tune_steps, self.nets.fingerprint, RECIPE_VERSION
        )

    def codes(self, inversion: Inversion, target: float) -> Tensor:
        """The pivot moved by what the encoder says age does, times the strength; then the mixed layers."""
        moved = self.nets.encode(self.small, target, self.origin) - self.present
        pace = self.nets.younger_pace if target < self.subject.age else 1.0
        codes = inversion.pivot + pace * self.options.strength * moved
        if self.mixed is None:
            return codes
        return mix_styles(codes, self.mixed.expand_as(codes), self.options.mix_layers, self.options.mix_amount)

    @torch.no_grad()
    def age(self, inversion: Inversion, target: float) -> Aged:
        """Decode, compose, paste, and read the result."""
        began = time.monotonic()
        subject = self.subject
        then = decode(inversion.synthesis, self.codes(inversion, target))
        if self.options.official:
            crop, identity = then.clamp(-1, 1), self._likeness(then)
            image = paste_back(subject.photo, crop[0].cpu(), subject.quad, self.mask)
        else:
            crop, identity = keep_likeness(subject, self._laid(inversion, then, target), self.readers)
            image = paste_change(subject.photo, subject.crop, crop, subject.quad, self.mask)
        age = self.readers.read_age(*self._at_crop(crop))
        taken, beyond = time.monotonic() - began, self._beyond(target)
        return Aged(target, image, to_pil(crop), age, identity, self.recipe(target), taken, beyond)

    def _beyond(self, target: float) -> bool:
        """Whether a person's own aging was learnt from photos of other ages only."""
        covered = self.nets.ages if isinstance(self.nets, PersonalNets) else None
        return covered is not None and not covered[0] - NEAR <= target <= covered[1] + NEAR

    def _laid(self, inversion: Inversion, then: Tensor, target: float) -> Tensor:
        """What changes between the drawing of today and that at the target age, laid over the photo's crop."""
        if self._today is None or self._today[0] is not inversion:
            self._today = inversion, pool_to(decode(inversion.synthesis, inversion.pivot), LAID_SIDE)
        now = self._today[1]
        years = (target - self.subject.age) * self.options.strength
        subject = self.subject
        places = subject.skin, subject.person, subject.features
        return compose(subject.crop, now, pool_to(then, LAID_SIDE), self.options.detail, years, *places)

    def _at_crop(self, crop: Tensor) -> tuple[Tensor, Tensor]:
        """A picture of any size at the size of the photo's crop, with the landmarks there."""
        return enlarge(crop, self.subject.crop.shape[-1]), self.subject.points

    def _likeness(self, crop: Tensor) -> float:
        return float((self.readers.embed(*self._at_crop(crop)) * self.subject.embedding).sum())

    def recipe(self, target: float) -> dict[str, Any]:
        """Everything needed to make the result again from the same photo."""
        recipe: dict[str, Any] = {
            "kind": "aging",
            "version": RECIPE_VERSION,
            "target": target,
            "present": round(self.subject.age, 1),
            "face": self.face,
            "options": self.options.as_dict(),
            "photo": {"name": self.photo.path.name, "sha256": self.photo.sha256},
            "models": self.nets.fingerprint,
        }
        if isinstance(self.nets, PersonalNets):
            # The folder's token in the place of the name: a result that is passed on tells nobody's name.
            recipe["options"]["person"] = self.nets.person
        if self.style is not None:
            recipe["style"] = {"name": self.style.path.name, "sha256": self.style.sha256}
        return recipe


def decode(synthesis: SynthesisNetwork, ws: Tensor) -> Tensor:
    """The face (1, 3, R, R) from its codes (1, num_ws, w_dim), or (2, ...) from a crop's and its mirror image's."""
    images = synthesis(ws).float()
    if len(images) == 1:
        return images
    plain, mirrored = images.split(1)
    return (plain + mirrored.flip(3)) / 2
