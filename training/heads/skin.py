"""Colour and relief of skin at visible samples: photographs mixed by age and person, furrows, spots, stubble."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.browline import BrowLine, brow_density, brow_lines
from training.heads.furrows import furrow_gains, furrow_maps, furrow_places
from training.heads.geometry import Body, Geometry
from training.heads.looks import Looks
from training.heads.noise import smooth, smoothstep, value_noise
from training.heads.people import Person, View
from training.heads.samples import Samples, carry
from training.heads.scalp import Hairline, hair_density, hairlines
from training.heads.textures import SQUARE, Layers, SkinTextures, bilinear

MOLES = 4
_RELIEF = 0.022
"""Height in decimetres of a photograph's step of 1 in log brightness."""


@dataclass(frozen=True)
class SkinState:
    """Skins of N heads at their ages."""

    tone_layers: list[Layers]
    relief_layers: list[Layers]
    furrows: Tensor
    hairline: Hairline
    brows: BrowLine
    numbers: dict[str, Tensor]
    """Each (N,), but for colours (N, 3) and `moles` (N, MOLES, 3)."""
    mottling: Tensor
    """(N, S, 2): slow noise on the skin's places, coarse and finer."""


@dataclass(frozen=True)
class Skin:
    """At P samples: `albedo` linear RGB (P, 3), unit normals for matt and glossy light, GGX roughness, gloss (P,)."""

    albedo: Tensor
    matt: Tensor
    glossy: Tensor
    rough: Tensor
    gloss: Tensor
    face: Tensor
    """(P,) 0..1: the middle of the face, by which the picture is exposed."""


class SkinShader:
    """Everything about skin that people share."""

    def __init__(self, geometry: Geometry) -> None:
        assets = geometry.assets
        self.geometry, self.mesh = geometry, assets.skin
        self.textures = SkinTextures(assets)
        self.maps = furrow_maps(assets.device)
        self.corners = self.mesh.place[self.mesh.faces]
        atlas = self.mesh.uv * torch.tensor([SQUARE, -SQUARE], device=assets.device)
        self.atlas = atlas + torch.tensor([0.0, SQUARE], device=assets.device)
        self.gradients = _gradients(geometry.neutral[self.corners], self.atlas[self.mesh.faces])

    def prepare(self, people: list[Person], ages: list[float], views: list[View], looks: list[Looks]) -> SkinState:
        """What the samples of this batch will look up."""
        device = self.mesh.uv.device
        tone, relief = self.textures.layers(people, ages)
        gains = torch.tensor([furrow_gains(*each) for each in zip(people, ages, strict=True)], device=device)
        seeds = torch.tensor([person.seed for person in people], device=device)
        neutral = self.geometry.neutral
        slow = [value_noise(neutral, seeds[:, None] + salt, pitch) for salt, pitch in ((3, 3.5), (5, 9.0))]
        rows = [_numbers(*each) for each in zip(people, ages, views, looks, strict=True)]
        numbers = {name: torch.tensor([row[name] for row in rows], device=device) for name in rows[0]}
        numbers["seed"] = seeds
        furrows = (gains @ self.maps.flatten(1)).unflatten(1, self.maps.shape[1:])
        brows = brow_lines(people, ages, device)
        return SkinState(tone, relief, furrows, hairlines(people, looks, device), brows, numbers, torch.stack(slow, -1))

    def shade(self, state: SkinState, body: Body, samples: Samples, normal: Tensor) -> Skin:
        """The skin at samples with these interpolated unit normals (P, 3)."""
        neutral = carry(self.geometry.neutral, self.corners, samples)
        atlas = (self.atlas[self.mesh.faces[samples.face]] * samples.shares[..., None]).sum(1)
        atlas = atlas + self.geometry.assets.skin_shift[samples.face]
        numbers = {name: value[samples.head] for name, value in state.numbers.items()}
        tone = self.textures.sample(state.tone_layers, samples.head, atlas, relief=False)
        relief = self.textures.sample(state.relief_layers, samples.head, atlas, relief=True)
        front = smoothstep(0.35, 0.75, neutral[:, 2])[:, None]
        furrow = bilinear(state.furrows, samples.head, furrow_places(neutral)) * front
        line = state.hairline.of(samples.head)
        mottling = carry(state.mottling, self.corners, samples)
        scalp, painted = hair_density(neutral, line), hair_density(neutral, line.whole())
        haired = (0.62 * scalp).maximum(0.5 * brow_density(neutral, state.brows.of(samples.head)))
        albedo = _albedo(neutral, tone, relief[:, 0] * (1 - painted), furrow[:, 0], mottling, painted, haired, numbers)
        slope = relief[:, 1:2] * self.gradients[samples.face, 0] + relief[:, 2:3] * self.gradients[samples.face, 1]
        strength = _RELIEF * numbers["relief"] * (1 - 0.9 * painted)
        slope = slope * strength[:, None] - F.pad(furrow[:, 1:], (0, 1))
        matt, glossy, rough = _bumped(slope, normal, body.pose.head()[samples.head], numbers)
        gloss = _gloss(neutral, numbers) * (1 - 0.5 * scalp)
        middle = (neutral[:, 2] > 0.8) & (neutral[:, 1] > 6.4) & (neutral[:, 1] < 7.7)
        return Skin(albedo, matt, glossy, rough, gloss, middle.float())


