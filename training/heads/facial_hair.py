"""Brows, lashes and beards: short strands on the face."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.browline import above_brow, along_brow, brow_density, brow_lines
from training.heads.geometry import Body, Geometry
from training.heads.hair import strand_colours
from training.heads.looks import Looks
from training.heads.noise import smooth, smoothstep
from training.heads.people import Person
from training.heads.roots import Roots, scatter_roots
from training.heads.strands import Strands

BROW_ROOTS, LASH_ROOTS, BEARD_ROOTS = 8000, 300, 9000
_BROW_NODES, _LASH_NODES, _BEARD_NODES = 5, 4, 6


class FacialHair:
    """Roots of brows, lashes and beards, which all heads share."""

    def __init__(self, geometry: Geometry) -> None:
        neutral = geometry.neutral
        x, y, z = neutral[:, 0].abs(), neutral[:, 1], neutral[:, 2]
        self.brow_roots = scatter_roots(geometry, BROW_ROOTS, _band(x, 0.05, 0.64) * _band(y, 7.30, 7.60) * (z > 1.0))
        self.beard_roots = scatter_roots(geometry, BEARD_ROOTS, _beard_reach(neutral))
        rim = _lid_rim(geometry)
        self.lash_roots = scatter_roots(geometry, LASH_ROOTS, rim)

    def brows(
        self, body: Body, normals: Tensor, people: list[Person], ages: list[float], looks: list[Looks], seeds: Tensor
    ) -> Strands:
        """Strands that fan outwards along an arch."""
        roots = self.brow_roots
        line = brow_lines(people, ages, seeds.device).column()
        there = (roots.random(seeds, 41) < 0.85 * brow_density(roots.neutral, line)).float()
        side = torch.where(roots.neutral[:, 0] < 0, -1.0, 1.0)
        along = along_brow(roots.neutral)
        up = 0.9 * smoothstep(0.35, 0.0, along) - 0.35 * smoothstep(0.4, 0.9, along)
        lean = up - above_brow(roots.neutral, line) * 0.25 + 0.3 * (roots.random(seeds, 42) - 0.5)
        way = torch.stack([side.expand_as(lean), lean, torch.zeros_like(lean)], -1)
        length = line.long * (0.05 + 0.035 * roots.random(seeds, 43))
        nodes = _short_paths(roots, body, normals, way, length, 0.12, 0.12, _BROW_NODES)
        colour = strand_colours([_slower_grey(look) for look in looks], roots.random(seeds, 44), 0 * along)
        colour = (colour * 0.7).minimum(colour.new_tensor([0.24, 0.18, 0.14]))
        return _posed(body, nodes, 0.008, there * 0.34, colour, lift=0.03)

    def lashes(self, body: Body, normals: Tensor, people: list[Person], ages: list[float], seeds: Tensor) -> Strands:
        """Strands at the rims of the lids, the upper ones longer."""
        roots = self.lash_roots
        upper = (roots.neutral[:, 1] > 7.275).float()
        size = _columns([_lash_size(*each) for each in zip(people, ages, strict=True)], seeds.device)
        side = torch.where(roots.neutral[:, 0] < 0, -1.0, 1.0)
        outer = (roots.neutral[:, 0].abs() - 0.31) / 0.16 * side
        rise = (0.35 * upper - 0.5 * (1 - upper)).expand(len(seeds), -1)
        way = torch.stack([0.8 * outer.expand_as(rise), rise, 1.0 + 0 * rise], -1)
        length = size * (0.02 + 0.03 * upper) * (0.7 + 0.6 * roots.random(seeds, 51))
        nodes = _short_paths(roots, body, normals, way, length, 0.2, 0.0, _LASH_NODES)
        up = torch.linspace(0, 1, _LASH_NODES, device=nodes.device) ** 2
        nodes[..., 1] += (0.5 * length * upper)[..., None] * up
        there = (roots.random(seeds, 52) < 0.35 + 0.65 * upper).float()
        colour = torch.full((*length.shape, 3), 0.012, device=nodes.device)
        return _posed(body, nodes, 0.006, there * (0.2 + 0.4 * upper), colour, lift=0.03)

    def beards(self, body: Body, normals: Tensor, people: list[Person], looks: list[Looks], seeds: Tensor) -> Strands:
        """Strands that hang from cheeks, jaw, chin and lip, as the kind of beard has it."""
        roots = self.beard_roots
        rows = [_beard_numbers(*each) for each in zip(people, looks, strict=True)]
        jaw, chin, lip, density, long = _columns(rows, seeds.device)
        x, y, z = roots.neutral.unbind(1)
        jaw_area, chin_area, lip_area = _beard_areas(x.abs(), y, z)
        area = torch.maximum(torch.maximum(jaw * jaw_area, chin * chin_area), lip * lip_area)
        there = (roots.random(seeds, 61) < area * (0.55 + 0.45 * density)).float()
        random = [roots.random(seeds, 62 + axis) - 0.5 for axis in range(3)]
        aside = 0.9 * x * (1 + lip_area * 4)
        way = torch.stack([aside + 0.7 * random[0], -1.0 + 0.5 * random[1], 0.25 + 0.5 * random[2]], -1)
        length = (0.045 + long * 0.24 * (0.35 + 0.65 * chin_area)) * (0.6 + 0.8 * roots.random(seeds, 66))
        length = length * (1 - 0.62 * lip_area)
        nodes = _short_paths(roots, body, normals, way, length, 0.55, 0.35, _BEARD_NODES)
        # Beards are curlier than heads.
        t = torch.linspace(0, 1, _BEARD_NODES, device=nodes.device)
        angle = 6.3 * (roots.random(seeds, 67)[..., None] + 1.3 * t)
        swing = (0.16 * length)[..., None] * t
        nodes[..., 0] += swing * angle.cos()
        nodes[..., 2] += swing * angle.sin()
        colour = 0.9 * strand_colours([_faster_grey(look) for look in looks], roots.random(seeds, 65), 0.8 * chin_area)
        return _posed(body, nodes, 0.0085, there * 0.75, colour, lift=0.01)


def _lash_size(person: Person, age: float) -> float:
    grown = 0.6 + 0.4 * smooth(8, 16, age)
    return (1.25 if person.female else 0.8) * grown * (1 - 0.4 * smooth(55, 90, age))


def _beard_numbers(person: Person, looks: Looks) -> tuple[float, ...]:
    """Shares of jaw, chin and lip; density, length."""
    shares = {"full": (1, 1, 1), "short full": (1, 1, 1), "goatee": (0, 1, 0.8), "moustache": (0, 0, 1)}
    jaw, chin, lip = shares.get(person.beard.kind, (0, 0, 0))
    grown = looks.beard
    long = 0.08 + (0.12 if person.beard.kind == "short full" else 0.92) * person.beard.length
    return jaw * grown, chin * grown, lip * grown, person.beard.density, long * grown


def _slower_grey(looks: Looks) -> Looks:
    return Looks(looks.skin, looks.hair, looks.turned, 0.7 * looks.grey**1.5, looks.bald, looks.thin, looks.beard)


def _faster_grey(looks: Looks) -> Looks:
    return Looks(looks.skin, looks.hair, looks.turned, min(1.0, 1.25 * looks.grey), looks.bald, looks.thin, looks.beard)


def _beard_areas(x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(R,) 0..1: jaw with cheeks and sideburns, chin, upper lip; x without its sign."""
    lips = torch.exp(-(((x / 0.23) ** 2 + ((y - 6.52) / 0.062) ** 2) ** 2))
    line = 6.62 + 0.55 * smoothstep(0.35, 0.78, x)
    cheek = smoothstep(0.04, -0.08, y - line) * smoothstep(0.22, 0.45, z)
    under = smoothstep(6.0, 6.16, y + 0.2 * (z - 1.0).clamp(max=0))
    jaw = cheek * under * (1 - lips) * smoothstep(0.85, 0.80, x)
    chin = smoothstep(0.30, 0.20, x) * smoothstep(6.50, 6.44, y) * under * (1 - lips) * smoothstep(0.9, 1.1, z)
    shape = ((x / 0.27) ** 2 + ((y - 6.735 + 0.3 * x * x) / 0.045) ** 2) ** 2
    return jaw, chin, torch.exp(-shape) * (z > 1.15) * (1 - lips)


