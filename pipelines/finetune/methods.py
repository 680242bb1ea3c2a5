"""The ways to fine-tune, each made to fit a number of weights: what a person chooses is a method and a strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from models.errors import InputError

Strength = Literal["subtle", "medium", "strong"]
SHARES: dict[Strength, float] = {"subtle": 0.005, "medium": 0.02, "strong": 0.06}
"""Share of the network's weights that are trained. The SaRA paper's sizes, on Stable Diffusion 1.5, are these three."""

LARGE = 100_000_000
"""Weights from which a network counts as large."""
SMALL = {"sara": 2e-3, "wara": 2e-3, "lora": 2e-3, "dora": 2e-3, "pissa": 1e-3, "oft": 2e-3, "sorsa": 6e-4,
         "salt": 2e-3, "allora": 2e-3, "shira": 2e-3, "waveft": 1e-4}  # fmt: skip
"""Rates for smaller networks. Measured on the embedded model, 150 steps, one person: 2e-3 is the best of 5e-4, 2e-3 and
8e-3 for SaRA, WaRA and LoRA alike, 1e-4 the best of 2e-5, 1e-4 and 4e-4 for WaveFT; at Stable Diffusion's rates hardly
anything is learned."""


@dataclass(frozen=True)
class Method:
    """title: for people; about: one line; linear: linear layers alone are changed.

    rate: learning rate at the start, as the method's authors use it on Stable Diffusion; `SMALL` has those of small
    models.
    """

    name: str
    title: str
    about: str
    rate: float
    linear: bool
    make: Callable[[Sequence[nn.Module], list[str], int, nn.Module], Any]


def settle(net: nn.Module, method: str, budget: int) -> Any:
    """The settings of an adapter for this network with about so many trainable weights, as peft takes them.

    Raises InputError for a method that is not there, or a network without layers that it could change.
    """
    if method not in METHODS:
        raise InputError(f"There is no method {method!r}; choose one of {', '.join(METHODS)}.")
    chosen = METHODS[method]
    kinds = (nn.Linear,) if chosen.linear else (nn.Linear, nn.Conv2d)
    layers = {n: m for n, m in net.named_modules() if isinstance(m, kinds) and getattr(m, "groups", 1) == 1 and n}
    if not layers:
        raise InputError(f"{chosen.title} finds no layer to change in this model; choose another method.")
    return chosen.make(list(layers.values()), list(layers), max(budget, 1), net)


def budget_of(net: nn.Module, strength: Strength) -> int:
    """How many weights a strength trains."""
    return round(SHARES[strength] * sum(p.numel() for p in net.parameters()))


def learning_rate(config: Any, method: str, weights: int = LARGE) -> float:
    """Where to start: SaRA's follows from its threshold (equation 12 of its paper), the others have one.

    weights: of the network; small ones want larger steps, see `SMALL`.
    """
    from models.adapters.sara.config import default_learning_rate

    if weights < LARGE:
        return SMALL[method]
    threshold = getattr(config, "threshold", None)
    return default_learning_rate(threshold) if method == "sara" and threshold is not None else METHODS[method].rate


def _sides(layer: Any) -> tuple[int, int]:
    """(outputs, inputs times kernel)."""
    return len(layer.weight), int(layer.weight[0].numel())


def _rank(layers: Sequence[nn.Module], budget: int, per_rank: Callable[[Any], int]) -> int:
    """The rank whose count comes nearest to the budget; at least 1."""
    return max(1, round(budget / sum(per_rank(layer) for layer in layers)))


def _halves(layer: Any) -> int:
    """What one rank of WaRA's four bands has."""
    rows, columns = layer.weight.shape[:2]
    kernel = int(layer.weight[0, 0].numel())
    return 4 * ((rows + 1) // 2 + (columns + 1) // 2 * kernel)


def _sara(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import SaraConfig

    return SaraConfig(fraction=min(1.0, budget / sum(p.numel() for p in net.parameters())))


def _wara(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import WaraConfig

    wide = [(n, m) for n, m in zip(names, layers, strict=True) if min(m.weight.shape[:2]) >= 2]  # type: ignore[index]
    mixed = [m for _, m in wide]
    # Where less than one rank of four bands is asked for, one pair for two of them has a quarter of it.
    small = budget < 0.75 * sum(map(_halves, mixed))
    rank = _rank(mixed, budget, lambda m: _halves(m) // 4 if small else _halves(m))
    variant: Literal["bands", "shared"] = "shared" if small else "bands"
    return WaraConfig(r=rank, alpha=float(rank), variant=variant, target_modules=[n for n, _ in wide])


def _lora(**more: Any) -> Any:
    def make(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
        from models.adapters import LoraConfig

        lengths = sum(_sides(m)[0] for m in layers) if more.get("use_dora") else 0
        rank = _rank(layers, budget - lengths, lambda m: sum(_sides(m)))
        return LoraConfig(r=rank, lora_alpha=rank, target_modules=names, **more)

    return make


def _sorsa(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import SorsaConfig

    return SorsaConfig(r=_rank(layers, budget, lambda m: sum(_sides(m)) + 1), target_modules=names)


def _salt(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import SaltConfig

    return SaltConfig(r=_rank(layers, budget, lambda m: 2 * min(_sides(m))), target_modules=names)


def _allora(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import AlloraConfig

    return AlloraConfig(r=_rank(layers, budget, lambda m: sum(_sides(m))), target_modules=names)


def _shira(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import ShiraConfig

    # It wants the same rank in every layer, and no more weights than the smallest one has.
    most = min(a * b // (a + b) for a, b in map(_sides, layers))
    return ShiraConfig(r=max(1, min(_rank(layers, budget, lambda m: sum(_sides(m))), most)), target_modules=names)


def _waveft(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import WaveFTConfig

    most = min(a * b for a, b in map(_sides, layers))
    return WaveFTConfig(n_frequency=max(1, min(budget // len(layers), most)), target_modules=names)


def _oft(layers: Sequence[nn.Module], names: list[str], budget: int, net: nn.Module) -> Any:
    from models.adapters import OFTConfig

    def count(block: int) -> int:
        return sum(-(-_sides(m)[1] // block) * block * (block - 1) // 2 for m in layers)

    # A block size must divide every layer's inputs.
    fits = [b for b in (2, 4, 8, 16, 32, 64, 128) if all(_sides(m)[1] % b == 0 for m in layers)]
    if not fits:
        raise InputError("OFT finds no block size that fits all layers of this model; choose another method.")
    return OFTConfig(oft_block_size=min(fits, key=lambda b: abs(count(b) - budget)), target_modules=names)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method("sara", "SaRA", "Trains the weights that hardly matter; keeps what the model knows.", 5e-4, False,
               _sara),
        Method("wara", "WaRA", "A small update in the wavelet domain of the weights.", 2e-4, False, _wara),
        Method("lora", "LoRA", "A small update of low rank; read by most other programs.", 1e-4, False, _lora()),
        Method("dora", "DoRA", "LoRA with its length trained apart; slower.", 1e-4, False, _lora(use_dora=True)),
        Method("pissa", "PiSSA", "LoRA that starts from the largest parts of the weights.", 5e-5, True,
               _lora(init_lora_weights="pissa")),
        Method("oft", "OFT", "Turns the weights, keeping angles between neurons.", 1e-4, True, _oft),
        Method("sorsa", "SORSA", "Trains the largest singular directions, kept near orthonormal.", 3e-5, False, _sorsa),
        Method("salt", "SALT", "Scales the large singular values, adapts the rest.", 1e-4, False, _salt),
        Method("allora", "ALLoRA", "LoRA that sets the pace of each row itself.", 1e-4, False, _allora),
        Method("shira", "SHiRA", "Trains single weights drawn at random; linear layers alone.", 1e-4, True, _shira),
        Method("waveft", "WaveFT", "Trains single wavelet coefficients; linear layers alone.", 1e-4, True, _waveft),
    )
}  # fmt: skip
"""By name, the app's own first."""
