"""Stand-ins for storages and tensors in a pickle: where the numbers lie and how they are cut, checked without them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

from .machine import Record
from .refusal import Refused, brief

MAX_DIMENSIONS = 8
MAX_TENSORS = 50_000
MAX_BYTES = 16 * 2**30  # all tensors of a file, written out; SAM has 2.3e9

_DTYPES = {
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Double": torch.float64,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
STORAGE_TYPES: dict[str, torch.dtype] = {f"torch.{name}Storage": dtype for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class StorageStub:
    """A row of `numel` numbers. payload: the bytes that hold it, where it was a file within the file."""

    dtype: torch.dtype
    key: str
    numel: int
    payload: bytes | None = None

    @property
    def nbytes(self) -> int:
        return self.numel * self.dtype.itemsize


@dataclass(frozen=True)
class TensorStub:
    """A view of a storage that was checked to lie within it."""

    storage: StorageStub
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor when it is written out; repeated numbers (stride 0) count each time."""
        return prod(self.shape) * self.storage.dtype.itemsize


def storage_stub(pid: Any) -> StorageStub:
    """The storage behind a persistent id ("storage", type, key, location, numel[, view of another])."""
    if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage":
        raise Refused("uses a persistent id that is no storage")
    dtype, key, numel = pid[1], pid[2], pid[4]
    if (
        not isinstance(dtype, torch.dtype)
        or type(key) is not str
        or not _is_size(numel)
        or pid[5:] not in ((), (None,))
    ):
        raise Refused("describes a storage in a way that PyTorch does not")
    return StorageStub(dtype, key, numel)


def tensor_stub(
    storage: Any, offset: Any, shape: Any, stride: Any, grad: Any, hooks: Any, metadata: Any = None
) -> TensorStub:
    """torch._utils._rebuild_tensor_v2. Raises Refused where the view reaches beyond its storage."""
    if type(storage) is not StorageStub or type(shape) is not tuple or type(stride) is not tuple:
        raise Refused("describes a tensor in a way that PyTorch does not")
    if len(shape) != len(stride) or len(shape) > MAX_DIMENSIONS or not all(map(_is_size, (offset, *shape, *stride))):
        raise Refused(f"holds a tensor of impossible shape {brief(shape)}")
    last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
    if 0 not in shape and last >= storage.numel:
        raise Refused(f"holds a tensor of shape {brief(shape)} that reaches beyond its {storage.numel:,} numbers")
    if hooks or metadata:
        raise Refused("holds a tensor with hooks or attributes")
    return TensorStub(storage, offset, shape, stride)


def parameter_stub(data: Any, grad: Any, hooks: Any) -> TensorStub:
    """torch._utils._rebuild_parameter."""
    if type(data) is not TensorStub or hooks:
        raise Refused("describes a parameter in a way that PyTorch does not")
    return data


def _is_size(value: Any) -> bool:
    # The bound keeps products of all dimensions small integers.
    return type(value) is int and 0 <= value < 2**48


def stubs_in(tree: Any) -> Iterator[TensorStub]:
    """All tensors in nested plain data, each object visited once, without recursion (pickles may nest and share)."""
    seen: set[int] = set()
    todo = [tree]
    while todo:
        node = todo.pop()
        if type(node) is TensorStub:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            todo += _items(node)


def _items(node: Any) -> list[Any]:
    if isinstance(node, Record):
        return list(node.state.values())
    if type(node) is dict:
        return list(node.values())
    return list(node) if type(node) in (list, tuple) else []


def check_amount(tree: Any) -> None:
    """Raises Refused where the tensors are far more than any network of ours."""
    count = size = 0
    for stub in stubs_in(tree):
        count, size = count + 1, size + stub.nbytes
        if count > MAX_TENSORS or size > MAX_BYTES:
            raise Refused(
                f"holds more than {MAX_TENSORS:,} tensors, or more than {MAX_BYTES / 2**30:.0f} GiB of numbers"
            )
