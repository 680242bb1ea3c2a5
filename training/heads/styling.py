"""Everything that is drawn as strands: hair, brows, lashes, beards, glasses."""

from __future__ import annotations

import torch
from torch import Tensor

from training.heads.facial_hair import FacialHair
from training.heads.geometry import Body, Geometry
from training.heads.glasses import wear_glasses
from training.heads.hair import HairGrower
from training.heads.looks import Looks
from training.heads.people import Person
from training.heads.roots import still_normals
from training.heads.scalp import Hairline
from training.heads.strands import Strands


class Stylist:
    """Grows strands on N heads at once."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.hair, self.face = HairGrower(geometry), FacialHair(geometry)

    def grow(
        self, body: Body, people: list[Person], ages: list[float], looks: list[Looks], line: Hairline
    ) -> list[Strands]:
        """All strands of these people at these ages."""
        normals: Tensor = still_normals(body.skin)
        seeds = torch.tensor([person.seed for person in people], device=normals.device)
        strands = [
            self.hair.grow(body, normals, people, looks, line, seeds),
            self.face.brows(body, normals, people, ages, looks, seeds),
            self.face.lashes(body, normals, people, ages, seeds),
            self.face.beards(body, normals, people, looks, seeds),
            wear_glasses(self.geometry, body, people, ages),
        ]
        # What nobody in the batch has costs nothing.
        present = [each.present() for each in strands]
        return [each for each in present if each.nodes.shape[1]]
