"""Networks that move a face along its age: encoders to w+, SAM, the personal adapter of MyTimeMachine, DEX."""

from .adapter import Adapter
from .dex import DexAge
from .encoder import AgeEncoder, with_age
from .io import (
    load_adapter,
    load_dex,
    load_encoder,
    load_mytm,
    load_sam,
    save_adapter,
    save_encoder,
    save_sam,
)
from .mixing import mix_styles
from .sam import Sam

__all__ = [
    "Adapter",
    "AgeEncoder",
    "DexAge",
    "Sam",
    "load_adapter",
    "load_dex",
    "load_encoder",
    "load_mytm",
    "load_sam",
    "mix_styles",
    "save_adapter",
    "save_encoder",
    "save_sam",
    "with_age",
]
