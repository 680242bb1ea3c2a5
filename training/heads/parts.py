"""Surfaces of the scene: teeth, tongue, clothes; and how surfaces become triangles and samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training.heads.assets import read_linear
from training.heads.camera import Camera
from training.heads.geometry import Body, Geometry, Surface
from training.heads.noise import uniform
from training.heads.people import Person, View
from training.heads.raster import Triangles, shares_of
from training.heads.samples import Samples
from training.heads.textures import bilinear

_TEXTURE_SIDE = 256
_CLOTH_POINTS = 3000


@dataclass
class Part:
    """A surface on some heads of the batch; `texture` is its row among the wardrobe's pictures."""

    kind: str
    surface: Surface
    texture: int | None
    drawn: Triangles | None = None

    def triangles(self, camera: Camera, side: int) -> Triangles:
        """All faces of all its heads on pictures of side x side samples."""
        surface, mesh = self.surface, self.surface.mesh
        xy, depth = camera.of(surface.heads).project(surface.points)
        # Cloth lies on skin: what is a little behind it still counts as before it.
        depth = depth - (0.05 if self.kind == "cloth" else 0.0)
        corners = mesh.place[mesh.faces]
        heads = surface.heads.repeat_interleave(len(corners))
        self.drawn = Triangles((xy * side)[:, corners].reshape(-1, 3, 2), depth[:, corners].reshape(-1, 3), heads)
        return self.drawn

    def samples(self, at: Tensor, which: Tensor, middle: Tensor) -> Samples:
        """The samples (P,) where its triangles `which` (P,) are seen."""
        assert self.drawn is not None
        shares = shares_of(self.drawn, which, middle)
        faces = len(self.surface.mesh.faces)
        return Samples(at, self.drawn.head[which], which // faces, which % faces, shares)


class Wardrobe:
    """Teeth, tongue and clothes, with their pictures."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.names = [*geometry.assets.clothes("female"), *geometry.assets.clothes("male"), "teeth", "tongue"]
        folder = geometry.assets.folder
        pictures = [read_linear(folder, name, _TEXTURE_SIDE) for name in self.names]
        self.pictures = torch.from_numpy(np.stack(pictures)).to(geometry.assets.device)

    def dress(self, body: Body, people: list[Person], views: list[View]) -> list[Part]:
        """The parts of these heads; each garment is fitted once to all who wear it."""
        everyone = body.skin.heads
        parts = [Part(name, self.geometry.fit(body, name, everyone, rigid=True), self.names.index(name))
                 for name in ("teeth", "tongue")]  # fmt: skip
        worn = [garment_of(self.geometry, person, view) for person, view in zip(people, views, strict=True)]
        for name in sorted(set(worn)):
            heads = torch.tensor([i for i, each in enumerate(worn) if each == name], device=everyone.device)
            surface = self.geometry.fit(body, name, heads, rigid=False)
            surface.points = surface.points + 0.025 * surface.normals
            parts.append(Part("cloth", surface, self.names.index(name)))
        return parts

    def occluders(self, parts: list[Part], count: int) -> Tensor:
        """(N, O, 3) points on the clothes."""
        points = torch.zeros(count, _CLOTH_POINTS, 3, device=self.pictures.device)
        for part in parts:
            if part.kind == "cloth":
                mesh = part.surface.mesh
                pick = uniform(torch.zeros(1, dtype=torch.int64, device=points.device), 5, _CLOTH_POINTS)[0]
                faces = mesh.place[mesh.faces][(pick * len(mesh.faces)).long()]
                points[part.surface.heads] = part.surface.points[:, faces].mean(2)
        return points

    def albedo(self, part: Part, samples: Samples, views: list[View]) -> Tensor:
        """Linear RGB (P, 3)."""
        assert part.texture is not None
        mesh = part.surface.mesh
        uv = (mesh.uv[mesh.faces[samples.face]] * samples.shares[..., None]).sum(1)
        place = torch.stack([uv[:, 0], 1 - uv[:, 1]], 1) * _TEXTURE_SIDE
        colour = bilinear(self.pictures, torch.full_like(samples.at, part.texture), place)
        if part.kind == "teeth":
            return colour * colour.new_tensor([0.72, 0.69, 0.61])
        if part.kind == "tongue":
            return colour * 0.7
        tints = torch.tensor(np.stack([_cloth_tint(view) for view in views]), dtype=torch.float32, device=uv.device)
        return (0.45 * colour + 0.55 * colour.mean(1, keepdim=True)) * tints[samples.head]


def garment_of(geometry: Geometry, person: Person, view: View) -> str:
    """The name of what the person wears in this view."""
    names = geometry.assets.clothes(person.gender)
    return names[view.clothes % len(names)]


def _cloth_tint(view: View) -> np.ndarray:
    rng = np.random.default_rng([view.clothes, 3])
    return np.asarray(np.exp(rng.normal(0, 0.3, 3) + rng.normal(-0.1, 0.5)))


def scatter_points(places: Tensor, corners: Tensor, count: int, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Points spread over faces by area times `weight` (F,): faces (count,) and shares of their corners (count, 3)."""
    a, b, c = (places[corners[:, k]].double() for k in range(3))
    area = torch.linalg.cross(b - a, c - a).norm(dim=1)
    total = (area if weight is None else area * weight).cumsum(0)
    seed = torch.full((1,), 97, dtype=torch.int64, device=places.device)
    pick, u, v = (uniform(seed, stream, count)[0] for stream in (1, 2, 3))
    face = torch.searchsorted(total, pick.double() * total[-1]).clamp(max=len(corners) - 1)
    root = u.sqrt()
    return face, torch.stack([1 - root, root * (1 - v), root * v], 1)
