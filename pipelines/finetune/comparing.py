"""The same pictures under several methods, at the same number of trained weights: figures and a grid of pictures.

For each method and seed an adapter is trained on four fifths of the pictures and draws their captions. *distance*:
kernel distance (see `models.realism`) of these drawings to the pictures held out, or to all where they are few;
*likeness*: mean cosine of the drawings' features and the pictures', which a method can win by copying; *drift*: mean
perceptual distance, on unrelated prompts, between what the adapted and the bare model draw from the same seed. A method
that learns faster drifts farther, so distances are also told at one drift, along each adapter's weight.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from models.errors import InputError
from models.images import to_tensor
from models.perceptual import PerceptualLoss
from models.realism import kernel_distance, picture_features
from photos.opening import open_photo
from pipelines.events import CancelToken, Event
from pipelines.finetune.buckets import crop_to
from pipelines.finetune.comparison import Comparison, Row, draw_grid, keep, kept
from pipelines.finetune.finetuner import Finetuned, Finetuner
from pipelines.finetune.folder import TrainingPicture, read_folder
from pipelines.finetune.methods import METHODS
from pipelines.finetune.settings import FinetuneSettings
from pipelines.generate.generator import ImageGenerator
from pipelines.generate.settings import AdapterUse, GenerateSettings, GuidanceSettings

UNRELATED = (
    "a photo of a 25 year old woman, long black hair, smiling, grey background",
    "portrait of a 70 year old man, short white hair, full beard, dark background",
    "a 10 year old boy, short blond hair, bright background",
    "a young african woman, afro black hair, dark skin, green background",
)
"""Prompts for drift, in the embedded model's words; `unrelated` gives others for other models."""
HELD_OUT = 5
"""One of so many pictures is held out."""
LEAST_HELD = 8
WEIGHTS = (0.5, 1.0, 1.5)
"""Weights of an adapter at which it is measured; 1 is as trained."""
LEAST_SIDE = 64
PROMPTS = 8
"""Captions that are drawn, spread over all there are: pictures of one prompt are drawn side by side."""


@dataclass
class _Bench:
    """What every training is held against."""

    generator: ImageGenerator
    net: PerceptualLoss
    settings: FinetuneSettings
    captions: list[str]
    target: Tensor
    held: Tensor
    unrelated: Sequence[str]
    bare: list[Tensor]
    drawn: int
    steps: int
    guidance: GuidanceSettings
    start: float = 0.0  # distance of the bare model

    def draw(
        self, prompts: Sequence[str], count: int, adapter: Path | None, cancel: CancelToken, weight: float = 1.0
    ) -> list[Image.Image]:
        """`count` pictures of the prompts in turn, each from its own seed, the same at every call."""
        made: list[Image.Image] = []
        uses = (AdapterUse(where=str(adapter), weight=weight),) if adapter is not None else ()
        for place, prompt in enumerate(prompts):
            share = len(range(place, count, len(prompts)))
            if not share:
                continue
            asked = GenerateSettings(
                prompt=prompt, model=self.settings.model, seed=1000 * place, count=share, steps=self.steps,
                guidance=self.guidance, adapters=uses,
            )  # fmt: skip
            for event in self.generator.run(asked, cancel=cancel, previews=False):
                if event.stage == "done":
                    made += [one.image for one in event.value.pictures]
                    # A limit that was measured on the bare model's first picture holds for all: none has it easier.
                    self.guidance = event.value.pictures[0].settings.guidance
        return made

    def features(self, images: Sequence[Image.Image]) -> Tensor:
        return torch.cat([picture_features(self.net, _seen(image)) for image in images])

    def figures(
        self, adapter: Path, cancel: CancelToken, weight: float = 1.0
    ) -> tuple[dict[str, float], list[Image.Image]]:
        """distance, likeness and drift, and the pictures for the grid."""
        drawn = self.draw(self.captions, self.drawn, adapter, cancel, weight)
        features = self.features(drawn)
        others = self.draw(self.unrelated, len(self.bare), adapter, cancel, weight)
        gaps = [float(self.net(_seen(new), old)) for new, old in zip(others, self.bare, strict=True)]
        return {
            "distance": kernel_distance(features, self.held),
            "likeness": float((features @ self.target.T).mean()),
            "drift": statistics.mean(gaps),
        }, [*drawn[:2], *others[:2]]


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
) -> Iterator[Event]:
    """Train and measure each method at each strength from each seed.

    strengths: without any, that of the settings. work: a folder that keeps finished rows, so that the same comparison
    goes on after a stop. drawn: pictures a figure, half as many of unrelated prompts; steps: of each drawing. Events:
    "compare" a training (value: Comparison so far), between them those of the trainings; "done" with the Comparison.
    Raises InputError for unknown methods or pictures that can't be used.
    """
    cancel = cancel or CancelToken()
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods or not seeds:
        raise InputError(f"There is no method {unknown[0]!r}." if unknown else "Name the methods and seeds to compare.")
    work.mkdir(parents=True, exist_ok=True)
    bench, learnt = _prepare(tuner, folder, settings, work, (drawn, steps), unrelated, cancel)
    rows: list[Row] = []
    pictures: dict[str, list[Image.Image]] = {"bare": bench.draw(bench.captions, 2, None, cancel)}
    pictures["bare"] += bench.draw(bench.unrelated, 2, None, cancel)
    plan = [
        (strength, method, seed)
        for seed in seeds  # the outermost, so that a comparison cut short has seen all methods alike
        for strength in strengths or [settings.strength]
        for method in methods
    ]
    for number, (strength, method, seed) in enumerate(plan):
        name = f"{method}-{strength}-{seed}"
        changed = {"method": method, "strength": strength, "seed": seed, "sample_every": 0}
        asked = settings.model_copy(update=changed)
        row, shown = kept(work / name)
        if row is None:
            for event in _train(tuner, bench, learnt, asked, work / name, cancel):
                if event.stage == "row":
                    row, shown = event.value
                else:
                    yield event
        assert row is not None
        rows.append(row)
        pictures.setdefault(f"{METHODS[method].title}, {strength}", shown)
        found = Comparison(tuple(rows), draw_grid(pictures, [bench.captions[0], *bench.unrelated[:1]]))
        yield Event("compare", f"{METHODS[method].title} is measured", number + 1, len(plan), value=found)
    yield Event("done", "The comparison is done", 1, 1, 0.0, value=found)


