"""The networks in training, and the running averages of them that are exported."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import nn

from models.aging import AgeEncoder
from models.stylegan2 import Discriminator, Generator

from .config import PriorConfig

Net = TypeVar("Net", bound=nn.Module)


def place(module: Net, device: torch.device) -> Net:
    """The module on the device with channels last in memory, which convolutions read fastest."""
    module.to(device)
    for value in module.parameters():
        if value.dim() == 4:
            value.data = value.data.contiguous(memory_format=torch.channels_last)
    return module


@dataclass
class Models:
    """What is trained, and the running averages that are exported."""

    generator: Generator
    encoder: AgeEncoder
    discriminator: Discriminator
    generator_ema: Generator = field(init=False)
    encoder_ema: AgeEncoder = field(init=False)

    def __post_init__(self) -> None:
        self.generator_ema = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self.encoder_ema = copy.deepcopy(self.encoder).eval().requires_grad_(False)

    def all(self) -> dict[str, nn.Module]:
        return {name: module for name, module in vars(self).items() if isinstance(module, nn.Module)}


def build_models(config: PriorConfig) -> Models:
    """Fresh networks of the configured sizes."""
    torch.manual_seed(config.seed)
    generator = Generator(512, 512, config.resolution, config.channel_base, config.channel_max)
    widths = config.encoder_widths
    encoder = AgeEncoder(
        4, config.encoder_resolution, generator.num_ws, 512, widths, config.encoder_blocks, pyramid=widths[-1]
    )
    for res in generator.synthesis.resolutions:
        # Each size begins as the one below, enlarged, and adds its own detail as it learns.
        generator.synthesis.block(res).torgb.weight.data.mul_(0.1 if res <= config.sizes[0][1] else 0.0)
    for head in encoder.styles.modules():
        if isinstance(head, nn.Conv2d):
            # The default initialisation fades through six layers: the first codes would hardly modulate anything.
            nn.init.kaiming_normal_(head.weight, a=0.01)
    return Models(generator, encoder, Discriminator(config.resolution, config.channel_base, config.channel_max))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, beta: float) -> None:
    """Move the running average of the parameters; buffers are copied."""
    for mean, value in zip(average.parameters(), current.parameters(), strict=True):
        mean.lerp_(value, 1 - beta)
    for kept, buffer in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(buffer)
