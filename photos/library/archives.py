"""Zip archives that nobody vouches for: what is in them is judged by the directory, and read entry by entry.

Nothing is ever unpacked under a name that an archive chooses.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from models.errors import InputError
from photos.opening import MAX_BYTES

MAX_ENTRIES = 50_000
MAX_DIRECTORY = 32 * 1024 * 1024  # bytes of the list of entries
MAX_RATIO = 100  # of an entry: photos are compressed already, and hardly shrink again
MAX_GROWTH, GROWTH_ALLOWED = 20, 1024**3  # of a whole archive: so many times, or up to so many bytes
MAX_NAME = 255
CHUNK = 1024 * 1024
# APPNOTE.TXT 4.3.14 to 4.3.16: the end of the directory, and its 64-bit form.
END, LOCATOR, END64 = b"PK\5\6", b"PK\6\7", b"PK\6\6"
END_SIZE, LOCATOR_SIZE, END64_SIZE, MAX_COMMENT = 22, 20, 56, 65_535
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
ARCHIVES = (".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst")


def open_archive(path: Path) -> zipfile.ZipFile:
    """The archive with its directory read. Raises InputError if it is none, is damaged, or holds too much.

    How many entries there are is counted before they are read: a million would cost a gigabyte of memory.
    """
    try:
        with path.open("rb") as file:
            _check_directory(file, path)
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, UnicodeDecodeError, struct.error, NotImplementedError, ValueError) as error:
        raise InputError(f"{path} is not a zip archive, or is damaged ({error}); pack it again.") from error
    except OSError as error:
        raise InputError(f"{path} can't be read ({error.strerror or error}).") from error
    grown = sum(info.file_size for info in archive.infolist())
    if grown > max(GROWTH_ALLOWED, MAX_GROWTH * path.stat().st_size):
        archive.close()
        raise InputError(f"{path} would grow to {grown / 1e9:,.1f} GB when unpacked; no archive of photos does that.")
    return archive


def unfit(info: zipfile.ZipInfo) -> str | None:
    """Why an entry must not be read, as the end of a sentence; None if nothing speaks against it."""
    name = info.orig_filename  # as it is in the archive: zipfile cuts `filename` at a NUL
    return _bad_name(name) or _bad_kind(info) or _bad_size(info)


def copy_entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    """Write an entry's bytes to `target`. Raises InputError if they are damaged, OSError if the disk refuses."""
    try:
        with archive.open(info) as source, target.open("wb") as file:
            while chunk := source.read(CHUNK):
                file.write(chunk)
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise InputError(f"{info.filename} is damaged inside the archive ({error}); pack it again.") from error


def _bad_name(name: str) -> str | None:
    parts = re.split(r"[/\\]", name)
    if "\0" in name:
        return "its name holds a NUL character"
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "its name is an absolute path"
    if ".." in parts:
        return "its name leads out of the archive"
    if any(len(part.encode(errors="replace")) > MAX_NAME for part in parts):
        return f"its name is longer than {MAX_NAME} bytes"
    if any(RESERVED.fullmatch(part) for part in parts):
        return "its name is one that Windows reserves for devices"
    return None


def _bad_kind(info: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(info.external_attr >> 16)  # of a Unix archive; others have 0 there
    if kind == stat.S_IFLNK:
        return "it is a symbolic link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it is a device, not a file"
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if info.filename.lower().endswith(ARCHIVES):
        return "it is an archive inside the archive; unpack it first"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"it is compressed in an unusual way (method {info.compress_type})"
    return None


def _bad_size(info: zipfile.ZipInfo) -> str | None:
    if info.file_size > MAX_BYTES:
        return f"it has {info.file_size / 1e6:,.0f} MB; photos up to {MAX_BYTES / 1e6:,.0f} MB are read"
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        ratio = info.file_size / max(info.compress_size, 1)
        return f"it grows {ratio:,.0f}-fold when unpacked; no photo does that"
    return None


def _check_directory(file: BinaryIO, path: Path) -> None:
    """Raises InputError if the directory claims too many entries, or is larger than these could make it."""
    size = file.seek(0, 2)
    start = max(size - END_SIZE - MAX_COMMENT, 0)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(END)
    if place < 0 or len(tail) - place < END_SIZE:
        raise zipfile.BadZipFile("it has no directory")
    entries, directory = struct.unpack("<HI", tail[place + 10 : place + 16])
    end = start + place
    file.seek(max(end - LOCATOR_SIZE - END64_SIZE, 0))
    wide = file.read(END64_SIZE + LOCATOR_SIZE)
    if wide.startswith(END64) and wide[END64_SIZE:].startswith(LOCATOR):
        entries, directory = struct.unpack("<QQ", wide[32:48])
        end -= LOCATOR_SIZE + END64_SIZE
    if entries > MAX_ENTRIES or directory > MAX_DIRECTORY:
        what = f"{entries:,} entries" if entries > MAX_ENTRIES else f"a list of entries of {directory / 1e6:,.0f} MB"
        raise InputError(f"{path} has {what}; archives of up to {MAX_ENTRIES:,} are read, so split it.")
    # The number that it claims may be a lie; each entry of the list begins with the same four bytes.
    file.seek(max(end - directory, 0))
    if file.read(directory).count(b"PK\1\2") > MAX_ENTRIES:
        raise InputError(f"{path} has more than {MAX_ENTRIES:,} entries; split it.")
