"""Made pictures stay, are found by their words, and come back with everything that made them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from models.errors import InputError
from models.guidance import GuidanceSettings
from pipelines.generate.gallery import Gallery
from pipelines.generate.generator import Generated, Made
from pipelines.generate.settings import GenerateSettings

FIGURES = {"saturation": 0.3, "contrast": 0.2, "clipped": 0.0, "colourfulness": 0.1}


def result(prompt: str, seeds: tuple[int, ...] = (1,), scale: float = 4.0) -> Generated:
    guidance = GuidanceSettings("apg", scale, norm_threshold=3.0)
    made = [
        Made(
            Image.new("RGB", (32, 24), (seed, 80, 90)),
            GenerateSettings(prompt=prompt, seed=seed, guidance=guidance),
            FIGURES,
            (),
        )
        for seed in seeds
    ]
    return Generated(tuple(made), (), 1.0)


def test_pictures_are_kept_and_found(tmp_path: Path) -> None:
    gallery = Gallery(tmp_path)
    gallery.add(result("an old man", (1, 2)))
    (entry,) = gallery.add(result("Zwei Füchse", (9,), scale=7.5))
    again = Gallery(tmp_path)  # as after a restart
    assert again.search()[0].id == entry.id and len(again.search()) == 3
    assert len(again.search("OLD man")) == 2 and len(again.search("füchse 7.5")) == 1
    assert again.search("nobody") == [] and len(again.search("", limit=2)) == 2
    settings = again.settings(again.get(entry.id))
    assert (settings.prompt, settings.seed, settings.guidance.scale) == ("Zwei Füchse", 9, 7.5)
    with Image.open(entry.image) as image:
        assert image.size == (32, 24) and image.info["parameters"].startswith("Zwei Füchse\nSteps: 20")
    again.remove(entry.id)
    assert len(gallery.search()) == 2 and not entry.image.exists()
    with pytest.raises(InputError, match="no result"):
        again.get(entry.id)
