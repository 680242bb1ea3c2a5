"""How old, and which sex: the two dlib networks by Cydral Technology (CC0), as torch modules.

Both see a dlib face chip: padding 0.2 around the five-point template. The scale and shift after each convolution are
folded into it. The age network has 81 classes (0.25, 1, ..., 80 years); its answer is their expectation, so it
flattens out above 75.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.dlib_parts import DlibInput, ResidualBlock, dlib_chip
from models.faces.frozen import load_frozen

AGE_CHIP = 64
GENDER_CHIP = 32
CLASS_YEARS = torch.tensor([0.25, *range(1, 81)], dtype=torch.float32)
PADDING = 0.2


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
    return dlib_chip(images, landmarks, size, PADDING)


def load_age_net(device: str | torch.device = "cpu") -> AgeNet:
    """The age network with its weights, frozen, in eval mode."""
    return load_frozen(AgeNet(), "faces/dlib_age.safetensors", device)


def load_gender_net(device: str | torch.device = "cpu") -> GenderNet:
    """The gender network with its weights, frozen, in eval mode."""
    return load_frozen(GenderNet(), "faces/dlib_gender.safetensors", device)
