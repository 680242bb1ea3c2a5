"""Where are the faces: the YuNet network (Wu, Peng, Yu; Machine Intelligence Research, 2023) as a torch module."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.frozen import load_frozen

STRIDES = (8, 16, 32)
ROW = 15
"""Numbers a candidate has: box x, y, w, h, five landmarks x, y, and its score last."""


class Separable(nn.Module):
    """Pointwise 1x1, depthwise 3x3, and a ReLU where `act` is set."""

    def __init__(self, inputs: int, outputs: int, act: bool = True) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.depthwise = nn.Conv2d(outputs, outputs, 3, 1, 1, groups=outputs)
        self.act = act

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depthwise(self.pointwise(x))
        return F.relu(x) if self.act else x


class FaceFinder(nn.Module):
    """YuNet: pictures (N, 3, H, W), RGB in [-1, 1] -> candidates (N, P, 15) in pixels of the picture.

    A row holds the box (x, y, w, h), the landmarks (x, y) of image-left eye, image-right eye, nose tip, image-left and
    image-right mouth corner, and the score in [0, 1]. P is the number of cells of three grids with strides 8, 16, 32.
    Differentiable. The same numbers as `cv2.FaceDetectorYN` computes before it drops the overlapping ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        plan = ((16, 16), (16, 16), (16, 32), (32, 32), (32, 64), *(((64, 64),) * 6))
        self.body = nn.ModuleList(Separable(a, b) for a, b in plan)
        self.neck = nn.ModuleList(Separable(64, 64) for _ in STRIDES)
        heads = {"cls": 1, "box": 4, "obj": 1, "points": 10}
        self.heads = nn.ModuleDict(
            {name: nn.ModuleList(Separable(64, width, act=False) for _ in STRIDES) for name, width in heads.items()}
        )

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Three maps of 64 channels at strides 8, 16 and 32. `x` holds BGR pixels of 0..255, sides divisible by 32."""
        x = F.relu(self.stem(x))
        maps = []
        for index, layer in enumerate(self.body):
            x = layer(x)
            if index in (6, 8, 10):
                maps.append(x)
            if index in (0, 4, 6, 8):
                x = F.max_pool2d(x, 2)
        merged: list[torch.Tensor] = []
        for level in (2, 1, 0):
            if merged:
                maps[level] = maps[level] + F.interpolate(merged[0], scale_factor=2, mode="nearest")
            merged.insert(0, self.neck[level](maps[level]))
        return merged

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Candidates (N, P, 15) of pictures (N, 3, H, W), RGB in [-1, 1]."""
        height, width = images.shape[2:]
        # Black beyond the right and lower edge up to whole cells of the coarsest grid.
        pixels = F.pad((images.flip(1) + 1.0) * 127.5, (0, -width % 32, 0, -height % 32))
        levels = self.pyramid(pixels)
        return torch.cat([self._decode(level, x) for level, x in enumerate(levels)], 1)

    def _decode(self, level: int, x: torch.Tensor) -> torch.Tensor:
        """(N, cells, 15) of one level; offsets are in cells from the cell's upper left corner."""
        rows, columns = x.shape[2:]
        y_cell, x_cell = torch.meshgrid(
            torch.arange(rows, device=x.device), torch.arange(columns, device=x.device), indexing="ij"
        )
        cell = torch.stack([x_cell, y_cell], -1).reshape(1, -1, 1, 2).to(x)

        def flat(name: str) -> torch.Tensor:
            heads = self.heads[name]
            assert isinstance(heads, nn.ModuleList)
            return heads[level](x).flatten(2).transpose(1, 2)

        box = flat("box")
        size = box[..., 2:].exp()
        corner = box[..., :2] + cell[:, :, 0] - size / 2.0
        points = (flat("points").unflatten(2, (5, 2)) + cell).flatten(2)
        score = (flat("cls").sigmoid() * flat("obj").sigmoid()).sqrt()
        return torch.cat([torch.cat([corner, size, points], 2) * STRIDES[level], score], 2)


def pick(rows: torch.Tensor, min_score: float, overlap: float = 0.3, nested: float = 1.1) -> torch.Tensor:
    """Of candidates (P, 15) the ones scoring at least `min_score`, best first, without those that overlap a better one.

    Two overlap when their boxes' intersection is above `overlap` of their union or above `nested` of the smaller one
    (1.1: never).
    """
    rows = rows[rows[:, -1] >= min_score]
    rows = rows[rows[:, -1].argsort(descending=True, stable=True)]
    kept: list[torch.Tensor] = []
    for row in rows:
        if not any(_overlap(row, other, overlap, nested) for other in kept):
            kept.append(row)
    return torch.stack(kept) if kept else rows[:0]


def _overlap(a: Sequence[float] | torch.Tensor, b: Sequence[float] | torch.Tensor, union: float, nested: float) -> bool:
    ax, ay, aw, ah = (float(v) for v in a[:4])
    bx, by, bw, bh = (float(v) for v in b[:4])
    width, height = min(ax + aw, bx + bw) - max(ax, bx), min(ay + ah, by + bh) - max(ay, by)
    shared = max(width, 0.0) * max(height, 0.0)
    both = aw * ah + bw * bh - shared
    return shared > union * both or shared > nested * min(aw * ah, bw * bh)


def load_finder(device: str | torch.device = "cpu") -> FaceFinder:
    """YuNet with its weights, frozen, in eval mode."""
    return load_frozen(FaceFinder(), "faces/yunet.safetensors", device)
