"""Train the denoiser and the text encoder on the latents of captioned heads.

    python -m training.portraits.denoiser --data SET/same_view --data SET/free_view --out RUN

RUN holds `autoencoder.pt` from `training.portraits.autoencoder`. Velocity prediction (Salimans & Ho 2022, section 4) on
the schedule of Stable Diffusion, weighted by min-SNR (Hang et al. 2023). The same command goes on where it was
stopped; `--minutes` stops early.
"""

from __future__ import annotations

import argparse
import math
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.captions import attributes_of_render, caption
from training.portraits.config import AutoencoderConfig, DenoiserConfig
from training.portraits.data import Captioned, captioned, read_rows
from training.portraits.networks import build_autoencoder, build_denoiser, build_text_encoder
from training.portraits.state import average_into, load_checkpoint, save_checkpoint
from training.portraits.words import learn, load
from training.sheets import save_sheet

HELD_OUT = (520, 559)
WORDS = 1400
STEPS = 1000
SHOWN = (
    "a photo of a 25 year old woman, long black hair, fair skin, smiling, grey background",
    "portrait of a 70 year old man, short white hair, full beard, dark background",
    "a 10 year old boy, short blond hair, facing the camera, bright background",
    "a young african woman, afro black hair, dark skin, turned to the left, green background",
    "a middle-aged asian man, bald, tan skin, side light",
    "a very old woman, grey hair in a bob, frowning, warm light",
    "a 35 year old man, brown hair, stubble, blue eyes, turned to the right, purple background",
    "",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=DenoiserConfig.steps)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    config = DenoiserConfig(steps=options.steps)
    trainer = DenoiserTrainer(config, options.data, options.out, torch.device(options.device))
    trainer.run(options.minutes)


