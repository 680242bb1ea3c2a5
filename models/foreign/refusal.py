"""How reading ends early, and how values out of a foreign file may be told to a person."""

from __future__ import annotations

MAX_SHOWN = 8


class Refused(Exception):
    """What was read asks for something that weights do not need. The text ends a sentence about the file."""


class Damaged(Exception):
    """What was read is no whole pickle. The text says where it breaks off."""


def shown(text: object, limit: int = 80) -> str:
    """A text out of a foreign file, fit for a terminal: no control characters, not too long."""
    plain = ascii(text)[1:-1] if isinstance(text, str) else ascii(text)
    return plain if len(plain) <= limit else f"{plain[:limit]}..."


def brief(value: object) -> str:
    """A value out of a foreign file for a sentence. Nested ones by type alone: writing them out can take for ever."""
    if type(value) in (tuple, list) and len(value) <= 2 * MAX_SHOWN:  # type: ignore[arg-type]
        parts = [brief(each) if type(each) is int else "..." for each in value]  # type: ignore[attr-defined]
        return f"({', '.join(parts[:MAX_SHOWN])})"
    return shown(value) if type(value) in (str, int, float, bool) else f"a {type(value).__name__}"


def out_of_memory(error: Exception) -> bool:
    """Whether PyTorch says that memory is used up; its allocator has no exception of its own."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)
