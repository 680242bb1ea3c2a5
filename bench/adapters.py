"""What a training step costs under each method: time and peak memory, at equal numbers of trainable weights.

    python -m bench.adapters --rank 8 --out docs/adapters.json

A UNet in Stable Diffusion's layout with random weights; `--width 320` is Stable Diffusion 1.5's own size, 160 a quarter
of it. `--rank` is LoRA's and says how many weights are trained: of the quarter, 2, 8 and 24 are about 0.5, 2 and 6 %. A
file that is there already keeps its rows of other ranks. Each method runs in a process of its own, one after the other,
rounds in turn, so that all see the same machine. The peak is that of the process over what it held before the network
was built, on CUDA that of the device.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

METHODS = ("full", "lora", "sara", "wara", "dora", "shira", "waveft")


def build(width: int) -> nn.Module:
    """A UNet of Stable Diffusion 1.5's layout; `width`: channels of its first level."""
    from models.compat import ensure_torchvision

    ensure_torchvision()
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=64, in_channels=4, out_channels=4, block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        layers_per_block=2, cross_attention_dim=768, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    )  # fmt: skip


def adapt(net: Any, method: str, rank: int) -> int:
    """Add the method's adapter; the number of trainable weights: about LoRA's at this rank, or less."""
    import peft

    from models.adapters import SaraConfig, WaraConfig

    everywhere = [n for n, m in net.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    linear = [n for n, m in net.named_modules() if isinstance(m, nn.Linear)]
    if method == "full":
        net.requires_grad_(True)
        return sum(p.numel() for p in net.parameters())
    budget = sum(rank * (_columns(m) + len(m.weight)) for n, m in net.named_modules() if n in set(everywhere))
    sides = [m.weight.shape for n, m in net.named_modules() if n in set(linear)]
    # peft's sparse methods want the same number of weights in each layer, and no more than the smallest one has.
    shira = min(max(1, round(budget / sum(map(sum, sides)))), *(a * b // (a + b) for a, b in sides))
    waveft = min(budget // len(sides), *(a * b for a, b in sides))
    configs: dict[str, Any] = {
        "lora": lambda: peft.LoraConfig(r=rank, target_modules=everywhere),
        "dora": lambda: peft.LoraConfig(r=rank, target_modules=everywhere, use_dora=True),
        "sara": lambda: SaraConfig(fraction=budget / sum(p.numel() for p in net.parameters())),
        "wara": lambda: WaraConfig(r=rank // 2, alpha=rank // 2),
        "shira": lambda: peft.ShiraConfig(r=shira, target_modules=linear),
        "waveft": lambda: peft.WaveFTConfig(n_frequency=waveft, target_modules=linear),
    }
    net.add_adapter(configs[method]())
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


def _columns(module: nn.Module) -> int:
    weight: Any = module.weight
    return int(weight[0].numel())


def one(method: str, width: int, side: int, batch: int, rank: int, steps: int, device: str, answer: Any) -> None:
    """A few steps of AdamW by one method; sends seconds, bytes and counts into the pipe."""
    torch.set_num_threads(1)
    place = torch.device(device)
    build(32)  # what the libraries take is not the method's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    net = build(width).to(place)
    count = adapt(net, method, rank)
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 1e-4, foreach=False)
    drawn = torch.Generator().manual_seed(0)
    x, words = (torch.randn(s, generator=drawn).to(place) for s in ((batch, 4, side, side), (batch, 77, 768)))
    spent = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = net(x, torch.tensor([500], device=place), encoder_hidden_states=words).sample.square().mean()
        loss.backward()
        optimizer.step()
        if place.type == "cuda":
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    if place.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    answer.send({"seconds": spent[1:], "bytes": peak, "trainable": count})


def main(
    methods: str = ",".join(METHODS),
    width: int = 160,
    side: int = 32,
    batch: int = 2,
    rank: int = 8,
    steps: int = 3,
    rounds: int = 2,
    device: str = "cpu",
    out: Annotated[Path | None, typer.Option(help="Where the table is written as JSON.")] = None,
) -> None:
    """Print one JSON object: a row a method, and ratios to LoRA."""
    context = multiprocessing.get_context("spawn")
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in methods.split(",")}
    for _ in range(rounds):
        for name in found:
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=one, args=(name, width, side, batch, rank, steps, device, there))
            process.start()
            there.close()  # so that a process that died ends the wait
            found[name].append(here.recv())
            process.join()
            typer.echo(f"{name}: {found[name][-1]}", err=True)
    rows = {
        name: {
            "trainable": taken[0]["trainable"],
            "seconds": round(statistics.median(s for one in taken for s in one["seconds"]), 3),
            "mebibytes": round(max(one["bytes"] for one in taken) / 2**20),
        }
        for name, taken in found.items()
    }
    if "lora" in rows:
        for row in rows.values():
            row["time_to_lora"] = round(row["seconds"] / rows["lora"]["seconds"], 3)
            row["memory_to_lora"] = round(row["mebibytes"] / rows["lora"]["mebibytes"], 3)
    plan = {"width": width, "side": side, "batch": batch, "rank": rank, "steps": steps * rounds, "device": device}
    made = {"plan": plan, "rows": rows}
    if out is not None:
        kept = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {}
        out.write_text(json.dumps(kept | {f"rank {rank}": made}, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(made))


if __name__ == "__main__":
    typer.run(main)
