"""The loop: a network with an adapter, lessons, an optimizer, and a state from which it goes on to the same weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import EveryageError, InputError
from photos.files import write_atomically
from pipelines.finetune.lessons import Lessons
from pipelines.finetune.methods import budget_of, learning_rate, settle
from pipelines.finetune.objective import Objective
from pipelines.finetune.settings import FinetuneSettings
from pipelines.generate.families.base import Family

ADAPTER = "default"
FORMAT = 1
STILL = 0.1  # with fewer of SaRA's weights below the threshold at half time, all train on
SEEDS_APART = 1_000_003  # a prime: the draws of two seeds never meet


class FinetuneTrainer:
    """One step after another; every step draws from a generator of its own, so that a restart changes nothing.

    Adds the adapter to the family's network, whose own weights are frozen and stay as they are. `close` takes it off.
    """

    def __init__(self, family: Family, lessons: Lessons, settings: FinetuneSettings) -> None:
        from accelerate import Accelerator

        from models.adapters import inject_adapter_in_model

        self.family, self.lessons, self.settings = family, lessons, settings
        self.objective = Objective.of(family.scheduler, family.kind(), settings.min_snr, settings.offset)
        network: Any = family.network
        self.network = network
        network.requires_grad_(False)
        # PiSSA takes a part out of the network's own weights, which others use after this training.
        keep = settings.method == "pissa"
        self._before = {n: p.detach().cpu().clone() for n, p in network.named_parameters()} if keep else {}
        with seeded(settings.seed):
            self.config = settle(network, settings.method, budget_of(network, settings.strength))
            inject_adapter_in_model(self.config, network, ADAPTER)
        base = sum(p.numel() for p in network.parameters() if not p.requires_grad)
        for p in network.parameters():
            if p.requires_grad:
                p.data = p.data.float()  # steps are too small for half precision
        self._start = self.adapter_state() if settings.method == "pissa" else {}
        if settings.checkpointing:
            network.enable_gradient_checkpointing()
        self.rate = settings.rate or learning_rate(self.config, settings.method, base)
        self.trainable = [p for p in network.parameters() if p.requires_grad]
        self.weights = sum(p.numel() for p in self.trainable)
        self.base_weights = base
        self.optimizer: Any = _optimizer(settings.optimizer, self.trainable, self.rate)
        precision = _precision(settings.precision, family.device)
        self.accelerator = Accelerator(cpu=family.device.type == "cpu", mixed_precision=precision)
        # Not the network: of several processes each has its own, and `_share` joins what they learned. What wraps a
        # network for that does not bear parameters that change, as SaRA's do at half time.
        self.optimizer = self.accelerator.prepare(self.optimizer)
        # As the pool keeps it: dropout inside a base that is frozen would only blur what the adapter sees.
        network.eval()
        self.average = [p.detach().clone() for p in self.trainable] if settings.ema else []
        self.step = 0
        self.losses: list[float] = []

    def train_step(self) -> float:
        """One step of the optimizer; the mean loss over its batches.

        Raises EveryageError where the loss is no number any more.
        """
        settings, total = self.settings, 0.0
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(settings.accumulate):
            loss = self._loss(self.step * settings.accumulate + part) / settings.accumulate
            self.accelerator.backward(loss)
            total += float(loss.detach())
        if settings.method == "sara" and settings.rank_weight:
            ranked = self._rank_loss()
            if ranked.requires_grad:  # not where no matrix is large enough
                self.accelerator.backward(settings.rank_weight * ranked)
        total = self._share(total)
        if not math.isfinite(total):
            raise EveryageError("The training's numbers ran over; start again with a lower learning rate.")
        self.optimizer.step()
        self.step += 1
        self.losses.append(total)
        self._average()
        if settings.method == "sara" and settings.reselect and self.step == settings.steps // 2:
            self._reselect()
        return total

    def _share(self, loss: float) -> float:
        """Means over all processes: the gradients, in place, and the loss."""
        if self.accelerator.num_processes == 1:
            return loss
        for p in self.trainable:
            if p.grad is not None:
                p.grad = self.accelerator.reduce(p.grad, "mean")
        return float(self.accelerator.reduce(torch.tensor(loss, device=self.family.device), "mean"))

    def _loss(self, batch: int) -> Tensor:
        """Of the batch of this number, counted from 0 over the whole training and all processes."""
        settings, many = self.settings, self.accelerator.num_processes
        number = batch * many + self.accelerator.process_index
        drawn = torch.Generator().manual_seed(settings.seed * SEEDS_APART + number)
        places = self.lessons.batch_at(number, settings.batch, settings.seed)
        clean, texts = self.lessons.draw(places, settings.drop, drawn)
        times = self.objective.draw_times(len(clean), drawn)
        noise = self.objective.draw_noise(tuple(clean.shape), drawn)
        device = self.family.device
        clean, times, noise = (t.to(device) for t in (clean, times, noise))
        self.family.sized(self.lessons.buckets[places[0]])
        noisy = self.objective.noisy(clean, noise, times)
        with self.accelerator.autocast():
            given = self.family.pack(noisy).to(self.family.dtype)
            said = self.family.predict(given, times, {name: value.to(device) for name, value in texts.items()})
        said = self.family.unpack(said, *clean.shape[-2:])
        return self.objective.loss(said, clean, noise, times).mean()

    def _rank_loss(self) -> Tensor:
        from models.adapters.sara.training import rank_loss

        drawn = torch.Generator().manual_seed(self.settings.seed * SEEDS_APART + self.step)
        return rank_loss(self.network, drawn, ADAPTER)

    def _reselect(self) -> None:
        from models.adapters.sara.training import reselect

        if not reselect(self.network, self.config.threshold, self.optimizer, ADAPTER, STILL).frozen:
            return
        self.trainable = [p for p in self.network.parameters() if p.requires_grad]
        # The average starts anew from here: its weights are not the same ones any more.
        self.average = [p.detach().clone() for p in self.trainable] if self.settings.ema else []

    @torch.no_grad()
    def _average(self) -> None:
        if not self.average:
            return
        pace = min(self.settings.ema, (self.step + 1) / (self.step + 10))
        for kept, now in zip(self.average, self.trainable, strict=True):
            kept.lerp_(now.detach(), 1 - pace)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """The average's weights in place of the last step's, inside the block."""
        now = [p.detach().clone() for p in self.trainable] if self.average else []
        for p, value in zip(self.trainable, self.average, strict=False):
            p.data.copy_(value)
        try:
            yield
        finally:
            for p, value in zip(self.trainable, now, strict=False):
                p.data.copy_(value)

    def adapter_state(self) -> dict[str, Tensor]:
        """The adapter's tensors as peft names them, on the CPU."""
        from models.adapters import adapter_state

        return {name: value.detach().cpu().clone() for name, value in adapter_state(self.network, ADAPTER).items()}

    def result(self) -> tuple[Any, dict[str, Tensor]]:
        """(settings, tensors) of the adapter as it is now, or of the average, in a form that any base takes.

        PiSSA's factors belong to a base without them, so what they gained is given as a LoRA of twice the rank.
        """
        with self.averaged():
            state = self.adapter_state()
        if not self._start:
            return self.config, state
        return doubled(self.config, self._start, state)

    def save(self, path: Path) -> None:
        """All that `load` needs to go on, whole or not at all."""
        stored = {
            "format": FORMAT,
            "settings": self.settings.model_dump(mode="json"),
            "step": self.step,
            "losses": self.losses,
            "adapter": self.adapter_state(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
        }
        write_atomically(path, lambda file: torch.save(stored, file))

    def load(self, path: Path) -> None:
        """Go on where `save` was called. Raises InputError for a state of other settings, or a damaged one."""
        from models.adapters import fill_adapter

        try:
            stored: Any = torch.load(path, map_location="cpu", weights_only=True)
            given = {k: v for k, v in stored["settings"].items() if k not in ("steps", "samples", "sample_every")}
            fits = stored["format"] == FORMAT
        except Exception as error:  # a damaged file fails in many ways
            raise InputError(f"The saved training {path.name} can't be read; start anew.") from error
        own = {k: v for k, v in self.settings.model_dump(mode="json").items() if k in given}
        changed = [name for name in own if own[name] != given[name]]
        if not fits or changed:
            raise InputError(f"The saved training has another {(changed or ['form'])[0]}; start anew, or set it back.")
        fill_adapter(self.network, stored["adapter"], ADAPTER)
        # Filling may have made other parameters, where fewer weights train on than did at the start.
        self.trainable = [p for p in self.network.parameters() if p.requires_grad]
        for group in self.optimizer.param_groups:
            group["params"] = self.trainable
        self.optimizer.load_state_dict(stored["optimizer"])
        self.step, self.losses = int(stored["step"]), list(stored["losses"])
        self.average = [value.to(p) for value, p in zip(stored["average"], self.trainable, strict=False)]

    def close(self) -> None:
        """Take the adapter off the network again, and let go of what accelerate holds for the whole process."""
        from accelerate.state import AcceleratorState

        from models.adapters import remove_adapters

        remove_adapters(self.network)
        for name, value in self._before.items():
            self.network.get_parameter(name).data.copy_(value)
        if self.settings.checkpointing:
            self.network.disable_gradient_checkpointing()
        self.network.eval()
        self.accelerator.free_memory()
        AcceleratorState._reset_state(reset_partial_state=True)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The same numbers from the libraries' own generator inside the block; what was there before comes back after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def doubled(config: Any, before: dict[str, Tensor], after: dict[str, Tensor]) -> tuple[Any, dict[str, Tensor]]:
    """The difference of two LoRAs of one form, as a LoRA of twice the rank: B A - B0 A0 = [B, -B0] [A; A0]."""
    from models.adapters import LoraConfig

    joined = {
        name: torch.cat([value, before[name]], 0) if ".lora_A." in name else torch.cat([value, -before[name]], 1)
        for name, value in after.items()
    }
    made = LoraConfig(r=2 * config.r, lora_alpha=2 * config.lora_alpha, target_modules=config.target_modules)
    return made, joined


def _optimizer(name: str, trainable: list[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    """Raises InputError for one whose package is not here."""
    if name == "adamw":
        return torch.optim.AdamW(trainable, rate, weight_decay=0.0)
    try:
        import bitsandbytes
    except ImportError as error:
        raise InputError("The 8-bit optimizer needs the package bitsandbytes; install it, or choose adamw.") from error
    made: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(trainable, rate, weight_decay=0.0)
    return made


def _precision(wanted: str, device: torch.device) -> str:
    if wanted != "auto":
        return wanted
    if device.type != "cuda":
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
