"""Sizes, weights and schedule of the training of the portraits model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AutoencoderConfig:
    """Pictures of 128 px as 16 x 16 places of 8 numbers: as many places as a denoiser can afford on a CPU, and enough
    numbers that eyes and teeth survive."""

    widths: tuple[int, ...] = (32, 64, 96, 128)
    latent_channels: int = 8
    crop: int = 64
    """Training on crops: the network sees each place with its surroundings only, and a crop costs a quarter."""
    batch: int = 16
    steps: int = 4400
    whole_from: float = 0.85
    """From this share of the training on, a third as many whole pictures in place of crops."""
    lr: float = 1.5e-3
    warmup: int = 50
    perceptual: float = 0.7
    kl: float = 1e-4
    """Weight of the divergence of one place's numbers."""
    ema: float = 0.997
    seed: int = 0


@dataclass(frozen=True)
class DenoiserConfig:
    """Denoiser and text encoder, trained together from the first step."""

    widths: tuple[int, ...] = (128, 192, 256)
    layers: int = 1
    head_width: int = 64
    text_width: int = 192
    text_layers: int = 3
    text_length: int = 48
    batch: int = 32
    steps: int = 12_000
    lr: float = 6e-4
    warmup: int = 300
    decay_from: float = 0.6
    """Share of the training from which on the learning rate falls, as a cosine, to a fiftieth."""
    min_snr: float = 5.0
    caption_drop: float = 0.12
    ema: float = 0.9993
    beta_start: float = 0.00085
    beta_end: float = 0.012
    seed: int = 0