def _gradients(corners: Tensor, atlas: Tensor) -> Tensor:
    """(F, 2, 3): how the atlas' x and y change along space, on each face of the neutral head."""
    edges = corners[:, 1:] - corners[:, :1]
    steps = atlas[:, 1:] - atlas[:, :1]
    inner = edges @ edges.transpose(1, 2) + 1e-9 * torch.eye(2, device=corners.device)
    return (torch.linalg.inv(inner) @ steps).transpose(1, 2) @ edges


def _numbers(person: Person, age: float, view: View, looks: Looks) -> dict[str, object]:
    """One head's numbers."""
    child, old = 1 - smooth(9, 20, age), smooth(42, 84, age)
    moles = [list(mole) for mole in person.moles[:MOLES]] + [[0.0, 0.0, -1.0]] * (MOLES - len(person.moles[:MOLES]))
    grey = min(1.0, 1.2 * looks.grey)
    shadow = (0.06 + 0.34 * person.beard.stubble + 0.25 * (person.beard.kind in ("full", "short full"))) * looks.beard
    return {
        "tone": looks.skin.tolist(), "hair": (looks.hair * (1 - grey) + 0.5 * looks.turned * grey).tolist(),
        "child": child, "old": old, "female": float(person.female), "freckles": person.freckles * (1 - 0.6 * old),
        "contrast": 1 - 0.5 * child + 0.3 * old, "detail": (1 - 0.55 * child) * (1 + 0.35 * old),
        "relief": (0.7 + 0.3 * smooth(22, 45, age) + 0.75 * smooth(42, 85, age)) * (1 - 0.65 * child),
        "dark": smooth(0.45, 0.75, person.melanin), "spots": smooth(40, 82, age), "moles": moles,
        "shadow": 0.0 if person.female else min(0.6, shadow), "flush": 0.10 + 0.12 * child + 0.03 * old,
        "mottle": 0.025 + 0.08 * old, "hollow": 0.10 + 0.30 * smooth(25, 75, age),
        "makeup": view.makeup * float(person.female and age > 17), "bare": 1 - looks.grey * 0.5,
    }  # fmt: skip


def _albedo(
    neutral: Tensor, tone: Tensor, detail: Tensor, furrow: Tensor, mottling: Tensor, painted: Tensor, haired: Tensor,
    numbers: dict[str, Tensor],
) -> Tensor:  # fmt: skip
    """Linear RGB (P, 3)."""
    x, y, z = neutral[:, 0].abs(), neutral[:, 1], neutral[:, 2]
    lips = torch.exp(-1.1 * ((x / 0.27) ** 2 + ((y - 6.52) / 0.09) ** 2)) * (z > 1.1)
    # The photographs' scalps are painted with stubble, their lips with colour that men and children don't wear.
    tone = tone * (1 - painted.maximum(smoothstep(7.70, 8.0, y)))[:, None]
    wears = 0.5 * (1 - numbers["female"]) + 0.3 * numbers["child"]
    grey = tone.mean(1, keepdim=True)
    tone = tone - (lips * wears.clamp(max=0.6))[:, None] * (tone - grey)
    log = tone * numbers["contrast"][:, None] + (detail * numbers["detail"])[:, None]
    log = log.clamp(-2.0, 0.5) - _rgb(tone, 9.0, 12.0, 13.0) * furrow[:, None] * (1 - 0.4 * numbers["dark"])[:, None]
    log = log + _tints(x, y, z, lips, mottling, numbers) - _marks(neutral, mottling, numbers)
    albedo = numbers["tone"] * torch.exp(log)
    # Short hairs seen through skin and between strands.
    shadow = numbers["shadow"] * _beard_area(x, y, z) * (0.8 + 0.4 * mottling[:, 1])
    under = (haired * numbers["bare"]).maximum(shadow.clamp(0, 0.8))[:, None]
    return albedo * (1 - under) + under * (numbers["hair"] * 1.1 + 0.15 * albedo)


