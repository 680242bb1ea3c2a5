"""Names of models: ids, records of a person's own files, and what to tell who lacks a model."""

from __future__ import annotations

import re

from models import catalog
from models.catalog import ModelRecord
from models.errors import InputError
from pipelines.models.bring import TASK_OF

ID = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
RESERVED = {"con", "prn", "aux", "nul"}  # no names for files on Windows


def slug(text: str) -> str:
    """An id made of a name: "My Model (2)" -> "my-model-2"."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:64].strip("-")


def check_id(id: str) -> None:
    """Raises InputError unless `id` can name a model, and thus a folder."""
    if not ID.fullmatch(id) or id in RESERVED:
        raise InputError(f"{id!r} can't name a model; use small letters, digits and hyphens, 64 at most.")


def own_record(id: str, title: str, file: str = "") -> ModelRecord:
    """The record of a file of the person's own."""
    source = catalog.Source("own", file)
    about = f"Added by you{f' from {file}' if file else ''}."
    return ModelRecord(id, title, TASK_OF["everyage-stylegan2"], about, None, source, catalog.OWN)


def how_to_add(record: ModelRecord) -> str:
    """What a person does to get this model, as the end of a sentence."""
    add = f"`python app.py models add FILE --id {record.id}`"
    if record.source.direct:
        return f"download it on the Models page, or with `python app.py models download {record.id}`"
    return f"download it in your browser from {record.source.where}, then add the file on the Models page or with {add}"
