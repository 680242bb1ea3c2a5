"""From weights of shape targets to posed meshes, for N heads at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.assets import Fitted, HeadAssets, Mesh
from training.heads.people import Person, View
from training.heads.shape import morph_weights


@dataclass(frozen=True)
class Pose:
    """Turns of head and body in radians, each (N,), about `pivot` (N, 3)."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    body_yaw: Tensor
    pivot: Tensor

    def head(self) -> Tensor:
        """(N, 3, 3): how the head itself is turned."""
        ones = torch.ones_like(self.yaw)
        return _turn(self.body_yaw, 0 * ones, 0 * ones) @ _turn(self.yaw - self.body_yaw, self.pitch, self.roll)

    def apply(self, points: Tensor, head_weight: Tensor | None = None) -> Tensor:
        """(N, P, 3) points turned by the share (P,) of the head's turn, by all of it if None; then by the body's."""
        if head_weight is None:
            turned = (points - self.pivot[:, None]) @ self.head().transpose(1, 2)
            return turned + self.pivot[:, None]
        share = head_weight.expand(points.shape[:2])
        angles = (self.yaw - self.body_yaw, self.pitch, self.roll)
        own = _turn(*(angle[:, None] * share for angle in angles))
        turned = (own @ (points - self.pivot[:, None])[..., None])[..., 0]
        body = _turn(self.body_yaw, torch.zeros_like(self.yaw), torch.zeros_like(self.yaw))
        return turned @ body.transpose(1, 2) + self.pivot[:, None]


def _turn(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3): roll first, then pitch, then yaw."""
    (cy, sy), (cp, sp), (cr, sr) = ((a.cos(), a.sin()) for a in (yaw, pitch, roll))
    rows = [
        torch.stack([cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp], -1),
        torch.stack([cp * sr, cp * cr, -sp], -1),
        torch.stack([cy * sp * sr - sy * cr, cy * sp * cr + sy * sr, cy * cp], -1),
    ]
    return torch.stack(rows, -2)


@dataclass
class Surface:
    """One mesh on M heads: posed places and normals (M, S, 3), unposed places, and which heads (M,) they belong to."""

    mesh: Mesh
    points: Tensor
    normals: Tensor
    still: Tensor
    heads: Tensor


@dataclass
class Body:
    """The shapes of N heads: base vertices unposed (N, V, 3), the pose, the skin, and neutral places (S, 3)."""

    base: Tensor
    pose: Pose
    skin: Surface


class Geometry:
    """Shapes of people, from the assets alone."""

    def __init__(self, assets: HeadAssets) -> None:
        self.assets = assets
        self.neutral = self.subdivide(assets.vertices[None])[0]
        """(S, 3): the skin of the base mesh, by whose places everything on the skin is laid out."""
        self.skin_weight = self.subdivide(assets.head_weight[None, :, None])[0, :, 0]

    def subdivide(self, values: Tensor) -> Tensor:
        """(N, V, C) on base vertices to (N, S, C) on the skin's places, terms always in the same order."""
        total = torch.zeros(len(values), self.assets.smooth_index.shape[1], values.shape[2], device=values.device)
        for index, weight in zip(self.assets.smooth_index, self.assets.smooth_weight, strict=True):
            total = total + values[:, index] * weight[:, None]
        return total

    def body(self, people: list[Person], ages: list[float], views: list[View]) -> Body:
        """Shape, expression and pose of each (person, age, view)."""
        a = self.assets
        rows = [morph_weights(a.target_names, *each) for each in zip(people, ages, views, strict=True)]
        weights = torch.from_numpy(np.stack(rows)).to(a.device)
        base = a.vertices + (weights @ a.targets).float().view(len(rows), -1, 3)
        angles = torch.tensor([[v.yaw, v.pitch, v.roll, v.body_yaw] for v in views], device=a.device).deg2rad()
        yaw, pitch, roll, body_yaw = angles.unbind(1)
        pose = Pose(yaw, pitch, roll, body_yaw, base[:, a.joints["neck"]].mean(1))
        still = self.subdivide(base)
        points = pose.apply(still, self.skin_weight)
        heads = torch.arange(len(rows), device=a.device)
        return Body(base, pose, Surface(a.skin, points, vertex_normals(points, a.skin), still, heads))

    def fit(self, body: Body, name: str, heads: Tensor, rigid: bool) -> Surface:
        """A mesh of the assets on the heads (M,) of the batch; rigid: it follows the head's turn fully."""
        part = self.assets.fitted[name]
        still = _fitted(part, body.base[heads])
        weight = None if rigid else (self.assets.head_weight[part.ref] * part.weights).sum(1)
        points = select_pose(body.pose, heads).apply(still, weight)
        return Surface(part.mesh, points, vertex_normals(points, part.mesh), still, heads)


def select_pose(pose: Pose, heads: Tensor) -> Pose:
    """The poses of some heads."""
    return Pose(pose.yaw[heads], pose.pitch[heads], pose.roll[heads], pose.body_yaw[heads], pose.pivot[heads])


def _fitted(part: Fitted, base: Tensor) -> Tensor:
    ends = base[:, part.scale_vertices]
    axes = torch.arange(3, device=base.device)
    scale = (ends[:, axes, 0, axes] - ends[:, axes, 1, axes]).abs() / part.scale_length
    return (base[:, part.ref] * part.weights[:, :, None]).sum(2) + part.offset * scale[:, None]


def face_normals(points: Tensor, mesh: Mesh) -> Tensor:
    """(M, F, 3), as long as twice the triangle's area."""
    a, b, c = (points[:, mesh.place[mesh.faces[:, k]]] for k in range(3))
    return torch.linalg.cross(b - a, c - a)


def vertex_normals(points: Tensor, mesh: Mesh) -> Tensor:
    """(M, S, 3) unit normals: the sum over incident faces, always in the same order."""
    faces = F.pad(face_normals(points, mesh), (0, 0, 0, 1))
    total = torch.zeros_like(points)
    for k in range(mesh.incident.shape[1]):
        total = total + faces[:, mesh.incident[:, k]]
    return F.normalize(total, dim=-1, eps=1e-12)
