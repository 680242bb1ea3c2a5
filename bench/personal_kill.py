"""A training killed at random moments ends with the weights of one that was left alone.

    python -m bench.personal_kill --photos FOLDER --kills 20 --steps 60

FOLDER holds one person's photos. They are imported twice; one training runs through, the other is killed (SIGKILL)
again and again, anywhere from its start on, and then let to its end.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent


def app(data: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "app.py"), *arguments, "--data", str(data)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def reached(data: Path) -> int:
    """The step that is on the disk."""
    found = next(data.glob("people/*/training/progress.json"), None)
    return int(json.loads(found.read_text())["step"]) if found else 0


def equal(one: Path, other: Path) -> bool:
    """Whether both have learnt the same numbers, to the bit."""
    for name in ("adapter.safetensors", "generator.safetensors"):
        first, second = (load_file(next(data.glob(f"people/*/model/{name}"))) for data in (one, other))
        if first.keys() != second.keys() or any(not first[key].equal(second[key]) for key in first):
            return False
    return True


def main(
    photos: Annotated[Path, typer.Option(help="One person's photos.")],
    kills: int = 20,
    steps: int = 60,
    longest: Annotated[float, typer.Option(help="Seconds that a training may live before it is killed.")] = 40.0,
) -> None:
    """Measure."""
    learn = ("personalize", "Ada", "--steps", str(steps))
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder, "whole"), Path(folder, "cut")
        for data in (whole, cut):
            assert app(data, "photos", "import", str(photos), "--person", "Ada").wait() == 0
        assert app(whole, *learn).wait() == 0
        moments: list[int] = []
        seed = random.Random(0)
        while len(moments) < kills:
            process = app(cut, *learn)
            time.sleep(seed.uniform(0.5, longest))
            if process.poll() is not None:
                break
            process.kill()
            process.wait()
            moments.append(reached(cut))
        assert app(cut, *learn).wait() == 0
        print(json.dumps({"kills": len(moments), "steps_on_disk_after_each": moments, "equal": equal(whole, cut)}))


if __name__ == "__main__":
    typer.run(main)
