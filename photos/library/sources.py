"""What there is to import: files, folders with all below them, and the entries of zip archives."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.errors import InputError
from photos.library.archives import ARCHIVES, copy_entry, open_archive, unfit
from photos.library.views import Refused

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".heic", ".heif", ".hif")


@dataclass(frozen=True)
class Found:
    """A file that is a photo by its name. label: where it is, as `Source.path` keeps it; stamp: see `Source`.

    path: the file itself, or the archive that holds it as `entry`.
    """

    label: str
    name: str
    stamp: str
    path: Path
    entry: zipfile.ZipInfo | None = None


@dataclass(frozen=True)
class Ignored:
    """A file that is no photo by its name."""

    path: str


def check_sources(sources: Sequence[Path]) -> None:
    """Raises InputError if there is nothing to import, or for the first source that does not exist."""
    if not sources:
        raise InputError("There is nothing to import; give files, folders or zip archives.")
    for source in sources:
        try:
            there = source.exists()
        except (OSError, ValueError) as error:
            raise InputError(f"{str(source)!r} can't be read ({error}).") from error
        if not there:
            raise InputError(f"There is no file or folder {source}; check the name.")


def walk(sources: Sequence[Path]) -> Iterator[Found | Refused | Ignored]:
    """Everything in `sources`, sorted, each file once. A file that was named is tried whatever its name."""
    seen: set[str] = set()
    for source in sources:
        for path in _below(source):
            label = as_text(str(path.absolute()))
            if label not in seen:
                seen.add(label)
                yield from _look(path, label, named=path == source)


def _below(source: Path) -> Iterator[Path]:
    """The files of a folder, without hidden ones; links to folders are not followed, since they may lead in circles."""
    if not source.is_dir():
        yield source
        return
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        yield from (Path(folder) / name for name in sorted(files))


def _hidden(name: str) -> bool:
    return name.startswith((".", "@eaDir", "__MACOSX"))


def _look(path: Path, label: str, named: bool) -> Iterator[Found | Refused | Ignored]:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        yield from _entries(path, label)
    elif suffix in ARCHIVES:
        yield Refused(label, f"{path.name} is an archive of another kind than zip; unpack it and import the folder.")
    elif (suffix not in SUFFIXES and not named) or _hidden(path.name):
        yield Ignored(label)
    else:
        try:
            about = path.stat()
        except OSError as error:
            yield Refused(label, f"{path.name} can't be read ({error.strerror or error}).")
        else:
            yield Found(label, as_text(path.name), f"{about.st_size}:{about.st_mtime_ns}", path)


def _entries(path: Path, label: str) -> Iterator[Found | Refused | Ignored]:
    try:
        archive = open_archive(path)
    except InputError as error:
        yield Refused(label, str(error))
        return
    with archive:
        for info in archive.infolist():
            entry = _printable(info.orig_filename)
            place = f"{label}!{entry}"
            wrong = unfit(info)
            if wrong:
                yield Refused(place, f"{entry} in {path.name} is left out: {wrong}.")
            elif info.is_dir():
                continue
            elif PurePosixPath(info.filename).suffix.lower() not in SUFFIXES or _inside_hidden(info.filename):
                yield Ignored(place)
            else:
                name = as_text(PurePosixPath(info.filename).name)
                yield Found(place, name, f"{info.file_size}:{info.CRC:08x}", path, info)


def _inside_hidden(name: str) -> bool:
    return any(_hidden(part) for part in PurePosixPath(name).parts)


def as_text(text: str) -> str:
    """File names may hold bytes that are no text; the database takes text alone."""
    return text.encode("utf-8", "backslashreplace").decode()


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:300]


class Opener:
    """Makes a found file readable at a path. Keeps the archive that was opened last."""

    def __init__(self) -> None:
        self._archive: zipfile.ZipFile | None = None

    @contextmanager
    def open(self, found: Found, temporary: Path) -> Iterator[Path]:
        """The file itself or, of an archive's entry, a copy at `temporary`, which is gone afterwards.

        Raises InputError if the archive is gone or the entry damaged.
        """
        if found.entry is None:
            yield found.path
            return
        if self._archive is None or self._archive.filename != str(found.path):
            self.close()
            self._archive = open_archive(found.path)
        try:
            copy_entry(self._archive, found.entry, temporary)
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the archive."""
        if self._archive is not None:
            self._archive.close()
        self._archive = None
