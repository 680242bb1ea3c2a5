"""DiT (Peebles & Xie 2023): classes in place of text. The prompt is the name or the number of an ImageNet class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from models.errors import InputError
from pipelines.generate.families.base import Family, Texts


class DiT(Family):
    """DiTPipeline. The class after the last one means "no class"."""

    preset: ClassVar[str] = "dit"
    network_name: ClassVar[str] = "transformer"

    @property
    def multiple(self) -> int:
        return self.factor * int(self.network.config.patch_size)

    @property
    def channels(self) -> int:
        return int(self.network.config.in_channels)

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        none = int(self.network.config.num_embeds_ada_norm)
        told = [self._number(prompt, none) for prompt in prompts]
        free = [self._number(negative, none) for negative in negatives]
        return ({"class_labels": torch.tensor(told, device=self.device)},
                {"class_labels": torch.tensor(free, device=self.device)})  # fmt: skip

    def _number(self, prompt: str, none: int) -> int:
        text = prompt.strip()
        if not text:
            return none
        if text.isdecimal() and int(text) < none:
            return int(text)
        names = self.pipe.labels or {}
        if text in names:
            return int(names[text])
        raise InputError(
            f"This model knows classes, not prompts, and {text[:60]!r} is none; give 0 to {none - 1} or a name."
        )

    def cut(self, prompt: str) -> str:
        return ""

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        output: Tensor = self.network(x, timestep=time.expand(len(x)), return_dict=False, **texts)[0]
        return output[:, : self.channels]
