"""Threads of encoders keep to the others' pace."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path


def calm_threads() -> None:
    """Take real-time priority from all threads of this process.

    The encoder of AV1 gives itself and its caller the highest one where it may (as root, in containers above all), and
    processes that are started later inherit it: everything else on the machine would stand still.
    """
    if sys.platform != "linux":
        return
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended meanwhile
            if os.sched_getscheduler(int(task.name)) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(int(task.name), os.SCHED_OTHER, os.sched_param(0))
