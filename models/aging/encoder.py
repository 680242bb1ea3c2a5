"""The age encoder: a face crop and a target age to w+.

Structure and names follow SAM's GradualStyleEncoder (Alaluf et al., "Only a Matter of Style", 2021; encoder of pSp,
Richardson et al. 2021): an IR-SE backbone, a feature pyramid, one small convolutional head for each style.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..irse import IRSE50_BLOCKS, IRSE50_WIDTHS, backbone, stem
from ..stylegan2.ops import FullyConnected

COARSE_WS, MIDDLE_WS = 3, 7  # styles 0-2 read the coarsest features, 3-6 the middle ones, the rest the finest


class StyleHead(nn.Module):
    """Square features of size `spatial` to one w: strided convolutions down to 1x1, then an equalised linear layer."""

    def __init__(self, inputs: int, width: int, w_dim: int, spatial: int):
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(int(math.log2(spatial))):
            layers += [nn.Conv2d(inputs if index == 0 else width, width, 3, 2, 1), nn.LeakyReLU()]
        self.convs = nn.Sequential(*layers)
        self.linear = FullyConnected(width, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(self.convs(x).flatten(1))
        return y


class AgeEncoder(nn.Module):
    """(crop, target age) -> w+ relative to the mean w.

    The defaults are SAM's: AgeEncoder(input_nc=4) maps (N, 4, 256, 256) to (N, 18, 512) and has its 621 tensor
    names. Channels: RGB in [-1, 1], then a constant plane of age / 100 (`with_age` builds it). With input_nc=3 it is
    pSp's encoder. Smaller networks: pass `resolution` (a power of two >= 32), `num_ws`, `widths`, `blocks`, `pyramid`.
    """

    def __init__(
        self,
        input_nc: int = 4,
        resolution: int = 256,
        num_ws: int = 18,
        w_dim: int = 512,
        widths: Sequence[int] = IRSE50_WIDTHS,
        blocks: Sequence[int] = IRSE50_BLOCKS,
        pyramid: int = 512,
    ):
        super().__init__()
        self.init_kwargs: dict[str, Any] = {
            "input_nc": input_nc,
            "resolution": resolution,
            "num_ws": num_ws,
            "w_dim": w_dim,
            "widths": list(widths),
            "blocks": list(blocks),
            "pyramid": pyramid,
        }
        self.input_nc, self.resolution, self.num_ws, self.w_dim = input_nc, resolution, num_ws, w_dim
        self.input_layer = stem(input_nc, widths[0])
        self.body = backbone(widths, blocks)
        ends = list(accumulate(blocks))
        self.taps = (ends[1] - 1, ends[2] - 1, ends[3] - 1)
        spatial = resolution // 16
        self.styles = nn.ModuleList(
            StyleHead(
                widths[3] if index < COARSE_WS else pyramid,
                pyramid,
                w_dim,
                spatial * (1 if index < COARSE_WS else 2 if index < MIDDLE_WS else 4),
            )
            for index in range(num_ws)
        )
        if widths[3] != pyramid:
            raise ValueError(f"The pyramid's width ({pyramid}) must equal the last stage's ({widths[3]}).")
        self.latlayer1 = nn.Conv2d(widths[2], pyramid, 1)
        self.latlayer2 = nn.Conv2d(widths[1], pyramid, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, input_nc, R, R) -> (N, num_ws, w_dim), to be added to the mean w."""
        x = self.input_layer(x)
        features = []
        for index, block in enumerate(self.body):
            x = block(x)
            if index in self.taps:
                features.append(x)
        fine, middle, coarse = features
        middle = _upsample_like(coarse, middle) + self.latlayer1(middle)
        fine = _upsample_like(middle, fine) + self.latlayer2(fine)
        levels = [coarse] * COARSE_WS + [middle] * (MIDDLE_WS - COARSE_WS) + [fine] * (self.num_ws - MIDDLE_WS)
        return torch.stack([head(level) for head, level in zip(self.styles, levels, strict=True)], dim=1)


def _upsample_like(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=True)


def with_age(crops: Tensor, ages: Tensor) -> Tensor:
    """Append the age plane: crops (N, 3, R, R) in [-1, 1], ages (N,) in years -> (N, 4, R, R)."""
    plane = (ages.to(crops) / 100).view(-1, 1, 1, 1).expand(-1, 1, *crops.shape[2:])
    return torch.cat([crops, plane], dim=1)
