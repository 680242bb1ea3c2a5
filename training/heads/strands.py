"""Hairs and other thin things as polylines: from nodes to lines on the picture, and the light on them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.camera import Camera
from training.heads.light import Rig, Shadows, reflected
from training.heads.noise import unit
from training.heads.raster import Lines

WIDEST = 2.6
"""Samples: what the rasteriser's reach of one sample to either side can cover."""


@dataclass
class Strands:
    """R strands of K nodes on N heads. Strands whose opacity is 0 aren't there."""

    nodes: Tensor
    """(N, R, K, 3) posed, decimetres."""
    width: Tensor
    """(N, R, K) decimetres."""
    opacity: Tensor
    """(N, R) 0..1."""
    colour: Tensor
    """(N, R, 3) linear RGB."""
    centre: Tensor
    """(N, 3): hairs are lit like a soft ball around it."""
    knots: int = 2
    """Nodes of a strand at which light is measured."""
    gloss: float = 1.0
    casts: bool = False
    lift: float = 0.0
    """Decimetres by which the strands come before the skin they lie on."""
    number: Tensor | None = None
    """(N, R): the strands' own numbers, once those that aren't there have been left out."""

    def present(self) -> Strands:
        """The strands that are there, in the same order; heads with fewer are filled up with some of opacity 0."""
        count = int((self.opacity > 0).sum(1).max()) if self.opacity.numel() else 0
        kept = (self.opacity <= 0).to(torch.int8).argsort(dim=1, stable=True)[:, :count]

        def some(values: Tensor) -> Tensor:
            return values.take_along_dim(kept.view(*kept.shape, *(1,) * (values.ndim - 2)), 1)

        nodes, width, opacity, colour = (some(each) for each in (self.nodes, self.width, self.opacity, self.colour))
        return replace(self, nodes=nodes, width=width, opacity=opacity, colour=colour, number=kept)

    def lines(self, camera: Camera, side: int) -> Lines:
        """All pieces that can be seen on pictures of side x side samples."""
        xy, depth = camera.project(self.nodes.flatten(1, 2))
        xy, depth = (xy * side).view(*self.nodes.shape[:3], 2), (depth - self.lift).view(self.nodes.shape[:3])
        width = self.width * camera.samples_per_unit(side)[:, None, None]
        # What is thinner than a hair's breadth of a sample, or wider than can be drawn, trades width for opacity.
        drawn = width.clamp(0.35, WIDEST)
        ends = torch.stack([xy[:, :, :-1], xy[:, :, 1:]], 3)
        inside = ((ends.amax(3) > 0) & (ends.amin(3) < side)).all(-1) & (self.opacity > 0)[..., None]
        inside &= (ends[..., 1, :] - ends[..., 0, :]).abs().amax(-1) > 1e-4
        head, strand, piece = inside.nonzero().unbind(1)
        pair = torch.stack([piece, piece + 1], 1)
        at = (head[:, None], strand[:, None], pair)
        thin = (width[at] / drawn[at]).mean(1).clamp(max=1)
        pieces = self.nodes.shape[2] - 1
        own = strand if self.number is None else self.number[head, strand]
        opacity = self.opacity[head, strand] * thin
        return Lines(xy[at], depth[at], drawn[at], opacity, head, own, strand * pieces + piece)

    def occluders(self) -> Tensor:
        """(N, O, 3) nodes of every fourth strand; those that aren't there hide in their roots."""
        some, there = self.nodes[:, ::4], self.opacity[:, ::4] > 0.3
        return torch.where(there[..., None, None], some, some[:, :, :1]).flatten(1, 2)


@dataclass(frozen=True)
class StrandLight:
    """At a few knots of each strand, (N, R, knots, 7): matt light, share of each lamp, openness."""

    values: Tensor

    def at(self, head: Tensor, strand: Tensor, along: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Interpolated at 0..1 `along` strands: (P, 3), (P, 3), (P, 1)."""
        last = self.values.shape[2] - 1
        place = along.clamp(0, 1) * last
        low = place.long().clamp(max=last - 1)
        share = (place - low)[:, None]
        mixed = self.values[head, strand, low] * (1 - share) + self.values[head, strand, low + 1] * share
        matt, lamps, opened = mixed.split([3, 3, 1], 1)
        return matt, lamps, opened


def light_strands(strands: Strands, shadows: Shadows) -> StrandLight:
    """Light along the strands, outward from the head."""
    count = strands.nodes.shape[2]
    knots = torch.linspace(0, count - 1, strands.knots, device=strands.nodes.device).round().long()
    points = strands.nodes[:, :, knots].flatten(1, 2)
    outward = F.normalize(points - strands.centre[:, None], dim=-1)
    lit = shadows.light(points + 0.02 * outward, outward, bias=0.08, soft=0.35)
    values = torch.cat([reflected(lit.sh, outward), lit.lamps, lit.open], -1)
    return StrandLight(values.view(*strands.nodes.shape[:2], strands.knots, 7))


def shade_strands(
    strands: Strands, tag: Tensor, head: Tensor, share: Tensor, shadows: Shadows, camera: Camera, rig: Rig
) -> Tensor:
    """Radiance (P, 3) of pieces `tag` (P,) at 0..1 `share` of their way (Kajiya & Kay 1989)."""
    pieces = strands.nodes.shape[2] - 1
    strand, piece = tag // pieces, tag % pieces
    start, end = strands.nodes[head, strand, piece], strands.nodes[head, strand, piece + 1]
    along = (piece + share) / pieces
    matt, lamps, opened = light_strands(strands, shadows).at(head, strand, along)
    point = start + (end - start) * share[:, None]
    own = unit((strand if strands.number is None else strands.number[head, strand]) * 77 + 5)[:, None]
    colour = strands.colour[head, strand] * (0.72 + 0.56 * own) * (0.65 + 0.4 * along[:, None].sqrt())
    shade = colour * matt * (0.35 + 0.75 * opened.clamp(0, 1)) * 1.25
    tangent = F.normalize(end - start, dim=1)
    outward = F.normalize(point - strands.centre[head], dim=1)
    tangent = F.normalize(tangent + (own - 0.5) * 0.25 * outward, dim=1)
    eye = camera.of(head).towards(point)
    power = rig.power()[head]
    for k in range(power.shape[1]):
        shine = _highlights(tangent, outward, eye, rig.towards[head, k], colour) * lamps[:, k : k + 1]
        shade = shade + strands.gloss * shine * power[:, k]
    return shade


def _highlights(tangent: Tensor, outward: Tensor, eye: Tensor, lamp: Tensor, colour: Tensor) -> Tensor:
    """(P, 3): a white highlight on the surface, and one in the hair's own colour a little towards the tips."""
    half = F.normalize(eye + lamp, dim=1)
    facing = ((outward * lamp).sum(1, keepdim=True) * 0.7 + 0.3).clamp(min=0)
    first = _ridge(F.normalize(tangent - 0.12 * outward, dim=1), half, 60.0) * 0.018
    second = _ridge(F.normalize(tangent + 0.15 * outward, dim=1), half, 14.0) * 0.10
    return facing * (first + second * colour.clamp(max=1) ** 0.85)


def _ridge(tangent: Tensor, half: Tensor, power: float) -> Tensor:
    cosine = (tangent * half).sum(1, keepdim=True)
    return (1 - cosine * cosine).clamp(min=0) ** (power / 2)
