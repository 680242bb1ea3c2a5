"""Plans for generators: under NVIDIA's names or rosinality's, bare or out of an NVIDIA pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..stylegan2.generator import Generator
from .content import Content, Plan, State, shapes
from .layouts import check_layout, generator_config, shapes_of
from .names import add_constants, from_rosinality, mean_w
from .record import GENERATOR
from .refusal import Refused, brief
from .unpickle import NvidiaNetwork


def nvidia_names(state: State, latent_avg: Tensor | None) -> tuple[State, dict[str, Any]]:
    """A generator in either naming, complete under NVIDIA's names and checked; and its constructor arguments."""
    state = from_rosinality(state) if "input.input" in state else dict(state)
    config = generator_config(shapes(state))
    add_constants(state, config["resolution"])
    given = state.pop("mapping.w_avg", None) if latent_avg is None else latent_avg[0]
    state["mapping.w_avg"] = torch.zeros(config["w_dim"]) if given is None else given
    check_layout(shapes(state), shapes_of(lambda: Generator(**config)), "a generator")
    if given is None:
        state["mapping.w_avg"] = mean_w(state, config)
    with torch.device("meta"):
        return state, dict(Generator(**config).init_kwargs)


def generator_plan(content: Content) -> Plan:
    """rosinality's {"g_ema", "latent_avg"}, or a bare state in either naming."""
    state, config = nvidia_names(dict(content.state), content.latent_avg)
    contained = (f"generator ({len(content.state)} tensors)",)
    return Plan(GENERATOR, sized("StyleGAN2 generator", config), config, state, contained, content.beside)


def sized(title: str, config: Mapping[str, Any]) -> str:
    """The title with the size of the pictures and, for a conditional generator, how many labels it takes."""
    labels = f", {config['c_dim']} classes" if config.get("c_dim") else ""
    return f"{title}, {config['resolution']} px{labels}"


_DEFAULTS: dict[str, Any] = {
    "activation": "lrelu",
    "lr_multiplier": 0.01,
    "architecture": "skip",
    "resample_filter": [1, 3, 3, 1],
    "use_noise": True,
}
_FROM_SHAPES = {"channel_base", "channel_max", "num_layers", "embed_features", "layer_features"}
_OTHERS = {"num_fp16_res", "conv_clamp", "w_avg_beta", "fp16_channels_last"}


def nvidia_plan(network: NvidiaNetwork) -> Plan:
    """The plan for G_ema of an NVIDIA pickle: sizes from its shapes, precision from the arguments in the file."""
    kwargs = network.kwargs
    if kwargs.get("img_channels", 3) != 3:
        raise Refused(f"holds a generator of {brief(kwargs['img_channels'])} colour channels, not 3")
    options = {**_dict(kwargs, "mapping_kwargs"), **_dict(kwargs, "synthesis_kwargs")}
    for name, value in options.items():
        if name not in _FROM_SHAPES | _OTHERS and (name not in _DEFAULTS or value != _DEFAULTS[name]):
            raise Refused(f"holds a generator with {brief(name)} = {brief(value)}, unlike this app's")
    state, config = nvidia_names(network.load(), None)
    config["num_fp16_res"] = int(_number(options, "num_fp16_res") or 0)
    config["conv_clamp"] = _number(options, "conv_clamp")
    return Plan(GENERATOR, sized("StyleGAN2 generator", config), config, state, network.contained, network.left_out)


def _dict(kwargs: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = kwargs.get(name)
    return value if type(value) is dict else {}


def _number(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is not None and (type(value) not in (int, float) or not 0 <= value <= 1e6):
        raise Refused(f"holds a generator with {name} = {brief(value)}")
    return value
