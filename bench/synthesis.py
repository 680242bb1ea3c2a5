"""Our synthesis against the plain formulation: a modulated kernel for each sample and a square FIR kernel.

    python -m bench.synthesis --resolution 256 --batch 1

Both decode the same w+ with the same weights, in turn, so that a drifting machine speed hits both alike.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated
from unittest.mock import patch

import torch
import torch.nn.functional as F
import typer
from torch import Tensor

from models.stylegan2 import Generator, generator, ops


def dense_filter(x: Tensor, up: int, pad: tuple[int, int], gain: float) -> Tensor:
    """Zero insertion and the 4x4 kernel, each channel as a picture of its own."""
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h * up, w * up)
    wide[:, :, ::up, ::up] = x
    wide = F.pad(wide, (pad[0], pad[1], pad[0], pad[1]))
    kernel = (ops.fir_kernel().to(x) * gain)[None, None]
    y = F.conv2d(wide.reshape(n * c, 1, *wide.shape[2:]), kernel)
    return y.reshape(n, c, *y.shape[2:])


def fused_modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, up: bool = False, demodulate: bool = True
) -> Tensor:
    """Equations 1 to 3 of the paper as written: one grouped convolution, a group a sample."""
    n, c, h, w = x.shape
    kernels = weight[None] * styles[:, None, :, None, None]
    if demodulate:
        kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, n * c, h, w)
    if up:
        x = F.conv_transpose2d(x, kernels.transpose(1, 2).flatten(0, 1), stride=2, groups=n)
        return dense_filter(x.reshape(n, -1, *x.shape[2:]), 1, (1, 1), 4.0)
    x = F.conv2d(x, kernels.flatten(0, 1), padding=weight.shape[-1] // 2, groups=n)
    return x.reshape(n, -1, h, w)


def plain_layer(
    x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor, noise: Tensor | None = None, up: bool = False
) -> Tensor:
    """The layer step by step: convolution, noise, bias, activation, gain."""
    x = fused_modulated_conv2d(x, weight, styles, up)
    x = x if noise is None else x + noise
    return ops.lrelu_gain(x + bias[:, None, None])


@contextmanager
def plain_formulation() -> Iterator[None]:
    """Decode with the plain formulas inside the block."""
    with (
        patch.object(generator, "modulated_layer", plain_layer),
        patch.object(generator, "modulated_sum", partial(fused_modulated_conv2d, demodulate=False)),
        patch.object(generator, "upsample2d", lambda x: dense_filter(x, 2, (2, 1), 4.0)),
    ):
        yield


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, with the device's queue empty before and after."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    began = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - began


def main(
    resolution: int = 256,
    batch: int = 1,
    rounds: int = 7,
    channel_base: int = 16384,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Print one JSON line: median seconds of both, their ratio, the largest difference of the pictures."""
    place = torch.device(device)
    net = Generator(512, 512, resolution, channel_base).eval().to(place)
    ws = net.mapping(torch.randn(batch, 512, device=place)).detach()
    ours, plain = [], []
    with torch.no_grad():
        wanted = net.synthesis(ws)
        with plain_formulation():
            difference = (net.synthesis(ws) - wanted).abs().max().item()
        for _ in range(rounds):
            ours.append(seconds(lambda: net.synthesis(ws), place))
            with plain_formulation():
                plain.append(seconds(lambda: net.synthesis(ws), place))
    figures = {
        "resolution": resolution,
        "batch": batch,
        "device": device,
        "ours_s": round(statistics.median(ours), 4),
        "plain_s": round(statistics.median(plain), 4),
        "speedup": round(statistics.median(p / o for p, o in zip(plain, ours, strict=True)), 2),
        "largest_difference": difference,
        "largest_value": wanted.abs().max().item(),
    }
    typer.echo(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)
