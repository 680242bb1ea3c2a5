"""The arithmetic of StyleGAN2: resampling filters, modulated convolution, equalised layers.

Source: Karras et al., "Analyzing and Improving the Image Quality of StyleGAN" (2020), section 2 and appendix B.
Every function is plain PyTorch, so that the same lines run on a CPU and on CUDA and are differentiable twice.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LRELU_SLOPE = 0.2
LRELU_GAIN = math.sqrt(2)
DEMOD_EPS = 1e-8


def fir_kernel() -> Tensor:
    """The (4, 4) low-pass kernel outer([1, 3, 3, 1]) / 64 that published checkpoints store as `resample_filter`."""
    # Out of plain numbers: arithmetic on the "meta" device, where networks are built to be loaded, would import
    # PyTorch's compiler, a second's work that also makes folders.
    taps = (1.0, 3.0, 3.0, 1.0)
    return torch.tensor([[a * b / 64 for b in taps] for a in taps])


def fir_smooth(x: Tensor, pad: int, gain: float, bias: Tensor | None = None) -> Tensor:
    """Filter each channel of x (N, C, H, W) with [1, 3, 3, 1] x [1, 3, 3, 1], zero padding, total gain `gain`.

    Two depthwise one-dimensional passes cost 8 multiplications a pixel where the square kernel costs 16. bias: (C,),
    added to the result.
    """
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8 * math.sqrt(gain)
    row, column = (taps.view(1, 1, *shape).expand(channels, 1, *shape) for shape in ((1, 4), (4, 1)))
    x = F.conv2d(x, row, padding=(0, pad), groups=channels)
    return F.conv2d(x, column, bias, padding=(pad, 0), groups=channels)


def upsample2d(x: Tensor) -> Tensor:
    """Double the size of x (N, C, H, W): zero insertion, then the FIR filter with gain 4.

    The polyphase form of [1, 3, 3, 1] is bilinear interpolation; a border of zeros makes its edges equal, too.
    """
    x = F.interpolate(F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False)
    return x[:, :, 2:-2, 2:-2]


def downsample2d(x: Tensor) -> Tensor:
    """Halve the size of x (N, C, H, W): the FIR filter, then every second pixel."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype, device=x.device) / 8
    row, column = (taps.view(1, 1, *shape).expand(channels, 1, *shape) for shape in ((1, 4), (4, 1)))
    x = F.conv2d(x, row, padding=(0, 1), stride=(1, 2), groups=channels)
    return F.conv2d(x, column, padding=(1, 0), stride=(2, 1), groups=channels)


def _normalise_for_half(weight: Tensor, styles: Tensor) -> tuple[Tensor, Tensor]:
    """Scale weights and styles into the range of fp16; demodulation takes the factors out again.

    Each output channel's kernel by 1 / (sqrt(fan in) max|W|), each sample's styles by 1 / max|s|, in float32.
    """
    fan_in = weight[0].numel()
    largest = weight.norm(float("inf"), dim=(1, 2, 3), keepdim=True)
    return weight / (math.sqrt(fan_in) * largest), styles / styles.norm(float("inf"), dim=1, keepdim=True)


def modulated_conv2d(x: Tensor, weight: Tensor, styles: Tensor, up: bool = False) -> Tensor:
    """Convolve each sample with its own modulated, demodulated kernel (StyleGAN2 equations 1 to 3).

    x: (N, C_in, H, W); weight: (C_out, C_in, k, k); styles: (N, C_in). With `up` the result is twice as large.
    The per-sample kernel is built only for one sample with more pixels than weights; otherwise inputs and outputs
    are scaled around one shared convolution, which is the same sum in another order. In float16 a single sample
    always has its kernel built, in float32, and rounded once: so do the published models round.
    """
    x, scale = _modulated(x, weight, styles, up)
    return x if scale is None else x * scale


