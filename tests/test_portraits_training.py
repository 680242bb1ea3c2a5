"""The training of the portraits model, on a handful of pictures and with small networks: it learns, stops, goes on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from training.portraits import autoencoder as first
from training.portraits import denoiser as second
from training.portraits.config import AutoencoderConfig, DenoiserConfig
from training.portraits.export import export
from training.portraits.words import learn, load

SMALL = AutoencoderConfig(widths=(8, 8, 8, 8), batch=2, steps=4, crop=64, warmup=1, latent_channels=4)
TEXT = DenoiserConfig(widths=(16, 32), head_width=16, text_width=16, text_layers=1, batch=2, steps=4, warmup=1)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    rng = np.random.default_rng(0)
    lines = []
    for i in range(6):
        Image.fromarray(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)).save(folder / f"{i}.webp")
        lines.append({
            "file": f"{i}.webp", "seed": i if i < 5 else 530, "view_seed": i, "age": 20.0 + i, "gender": "male",
            "ethnicity": "asian", "melanin": 0.3, "hair_colour": "black", "grey": 0.0, "hair": "short01",
            "baldness": 0.0, "eye_colour": "brown", "beard": "none", "stubble": 0.0, "light": "soft",
            "expression": {"smile": 0.0, "open": 0.0, "brow": 0.0}, "pose": {"yaw": 12.0, "pitch": 0.0},
        })  # fmt: skip
    (folder / "meta.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


@pytest.fixture(scope="module")
def run(heads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of both trainings with the small networks."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        _shrink(patch)
        first.train(SMALL, [heads], out, torch.device("cpu"))
        second.DenoiserTrainer(TEXT, [heads], out, torch.device("cpu")).run(1e9)
    return out


def _shrink(patch: pytest.MonkeyPatch) -> None:
    """The small plans in place of the real ones, wherever a training or the export makes one."""
    for module in (second, "training.portraits.export"):
        name = module if isinstance(module, str) else module.__name__
        patch.setattr(f"{name}.AutoencoderConfig", lambda: SMALL)
    patch.setattr("training.portraits.export.DenoiserConfig", lambda: TEXT)


def test_the_autoencoder_goes_on_where_it_stopped(heads: Path, run: Path) -> None:
    saved = torch.load(run / "autoencoder.pt", weights_only=True)
    assert saved["step"] == 4
    assert (run / "autoencoder.png").stat().st_size > 1000
    before = saved["average"]["decoder.conv_out.weight"].clone()
    again = first.train(SMALL, [heads], run, torch.device("cpu"))  # nothing left to do
    assert torch.equal(again.state_dict()["decoder.conv_out.weight"], before)


def test_held_out_people_are_not_trained_on(heads: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shrink(monkeypatch)
    trainer = second.DenoiserTrainer(TEXT, [heads], run, torch.device("cpu"))
    assert trainer.training.tolist() == [0, 1, 2, 3, 4]
    assert trainer.step == 4  # from the checkpoint
    assert trainer.data.latents.shape == (6, 2, 4, 16, 16)
    assert trainer.data.latents.float().std().item() == pytest.approx(1, rel=1e-2)


def test_a_caption_of_a_mirrored_picture_is_mirrored(heads: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shrink(monkeypatch)
    data = second.DenoiserTrainer(TEXT, [heads], run, torch.device("cpu")).data
    generator = torch.Generator().manual_seed(1)
    latents, captions = data.draw(torch.tensor([2]), 60, generator)
    turned = [("left" if "to the left" in c else "right" if "to the right" in c else "") for c in captions]
    sides = [torch.equal(x, data.latents[2, 1].float()) for x in latents]
    assert {side for side, turn in zip(sides, turned, strict=True) if turn == "left"} == {True}
    assert {side for side, turn in zip(sides, turned, strict=True) if turn == "right"} == {False}


def test_the_denoiser_learns_a_single_picture(heads: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shrink(monkeypatch)
    trainer = second.DenoiserTrainer(TEXT, [heads], run, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    clean = trainer.data.latents[:1, 0].float().expand(4, -1, -1, -1)
    noise, times = torch.randn(clean.shape, generator=generator), torch.tensor([100, 300, 500, 800])
    tokens = trainer.tokens(["a man"] * 4)
    losses = []
    for _ in range(25):
        loss = trainer.loss(clean, tokens, times, noise)
        trainer.parts["optimizer"].zero_grad()
        loss.backward()
        trainer.parts["optimizer"].step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_exported_folder_opens_and_draws(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _shrink(monkeypatch)
    export(run, tmp_path / "portraits", {"measured": 1})
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(tmp_path / "portraits", local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    assert type(pipe).__name__ == "StableDiffusionPipeline" and pipe.scheduler.config.prediction_type == "v_prediction"
    scale = torch.load(run / "latents.pt", weights_only=True)["scale"]
    assert pipe.vae.config.scaling_factor == pytest.approx(scale)
    image = pipe("a man", num_inference_steps=2, generator=torch.Generator().manual_seed(0)).images[0]
    assert image.size == (128, 128) and np.array(image).std() > 1
    card = json.loads((tmp_path / "portraits/unet/diffusion_pytorch_model.json").read_text())
    assert card["quality"] == {"measured": 1} and len(card["sha256"]) == 64 and card["steps"] == 4
    stored = tmp_path / "portraits/unet/diffusion_pytorch_model.safetensors"
    assert stored.stat().st_size < 2.2 * sum(p.numel() for p in pipe.unet.parameters()) + 100_000  # half width


def test_the_tokenizer_knows_every_word_and_cuts_none(tmp_path: Path) -> None:
    tokenizer = learn(["a photo of a man, red hair", "a photo of a woman"] * 5, 1000, tmp_path, 12)
    assert tokenizer.tokenize("A photo of a MAN") == ["a</w>", "photo</w>", "of</w>", "a</w>", "man</w>"]
    assert "<|endoftext|>" not in tokenizer.tokenize("Zürich 7 quokkas!")  # nothing is unknown
    numbers = load(tmp_path, 12)("a man", padding="max_length").input_ids
    assert len(numbers) == 12 and numbers[0] == tokenizer.bos_token_id and set(numbers[3:]) == {tokenizer.eos_token_id}
