"""Files that a browser handed over, gathered into a folder of their own, in the folders that their names speak of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import InputError
from ui.services import Services

HOME = "import"  # the folder of uploads
MOST_FOLDERS = 16  # levels of folders that an upload keeps


def gather(services: Services, files: Sequence[tuple[Path, str]]) -> tuple[Path, ...]:
    """Move uploads into a folder of their own, below the folders that their names speak of.

    Raises InputError for a path that is no upload of this server.
    """
    served = services.served.resolve()
    home = services.new_file(HOME, "")
    for path, name in files:
        source = path.resolve()
        if not source.is_relative_to(served) or not source.is_file():
            raise InputError(f"The upload {Path(name).name} is gone; choose it again.")
        target = free_place(home, name)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        source.rename(target)
    return tuple(sorted(home.iterdir()))


def given_name(services: Services, path: str) -> str:
    """What the person calls a file: an upload's name with its folders, any other file's path."""
    parts = Path(path).parts
    if not Path(path).is_relative_to(services.served.parent) or HOME not in parts:
        return path
    return "/".join(parts[parts.index(HOME) + 1 :])


def free_place(home: Path, name: str) -> Path:
    """Where the upload of this name goes inside `home`; two of the same name get different places."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    plain = ["".join(c for c in part if c.isprintable())[-120:] or "file" for part in parts[-MOST_FOLDERS:]]
    wanted = home.joinpath(*(plain or ["file"]))
    target, number = wanted, 1
    while target.exists():
        number += 1
        target = wanted.with_name(f"{wanted.stem} ({number}){wanted.suffix}")
    return target
