"""Fine-tuning a tiny model on a few pictures: it learns, goes on after a stop, and leaves the model as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.errors import InputError
from pipelines.events import CancelToken
from pipelines.finetune.folder import read_folder
from pipelines.finetune.lessons import Lessons, prepare
from pipelines.finetune.methods import METHODS
from pipelines.finetune.settings import FinetuneSettings, finetune_settings
from pipelines.finetune.trainer import FinetuneTrainer
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.samplers import make_scheduler
from tests import tiny_diffusion

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")
BASE = {"strength": "strong", "steps": 8, "batch": 2, "side": 16, "rate": 3e-3, "drop": 0.2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i, size in enumerate(((64, 64), (64, 64), (130, 66), (64, 64), (66, 130))):
        Image.fromarray(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(place / f"{i}_face.png")
        (place / f"{i}_face.txt").write_text(f"face {i}")
    return place


def family(kind: str = "sd1", where: Path | None = None) -> Any:
    pipe = tiny_diffusion.KINDS[kind](where)
    chosen = FAMILIES[type(pipe).__name__]
    return chosen(pipe, make_scheduler(pipe.scheduler, chosen.flow, "default", "default"))


def lessons(told: Any, folder: Path, cache: Path | None = None, flips: bool = True) -> Lessons:
    *_, last = prepare(told, read_folder(folder).pictures, 16, flips, cache, CancelToken())
    found: Lessons = last.value
    return found


def settings(**more: Any) -> FinetuneSettings:
    return finetune_settings({**BASE, **more})


def weights(network: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in network.named_parameters()}


def test_lessons_hold_every_picture_in_its_shape(folder: Path, tmp_path: Path) -> None:
    told = family(where=tmp_path)
    made = lessons(told, folder, tmp_path / "cache")
    assert made.buckets == [(16, 16), (16, 16), (20, 12), (16, 16), (12, 20)]
    for pair, (width, height) in zip(made.latents, made.buckets, strict=True):
        assert all(latent.shape == (1, 4, height // 2, width // 2) for latent in pair)
    assert not torch.equal(*made.latents[0])
    told_of = {(f"face {i}", bucket) for i, bucket in enumerate(made.buckets)}
    assert set(made.texts) == told_of | {("", bucket) for bucket in made.buckets}
    again = lessons(told, folder, tmp_path / "cache")
    for first, second in zip(made.latents, again.latents, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == 5
    assert all(len(pair) == 1 for pair in lessons(told, folder, flips=False).latents)


def test_each_pass_shows_each_picture_once(folder: Path, tmp_path: Path) -> None:
    made = lessons(family(where=tmp_path), folder)
    steps = len(made.plan(0, 2, 1))
    for epoch in range(3):
        seen = [i for s in range(steps) for i in made.batch_at(epoch * steps + s, 2, 1)]
        assert sorted(seen) == list(range(5))
    assert made.plan(0, 2, 1) != made.plan(1, 2, 1)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_and_leaves_the_model_as_it_was(method: str, folder: Path, tmp_path: Path) -> None:
    told = family(where=tmp_path)
    before = weights(told.network)
    made = lessons(told, folder)
    trainer = FinetuneTrainer(told, made, settings(method=method, steps=30, drop=0.0, ema=0.9, rate=1e-2))
    try:
        losses = [trainer.train_step() for _ in range(30)]
        assert np.mean(losses[-8:]) < np.mean(losses[:8])
        assert trainer.step == 30 and len(trainer.average) == len(trainer.trainable)
        with trainer.averaged():
            smooth = trainer.adapter_state()
        last = trainer.adapter_state()
        assert any(not torch.equal(smooth[n], last[n]) for n in last)
    finally:
        trainer.close()
    after = weights(told.network)
    assert list(after) == list(before) and all(torch.equal(after[n], before[n]) for n in before)


@pytest.mark.parametrize("kind", ["sd2", "sdxl", "sd3", "pixart", "flux", "lumina"])
def test_every_family_can_be_trained(kind: str, folder: Path, tmp_path: Path) -> None:
    told = family(kind, tmp_path)
    trainer = FinetuneTrainer(told, lessons(told, folder), settings(method="wara", steps=2))
    try:
        assert all(np.isfinite(trainer.train_step()) for _ in range(2))
    finally:
        trainer.close()


@pytest.mark.parametrize("method", ["sara", "wara", "lora"])
@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_stopped_training_goes_on_to_the_same_weights(method: str, stop: int, folder: Path, tmp_path: Path) -> None:
    """For SaRA steps 1 and 4 lie before the choice is made anew or on it, step 6 after it."""
    chosen = settings(method=method, ema=0.8)
    told = family(where=tmp_path)
    made = lessons(told, folder)
    whole = FinetuneTrainer(told, made, chosen)
    for _ in range(8):
        whole.train_step()
    wanted, losses = whole.adapter_state(), whole.losses
    average = [p.clone() for p in whole.average]
    whole.close()
    first = FinetuneTrainer(told, made, chosen)
    for _ in range(stop):
        first.train_step()
    first.save(tmp_path / "state.pt")
    first.close()
    second = FinetuneTrainer(told, made, chosen)
    second.load(tmp_path / "state.pt")
    while second.step < 8:
        second.train_step()
    now = second.adapter_state()
    assert all(torch.equal(now[name], value) for name, value in wanted.items()) and set(now) == set(wanted)
    assert second.losses == losses
    assert all(torch.equal(a, b) for a, b in zip(second.average, average, strict=True))
    second.close()


def test_states_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    told = family(where=tmp_path)
    made = lessons(told, folder)
    first = FinetuneTrainer(told, made, settings(method="lora"))
    first.save(tmp_path / "state.pt")
    first.close()
    other = FinetuneTrainer(told, made, settings(method="lora", batch=3))
    with pytest.raises(InputError, match="another batch"):
        other.load(tmp_path / "state.pt")
    (tmp_path / "bad.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="can't be read"):
        other.load(tmp_path / "bad.pt")
    other.close()


def test_settings_say_what_is_wrong() -> None:
    for wrong, said in (({"method": "magic"}, "magic"), ({"steps": 0}, "steps"), ({"rate": -1}, "rate")):
        with pytest.raises(InputError, match=said):
            finetune_settings(wrong)
