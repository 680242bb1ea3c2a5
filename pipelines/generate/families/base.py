"""What the loop must know of a kind of model: how it reads text, what it predicts, and what its latents are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.guidance.spaces import Kind

Texts = dict[str, Tensor]
"""What the network is told, by the name of its argument; each (N, ...), one row a picture."""


class Family:
    """One loaded pipeline seen through the contract, for one run. Subclasses say where their kind differs.

    scheduler: the run's own, so that runs don't meddle with each other's steps. `preset` names the settings to start
    from. `flow`: trained on flows, so that only flow samplers fit.
    """

    preset: ClassVar[str] = "sd"
    flow: ClassVar[bool] = False
    network_name: ClassVar[str] = "unet"

    def __init__(self, pipe: Any, scheduler: Any) -> None:
        self.pipe, self.scheduler = pipe, scheduler

    @property
    def network(self) -> Any:
        return getattr(self.pipe, self.network_name)

    @property
    def device(self) -> torch.device:
        found: torch.device = self.pipe._execution_device
        return found

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
        told, free = self.pipe.encode_prompt(list(prompts), self.device, 1, True, list(negatives))
        return {"encoder_hidden_states": told}, {"encoder_hidden_states": free}

    def cut(self, prompt: str) -> str:
        """The end of the prompt that the text encoder has no room for; empty if it fits."""
        tokenizer = self.pipe.tokenizer
        numbers = tokenizer(prompt, truncation=False).input_ids
        over = numbers[tokenizer.model_max_length - 1 : -1]
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
        config = self.pipe.vae.config
        return (latents - (config.get("shift_factor") or 0.0)) * config.scaling_factor

    def unscaled(self, latents: Tensor) -> Tensor:
        """The reverse of `scaled`."""
        config = self.pipe.vae.config
        return latents / config.scaling_factor + (config.get("shift_factor") or 0.0)


def linear_shift(places: int, config: Any) -> float:
    """The shift mu of flow models, between two sizes a straight line (Esser et al. 2024, section 5.3.2)."""
    low, high = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    base, most = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
    slope = (most - base) / (high - low)
    return float(places * slope + base - slope * low)


def alpha_sigma(scheduler: Any, place: int, time: Tensor) -> tuple[float, float]:
    """(alpha, sigma) of the network's input at evaluation `place` of the schedule, whose time is `time`.

    Read by place, not by time: on a Karras schedule several places share one rounded time.
    """
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is None:
        cumulated = scheduler.alphas_cumprod[int(time)].item()
        return math.sqrt(cumulated), math.sqrt(1 - cumulated)
    sigma = float(sigmas[place])
    if is_flow(scheduler):
        return 1 - sigma, sigma
    alpha = 1 / math.sqrt(1 + sigma * sigma)
    return alpha, sigma * alpha


def is_flow(scheduler: Any) -> bool:
    """Whether its sigmas are times of a flow, 0..1."""
    return type(scheduler).__name__.startswith("FlowMatch") or bool(scheduler.config.get("use_flow_sigmas", False))
