"""A file's weights as one flat state, wherever in the file they lie, and the plan for what is written."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .refusal import Refused, shown

State = dict[str, Tensor]


@dataclass(frozen=True)
class Plan:
    """What will be written: `tensors` under their final names, `config` for the constructor, and words about both."""

    kind: str
    title: str
    config: dict[str, Any]
    tensors: State
    contained: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """A file's weights as one flat state, and what lay beside them."""

    state: State
    latent_avg: Tensor | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    beside: tuple[str, ...] = ()

    def part(self, prefix: str) -> State:
        """The tensors under `prefix.`, without it."""
        return {
            name.removeprefix(f"{prefix}."): value
            for name, value in self.state.items()
            if name.startswith(f"{prefix}.")
        }


def unfold(tree: Any) -> Content:
    """Find the state in {"g_ema": ...}, {"state_dict": ...} or a bare state, and what lies beside it."""
    if not isinstance(tree, dict):
        raise Refused(f"holds no tensors by name, but {described(tree)}")
    # Not `tree.items()`: a file may have hidden the method behind an attribute of the same name.
    top = dict(dict.items(tree))
    inner = next((name for name in ("g_ema", "state_dict") if isinstance(top.get(name), dict)), None)
    state = tensors_of(top if inner is None else top[inner])
    latent_avg = top.get("latent_avg")
    options = top.get("opts")
    if isinstance(options, argparse.Namespace):
        options = vars(options)
    beside = [] if inner is None else [name for name in top if name not in (inner, "latent_avg", "opts")]
    if inner is None:
        state.pop("latent_avg", None)
    return Content(
        state,
        None if latent_avg is None else _mean(latent_avg),
        dict(dict.items(options)) if isinstance(options, dict) else {},
        tuple(shown(str(name)) for name in beside[:20]),
    )


def _mean(value: Any) -> Tensor:
    """latent_avg as (1 or num_ws, w_dim)."""
    if (
        not isinstance(value, Tensor)
        or not value.is_floating_point()
        or not value.numel()
        or value.dim() not in (1, 2, 3)
    ):
        raise Refused("holds a latent_avg that is no mean of w")
    return value.detach().reshape(-1, value.shape[-1])


def tensors_of(tree: dict[Any, Any]) -> State:
    """The tensors of a dict by name, without the prefix `module.` that a parallel trainer puts before all of them."""
    state = {
        name: value.detach() for name, value in dict.items(tree) if isinstance(name, str) and isinstance(value, Tensor)
    }
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def described(tree: Any) -> str:
    if not isinstance(tree, dict):
        return f"a value of type {type(tree).__name__}"
    names = [shown(str(name), 40) for name in dict.keys(tree)]
    return f"{len(names)} entries: {', '.join(names[:6])}{', ...' if len(names) > 6 else ''}" if names else "nothing"


def shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor."""
    return {name: tuple(value.shape) for name, value in state.items()}
