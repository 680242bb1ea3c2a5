"""Train the autoencoder: pictures of 128 px to 16 x 16 x 8 numbers and back.

    python -m training.portraits.autoencoder --data SET/same_view --data SET/free_view --out RUN

The loss is the mean absolute difference, the perceptual distance (ST-LPIPS), and a small divergence from the normal
distribution (Kingma & Welling 2014) that keeps the numbers in one range. The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.perceptual import PerceptualLoss, load_perceptual
from training.portraits.config import AutoencoderConfig
from training.portraits.networks import PICTURE, build_autoencoder
from training.portraits.state import average_into, load_checkpoint, save_checkpoint
from training.rendered import RenderedHeads
from training.sheets import save_sheet

HELD_OUT = (520, 559)
"""People who are kept out of the training; the pictures of the sheets are theirs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=AutoencoderConfig.steps)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    config = AutoencoderConfig(steps=options.steps)
    options.out.mkdir(parents=True, exist_ok=True)
    train(config, options.data, options.out, torch.device(options.device))


def train(config: AutoencoderConfig, folders: list[Path], out: Path, device: torch.device) -> Any:
    """Run to the end of the schedule; returns the averaged network. Writes `out/autoencoder.pt` and sheets."""
    torch.manual_seed(config.seed)
    network = build_autoencoder(config).to(device, memory_format=torch.channels_last)
    average = build_autoencoder(config).to(device)
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=1e-3)
    state = {"network": network, "average": average, "optimizer": optimizer}
    path = out / "autoencoder.pt"
    start, generator = load_checkpoint(path, state, config.seed)
    if start >= config.steps:
        return average
    heads = RenderedHeads(folders, PICTURE)
    held = (heads.seeds >= HELD_OUT[0]) & (heads.seeds <= HELD_OUT[1])
    training, shown = torch.where(~held)[0], torch.where(held)[0][::23][:12]
    perceptual = load_perceptual(device)
    began = time.monotonic()
    for step in range(start, config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.lr * pace(step, config)
        batch = draw(heads, training, step, config, generator).to(device, memory_format=torch.channels_last)
        parts = losses(network, perceptual, batch, config)
        optimizer.zero_grad(set_to_none=True)
        parts["loss"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average_into(average, network, min(config.ema, (step + 1) / (step + 10)))
        if (step + 1) % 50 == 0:
            words = " ".join(f"{name} {value.item():.4f}" for name, value in parts.items())
            print(f"{step + 1} {words} {(time.monotonic() - began) / (step + 1 - start):.2f} s/step", flush=True)
        if (step + 1) % 400 == 0 or step + 1 == config.steps:
            save_checkpoint(path, state, step + 1, generator)
            show(average, heads.pictures(shown).to(device), out / "autoencoder.png")
    return average


def pace(step: int, config: AutoencoderConfig) -> float:
    """The learning rate's share at this step: a short rise, then a cosine down to a hundredth."""
    rise = min(1.0, (step + 1) / config.warmup)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))


def draw(
    heads: RenderedHeads, among: Tensor, step: int, config: AutoencoderConfig, generator: torch.Generator
) -> Tensor:
    """A batch in [-1, 1]: crops at multiples of the factor 8, or whole pictures near the end; half of them mirrored."""
    whole = step >= config.whole_from * config.steps
    count = config.batch // 3 if whole else config.batch
    chosen = among[torch.randint(len(among), (count,), generator=generator)]
    pictures = heads.pictures(chosen)
    if not whole:
        places = torch.randint((PICTURE - config.crop) // 8 + 1, (count, 2), generator=generator) * 8
        side = config.crop
        pictures = torch.stack(
            [p[:, y : y + side, x : x + side] for p, (y, x) in zip(pictures, places.tolist(), strict=True)]
        )
    mirrored = torch.rand(count, generator=generator) < 0.5
    return torch.where(mirrored[:, None, None, None], pictures.flip(3), pictures)


def losses(network: Any, perceptual: PerceptualLoss, batch: Tensor, config: AutoencoderConfig) -> dict[str, Tensor]:
    """The loss and its parts, each one number."""
    with torch.autocast(batch.device.type, torch.bfloat16):
        latent = network.encode(batch).latent_dist
        made = network.decode(latent.sample()).sample
        distance = perceptual(made, batch).float().mean()
    pixels = (made.float() - batch).abs().mean()
    mean, logvar = latent.mean.float(), latent.logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    loss = pixels + config.perceptual * distance + config.kl * kl
    return {"loss": loss, "pixels": pixels, "perceptual": distance, "kl": kl}


@torch.no_grad()
def show(network: Any, pictures: Tensor, path: Path) -> None:
    """Pictures above, their reconstructions below."""
    network.eval()
    made = network.decode(network.encode(pictures).latent_dist.mean).sample
    error = (made - pictures).square().mean((1, 2, 3)) / 4
    print(f"held-out PSNR {(-10 * error.log10()).mean().item():.2f} dB", flush=True)
    save_sheet(torch.stack([pictures, made.clamp(-1, 1)]), path)


if __name__ == "__main__":
    main()
