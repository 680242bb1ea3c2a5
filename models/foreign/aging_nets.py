"""Plans for SAM, pSp, MyTimeMachine and their parts, DEX and IR-SE50."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ..aging.adapter import Adapter
from ..aging.dex import DexAge
from ..aging.encoder import AgeEncoder
from ..aging.sam import Sam
from ..errors import InputError
from .content import Content, Plan, State, shapes
from .generators import nvidia_names, sized
from .layouts import Shapes, adapter_config, check_layout, encoder_config, shapes_of
from .record import ADAPTER, DEX, ENCODER, IRSE, KINDS, SAM
from .refusal import Refused, shown


def sam_plan(content: Content) -> Plan:
    """SAM; pSp, which has one encoder; a MyTimeMachine checkpoint, which has an adapter (`blender.*`) beside."""
    if content.latent_avg is None:
        raise Refused("holds an aging model without latent_avg, the mean of w")
    found = {name: content.part(name) for name in ("encoder", "pretrained_encoder", "decoder", "blender", "adapter")}
    decoder, decoder_config = nvidia_names(found["decoder"], content.latent_avg)
    parts = {
        "encoder": with_counters(found["encoder"]),
        "pretrained_encoder": with_counters(found["pretrained_encoder"]),
        "decoder": decoder,
        "adapter": found["blender"] or found["adapter"],
    }
    config: dict[str, Any] = {name: _configured(configure, parts[name]) for name, configure in _CONFIGURE.items()}
    config["decoder"] = decoder_config
    # A pSp file has no second encoder: its own starts from the mean w.
    from_mean = content.options.get("start_from_latent_avg") is True
    config["start_from_latent_avg"] = from_mean or not parts["pretrained_encoder"]
    tensors = {f"{name}.{key}": value for name, state in parts.items() for key, value in state.items()}
    tensors["latent_avg"] = _every_w(content, decoder_config)
    _check_sam(config, tensors)
    contained = tuple(f"{name} ({len(state)} tensors)" for name, state in found.items() if state)
    return Plan(SAM, _sam_title(config), config, tensors, contained, (*content.beside, *_others(content, set(found))))


_CONFIGURE: dict[str, Callable[[Shapes], dict[str, Any]]] = {
    "encoder": encoder_config,
    "pretrained_encoder": encoder_config,
    "adapter": adapter_config,
}


def _configured(configure: Callable[[Shapes], dict[str, Any]], state: State) -> dict[str, Any] | None:
    return configure(shapes(state)) if state else None


def _every_w(content: Content, config: Mapping[str, Any]) -> torch.Tensor:
    """latent_avg as (num_ws, w_dim); generators' own files keep one row for all."""
    assert content.latent_avg is not None
    wanted = 2 * (int(config["resolution"]).bit_length() - 2), int(config["w_dim"])
    got = tuple(content.latent_avg.shape)
    if got not in (wanted, (1, wanted[1])):
        raise Refused(f"holds a latent_avg of shape {got} beside a generator that needs {wanted}")
    return content.latent_avg.expand(wanted)


def _check_sam(config: dict[str, Any], tensors: State) -> None:
    try:
        wanted = shapes_of(lambda: Sam.from_config(**config))
    except InputError as error:
        raise Refused(f"holds parts that do not fit ({error})") from error
    check_layout(shapes(tensors), wanted, KINDS[SAM])


def _sam_title(config: Mapping[str, Any]) -> str:
    if config["encoder"]["input_nc"] == 3:
        return sized("pSp model", config["decoder"])
    return sized("SAM model", config["decoder"]) + (", with a personal adapter" if config["adapter"] else "")


def _others(content: Content, known: set[str]) -> tuple[str, ...]:
    rest = sorted({name.split(".")[0] for name in content.state} - known)
    return tuple(shown(name) for name in rest[:20])


def with_counters(state: State) -> State:
    """Batch norms with `num_batches_tracked`, which PyTorch before 0.4.1 did not write and nothing here reads."""
    norms = [name.removesuffix("running_mean") for name in state if name.endswith(".running_mean")]
    return {**{f"{name}num_batches_tracked": torch.tensor(0) for name in norms}, **state}


def _single(
    kind: str, title: str, make: Callable[..., torch.nn.Module], configure: Callable[[Shapes], dict[str, Any]]
) -> Callable[[Content], Plan]:
    """A plan for a network that is alone in its file."""

    def plan(content: Content) -> Plan:
        state = with_counters(_unprefixed(content.state))
        config = configure(shapes(state))
        check_layout(shapes(state), shapes_of(lambda: make(**config)), KINDS[kind])
        return Plan(kind, title, config, state, (f"{title} ({len(content.state)} tensors)",), content.beside)

    return plan


def _unprefixed(state: State) -> State:
    """Without what some files put before or into all names: `blender.` of an adapter, hyphens of DEX."""
    return {name.removeprefix("blender.").replace("-", "_"): value for name, value in state.items()}


def _irse() -> torch.nn.Module:
    from ..faces.irse import IRSE50  # the package `faces` loads OpenCV, which nothing else here needs

    return IRSE50()


adapter_plan = _single(ADAPTER, "personal age adapter", Adapter, adapter_config)
dex_plan = _single(DEX, "DEX age network", DexAge, lambda _: {})
irse_plan = _single(IRSE, "IR-SE50 face network", _irse, lambda _: {})
encoder_plan = _single(ENCODER, "age encoder", AgeEncoder, encoder_config)
