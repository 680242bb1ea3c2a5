"""Where a face may change, frame by frame, without flicker: what networks say is asked now and then and drawn between.

Masks are (N, 1, S, S) in [0, 1]; their slow parts are made at MASK_SIDE pixels and enlarged.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.faces.mask import face_mask, fade_border
from models.faces.parse import FaceParser, parser_weights
from models.faces.person import person_mask
from pipelines.aging.compose import blur, enlarge
from pipelines.aging.guided import apply_maps, linear_maps
from pipelines.aging.pipeline import MASK_SOFTNESS
from pipelines.aging.subject import FEATURES_KEPT, GUIDE_SIDE, Readers, features_mask, skin_mask
from pipelines.runtime import Runtime

MASK_SIDE = 64
KEY_EVERY = 4
"""Frames from one look of the networks to the next."""
BORDER = 0.1  # of the square's side, over which the change fades to nothing
RADIUS, SMOOTHNESS = 2, 1e-3  # of the guided filter that brings a mask to the edges of its frame
# What is person by less than the first stays exactly as it was; from the second on all of the change is laid.
LEAST_PERSON, SURE_PERSON = 0.04, 0.2


class Masks:
    """The networks that say where a face ends. parser: reads face and hair, if its weights are in the data folder."""

    def __init__(self, readers: Readers, parser: FaceParser | None) -> None:
        self.readers, self.parser = readers, parser

    @classmethod
    def load(cls, readers: Readers, runtime: Runtime, data: Path) -> Masks:
        weights = parser_weights(data)
        if weights is None:
            return cls(readers, None)
        return cls(readers, runtime.pool.get(str(weights), lambda: FaceParser(weights, runtime.device)))

    def look(self, crops: Tensor) -> Tensor:
        """What the networks see in crops (N, 3, S, S): (N, 2, MASK_SIDE, MASK_SIDE), the share of person and how much
        of the face's change may be laid there."""
        person = person_mask(self.readers.person, enlarge(crops, GUIDE_SIDE))
        person = F.adaptive_avg_pool2d(person, MASK_SIDE)
        if self.parser is None:
            laid = torch.from_numpy(face_mask(MASK_SIDE)).to(person).expand_as(person)
        else:
            parsed = self.parser(enlarge(crops, GUIDE_SIDE)).clone()
            laid = F.adaptive_avg_pool2d(blur(parsed, sigma=GUIDE_SIDE * MASK_SOFTNESS), MASK_SIDE)
        return torch.cat([person, laid], dim=1)


def at_edges(person: Tensor, crops: Tensor) -> Tensor:
    """A small mask (N, 1, M, M) as large as the crops (N, 3, S, S), ending where things end in them."""
    maps = linear_maps(person, enlarge(crops, person.shape[-1]), RADIUS, SMOOTHNESS)
    return apply_maps(maps, crops).clamp(0, 1)


def of_points(points: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """`skin` and `features` of `compose` for crops of `size` pixels, from landmarks (N, 5, 2) in pixels of these."""
    small = (points + 0.5) * (MASK_SIDE / size) - 0.5
    both = torch.cat([skin_mask(small, MASK_SIDE), FEATURES_KEPT * features_mask(small, MASK_SIDE)], dim=1)
    skin, features = _enlarged(both, size).split(1, dim=1)
    return skin, features


def laid_weights(laid: Tensor, person: Tensor, shares: Tensor) -> Tensor:
    """How much of the change each pixel takes: (N, S, S). It ends softly and at exactly 0 before the square does.

    laid: (N, 1, M, M) of `Masks.look`; person: (N, 1, S, S); shares: (N,), of the whole change.
    """
    size = person.shape[-1]
    border = torch.from_numpy(fade_border(np.ones((size, size), np.float32), BORDER)).to(person)
    own = ((person - LEAST_PERSON) / (SURE_PERSON - LEAST_PERSON)).clamp(0, 1)
    return (_enlarged(laid, size) * own * border)[:, 0] * shares.view(-1, 1, 1)


def _enlarged(masks: Tensor, size: int) -> Tensor:
    return F.interpolate(masks, size=(size, size), mode="bilinear", align_corners=False)
