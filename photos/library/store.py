"""Files of the collection: crops of faces, and own copies of photos that would not stay where they were."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from PIL import Image

from photos.files import TEMPORARY, make_folder, write_atomically

CROP_QUALITY = 95
KEPT_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "HEIF": ".heic"}


class Store:
    """`folder / "crops"`, `folder / "files"`, and the lock that an import holds."""

    def __init__(self, folder: Path) -> None:
        """Raises EveryageError if a folder can't be made."""
        self.folder = folder
        self.crops = make_folder(folder / "crops")
        self.files = make_folder(folder / "files")

    def importing(self, timeout: float = 0.0) -> FileLock:
        """Held by whoever imports or forgets: one at a time; a killed process gives it back."""
        # Not bound to a thread: an import is a generator, which a server may continue in another one.
        return FileLock(self.folder / ".import.lock", timeout=timeout, thread_local=False)

    def add_crop(self, crop: Image.Image) -> str:
        """Write a crop under a random name, which is returned: it says nothing about who it is."""
        name = f"{secrets.token_hex(16)}.webp"
        self.write_crop(crop, name)
        return name

    def write_crop(self, crop: Image.Image, name: str) -> None:
        """Write a crop under this name."""

        def write(file: BinaryIO) -> None:
            crop.save(file, "WEBP", quality=CROP_QUALITY, method=2)

        write_atomically(self.crops / name, write)

    def kept(self, sha256: str, kind: str) -> Path:
        """Where the own copy of a photo of this format lies, if there is one."""
        return self.files / f"{sha256}{KEPT_SUFFIXES.get(kind, '.img')}"

    def keep(self, source: Path, target: Path) -> None:
        """Copy a file to its place among the own copies, unless it is there."""

        def write(file: BinaryIO) -> None:
            with source.open("rb") as original:
                shutil.copyfileobj(original, file)

        if not target.exists():
            write_atomically(target, write)

    def temporary(self) -> Path:
        """A name for an archive's member while it is looked at; a killed import's are swept away."""
        return self.files / f".{secrets.token_hex(8)}{TEMPORARY}"

    def sweep(self, crops: Collection[str]) -> set[str]:
        """Remove what a killed import left: temporary files, and crops of no face. Call it under `importing`.

        Returns the names of the crops that are there.
        """
        there = {path.name for path in self.crops.iterdir()}
        left = [self.crops / name for name in there if name not in crops]
        left += [path for path in self.files.iterdir() if path.name.endswith(TEMPORARY)]
        for path in left:
            path.unlink(missing_ok=True)
        return there.intersection(crops)
