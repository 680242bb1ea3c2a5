"""What the loop must know of a kind of model: how it reads text, what it predicts, and what its latents are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.guidance.spaces import Kind
from pipelines.generate.parts import Parts

Texts = dict[str, Tensor]
"""What the network is told, by the name of its argument; each (N, ...), one row a picture."""


class Family:
    """One loaded pipeline seen through the contract, for one run. Subclasses say where their kind differs.

    scheduler: the run's own, so that runs don't meddle with each other's steps. parts: where the networks lie while
    they are used; by default where they are now. `preset` names the settings to start from. `flow`: trained on flows,
    so that only flow samplers fit.
    """

    preset: ClassVar[str] = "sd"
    flow: ClassVar[bool] = False
    network_name: ClassVar[str] = "unet"

    def __init__(self, pipe: Any, scheduler: Any, parts: Parts | None = None) -> None:
        self.pipe, self.scheduler = pipe, scheduler
        self.parts = parts or Parts(pipe, pipe.device)

    @property
    def network(self) -> Any:
        return getattr(self.pipe, self.network_name)

    @property
    def device(self) -> torch.device:
        """Where the networks run."""
        return self.parts.device

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = self.network.dtype
        return found

    @property
    def factor(self) -> int:
        """Pixels a place of the latent, along each side."""
        return int(2 ** (len(self.pipe.vae.config.block_out_channels) - 1))

    @property
    def multiple(self) -> int:
        """Width and height must be multiples of this (pixels): latents are halved on the network's way down."""
        levels = len(getattr(self.network.config, "block_out_channels", (0, 0)))
        return self.factor * 2 ** max(levels - 1, 0)

    @property
    def own_size(self) -> tuple[int, int]:
        """(width, height) that the model was trained at."""
        side = self.network.config.sample_size
        rows, columns = side if isinstance(side, list | tuple) else (side, side)
        return columns * self.factor, rows * self.factor

    @property
    def channels(self) -> int:
        """Numbers at each place of the latent."""
        return int(self.pipe.vae.config.latent_channels)

    def kind(self) -> Kind:
        """What the network predicts."""
        named = self.scheduler.config.get("prediction_type", "epsilon")
        return "flow" if self.flow else {"v_prediction": "v", "sample": "x0"}.get(named, "epsilon")  # type: ignore[return-value]

    def encode(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        """(with the prompts, without or with the negative ones); size: (width, height) in pixels."""
        count = len(prompts)
        alike = len(set(prompts)) == 1 and len(set(negatives)) == 1
        with self.parts.using("text"), torch.no_grad():
            if not alike:
                return self.read(prompts, negatives, size)
            # A batch of one prompt is read once: some text encoders are larger than the network that draws.
            told, free = self.read(prompts[:1], negatives[:1], size)
        return repeated(told, count), repeated(free, count)

    def sized(self, size: tuple[int, int]) -> None:
        """Take the next predictions for pictures of this (width, height); `encode` does so for its own."""

    def read(self, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]) -> tuple[Texts, Texts]:
        """What `encode` gives, each row read on its own."""
        told, free = self.pipe.encode_prompt(list(prompts), self.device, 1, True, list(negatives))
        return {"encoder_hidden_states": told}, {"encoder_hidden_states": free}

    @property
    def reader(self) -> str:
        """The name of the tokenizer whose text encoder reads most of a prompt."""
        return "tokenizer"

    @property
    def room(self) -> int:
        """Tokens that the reader takes, with those that it puts around a prompt itself."""
        return int(self.pipe.tokenizer.model_max_length)

    def framed(self, prompt: str) -> str:
        """The prompt as the reader is given it."""
        return prompt

    def cut(self, prompt: str) -> str:
        """The end of the prompt that the text encoder has no room for; empty if it fits."""
        tokenizer = getattr(self.pipe, self.reader)
        around = len(tokenizer(self.framed("")).input_ids)
        over = tokenizer(prompt, add_special_tokens=False).input_ids[max(self.room - around, 0) :]
        return str(tokenizer.decode(over)).strip() if over else ""

    def predict(self, x: Tensor, time: Tensor, texts: Texts) -> Tensor:
        """The network's raw output, (N, C, h, w), for inputs and texts of as many rows."""
        output: Tensor = self.network(x, time, return_dict=False, **texts)[0]
        return output

    def shift(self, places: int) -> dict[str, Any]:
        """Further arguments of the scheduler's set_timesteps, for latents of so many places."""
        return {}

    def sigmas(self, steps: int) -> list[float] | None:
        """Noise levels that are handed to the scheduler, where this kind does not leave them to it."""
        return None

    def pack(self, latents: Tensor) -> Tensor:
        """Latent maps (N, C, h, w) as the network wants them."""
        return latents

    def unpack(self, latents: Tensor, rows: int, columns: int) -> Tensor:
        """The reverse of `pack`."""
        return latents

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents of the autoencoder as the network knows them."""
        middle, spread = self._middle_and_spread(latents)
        return (latents - middle) / spread

    def unscaled(self, latents: Tensor) -> Tensor:
        """The reverse of `scaled`."""
        middle, spread = self._middle_and_spread(latents)
        return latents * spread + middle

    def _middle_and_spread(self, like: Tensor) -> tuple[Tensor | float, Tensor | float]:
        """What the autoencoder's latents are shifted and divided by: one number each, or one a channel."""
        config = self.pipe.vae.config
        mean, deviation = config.get("latents_mean"), config.get("latents_std")
        if mean is None or deviation is None:
            return config.get("shift_factor") or 0.0, 1 / config.scaling_factor
        middle, spread = (torch.tensor(v).view(1, -1, 1, 1).to(like) for v in (mean, deviation))
        return middle, spread / config.scaling_factor

    def decode(self, latents: Tensor) -> Tensor:
        """Latent maps (N, C, h, w) as pictures (N, 3, H, W), float32 in [-1, 1]."""
        vae = self.pipe.vae
        with self.parts.using("vae"), torch.no_grad():
            images: Tensor = vae.decode(self.unscaled(latents).to(self.device, vae.dtype), return_dict=False)[0]
        return images.float().clamp(-1, 1)

    def encode_picture(self, image: Tensor) -> Tensor:
        """A picture (1, 3, H, W) in [-1, 1] as latents (1, C, h, w), float32: the mean, nothing left to chance."""
        vae = self.pipe.vae
        with self.parts.using("vae"), torch.no_grad():
            latents: Tensor = vae.encode(image.to(self.device, vae.dtype)).latent_dist.mode()
        return self.scaled(latents.float())


def repeated(texts: Texts, count: int) -> Texts:
    """One row as `count` rows."""
    return {name: value.expand(count, *value.shape[1:]) for name, value in texts.items()}


def linear_shift(places: int, config: Any) -> float:
    """The shift mu of flow models, between two sizes a straight line (Esser et al. 2024, section 5.3.2)."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    base, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (most - base) / (high - low)
    return float(places * slope + base - slope * low)
