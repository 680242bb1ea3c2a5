"""A person's own aging: the networks of `nets`, with the adapter and the generator that were learnt from their photos.

A model is a folder: `adapter.safetensors`, `generator.safetensors` if the generator learnt too, `card.json`.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from models.aging import Adapter, load_adapter
from models.errors import InputError
from models.perceptual import PerceptualLoss
from models.stylegan2 import Generator, SynthesisNetwork

from .nets import AgingNets

ADAPTER, GENERATOR, CARD = "adapter.safetensors", "generator.safetensors", "card.json"
NOT_LEARNT = "This person has not been learnt yet; do that on the People page, or with `personalize NAME`."


@dataclass(frozen=True)
class PersonalNets(AgingNets):
    """`base` with one person's adapter on its w+ (MyTimeMachine, equation 4), drawn by `own`.

    person: the name of their folder. ages: the youngest and oldest of the photos that it was learnt from.
    """

    person: str
    base: AgingNets
    adapter: Adapter
    own: SynthesisNetwork
    ages: tuple[float, float]
    fingerprint: str
    perceptual: PerceptualLoss
    mirrored: bool
    tune_steps: int
    # The adapter has learnt how fast this person ages.
    younger_pace: float = 1.0

    @property
    def generator(self) -> Generator:
        return self.base.generator

    @property
    def synthesis(self) -> SynthesisNetwork:
        return self.own

    @property
    def center(self) -> Tensor:
        return self.base.center

    def origin(self, crop: Tensor) -> Tensor | None:
        return self.base.origin(crop)

    def encode(self, crop: Tensor, age: float | Tensor, origin: Tensor | None = None) -> Tensor:
        ages = torch.as_tensor(age, dtype=crop.dtype, device=crop.device).expand(len(crop))
        codes: Tensor = self.adapter(self.base.encode(crop, age, origin), ages / 100)
        return codes

    def style(self, crop: Tensor, age: float) -> Tensor:
        return self.base.style(crop, age)


def personal_folder(data: Path, person: str) -> Path:
    """Where the model of a person lies, by their name or by the name of their folder.

    Raises InputError if there is nobody of that name in the collection.
    """
    from photos.library import Library
    from photos.people import People

    return data / "people" / People(Library(data)).whose(person).folder / "model"


def person_token(data: Path, person: str) -> str:
    """The name of a person's folder, by which work knows them also under another name; "" for everybody's aging.

    Raises InputError if there is nobody of that name, or if they have not been learnt.
    """
    if not person:
        return ""
    folder = personal_folder(data, person)
    if read_card(folder) is None:
        raise InputError(NOT_LEARNT)
    return folder.parent.name


def read_card(folder: Path) -> dict[str, Any] | None:
    """The card of the model in `folder`, or None if there is no model."""
    try:
        card = json.loads((folder / CARD).read_text())
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) else None


def load_personal(folder: Path, base: AgingNets) -> PersonalNets:
    """Raises InputError if there is no model in `folder`, if it is damaged, or if it belongs to other networks."""
    card = read_card(folder)
    if card is None:
        raise InputError(NOT_LEARNT)
    if card["base"]["fingerprint"] != base.fingerprint:
        raise InputError("This personal model belongs to other networks than those that are here; learn it again.")
    digest = hashlib.sha256((folder / ADAPTER).read_bytes() + str(card["made"]).encode()).hexdigest()
    return PersonalNets(
        card["person"],
        base,
        load_adapter(folder / ADAPTER, base.device).requires_grad_(False),
        _own_synthesis(folder, base),
        (card["ages"][0], card["ages"][1]),
        f"{base.fingerprint}+{digest[:16]}",
        base.perceptual,
        base.mirrored,
        # The generator has met this person already.
        base.tune_steps // 2,
    )


def _own_synthesis(folder: Path, base: AgingNets) -> SynthesisNetwork:
    """The generator's tuned copy, or the base's own."""
    if not (folder / GENERATOR).is_file():
        return base.synthesis
    own = copy.deepcopy(base.synthesis)
    try:
        stored = load_file(folder / GENERATOR)
        own.load_state_dict({name: value.float() for name, value in stored.items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        raise InputError(f"The personal model in {folder} is damaged; learn it again.") from error
    return own.eval().requires_grad_(False)
