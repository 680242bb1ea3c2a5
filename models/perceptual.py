"""A perceptual distance: ST-LPIPS (Ghildyal & Liu, ECCV 2022) on an AlexNet made tolerant of small shifts.

LPIPS (Zhang et al., CVPR 2018): features of both pictures at five depths, normalised to unit length at every place,
squared difference, weighted per channel, averaged over places, summed over depths. Here every stride is taken by a
small blur, which makes the distance change little when a picture moves by a pixel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.frozen import load_frozen

MIN_SIDE = 32
"""Pictures smaller than this (pixels) leave nothing of the deepest features."""


class BlurPool(nn.Module):
    """Blur with [1, 2, 1] / 4 both ways on a picture mirrored by two pixels, then keep every second one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0]) / 4.0
        kernel = torch.outer(line, line).expand(channels, 1, 3, 3).contiguous()
        self.register_buffer("kernel", kernel, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(x, (2, 2, 2, 2), mode="reflect")
        return F.conv2d(padded, self.get_buffer("kernel"), stride=2, groups=x.shape[1])


def _shrink(channels: int) -> nn.Module:
    return nn.Sequential(nn.MaxPool2d(3, 1), BlurPool(channels))


class PerceptualLoss(nn.Module):
    """Distance of pictures in [-1, 1]: forward(x, y) -> (N,), 0 for equal ones, about 0.5 for unrelated ones."""

    def __init__(self) -> None:
        super().__init__()
        plan = ((3, 64, 11, 2), (64, 192, 5, 2), (192, 384, 3, 1), (384, 256, 3, 1), (256, 256, 3, 1))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, k, padding=p) for a, b, k, p in plan)
        # What happens before each convolution.
        self.before = nn.ModuleList([nn.Identity(), _shrink(64), _shrink(192), nn.Identity(), nn.Identity()])
        self.after_first = BlurPool(64)
        self.heads = nn.ParameterList(nn.Parameter(torch.zeros(1, b, 1, 1)) for _, b, _, _ in plan)
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).reshape(1, 3, 1, 1), persistent=False)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Five maps of (N, 3, H, W) in [-1, 1], of unit length at every place; keep them for a fixed target."""
        if min(x.shape[2:]) < MIN_SIDE:
            raise ValueError(f"pictures must be at least {MIN_SIDE} pixels on each side, got {tuple(x.shape)}")
        x = (x - self.get_buffer("shift")) / self.get_buffer("scale")
        maps = []
        for index, (before, conv) in enumerate(zip(self.before, self.convs, strict=True)):
            x = conv(before(x))
            # The first convolution strides by one; its blur comes before the ReLU.
            x = F.relu(self.after_first(x) if index == 0 else x)
            # The small term inside the root keeps the gradient finite where every feature is zero.
            maps.append(x / (x.square().sum(1, keepdim=True) + 1e-20).sqrt())
        return maps

    def distance(self, a: list[torch.Tensor], b: list[torch.Tensor]) -> torch.Tensor:
        """Distance (N,) between two lists of feature maps."""
        parts = [(head * (p - q).square()).sum(1).mean((1, 2)) for head, p, q in zip(self.heads, a, b, strict=True)]
        return torch.stack(parts).sum(0)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Distance (N,) between pictures x and y, both (N, 3, H, W) RGB in [-1, 1]. ValueError below 32 pixels."""
        return self.distance(self.features(x), self.features(y))


def load_perceptual(device: str | torch.device = "cpu") -> PerceptualLoss:
    """The distance with its weights, frozen, in eval mode."""
    return load_frozen(PerceptualLoss(), "faces/stlpips_alex.safetensors", device)
