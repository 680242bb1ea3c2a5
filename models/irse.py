"""The blocks of the IR-SE50 backbone, shared by the age encoders and the identity network.

Source: "ArcFace" (Deng et al. 2019) for the improved residual block, "Squeeze-and-Excitation" (Hu et al. 2018) for
the gate; names and order as in the published files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

IRSE50_WIDTHS = (64, 128, 256, 512)
IRSE50_BLOCKS = (3, 4, 14, 3)


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from the channel means."""

    def __init__(self, width: int, reduction: int = 16):
        super().__init__()
        self.fc1 = nn.Conv2d(width, max(width // reduction, 1), 1, bias=False)
        self.fc2 = nn.Conv2d(max(width // reduction, 1), width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True))))
        return x * gate.sigmoid()


class Bottleneck(nn.Module):
    """IR-SE block: BN, conv, PReLU, strided conv, BN, squeeze-excite, plus a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        if inputs == width:
            self.shortcut_layer: nn.Module = nn.MaxPool2d(1, stride)
        else:
            conv = nn.Conv2d(inputs, width, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(conv, nn.BatchNorm2d(width))
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, width, 3, 1, 1, bias=False),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            SqueezeExcite(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.res_layer(x) + self.shortcut_layer(x)
        return y


def stem(inputs: int, width: int) -> nn.Sequential:
    """The first convolution: (N, inputs, H, W) -> (N, width, H, W)."""
    return nn.Sequential(nn.Conv2d(inputs, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.PReLU(width))


def backbone(widths: Sequence[int] = IRSE50_WIDTHS, blocks: Sequence[int] = IRSE50_BLOCKS) -> nn.Sequential:
    """`blocks[i]` blocks of `widths[i]` channels a stage; the first of each stage halves the size."""
    layers: list[nn.Module] = []
    previous = widths[0]
    for width, count in zip(widths, blocks, strict=True):
        for index in range(count):
            layers.append(Bottleneck(previous, width, 2 if index == 0 else 1))
            previous = width
    return nn.Sequential(*layers)
