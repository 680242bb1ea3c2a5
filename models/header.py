"""The header of a safetensors file: what it holds, without loading a number, and without PyTorch.

The format (github.com/huggingface/safetensors): 8 bytes, little-endian, that say how long the JSON is; the JSON, which
gives each tensor's dtype, shape and place; then the numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from .errors import InputError

MAX_HEADER = 100_000_000


@dataclass(frozen=True)
class Header:
    """metadata: the file's own notes. shapes: of each tensor, by name."""

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    @property
    def kind(self) -> str | None:
        """The form of one of our own files ("everyage-sam"), or None."""
        kind = self.metadata.get("format", "")
        return kind if kind.startswith("everyage-") else None

    @property
    def config(self) -> dict[str, Any]:
        """The constructor arguments in one of our own files; {} if there are none."""
        try:
            config = json.loads(self.metadata.get("config", "{}"))
        except ValueError:
            return {}
        return config if isinstance(config, dict) else {}

    @property
    def numbers(self) -> int:
        """How many numbers all tensors have together."""
        return sum(prod(shape) for shape in self.shapes.values())


def read_header(path: Path) -> Header:
    """The header of a safetensors file. Raises InputError if it is none, is damaged, or was cut short."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError("its beginning is not that of a safetensors file")
            header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        shapes = {str(name): tuple(int(n) for n in tensor["shape"]) for name, tensor in header.items()}
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
        if 8 + length + end != size:
            raise ValueError(f"it has {size:,} bytes instead of {8 + length + end:,}")
        return Header({str(key): str(value) for key, value in metadata.items()}, shapes)
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise InputError(f"{path.name} is not a whole safetensors file ({error}); give another copy.") from error
