"""What dlib's networks share: how they see pixels, their residual block, and the chip that they are shown."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.warp import similarity, warp_to_chip

MEANS = (122.782, 117.001, 104.298)

# dlib's mean face in the unit square, at the points that our detector gives: the eyes, which it puts a little above
# and outside the middle of dlib's eye corners, and the base of the nose, half way from tip to mouth (means over 21
# portraits).
TEMPLATE = torch.tensor([[0.2190, 0.2004], [0.7612, 0.2002], [0.4901, 0.6278]])
# Each eye stands for two of dlib's points (its corners).
TEMPLATE_WEIGHTS = torch.tensor([2.0, 2.0, 1.0])
NOSE_BASE = 0.5


class DlibInput(nn.Module):
    """RGB in [-1, 1] -> (RGB 0..255 - means) / 256."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("means", torch.tensor(MEANS).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ((x + 1.0) * 127.5 - self.get_buffer("means")) / 256.0


class ResidualBlock(nn.Module):
    """dlib's residual block. A halving one has an average-pooled shortcut; what is missing in either is zero."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 2 if halve else 1, 0 if halve else 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        if self.halve:
            x = F.avg_pool2d(x, 2)
        x = F.pad(x, (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))
        y = F.pad(y, (0, x.shape[3] - y.shape[3], 0, x.shape[2] - y.shape[2]))
        return F.relu(x + y)


def dlib_chip(images: torch.Tensor, landmarks: torch.Tensor, size: int, padding: float) -> torch.Tensor:
    """Pictures (N, 3, H, W) and their five landmarks (N, 5, 2) in pixels -> dlib chips (N, 3, size, size).

    `padding` is the room around the mean face, as a share of its side. Differentiable in the pictures.
    """
    points = landmarks.float()
    nose_base = torch.lerp(points[:, 2], points[:, 3:5].mean(1), NOSE_BASE)
    source = torch.stack([points[:, 0], points[:, 1], nose_base], 1)
    target = (TEMPLATE + padding) / (1.0 + 2.0 * padding) * size
    return warp_to_chip(images, similarity(source, target, TEMPLATE_WEIGHTS), size)
