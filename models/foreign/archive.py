"""The zip archive around a PyTorch file (since 1.6), looked at before PyTorch opens it.

torch.save writes one folder with `data.pkl`, `data/0`, `data/1`, ... and a few notes, each stored as it is, one behind
the other. Whatever differs from that is refused: so there is nothing to unpack, and nothing can unpack to more.
"""

from __future__ import annotations

import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path

from .refusal import Damaged, Refused, shown

MAX_ENTRIES = 100_000
MAX_PICKLE = 64 * 2**20
_PART = re.compile(
    r"[^/\\:\0]{1,200}/(data\.pkl|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|data/[0-9]{1,9})"
)


@dataclass(frozen=True)
class Archive:
    """pickle: the bytes of data.pkl. sizes: bytes of each storage, by its key."""

    pickle: bytes
    sizes: dict[str, int]


def open_archive(path: Path) -> Archive:
    """Check the archive and read its pickle. Raises Refused or Damaged."""
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            _check(entries, file.comment, path.stat().st_size)
            (pickle,) = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
            data = file.read(pickle)
            order = [file.read(entry) for entry in entries if entry.filename.endswith("/byteorder")]
    except (zipfile.BadZipFile, NotImplementedError, EOFError, UnicodeError, ValueError) as error:
        raise Damaged(f"its archive is broken ({shown(str(error))})") from error
    if order not in ([], [b"little"]):
        raise Refused("was written on a machine of another byte order")
    keys = {entry.filename.split("/data/")[1]: entry for entry in entries if "/data/" in entry.filename}
    return Archive(data, {key: entry.file_size for key, entry in keys.items()})


def _check(entries: list[zipfile.ZipInfo], comment: bytes, size: int) -> None:
    if len(entries) > MAX_ENTRIES:
        raise Refused(f"is an archive of {len(entries):,} parts")
    names = [entry.filename for entry in entries]
    if any(name.split("/")[1:2] == ["code"] or name.endswith("/constants.pkl") for name in names):
        raise Refused("is a TorchScript program, not weights alone")
    for entry in entries:
        _check_entry(entry)
    if len(set(names)) != len(names):
        raise Refused("is an archive with two parts of the same name")
    if len({name.split("/")[0] for name in names}) != 1 or sum(name.endswith("/data.pkl") for name in names) != 1:
        raise Refused("is an archive, but not one that PyTorch has written (no data.pkl, or several)")
    _check_places(entries, comment, size)


def _check_entry(entry: zipfile.ZipInfo) -> None:
    name = shown(entry.filename)
    if stat.S_ISLNK(entry.external_attr >> 16):
        raise Refused(f"is an archive with a symbolic link in it, {name}")
    if not _PART.fullmatch(entry.filename) or entry.filename.startswith(".."):
        raise Refused(f"is an archive with {name} in it, which is no part of a weight file")
    if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
        raise Refused(
            f"is an archive whose part {name} unpacks from {entry.compress_size:,} to {entry.file_size:,} bytes, "
            "which PyTorch never writes"
        )
    if entry.flag_bits & 1:
        raise Refused("is an encrypted archive")
    if entry.filename.endswith(("/data.pkl", "/byteorder")) and entry.file_size > MAX_PICKLE:
        raise Refused(f"has a structure of {entry.file_size:,} bytes, far more than weights need")


def _check_places(entries: list[zipfile.ZipInfo], comment: bytes, size: int) -> None:
    """Parts one behind the other from the first byte on: no byte belongs to two of them, none before the first."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end or (end == 0 and entry.header_offset):
            raise Refused(f"is an archive whose part {shown(entry.filename)} overlaps another")
        end = entry.header_offset + 30 + len(entry.filename) + entry.file_size
    if end > size or comment:
        raise Damaged("its archive is longer than the file, or has a comment")
