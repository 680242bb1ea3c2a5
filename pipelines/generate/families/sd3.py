"""Stable Diffusion 3: a transformer trained on flows, three text encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from pipelines.generate.families.base import Family, Texts, linear_shift


class StableDiffusion3(Family):
    """StableDiffusion3Pipeline."""

    preset: ClassVar[str] = "sd3"
    flow: ClassVar[bool] = True
    network_name: ClassVar[str] = "transformer"

    @property
    def room(self) -> int:
        return 256 if self._long else super().room

    @property
    def _long(self) -> bool:
        """Whether T5 is there: many copies of the model come without."""
        return self.pipe.text_encoder_3 is not None

    @property
    def reader(self) -> str:
        return "tokenizer_3" if self._long else "tokenizer"

    @property
    def multiple(self) -> int:
        return self.factor * int(self.network.config.patch_size)

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        told, free, told_pooled, free_pooled = self.pipe.encode_prompt(
            list(prompts), None, None, device=self.device, negative_prompt=list(negatives)
        )
        return self._texts(told, told_pooled), self._texts(free, free_pooled)

    @staticmethod
    def _texts(hidden: Tensor, pooled: Tensor) -> Texts:
        return {"encoder_hidden_states": hidden, "pooled_projections": pooled}

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        output: Tensor = self.network(hidden_states=x, timestep=time.expand(len(x)), return_dict=False, **texts)[0]
        return output

    def shift(self, places: int) -> dict[str, Any]:
        if not self.scheduler.config.get("use_dynamic_shifting", False):
            return {}
        patch = int(self.network.config.patch_size)
        return {"mu": linear_shift(places // (patch * patch), self.scheduler.config)}
