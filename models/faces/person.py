"""Where the person is in a picture, hair and all, and where the background: MediaPipe's selfie segmentation.

A small MobileNetV3 with a light decoder (Google, "MediaPipe Selfie Segmentation", general model, 256 px).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.faces.frozen import load_frozen

SIDE = 256


class SameConv(nn.Conv2d):
    """A convolution whose padding is split as in TensorFlow: at stride 2 the odd pixel goes right and below."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, groups: int = 1):
        super().__init__(inputs, outputs, side, stride, groups=groups)
        low = (side - stride) // 2
        self.margins = (low, side - stride - low) * 2 if side > stride else (0, 0, 0, 0)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.margins))


class Gate(nn.Module):
    """Channel gates in (0, 1) from the channel means: (N, C, H, W) -> (N, outputs, 1, 1)."""

    def __init__(self, inputs: int, hidden: int, outputs: int):
        super().__init__()
        self.fc1 = nn.Conv2d(inputs, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3), keepdim=True)))).sigmoid()


class Inverted(nn.Module):
    """MobileNetV3's block: widen, filter by depth, gate, narrow; added to its input where the shape allows."""

    def __init__(self, inputs: int, wide: int, outputs: int, side: int, stride: int, gate: int, smooth: bool):
        super().__init__()
        self.act = F.hardswish if smooth else F.relu
        self.expand = SameConv(inputs, wide, 1)
        self.depthwise = SameConv(wide, wide, side, stride, wide)
        self.gate = Gate(wide, gate, wide) if gate else None
        self.project = SameConv(wide, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.depthwise(self.act(self.expand(x))))
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.project(y)
        return x + y if self.residual else y


class Merge(nn.Module):
    """The decoder's step up: coarse features at twice the size, joined with finer ones under a gate."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.lateral = SameConv(inputs, width, 1)
        self.gate = Gate(width, width, width)
        self.mix = SameConv(width, width, 1)
        self.depthwise = SameConv(width, width, 3, 1, width)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        up = self.lateral(F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False))
        y = F.relu(self.mix(fine * self.gate(fine + up) + up))
        return y + F.relu(self.depthwise(y))


class PersonNet(nn.Module):
    """Pictures (N, 3, 256, 256), RGB in [-1, 1] -> share of person (N, 1, 256, 256) in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 16, 3, 2)
        self.first = Inverted(16, 16, 16, 3, 2, 8, False)
        self.second = nn.Sequential(Inverted(16, 72, 24, 3, 2, 0, False), Inverted(24, 88, 24, 3, 1, 0, False))
        wide = [(24, 96, 2, 24), (32, 128, 1, 32), (32, 128, 1, 32), (32, 96, 1, 24), (32, 96, 1, 24)]
        self.deep = nn.Sequential(*(Inverted(a, b, 32, 5, stride, gate, True) for a, b, stride, gate in wide))
        self.context = SameConv(32, 128, 1)
        self.context_gate = nn.Conv2d(32, 128, 1)
        self.merges = nn.ModuleList([Merge(128, 24), Merge(24, 16), Merge(16, 16)])
        self.out = nn.ConvTranspose2d(16, 1, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        stem = F.hardswish(self.stem((x + 1) / 2))
        first = self.first(stem)
        second = self.second(first)
        deep = self.deep(second)
        y = F.relu(self.context(deep)) * self.context_gate(deep.mean(dim=(2, 3), keepdim=True)).sigmoid()
        for merge, fine in zip(self.merges, (second, first, stem), strict=True):
            y = merge(y, fine)
        return self.out(y).sigmoid()


def named_layers(net: PersonNet) -> OrderedDict[str, nn.Module]:
    """Every layer with weights, in the order in which the published file computes them."""
    return OrderedDict(
        (name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    )


def load_person_net(device: str | torch.device = "cpu") -> PersonNet:
    """The network with its weights, frozen, in eval mode."""
    return load_frozen(PersonNet(), "faces/person.safetensors", device)


def person_mask(net: PersonNet, picture: Tensor) -> Tensor:
    """Share of person (N, 1, S, S) in [0, 1] of square pictures (N, 3, S, S) in [-1, 1], any S."""
    side = picture.shape[-1]
    small = F.interpolate(picture, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=side > SIDE)
    mask: Tensor = net(small)
    return F.interpolate(mask, size=(side, side), mode="bilinear", align_corners=False).clamp(0, 1)
