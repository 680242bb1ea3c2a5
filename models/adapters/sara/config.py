"""What a SaRA adapter is made by."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from peft import PeftConfig

LARGE = 100_000_000
"""Parameters below which the paper advises against the method."""


@dataclass
class SaraConfig(PeftConfig):
    """Which weights may change: those with |w| < threshold (equation 2), one threshold for the whole model.

    fraction: a share (0..1) of the targeted weights in place of a threshold, which is then worked out and kept.
    scope: "all" also takes norms and biases, as the paper does; "weights" linear and convolution weights alone.
    target_modules: names or a regular expression; None takes every module with weights. base_hash: of the chosen
    weights, filled in. Raises ValueError for a threshold or a fraction out of range.
    """

    threshold: float | None = None
    fraction: float | None = None
    scope: Literal["all", "weights"] = "all"
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    base_hash: str | None = field(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = "SARA"
        if self.threshold is None and self.fraction is None:
            self.threshold = 2e-3
        if self.threshold is not None and not (self.threshold > 0 and math.isfinite(self.threshold)):
            raise ValueError(f"SaRA's threshold is {self.threshold}; it must be above 0, such as 2e-3.")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise ValueError(f"SaRA's fraction is {self.fraction}; it must be above 0 and at most 1, such as 0.05.")
        if self.scope not in ("all", "weights"):
            raise ValueError(f"SaRA's scope is {self.scope!r}; choose all or weights.")


def default_learning_rate(threshold: float) -> float:
    """Equation 12: 1e-3 exp(-350 threshold); small weights may move faster."""
    return 1e-3 * math.exp(-350 * threshold)
