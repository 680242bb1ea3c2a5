"""A folder of rendered people that can be left and gone on with: what is wanted, what is there, and the rest."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.errors import InputError
from training.heads.people import draw_person, draw_view
from training.heads.render import Heads

FORMATS = ("webp", "png")


@dataclass(frozen=True)
class Job:
    """One picture: the file's name, the person, the age in years, the photo situation."""

    file: str
    seed: int
    age: float
    view_seed: int


def numbers(text: str) -> list[int]:
    """ "0:100" (end left out), "3,5,8" or "10,20,...,90" as whole numbers. InputError for anything else."""
    try:
        if ":" in text:
            first, end = text.split(":")
            return list(range(int(first), int(end)))
        parts = [part.strip() for part in text.split(",")]
        if "..." not in parts:
            return [int(part) for part in parts]
        at = parts.index("...")
        before, last = [int(part) for part in parts[:at]], int(parts[at + 1])
        step = before[-1] - before[-2]
        if step <= 0 or len(parts) != at + 2:
            raise ValueError(text)
        return before + list(range(before[-1] + step, last + 1, step))
    except (ValueError, IndexError):
        raise InputError(f"{text!r} is no list of whole numbers: give 0:100, 3,5,8 or 10,20,...,90.") from None


def plan(people: list[int], ages: list[int], views: int, same_view: bool, ending: str) -> list[Job]:
    """All pictures, person by person. `same_view` keeps a person's photo situations over the ages."""
    return [
        Job(f"{seed}_{age}_{view}.{ending}", seed, float(age), _view_seed(seed, None if same_view else age, view))
        for seed in people
        for view in range(views)
        for age in ages
    ]


def _view_seed(person: int, age: int | None, view: int) -> int:
    """One seed of 31 bits; without an age, the same at all ages."""
    mixed = (person, 3, view) if age is None else (person, 2, age, view)
    return int(np.random.SeedSequence(mixed).generate_state(1)[0] >> 1)


def missing(out: Path, jobs: list[Job]) -> list[Job]:
    """The jobs without picture or line. A last line that was cut off is taken out of `meta.jsonl`."""
    lines = out / "meta.jsonl"
    done, whole = set(), []
    for line in lines.read_text().splitlines() if lines.exists() else []:
        try:
            done.add(json.loads(line)["file"])
            whole.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    if lines.exists():
        _write(lines, "".join(f"{line}\n" for line in whole).encode())
    return [job for job in jobs if job.file not in done or not (out / job.file).exists()]


def _write(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def render_album(
    heads: Heads, out: Path, jobs: list[Job], *, size: int, supersample: int, batch: int, calm: bool, quality: int
) -> Iterator[int]:
    """Render the jobs and yield how many are done after each batch. A picture comes before its line in `meta.jsonl`."""
    out.mkdir(parents=True, exist_ok=True)
    rest, done = iter(jobs), 0
    with (out / "meta.jsonl").open("a") as lines:
        while some := list(islice(rest, batch)):
            people = [draw_person(job.seed) for job in some]
            views = [draw_view(job.view_seed, calm) for job in some]
            pictures, metas = heads.render(people, [job.age for job in some], views, size, supersample)
            for job, picture, meta in zip(some, pictures.cpu().numpy(), metas, strict=True):
                _save(out / job.file, picture, quality)
                lines.write(json.dumps({"file": job.file, **meta}) + "\n")
            lines.flush()
            done += len(some)
            yield done


def _save(path: Path, picture: np.ndarray[Any, Any], quality: int) -> None:
    part = path.with_name(path.name + ".part")
    Image.fromarray(picture).save(part, format=path.suffix[1:].upper(), quality=quality, method=4)
    part.replace(path)
