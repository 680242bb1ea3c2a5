"""Stable Diffusion XL: two text encoders, and the picture's size told to the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pipelines.generate.families.base import Family, Texts


class StableDiffusionXL(Family):
    """StableDiffusionXLPipeline. An empty negative prompt is zeros where the model was trained so."""

    preset: ClassVar[str] = "sdxl"

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        # Without negative prompts the pipeline decides between zeros and the encoded empty text.
        given = list(negatives) if any(negatives) else None
        told, free, told_pooled, free_pooled = self.pipe.encode_prompt(
            prompt=list(prompts), device=self.device, negative_prompt=given
        )
        times = self._times(told, size)
        return self._texts(told, told_pooled, times), self._texts(free, free_pooled, times)

    @staticmethod
    def _times(told: Tensor, size: tuple[int, int]) -> Tensor:
        """Original size, crop and target size: (N, 6), rows before columns."""
        whole = (size[1], size[0])
        return torch.tensor([[*whole, 0, 0, *whole]], dtype=told.dtype, device=told.device).repeat(len(told), 1)

    @staticmethod
    def _texts(hidden: Tensor, pooled: Tensor, times: Tensor) -> Texts:
        return {"encoder_hidden_states": hidden, "text_embeds": pooled, "time_ids": times}

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        added: dict[str, Any] = {name: texts[name] for name in ("text_embeds", "time_ids")}
        output: Tensor = self.network(
            x, time, texts["encoder_hidden_states"], added_cond_kwargs=added, return_dict=False
        )[0]
        return output
