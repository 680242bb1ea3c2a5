"""The photos behind the results, so that a result can be opened again, compared, and taken to a further age.

`data / "originals" / SHA256.SUFFIX`: the file exactly as it was given, since caches and recipes know it by its hash.
It is for this app's eyes only, and goes when the last result made from it goes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from photos.files import make_folder, write_atomically
from photos.opening import Photo

SHA256 = re.compile(r"[0-9a-f]{64}")


class Originals:
    """The folder of originals. Several processes may use one folder at a time."""

    def __init__(self, data: Path) -> None:
        """Raises EveryageError if the folder can't be made."""
        self.folder = make_folder(Path(data) / "originals")

    def keep(self, photo: Photo) -> None:
        """Keep the photo's file, unless it is kept already or gone. Raises EveryageError if the disk refuses."""
        if self.find(photo.sha256) is not None or not Path(photo.path).is_file():
            return

        def write(file: BinaryIO) -> None:
            with Path(photo.path).open("rb") as source:
                shutil.copyfileobj(source, file)

        write_atomically(self.folder / f"{photo.sha256}{Path(photo.path).suffix.lower()}", write)

    def find(self, sha256: object) -> Path | None:
        """The kept file of this hash, or None; anything that is no hash is not there either."""
        if not isinstance(sha256, str) or not SHA256.fullmatch(sha256):
            return None
        return next((path for path in self.folder.glob(f"{sha256}*")), None)

    def prune(self, wanted: Collection[object]) -> None:
        """Delete every original whose hash is not in `wanted`."""
        for path in self.folder.iterdir():
            if path.stem not in wanted and SHA256.fullmatch(path.stem):
                path.unlink(missing_ok=True)