def modulated_layer(
    x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor, noise: Tensor | None = None, up: bool = False
) -> Tensor:
    """`modulated_conv2d`, noise (broadcast to the result), bias (C_out,), leaky ReLU and its gain.

    The gain, a positive factor, is put into the kernel or its scale, the noise and the bias beforehand, and the bias
    into what comes before it: the result is passed through once or twice and not five times, and memory is what takes
    the time. In float16 the order is the published one, which rounds after each step.
    """
    if x.dtype == torch.float16:
        x = modulated_conv2d(x, weight, styles, up)
        x = x if noise is None else x + noise.to(x.dtype)
        return lrelu_gain(x + bias.to(x.dtype)[:, None, None])
    bias = (bias * LRELU_GAIN).to(x.dtype)
    x, scale = _modulated(x, weight, styles, up, LRELU_GAIN, bias)
    if scale is not None:
        x = torch.addcmul(bias[:, None, None], x, scale)
    if noise is not None:
        x += (noise * LRELU_GAIN).to(x.dtype)
    return F.leaky_relu_(x, LRELU_SLOPE)


def _modulated(
    x: Tensor, weight: Tensor, styles: Tensor, up: bool, gain: float = 1.0, bias: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """`gain` times the convolution, plus `bias`, and None; or a convolution that needs a scale (N, C_out, 1, 1) first,
    has no bias yet, and has the gain in that scale.
    """
    if x.dtype == torch.float16:
        weight, styles = _normalise_for_half(weight, styles)
    power = (weight.square().sum(dim=(2, 3)) @ styles.square().t()).t()
    scale = (power + DEMOD_EPS).rsqrt() * gain
    fuse = x.shape[0] == 1 and (x.numel() > weight.numel() or x.dtype == torch.float16)
    if fuse:
        weight = weight * styles[0].view(1, -1, 1, 1) * scale[0].view(-1, 1, 1, 1)
    else:
        x, bias = x * styles.to(x.dtype)[:, :, None, None], None
    weight = weight.to(x.dtype)
    if up:
        x = _upsampling_conv2d(x, weight, bias)
    else:
        x = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    return x, None if fuse else scale.to(x.dtype)[:, :, None, None]


def modulated_sum(x: Tensor, weight: Tensor, styles: Tensor) -> Tensor:
    """Sums of channels without demodulation: x (N, C_in, H, W), weight (C_out, C_in, 1, 1), styles (N, C_in).

    With few outputs, as of a picture, kernels are smaller than features, and a product for each sample leaves those as
    they are.
    """
    kernels = (weight.flatten(1) * styles[:, None]).to(x.dtype)
    return torch.bmm(kernels, x.flatten(2)).unflatten(2, x.shape[2:])


def _upsampling_conv2d(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return fir_smooth(x, pad=1, gain=4.0, bias=bias)


def normalise_2nd_moment(x: Tensor) -> Tensor:
    """Rows of x (N, D) scaled to a mean square of 1."""
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def lrelu_gain(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2 times sqrt(2), then clamped to +-`clamp` where a checkpoint asks for it."""
    x = F.leaky_relu(x, LRELU_SLOPE) * LRELU_GAIN
    return x if clamp is None else x.clamp(-clamp, clamp)


class FullyConnected(nn.Module):
    """Equalised linear layer: y = act(x (W lr_mul / sqrt(in))^T + b lr_mul), act = leaky ReLU x sqrt(2) or none."""

    def __init__(self, inputs: int, outputs: int, activate: bool = False, lr_mul: float = 1.0, bias_init: float = 0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.normal(0.0, 1 / lr_mul, (outputs, inputs)))
        self.bias = nn.Parameter(torch.full((outputs,), bias_init / lr_mul))
        self.activate = activate
        self.lr_mul = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        """x: (N, in) -> (N, out)."""
        gain = self.lr_mul / math.sqrt(self.weight.shape[1])
        x = F.linear(x, self.weight.to(x.dtype) * gain, self.bias.to(x.dtype) * self.lr_mul)
        return lrelu_gain(x) if self.activate else x
