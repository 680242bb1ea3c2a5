"""One foreign file to one safetensors file of ours, in this process."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import InputError
from ..header import Header, read_header
from .content import Plan
from .generators import nvidia_plan
from .recognise import recognise
from .record import KINDS, Converted
from .refusal import Damaged, Refused, shown
from .source import check_own, file_sha256, open_source
from .torchfile import OLD_MAGIC, ZIP_MAGIC, read_torch_file
from .unpickle import read_nvidia_pickle
from .write import write_safetensors

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def convert(source: str | Path, out: str | Path, *, dtype: torch.dtype = torch.float32) -> Converted:
    """Read a weight file of any published layout and write our safetensors form of it; nothing in it is executed.

    source: NVIDIA's .pkl, rosinality's, SAM's, pSp's, MyTimeMachine's, DEX's or IR-SE50's .pt or .pth, or safetensors
    (our own, or a bare state in one of these layouts). The content decides, not the name. dtype: of all floats.
    `out` appears whole or not at all. Raises InputError, in one sentence, for a file that is none of these, damaged or
    hostile. For a file from outside use `convert_safely`, which adds limits of time and memory.
    """
    source, out = Path(source), Path(out)
    sha256 = file_sha256(source)
    try:
        plan = make_plan(source)
        _check_numbers(plan)
        metadata = {"format": plan.kind, "config": json.dumps(plan.config)}
        size = write_safetensors(plan.tensors, metadata, out, dtype)
    except Refused as error:
        raise InputError(f"{source.name} was refused and nothing in it was run: it {error}.") from error
    except Damaged as error:
        raise InputError(f"{source.name} can't be read, because {error}; get it again.") from error
    return Converted(plan.kind, plan.title, len(plan.tensors), size, sha256, plan.contained, plan.left_out)


def _check_numbers(plan: Plan) -> None:
    """Weights are floats; whole numbers in their place would end as an error where they are loaded."""
    for name, tensor in plan.tensors.items():
        if not tensor.is_floating_point() and not name.endswith("num_batches_tracked"):
            raise Refused(f"holds {tensor.dtype} instead of floats in {shown(name)}")


def make_plan(source: Path) -> Plan:
    """What to write for a file, told by its first bytes. Raises Refused, Damaged or InputError."""
    with open_source(source) as file:
        start = file.read(len(OLD_MAGIC))
    if not start:
        raise Damaged("it is empty")
    if start.startswith((ZIP_MAGIC, OLD_MAGIC)):
        return recognise(read_torch_file(source))
    if start[8:9] == b"{":
        return _from_safetensors(source)
    if start[:1] == b"\x80":
        return nvidia_plan(read_nvidia_pickle(source))
    raise Refused("is no weight file that this app reads: neither safetensors nor PyTorch nor an NVIDIA pickle")


def _from_safetensors(source: Path) -> Plan:
    header = read_header(source)
    try:
        with safe_open(source, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in header.shapes}
    except SafetensorError as error:
        raise Damaged(f"it is no whole safetensors file ({shown(str(error))})") from error
    return _own(header, tensors) if header.kind else recognise(tensors)


def _own(header: Header, tensors: dict[str, Tensor]) -> Plan:
    """A file that says it is ours: checked like any other, but kept under its own arguments."""
    check_own(header)
    kind = str(header.kind)
    return Plan(kind, KINDS[kind].removeprefix("an ").removeprefix("a "), header.config, tensors, (KINDS[kind],))
