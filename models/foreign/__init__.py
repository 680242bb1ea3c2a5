"""Weight files of others, read without executing anything in them, turned into our safetensors forms.

with converted("sam_ffhq_aging.pt", cache) as path:      # our own files come back as they are
    ...
record = convert_safely("ffhq.pkl", "ffhq.safetensors")  # in a process of its own, with limits
record = convert("ffhq.pkl", "ffhq.safetensors")         # here; the process above calls this
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .record import KINDS, Converted
from .sandbox import convert_safely, converted

if TYPE_CHECKING:
    from .conversion import convert

__all__ = ["KINDS", "Converted", "convert", "convert_safely", "converted"]


def __getattr__(name: str) -> Any:
    # `convert` needs torch; who only starts the separate process does not.
    if name == "convert":
        from .conversion import convert

        return convert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
