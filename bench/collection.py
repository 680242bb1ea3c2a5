"""Importing thousands of photos, killed in the middle: time, memory, and whether anything is lost or doubled.

    python -m bench.collection --out docs/collection.json --photos 5000 FOLDER [FOLDER ...]

Copies the photos into one folder, imports it in a process of its own, kills that process (SIGKILL) half way, imports
again to the end, and then once more.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer

SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")
PERSON = "Everybody"


def worker(data: Path, photos: Path) -> None:
    """Import `photos`; a line of JSON for each photo, and one with the report at the end."""
    from datetime import UTC, datetime

    from photos.library import Library
    from photos.library.reading import FaceNets
    from photos.library.tables import Person

    library = Library(data)
    with library.session() as session:
        if library.database.check() == [] and not session.get(Person, 1):
            session.add(Person(name=PERSON, key=PERSON.casefold(), folder="0" * 32, created=datetime.now(UTC)))
    library.give_consent(PERSON)
    nets = FaceNets.load()
    for step in library.import_photos([photos], nets, person=PERSON):
        line: dict[str, Any] = {"done": step.done, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
        if step.value:
            line |= {name: getattr(step.value, name) for name in ("added", "known", "refused", "faces", "seconds")}
        print(json.dumps(line), flush=True)


def start(data: Path, photos: Path) -> subprocess.Popen[str]:
    """The worker as a process of its own."""
    command = [sys.executable, "-m", "bench.collection", "--worker", str(data), str(photos)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def follow(process: subprocess.Popen[str], kill_at: int | None = None) -> dict[str, Any]:
    """The worker's last line; it is killed when it has done `kill_at` photos."""
    assert process.stdout is not None
    began, last = time.monotonic(), {}
    for line in process.stdout:
        last = json.loads(line)
        if kill_at is not None and last["done"] >= kill_at:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.wait()
    return last | {"wall": round(time.monotonic() - began, 1)}


def gather(folders: list[Path], number: int, target: Path) -> int:
    """Copy so many photos, chosen with a fixed seed, into one folder; returns how many differ."""
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = random.Random(0).sample(found, min(number, len(found)))
    digests = set()
    for index, path in enumerate(chosen):
        shutil.copyfile(path, target / f"{index:05d}{path.suffix}")
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    return len(digests)


def state(data: Path) -> dict[str, Any]:
    """What the collection holds, and whether rows and files agree."""
    from sqlmodel import func, select

    from photos.library import Library
    from photos.library.tables import Embedding, Face, Photo, Source

    library = Library(data)
    with library.session(write=False) as session:
        counts = {
            table.__name__.lower(): session.exec(select(func.count()).select_from(table)).one()
            for table in (Photo, Source, Face, Embedding)
        }
        crops = set(session.exec(select(Face.crop)).all())
    on_disk = {path.name for path in library.store.crops.iterdir()}
    size = sum(path.stat().st_size for path in (data / "people").rglob("*") if path.is_file())
    return counts | {"orphans": len(on_disk - crops), "problems": library.check(), "disk_mb": round(size / 1e6, 1)}


def main(
    folders: list[Path],
    photos: Annotated[int, typer.Option(help="How many.")] = 5000,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        source, data = Path(temporary) / "photos", Path(temporary) / "data"
        source.mkdir()
        different = gather(folders, photos, source)
        facts: dict[str, Any] = {"files": len(list(source.iterdir())), "different": different}
        facts["killed"] = follow(start(data, source), kill_at=facts["files"] // 2)
        facts["after_kill"] = state(data)
        facts["resumed"] = follow(start(data, source))
        facts["second_pass"] = follow(start(data, source))
        facts["state"] = state(data)
    text = json.dumps(facts, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        typer.run(main)
