"""The StyleGAN2 generator under the parameter names of the published PyTorch checkpoints.

Structure and widths: Karras et al. 2020 ("skip" generator, weight demodulation); adaptive-augmentation models of the
same family (2 mapping layers, class labels, clamped half precision) differ in constructor arguments only.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .ops import FullyConnected, fir_kernel, modulated_layer, modulated_sum, normalise_2nd_moment, upsample2d

NoiseMode = Literal["const", "random", "none"]


def block_widths(resolution: int, channel_base: int, channel_max: int) -> dict[int, int]:
    """Feature maps at each resolution from 4 to `resolution`: min(channel_base / res, channel_max)."""
    if resolution < 4 or resolution & (resolution - 1):
        raise ValueError(f"A generator's resolution is a power of two from 4 up, not {resolution}.")
    return {2**k: min(channel_base // 2**k, channel_max) for k in range(2, int(math.log2(resolution)) + 1)}


class MappingNetwork(nn.Module):
    """z (N, z_dim), and labels (N, c_dim) of a conditional network -> w, repeated to (N, num_ws, w_dim).

    `w_avg` holds the mean of w for truncation. A conditional network has one layer more, `embed`: the label becomes
    a vector of w_dim, normalised as z is, and follows z into `fc0`.
    """

    w_avg: Tensor

    def __init__(self, z_dim: int, w_dim: int, num_ws: int, layers: int = 8, lr_mul: float = 0.01, c_dim: int = 0):
        super().__init__()
        self.num_ws = num_ws
        self.num_layers = layers
        self.c_dim = c_dim
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        inputs = z_dim + w_dim if c_dim else z_dim
        for index in range(layers):
            layer = FullyConnected(inputs if index == 0 else w_dim, w_dim, activate=True, lr_mul=lr_mul)
            setattr(self, f"fc{index}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """(N, num_ws, w_dim), moved towards `w_avg` by psi in the first `truncation_cutoff` layers.

        z: (N, z_dim), standard normal. c: (N, c_dim), mostly one-hot; None (or no columns) for a network without
        labels. Raises ValueError if labels are missing or do not fit.
        """
        x = normalise_2nd_moment(z.float())
        labels = self._labels(c, len(z))
        if labels is not None:
            x = torch.cat([x, normalise_2nd_moment(self.embed(labels.float()))], dim=1)
        for index in range(self.num_layers):
            x = getattr(self, f"fc{index}")(x)
        ws = x.unsqueeze(1).repeat(1, self.num_ws, 1)
        if truncation_psi != 1.0:
            cut = slice(0, truncation_cutoff)
            ws[:, cut] = self.w_avg.lerp(ws[:, cut], truncation_psi)
        return ws

    def _labels(self, c: Tensor | None, count: int) -> Tensor | None:
        if c is None and not self.c_dim:
            return None
        if not isinstance(c, Tensor) or c.shape != (count, self.c_dim):
            given = tuple(c.shape) if isinstance(c, Tensor) else c
            raise ValueError(f"This generator takes labels of shape ({count}, {self.c_dim}), not {given}.")
        return c if self.c_dim else None


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; with `up` at twice the size."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, up: bool, clamp: float | None):
        super().__init__()
        self.resolution = resolution
        self.up = up
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", fir_kernel())

    def forward(self, x: Tensor, w: Tensor, noise_mode: NoiseMode, generator: torch.Generator | None) -> Tensor:
        noise = None if noise_mode == "none" else self._noise(x, noise_mode, generator)
        x = modulated_layer(x, self.weight, self.affine(w), self.bias, noise, self.up)
        # The limit holds for what leaves the layer: it comes after the activation's gain and is not scaled by it.
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)

    def _noise(self, x: Tensor, mode: NoiseMode, generator: torch.Generator | None) -> Tensor:
        if mode == "const":
            return self.noise_const * self.noise_strength
        shape = (x.shape[0], 1, self.resolution, self.resolution)
        noise = torch.randn(shape, generator=generator, device=generator.device if generator else x.device)
        return noise.to(x.device) * self.noise_strength


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB without demodulation."""

    def __init__(self, inputs: int, w_dim: int, clamp: float | None):
        super().__init__()
        self.clamp = clamp
        self.affine = FullyConnected(w_dim, inputs, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(3, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        styles = self.affine(w) / math.sqrt(self.weight.shape[1])
        x = modulated_sum(x, self.weight, styles)
        x = x + self.bias.to(x.dtype)[None, :, None, None]
        return x if self.clamp is None else x.clamp(-self.clamp, self.clamp)


class SynthesisBlock(nn.Module):
    """The layers of one resolution: (conv0 up,) conv1, torgb added to the upsampled image."""

    resample_filter: Tensor

    def __init__(self, inputs: int, outputs: int, w_dim: int, resolution: int, clamp: float | None):
        super().__init__()
        self.first = inputs == 0
        self.register_buffer("resample_filter", fir_kernel())
        if self.first:
            self.const = nn.Parameter(torch.randn(outputs, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(inputs, outputs, w_dim, resolution, True, clamp)
        self.conv1 = SynthesisLayer(outputs, outputs, w_dim, resolution, False, clamp)
        self.torgb = ToRGB(outputs, w_dim, clamp)

    @property
    def num_conv(self) -> int:
        return 1 if self.first else 2

    def forward(
        self,
        x: Tensor | None,
        image: Tensor | None,
        ws: Tensor,
        dtype: torch.dtype,
        noise_mode: NoiseMode,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """ws: (N, num_conv + 1, w_dim), the last one for torgb -> features, float32 image."""
        if x is None:
            x = self.const.to(dtype).unsqueeze(0).expand(ws.shape[0], -1, -1, -1)
        else:
            x = self.conv0(x.to(dtype), ws[:, 0], noise_mode, generator)
        x = self.conv1(x, ws[:, self.num_conv - 1], noise_mode, generator)
        rgb = self.torgb(x, ws[:, self.num_conv]).float()
        return x, rgb if image is None else upsample2d(image) + rgb


class SynthesisNetwork(nn.Module):
    """w+ (N, num_ws, w_dim) -> image (N, 3, R, R), nominally in [-1, 1].

    Layer order of w+: 4x4 conv1, then for each larger block conv0, conv1; every torgb shares its w with the next
    block's conv0, so that num_ws = 2 log2(R) - 2.

    num_fp16_res: how many of the largest resolutions compute in float16, on CUDA; elsewhere float32 takes their place,
    as no CPU gains from float16. 4x4 always has full precision.
    conv_clamp: limit of the absolute value of what each layer of every block gives, in any precision (256 in
    the published models that have one).
    """

    def __init__(
        self,
        w_dim: int,
        resolution: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
    ):
        super().__init__()
        widths = block_widths(resolution, channel_base, channel_max)
        self.w_dim = w_dim
        self.resolutions = tuple(widths)
        self.half_from = max(resolution * 2 // 2**num_fp16_res, 8) if num_fp16_res else None
        self.num_ws = 2 * len(widths)
        previous = 0
        for res, width in widths.items():
            setattr(self, f"b{res}", SynthesisBlock(previous, width, w_dim, res, conv_clamp))
            previous = width

    def block(self, resolution: int) -> SynthesisBlock:
        block: SynthesisBlock = getattr(self, f"b{resolution}")
        return block

    def _dtype(self, resolution: int, device: torch.device, dtype: torch.dtype | None) -> torch.dtype:
        if dtype is not None:
            # The first blocks cost little and set the picture's colours: they keep full precision.
            return dtype if resolution >= 16 else torch.float32
        half = self.half_from is not None and resolution >= self.half_from and device.type == "cuda"
        return torch.float16 if half else torch.float32

    def forward(
        self,
        ws: Tensor,
        noise_mode: NoiseMode = "const",
        dtype: torch.dtype | None = None,
        resolution: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Decode w+.

        noise_mode: "const" (stored noise, repeatable), "random" (drawn from `generator`), "none".
        dtype: torch.float16 or torch.bfloat16 for the blocks from 16 px up; None follows the checkpoint
            (`num_fp16_res`); torch.float32 computes with full precision whatever the checkpoint says.
        resolution: stop at this size; the skip connections of the blocks so far already make a picture.
        """
        if ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ValueError(f"w+ must be (N, {self.num_ws}, {self.w_dim}), not {tuple(ws.shape)}.")
        x = image = None
        position = 0
        for res in self.resolutions:
            block = self.block(res)
            codes = ws.narrow(1, position, block.num_conv + 1).float()
            x, image = block(x, image, codes, self._dtype(res, ws.device, dtype), noise_mode, generator)
            position += block.num_conv
            if res == resolution:
                break
        assert image is not None
        return image


class Generator(nn.Module):
    """Mapping and synthesis together.

    g = Generator(512, 512, 128); images = g.synthesis(g.mapping(z)). `state_dict()` speaks the published names
    (`mapping.fc0.weight`, `synthesis.b8.conv0.affine.bias`, ...). `init_kwargs` rebuilds the same network.
    With c_dim > 0 it is conditional: g.mapping(z, c) with labels c (N, c_dim).
    """

    def __init__(
        self,
        z_dim: int = 512,
        w_dim: int = 512,
        resolution: int = 1024,
        channel_base: int = 32768,
        channel_max: int = 512,
        mapping_layers: int = 8,
        num_fp16_res: int = 0,
        conv_clamp: float | None = None,
        c_dim: int = 0,
    ):
        super().__init__()
        self.init_kwargs: dict[str, int | float | None] = {
            "z_dim": z_dim,
            "w_dim": w_dim,
            "resolution": resolution,
            "channel_base": channel_base,
            "channel_max": channel_max,
            "mapping_layers": mapping_layers,
            "num_fp16_res": num_fp16_res,
            "conv_clamp": conv_clamp,
            "c_dim": c_dim,
        }
        self.z_dim, self.w_dim, self.c_dim, self.resolution = z_dim, w_dim, c_dim, resolution
        self.synthesis = SynthesisNetwork(w_dim, resolution, channel_base, channel_max, num_fp16_res, conv_clamp)
        self.num_ws = self.synthesis.num_ws
        self.mapping = MappingNetwork(z_dim, w_dim, self.num_ws, mapping_layers, c_dim=c_dim)

    def forward(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, noise_mode: NoiseMode = "const"
    ) -> Tensor:
        """z: (N, z_dim), labels c: (N, c_dim) or None -> (N, 3, R, R)."""
        image: Tensor = self.synthesis(self.mapping(z, c, truncation_psi), noise_mode)
        return image

    @torch.no_grad()
    def update_w_avg(self, samples: int = 10_000, generator: torch.Generator | None = None) -> None:
        """Set `mapping.w_avg` to the mean w of `samples` random z, and of as many random classes if it has labels."""
        place = self.mapping.w_avg.device
        z = torch.randn(samples, self.z_dim, generator=generator).to(place)
        labels = None
        if self.c_dim:
            labels = F.one_hot(torch.randint(self.c_dim, (samples,), generator=generator), self.c_dim).to(place)
        self.mapping.w_avg.copy_(self.mapping(z, labels)[:, 0].mean(dim=0))


def pool_to(images: Tensor, size: int) -> Tensor:
    """Average-pool (N, 3, R, R) to (N, 3, size, size); smaller pictures are left as they are."""
    return F.adaptive_avg_pool2d(images, size) if images.shape[-1] > size else images
