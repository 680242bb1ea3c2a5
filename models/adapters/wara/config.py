"""What a WaRA adapter is made by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from peft import PeftConfig

from models.adapters.wavelets import WAVELETS


@dataclass
class WaraConfig(PeftConfig):
    """r: rank of each factor pair; alpha: the update's scale is alpha / r. variant: see the package.

    levels: of the transform; "shared" has one. target_modules: names or a regular expression; None takes every linear
    layer and every convolution without groups. Raises ValueError for values out of range.

    Parameters of a layer of `o` by `i` with one level: "bands" 2 r (o + i), twice LoRA's; "shared" r (o + i) / 2.
    """

    r: int = 8
    alpha: float = 8.0
    variant: Literal["bands", "shared"] = "bands"
    wavelet: str = "haar"
    levels: int = 1
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = "WARA"
        if self.r < 1:
            raise ValueError(f"WaRA's rank is {self.r}; it must be at least 1.")
        if self.wavelet not in WAVELETS:
            raise ValueError(f"WaRA has no wavelet {self.wavelet!r}; choose one of {', '.join(WAVELETS)}.")
        if self.variant not in ("bands", "shared"):
            raise ValueError(f"WaRA's variant is {self.variant!r}; choose bands or shared.")
        if self.levels < 1 or (self.variant == "shared" and self.levels != 1):
            raise ValueError(f"WaRA has {self.levels} levels; bands takes 1 or more, shared just 1.")
