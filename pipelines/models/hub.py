"""Repositories of the Hugging Face Hub: which files to fetch, through the Hub's public interface."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from models.catalog import ModelRecord
from models.errors import EveryageError, InputError
from pipelines.models import folders
from pipelines.models.transfer import Wanted
from pipelines.models.web import get_json

if TYPE_CHECKING:
    import httpx

HUB = "https://huggingface.co"
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def is_repository(text: str) -> bool:
    """Whether this looks like OWNER/NAME."""
    return bool(REPOSITORY.fullmatch(text))


def wanted_files(client: httpx.Client, record: ModelRecord, hub: str = HUB) -> list[Wanted]:
    """The files of a Diffusers repository that a pipeline needs, all of one commit, each with its size and SHA-256.

    Raises InputError where the repository is no Diffusers pipeline in safetensors, EveryageError where the Hub
    can't be reached or answers something else.
    """
    repo = record.source.where
    answer = get_json(client, f"{hub}/api/models/{quote(repo)}?blobs=true")
    commit, files = _read(answer, repo)
    if folders.INDEX not in files:
        raise InputError(f"{repo} is no Diffusers pipeline (it has no {folders.INDEX}); choose another repository.")
    base = f"{hub}/{quote(repo)}/resolve/{commit}"
    index = folders.check_index(get_json(client, f"{base}/{folders.INDEX}"), repo)
    wanted = []
    for name in folders.choose(list(files), index, repo, record.variant):
        size, sha256 = files[name]
        wanted.append(Wanted(f"{base}/{quote(name)}", name, size, sha256, record.max_bytes))
    total = sum(file.bytes or 0 for file in wanted)
    if total > record.max_bytes:
        raise EveryageError(f"{repo} has {total / 1e9:,.0f} GB; at most {record.max_bytes / 1e9:,.0f} are downloaded.")
    return wanted


def _read(answer: Any, repo: str) -> tuple[str, dict[str, tuple[int | None, str | None]]]:
    """The commit, and each file's size and SHA-256; the Hub gives the latter for large files only."""
    try:
        commit = answer["sha"]
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ValueError(f"{commit!r} is no commit")
        files = {}
        for file in answer["siblings"]:
            name, size, sha256 = file["rfilename"], file.get("size"), (file.get("lfs") or {}).get("sha256")
            if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
                raise ValueError(f"{sha256!r} is no sha256")
            files[str(name)] = (int(size) if size is not None else None, sha256)
        return commit, files
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EveryageError(f"The Hub's answer about {repo} can't be read ({error}); try again later.") from error
