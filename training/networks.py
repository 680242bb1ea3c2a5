"""The networks in training, and the running averages of them that are exported."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from models.aging import AgeEncoder, load_encoder
from models.errors import InputError
from models.stylegan2 import Discriminator, Generator, load_generator

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
def begin_with(models: Models, folder: Path) -> None:
    """Start from the networks that `training.export` wrote into a folder; the discriminator begins anew.

    Larger generators keep the blocks and styles that those files don't have. Raises InputError for other widths.
    """
    generator, encoder = load_generator(folder / "generator.safetensors"), load_encoder(folder / "encoder.safetensors")
    for name, bias in encoder.named_parameters():
        if name.endswith("linear.bias"):  # in training the mean w is the encoder's own
            bias.add_(generator.mapping.w_avg)
    generator.mapping.w_avg.zero_()
    for file, pairs in (
        ("generator", ((models.generator, generator), (models.generator_ema, generator))),
        ("encoder", ((models.encoder, encoder), (models.encoder_ema, encoder))),
    ):
        for net, start in pairs:
            try:
                extra = net.load_state_dict(start.state_dict(), strict=False).unexpected_keys
            except RuntimeError as error:
                raise InputError(f"{file}.safetensors in {folder} has other widths than the settings.") from error
            if extra:
                raise InputError(f"{file}.safetensors in {folder} is larger than the settings say ({extra[0]}).")


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, beta: float) -> None:
    """Move the running average of the parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1 - beta)
    for kept, buffer in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(buffer)
