"""Zip archives that mean no good, and how to make them."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def pack(path: Path, entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """An archive of these entries, under exactly these names."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def add_special(path: Path, name: str, kind: int, content: bytes) -> None:
    """An entry that is a link (stat.S_IFLNK), a device (stat.S_IFCHR), ..."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, content)


def add_named(path: Path, name: bytes, content: bytes) -> None:
    """An entry whose name has these very bytes, which zipfile would not write. Call it last: appending mends them."""
    stand_in = b"Q" * len(name)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(stand_in.decode(), content)
    path.write_bytes(path.read_bytes().replace(stand_in, name))


def encrypt(path: Path, name: str) -> None:
    """Sets the flag that says that an entry is encrypted."""
    content = bytearray(path.read_bytes())
    for signature, flags, start in ((b"PK\3\4", 6, 30), (b"PK\1\2", 8, 46)):
        place = content.find(signature)
        while place >= 0:
            if content[place + start :].startswith(name.encode()):
                content[place + flags] |= 1
            place = content.find(signature, place + 4)
    path.write_bytes(bytes(content))


def add_bomb(path: Path, name: str, megabytes: int) -> None:
    """An entry of zeros, which shrinks a thousandfold."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(name, bytes(megabytes * 1024 * 1024))


def with_entries(path: Path, number: int, claimed: int | None = None) -> Path:
    """An archive of so many entries that all point to one empty file; it may claim another number.

    Written by hand, since zipfile would take minutes for a million.
    """
    name = b"a.jpg"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0) + name
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0) + name
    directory = entry * number
    told = number if claimed is None else claimed
    tail = b""
    if told >= 0xFFFF:
        tail = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, told, told, len(directory), len(local))
        tail += struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(directory), 1)
    short = min(told, 0xFFFF)
    tail += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, short, short, len(directory), len(local), 0)
    path.write_bytes(local + directory + tail)
    return path


def overlapping(path: Path, number: int) -> Path:
    """A quine-like bomb: every entry of the directory points to the same compressed megabytes."""
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(bytes(8 * 1024 * 1024)) + packer.flush()
    crc, size, names = zlib.crc32(bytes(8 * 1024 * 1024)), 8 * 1024 * 1024, [b"%03d.jpg" % i for i in range(number)]
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(body), size, 7, 0) + names[0]
    entries = [
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(body), size, 7, 0, 0, 0, 0, 0, 0) + name
        for name in names
    ]
    directory = b"".join(entries)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, number, number, len(directory), len(local) + len(body), 0)
    path.write_bytes(local + body + directory + end)
    return path


LINK, DEVICE = stat.S_IFLNK, stat.S_IFCHR
