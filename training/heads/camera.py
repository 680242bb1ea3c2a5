"""One camera for each head, framed like FFHQ, and the five landmarks as the picture shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.geometry import Body, Geometry
from training.heads.people import View

REACH = 1.3
"""Half of the height in decimetres that the field of view spans at the face: it sets the camera's distance."""


@dataclass(frozen=True)
class Camera:
    """Cameras of N heads, looking along -z from `place` (N, 3); `square` (N, 2, 2) and `corner` (N, 2) cut the crop."""

    place: Tensor
    distance: Tensor
    square: Tensor
    corner: Tensor

    def of(self, heads: Tensor) -> Camera:
        """The cameras of some heads, in that order."""
        return Camera(self.place[heads], self.distance[heads], self.square[heads], self.corner[heads])

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(N, ..., 3) to places in the crop (N, ..., 2), 0..1 with y down, and depths (N, ...)."""
        spread = (len(points),) + (1,) * (points.ndim - 2)
        flat, depth = _flatten(points, self.place.view(*spread, 3), self.distance.view(spread))
        inside = flat - self.corner.view(*spread, 2)
        square = self.square.view(*spread, 2, 2)
        return (square @ inside[..., None])[..., 0], depth

    def towards(self, points: Tensor) -> Tensor:
        """Unit directions from points (N, ..., 3) to the camera."""
        spread = (len(points),) + (1,) * (points.ndim - 2)
        return F.normalize(self.place.view(*spread, 3) - points, dim=-1)

    def samples_per_unit(self, side: int) -> Tensor:
        """(N,): how many of `side` samples one decimetre at the face's middle covers."""
        return torch.linalg.det(self.square).abs().sqrt() * side


def _flatten(points: Tensor, place: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
    """The image plane through the face's middle (y down), and the depth."""
    depth = place[..., 2] - points[..., 2]
    flat = (points[..., :2] - place[..., :2]) * (distance / depth)[..., None]
    return flat * flat.new_tensor([1.0, -1.0]), depth


def frame(geometry: Geometry, body: Body, views: list[View]) -> Camera:
    """FFHQ's square from the eyeballs' centres and points beside the lip corners (Karras et al. 2019)."""
    joints, marks = geometry.assets.joints, geometry.assets.landmarks
    eyes = torch.stack([body.base[:, joints[name]].mean(1) for name in ("r-eye", "l-eye")], 1)
    corners = body.base[:, [marks["mouth_right"], marks["mouth_left"]]]
    points = body.pose.apply(torch.cat([eyes, corners], 1))
    centre = points.mean(1)
    fov = torch.tensor([view.fov for view in views], device=points.device)
    distance = REACH / torch.tan(fov * (math.pi / 360))
    place = centre + distance[:, None] * centre.new_tensor([0.0, 0.0, 1.0])
    flat, _ = _flatten(points, place[:, None], distance[:, None])
    square, corner = ffhq_square(flat)
    return Camera(place, distance, square, corner)


def ffhq_square(points: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 4, 2) eyes and mouth corners, y down, image-left first: maps (N, 2, 2) and corners (N, 2) of the crop.

    `map @ (point - corner)` is the place in the crop, 0..1.
    """
    eyes, mouth = points[:, :2].mean(1), points[:, 2:].mean(1)
    along, down = points[:, 1] - points[:, 0], mouth - eyes
    x = along - down.flip(1) * down.new_tensor([-1.0, 1.0])
    reach = torch.maximum(along.norm(dim=1) * 2.0, down.norm(dim=1) * 1.8)
    x = F.normalize(x, dim=1) * reach[:, None]
    y = x.flip(1) * x.new_tensor([-1.0, 1.0])
    return torch.linalg.inv(2 * torch.stack([x, y], 2)), eyes + 0.1 * down - x - y


def landmarks(geometry: Geometry, body: Body, camera: Camera, pupils: Tensor) -> Tensor:
    """(N, 5, 2) in 0..1 of the crop: posed pupils (N, 2, 3), nose tip, true lip corners; image-left first."""
    marks = geometry.assets.landmarks
    rest = body.pose.apply(body.base[:, [marks["nose"], marks["lip_right"], marks["lip_left"]]])
    return camera.project(torch.cat([pupils, rest], 1))[0]
