"""A small network with every kind of layer that adapters change."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Mixed(nn.Module):
    """Convolutions (strided, padded, grouped), norms, linear layers: pictures (N, 3, 8, 8) -> (N, 70)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.GroupNorm(2, 8)
        self.down = nn.Conv2d(8, 12, 3, stride=2, padding=1, padding_mode="circular")
        self.grouped = nn.Conv2d(12, 12, 3, padding="same", groups=3)
        self.wide = nn.Linear(12 * 16, 80)
        self.layer_norm = nn.LayerNorm(80)
        self.out = nn.Linear(80, 70, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.nn.functional.silu(self.norm(self.conv(x)))
        x = self.grouped(self.down(x)).flatten(1)
        return self.out(torch.tanh(self.layer_norm(self.wide(x))))


def mixed(seed: int = 0) -> Mixed:
    """The same weights for the same seed; norms are not neutral."""
    drawn = torch.Generator().manual_seed(seed)
    net = Mixed()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=drawn))
    return net


def pictures(count: int = 4, seed: int = 5) -> Tensor:
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
