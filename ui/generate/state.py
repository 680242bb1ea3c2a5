"""What the form says, as settings and back. Values only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from pipelines.generate.settings import AdapterUse, GenerateSettings, GuidanceSettings, settings_from

OFF, GENTLE, PAPER, STRONG, OWN = "Off", "Gentle", "As the paper", "Strong", "My own"
ANTI_BURN: dict[str, dict[str, Any]] = {
    OFF: {"method": "cfg"},
    GENTLE: {"method": "apg", "eta": 0.3, "norm": "auto", "momentum": -0.25},
    PAPER: {"method": "apg", "eta": 0.0, "norm": "auto", "momentum": -0.5},
    STRONG: {"method": "apg", "eta": 0.0, "norm": "auto", "momentum": -0.75},
}
IDEAS = {
    "Young woman": "a photo of a 25 year old woman, long black hair, smiling, soft light, grey background",
    "Old man": "portrait of a 70 year old man, short white hair, full beard, side light, dark background",
    "Boy": "a 10 year old boy, short blond hair, facing the camera, bright background",
    "Dark skin": "a young african woman, afro black hair, dark skin, outdoor light, green background",
    "Grandmother": "a very old woman, grey hair in a bob, warm light",
}
ADAPTERS = 3


@dataclass(frozen=True)
class Form:
    """The controls of the page, in their order. norm: a number as text, or "auto". low, high: of the interval."""

    prompt: str = IDEAS["Young woman"]
    negative: str = ""
    model: str = "portraits"
    scale: float = 4.0
    burn: str = PAPER
    count: int = 1
    method: str = "apg"
    eta: float = 0.0
    norm: str = "auto"
    momentum: float = -0.5
    low: float = 0.0
    high: float | None = None
    weak: str = ""
    steps: int = 20
    sampler: str = "default"
    schedule: str = "default"
    width: float | None = None
    height: float | None = None
    seed: float = -1
    strength: float = 0.6
    adapter1: str = ""
    weight1: float = 1.0
    adapter2: str = ""
    weight2: float = 1.0
    adapter3: str = ""
    weight3: float = 1.0

    @classmethod
    def given(cls, values: tuple[Any, ...]) -> Form:
        """From the values of the controls; an emptied field has its default."""
        named = dict(zip((f.name for f in fields(cls)), values, strict=True))
        defaults = asdict(cls())
        optional = ("high", "width", "height")
        return cls(**{n: v if v is not None or n in optional else defaults[n] for n, v in named.items()})

    def values(self) -> tuple[Any, ...]:
        """The values in the order of the fields, which is the order of the page's controls."""
        return tuple(asdict(self).values())

    def settings(self) -> GenerateSettings:
        """Raises InputError for what is out of range, in one sentence."""
        uses = [(self.adapter1, self.weight1), (self.adapter2, self.weight2), (self.adapter3, self.weight3)]
        return settings_from(
            {
                "prompt": self.prompt,
                "negative": self.negative,
                "model": self.model,
                "seed": int(self.seed),
                "count": int(self.count),
                "width": int(self.width) if self.width else None,
                "height": int(self.height) if self.height else None,
                "steps": int(self.steps),
                "sampler": self.sampler,
                "schedule": self.schedule,
                "strength": self.strength,
                "weak": self.weak.strip(),
                "adapters": [AdapterUse(where=w.strip(), weight=float(n)) for w, n in uses if w.strip()],
                "guidance": {
                    "method": self.method,
                    "scale": float(self.scale),
                    "eta": float(self.eta),
                    "norm_threshold": _norm(self.norm),
                    "momentum": float(self.momentum),
                    "interval": [float(self.low), float(self.high) if self.high else None],
                },
            }
        )

    def with_settings(self, settings: GenerateSettings) -> Form:
        """The form that says these settings; a norm limit comes as its number, so that the picture is the same."""
        chosen = settings.guidance
        burn = OFF if chosen.method == "cfg" else OWN
        adapters: dict[str, Any] = {}
        for i in range(ADAPTERS):
            use = settings.adapters[i] if i < len(settings.adapters) else AdapterUse(where="")
            adapters |= {f"adapter{i + 1}": use.where, f"weight{i + 1}": use.weight}
        return replace(
            self,
            prompt=settings.prompt,
            negative=settings.negative,
            model=settings.model,
            scale=chosen.scale,
            burn=burn,
            count=settings.count,
            method=chosen.method,
            eta=chosen.eta,
            norm=f"{chosen.norm_threshold:g}" if chosen.norm_threshold != "auto" else "auto",
            momentum=chosen.momentum,
            low=chosen.interval[0],
            high=chosen.interval[1] if math.isfinite(chosen.interval[1]) else None,
            weak=settings.weak,
            steps=settings.steps,
            sampler=settings.sampler,
            schedule=settings.schedule,
            width=settings.width,
            height=settings.height,
            seed=settings.seed,
            strength=settings.strength,
            **adapters,
        )

    def remembered(self, given: Mapping[str, Any]) -> Form:
        """With the values that the browser kept; if they are not of this form any more, unchanged."""
        known = {f.name: given[f.name] for f in fields(self) if f.name in given}
        try:
            found = replace(self, **known)
            found.settings()
        except Exception:  # what a browser kept may be anything: then the page starts afresh
            return self
        return found


def _norm(text: str) -> Any:
    text = str(text).strip().lower()
    if text in ("", "auto"):
        return "auto"
    try:
        return float(text)
    except ValueError:
        return text  # the settings say in a sentence what is wrong with it


def guidance_of(burn: str) -> dict[str, Any]:
    """The expert settings that an anti-burn level stands for; none for one's own."""
    return ANTI_BURN.get(burn, {})


__all__ = ["ADAPTERS", "ANTI_BURN", "IDEAS", "OWN", "Form", "GuidanceSettings", "guidance_of"]
