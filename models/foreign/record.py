"""What a conversion says about itself, and the kinds of file that it can make. Light: no torch in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

GENERATOR = "everyage-stylegan2"
ENCODER = "everyage-age-encoder"
SAM = "everyage-sam"
ADAPTER = "everyage-adapter"
DEX = "everyage-dex"
IRSE = "everyage-irse50"
KINDS: Mapping[str, str] = {
    GENERATOR: "a StyleGAN2 generator",
    ENCODER: "an age encoder",
    SAM: "a SAM model",
    ADAPTER: "a personal age adapter",
    DEX: "a DEX age network",
    IRSE: "an IR-SE50 face network",
}
"""The `format` that our safetensors files name in their header, and what to call it in a sentence."""


@dataclass(frozen=True)
class Converted:
    """What came out of a conversion.

    kind: one of `KINDS`. title: the same for a person, "SAM model, 1024 px, with a personal adapter".
    tensors, bytes: of the file that was written. sha256: of the source file, as hexadecimal digits.
    contained: what the source held, one entry a part, such as "decoder (171 tensors)".
    left_out: parts of the source that were not carried over, such as "optimizer".
    """

    kind: str
    title: str
    tensors: int
    bytes: int
    sha256: str
    contained: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The record for JSON; `Converted.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Converted:
        lists = {name: tuple(data[name]) for name in ("contained", "left_out")}
        return cls(**{**data, **lists})