def _tints(x: Tensor, y: Tensor, z: Tensor, lips: Tensor, mottling: Tensor, numbers: dict[str, Tensor]) -> Tensor:
    """Redness of cheeks and nose, shade under the eyes, mottling, make-up: log RGB (P, 3)."""
    cheeks = torch.exp(-(((x - 0.45) / 0.22) ** 2 + ((y - 6.95) / 0.2) ** 2)) * (z > 0.7)
    nose = torch.exp(-((x / 0.14) ** 2 + ((y - 6.95) / 0.13) ** 2)) * (z > 1.2)
    red = (cheeks + 0.8 * nose * (1 + 0.5 * numbers["old"])) * numbers["flush"] * (1 + 0.5 * mottling[:, 1])
    hollow = torch.exp(-(((x - 0.27) / 0.15) ** 2 + ((y - 7.14) / 0.07) ** 2)) * (z > 1.0) * numbers["hollow"]
    blotch = (mottling[:, 0] + 0.8 * mottling[:, 1]) * numbers["mottle"]
    log = red[:, None] * _rgb(x, 0.35, -0.7, -0.6) - hollow[:, None] * _rgb(x, 0.8, 1.0, 0.85)
    log = log + blotch[:, None] * _rgb(x, 0.6, 1.3, 1.4)
    # Dark skin has lips of its own, less red; old lips pale.
    log = log - (lips * numbers["dark"])[:, None] * _rgb(x, 0.12, 0.35, 0.3)
    log = log + (lips * numbers["old"] * (1 - numbers["dark"]))[:, None] * _rgb(x, -0.08, 0.12, 0.12)
    log = log + (lips * numbers["child"] * (1 - 0.6 * numbers["dark"]))[:, None] * _rgb(x, 0.0, -0.22, -0.14)
    return log + (lips * numbers["makeup"])[:, None] * _rgb(x, 0.02, -0.6, -0.4)


def _marks(neutral: Tensor, mottling: Tensor, numbers: dict[str, Tensor]) -> Tensor:
    """Age spots, freckles and moles: log RGB to take away (P, 3)."""
    x, y, z = neutral[:, 0], neutral[:, 1], neutral[:, 2]
    spot = value_noise(neutral, numbers["seed"] + 11, 13.0) + 0.5 * mottling[:, 0]
    spots = smoothstep(0.62, 0.95, spot + 0.25 * numbers["spots"] - 0.2) * numbers["spots"]
    dots = smoothstep(0.42, 0.7, value_noise(neutral, numbers["seed"] + 13, 34.0))
    area = smoothstep(7.6, 7.2, y) * smoothstep(0.8, 1.1, z)
    freckles = dots * area * numbers["freckles"]
    log = spots[:, None] * _rgb(x, 0.16, 0.28, 0.36) + freckles[:, None] * _rgb(x, 0.3, 0.6, 0.8)
    for k in range(MOLES):
        across, up, size = numbers["moles"][:, k].unbind(1)
        far = (x - (across - 0.5) * 1.2) ** 2 + (y - (6.3 + up * 1.5)) ** 2
        mole = torch.exp(-far / (0.009 + 0.012 * size.clamp(min=0)) ** 2) * (z > 0.8) * (size >= 0)
        log = log + mole[:, None] * _rgb(x, 0.6, 0.9, 1.0) * (0.4 + 0.6 * size.clamp(min=0))[:, None]
    return log


def _beard_area(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """(P,) 0..1: where a beard's shadow lies."""
    jaw = smoothstep(6.92, 6.70, y + 0.1 * smoothstep(0.5, 0.7, x) - 0.35 * smoothstep(0.55, 0.75, x))
    jaw = jaw * smoothstep(5.95, 6.2, y) * smoothstep(0.30, 0.75, z)
    upper = torch.exp(-((x / 0.28) ** 2 + ((y - 6.72) / 0.07) ** 2)) * (z > 1.2)
    lips = torch.exp(-((x / 0.23) ** 2 + ((y - 6.52) / 0.075) ** 2))
    return (jaw + 0.9 * upper).clamp(max=1) * (1 - 0.95 * lips)


def _bumped(slope: Tensor, normal: Tensor, head: Tensor, numbers: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Normals for matt and glossy light, and roughness, from slopes (P, 3) on the neutral head."""
    tilt = (head @ slope[..., None])[..., 0]
    tilt = tilt - (tilt * normal).sum(1, keepdim=True) * normal
    size = tilt.norm(dim=1, keepdim=True)
    tilt = tilt / (1 + 0.8 * size)
    # Relief below a sample's size widens the highlight instead of making it sparkle; dark skin would show that most.
    keep = (0.75 - 0.35 * numbers["dark"])[:, None]
    rough = (0.36**2 + 0.35 * (size[:, 0] / (1 + size[:, 0])) ** 2 + 0.05 * numbers["old"]).sqrt()
    return F.normalize(normal - tilt, dim=1), F.normalize(normal - keep * tilt, dim=1), rough**2 * 2.2


def _gloss(neutral: Tensor, numbers: dict[str, Tensor]) -> Tensor:
    """(P,): how strong highlights are; more on forehead, nose and lips, less in childhood and old age."""
    x, y, z = neutral[:, 0], neutral[:, 1], neutral[:, 2]
    middle = torch.exp(-((x / 0.3) ** 2)) * smoothstep(6.6, 7.4, y)
    lips = torch.exp(-((x / 0.26) ** 2 + ((y - 6.52) / 0.085) ** 2)) * (z > 1.15)
    return (0.75 + 0.5 * middle + 0.4 * lips) * (1 - 0.35 * numbers["old"]) * (1 - 0.25 * numbers["child"])


def _rgb(like: Tensor, red: float, green: float, blue: float) -> Tensor:
    return like.new_tensor([red, green, blue])
