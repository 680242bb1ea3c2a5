"""Files of torch.save, in the archive form (since PyTorch 1.6) and in the older one. Nothing in them is executed.

Two walls: first the structure is read by our own `Machine`, which knows tensors only as descriptions, and checked
against the file (which globals it asks for, that each storage is there in full, that each tensor lies within its
storage). Only then PyTorch reads the same bytes, with weights_only=True and, where the form allows it, memory-mapped.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import torch

from .archive import open_archive
from .machine import Machine, Record, Rule, load_bytes
from .refusal import Damaged, Refused, out_of_memory, shown
from .tensors import STORAGE_TYPES, StorageStub, check_amount, parameter_stub, storage_stub, stubs_in, tensor_stub

ZIP_MAGIC = b"PK\x03\x04"
# The number 0x1950a86a20f9469cfc6c as a pickle of its own: the first bytes of the older form.
OLD_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
OLD_PROTOCOL = 1001


def dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """collections.OrderedDict() and its like: empty, to be filled step by step (pairs in its oldest form)."""
    if pairs:
        raise Refused("builds a dictionary in a way that PyTorch does not")
    return {}


CALLS: dict[str, Rule] = {
    "collections.OrderedDict": dictionary,
    "torch._utils._rebuild_tensor_v2": tensor_stub,
    "torch._utils._rebuild_parameter": parameter_stub,
    # The training options of the published checkpoints; older ones keep the whole object instead of its dict.
    "argparse.Namespace": lambda: Record("argparse.Namespace"),
}


def read_torch_file(path: Path) -> Any:
    """Nested dicts and lists with CPU tensors, as they were saved. Raises Refused or Damaged."""
    with path.open("rb") as file:
        archive = file.read(len(OLD_MAGIC)).startswith(ZIP_MAGIC)
        if not archive:
            check_old_form(file, path.stat().st_size)
    if archive:
        check_archive(path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        return _load(path, mmap=archive)


def _load(source: Path | io.BytesIO, mmap: bool) -> Any:
    try:
        return torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
    except Exception as error:  # PyTorch answers what is left of damage here with exceptions of every kind
        if out_of_memory(error):
            raise MemoryError(str(error)) from error
        raise Damaged(f"PyTorch can't read it: {shown(f'{type(error).__name__}, {error}', 160)}") from error


def check_archive(path: Path) -> Any:
    """Everything that can be said without loading a number; the structure with stubs for tensors."""
    archive = open_archive(path)
    tree = load_bytes(archive.pickle, CALLS, constants=STORAGE_TYPES, persistent=storage_stub)
    for stub in stubs_in(tree):
        storage = stub.storage
        if archive.sizes.get(storage.key) != storage.nbytes:
            held = archive.sizes.get(storage.key, 0)
            raise Damaged(f"its tensor data {shown(storage.key)} has {held:,} bytes instead of {storage.nbytes:,}")
    check_amount(tree)
    return tree


def check_old_form(file: BinaryIO, size: int) -> Any:
    """The same for the older form: five pickles, then for each storage its length and its numbers."""
    file.seek(0)
    storages: dict[str, StorageStub] = {}

    def persistent(pid: Any) -> StorageStub:
        stub = storage_stub(pid)
        if storages.setdefault(stub.key, stub) != stub:
            raise Refused("describes one storage in two ways")
        return stub

    machine = Machine(file, size, CALLS, constants=STORAGE_TYPES, persistent=persistent)
    magic, protocol, system = machine.load(), machine.load(), machine.load()
    if magic != 0x1950A86A20F9469CFC6C or protocol != OLD_PROTOCOL or type(system) is not dict:
        raise Damaged("its beginning is not that of a PyTorch file")
    if system.get("little_endian") is not True:
        raise Refused("was written on a machine of another byte order")
    tree, keys = machine.load(), machine.load()
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise Damaged("the list of its tensor data does not fit its structure")
    for stub in (storages[key] for key in keys):
        if int.from_bytes(file.read(8), "little") != stub.numel or file.tell() + stub.nbytes > size:
            raise Damaged(f"its tensor data {shown(stub.key)} is cut off")
        file.seek(stub.nbytes, io.SEEK_CUR)
    if file.tell() != size:
        raise Refused("has bytes behind its end")
    check_amount(tree)
    return tree


def nested_storage(payload: Any) -> StorageStub:
    """torch.storage._load_from_bytes, the file within an NVIDIA pickle: a storage alone, in the older form."""
    if type(payload) is not bytes or not payload.startswith(OLD_MAGIC):
        raise Refused("holds a file within the file that is no tensor data")
    stub = check_old_form(io.BytesIO(payload), len(payload))
    if type(stub) is not StorageStub:
        raise Refused("holds a file within the file that is more than tensor data")
    return StorageStub(stub.dtype, stub.key, stub.numel, payload)


def load_storage(stub: StorageStub) -> torch.Tensor:
    """The numbers of a `nested_storage`, as a flat tensor."""
    assert stub.payload is not None
    storage = _load(io.BytesIO(stub.payload), mmap=False)
    return torch.empty(0, dtype=stub.dtype).set_(storage._untyped_storage, 0, (stub.numel,), (1,))


def tensors_by_name(tree: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a flat dict with text keys."""
    for name, value in dict.items(tree):
        if isinstance(name, str) and isinstance(value, torch.Tensor):
            yield name, value.detach()
