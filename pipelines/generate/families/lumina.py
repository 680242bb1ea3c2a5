"""Lumina-Image 2.0: flows whose time runs from noise (0) to picture (1), and whose network points that way, too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from pipelines.generate.families.base import Family, Texts, linear_shift


class Lumina2(Family):
    """Lumina2Pipeline. Its own step that matches norms after guidance is left out: APG does that work here."""

    preset: ClassVar[str] = "lumina"
    flow: ClassVar[bool] = True
    network_name: ClassVar[str] = "transformer"

    @property
    def multiple(self) -> int:
        return self.factor * int(self.network.config.patch_size)

    @property
    def channels(self) -> int:
        return int(self.network.config.in_channels)

    @property
    def room(self) -> int:
        return 256

    def framed(self, prompt: str) -> str:
        return f"{self.pipe.system_prompt} <Prompt Start> {prompt}"

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        told, told_mask, free, free_mask = self.pipe.encode_prompt(
            list(prompts), True, negative_prompt=list(negatives), device=self.device
        )
        return (
            {"encoder_hidden_states": told, "encoder_attention_mask": told_mask},
            {"encoder_hidden_states": free, "encoder_attention_mask": free_mask},
        )

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        forward = 1 - time / self.scheduler.config.num_train_timesteps
        output: Tensor = self.network(x, timestep=forward.expand(len(x)), return_dict=False, **texts)[0]
        return -output

    def shift(self, places: int) -> dict[str, Any]:
        if not self.scheduler.config.get("use_dynamic_shifting", False):
            return {}
        patch = int(self.network.config.patch_size)
        return {"mu": linear_shift(places // (patch * patch), self.scheduler.config)}

    def sigmas(self, steps: int) -> list[float] | None:
        found: list[float] = np.linspace(1.0, 1 / steps, steps).tolist()
        return found