class DenoiserTrainer:
    """Everything that a training holds; `run` goes on until the schedule or the time ends."""

    def __init__(self, config: DenoiserConfig, folders: list[Path], out: Path, device: torch.device) -> None:
        """Reads `out/autoencoder.pt`; writes the tokenizer and the latents into `out` where they are missing."""
        self.config, self.out, self.device = config, out, device
        torch.manual_seed(config.seed)
        plan = AutoencoderConfig()
        self.autoencoder = build_autoencoder(plan).eval().requires_grad_(False)
        saved = torch.load(out / "autoencoder.pt", map_location="cpu", weights_only=True)
        self.autoencoder.load_state_dict(saved["average"])
        self.data: Captioned = captioned(folders, self.autoencoder, out / "latents.pt")
        held = (self.data.seeds >= HELD_OUT[0]) & (self.data.seeds <= HELD_OUT[1])
        self.training = torch.where(~held)[0]
        self.tokenizer = tokenizer_of(out / "tokenizer", folders, config.text_length)
        self.parts: dict[str, Any] = {}
        for name in ("network", "average"):
            unet = build_denoiser(config, plan.latent_channels)
            text = build_text_encoder(config, len(self.tokenizer), self.tokenizer.eos_token_id)
            self.parts[name] = torch.nn.ModuleDict({"unet": unet, "text": text}).to(device)
        self.parts["average"].load_state_dict(self.parts["network"].state_dict())
        self.parts["average"].requires_grad_(False)
        self.parts["network"]["unet"].to(memory_format=torch.channels_last)
        self.parts["optimizer"] = torch.optim.AdamW(
            self.parts["network"].parameters(), lr=config.lr, betas=(0.9, 0.99), weight_decay=1e-2
        )
        self.step, self.generator = load_checkpoint(out / "denoiser.pt", self.parts, config.seed)
        root = torch.linspace(config.beta_start**0.5, config.beta_end**0.5, STEPS, dtype=torch.float64)
        self.signal = (1 - root.square()).cumprod(0).float().to(device)

    def run(self, minutes: float) -> None:
        began, first, recent = time.monotonic(), self.step, 0.0
        while self.step < self.config.steps and time.monotonic() - began < 60 * minutes:
            recent = 0.98 * recent + 0.02 * self.train_step() if self.step > first else self.train_step()
            if self.step % 50 == 0:
                pace = (time.monotonic() - began) / (self.step - first)
                print(f"{self.step} loss {recent:.4f} {pace:.2f} s/step", flush=True)
            if self.step % 250 == 0:
                save_checkpoint(self.out / "denoiser.pt", self.parts, self.step, self.generator)
            if self.step % 500 == 0:
                self.show(self.out / f"sheet_{self.step:06d}.png")
        save_checkpoint(self.out / "denoiser.pt", self.parts, self.step, self.generator)
        self.show(self.out / f"sheet_{self.step:06d}.png")

    def train_step(self) -> float:
        """One batch; returns its loss."""
        clean, captions = self.data.draw(self.training, self.config.batch, self.generator)
        dropped = torch.rand(len(captions), generator=self.generator) < self.config.caption_drop
        tokens = self.tokens(["" if drop else text for drop, text in zip(dropped.tolist(), captions, strict=True)])
        times = torch.randint(STEPS, (len(clean),), generator=self.generator).to(self.device)
        noise = torch.randn(clean.shape, generator=self.generator).to(self.device)
        loss = self.loss(clean.to(self.device), tokens, times, noise)
        optimizer, network = self.parts["optimizer"], self.parts["network"]
        for group in optimizer.param_groups:
            group["lr"] = self.config.lr * pace(self.step, self.config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        self.step += 1
        average_into(self.parts["average"], network, min(self.config.ema, (self.step + 1) / (self.step + 10)))
        return float(loss.item())

    def loss(self, clean: Tensor, tokens: Tensor, times: Tensor, noise: Tensor) -> Tensor:
        """Mean squared error of the velocity, weighted by min(SNR, limit) / (SNR + 1)."""
        signal = self.signal[times][:, None, None, None]
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        velocity = signal.sqrt() * noise - (1 - signal).sqrt() * clean
        network = self.parts["network"]
        with torch.autocast(self.device.type, torch.bfloat16):
            said = network["text"](tokens).last_hidden_state
            made = network["unet"](noisy.contiguous(memory_format=torch.channels_last), times, said).sample
        ratio = self.signal[times] / (1 - self.signal[times])
        weight = ratio.clamp(max=self.config.min_snr) / (ratio + 1)
        return ((made.float() - velocity).square().mean((1, 2, 3)) * weight).mean()

    def tokens(self, captions: list[str]) -> Tensor:
        """(N, length) numbers, filled up with the end token as pipelines do."""
        ids = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return ids.to(self.device)

    @torch.no_grad()
    def show(self, path: Path, scale: float = 3.0, steps: int = 20) -> None:
        """Two pictures for each of the prompts of `SHOWN`, by DDIM under plain guidance, from the averaged weights."""
        average = self.parts["average"].eval()
        count = len(SHOWN)
        said = average["text"](self.tokens([*SHOWN, ""] * 1)).last_hidden_state
        texts = torch.cat([said[:count], said[:count], said[count:].expand(2 * count, -1, -1)])
        shape = (2 * count, *self.data.latents.shape[2:])
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(self.device)
        times = torch.linspace(STEPS - 1, 0, steps + 1).round().long().tolist()
        for now, later in pairwise(times):
            a, b = self.signal[now], self.signal[later]
            made = average["unet"](torch.cat([x, x]), torch.tensor(now), texts).sample
            told, untold = made.chunk(2)
            v = untold + scale * (told - untold)
            clean, noise = a.sqrt() * x - (1 - a).sqrt() * v, (1 - a).sqrt() * x + a.sqrt() * v
            x = b.sqrt() * clean + (1 - b).sqrt() * noise
        pictures = self.autoencoder.decode(clean.cpu() / self.data.scale).sample.clamp(-1, 1)
        save_sheet(pictures.unflatten(0, (2, count)), path)


def pace(step: int, config: DenoiserConfig) -> float:
    """The learning rate's share: a rise, a plain, and a cosine down to a fiftieth in the last part."""
    rise = min(1.0, (step + 1) / config.warmup)
    fall = max(0.0, step / config.steps - config.decay_from) / (1 - config.decay_from)
    return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


def tokenizer_of(folder: Path, folders: list[Path], length: int) -> Any:
    """The tokenizer of the run, learnt from one caption for each picture where it is not there yet."""
    if not (folder / "vocab.json").exists():
        import random

        rng = random.Random(0)
        grounds = ("dark", "grey", "bright", "blue", "green", "brown", "purple")
        rows = [row for _, row in read_rows(folders)]
        learn((caption(attributes_of_render(r, rng.choice(grounds)), rng) for r in rows), WORDS, folder, length)
    return load(folder, length)


if __name__ == "__main__":
    main()
