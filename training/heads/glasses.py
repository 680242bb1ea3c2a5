"""Spectacles: frames as bundles of thin lines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.heads.geometry import Body, Geometry
from training.heads.people import Person
from training.heads.strands import Strands

NODES, THREADS = 40, 12
_PATHS = 5
"""Two rims, the bridge, two temples."""
# Kind -> half width and height of a rim in decimetres, roundness (2: an ellipse, more: squarer), radius of the wire.
_KINDS = {"round": (0.225, 0.215, 2.0, 0.011), "square": (0.265, 0.18, 4.0, 0.022), "half": (0.25, 0.17, 3.0, 0.014)}
_COLOURS = ((0.012, 0.012, 0.014), (0.06, 0.03, 0.015), (0.30, 0.22, 0.10), (0.25, 0.25, 0.26), (0.02, 0.03, 0.07))


def wear_glasses(geometry: Geometry, body: Body, people: list[Person], ages: list[float]) -> Strands:
    """The frames of those who wear glasses at their age; strands of opacity 0 on the others."""
    device = body.base.device
    worn = [person.glasses != "none" and age >= person.glasses_from for person, age in zip(people, ages, strict=True)]
    kinds = [_KINDS.get(person.glasses, _KINDS["round"]) for person in people]
    wide, high, power, wire = torch.tensor(kinds, device=device).T[..., None]
    paths = _paths(geometry, body, wide, high, power)
    around = torch.arange(THREADS, device=device) * (2 * math.pi / THREADS)
    ring = torch.stack([around.cos(), around.sin(), 0.6 * around.sin()], -1)
    nodes = paths[:, :, None] + (ring * wire[..., None])[:, None, :, None]
    nodes = nodes.flatten(1, 2)
    opacity = torch.tensor(worn, device=device).float()[:, None].expand(nodes.shape[:2])
    lower = torch.tensor([person.glasses == "half" for person in people], device=device)
    angle = torch.linspace(0, 2 * math.pi, NODES, device=device)
    # Half rims have no lower edge: there the wire gets too thin to be seen.
    hidden = lower[:, None] & (torch.sin(angle) < -0.25)
    width = torch.full((len(people), _PATHS, NODES), 0.011, device=device)
    width[:, :2] = torch.where(hidden[:, None], 0.0, width[:, :2])
    colours = torch.tensor([_COLOURS[person.seed % len(_COLOURS)] for person in people], device=device)
    posed = body.pose.apply(nodes.flatten(1, 2)).view(nodes.shape)
    spread = (len(people), _PATHS * THREADS)
    return Strands(posed, width.repeat_interleave(THREADS, 1), opacity, colours[:, None].expand(*spread, 3),
                   posed.mean((1, 2)) - posed.new_tensor([0.0, 0.0, 0.6]), gloss=1.5, lift=0.02)  # fmt: skip


def _paths(geometry: Geometry, body: Body, wide: Tensor, high: Tensor, power: Tensor) -> Tensor:
    """(N, 5, NODES, 3): middles of the wires, unposed."""
    joints = geometry.assets.joints
    right, left = (body.base[:, joints[name]].mean(1) for name in ("r-eye", "l-eye"))
    front = body.base[:, geometry.assets.landmarks["nose"], 2] - 0.10
    angle = torch.linspace(0, 2 * math.pi, NODES, device=body.base.device)
    bend = 2 / power
    across = angle.cos().sign() * angle.cos().abs() ** bend * wide
    up = angle.sin().sign() * angle.sin().abs() ** bend * high - 0.035
    rims = []
    for eye in (right, left):
        x = eye[:, :1] * 1.03 + across
        depth = front[:, None] - 0.42 * x * x
        rims.append(torch.stack([x, eye[:, 1:2] + up, depth], -1))
    t = torch.linspace(-1, 1, NODES, device=body.base.device)
    inner = (left[:, :1] * 1.03 - wide) * t
    bridge = torch.stack([inner, left[:, 1:2] + 0.035 - 0.03 * t * t, front[:, None] + 0.03 * (1 - t * t)], -1)
    return torch.stack([*rims, bridge, *_temples(geometry, body, right, left, wide, front)], 1)


def _temples(geometry: Geometry, body: Body, right: Tensor, left: Tensor, wide: Tensor, front: Tensor) -> list[Tensor]:
    """From the rims' outer edges back to the ears, and on behind them."""
    t = torch.linspace(0, 1, NODES, device=front.device)
    paths = []
    for eye, side in ((right, -1.0), (left, 1.0)):
        start = eye[:, :1] * 1.03 + side * wide
        begin = front[:, None] - 0.42 * start * start
        near = (geometry.neutral - geometry.neutral.new_tensor([side * 0.78, 7.34, 0.62])).square().sum(1).argmin()
        ear = body.skin.still[:, near]
        x = start + (ear[:, :1] + side * 0.02 - start) * t
        height = eye[:, 1:2] + 0.04 + (ear[:, 1:2] - eye[:, 1:2] - 0.04) * t
        paths.append(torch.stack([x, height, begin + (ear[:, 2:] - 0.1 - begin) * t], -1))
    return paths
