"""Hair of the head: strands that grow from the scalp, combed, parted, curled and cut by style, in unposed space."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.geometry import Body, Geometry
from training.heads.looks import BALD_FROM, Looks
from training.heads.noise import scramble, smoothstep, unit, value_noise
from training.heads.people import Person
from training.heads.roots import Roots, scatter_roots
from training.heads.scalp import Hairline, hair_density
from training.heads.strands import Strands

ROOTS, NODES = 9000, 18
_SQUARENESS = 2.4


@dataclass(frozen=True)
class Style:
    """Lengths in decimetres (shortest, longest of a style; a person's length lies between); directions as weights."""

    top: tuple[float, float]
    sides: tuple[float, float]
    lift: float
    aside: float
    ahead: float
    down: float
    weight: float
    """How strongly gravity bends the strands."""
    volume: float
    hug: float = 0.3
    """How fast they lie down on the head."""
    fringe: float = 0.0
    tied: float = 0.0
    round: float = 0.0


STYLES = {
    "short01": Style((0.12, 0.30), (0.06, 0.14), 0.8, 0.15, 0.5, 0.2, 0.15, 0.04),
    "short02": Style((0.40, 0.75), (0.12, 0.25), 0.55, 1.0, 0.15, 0.0, 0.35, 0.09, 0.35),
    "short03": Style((0.45, 0.85), (0.15, 0.32), 0.5, 0.1, -1.0, 0.0, 0.2, 0.10),
    "short04": Style((0.40, 0.65), (0.20, 0.40), 0.25, 0.25, 0.9, 0.3, 0.4, 0.07, fringe=1.0),
    "short05": Style((0.025, 0.07), (0.02, 0.05), 1.2, 0.0, 0.3, 0.1, 0.0, 0.01, 0.05),
    "bob01": Style((1.6, 2.1), (0.75, 1.15), 0.2, 1.0, -0.35, 0.1, 0.9, 0.12),
    "bob02": Style((1.6, 2.0), (0.75, 1.1), 0.2, 0.8, -0.2, 0.2, 0.9, 0.12, fringe=1.0),
    "long01": Style((2.5, 3.8), (1.7, 2.9), 0.2, 1.0, -0.35, 0.1, 0.9, 0.13),
    "ponytail01": Style((1.6, 2.4), (1.6, 2.4), 0.1, 0.0, -1.0, 0.0, 0.6, 0.05, tied=1.0),
    "afro01": Style((0.22, 0.75), (0.14, 0.55), 1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, round=1.0),
}
_SIZES = [name for name in Style.__dataclass_fields__ if name not in ("top", "sides")]


@dataclass(frozen=True)
class Skull:
    """An ellipsoid around each head's braincase: `middle`, `radii` (N, 3), and the height of the brows (N,)."""

    middle: Tensor
    radii: Tensor
    brow: Tensor

    def height(self, points: Tensor) -> Tensor:
        """(N, R) decimetres of points above the surface, 0 for those inside."""
        return ((self.ratio(points) - 1) * self.radii.mean(1)[:, None]).clamp(min=0)

    def ratio(self, points: Tensor) -> Tensor:
        """(N, R) distances of points from the middle, in those of the surface."""
        # A skull is squarer than an ellipsoid.
        inner = ((points - self.middle[:, None]) / self.radii[:, None]).abs().clamp(min=1e-4)
        return (inner**_SQUARENESS).sum(-1) ** (1 / _SQUARENESS)

    def outside(self, points: Tensor, gap: Tensor) -> Tensor:
        """(N, R, 3) points, those inside moved out to `gap` (N, R) decimetres above the surface."""
        far = self.ratio(points)[..., None]
        limit = 1 + gap[..., None] / self.radii.mean(1)[:, None, None]
        return self.middle[:, None] + (points - self.middle[:, None]) * (limit / far).clamp(min=1)


class HairGrower:
    """What all heads share: roots on the scalp, and the places by which a skull is measured."""

    def __init__(self, geometry: Geometry) -> None:
        neutral = geometry.neutral
        one = torch.ones((), device=neutral.device)
        fullest = Hairline(-0.12 * one, one, 0 * one, one, 0 * one, 0 * one)
        self.roots: Roots = scatter_roots(geometry, ROOTS, hair_density(neutral, fullest))
        self.eyes = geometry.assets.joints["l-eye"]
        y, z = neutral[:, 1], neutral[:, 2]
        self.cap = ((y > 7.5) & (neutral[:, 0].abs() < 1)).nonzero()[:, 0]
        self.temples = ((y > 7.5) & (y < 7.75) & (z > 0.2) & (z < 0.8)).nonzero()[:, 0]

    def skull(self, body: Body) -> Skull:
        """The braincases of these people, measured at crown, brow, back and temples."""
        cap = body.skin.still[:, self.cap]
        top, front, back = cap[..., 1].amax(1), cap[..., 2].amax(1), cap[..., 2].amin(1)
        wide = body.skin.still[:, self.temples, 0].abs().amax(1)
        eyes = body.base[:, self.eyes, 1].mean(1)
        high = (top - eyes) * 0.86
        middle = torch.stack([torch.zeros_like(top), top - high, (front + back) / 2], 1)
        brow = eyes + 0.14 * (top - eyes)
        tight = Skull(middle, torch.stack([wide, high, (front - back) / 2], 1), brow)
        # Nearly all of the scalp must lie inside, or hair that is combed flat would vanish in the skin.
        reach = tight.ratio(cap).quantile(0.98, dim=1)
        return Skull(middle, tight.radii * reach[:, None], brow)

    def grow(
        self, body: Body, normals: Tensor, people: list[Person], looks: list[Looks], line: Hairline, seeds: Tensor
    ) -> Strands:
        """Hair on all heads, posed; `normals` (N, S, 3) of the unposed skin."""
        roots, skull = self.roots, self.skull(body)
        place, normal = roots.on(body.skin.still), F.normalize(roots.on(normals), dim=-1)
        density = hair_density(roots.neutral, line.column())
        numbers = _style_numbers(people, looks, seeds.device)
        path = _paths(roots, place, normal, density, numbers, skull, seeds)
        # Who is nearly bald shaves the rest.
        left = torch.tensor([(BALD_FROM - look.bald) / 0.1 for look in looks], device=seeds.device).clamp(0, 1)
        kept = (
            (roots.random(seeds, 1) < density * left[:, None])
            & (density > 0.02)
            & ~_strays(path, skull, numbers["fringe"])
        )
        taper = torch.linspace(1, 0.35, NODES, device=seeds.device)
        # Hairlines are soft: the hairs there are few, and fine.
        fine = 0.4 + 0.6 * density.clamp(0, 1)
        width = (fine * (0.0085 + 0.005 * roots.random(seeds, 2)))[..., None] * taper
        colour = strand_colours(looks, roots.random(seeds, 3), _early_grey(roots.neutral))
        posed = body.pose.apply(path.flatten(1, 2)).view(path.shape)
        centre = body.pose.apply(skull.middle[:, None])[:, 0]
        return Strands(posed, width, kept.float() * 0.95, colour, centre, knots=4, casts=True)


def strand_colours(looks: list[Looks], random: Tensor, early: Tensor) -> Tensor:
    """(N, R, 3): each strand is born-coloured or turned; where `early` (R,) is high, they turn earlier."""
    device = random.device
    born = torch.tensor([look.hair.tolist() for look in looks], device=device)[:, None]
    turned = torch.tensor([look.turned.tolist() for look in looks], device=device)[:, None]
    grey = torch.tensor([look.grey for look in looks], device=device)[:, None]
    share = (grey * (1 + early * (1.2 - grey))).clamp(0, 1)
    # Neighbouring shades are softened a little: a strand drawn stands for many hairs.
    is_grey = (torch.sigmoid((share * 1.16 - 0.08 - random) * 7) * (share * 12).clamp(max=1))[..., None]
    return born * (1 - is_grey) + turned * is_grey


def _early_grey(neutral: Tensor) -> Tensor:
    return 0.8 * smoothstep(7.9, 7.3, neutral[:, 1]) * smoothstep(0.3, 0.6, neutral[:, 2])


def _style_numbers(people: list[Person], looks: list[Looks], device: torch.device) -> dict[str, Tensor]:
    """One number a head (N, 1) for each size of its style and its own taste."""
    rows = []
    for person, look in zip(people, looks, strict=True):
        hair, style = person.hair, STYLES[person.hair.style]
        low_high = [low + (high - low) * hair.length for low, high in (style.top, style.sides)]
        longer = 1.35 if person.female and hair.style.startswith("short") else 1.0
        # The parting lies to one side, hardly ever in the very middle.
        part = 0.12 * (1 if hair.part > 0 else -1) + 0.24 * hair.part
        rest = [getattr(style, name) for name in _SIZES]
        rows.append(
            [
                *(length * longer for length in low_high),
                *rest,
                part,
                hair.curl,
                0.6 + 0.8 * hair.volume,
                0.6 * min(1.0, 1.6 * look.bald),
            ]
        )
    names = ["top", "sides", *_SIZES, "part", "curl", "own", "loss"]
    return dict(zip(names, torch.tensor(rows, device=device).T[..., None], strict=True))


def _paths(
    roots: Roots, place: Tensor, normal: Tensor, density: Tensor, style: dict[str, Tensor], skull: Skull, seeds: Tensor
) -> Tensor:
    """(N, R, NODES, 3): unposed strands."""
    length = _lengths(roots, place, density, style, skull, seeds)
    comb, fringe = _combing(roots, normal, style, seeds)
    wild = torch.stack([value_noise(roots.neutral, seeds[:, None] + 31 + axis, 5.0) for axis in range(3)], -1)
    wild = wild + 0.7 * torch.stack([roots.random(seeds, 6 + axis) * 2 - 1 for axis in range(3)], -1)
    way = F.normalize(normal * style["lift"][..., None] + comb + 0.14 * wild, dim=-1)
    layer = style["volume"] * style["own"] * (0.25 + 0.75 * roots.random(seeds, 5)) + 0.015
    # Close to the root nodes are closer: there strands bend most.
    places = torch.linspace(0, 1, NODES).pow(1.35).tolist()
    # Where the skull stands out of its ellipsoid, strands begin above that.
    rise = skull.height(place)
    down = torch.tensor([0.0, -1.0, 0.0], device=place.device)
    nodes, point = [place], place
    for k in range(1, NODES):
        share, step = places[k], (length * (places[k] - places[k - 1]))[..., None]
        # Gravity wins over the comb as the strand gets longer.
        fall = (style["weight"] * (length * share * 1.6).clamp(max=1.2))[..., None]
        way = way + 0.30 * comb * (1 - share) + 0.55 * fall * down + 0.035 * wild
        # Combed hair lies down: it keeps less and less of its way out of the skull.
        out = F.normalize((point - skull.middle[:, None]) / skull.radii[:, None] ** 2, dim=-1)
        away = (way * out).sum(-1, keepdim=True).clamp(min=0)
        way = F.normalize(way - style["hug"][..., None] * away * out, dim=-1)
        point = skull.outside(point + way * step, layer * min(1.0, 3 * share) + rise * (1 - share))
        point = _off_the_face(point, skull, fringe)
        nodes.append(point)
    path = torch.stack(nodes, 2)
    tied = style["tied"][..., None, None]
    if bool((tied > 0).any()):
        path = path * (1 - tied) + tied * _tied_paths(roots, place, length, layer, skull, seeds)
    return path + _curls(path, roots, length, style, seeds)


def _lengths(
    roots: Roots, place: Tensor, density: Tensor, style: dict[str, Tensor], skull: Skull, seeds: Tensor
) -> Tensor:
    """(N, R) decimetres: longer on top, shorter at the hairline; a fringe ends at the brows."""
    x, y, z = roots.neutral.unbind(1)
    top = smoothstep(7.6, 8.1, y)
    # Who loses hair wears the rest short.
    style = {**style, "top": style["top"] * (1 - style["loss"]), "sides": style["sides"] * (1 - style["loss"])}
    length = style["sides"] * (1 - top) + style["top"] * top
    length = length * (0.72 + 0.4 * roots.random(seeds, 4)) * (0.45 + 0.55 * density.clamp(0, 1))
    ahead = _is_fringe(x, y, z)
    to_brow = (place[..., 1] - skull.brow[:, None]) * 1.12 * (0.85 + 0.3 * roots.random(seeds, 4))
    cut = torch.minimum(length, to_brow.clamp(min=0.05))
    share = style["fringe"] * ahead
    return length * (1 - share) + cut * share


def _is_fringe(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """(R,) 1 for roots above the forehead."""
    angle = torch.atan2(y - 7.45, z - 0.55)
    return smoothstep(math.radians(78), math.radians(62), angle) * smoothstep(0.60, 0.45, x.abs())


def _combing(roots: Roots, normal: Tensor, style: dict[str, Tensor], seeds: Tensor) -> tuple[Tensor, Tensor]:
    """Directions (N, R, 3) along the skin in which strands are combed, and which (N, R) fall over the forehead."""
    x, y, z = roots.neutral.unbind(1)
    blur = 0.05 * (roots.random(seeds, 9) - 0.5)
    beside = x - style["part"] * smoothstep(7.2, 8.0, y) + blur
    # Right at the parting, too, strands belong to one side.
    side = torch.where(beside < 0, -1.0, 1.0) * torch.tanh(beside.abs() / 0.05).clamp(min=0.6)
    side = torch.where(style["aside"] > 0.5, side, torch.tanh(x / 0.3))
    fringe = style["fringe"] * _is_fringe(x, y, z)
    ahead = style["ahead"] * (1 - fringe) + 1.0 * fringe
    # Hair at the sides falls, whatever is done with that on top.
    low = smoothstep(7.9, 7.5, y)
    aside = style["aside"] * (1 - fringe) * (1 - 0.7 * low) * side
    down = style["down"] + low * (0.9 - 0.9 * style["round"]) + 0.5 * fringe
    comb = torch.stack([aside, -down, ahead * (1 - 0.5 * low)], -1)
    along = comb - (comb * normal).sum(-1, keepdim=True) * normal
    return along * (1 - style["round"])[..., None], fringe


def _off_the_face(point: Tensor, skull: Skull, fringe: Tensor) -> Tensor:
    """Strands that slide down in front of the face are drawn aside, but for a fringe."""
    x, y, z = point.unbind(-1)
    before = smoothstep(0.15, 0.45, (z - skull.middle[:, None, 2]) / skull.radii[:, None, 2])
    below = smoothstep(0.42, 0.15, (y - skull.middle[:, None, 1]) / skull.radii[:, None, 1])
    border = 0.88 * skull.radii[:, None, 0] * before * below * (1 - fringe)
    aside = torch.where(x < 0, -1.0, 1.0) * torch.maximum(x.abs(), border)
    return torch.stack([aside, y, z - 0.10 * before * below * (1 - fringe) * (x.abs() < border)], -1)


def _strays(path: Tensor, skull: Skull, fringe: Tensor) -> Tensor:
    """(N, R) bool: long strands that would cross the forehead, where only a fringe belongs."""
    x, y, z = ((path - skull.middle[:, None, None]) / skull.radii[:, None, None]).unbind(-1)
    crosses = ((z > 0.6) & (y < 0.42) & (x.abs() < 0.72)).any(-1)
    return crosses & (fringe < 0.5) & ((path[:, :, -1] - path[:, :, 0]).norm(dim=-1) > 0.45)


def _tied_paths(roots: Roots, place: Tensor, length: Tensor, layer: Tensor, skull: Skull, seeds: Tensor) -> Tensor:
    """(N, R, NODES, 3): over the skull to a knot at the back, then a tail."""
    # Along the great circle of the skull: a straight way would lead through it.
    start = F.normalize((place - skull.middle[:, None]) / skull.radii[:, None], dim=-1)
    knot = F.normalize(place.new_tensor([0.0, 0.22, -1.0]), dim=0)
    t = torch.linspace(0, 1.7, NODES, device=place.device)
    angle = torch.acos((start @ knot).clamp(-0.999, 0.999))[..., None, None]
    share = t.clamp(max=1)[:, None]
    over = torch.sin((1 - share) * angle) * start[:, :, None] + torch.sin(share * angle) * knot
    over = skull.middle[:, None, None] + skull.radii[:, None, None] * over / torch.sin(angle)
    rise = skull.height(place)[..., None] * (1 - t).clamp(min=0)
    over = skull.outside(over.flatten(1, 2), (rise + (layer * 0.6 + 0.02)[..., None]).flatten(1))
    over = torch.cat([place[:, :, None], over.view(*place.shape[:2], NODES, 3)[:, :, 1:]], 2)
    spread = torch.stack([roots.random(seeds, 12 + axis) - 0.5 for axis in range(3)], -1)[:, :, None]
    tail = (t - 1).clamp(min=0)[:, None]
    drop = torch.stack([0 * t, -tail[:, 0] * 2.4, -0.25 * torch.sin(tail[:, 0] * 3)], -1)
    held = smoothstep(0.75, 1.0, t)[:, None]
    swing = spread * (0.10 + 0.5 * tail) * held
    return over + drop * (length / 2.0)[..., None, None] + swing


def _curls(path: Tensor, roots: Roots, length: Tensor, style: dict[str, Tensor], seeds: Tensor) -> Tensor:
    """(N, R, NODES, 3): spirals around the strands, alike within a lock."""
    cell = (roots.neutral * 9).floor().long()
    lock = scramble((cell * torch.tensor([73, 179, 283], device=path.device)).sum(-1))
    phase = unit(lock + seeds[:, None]) + 0.25 * roots.random(seeds, 15)
    turns = ((1.0 + 5.0 * style["curl"]) * length.clamp(0.15, 1.2)).clamp(max=4.0)
    turns = torch.where(style["round"] > 0, 3.5 + 0 * turns, turns)
    t = torch.linspace(0, 1, NODES, device=path.device)
    angle = 2 * math.pi * (phase[..., None] + turns[..., None] * t)
    size = style["curl"] * torch.minimum(length * 0.16, 0.02 + 0.06 * style["curl"]) + 0.15 * style["round"] * length
    size = size[..., None] * smoothstep(0.0, 0.35, t)
    along = F.normalize(path[:, :, -1] - path[:, :, 0] + 1e-6, dim=-1)
    other = F.normalize(torch.linalg.cross(along, along.roll(1, -1) + 0.1), dim=-1)
    third = torch.linalg.cross(along, other)
    return size[..., None] * (angle.cos()[..., None] * other[:, :, None] + angle.sin()[..., None] * third[:, :, None])