def _train(
    tuner: Finetuner, bench: _Bench, learnt: Path, asked: FinetuneSettings, place: Path, cancel: CancelToken
) -> Iterator[Event]:
    """One training and its figures, kept in `place`; the last event "row" has (Row, pictures)."""
    done: Finetuned | None = None
    device, title = tuner.runtime.device, METHODS[asked.method].title
    began, before = time.monotonic(), _memory(device)
    for event in tuner.run(learnt, asked, out=place / "adapter", cancel=cancel):
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
    keep(place, row, shown)
    yield Event("row", f"{title} is measured", 1, 1, value=(row, shown))


def _prepare(
    tuner: Finetuner, folder: str | Path, settings: FinetuneSettings, work: Path, plan: tuple[int, int],
    unrelated: Sequence[str], cancel: CancelToken,
) -> tuple[_Bench, Path]:  # fmt: skip
    """What is measured against, and the folder of the pictures that are learned from. plan: drawings, their steps."""
    from models.perceptual import load_perceptual

    generator = ImageGenerator(tuner.runtime, tuner.data)
    guidance = generator.models.choice(settings.model).guidance()
    found = read_folder(folder, settings.phrase)
    held = [p for i, p in enumerate(found.pictures) if i % HELD_OUT == HELD_OUT - 1]
    few = len(held) < LEAST_HELD
    learning = [p for p in found.pictures if few or p not in held]
    learnt = _copies(learning, work / "pictures")
    net = load_perceptual(tuner.runtime.device)
    captions = list(dict.fromkeys(p.caption for p in found.pictures))
    captions = captions[:: -(-len(captions) // PROMPTS)]
    bench = _Bench(generator, net, settings, captions, torch.empty(0), torch.empty(0), unrelated, [], *plan, guidance)
    bench.bare = [_seen(image) for image in bench.draw(unrelated, max(plan[0] // 2, len(unrelated)), None, cancel)]
    side = bench.bare[0].shape[-1]
    bench.target = bench.features([_square(p, side) for p in learning])
    bench.held = bench.target if few else bench.features([_square(p, side) for p in held])
    bench.start = kernel_distance(bench.features(bench.draw(captions, plan[0], None, cancel)), bench.held)
    return bench, learnt


def _copies(pictures: Sequence[TrainingPicture], place: Path) -> Path:
    """The pictures with their captions, in a folder of their own."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        shutil.copyfile(picture.path, place / f"{i:05d}{picture.path.suffix}")
        (place / f"{i:05d}.txt").write_text(picture.caption, encoding="utf-8")
    return place


def _square(picture: TrainingPicture, side: int) -> Image.Image:
    image = open_photo(picture.path).image
    return crop_to(image.size, (side, side)).apply(image)


def _seen(image: Image.Image) -> Tensor:
    """(1, 3, H, W) as the perceptual network takes it: tiny pictures are enlarged."""
    times = -(-LEAST_SIDE // min(image.size))
    return to_tensor(image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC))


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
