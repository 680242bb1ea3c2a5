"""An import that is killed, again and again: nothing is lost, nothing doubled, no file left over."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from sqlmodel import select

from photos.library import Library
from photos.library.tables import Face, Source
from tests.fake_faces import picture, run_import

ROOT = Path(__file__).resolve().parent.parent
NUMBER, KILLS = 50, 4


def import_and_kill(data: Path, folder: Path, after: int, wait: float) -> bool:
    """Import in a process of its own, and kill it after so many photos; whether it came to its end before."""
    command = [sys.executable, "-m", "tests.fake_faces", str(data), str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            after -= line.startswith("Photo ")
            if after < 0:
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
                return False
    return process.returncode == 0


def test_killed_at_many_moments_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Afterwards the collection is what an undisturbed import makes."""
    folder, data, dice = tmp_path / "many", tmp_path / "data", random.Random(3)
    folder.mkdir()
    for seed in range(NUMBER):
        picture(seed).save(folder / f"{seed:03d}.png")
    for _ in range(KILLS):
        # Known photos are passed in no time, so that each round gets further.
        assert not import_and_kill(data, folder, dice.randint(8, 12), dice.random() * 0.02)
    before = Library(data).count()
    assert 0 < before < NUMBER
    assert import_and_kill(data, folder, NUMBER, 0)
    library = Library(data)
    with library.session(write=False) as session:
        faces, sources = session.exec(select(Face)).all(), session.exec(select(Source)).all()
    assert library.count() == NUMBER == len(faces) == len(sources)
    assert {face.crop for face in faces} == {path.name for path in library.store.crops.iterdir()}
    assert list(library.store.files.iterdir()) == [] and library.check() == []
    report = run_import(library, folder)
    assert (report.added, report.known) == (0, NUMBER)
    whole = Library(tmp_path / "undisturbed")
    run_import(whole, folder)
    assert {view.sha256 for view in library.photos()} == {view.sha256 for view in whole.photos()}
