"""Z-Image: as Lumina, time and direction run from noise to picture; prompts are a chat, each as long as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pipelines.generate.families.base import Family, Texts, linear_shift


class ZImage(Family):
    """ZImagePipeline. Its own scale is 0 where ours is 1: s = w - 1."""

    preset: ClassVar[str] = "zimage"
    flow: ClassVar[bool] = True
    network_name: ClassVar[str] = "transformer"

    @property
    def multiple(self) -> int:
        return self.factor * int(min(self.network.config.all_patch_size))

    @property
    def own_size(self) -> tuple[int, int]:
        return 1024, 1024  # the network has no size of its own

    @property
    def channels(self) -> int:
        return int(self.network.config.in_channels)

    @property
    def room(self) -> int:
        return 512

    def framed(self, prompt: str) -> str:
        made: str = self.pipe.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True, enable_thinking=True
        )
        return made

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        told, free = self.pipe.encode_prompt(list(prompts), self.device, True, list(negatives))
        # One length for both, so that they can be joined into one batch; `length` says what counts.
        padded = pad_sequence([*told, *free], batch_first=True)
        lengths = torch.tensor([len(text) for text in (*told, *free)])
        texts = [{"texts": p, "length": n} for p, n in zip(padded.chunk(2), lengths.chunk(2), strict=True)]
        return texts[0], texts[1]

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        forward = ((1000 - time) / 1000).expand(len(x))
        told = [text[:n] for text, n in zip(texts["texts"], texts["length"].tolist(), strict=True)]
        maps = list(x[:, :, None].unbind(0))  # each a film of one picture
        output: list[Tensor] = self.network(maps, forward, told, return_dict=False)[0]
        return -torch.stack(output).squeeze(2)

    def shift(self, places: int) -> dict[str, Any]:
        if not self.scheduler.config.get("use_dynamic_shifting", False):
            return {}
        return {"mu": linear_shift(places // 4, self.scheduler.config)}

    def sigmas(self, steps: int) -> list[float] | None:
        found: list[float] = torch.linspace(1.0, 1 / steps, steps).tolist()
        return found
