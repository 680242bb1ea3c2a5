"""How old, and which sex: the two dlib networks by Cydral Technology (CC0), as torch modules.

Both see a dlib face chip: padding 0.2 around the five-point template. The scale and shift after each convolution are
folded into it. The age network has 81 classes (0.25, 1, ..., 80 years); its answer is their expectation, so it
flattens out above 75.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.frozen import load_frozen
from models.faces.warp import similarity, warp_to_chip

AGE_CHIP = 64
GENDER_CHIP = 32
CLASS_YEARS = torch.tensor([0.25, *range(1, 81)], dtype=torch.float32)
MEANS = (122.782, 117.001, 104.298)

# dlib's mean face in the unit square, at the points that our detector gives: the eyes, which it puts a little above
# and outside the middle of dlib's eye corners, and the base of the nose, half way from tip to mouth (means over 21
# portraits).
TEMPLATE = torch.tensor([[0.2190, 0.2004], [0.7612, 0.2002], [0.4901, 0.6278]])
# Each eye stands for two of dlib's points (its corners).
TEMPLATE_WEIGHTS = torch.tensor([2.0, 2.0, 1.0])
NOSE_BASE = 0.5
PADDING = 0.2


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


class AgeNet(nn.Module):
    """dlib age chips (N, 3, 64, 64), RGB in [-1, 1] -> years (N,), the expectation over 81 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.input = DlibInput()
        self.stem = nn.Conv2d(3, 64, 7, 2)
        plan = ((64, 64, False), (64, 128, True), (128, 128, False), (128, 256, True), (256, 256, False))
        self.blocks = nn.Sequential(*(ResidualBlock(*each) for each in plan))
        self.head = nn.Linear(256, 81)
        self.register_buffer("years", CLASS_YEARS.clone(), persistent=False)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 64, 64) in [-1, 1] -> (N, 81) logits of the classes 0.25, 1, ..., 80 years."""
        x = F.max_pool2d(F.relu(self.stem(self.input(x))), 3, 2)
        return self.head(self.blocks(x).mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Years (N,) between 0.25 and 80."""
        return self.logits(x).softmax(1) @ self.get_buffer("years")


class GenderNet(nn.Module):
    """dlib chips (N, 3, 32, 32), RGB in [-1, 1] -> (N, 2) probabilities (female, male)."""

    def __init__(self) -> None:
        super().__init__()
        self.input = DlibInput()
        widths = ((3, 32), (32, 32), (32, 64), (64, 64))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, 1, 1) for a, b in widths)
        self.hidden = nn.Linear(64 * 8 * 8, 16)
        self.head = nn.Linear(16, 2)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, 32, 32) in [-1, 1] -> (N, 2) logits."""
        x = self.input(x)
        for index, conv in enumerate(self.convs):
            x = F.relu(conv(x))
            if index % 2:
                x = F.avg_pool2d(x, 2)
        return self.head(F.relu(self.hidden(x.flatten(1))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities (N, 2) of female and male."""
        return self.logits(x).softmax(1)


def age_chip(images: torch.Tensor, landmarks: torch.Tensor, size: int = AGE_CHIP) -> torch.Tensor:
    """Pictures (N, 3, H, W) and their five landmarks (N, 5, 2) in pixels -> dlib chips (N, 3, size, size).

    Differentiable in the pictures. `size` is 64 for AgeNet and 32 for GenderNet.
    """
    points = landmarks.float()
    nose_base = torch.lerp(points[:, 2], points[:, 3:5].mean(1), NOSE_BASE)
    source = torch.stack([points[:, 0], points[:, 1], nose_base], 1)
    target = (TEMPLATE + PADDING) / (1.0 + 2.0 * PADDING) * size
    return warp_to_chip(images, similarity(source, target, TEMPLATE_WEIGHTS), size)


def load_age_net(device: str | torch.device = "cpu") -> AgeNet:
    """The age network with its weights, frozen, in eval mode."""
    return load_frozen(AgeNet(), "faces/dlib_age.safetensors", device)


def load_gender_net(device: str | torch.device = "cpu") -> GenderNet:
    """The gender network with its weights, frozen, in eval mode."""
    return load_frozen(GenderNet(), "faces/dlib_gender.safetensors", device)
