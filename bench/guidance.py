"""What guidance costs beside the network: APG and its rivals against plain CFG and against diffusers' own guiders.

    python -m bench.guidance --out docs/guidance_speed.json

One run: the network's step (a batch of two, with and without the prompt) and every method on its outputs, in turn, so
that a drifting machine speed hits all alike. The network has random weights: their values do not matter to its speed.
"""

from __future__ import annotations

import json
import statistics
import warnings
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

from bench.synthesis import seconds
from models.compat import ensure_torchvision
from models.guidance import METHODS, Guidance, GuidanceSettings, Step


def network(side: int) -> Any:
    """A UNet of about 25 million parameters on latents of `side` pixels."""
    ensure_torchvision()
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=side,
        in_channels=4,
        out_channels=4,
        block_out_channels=(64, 128, 256),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=256,
        attention_head_dim=4,
    ).eval()


class Peer:
    """diffusers' own guider on the same outputs: APG with the settings of the paper, or plain guidance."""

    def __init__(self, name: str, scale: float, limit: float) -> None:
        from diffusers import guiders

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they warn of being experimental
            if name == "apg":
                self.guider: Any = guiders.AdaptiveProjectedGuidance(
                    guidance_scale=scale - 1,
                    adaptive_projected_guidance_momentum=-0.5,
                    adaptive_projected_guidance_rescale=limit,
                    eta=0.0,
                    use_original_formulation=True,
                )
                self.guider.momentum_buffer = guiders.adaptive_projected_guidance.MomentumBuffer(-0.5)
            else:
                self.guider = guiders.ClassifierFreeGuidance(guidance_scale=scale)

    def __call__(self, cond: Tensor, uncond: Tensor) -> Tensor:
        made: Tensor = self.guider.forward(cond, uncond)[0]
        return made


def main(
    side: int = 32,
    batch: int = 1,
    rounds: int = 60,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    out: Annotated[Path | None, typer.Option(help="Also write the figures to this JSON file.")] = None,
) -> None:
    """Print one JSON line: milliseconds of a step and of each method, and what APG adds to a step in per cent."""
    place = torch.device(device)
    net = network(side).to(place)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 4, side, side, generator=generator).to(place)
    text = torch.randn(2 * batch, 77, 256, generator=generator).to(place)
    step = Step(0, 20, 0.7, 0.714, "epsilon", next_alpha=0.75, next_sigma=0.66)
    methods: dict[str, Any] = {}
    for name in METHODS:
        run = Guidance(GuidanceSettings(name, 7.5, norm_threshold=15.0))
        methods[name] = lambda c, u, run=run: run(x, c, u, step)
    bare = Guidance(GuidanceSettings("apg", 7.5, norm_threshold=15.0), measured=False)
    methods["apg without probes"] = lambda c, u: bare(x, c, u, step)
    methods["diffusers cfg"], methods["diffusers apg"] = Peer("cfg", 7.5, 15.0), Peer("apg", 7.5, 15.0)
    times: dict[str, list[float]] = {name: [] for name in (*methods, "network")}
    with torch.no_grad():
        for turn in range(rounds):
            times["network"].append(seconds(lambda: net(torch.cat([x, x]), 500, text), place))
            outputs = net(torch.cat([x, x]), 500, text).sample
            uncond, cond = outputs.chunk(2)
            # Whoever comes first after the network finds cold caches: each has its turn.
            order = list(methods)
            cut = turn % len(order)
            for name in order[cut:] + order[:cut]:
                times[name].append(seconds(partial(methods[name], cond, uncond), place))
    middle = {name: statistics.median(values) * 1000 for name, values in times.items()}
    whole = middle["network"] + middle["cfg"]
    figures = {
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "parameters": sum(p.numel() for p in net.parameters()),
        "latent": [batch, 4, side, side],
        "rounds": rounds,
        "milliseconds": {name: round(value, 3) for name, value in middle.items()},
        "apg_adds_percent": round(100 * (middle["apg"] - middle["cfg"]) / whole, 3),
        "apg_without_probes_adds_percent": round(
            100 * (middle["apg without probes"] - middle["diffusers cfg"]) / whole, 3
        ),
        "against_diffusers_apg": round(middle["diffusers apg"] / middle["apg without probes"], 2),
    }
    if out is not None:
        out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    typer.echo(json.dumps(figures))


if __name__ == "__main__":
    typer.run(main)
