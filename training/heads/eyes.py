"""Eyes: turned by the gaze, iris and white drawn by their angle from the pupil's axis, lamps mirrored in them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.geometry import Body, Geometry, Surface, _turn, vertex_normals
from training.heads.light import Rig, ggx, reflected
from training.heads.noise import smooth, smoothstep, value_noise
from training.heads.people import Person, View
from training.heads.samples import Lighting

IRIS = 0.37
"""Angle in radians from the pupil's axis to the iris' edge, seen from the eyeball's middle."""
# Linear RGB of the iris, outer part and around the pupil.
_IRIS = {
    "brown": ((0.055, 0.025, 0.012), (0.075, 0.035, 0.015)), "brownlight": ((0.13, 0.065, 0.025), (0.16, 0.085, 0.03)),
    "blue": ((0.11, 0.19, 0.30), (0.20, 0.24, 0.26)), "deepblue": ((0.05, 0.10, 0.22), (0.10, 0.16, 0.24)),
    "ice": ((0.25, 0.33, 0.38), (0.32, 0.35, 0.34)), "green": ((0.11, 0.16, 0.08), (0.20, 0.15, 0.05)),
    "grey": ((0.16, 0.19, 0.20), (0.22, 0.21, 0.18)),
}  # fmt: skip


class Eyes:
    """The eyes of N heads: their surface, and the numbers of their colours."""

    def __init__(
        self, geometry: Geometry, body: Body, people: list[Person], ages: list[float], views: list[View]
    ) -> None:
        still = geometry.fit(body, "eyes", body.skin.heads, rigid=True)
        self.left = geometry.assets.vertices[geometry.assets.fitted["eyes"].ref].mean(1)[:, 0] > 0
        joints = geometry.assets.joints
        centres = torch.stack([body.base[:, joints[name]].mean(1) for name in ("r-eye", "l-eye")], 1)
        self.axes = still.still - torch.where(self.left[:, None], centres[:, 1:], centres[:, :1])
        """(N, S, 3): from the eyeball's middle, before the gaze turns it: its angle tells pupil from white."""
        turns = _gaze(views, centres.device)
        own = torch.where(self.left[:, None, None], turns[:, 1:], turns[:, :1])
        moved = still.still + (own @ self.axes[..., None])[..., 0] - self.axes
        points = body.pose.apply(moved)
        self.surface = Surface(still.mesh, points, vertex_normals(points, still.mesh), moved, still.heads)
        ahead = turns @ turns.new_tensor([0.0, 0.0, 0.15])
        self.pupils = body.pose.apply(centres + ahead)
        """(N, 2, 3) posed, image-left first."""
        colours = torch.tensor([_IRIS[p.eye_colour] for p in people], device=centres.device)
        light, warm = torch.tensor([p.eye_tint for p in people], device=centres.device)[..., None, None].unbind(1)
        self.colours = colours * torch.exp(0.22 * light + 0.1 * warm * colours.new_tensor([1, 0, -1]))
        self.seeds = torch.tensor([p.seed for p in people], device=centres.device)
        self.old = torch.tensor([smooth(45, 90, age) for age in ages], device=centres.device)


def _gaze(views: list[View], device: torch.device) -> Tensor:
    """(N, 2, 3, 3): turns of the eye at image-left and of the other."""
    # The lids' openings lie a little outside the eyeballs' middles.
    yaw = torch.tensor([[v.gaze[0] - 1.0, v.gaze[0] + 1.0] for v in views], device=device).deg2rad()
    pitch = torch.tensor([[-v.gaze[1]] * 2 for v in views], device=device).deg2rad()
    return _turn(yaw, pitch, torch.zeros_like(yaw))


def eye_albedo(axis: Tensor, colours: Tensor, seeds: Tensor, old: Tensor) -> Tensor:
    """Linear RGB (P, 3) at directions `axis` (P, 3) from the eyeball's middle, the pupil along z."""
    axis = F.normalize(axis, dim=1)
    radius = torch.acos(axis[:, 2].clamp(-1, 1)) / IRIS
    around = F.normalize(axis[:, :2], dim=1, eps=1e-6)
    fibre = value_noise(torch.cat([around * 5, radius[:, None]], 1), seeds + 21, 1.6)
    inner = smoothstep(0.75, 0.35, radius)[:, None]
    iris = (colours[:, 0] * (1 - inner) + colours[:, 1] * inner) * (1 + 0.45 * fibre)[:, None]
    iris = iris * (1 - 0.7 * smoothstep(0.78, 1.0, radius))[:, None]
    arcus = torch.exp(-(((radius - 0.93) / 0.07) ** 2)) * (old - 0.5).clamp(min=0)
    iris = iris + arcus[:, None] * 0.35
    iris = iris * (1 - 0.985 * smoothstep(0.40, 0.33, radius))[:, None]
    vein = value_noise(axis * 0.15, seeds + 23, 60.0).abs()
    red = (smoothstep(1.2, 3.0, radius) * (0.08 + 0.14 * old) * (1 + vein))[:, None]
    white = axis.new_tensor([0.52, 0.48, 0.45]) * torch.exp(-red * axis.new_tensor([0.3, 1.3, 1.5]))
    white = white * (1 - 0.14 * old)[:, None] * torch.exp(-0.2 * old[:, None] * axis.new_tensor([0.0, 0.1, 0.6]))
    edge = smoothstep(0.95, 1.08, radius)[:, None]
    return iris * (1 - edge) + white * edge


def shade_eyes(albedo: Tensor, light: Lighting, eye: Tensor, rig: Rig, head: Tensor) -> Tensor:
    """Radiance (P, 3): the eye's colour, shaded by lids, and what the wet surface mirrors."""
    shade = (0.25 + 0.85 * light.open).clamp(max=1)
    colour = albedo * reflected(light.sh, light.normal) * shade
    facing = (light.normal * eye).sum(1, keepdim=True)
    mirror = 2 * facing * light.normal - eye
    fresnel = 0.02 + 0.3 * (1 - facing.clamp(0, 1)) ** 5
    height = mirror[:, 1:2] * 0.5 + 0.5
    colour = colour + fresnel * (rig.ground[head] + (rig.sky - rig.ground)[head] * height) * shade
    for k in range(rig.towards.shape[1]):
        towards = rig.towards[head, k]
        # A lamp is a soft disc about 9 degrees wide.
        disc = torch.sigmoid(((mirror * towards).sum(1) - 0.988) * 420) * light.lamps[:, k].clamp(0.1, 1)
        strength = 0.09 * rig.sharpness[head, k].clamp(max=14)
        colour = colour + (disc * strength)[:, None] * rig.colour[head, k].clamp(max=3) * (facing > 0)
    return colour


def shade_wet(albedo: Tensor, light: Lighting, eye: Tensor, rig: Rig, head: Tensor) -> Tensor:
    """Radiance (P, 3) of teeth and tongue."""
    colour = albedo * reflected(light.sh, light.normal) * (0.35 + 0.65 * light.open.clamp(0, 1))
    power = rig.power()
    for k in range(rig.towards.shape[1]):
        shine = ggx(light.normal, rig.towards[head, k], eye, 0.12, 0.03) * light.lamps[:, k]
        colour = colour + 0.6 * shine[:, None] * power[head, k]
    return colour
