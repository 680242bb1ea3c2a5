"""The embedded portraits model: it opens, is small, follows words, and APG keeps it from burning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import app
from models.assets import assets_dir
from models.guidance import GuidanceSettings
from pipelines.generate.generator import ImageGenerator, finish
from pipelines.generate.measure import PortraitReader
from pipelines.generate.settings import GenerateSettings
from pipelines.runtime import Runtime
from pipelines.settings import load_settings

PROMPTS = ("a photo of a 70 year old man, white hair, full beard", "portrait of a 25 year old woman, long black hair")


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> ImageGenerator:
    data = tmp_path_factory.mktemp("data")
    return ImageGenerator(Runtime(load_settings(data=data, device="cpu")), data)


def test_it_opens_as_any_pipeline_does_and_is_small() -> None:
    from models.compat import ensure_torchvision

    ensure_torchvision()
    from diffusers import DiffusionPipeline

    folder = assets_dir() / "portraits"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= 60e6
    pipe = DiffusionPipeline.from_pretrained(folder, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    images = pipe("an old man", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images
    assert images[0].size == (128, 128)
    assert pipe.unet.dtype == pipe.text_encoder.dtype == torch.float32


def test_strong_guidance_burns_and_apg_does_not(generator: ImageGenerator) -> None:
    clipped = {}
    for method, scale in (("cfg", 1.0), ("cfg", 12.0), ("apg", 12.0)):
        made = [
            finish(
                generator.run(
                    GenerateSettings(prompt=p, seed=5, count=2, steps=10, guidance=GuidanceSettings(method, scale)),
                    previews=False,
                )
            )
            for p in PROMPTS
        ]
        clipped[method, scale] = np.mean([p.figures["clipped"] for m in made for p in m.pictures])
    assert clipped["cfg", 12.0] > clipped["cfg", 1.0] + 0.01
    assert clipped["apg", 12.0] < 0.5 * clipped["cfg", 12.0]


def test_words_show_in_the_picture(generator: ImageGenerator) -> None:
    reader = PortraitReader(generator.runtime)
    readings = []
    for prompt in PROMPTS:
        settings = GenerateSettings(prompt=prompt, seed=11, count=4, steps=12, guidance=GuidanceSettings(scale=5.0))
        readings.append([reader.read(made.image) for made in finish(generator.run(settings, previews=False)).pictures])
    assert sum(r.face for row in readings for r in row) >= 7
    men, women = ([r.gender for r in row if r.face] for row in readings)
    assert men.count("male") >= 3 and women.count("female") >= 2
    assert np.mean([r.age for r in readings[0]]) > np.mean([r.age for r in readings[1]]) + 3


def test_the_command_makes_a_portrait(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "portrait.png"
    arguments = ["generate", PROMPTS[0], "--scale", "10", "--guidance", "apg", "--seed", "1", "--steps", "8"]
    assert app.main([*arguments, "--out", str(out), "--data", str(tmp_path), "--device", "cpu", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["seed"] == 1 and facts["settings"]["model"] == "portraits" and out.stat().st_size > 5000
