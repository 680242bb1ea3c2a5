"""One module whose smallest weights may change."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from peft.tuners._buffer_dict import BufferDict
from torch import Tensor, nn

from models.adapters import sparse
from models.adapters.sara.config import SaraConfig
from models.adapters.tuner import UpdateLayer

Update = tuple[Tensor, Tensor]
"""(delta, index) of one tensor."""
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


class SaraLayer(UpdateLayer):
    """Any module with parameters of its own. An adapter is one vector for all of them, one after the other.

    `sara_delta` is what training changes, `sara_fixed` what it had changed before the choice was made anew; both start
    at zero, and are added to the base's weights at `sara_index` and `sara_fixed_index`.
    """

    adapter_layer_names = ("sara_delta",)
    other_param_names = ("sara_index", "sara_fixed", "sara_fixed_index", "scaling", "own_scaling")

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__(base_layer)
        self.sara_delta = nn.ParameterDict()
        self.sara_index = BufferDict(persistent=True)
        self.sara_fixed = BufferDict(persistent=True)
        self.sara_fixed_index = BufferDict(persistent=True)
        self._bounds: dict[int, tuple[Tensor, list[int]]] = {}
        self._union: tuple[list[Tensor], Tensor, Tensor] | None = None

    def update_layer(self, name: str, config: SaraConfig) -> None:
        """Choose this module's weights."""
        assert config.threshold is not None
        start, parts = 0, []
        for tensor in self.tensors(config.scope).values():
            parts.append(sparse.chosen(tensor, config.threshold) + start)
            start += tensor.numel()
        self.place(name, torch.cat(parts))
        self.began(name, 1.0)

    def place(self, name: str, index: Tensor) -> None:
        """Start the adapter afresh with these weights (K,), int32, in order."""
        self._forget()
        weight = next(iter(self.tensors().values()))
        none = index.new_zeros(0)
        self.sara_delta[name] = nn.Parameter(torch.zeros(len(index), dtype=weight.dtype, device=weight.device))
        self.sara_index[name], self.sara_fixed_index[name] = index, none
        wide = torch.promote_types(weight.dtype, torch.float32)  # as what is trained, which it is made of
        self.sara_fixed[name] = torch.zeros(0, dtype=wide, device=weight.device)

    def _forget(self) -> None:
        self._bounds.clear()
        self._union = None

    def tensors(self, scope: str = "all") -> dict[str, nn.Parameter]:
        """The base's own parameters, the weight first; with scope "weights" the weight alone."""
        found = dict(self.get_base_layer().named_parameters(recurse=False))
        ordered = {name: found[name] for name in sorted(found, key=lambda name: name != "weight")}
        return {n: p for n, p in ordered.items() if scope == "all" or n == "weight"}

    def split(self, delta: Tensor, index: Tensor) -> dict[str, Update]:
        """An update of the whole module, by tensor; index: in order."""
        sizes = [tensor.numel() for tensor in self.tensors().values()]
        ends = list(accumulate(sizes))
        # Where each tensor's places end is asked of the device once for a choice of weights, not at each step.
        if self._bounds.get(id(index), (None,))[0] is not index:
            found = torch.searchsorted(index, torch.tensor(ends, dtype=index.dtype, device=index.device))
            self._bounds[id(index)] = (index, found.tolist())
        cuts = [0, *self._bounds[id(index)][1]]
        return {
            name: (delta[a:b], index[a:b] - (end - size) if end > size else index[a:b])
            for name, a, b, end, size in zip(self.tensors(), cuts, cuts[1:], ends, sizes, strict=False)
        }

    def updates(self, names: Sequence[str]) -> dict[str, Update]:
        """What these adapters add together, by tensor, with their scales; the gradient flows to `sara_delta`."""
        deltas, indices = [], []
        for name in names:
            deltas.append(self.sara_delta[name] * self.scaling[name])
            indices.append(self.sara_index[name])
            if len(self.sara_fixed[name]):
                deltas.append(self.sara_fixed[name] * self.scaling[name])
                indices.append(self.sara_fixed_index[name])
        if len(deltas) == 1:
            return self.split(deltas[0], indices[0])
        index, where = self._joined(indices)
        delta = torch.cat(deltas)
        return self.split(delta.new_zeros(len(index)).index_add(0, where, delta), index)

    def _joined(self, indices: list[Tensor]) -> tuple[Tensor, Tensor]:
        """All their places in order, each once, and where in there each of theirs is; sorted once, not at each step."""
        if self._union is None or not _same(self._union[0], indices):
            with torch.inference_mode(False):  # made while something was only drawn, they serve a training as well
                index, where = torch.cat(indices).unique(return_inverse=True)
                self._union = indices, index, where.to(torch.int32)
        return self._union[1:]

    @torch.no_grad()
    def get_delta(self, name: str) -> dict[str, Tensor]:
        tensors = self.tensors()
        return {
            key: sparse.scattered(tensors[key].shape, *update).to(tensors[key].dtype)
            for key, update in self.updates([name]).items()
        }

    def values(self, name: str) -> Tensor:
        """(K,) the chosen weights as they are now, without the adapter's scale; the gradient flows."""
        flat = torch.cat([p.detach().flatten() for p in self.tensors().values()])
        return flat.index_select(0, self.sara_index[name]) + self.sara_delta[name]

    def adapted(self, names: Sequence[str], x: Tensor, *args: Any, **more: Any) -> Any:
        base, updates = self.base_layer, self.updates(names)
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        plain = isinstance(base, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and not args and not more
        if not plain:
            full = {n: p + sparse.scattered(p.shape, *updates[n]) for n, p in self.tensors().items()}
            return torch.func.functional_call(base, full, (x, *args), more)
        bias = getattr(base, "bias", None)
        if bias is not None:
            bias = bias.detach() + sparse.scattered(bias.shape, *updates["bias"])
        if isinstance(base, nn.Linear):
            return sparse.linear(x, base.weight, *updates["weight"], bias)
        return sparse.convolution(x, base, *updates["weight"], bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the file's own choice of weights: the vectors get its lengths before they are filled."""
        self._forget()
        for held in ("sara_delta", "sara_index", "sara_fixed", "sara_fixed_index"):
            tensors = getattr(self, held)
            for name in list(tensors.keys()):
                given = state_dict.get(f"{prefix}{held}.{name}")
                if given is not None and given.shape != tensors[name].shape:
                    if held == "sara_delta":
                        old = tensors[name]
                        tensors[name] = nn.Parameter(old.data.new_zeros(given.shape), old.requires_grad)
                    else:
                        tensors[name] = tensors[name].new_zeros(given.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))
