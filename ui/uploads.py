"""Files that a browser handed over, gathered into a folder of their own, in the folders that their names speak of."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import InputError
from ui.services import Services

HOME = "import"  # the folder of uploads
MOST_FOLDERS = 16  # levels of folders that an upload keeps
CLIPS = "clips"  # in the data folder: uploaded videos
UPLOADS = "uploads"  # in the data folder: photos for imports
SETTLED_S = 3600  # an upload has a job by then, or never gets one
KEPT_S = 7 * 86400  # as long as an upload waits for a job


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


def keep_uploads(services: Services, uploads: Sequence[Path]) -> tuple[Path, ...]:
    """Move gathered files to where they stay, also over a restart, until their job has taken them in."""
    sweep_uploads(services, time.time())
    home = services.settings.data / UPLOADS / secrets.token_hex(8)
    home.mkdir(parents=True, mode=0o700)
    kept = shutil.move(uploads[0].parent, home / HOME)
    return tuple(sorted(Path(kept).iterdir()))


def discard_uploads(services: Services, uploads: Sequence[Path]) -> None:
    """Delete kept files that no job took."""
    from pipelines.collection_job import remove_uploads

    remove_uploads(services.settings.data, uploads)


def sweep_uploads(services: Services, now: float) -> None:
    """Delete kept files whose job was deleted. now: seconds since 1970."""
    homes = [home for home in (services.settings.data / UPLOADS).glob("*") if now - home.stat().st_mtime > SETTLED_S]
    requests = [job.request for job in services.jobs.list(limit=1_000_000)] if homes else []
    needed = [str(source) for request in requests for source in request.get("sources") or ()]
    for home in homes:
        if not any(Path(source).is_relative_to(home) for source in needed):
            shutil.rmtree(home, ignore_errors=True)


def given_name(services: Services, path: str) -> str:
    """What the person calls a file: an upload's name with its folders, any other file's path."""
    parts = Path(path).parts
    homes = (services.served.parent, services.settings.data / UPLOADS)
    if not any(Path(path).is_relative_to(home) for home in homes) or HOME not in parts:
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


def keep_clip(services: Services, upload: Path, sha256: str) -> Path:
    """Move an uploaded video to where it stays, also over a restart, while a job may need it.

    The same video twice is kept once, as it was kept first. Raises InputError for a path that is no upload.
    """
    if not upload.resolve().is_relative_to(services.served.resolve()):
        raise InputError(f"The upload {upload.name} is gone; choose it again.")
    home = services.settings.data / CLIPS / sha256[:32]
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    known = sorted(home.iterdir())
    if known:
        upload.unlink()
        os.utime(home)
        return known[0]
    return upload.rename(free_place(home, upload.name))


def forget_clip(services: Services, path: Path) -> list[Path]:
    """Delete a kept upload that no job needs any more; what lies elsewhere is not touched. Says what is gone."""
    if path.parent.parent != services.settings.data / CLIPS or not path.is_file():
        return []
    if str(path) in _needed(services):
        return []
    shutil.rmtree(path.parent, ignore_errors=True)
    return [path]


def sweep_clips(services: Services, now: float) -> None:
    """Delete the uploads that nobody began work on for days. now: seconds since 1970."""
    homes = [home for home in (services.settings.data / CLIPS).glob("*") if now - home.stat().st_mtime > KEPT_S]
    needed = _needed(services) if homes else set()
    for home in homes:
        if not any(str(path) in needed for path in home.iterdir()):
            shutil.rmtree(home, ignore_errors=True)


def _needed(services: Services) -> set[str]:
    """The sources of all jobs."""
    return {str(job.request.get("source")) for job in services.jobs.list(limit=1_000_000)}
