"""Skin photographs as two bands, tone and relief, so that every person can have a mixture of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from training.heads.assets import HeadAssets, read_linear
from training.heads.noise import smooth
from training.heads.people import Person

SQUARE = 2048
"""Side of the full texture square, of which the atlas holds three boxes."""
COARSE = 8
"""Atlas pixels in one pixel of the tone band."""
_BRIGHTNESS = (0.3, 0.5, 0.2)
_LINEAGES = {
    "light_male": ("lightskinned_male_diffuse", (("", "", ""), ("2", "", ""), ("3", "2", "2"))),
    "light_female": ("lightskinned_female_diffuse", (("2", "", ""), ("", "", ""), ("3", "2", "2"))),
    "dark_male": ("darkskinned_male_diffuse", (("", "", ""),)),
    "dark_female": ("darkskinned_female_diffuse", (("", "", ""),)),
}


def lineages(kind: str) -> list[tuple[str, ...]]:
    """The (young, middle-aged, old) photographs of "light_male", "dark_female", ..."""
    name, rows = _LINEAGES[kind]
    stages = ("young", "middleage", "old")
    return [tuple(f"{stage}_{name}{end}" for stage, end in zip(stages, row, strict=True)) for row in rows]


NAMES = tuple(sorted({name for kind in _LINEAGES for row in lineages(kind) for name in row}))


@dataclass(frozen=True)
class Layers:
    """One photograph for each head, with what share of it: `layer`, `share` (N,), and whether it is mirrored (N,)."""

    layer: Tensor
    share: Tensor
    mirrored: Tensor


def stages(age: float) -> tuple[float, float, float]:
    """Shares of the young, the middle-aged and the old photographs."""
    middle, old = smooth(21, 40, age), smooth(40, 67, age)
    return 1 - middle, middle - old, old


class SkinTextures:
    """The photographs, read when first used."""

    def __init__(self, assets: HeadAssets) -> None:
        self.assets = assets
        self.height = int((assets.skin_boxes[:, 5] + assets.skin_boxes[:, 3]).max())
        self.width = int((assets.skin_boxes[:, 4] + assets.skin_boxes[:, 2]).max())
        shape = (len(NAMES), self.height, self.width, 3)
        self.relief = torch.empty(shape, dtype=torch.float16, device=assets.device)
        """Fine detail: log brightness less the tone band's, and the relief's slope along x and y of the atlas."""
        low = (len(NAMES), -(-self.height // COARSE), -(-self.width // COARSE), 3)
        self.tone = torch.empty(low, device=assets.device)
        """Log of linear RGB over the middle of the face."""
        self.known: set[int] = set()
        box = assets.skin_boxes[0]
        self.head_shift = (float(box[4] - box[0]), float(box[5] - box[1]))
        self.head_end = float(box[5] + box[3])
        self.mirror = 2 * ((1 - self._midline()) * SQUARE + self.head_shift[1])
        """The head lies on its side in the atlas: y and `mirror` - y are its two halves."""

    def _midline(self) -> float:
        """The v of the forehead's middle."""
        skin = self.assets.skin
        places = self.assets.vertices[self.assets.smooth_index[0]][skin.place]
        off = places[:, 0].abs() + 9.0 * (places[:, 2] < 1.0) + 9.0 * (places[:, 1] < 7.5)
        return float(skin.uv[off.argmin(), 1])

    def layers(self, people: list[Person], ages: list[float]) -> tuple[list[Layers], list[Layers]]:
        """Tone and relief of each head: the photographs of two lineages at the stages of life that the ages need."""
        tone, relief = [], []
        for stage in range(3):
            share = np.array([stages(age)[stage] for age in ages])
            if not share.any():
                continue
            for second in (0, 1):
                tone.append(self._layer(people, stage, second, share, tone=True))
                relief.append(self._layer(people, stage, second, share, tone=False))
        return tone, relief

    def _layer(self, people: list[Person], stage: int, second: int, share: np.ndarray, tone: bool) -> Layers:
        names, shares = [], []
        for person in people:
            mix = person.skin
            own = lineages(f"{'dark' if person.ethnicity == 'african' else 'light'}_{person.gender}")
            every = lineages(f"light_{person.gender}") + lineages(f"dark_{person.gender}")
            pool = own if tone and not second else every if not tone else own + every
            chosen = pool[int((mix.tone if tone else mix.relief)[second] * len(pool))]
            part = 0.6 * mix.tone_share if tone else mix.relief_share
            names.append(NAMES.index(chosen[stage]))
            shares.append(part if second else 1 - part)
        for layer in sorted(set(names) - self.known):
            self._read(layer)
        device = self.assets.device
        return Layers(
            torch.tensor(names, device=device),
            torch.tensor(np.array(shares) * share, dtype=torch.float32, device=device),
            torch.tensor([person.skin.mirrored[second] for person in people], device=device),
        )

    def _read(self, layer: int) -> None:
        colour = torch.from_numpy(read_linear(self.assets.folder / "skins", NAMES[layer]))
        log = colour.to(self.assets.device).clamp(min=0.002).log().permute(2, 0, 1)[None]
        log = log - self._face_middle(log[0])[None, :, None, None]
        bottom, right = -log.shape[2] % COARSE, -log.shape[3] % COARSE
        tone = F.avg_pool2d(F.pad(log, (0, right, 0, bottom), mode="replicate"), COARSE)
        bright = (log * log.new_tensor(_BRIGHTNESS).view(1, 3, 1, 1)).sum(1, keepdim=True)
        coarse = (tone * tone.new_tensor(_BRIGHTNESS).view(1, 3, 1, 1)).sum(1, keepdim=True)
        whole = F.interpolate(coarse, scale_factor=COARSE, mode="bilinear", align_corners=False)
        detail = bright - whole[:, :, : log.shape[2], : log.shape[3]]
        relief = F.avg_pool2d(F.pad(detail, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        slope_x = F.pad(relief[..., 2:] - relief[..., :-2], (1, 1)) / 2
        slope_y = F.pad(relief[..., 2:, :] - relief[..., :-2, :], (0, 0, 1, 1)) / 2
        self.tone[layer] = tone[0].permute(1, 2, 0)
        self.relief[layer] = torch.cat([detail, slope_x, slope_y], 1)[0].permute(1, 2, 0).half()
        self.known.add(layer)

    def _face_middle(self, log: Tensor) -> Tensor:
        """(3,) the middle of forehead, nose and cheeks: with lips or brows in the sample, faces would turn green."""
        skin = self.assets.skin
        places = self.assets.vertices[self.assets.smooth_index[0]][skin.place]
        x, y, z = places[:, 0].abs(), places[:, 1], places[:, 2]
        plain = (z > 0.7) & (y > 6.8) & (y < 7.72) & (x < 0.6)
        plain &= ~((y > 7.08) & (y < 7.45) & (x > 0.08)) & ~((x < 0.2) & (y < 7.08))
        at = skin.uv if not plain.any() else skin.uv[plain]
        column = (at[:, 0] * SQUARE + self.head_shift[0]).long().clamp(0, self.width - 1)
        row = ((1 - at[:, 1]) * SQUARE + self.head_shift[1]).long().clamp(0, self.height - 1)
        return log[:, row, column].median(1).values

    def sample(self, layers: list[Layers], head: Tensor, at: Tensor, relief: bool) -> Tensor:
        """(P, 3) of either band at atlas places `at` (P, 2) of heads (P,)."""
        total = torch.zeros(len(at), 3, device=at.device)
        for each in layers:
            turned = each.mirrored[head] & (at[:, 1] < self.head_end)
            x, y = at[:, 0], torch.where(turned, self.mirror - at[:, 1], at[:, 1])
            place = torch.stack([x, y], 1) / (1 if relief else COARSE)
            found = bilinear(self.relief if relief else self.tone, each.layer[head], place)
            if relief:
                sign = torch.where(turned, -1.0, 1.0)
                found = torch.stack([found[:, 0], found[:, 1], found[:, 2] * sign], 1)
            total = total + found * each.share[head][:, None]
        return total


def bilinear(table: Tensor, layer: Tensor, at: Tensor) -> Tensor:
    """table (K, H, W, C) of layers (P,) at pixels (P, 2), whose middles are at .5, as float32 (P, C)."""
    height, width, channels = table.shape[1:]
    x, y = (at - 0.5).unbind(1)
    left, top = x.floor(), y.floor()
    flat = table.reshape(-1, channels)
    total = torch.zeros(len(at), channels, device=at.device)
    for dy in (0, 1):
        row = (top.long() + dy).clamp(0, height - 1)
        share_y = y - top if dy else 1 - (y - top)
        for dx in (0, 1):
            column = (left.long() + dx).clamp(0, width - 1)
            share = share_y * (x - left if dx else 1 - (x - left))
            total = total + flat[(layer * height + row) * width + column].float() * share[:, None]
    return total
