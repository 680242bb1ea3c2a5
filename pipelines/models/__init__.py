"""The models of this machine: `ModelStore` lists, adds, downloads, checks and removes them."""

from models.catalog import PRESETS, TASKS, Licence, ModelRecord, Preset
from pipelines.models.bring import SUFFIXES
from pipelines.models.hub import is_repository
from pipelines.models.names import check_id, how_to_add, slug
from pipelines.models.store import ModelStore, Verdict, finish
from pipelines.models.stored import Entry, State, StoredModel

__all__ = [
    "PRESETS",
    "SUFFIXES",
    "TASKS",
    "Entry",
    "Licence",
    "ModelRecord",
    "ModelStore",
    "Preset",
    "State",
    "StoredModel",
    "Verdict",
    "check_id",
    "finish",
    "how_to_add",
    "is_repository",
    "slug",
]
