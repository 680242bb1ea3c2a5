"""What killed work and deleted jobs leave behind is removed: half files, folders, workflows. And room is kept.

Where the disk is full, not even "the disk is full" can be written to the list of jobs. So a worker keeps a file that
holds nothing but room, and lets go of it when there is hardly any left: the jobs can then say why they ended.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from photos.files import TEMPORARY, make_folder
from pipelines.jobs.database import shared
from pipelines.jobs.ledger import Ledger, work_folder
from pipelines.jobs.rows import OPEN

MARGIN = 8_000_000  # bytes: with less than that free no chunk is begun
RESERVE = 2_000_000


def sweep(ledger: Ledger) -> None:
    """At a worker's start. Where others may be at work, the folders of running jobs are left to their ends."""
    root = work_folder(ledger.settings.data)
    folders = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    known = ledger.known()  # after the folders: a job is known before it has one
    for folder in folders:
        state, _ = known.get(folder.name, (None, 0))
        if state is None:
            shutil.rmtree(folder, ignore_errors=True)
        elif state != "running" or not shared(ledger.settings):
            sweep_folder(folder)


def sweep_folder(folder: Path) -> None:
    """Remove the half files of one job; nobody may be writing there.

    They are hidden, as `photos.files` names them: a finished chunk may well be called a part.
    """
    for path in folder.rglob(f".*{TEMPORARY}"):
        if path.is_file():
            path.unlink(missing_ok=True)


def drop_ended(ledger: Ledger) -> None:
    """Forget the workflows of jobs that are over: their rows say all that is needed, and the queue stays small."""
    flows = ledger.client.list_workflows(load_input=False, load_output=False)
    begun = {flow.workflow_id.partition(".")[0] for flow in flows}
    known = ledger.known()
    ledger.drop_flows([job_id for job_id in begun if known.get(job_id, ("", 0))[0] not in OPEN])


def room(data: Path) -> bool:
    """Whether there is room to work. If not, what was kept in reserve is let go, to be able to say so."""
    reserve, free = data / "jobs" / "reserve", shutil.disk_usage(make_folder(data / "jobs")).free
    if free < MARGIN:
        reserve.unlink(missing_ok=True)
    elif free > 2 * MARGIN and not reserve.exists():
        with contextlib.suppress(OSError):
            reserve.write_bytes(bytes(RESERVE))
    return free >= MARGIN
