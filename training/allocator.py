"""Memory that a loop frees and needs again at its next step, kept by the process."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_MOST = 1 << 30


def keep_freed_memory() -> bool:
    """Have the C library keep what is freed, for processes that do nothing else; False where it has no such switch.

    glibc takes tensors above 32 MiB from the system one by one and gives them back, and the system clears each page
    again: a quarter of a render's time on a CPU, and a tenth of a training step's. The process then stays as large as
    it once was.
    """
    try:
        change = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return False
    return bool(change(_MMAP_THRESHOLD, _MOST)) and bool(change(_TRIM_THRESHOLD, 2 * _MOST - 1))