def _beard_reach(neutral: Tensor) -> Tensor:
    areas = _beard_areas(neutral[:, 0].abs(), neutral[:, 1], neutral[:, 2])
    return torch.stack(areas).amax(0)


def _band(x: Tensor, low: float, high: float) -> Tensor:
    return ((x > low) & (x < high)).float()


def _lid_rim(geometry: Geometry) -> Tensor:
    """(S,) 1 on places shared by the face and the inside of the lids, which have boxes of their own in the atlas."""
    assets = geometry.assets
    corners, shift = assets.skin.place[assets.skin.faces], assets.skin_shift
    touched = []
    for box in (0, len(assets.skin_boxes) - 1):
        own = assets.skin_boxes[box, 4:6] - assets.skin_boxes[box, 0:2]
        mine = (shift == shift.new_tensor(own.tolist())).all(1)
        places = torch.zeros(len(geometry.neutral), device=shift.device)
        touched.append(places.index_fill_(0, corners[mine].flatten(), 1.0))
    return touched[0] * touched[1]


def _columns(rows: list[tuple[float, ...]] | list[float], device: torch.device) -> Tensor:
    """Rows of numbers, one a head, to columns (C, N, 1); single numbers to (N, 1)."""
    table = torch.tensor(rows, dtype=torch.float32, device=device)
    return table.T[..., None] if table.ndim == 2 else table[:, None]


def _short_paths(
    roots: Roots, body: Body, normals: Tensor, way: Tensor, length: Tensor, rise: float, droop: float, count: int
) -> Tensor:
    """(N, R, count, 3): from the skin along `way` (N, R, 3), `rise` of the normal added, drooping towards the tip."""
    place, normal = roots.on(body.skin.still), F.normalize(roots.on(normals), dim=-1)
    along = F.normalize(way - (way * normal).sum(-1, keepdim=True) * normal * (1 - rise), dim=-1)
    way = F.normalize(along + rise * normal, dim=-1)
    t = torch.linspace(0, 1, count, device=place.device)[:, None]
    down = torch.tensor([0.0, -1.0, 0.0], device=place.device)
    bend = way[:, :, None] * t + (droop * down - 0.5 * rise * normal)[:, :, None] * t * t
    return place[:, :, None] + length[..., None, None] * bend


def _posed(body: Body, nodes: Tensor, width: float, opacity: Tensor, colour: Tensor, lift: float) -> Strands:
    count = nodes.shape[2]
    taper = torch.linspace(1, 0.3, count, device=nodes.device)
    posed = body.pose.apply(nodes.flatten(1, 2)).view(nodes.shape)
    centre = posed.new_zeros(len(posed), 3) if not nodes.shape[1] else body.pose.apply(_middle(body))[:, 0]
    return Strands(posed, width * taper.expand(nodes.shape[:3]), opacity, colour, centre, gloss=0.5, lift=lift)


def _middle(body: Body) -> Tensor:
    """(N, 1, 3): a point in each unposed head, behind the nose."""
    return body.base.new_tensor([0.0, 7.1, 0.5]).expand(len(body.base), 1, 3)
