"""The same pictures under several methods, at the same number of trained weights: figures and a grid of pictures.

For each method and seed an adapter is trained on four fifths of the pictures and draws their captions. *distance*:
kernel distance (see `models.realism`) of these drawings to the pictures held out, or to all where they are few;
*likeness*: mean cosine of the drawings' features and the pictures', which a method can win by copying; *drift*: mean
perceptual distance, on unrelated prompts, between what the adapted and the bare model draw from the same seed. A method
that learns faster drifts farther, so distances are also told at one drift, along each adapter's weight.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image

from models.errors import InputError
from pipelines.events import CancelToken, Eta, Event
from pipelines.finetune.comparison import Comparison, Row, draw_grid, keep, kept
from pipelines.finetune.finetuner import Finetuned, Finetuner
from pipelines.finetune.folder import TrainingPicture, read_folder
from pipelines.finetune.methods import METHODS
from pipelines.finetune.settings import FinetuneSettings
from pipelines.finetune.yardstick import Yardstick, yardstick

UNRELATED = (
    "a photo of a 25 year old woman, long black hair, smiling, grey background",
    "portrait of a 70 year old man, short white hair, full beard, dark background",
    "a 10 year old boy, short blond hair, bright background",
    "a young african woman, afro black hair, dark skin, green background",
)
"""Prompts for drift, in the embedded model's words; `unrelated` gives others for other models."""
BARE = "The bare model"
WEIGHTS = (0.5, 1.0, 1.5)
"""Weights of an adapter at which it is measured; 1 is as trained."""


def compare(
    tuner: Finetuner,
    folder: str | Path,
    settings: FinetuneSettings,
    methods: Sequence[str],
    seeds: Sequence[int],
    work: Path,
    strengths: Sequence[str] = (),
    drawn: int = 16,
    steps: int = 20,
    unrelated: Sequence[str] = UNRELATED,
    cancel: CancelToken | None = None,
    person: str = "",
) -> Iterator[Event]:
    """Train and measure each method at each strength from each seed.

    strengths: without any, that of the settings. work: a folder that keeps finished rows and the state of the training
    that goes on, so that the same comparison goes on after a stop. drawn: pictures a figure, half as many of unrelated
    prompts; steps: of each drawing. person: see `Finetuner.run`. Events: "check" (value: TrainingFolder); "compare" a
    training (value: Comparison so far), between them those of the trainings; "done" with the Comparison. Raises
    InputError for unknown methods or pictures that can't be used.
    """
    cancel = cancel or CancelToken()
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or not seeds:
        raise InputError(f"There is no method {unknown[0]!r}." if unknown else "Name the methods and seeds to compare.")
    work.mkdir(parents=True, exist_ok=True)
    pictures = read_folder(folder, settings.phrase)
    yield Event("check", f"{len(pictures.pictures)} pictures to learn from", 1, 1, value=pictures)
    bench = yardstick(tuner, pictures, settings, drawn, steps, unrelated, cancel)
    learnt = _copies(bench.learning, work / "pictures")
    rows: list[Row] = []
    drawings: dict[str, list[Image.Image]] = {BARE: bench.shown}
    plan = [
        (strength, method, seed)
        for seed in seeds  # the outermost, so that a comparison cut short has seen all methods alike
        for strength in strengths or [settings.strength]
        for method in methods
    ]
    eta = Eta()
    for number, (strength, method, seed) in enumerate(plan):
        name = f"{method}-{strength}-{seed}"
        changed = {"method": method, "strength": strength, "seed": seed, "sample_every": 0}
        asked = settings.model_copy(update=changed)
        key = bench.key(asked)
        row, shown = kept(work / name, key)
        if row is None:
            for event in _train(tuner, bench, learnt, asked, work / name, cancel, person):
                if event.stage == "row":
                    row, shown = event.value
                else:
                    yield event
        assert row is not None
        rows.append(row)
        drawings.setdefault(f"{METHODS[method].title}, {strength}", shown)
        found = Comparison(tuple(rows), draw_grid(drawings, [bench.captions[0], *bench.unrelated[:1]]))
        left = eta.update(number + 1, len(plan))
        yield Event("compare", f"{METHODS[method].title} is measured", number + 1, len(plan), left, value=found)
    shutil.rmtree(learnt, ignore_errors=True)  # copies of somebody's pictures
    yield Event("done", "The comparison is done", 1, 1, 0.0, value=found)


def _train(
    tuner: Finetuner, bench: Yardstick, learnt: Path, asked: FinetuneSettings, place: Path, cancel: CancelToken,
    person: str,
) -> Iterator[Event]:  # fmt: skip
    """One training and its figures, kept in `place`; the last event "row" has (Row, pictures)."""
    done: Finetuned | None = None
    device, title = tuner.runtime.device, METHODS[asked.method].title
    began, before = time.monotonic(), _memory(device)
    for event in tuner.run(learnt, asked, title, place / "adapter", cancel, person, bench.key(asked), place / "state"):
        if event.stage == "done":
            done = event.value
            continue  # the training's end is not the comparison's
        value = event.value if event.stage == "train" else None
        yield Event(event.stage, f"{title}: {event.message}", event.done, event.total, event.seconds_left, value=value)
    assert done is not None
    seconds, memory = time.monotonic() - began, _peak(device, before)
    measured = {weight: bench.figures(done.path, cancel, weight) for weight in WEIGHTS}
    told, shown = measured[1.0]
    curve = ((0.0, bench.start), *((m["drift"], m["distance"]) for m, _ in measured.values()))
    row = Row(
        asked.method, asked.strength, asked.seed, told["distance"], told["likeness"], told["drift"],
        done.card["loss"][1], seconds, memory, done.card["bytes"], done.card["weights"], curve,
    )  # fmt: skip
    keep(place, row, shown, bench.key(asked))
    yield Event("row", f"{title} is measured", 1, 1, value=(row, shown))


def _copies(pictures: Sequence[TrainingPicture], place: Path) -> Path:
    """The pictures with their captions, in a folder of their own."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        shutil.copyfile(picture.path, place / f"{i:05d}{picture.path.suffix}")
        (place / f"{i:05d}.txt").write_text(picture.caption, encoding="utf-8")
    return place


def _memory(device: torch.device) -> int | None:
    """Bytes that the device holds now; None where that is not told apart from what was held and freed."""
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else None


def _peak(device: torch.device, before: int | None) -> int | None:
    """Bytes at the largest since the last call, above `before`."""
    if before is None:
        return None
    most = int(torch.cuda.max_memory_allocated(device))
    torch.cuda.reset_peak_memory_stats(device)
    return most - before
