"""What trainings on the same pictures are held against: the pictures themselves, and what the bare model draws."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from models.images import to_tensor
from models.perceptual import PerceptualLoss
from models.realism import kernel_distance, picture_features
from photos.opening import open_photo
from pipelines.events import CancelToken
from pipelines.finetune.buckets import crop_to
from pipelines.finetune.finetuner import Finetuner
from pipelines.finetune.folder import TrainingFolder, TrainingPicture
from pipelines.finetune.settings import FinetuneSettings
from pipelines.finetune.stored import training_key
from pipelines.generate.generator import ImageGenerator
from pipelines.generate.settings import AdapterUse, GenerateSettings, GuidanceSettings

HELD_OUT = 5
"""One of so many pictures is held out."""
LEAST_HELD = 8
LEAST_SIDE = 64
PROMPTS = 8
"""Captions that are drawn, spread over all there are: pictures of one prompt are drawn side by side."""


@dataclass
class Yardstick:
    """learning: the pictures to learn from; target, held: features of these and of those to be measured against."""

    generator: ImageGenerator
    net: PerceptualLoss
    settings: FinetuneSettings
    learning: Sequence[TrainingPicture]
    captions: list[str]
    target: Tensor
    held: Tensor
    unrelated: Sequence[str]
    bare: list[Tensor]
    drawn: int
    steps: int
    guidance: GuidanceSettings
    start: float = 0.0  # distance of the bare model
    shown: list[Image.Image] = field(default_factory=list)  # its first drawings, as `figures` gives an adapter's

    def draw(
        self, prompts: Sequence[str], count: int, adapter: Path | None, cancel: CancelToken, weight: float = 1.0
    ) -> list[Image.Image]:
        """`count` pictures of the prompts in turn, each from its own seed, the same at every call."""
        made: list[Image.Image] = []
        uses = (AdapterUse(where=str(adapter), weight=weight),) if adapter is not None else ()
        base = GenerateSettings(model=self.settings.model, steps=self.steps, guidance=self.guidance, adapters=uses)
        with self.generator.open(base) as opened:
            for place, prompt in enumerate(prompts):
                share = len(range(place, count, len(prompts)))
                if not share:
                    continue
                changed = {"prompt": prompt, "seed": 1000 * place, "count": share, "guidance": self.guidance}
                asked = GenerateSettings.model_validate(dict(base) | changed)
                for event in self.generator.run(asked, cancel=cancel, previews=False, opened=opened):
                    if event.stage == "done":
                        made += [one.image for one in event.value.pictures]
                        # A limit measured on the bare model's first picture holds for all: none has it easier.
                        self.guidance = event.value.pictures[0].settings.guidance
        return made

    def key(self, asked: FinetuneSettings) -> str:
        """A row is the same one if its training and its drawings are; its adapter's card has the key, too."""
        return f"{training_key(asked, self.learning)}-{self.drawn}-{self.steps}"

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
        }, _first(drawn, others)


def yardstick(
    tuner: Finetuner, found: TrainingFolder, settings: FinetuneSettings, drawn: int, steps: int,
    unrelated: Sequence[str], cancel: CancelToken,
) -> Yardstick:  # fmt: skip
    """For these pictures. drawn: drawings a figure, half as many of unrelated prompts; steps: of each."""
    from models.perceptual import load_perceptual

    generator = ImageGenerator(tuner.runtime, tuner.data)
    guidance = generator.models.choice(settings.model).guidance()
    held = [p for i, p in enumerate(found.pictures) if i % HELD_OUT == HELD_OUT - 1]
    few, none = len(held) < LEAST_HELD, torch.empty(0)
    learning = [p for p in found.pictures if few or p not in held]
    captions = list(dict.fromkeys(p.caption for p in found.pictures))
    captions = captions[:: -(-len(captions) // PROMPTS)]
    net = load_perceptual(tuner.runtime.device)
    made = Yardstick(generator, net, settings, learning, captions, none, none, unrelated, [], drawn, steps, guidance)
    others = made.draw(unrelated, max(drawn // 2, len(unrelated)), None, cancel)
    made.bare = [_seen(image) for image in others]
    side = made.bare[0].shape[-1]
    made.target = made.features([_square(p, side) for p in learning])
    made.held = made.target if few else made.features([_square(p, side) for p in held])
    begun = made.draw(captions, drawn, None, cancel)
    made.start, made.shown = kernel_distance(made.features(begun), made.held), _first(begun, others)
    return made


def _first(drawn: list[Image.Image], others: list[Image.Image]) -> list[Image.Image]:
    """For a row of the grid: two of the pictures' captions, two of unrelated prompts."""
    return [*drawn[:2], *others[:2]]


def _square(picture: TrainingPicture, side: int) -> Image.Image:
    image = open_photo(picture.path).image
    return crop_to(image.size, (side, side)).apply(image)


def _seen(image: Image.Image) -> Tensor:
    """(1, 3, H, W) as the perceptual network takes it: tiny pictures are enlarged."""
    times = -(-LEAST_SIDE // min(image.size))
    return to_tensor(image.resize((image.width * times, image.height * times), Image.Resampling.BICUBIC))
