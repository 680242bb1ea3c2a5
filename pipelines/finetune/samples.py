"""Pictures on fixed prompts while a model learns, and the strip that they make over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from models.guidance import GuidanceSettings
from pipelines.events import CancelToken
from pipelines.finetune.folder import TrainingPicture
from pipelines.finetune.settings import FinetuneSettings
from pipelines.generate import memory
from pipelines.generate.families.base import Family
from pipelines.generate.job import Job
from pipelines.generate.settings import GenerateSettings

STEPS = 20
TIMES = 5
PROMPTS = 2
SIDE, LEAST = 256, 96
"""Pixels of a picture's longer side on the strip, and of its shorter one."""


def prompts_for(settings: FinetuneSettings, pictures: Sequence[TrainingPicture]) -> list[str]:
    """What is drawn: the prompts that were asked for, or the first different captions of the pictures."""
    return list(settings.samples) or list(dict.fromkeys(p.caption for p in pictures))[:PROMPTS]


def due(settings: FinetuneSettings, step: int) -> bool:
    """Whether pictures are drawn after this step; 0 is before the first one."""
    if settings.sample_every == 0:
        return False
    every = settings.sample_every or max(settings.steps // TIMES, 1)
    return step % every == 0 or step == settings.steps


def draw(
    family: Family, guidance: GuidanceSettings, prompts: Sequence[str], seed: int, cancel: CancelToken
) -> list[Image.Image]:
    """A picture a prompt, by the network as it is now; prompt i from the seed + i, the same at each call."""
    return [draw_one(family.pipe, family, guidance, prompt, seed + i, cancel) for i, prompt in enumerate(prompts)]


def draw_one(
    pipe: Any, family: Family, guidance: GuidanceSettings, prompt: str, seed: int, cancel: CancelToken
) -> Image.Image:
    """One picture at the model's own size."""
    settings = GenerateSettings(prompt=prompt, seed=seed, steps=STEPS, guidance=guidance, memory="balanced")
    job = Job(pipe, family.device, settings, cancel, None, None, previews=False)
    made: list[Image.Image] = []
    for _, value in memory.fitting(
        lambda fit: job.batch(0, fit), memory.first_fit(settings, pipe, family.device), family.device
    ):
        if isinstance(value, list):
            made = [one.image for one in value]
    return made[0]


def strip(drawn: Mapping[int, Sequence[Path]], prompts: Sequence[str]) -> Image.Image | None:
    """Prompts down, steps across, with labels; None while nothing is drawn."""
    columns = {step: paths for step, paths in drawn.items() if len(paths) == len(prompts)}
    if not columns or not prompts:
        return None
    opened = {step: [_small(path) for path in paths] for step, paths in columns.items()}
    width = max(image.width for images in opened.values() for image in images)
    height = max(image.height for images in opened.values() for image in images)
    font, line, gap = ImageFont.load_default(13), 20, 4
    sheet = Image.new("RGB", (len(opened) * (width + gap), line + len(prompts) * (height + line + gap)), "#faf9f6")
    pen = ImageDraw.Draw(sheet)
    for column, (step, images) in enumerate(sorted(opened.items())):
        left = column * (width + gap)
        pen.text((left + width / 2, line / 2), f"step {step}" if step else "before", "black", font, "mm")
        for row, image in enumerate(images):
            sheet.paste(image, (left, line + row * (height + line + gap) + line))
    for row, prompt in enumerate(prompts):
        top = line + row * (height + line + gap)
        pen.text((3, top + line / 2), _fitting(prompt or "no words", font, sheet.width - 6), "#555555", font, "lm")
    return sheet


def _fitting(text: str, font: Any, width: int) -> str:
    """The text, cut with dots where it is too long."""
    while font.getlength(text) > width and len(text) > 2:
        text = text[:-2].rstrip("…") + "…"
    return text


def _small(path: Path) -> Image.Image:
    with Image.open(path) as image:
        made = image.convert("RGB")
    made.thumbnail((SIDE, SIDE))
    times = -(-LEAST // min(made.size))  # labels need some room
    return made.resize((made.width * times, made.height * times), Image.Resampling.NEAREST) if times > 1 else made
