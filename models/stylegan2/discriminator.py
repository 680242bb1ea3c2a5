"""The StyleGAN2 discriminator (residual, with minibatch standard deviation) under the published parameter names."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .generator import block_widths
from .ops import FullyConnected, downsample2d, fir_kernel, fir_smooth, lrelu_gain


class Conv(nn.Module):
    """Equalised convolution: weight / sqrt(fan in), optional halving after the FIR filter, bias, activation."""

    resample_filter: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, down: bool = False, bias: bool = True, activate: bool = True
    ):
        super().__init__()
        self.down, self.activate = down, activate
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.register_buffer("resample_filter", fir_kernel())

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        kernel = self.weight.shape[-1]
        weight = self.weight.to(x.dtype) / math.sqrt(self.weight[0].numel())
        if self.down and kernel == 1:
            x = F.conv2d(downsample2d(x), weight)
        elif self.down:
            x = F.conv2d(fir_smooth(x, pad=2, gain=1.0), weight, stride=2)
        else:
            x = F.conv2d(x, weight, padding=kernel // 2)
        if self.bias is not None:
            x = x + self.bias.to(x.dtype)[None, :, None, None]
        x = lrelu_gain(x) if self.activate else x
        return x * gain if gain != 1.0 else x


class DiscriminatorBlock(nn.Module):
    """(N, C, H, W) -> (N, C', H/2, W/2) with a residual path; the first block reads RGB."""

    resample_filter: Tensor

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__()
        self.register_buffer("resample_filter", fir_kernel())
        if inputs == 0:
            self.fromrgb = Conv(3, width, 1)
        self.conv0 = Conv(width, width, 3)
        self.conv1 = Conv(width, outputs, 3, down=True)
        self.skip = Conv(width, outputs, 1, down=True, bias=False, activate=False)
        self.first = inputs == 0

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            x = self.fromrgb(x)
        half = math.sqrt(0.5)
        shortcut = self.skip(x, gain=half)
        y: Tensor = self.conv1(self.conv0(x), gain=half) + shortcut
        return y


def minibatch_std(x: Tensor, group_size: int = 4) -> Tensor:
    """Append one channel: the standard deviation over groups of samples, averaged over features and pixels."""
    batch, _, height, width = x.shape
    group = math.gcd(batch, group_size)
    y = x.float().reshape(group, -1, *x.shape[1:])
    y = (y.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    y = y.reshape(-1, 1, 1, 1).repeat(group, 1, height, width)
    return torch.cat([x, y.to(x.dtype)], dim=1)


class DiscriminatorEpilogue(nn.Module):
    """4x4 features -> (N, 1) score."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = Conv(width + 1, width, 3)
        self.fc = FullyConnected(width * 16, width, activate=True)
        self.out = FullyConnected(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(minibatch_std(x))
        score: Tensor = self.out(self.fc(x.flatten(1)))
        return score


class Discriminator(nn.Module):
    """Images (N, 3, R, R) in [-1, 1] -> logits (N, 1); larger means more like the training pictures."""

    def __init__(self, resolution: int, channel_base: int = 32768, channel_max: int = 512):
        super().__init__()
        widths = block_widths(resolution, channel_base, channel_max)
        self.resolution = resolution
        self.sizes = tuple(sorted(widths, reverse=True))[:-1]
        for size in self.sizes:
            first = size == resolution
            setattr(self, f"b{size}", DiscriminatorBlock(0 if first else widths[size], widths[size], widths[size // 2]))
        self.b4 = DiscriminatorEpilogue(widths[4])

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for size in self.sizes:
            x = getattr(self, f"b{size}")(x)
        score: Tensor = self.b4(x)
        return score
