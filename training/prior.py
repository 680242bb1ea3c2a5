"""Train generator, age encoder and aging prior together from rendered heads.

What no photo collection has is known here: the same person in the same photo at another age. So the encoder and the
generator learn (crop, target age) -> w+ -> true picture at that age, by pixel, perceptual and identity distance; a
discriminator sharpens the end of training. Some samples are decoded from the mean over layers of their w+, which keeps
w+ near a single w and lets a mapping network be fitted afterwards (training.mapping).

    python -m training.prior --data SET/same_view --data SET/free_view --out RUN --steps 6000

The run folder holds `checkpoint.pt` (go on by giving the same command), `sheet_*.png` and `log.jsonl`.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import typer
from torch import Tensor, nn

from models.aging import AgeEncoder, with_age
from models.faces.align import canonical_landmarks
from models.faces.age import age_chip, load_age_net
from models.faces.identity import identity_chip, load_identity_net
from models.perceptual import load_perceptual
from models.stylegan2 import Discriminator, Generator, pool_to

from .augment import augment_pair
from .rendered import Batch, RenderedHeads
from .sheets import SHEET_AGES, aging_rows, save_sheet


@dataclass(frozen=True)
class PriorConfig:
    """Sizes, weights and schedule; the defaults made the embedded models."""

    resolution: int = 128
    channel_base: int = 4096
    channel_max: int = 256
    encoder_widths: tuple[int, ...] = (24, 48, 96, 128)
    encoder_blocks: tuple[int, ...] = (2, 2, 4, 2)
    batch: int = 8
    steps: int = 4000
    warmup: int = 100
    lr_generator: float = 6e-3
    lr_encoder: float = 1e-3
    lr_discriminator: float = 2e-3
    same_share: float = 0.25
    mean_w_share: float = 0.12
    pixel: float = 2.0
    perceptual: float = 1.0
    identity: float = 0.3
    age: float = 3.0
    age_pull: float = 0.5
    w_norm: float = 1e-4
    adversarial: float = 0.05
    adversarial_from: float = 0.75
    r1: float = 2.0
    r1_every: int = 16
    full_size_from: float = 0.25
    ema: float = 0.998
    seed: int = 0
    low_precision: bool = True


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
        4, config.resolution, generator.num_ws, 512, widths, config.encoder_blocks, pyramid=widths[-1]
    )
    for conv in (module for head in encoder.styles for module in head.convs if isinstance(module, nn.Conv2d)):
        # The default initialisation fades through six layers: the first codes would hardly modulate anything.
        nn.init.kaiming_normal_(conv.weight, a=0.01)
    return Models(generator, encoder, Discriminator(config.resolution, config.channel_base, config.channel_max))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, beta: float) -> None:
    """Move the running average of the parameters; buffers are copied."""
    for mean, value in zip(average.parameters(), current.parameters(), strict=True):
        mean.lerp_(value, 1 - beta)
    for mean, value in zip(average.buffers(), current.buffers(), strict=True):
        mean.copy_(value)


class PriorTrainer:
    """One step after another; `state` and `restore` are all that a checkpoint needs."""

    def __init__(self, config: PriorConfig, data: RenderedHeads, device: str = "cpu"):
        self.config, self.data, self.device = config, data, torch.device(device)
        self.models = build_models(config)
        for module in self.models.all().values():
            module.to(self.device, memory_format=torch.channels_last)
        self.perceptual = load_perceptual(self.device).to(memory_format=torch.channels_last)
        self.identity = load_identity_net(self.device).to(memory_format=torch.channels_last)
        self.age_net = load_age_net(self.device).to(memory_format=torch.channels_last)
        points = torch.as_tensor(canonical_landmarks(config.resolution), dtype=torch.float32)
        self.landmarks = points
        models = self.models
        # The mapping network is fitted afterwards, from the codes that the encoder has learnt by then.
        self.optimizers = {
            "generator": torch.optim.Adam(models.generator.synthesis.parameters(), config.lr_generator, (0.9, 0.99)),
            "encoder": torch.optim.Adam(models.encoder.parameters(), config.lr_encoder, (0.9, 0.99)),
            "discriminator": torch.optim.Adam(models.discriminator.parameters(), config.lr_discriminator, (0.0, 0.99)),
        }
        self.random = torch.Generator().manual_seed(config.seed + 1)
        self.step = 0

    def state(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "step": self.step,
            "random": self.random.get_state(),
            "models": {name: module.state_dict() for name, module in self.models.all().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.random.set_state(state["random"])
        for name, module in self.models.all().items():
            module.load_state_dict(state["models"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])

    @property
    def progress(self) -> float:
        return self.step / self.config.steps

    def _schedule(self) -> None:
        """Linear warm-up, then half a cosine down to a twentieth."""
        config = self.config
        rise = min(1.0, (self.step + 1) / config.warmup)
        fall = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress)))
        rates = {"generator": config.lr_generator, "encoder": config.lr_encoder}
        for name, rate in rates.items():
            for group in self.optimizers[name].param_groups:
                group["lr"] = rate * rise * fall

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.low_precision)

    def batch(self) -> Batch:
        """Augmented pairs and landmarks on the device."""
        raw = self.data.pairs(self.config.batch, self.config.same_share, self.random, self.landmarks)
        source, target, points = augment_pair(raw.source, raw.target, self.landmarks, self.random)
        layout = {"device": self.device, "memory_format": torch.channels_last}
        ages = raw.source_age.to(self.device), raw.target_age.to(self.device)
        return Batch(source.to(**layout), target.to(**layout), *ages, points.to(self.device))

    def encode(self, source: Tensor, ages: Tensor) -> Tensor:
        """w+ with the mean over layers put in for some samples."""
        with self._autocast():
            codes = self.models.encoder(with_age(source, ages))
        codes = codes.float()
        flatten = torch.rand(len(codes), 1, 1, generator=self.random) < self.config.mean_w_share
        return torch.where(flatten.to(self.device), codes.mean(dim=1, keepdim=True), codes)

    def decode(self, codes: Tensor) -> Tensor:
        dtype = torch.bfloat16 if self.config.low_precision else None
        images: Tensor = self.models.generator.synthesis(codes, noise_mode="random", dtype=dtype)
        return images

    def losses(self, images: Tensor, batch: Batch, codes: Tensor) -> dict[str, Tensor]:
        """Each term already times its weight."""
        config, target = self.config, batch.target
        terms = {"pixel": config.pixel * F.l1_loss(images, target), "w_norm": config.w_norm * codes.square().mean()}
        small, wanted = self._perceptual_views(images, target)
        with self._autocast():
            with torch.no_grad():
                features = self.perceptual.features(wanted)
            distance = self.perceptual.distance(self.perceptual.features(small), features)
        terms["perceptual"] = config.perceptual * distance.float().mean()
        if self.progress >= config.full_size_from:
            some = max(len(images) // 3, 1)
            points = batch.landmarks[:some]
            terms["identity"] = config.identity * (1 - self._likeness(images[:some], target[:some], points)).mean()
            terms["age"] = config.age * self._age_error(images, batch)
        return terms

    def _perceptual_views(self, images: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Half-size pictures in the first part of training, then windows of three quarters of the side."""
        size = self.config.resolution
        if self.progress < self.config.full_size_from:
            return pool_to(images, size // 2), pool_to(target, size // 2)
        window = size * 3 // 4
        top, left = torch.randint(size - window + 1, (2,), generator=self.random).tolist()
        views = [x[:, :, top : top + window, left : left + window] for x in (images, target)]
        return views[0], views[1]

    def _likeness(self, images: Tensor, target: Tensor, points: Tensor) -> Tensor:
        with self._autocast():
            with torch.no_grad():
                wanted = self.identity(identity_chip(target, points))
            got = self.identity(identity_chip(images, points))
        return (got.float() * wanted.float()).sum(dim=1)

    def _age_error(self, images: Tensor, batch: Batch) -> Tensor:
        """Mean squared error, in centuries, to a goal between what the age net reads in the render and the truth.

        Renders show less age than real faces do; the pull towards the truth makes up for part of it.
        """
        with self._autocast():
            with torch.no_grad():
                read = self.age_net(age_chip(batch.target, batch.landmarks)).float()
            years = self.age_net(age_chip(images, batch.landmarks)).float()
        goal = read.lerp(batch.target_age, self.config.age_pull)
        return ((years - goal) / 100).square().mean()

    def train_step(self) -> dict[str, float]:
        """One update of generator and encoder (and of the discriminator in the last part of training)."""
        self._schedule()
        self.models.encoder.train()
        batch = self.batch()
        codes = self.encode(batch.source, batch.target_age)
        images = self.decode(codes)
        terms = self.losses(images, batch, codes)
        adversarial = self.progress >= self.config.adversarial_from and self.config.adversarial > 0
        if adversarial:
            self.models.discriminator.requires_grad_(False)
            terms["adversarial"] = self.config.adversarial * F.softplus(-self._judge(images)).mean()
            self.models.discriminator.requires_grad_(True)
        total = torch.stack(list(terms.values())).sum()
        self._update(total, "generator", "encoder")
        figures = {name: value.item() for name, value in terms.items()}
        if adversarial:
            figures["discriminator"] = self._discriminator_step(images.detach(), batch.target)
        # A shorter memory at the start, or the random first weights would stay in the average for long.
        beta = min(self.config.ema, (1 + self.step) / (10 + self.step))
        update_average(self.models.generator_ema, self.models.generator, beta)
        update_average(self.models.encoder_ema, self.models.encoder, beta)
        self.step += 1
        return figures

    def _judge(self, images: Tensor) -> Tensor:
        with self._autocast():
            score = self.models.discriminator(images)
        return score.float()

    def _discriminator_step(self, fake: Tensor, real: Tensor) -> float:
        loss = F.softplus(self._judge(fake)).mean() + F.softplus(-self._judge(real)).mean()
        if self.step % self.config.r1_every == 0:
            real = real.detach().requires_grad_(True)
            score = self.models.discriminator(real)
            (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
            loss = loss + self.config.r1 / 2 * self.config.r1_every * slope.square().sum((1, 2, 3)).mean()
        self._update(loss, "discriminator")
        return loss.item()

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
    while trainer.step < trainer.config.steps and time.monotonic() - start < minutes * 60:
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
    rows = aging_rows(models.encoder_ema, models.generator_ema, crops.to(trainer.device), present.to(trainer.device), ages)
    save_sheet(rows, path)


def main(
    data: Annotated[list[Path], typer.Option(help="Folders of rendered heads with meta.jsonl.")],
    out: Annotated[Path, typer.Option(help="Run folder: checkpoint, sheets, log.")],
    steps: int = PriorConfig.steps,
    minutes: float = 1e9,
    device: str = "cpu",
    held_out: Annotated[int, typer.Option(help="People from this seed up are kept for the sheets.")] = 540,
    photos: Annotated[Path | None, typer.Option(help="Aligned crops to show in the sheets, never trained on.")] = None,
    every: int = 250,
) -> None:
    """Train, or go on from OUT/checkpoint.pt."""
    out.mkdir(parents=True, exist_ok=True)
    # Sums of nearly nothing would take many times as long on a CPU.
    torch.set_flush_denormal(True)
    config = PriorConfig(steps=steps)
    heads = RenderedHeads(data, config.resolution, last_seed=held_out - 1)
    shown = RenderedHeads(data, config.resolution, first_seed=held_out)
    crops = None
    if photos is not None:
        from .rendered import _read

        files = sorted(photos.glob("*.png"))
        crops = torch.stack([_read(file, config.resolution) for file in files]).permute(0, 3, 1, 2) / 127.5 - 1
    trainer = PriorTrainer(config, heads, device)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, map_location=device, weights_only=True))
    sums: dict[str, float] = {}
    began = time.monotonic()
    for figures in run(trainer, out, minutes, every):
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) * 0.98 + value * 0.02 if name in sums else value
        if trainer.step % 25 == 0:
            line = {"step": trainer.step, "seconds": round(time.monotonic() - began, 1), **{k: round(v, 4) for k, v in sums.items()}}
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if trainer.step % every == 0:
            preview(trainer, shown, crops, out / f"sheet_{trainer.step:06d}.png")


if __name__ == "__main__":
    typer.run(main)
