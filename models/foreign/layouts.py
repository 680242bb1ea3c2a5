"""Constructor arguments from the shapes of tensors, and what tensors a network with these arguments has."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from .refusal import Refused, out_of_memory, shown

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def shapes_of(make: Callable[[], nn.Module]) -> dict[str, Shape]:
    """Names and shapes of a network, built without its numbers. Raises Refused where it can't be built."""
    try:
        with torch.device("meta"):
            net = make()
    except (ValueError, TypeError, RuntimeError, ZeroDivisionError) as error:
        if out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise Refused(f"describes a network that can't be built ({shown(str(error))})") from error
    return {name: tuple(value.shape) for name, value in net.state_dict().items()}


def check_layout(got: Shapes, wanted: Shapes, what: str) -> None:
    """Raises Refused, with the first differences, unless names and shapes are the same."""
    missing, extra = sorted(wanted.keys() - got.keys()), sorted(got.keys() - wanted.keys())
    wrong = sorted(name for name in wanted.keys() & got.keys() if tuple(got[name]) != tuple(wanted[name]))
    if missing or extra or wrong:
        found = [
            f"{len(names)} {text} ({shown(names[0])})"
            for names, text in ((missing, "missing"), (extra, "unknown"), (wrong, "of another shape"))
            if names
        ]
        raise Refused(f"holds {what} with other tensors than the published one: {', '.join(found)}")


def _need(shapes: Shapes, name: str, dimensions: int) -> Shape:
    shape = shapes.get(name)
    if shape is None or len(shape) != dimensions:
        raise Refused(f"lacks the tensor {name}, or has it in the shape {shape}")
    return shape


def _numbers(shapes: Shapes, pattern: str) -> list[int]:
    """The numbers that the group of `pattern` takes in the names, in order."""
    return sorted({int(match[1]) for name in shapes if (match := re.fullmatch(pattern, name))})


def generator_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `Generator` from its shapes under NVIDIA's names; all but num_fp16_res and conv_clamp."""
    sizes = _numbers(shapes, r"synthesis\.b(\d{1,4})\.conv1\.weight")
    if not sizes or sizes != [4 << step for step in range(len(sizes))]:
        raise Refused(f"holds a generator without the sizes 4, 8, 16, ... (it has {sizes[:12]})")
    widths = {size: _need(shapes, f"synthesis.b{size}.conv1.weight", 4)[0] for size in sizes}
    w_dim = _need(shapes, "synthesis.b4.conv1.affine.weight", 2)[1]
    layers = _numbers(shapes, r"mapping\.fc(\d{1,4})\.weight")
    inputs = _need(shapes, "mapping.fc0.weight", 2)[1]
    c_dim = _need(shapes, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in shapes else 0
    largest = sizes[-1]
    return {
        "z_dim": inputs - w_dim if c_dim else inputs,
        "w_dim": w_dim,
        "resolution": largest,
        # Any base that gives the same widths is the same network; the last block's is below the limit if any is.
        "channel_base": widths[largest] * largest,
        "channel_max": max(widths.values()),
        "mapping_layers": len(layers),
        "c_dim": c_dim,
    }


def encoder_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `AgeEncoder` from its shapes. A stage begins where a block's shortcut has a convolution."""
    stem, input_nc = _need(shapes, "input_layer.0.weight", 4)[:2]
    count = len(_numbers(shapes, r"body\.(\d{1,4})\.res_layer\.1\.weight"))
    starts = [0, *_numbers(shapes, r"body\.(\d{1,4})\.shortcut_layer\.0\.weight"), count]
    blocks = [after - before for before, after in pairwise(starts)]
    widths = [stem, *(_need(shapes, f"body.{start}.res_layer.1.weight", 4)[0] for start in starts[1:-1])]
    if len(blocks) != 4 or min(blocks) < 1:
        raise Refused(f"holds an encoder of {len(blocks)} stages, not 4")
    convs = len(_numbers(shapes, r"styles\.0\.convs\.(\d{1,2})\.weight"))
    return {
        "input_nc": input_nc,
        "resolution": 16 << convs,
        "num_ws": len(_numbers(shapes, r"styles\.(\d{1,3})\.linear\.weight")),
        "w_dim": _need(shapes, "styles.0.linear.weight", 2)[0],
        "widths": widths,
        "blocks": blocks,
        "pyramid": _need(shapes, "latlayer1.weight", 4)[0],
    }


def adapter_config(shapes: Shapes) -> dict[str, Any]:
    """Arguments of `Adapter` from its shapes."""
    return {
        "num_ws": len(_numbers(shapes, r"fc_(\d{1,3})\.0\.weight")),
        "w_dim": _need(shapes, "fc_0.2.weight", 2)[0],
        "bottleneck": _need(shapes, "bottleneck_0.0.weight", 2)[0],
        "global_dim": _need(shapes, "global_mlp.0.weight", 2)[0],
        "age_dim": _need(shapes, "age_mlp.0.weight", 2)[0],
    }
