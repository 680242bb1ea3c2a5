"""Sizes, weights and schedule of the training of generator, encoder and aging prior."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PriorConfig:
    """The defaults made the embedded models. Shares are of the whole training; ages are in years.

    budget_minutes: the whole training's time, in place of `steps`, for a machine whose speed nobody knows; 0 is none.
    """

    resolution: int = 128
    channel_base: int = 4096
    channel_max: int = 256
    encoder_resolution: int = 64
    encoder_widths: tuple[int, ...] = (32, 64, 96, 128)
    encoder_blocks: tuple[int, ...] = (2, 2, 4, 2)
    # (share of the training from which on, size of the decoded picture): small pictures first, they cost little.
    sizes: tuple[tuple[float, int], ...] = ((0.0, 32), (0.12, 64), (0.75, 128))
    batch: int = 8
    steps: int = 5700
    budget_minutes: float = 0.0
    warmup: int = 30
    lr_weights: float = 1.2e-2
    lr_others: float = 5e-3
    lr_encoder: float = 1e-3
    lr_discriminator: float = 2e-3
    same_share: float = 0.25
    mean_w_share: float = 0.1
    pixel: float = 2.0
    perceptual: float = 1.0
    identity: float = 0.3
    identity_share: float = 1 / 3
    age: float = 2.0
    age_pull: float = 0.5
    read_from: float = 0.3
    w_norm: float = 1e-4
    adversarial: float = 0.0
    adversarial_from: float = 0.85
    r1: float = 2.0
    r1_every: int = 16
    augment: tuple[float, float] = (0.2, 0.5)
    ema: float = 0.998
    seed: int = 0
    low_precision: bool = True

    def size_at(self, progress: float) -> int:
        """Side of the pictures that are decoded at this share of the training."""
        return [size for start, size in self.sizes if progress >= start][-1]
