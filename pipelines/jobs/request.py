"""What jobs are asked for comes from pages, commands and stored rows: it is checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.errors import InputError


def given_path(given: Any, what: str) -> Path:
    """An absolute path out of a request. Raises InputError, one sentence, where there is none."""
    if not isinstance(given, str | Path) or not str(given).strip() or "\0" in str(given):
        raise InputError(f"Give {what}.")
    return Path(given).expanduser().absolute()


def only_known(request: Mapping[str, Any], *names: str) -> None:
    """Raises InputError for a request that holds anything else: a misspelt option would be left out silently."""
    for name in request:
        if name not in names:
            raise InputError(f"This kind of job knows no {name!r}; it takes {', '.join(names)}.")
