"""Sizes, dates and states of models in a person's words."""

from __future__ import annotations

from datetime import datetime

from pipelines.console import size
from pipelines.models import Entry, State

STATES = {
    State.EMBEDDED: "Part of the app",
    State.READY: "Ready",
    State.ADDABLE: "Can be added",
    State.NEEDS_LICENCE: "Accept its licence",
    State.DAMAGED: "Damaged",
}
# The colour of each state's mark in the style sheet.
TONES = {
    State.EMBEDDED: "good",
    State.READY: "good",
    State.ADDABLE: "plain",
    State.NEEDS_LICENCE: "wait",
    State.DAMAGED: "bad",
}


def key(entry: Entry) -> str:
    """What the page calls this model by: OWNER/NAME for models of the Hub, which need not be in the catalog."""
    return entry.record.source.where if entry.record.source.kind == "hub" else entry.id


def keys(entry: Entry) -> set[str]:
    """All that this model may be called by."""
    return {entry.id, key(entry)}


def day(iso: str) -> str:
    """A stored date as a day: "24 November 2026"."""
    when = datetime.fromisoformat(iso)
    return f"{when.day} {when:%B %Y}"


def state(entry: Entry) -> str:
    """How things stand, in two or three words."""
    if entry.state is State.ADDABLE and entry.arrived:
        known = entry.record.bytes
        return f"Paused at {100 * entry.arrived // known} %" if known else f"Paused at {size(entry.arrived)}"
    return STATES[entry.state]


def tone(entry: Entry) -> str:
    """The tone of that mark."""
    return "wait" if entry.state is State.ADDABLE and entry.arrived else TONES[entry.state]
