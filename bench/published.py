"""A SAM model of the published size, end to end on this machine: adding the file, then aging a photo. Time and memory.

    python -m bench.published --photo PHOTO --out docs/published

The checkpoint has the published layout and random weights, so the picture means nothing; time and memory do. Each line
is a whole process: `python app.py ...`. Writes OUT.json.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from models.aging import AgeEncoder
from models.foreign.names import to_rosinality
from models.stylegan2 import Generator

ROOT = Path(__file__).resolve().parent.parent
GIB = 1024**3


def write_checkpoint(path: Path) -> None:
    """A file as SAM's training writes it: 1413 tensors in three networks, `latent_avg`, `opts`."""
    torch.manual_seed(0)
    decoder = Generator()
    state: dict[str, torch.Tensor] = {}
    for name, network in (("encoder", AgeEncoder(4)), ("pretrained_encoder", AgeEncoder(3))):
        state |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
    state |= {f"decoder.{key}": value for key, value in to_rosinality(decoder.state_dict()).items()}
    options = {"output_size": 1024, "input_nc": 4, "start_from_encoded_w_plus": True, "start_from_latent_avg": False}
    torch.save({"state_dict": state, "latent_avg": torch.zeros(18, 512), "opts": options}, path)


def measure(*arguments: str) -> dict[str, Any]:
    """Seconds and peak memory (GiB, of the process and of those it started, each by itself) of one command."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), *arguments, "--json"], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} ended with status {status}.")
    return {
        "command": " ".join(arguments[:2]),
        "seconds": round(time.monotonic() - began, 1),
        "peak_gib": round(usage.ru_maxrss * 1024 / GIB, 2),
        "result": json.loads(lines[-1]),
    }


def main(
    photo: Annotated[Path, typer.Option(help="The photo to age.")],
    out: Annotated[Path, typer.Option(help="Where the figures go, without suffix.")],
) -> None:
    """Make the file, add it, age a photo with it: the first time, officially, and to five ages."""
    with tempfile.TemporaryDirectory() as folder:
        data, file = Path(folder) / "data", Path(folder) / "sam_ffhq_aging.pt"
        maker = multiprocessing.get_context("spawn").Process(target=write_checkpoint, args=(file,))
        maker.start()
        maker.join()
        size = file.stat().st_size
        rows = {"add": measure("models", "add", str(file), "--id", "bench-sam", "--data", str(data))}
        file.unlink()
        aging = ["age", str(photo), "--model", "bench-sam", "--data", str(data), "--out", str(Path(folder) / "o.png")]
        rows["age"] = measure(*aging, "--to", "70")
        rows["official"] = measure(*aging, "--to", "70", "--official")
        rows["strip_of_5"] = measure(*aging, "--strip", "10,30,50,70,90")
    figures = {
        name: {key: row[key] for key in ("seconds", "peak_gib")} | {"inside_s": row["result"].get("seconds")}
        for name, row in rows.items()
    }
    report = {"file_bytes": size, "threads": torch.get_num_threads(), **figures}
    out.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    typer.echo(json.dumps(report))


if __name__ == "__main__":
    typer.run(main)
