"""PixArt-alpha and PixArt-sigma: a transformer that also predicts a variance, which sampling drops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from pipelines.generate.families.base import Family, Texts

SHAPE = ("resolution", "aspect_ratio")


class PixArt(Family):
    """PixArtSigmaPipeline and PixArtAlphaPipeline. The large alpha models are told the size and shape, too."""

    preset: ClassVar[str] = "pixart"
    network_name: ClassVar[str] = "transformer"

    @property
    def multiple(self) -> int:
        return self.factor * int(self.network.config.patch_size)

    @property
    def channels(self) -> int:
        return int(self.network.config.in_channels)

    @property
    def room(self) -> int:
        return 120 if type(self.pipe).__name__ == "PixArtAlphaPipeline" else 300

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        told, told_mask, free, free_mask = self.pipe.encode_prompt(
            list(prompts), True, negative_prompt=list(negatives), device=self.device
        )
        shape = self._shape(size, told) if self.network.use_additional_conditions else {}
        return (
            {"encoder_hidden_states": told, "encoder_attention_mask": told_mask, **shape},
            {"encoder_hidden_states": free, "encoder_attention_mask": free_mask, **shape},
        )

    def _shape(self, size: tuple[int, int], like: Tensor) -> Texts:
        width, height = size
        return {
            "resolution": torch.tensor([[height, width]]).to(like).expand(len(like), -1),
            "aspect_ratio": torch.tensor([[height / width]]).to(like).expand(len(like), -1),
        }

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        output: Tensor = self.network(
            x,
            timestep=time.expand(len(x)),
            encoder_hidden_states=texts["encoder_hidden_states"],
            encoder_attention_mask=texts["encoder_attention_mask"],
            added_cond_kwargs={name: texts.get(name) for name in SHAPE},
            return_dict=False,
        )[0]
        return output[:, : self.channels]
