"""PixArt-alpha and PixArt-sigma: a transformer that also predicts a variance, which sampling drops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor

from pipelines.generate.families.base import Family, Texts


class PixArt(Family):
    """PixArtSigmaPipeline and PixArtAlphaPipeline."""

    preset: ClassVar[str] = "pixart"
    network_name: ClassVar[str] = "transformer"

    @property
    def multiple(self) -> int:
        return self.factor * int(self.network.config.patch_size)

    @property
    def channels(self) -> int:
        return int(self.network.config.in_channels)

    def encode(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        told, told_mask, free, free_mask = self.pipe.encode_prompt(
            list(prompts), True, negative_prompt=list(negatives), device=self.device
        )
        return (
            {"encoder_hidden_states": told, "encoder_attention_mask": told_mask},
            {"encoder_hidden_states": free, "encoder_attention_mask": free_mask},
        )

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        output: Tensor = self.network(
            x,
            timestep=time.expand(len(x)),
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
            **texts,
        )[0]
        return output[:, : self.channels]
