"""safetensors written one tensor at a time: `save_file` would take all of them, converted, in memory at once."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import torch
from torch import Tensor

from ..errors import EveryageError
from .refusal import Refused

_CODES = {
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def write_safetensors(tensors: Mapping[str, Tensor], metadata: dict[str, str], out: Path, dtype: torch.dtype) -> int:
    """Write all tensors, floats as `dtype`, first under a temporary name beside `out`; returns the size in bytes.

    Raises Refused for numbers of other types (complex, quantised), EveryageError where the disk is too small.
    """
    header, size = _header(tensors, metadata, dtype)
    free = shutil.disk_usage(out.parent).free
    if free < size + len(header):
        raise EveryageError(
            f"{out.parent} has {free / 1e9:.1f} GB left, but {out.name} needs {size / 1e9:.1f} GB; make room first."
        )
    partial = out.with_name(f".{out.name}.{uuid4().hex[:8]}.partial")
    try:
        with partial.open("xb") as file:
            file.write(header)
            for tensor in tensors.values():
                _write(tensor, file, dtype)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return size + len(header)


def _header(tensors: Mapping[str, Tensor], metadata: dict[str, str], dtype: torch.dtype) -> tuple[bytes, int]:
    entries: dict[str, object] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        kind = stored_type(tensor, dtype)
        if kind not in _CODES:
            raise Refused(f"holds numbers of the type {kind} ({name})")
        start, end = end, end + tensor.numel() * kind.itemsize
        entries[name] = {"dtype": _CODES[kind], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)  # the numbers start at a multiple of 8
    return len(text).to_bytes(8, "little") + text, end


def stored_type(tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    """`dtype` for floats, but float32 for those that float16 can't hold (variances in batch norms grow so large)."""
    if tensor.dtype not in FLOATS:
        return tensor.dtype
    if dtype == torch.float16 and tensor.numel() and tensor.abs().max() > torch.finfo(dtype).max:
        return torch.float32
    return dtype


def _write(tensor: Tensor, file: BinaryIO, dtype: torch.dtype) -> None:
    tensor = tensor.detach().to(stored_type(tensor, dtype)).contiguous()
    if tensor.numel():
        file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
