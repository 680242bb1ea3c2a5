"""What models exist: from where, under which licence, how large, and what for. Data only; nothing is downloaded."""

from __future__ import annotations

from .embedded import embedded, embedded_path
from .entries import PRESETS, PUBLISHED
from .licences import HUB, OWN
from .record import TASKS, Licence, ModelFile, ModelRecord, Preset, Source

__all__ = [
    "HUB",
    "OWN",
    "PRESETS",
    "TASKS",
    "Licence",
    "ModelFile",
    "ModelRecord",
    "Preset",
    "Source",
    "embedded_path",
    "find_record",
    "hub_record",
    "records",
]


def records() -> tuple[ModelRecord, ...]:
    """Every model of the catalog: the shipped ones first."""
    return (*embedded(), *PUBLISHED)


def find_record(id: str) -> ModelRecord | None:
    """The model of this id, or None."""
    return next((record for record in records() if record.id == id), None)


def hub_record(repo: str, id: str) -> ModelRecord:
    """A record for any other Diffusers repository OWNER/NAME of the Hugging Face Hub, whose licence we do not know."""
    return ModelRecord(
        id=id,
        title=repo,
        task="text-to-image",
        about="A model of your choice from the Hugging Face Hub.",
        kind="diffusers",
        source=Source("hub", repo, f"https://huggingface.co/{repo}"),
        licence=HUB,
        max_bytes=80_000_000_000,
    )
