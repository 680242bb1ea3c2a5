"""Flux.1: packed tokens, flows; guided by a second pass ("true" guidance) beside its distilled guidance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pipelines.generate.families.base import Family, Texts, linear_shift

DISTILLED = 3.5
"""What the models with a guidance input are told; the second pass guides beyond it."""


class Flux(Family):
    """FluxPipeline. The places of the latent are packed 2 x 2 into tokens."""

    preset: ClassVar[str] = "flux"
    flow: ClassVar[bool] = True
    network_name: ClassVar[str] = "transformer"

    @property
    def reader(self) -> str:
        return "tokenizer_2"  # the long text goes through T5

    @property
    def room(self) -> int:
        return 512

    @property
    def multiple(self) -> int:
        return self.factor * 2

    @property
    def own_size(self) -> tuple[int, int]:
        side = int(self.pipe.default_sample_size) * self.factor
        return side, side

    @property
    def channels(self) -> int:
        return int(self.network.config.in_channels) // 4

    def sized(self, size: tuple[int, int]) -> None:
        self._places = (size[1] // self.multiple, size[0] // self.multiple)

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        self.sized(size)
        return self._texts(prompts), self._texts(negatives)

    def _texts(self, prompts: Sequence[str]) -> Texts:
        hidden, pooled, places = self.pipe.encode_prompt(list(prompts), None, device=self.device)
        # The same for all pictures, but given a row each, so that texts are cut and joined alike.
        return {
            "encoder_hidden_states": hidden,
            "pooled_projections": pooled,
            "txt_ids": places[None].expand(len(hidden), -1, -1),
        }

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        rows, columns = self._places
        places = self.pipe._prepare_latent_image_ids(1, rows, columns, x.device, x.dtype)
        distilled = torch.full((len(x),), DISTILLED, device=x.device) if self.network.config.guidance_embeds else None
        output: Tensor = self.network(
            hidden_states=x,
            timestep=time.expand(len(x)).to(x.dtype) / 1000,
            guidance=distilled,
            pooled_projections=texts["pooled_projections"],
            encoder_hidden_states=texts["encoder_hidden_states"],
            txt_ids=texts["txt_ids"][0],
            img_ids=places,
            return_dict=False,
        )[0]
        return output

    def shift(self, places: int) -> dict[str, Any]:
        return {"mu": linear_shift(places // 4, self.scheduler.config)}

    def sigmas(self, steps: int) -> list[float] | None:
        found: list[float] = np.linspace(1.0, 1 / steps, steps).tolist()
        return found

    def pack(self, latents: Tensor) -> Tensor:
        n, c, rows, columns = latents.shape
        tokens = latents.reshape(n, c, rows // 2, 2, columns // 2, 2).permute(0, 2, 4, 1, 3, 5)
        return tokens.reshape(n, rows * columns // 4, c * 4)

    def unpack(self, latents: Tensor, rows: int, columns: int) -> Tensor:
        n, _, c = latents.shape
        maps = latents.reshape(n, rows // 2, columns // 2, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return maps.reshape(n, c // 4, rows, columns)
