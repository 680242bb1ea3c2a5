"""A real video, aged by the real command, killed at random moments: is anything lost, and is the result the same?

    python -m bench.video_kill --clip CLIP.mp4 --kills 20 --out docs/video_kill.json

Each time the same command is started again in the same data folder; SIGKILL goes to its whole process group. A finished
part of the result must never be written again, and the frames of the last result must be those of an undisturbed run.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import av
import typer

from photos.files import TEMPORARY

ROOT = Path(__file__).resolve().parent.parent


def start(clip: Path, steps: int, folder: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own."""
    given = ["--to", "70", "--steps", str(steps), "--out", str(folder / "old.mp4"), "--data", str(folder / "data")]
    return subprocess.Popen(
        [sys.executable, "app.py", "video", str(clip), *given],
        cwd=ROOT,
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )


def frames(path: Path) -> list[str]:
    """A digest of each frame's planes."""
    with av.open(str(path)) as source:
        return [hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest() for frame in source.decode(video=0)]


def parts(folder: Path) -> dict[str, int]:
    """When each finished part and each learnt shot was written."""
    found = [*folder.glob("data/jobs/work/*/frames-*.part"), *folder.glob("data/jobs/work/*/tune-*.safetensors")]
    return {path.name: path.stat().st_mtime_ns for path in found}


def main(
    clip: Annotated[Path, typer.Option(exists=True, dir_okay=False)],
    kills: int = 20,
    steps: Annotated[int, typer.Option(help="Tuning steps of a shot; few make it quick.")] = 0,
    seed: int = 0,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Measure."""
    dice, clip = random.Random(seed), clip.absolute()
    with tempfile.TemporaryDirectory() as plain, tempfile.TemporaryDirectory() as killed:
        began = time.monotonic()
        assert start(clip, steps, Path(plain)).wait() == 0
        whole, folder, done, again, kept = time.monotonic() - began, Path(killed), 0, 0, dict[str, int]()
        while True:
            process = start(clip, steps, folder)
            try:
                process.wait(None if done >= kills else dice.uniform(0, 2.2 * whole / max(kills, 1) + 8))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                done += 1
            now = parts(folder)
            again += sum(now.get(name, written) != written for name, written in kept.items())
            kept = now
            if process.returncode == 0:
                break
        with sqlite3.connect(folder / "data" / "jobs" / "jobs.sqlite") as database:
            integrity = database.execute("PRAGMA integrity_check").fetchone()[0]
        facts = {
            "frames": len(frames(folder / "old.mp4")),
            "kills": done,
            "parts_written_again": again,
            "equal": frames(folder / "old.mp4") == frames(Path(plain) / "old.mp4"),
            "integrity": integrity,
            "orphans": [path.name for path in folder.rglob(f".*{TEMPORARY}")],
            "undisturbed_s": round(whole),
            "seconds": round(time.monotonic() - began),
        }
    if out is not None:
        out.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


if __name__ == "__main__":
    typer.run(main)
