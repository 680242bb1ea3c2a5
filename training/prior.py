"""Train generator, age encoder and aging prior together from rendered heads.

What no photo collection has is known here: the same person in the same photo at another age. So the encoder and the
generator learn (crop, target age) -> w+ -> true picture at that age, by pixel, perceptual and identity distance; a
discriminator sharpens the end of training. Some samples are decoded from the mean over layers of their w+, which keeps
w+ near a single w and lets a mapping network be fitted afterwards (training.mapping).

    python -m training.prior --data SET/same_view --data SET/free_view --out RUN --steps 6000

The run folder holds `checkpoint.pt` (go on by giving the same command), `sheet_*.png` and `log.jsonl`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from models.aging import with_age
from models.faces.align import canonical_landmarks
from models.stylegan2 import pool_to

from .allocator import keep_freed_memory
from .augment import augment_pair
from .config import PriorConfig
from .networks import begin_with, build_models, place, update_average
from .objective import Objective
from .rendered import Batch, RenderedHeads, read_picture
from .sheets import SHEET_AGES, aging_rows, save_sheet


class PriorTrainer:
    """One step after another; `state` and `restore` are all that a checkpoint needs."""

    def __init__(self, config: PriorConfig, data: RenderedHeads, device: str = "cpu", begin: Path | None = None):
        """data: on the same device. begin: a folder of exported networks to start from, see `begin_with`."""
        self.config, self.data, self.device = config, data, torch.device(device)
        self.models = build_models(config)
        if begin is not None:
            begin_with(self.models, begin)
        for module in self.models.all().values():
            place(module, self.device)
        # Choices are made on the CPU, which no step has to wait for; what each pixel needs is drawn on the device.
        self.random = torch.Generator().manual_seed(config.seed + 1)
        self.noise = torch.Generator(self.device).manual_seed(config.seed + 2)
        self.objective = Objective(config, self.device, self.random)
        points = torch.as_tensor(canonical_landmarks(config.resolution), dtype=torch.float32)
        self.landmarks = points.to(self.device)
        models = self.models
        # The mapping network is fitted afterwards, from the codes that the encoder has learnt by then.
        named = list(models.generator.synthesis.named_parameters())
        # Equalised weights have unit variance, however many there are: they can take longer steps than the rest.
        weights = [value for name, value in named if name.endswith("weight") and "torgb" not in name]
        others = [value for name, value in named if not (name.endswith("weight") and "torgb" not in name)]
        self.optimizers = {
            "generator": torch.optim.Adam(
                [{"params": weights, "peak": config.lr_weights}, {"params": others, "peak": config.lr_others}],
                betas=(0.9, 0.99),
                fused=True,
            ),
            "encoder": torch.optim.Adam(
                [{"params": list(models.encoder.parameters()), "peak": config.lr_encoder}],
                betas=(0.9, 0.99),
                fused=True,
            ),
            "discriminator": torch.optim.Adam(
                models.discriminator.parameters(), config.lr_discriminator, (0.0, 0.99), fused=True
            ),
        }
        self.step, self.spent = 0, 0.0  # seconds

    def state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "step": self.step,
            "spent": self.spent,
            "random": self.random.get_state(),
            "noise": (self.device.type, self.noise.get_state()),
            "models": {name: module.state_dict() for name, module in self.models.all().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step, self.spent = state["step"], state["spent"]
        self.random.set_state(state["random"].cpu())
        kind, noise = state["noise"]
        if kind == self.device.type:
            self.noise.set_state(noise.cpu())
        else:  # another kind of device has other numbers
            self.noise.manual_seed(self.config.seed + 2 + self.step)
        for name, module in self.models.all().items():
            module.load_state_dict(state["models"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    @property
    def progress(self) -> float:
        """What is done of the training, 0..1."""
        if self.config.budget_minutes:
            return self.spent / (60 * self.config.budget_minutes)
        return self.step / self.config.steps

    def _schedule(self) -> None:
        """Linear warm-up, then half a cosine down to a twentieth."""
        config = self.config
        rise = min(1.0, (self.step + 1) / config.warmup)
        fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        for name in ("generator", "encoder"):
            for group in self.optimizers[name].param_groups:
                group["lr"] = group["peak"] * rise * fall

    @property
    def size(self) -> int:
        return self.config.size_at(self.progress)

    def batch(self) -> Batch:
        """Augmented pairs and landmarks on the device."""
        raw = self.data.pairs(self.config.batch, self.config.same_share, self.random, self.landmarks)
        # First the faces as they are, then more and more of what cameras and people do to them.
        low, high = self.config.augment
        strength = low + (high - low) * min(1.0, self.progress / 0.6)
        source, target, points = augment_pair(raw.source, raw.target, self.landmarks, strength, self.noise)
        source, target = (x.contiguous(memory_format=torch.channels_last) for x in (source, target))
        return Batch(source, target, raw.source_age, raw.target_age, points)

    def encode(self, source: Tensor, ages: Tensor) -> Tensor:
        """w+ with the mean over layers put in for some samples."""
        small = pool_to(source, self.config.encoder_resolution)
        with self.objective.autocast():
            codes = self.models.encoder(with_age(small, ages))
        codes = codes.float()
        flatten = torch.rand(len(codes), 1, 1, generator=self.random) < self.config.mean_w_share
        return torch.where(flatten.to(self.device), codes.mean(dim=1, keepdim=True), codes)

    def decode(self, codes: Tensor) -> Tensor:
        dtype = torch.bfloat16 if self.config.low_precision else None
        # Without noise: a perceptual distance alone would be lowered by speckle where detail can't be foretold.
        images: Tensor = self.models.generator.synthesis(codes, "none", dtype, self.size)
        return images

    def train_step(self) -> dict[str, float]:
        """One update of generator and encoder (and of the discriminator in the last part of training)."""
        began = time.monotonic()
        self._schedule()
        self.models.encoder.train()
        batch = self.batch()
        codes = self.encode(batch.source, batch.target_age)
        images = self.decode(codes)
        terms = self.objective(images, batch, codes, read=self.progress >= self.config.read_from)
        adversarial = self.progress >= self.config.adversarial_from and self.config.adversarial > 0
        if adversarial:
            self.models.discriminator.requires_grad_(False)
            terms["adversarial"] = self.config.adversarial * F.softplus(-self._judge(images)).mean()
            self.models.discriminator.requires_grad_(True)
        total = torch.stack(list(terms.values())).sum()
        self._update(total, "generator", "encoder")
        if adversarial:
            terms["discriminator"] = self._discriminator_step(images.detach(), batch.target)
        # A shorter memory at the start, or the random first weights would stay in the average for long.
        beta = min(self.config.ema, (1 + self.step) / (10 + self.step))
        update_average(self.models.generator_ema, self.models.generator, beta)
        update_average(self.models.encoder_ema, self.models.encoder, beta)
        # A GPU is waited for once a step, and at its end.
        figures = torch.stack([term.detach() for term in terms.values()]).tolist()
        self.step, self.spent = self.step + 1, self.spent + time.monotonic() - began
        return dict(zip(terms, figures, strict=True))

    def _judge(self, images: Tensor) -> Tensor:
        with self.objective.autocast():
            score = self.models.discriminator(images)
        return score.float()

    def _discriminator_step(self, fake: Tensor, real: Tensor) -> Tensor:
        loss = F.softplus(self._judge(fake)).mean() + F.softplus(-self._judge(real)).mean()
        if self.step % self.config.r1_every == 0:
            real = real.detach().requires_grad_(True)
            score = self.models.discriminator(real)
            (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
            loss = loss + self.config.r1 / 2 * self.config.r1_every * slope.square().sum((1, 2, 3)).mean()
        self._update(loss, "discriminator")
        return loss

    def _update(self, loss: Tensor, *names: str) -> None:
        optimizers = [self.optimizers[name] for name in names]
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                nn.utils.clip_grad_norm_(group["params"], 5.0)
            optimizer.step()


def save_checkpoint(trainer: PriorTrainer, path: Path) -> None:
    """Write beside the old checkpoint and rename, so that a kill leaves one of the two whole."""
    temporary = path.with_suffix(".tmp")
    torch.save(trainer.state(), temporary)
    temporary.replace(path)


def run(trainer: PriorTrainer, out: Path, minutes: float, every: int) -> Iterator[dict[str, float]]:
    """Train to the end or for `minutes`, with a checkpoint every `every` steps; yields the figures of each step."""
    start = time.monotonic()
    while trainer.progress < 1 and time.monotonic() - start < minutes * 60:
        figures = trainer.train_step()
        yield figures
        if trainer.step % every == 0:
            save_checkpoint(trainer, out / "checkpoint.pt")
    save_checkpoint(trainer, out / "checkpoint.pt")


def preview(trainer: PriorTrainer, heads: RenderedHeads, photos: Tensor | None, path: Path) -> None:
    """A sheet of held-out heads (and of aligned photos, whose age is taken as 40) at several ages."""
    picks = torch.linspace(0, len(heads) - 1, 6).long()
    crops, present = heads.pictures(picks), heads.ages[picks]
    if photos is not None:
        crops, present = torch.cat([crops, photos]), torch.cat([present, torch.full((len(photos),), 40.0)])
    models = trainer.models
    ages = torch.tensor(SHEET_AGES, device=trainer.device)
    crops, present = crops.to(trainer.device), present.to(trainer.device)
    rows = aging_rows(models.encoder_ema, models.generator_ema, crops, present, ages, trainer.size)
    save_sheet(rows, path)


def main(
    data: Annotated[list[Path], typer.Option(help="Folders of rendered heads with meta.jsonl.")],
    out: Annotated[Path, typer.Option(help="Run folder: checkpoint, sheets, log.")],
    steps: int = PriorConfig.steps,
    minutes: float = 1e9,
    device: str = "cpu",
    held_out: Annotated[int, typer.Option(help="People from this seed up are kept for the sheets.")] = 540,
    photos: Annotated[Path | None, typer.Option(help="Aligned crops to show in the sheets, never trained on.")] = None,
    max_turn: Annotated[float, typer.Option(help="Leave out heads turned or tilted by more degrees.")] = 180.0,
    every: int = 250,
    settings: Annotated[
        Path | None, typer.Option(help="JSON of PriorConfig's fields that differ from the defaults.")
    ] = None,
    begin: Annotated[
        Path | None, typer.Option(help="Folder of exported networks to start from, such as assets/heads.")
    ] = None,
) -> None:
    """Train, or go on from OUT/checkpoint.pt."""
    out.mkdir(parents=True, exist_ok=True)
    # Sums of nearly nothing would take many times as long on a CPU.
    torch.set_flush_denormal(True)
    keep_freed_memory()
    config = PriorConfig(**{"steps": steps, **(json.loads(settings.read_text()) if settings is not None else {})})
    heads = RenderedHeads(data, config.resolution, last_seed=held_out - 1, max_turn=max_turn, device=device)
    shown = RenderedHeads(data, config.resolution, first_seed=held_out, max_turn=max_turn, device=device)
    crops = None
    if photos is not None:
        pixels = torch.stack([read_picture(file, config.resolution) for file in sorted(photos.glob("*.png"))])
        crops = pixels.permute(0, 3, 1, 2) / 127.5 - 1
    trainer = PriorTrainer(config, heads, device, begin)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=device, weights_only=True))
    log = Log(out / "log.jsonl")
    for figures in run(trainer, out, minutes, every):
        log.add(trainer.step, figures)
        if trainer.step % every == 0:
            preview(trainer, shown, crops, out / f"sheet_{trainer.step:06d}.png")


class Log:
    """Smoothed figures, a JSON line every 25 steps."""

    def __init__(self, path: Path):
        self.path, self.began = path, time.monotonic()
        self.mean: dict[str, float] = {}

    def add(self, step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.mean[name] = self.mean.get(name, value) * 0.98 + value * 0.02
        if step % 25 == 0:
            rounded = {name: round(value, 4) for name, value in self.mean.items()}
            line = {"step": step, "seconds": round(time.monotonic() - self.began, 1), **rounded}
            with self.path.open("a") as log:
                log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    typer.run(main)
