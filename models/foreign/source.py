"""A file that is to be read, before anybody knows what it is. No PyTorch in here."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..header import Header, read_header
from .record import KINDS
from .refusal import Refused, shown

MAX_NUMBER = 2**17
MAX_OWN_HEADER = 2**24
# Arguments that say how many layers there are: each layer has a tensor, so that they can't exceed the tensors.
COUNTS = ("mapping_layers", "num_ws", "blocks")


def open_source(path: Path) -> BufferedReader:
    """Open a file for reading; devices and pipes, which may never end, are none. Raises InputError."""
    if not path.is_file():
        raise InputError(f"{path} can't be read, it is no file; choose a .safetensors, .pt, .pth or .pkl file.")
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror}); choose another file.") from error


def file_sha256(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits. Raises InputError for what is no file."""
    with open_source(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def own_header(path: Path) -> Header | None:
    """The header of a file in one of our own forms; None for any other file.

    Raises InputError for a file that claims to be ours and is damaged, of an unknown kind or of an impossible network.
    """
    with open_source(path) as file:
        start = file.read(9)
    if start[8:] != b"{" and path.suffix != ".safetensors":
        return None
    if int.from_bytes(start[:8], "little") > MAX_OWN_HEADER:
        return None  # whatever it is, it is read in a process with limits
    header = read_header(path)
    if header.kind is None:
        return None
    try:
        check_own(header)
    except Refused as error:
        raise InputError(f"{path.name} can't be used: it {error}.") from error
    return header


def check_own(header: Header) -> None:
    """Raises Refused for a kind that does not exist, and for a network that would take for ever to build."""
    if header.kind not in KINDS:
        raise Refused(f"is of the unknown kind {shown(str(header.kind))}")
    _check_config(header.config, len(header.shapes), 0)


def _check_config(config: dict[str, Any], tensors: int, depth: int) -> None:
    for key, value in config.items():
        numbers = value if isinstance(value, list) else [value]
        for number in numbers:
            if isinstance(number, dict) and depth == 0:
                _check_config(number, tensors, 1)
            elif isinstance(number, int | float) and not 0 <= number <= (tensors if key in COUNTS else MAX_NUMBER):
                raise Refused(f"describes a network with {shown(str(key))} = {shown(str(number))}")
            elif isinstance(number, dict | list):
                raise Refused(f"describes a network with a strange {shown(str(key))}")
