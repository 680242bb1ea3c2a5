"""The generator end to end on a tiny model in a folder: pictures, batches, start pictures, masks, limits, memory."""

from __future__ import annotations

import gc
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import Cancelled, DeviceError, InputError
from models.guidance import METHODS, GuidanceSettings
from photos.results import save_image
from pipelines.events import CancelToken, Event
from pipelines.generate.generator import Generated, ImageGenerator, finish
from pipelines.generate.line import Restored, line_of, parse_line
from pipelines.generate.recipe import recipe_of, restore
from pipelines.generate.settings import SAMPLERS, SCHEDULES, AdapterUse, GenerateSettings
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from tests import tiny_diffusion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "tiny"
    tiny_diffusion.sd(place.parent, "v_prediction").save_pretrained(place, safe_serialization=True)
    return place


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> ImageGenerator:
    data = tmp_path_factory.mktemp("data")
    return ImageGenerator(Runtime(load_settings(data=data, device="cpu")), data)


@pytest.fixture
def plain(folder: Path) -> GenerateSettings:
    return GenerateSettings(prompt="a face", model=str(folder), seed=3, steps=4, guidance=GuidanceSettings("apg", 4.0))


def pixels(made: Generated) -> list[np.ndarray]:
    return [np.array(p.image) for p in made.pictures]


def test_the_same_seed_gives_the_same_picture_alone_and_in_a_batch(
    generator: ImageGenerator, plain: GenerateSettings
) -> None:
    chosen = plain.with_changes(guidance=GuidanceSettings("apg", 4.0, norm_threshold=5.0))
    three = finish(generator.run(chosen.with_changes(count=3)))
    assert [p.settings.seed for p in three.pictures] == [3, 4, 5]
    for i, wanted in enumerate(pixels(three)):
        (alone,) = pixels(finish(generator.run(chosen.with_changes(seed=3 + i))))
        assert np.abs(alone.astype(int) - wanted.astype(int)).max() <= 1
        assert wanted.std() > 1
    assert np.abs(pixels(three)[0].astype(int) - pixels(three)[1].astype(int)).max() > 10
    two = finish(generator.run(chosen.with_changes(count=3, batch=2)))
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(pixels(two), pixels(three), strict=True))


def test_an_auto_limit_is_measured_and_replayed(generator: ImageGenerator, plain: GenerateSettings) -> None:
    made = finish(generator.run(plain))
    used = made.pictures[0].settings.guidance
    assert isinstance(used.norm_threshold, float) and used.norm_threshold > 0
    again = finish(generator.run(made.pictures[0].settings))
    assert np.array_equal(pixels(made)[0], pixels(again)[0])
    assert len(made.pictures[0].probes) == 4
    assert {p.guided for p in made.pictures[0].probes} == {True}


def test_events_tell_the_steps_and_show_previews(generator: ImageGenerator, plain: GenerateSettings) -> None:
    events = list(generator.run(plain.with_changes(count=2)))
    assert [e.stage for e in events] == ["load", "encode", *["sample"] * 4, "decode", "done"]
    samples = [e for e in events if e.stage == "sample"]
    assert [(e.done, e.total) for e in samples] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert all(len(e.value) == 2 and e.value[0].size == (16, 16) for e in samples)
    last, made = np.array(samples[-1].value[0]).astype(int), pixels(events[-1].value)[0]
    assert np.abs(last - made).max() <= 1  # the last preview is the picture


def test_progress_counts_the_steps_of_all_batches(generator: ImageGenerator, plain: GenerateSettings) -> None:
    events = list(generator.run(plain.with_changes(count=3, batch=2)))
    samples = [e for e in events if e.stage == "sample"]
    assert [(e.done, e.total) for e in samples] == [(i, 8) for i in range(1, 9)]
    assert samples[0].seconds_left is not None and samples[-1].seconds_left == 0


def test_steps_may_be_taken_in_many_threads(generator: ImageGenerator, plain: GenerateSettings) -> None:
    """As a web server does: a lock or a mode that belongs to a thread would stay behind in it."""
    wanted = pixels(finish(generator.run(plain)))[0]
    for stop_early in (True, False):
        events, modes, made = generator.run(plain), [], []

        def step(events: Any = events, modes: Any = modes, made: Any = made) -> None:
            event = next(events, None)
            made.append(event)
            modes.append(torch.is_grad_enabled())

        for count in range(50):
            thread = threading.Thread(target=step)
            thread.start()
            thread.join(30)
            if made[-1] is None or (stop_early and count == 4):
                break
        events.close()
        assert set(modes) == {True}
    assert np.array_equal(np.array(made[-2].value.pictures[0].image), wanted)
    assert np.array_equal(pixels(finish(generator.run(plain)))[0], wanted)


def test_negative_prompt_and_scale_change_the_picture(generator: ImageGenerator, plain: GenerateSettings) -> None:
    base = pixels(finish(generator.run(plain)))[0].astype(int)
    other = pixels(finish(generator.run(plain.with_changes(negative="old"))))[0]
    assert np.abs(base - other).max() > 0
    off = plain.with_changes(guidance=GuidanceSettings("cfg", 1.0))
    same = [pixels(finish(generator.run(off.with_changes(negative=n))))[0] for n in ("", "old")]
    assert np.array_equal(*same)  # at scale 1 there is no second pass


@pytest.mark.parametrize("sampler", ["default", "euler", "heun", "dpmpp_2m"])
def test_a_start_picture_shines_through(generator: ImageGenerator, plain: GenerateSettings, sampler: str) -> None:
    start = Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    gaps = []
    for strength in (0.1, 0.5, 1.0):
        chosen = plain.with_changes(steps=10, strength=strength, sampler=sampler)
        made = pixels(finish(generator.run(chosen, init=start)))[0].astype(int)
        gaps.append(np.abs(made - _through(start, plain, generator)).mean())
    assert gaps[0] < min(gaps[1:]) / 2


def _through(start: Image.Image, plain: GenerateSettings, generator: ImageGenerator) -> np.ndarray:
    """The start picture after the autoencoder, which is what strength 0 would give."""
    with generator.models.use(generator.models.choice(plain.model)) as (pipe,), torch.no_grad():
        x = torch.from_numpy(np.array(start)).permute(2, 0, 1)[None].float() / 127.5 - 1
        y = pipe.vae.decode(pipe.vae.encode(x).latent_dist.mode()).sample.clamp(-1, 1)
        return ((y[0].permute(1, 2, 0) + 1) * 127.5).round().numpy().astype(int)


def test_outside_the_mask_every_pixel_stays(generator: ImageGenerator, plain: GenerateSettings) -> None:
    start = Image.fromarray(np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8))
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (0, 0, 8, 16))
    (made,) = pixels(finish(generator.run(plain.with_changes(strength=1.0), init=start, mask=mask)))
    assert np.array_equal(made[:, 9:], np.array(start)[:, 9:])
    assert np.abs(made[:, :6].astype(int) - np.array(start)[:, :6]).mean() > 10
    with pytest.raises(InputError, match="mask needs the picture"):
        finish(generator.run(plain, mask=mask))


def test_sizes_are_rounded_and_said(generator: ImageGenerator, plain: GenerateSettings) -> None:
    made = finish(generator.run(plain.with_changes(width=33, height=21)))
    assert made.pictures[0].image.size == (32, 20)
    assert "32 x 20" in made.notes[0] and "multiples of 4" in made.notes[0]
    with pytest.raises(InputError, match="too many"):
        finish(generator.run(plain.with_changes(width=4096, height=4096)))
    wide = Image.new("RGB", (64, 16))
    assert finish(generator.run(plain, init=wide)).pictures[0].image.size == (32, 8)


def test_long_and_empty_prompts(generator: ImageGenerator, plain: GenerateSettings) -> None:
    assert not finish(generator.run(plain.with_changes(prompt=""))).notes
    made = finish(generator.run(plain.with_changes(prompt="a face, " * 1250)))
    assert "left out" in made.notes[0]
    with pytest.raises(InputError, match="prompt"):
        plain.with_changes(prompt="x" * 10_001)


@pytest.mark.parametrize("stage", ["load", "encode", "sample", "decode"])
def test_cancel_works_in_every_phase_and_leaves_nothing(
    generator: ImageGenerator, plain: GenerateSettings, stage: str
) -> None:
    wanted = pixels(finish(generator.run(plain)))[0]
    gc.collect()
    before = sum(isinstance(o, torch.Tensor) for o in gc.get_objects())
    token = CancelToken()
    with pytest.raises(Cancelled):
        for event in generator.run(plain, cancel=token):
            if event.stage == stage:
                token.cancel()
    gc.collect()
    assert sum(isinstance(o, torch.Tensor) for o in gc.get_objects()) <= before + 2
    assert np.array_equal(pixels(finish(generator.run(plain)))[0], wanted)


@pytest.mark.parametrize("fits", [2, 1])
def test_out_of_memory_makes_the_batch_smaller(
    generator: ImageGenerator, plain: GenerateSettings, monkeypatch: pytest.MonkeyPatch, fits: int
) -> None:
    """`fits`: rows that the network takes at once; two are one picture with and without its prompt."""
    chosen = plain.with_changes(count=3, guidance=GuidanceSettings("apg", 4.0, norm_threshold=5.0))
    wanted = pixels(finish(generator.run(chosen)))
    _small_device(generator, plain, monkeypatch, fits)
    made = pixels(finish(generator.run(chosen)))
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(made, wanted, strict=True))


def test_when_nothing_fits_it_says_what_to_do(
    generator: ImageGenerator, plain: GenerateSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = pixels(finish(generator.run(plain)))[0]
    with monkeypatch.context() as patch:
        _small_device(generator, plain, patch, 0)
        with pytest.raises(DeviceError, match="too little memory"):
            finish(generator.run(plain))
    assert np.array_equal(pixels(finish(generator.run(plain)))[0], wanted)


def _small_device(generator: ImageGenerator, plain: GenerateSettings, patch: pytest.MonkeyPatch, fits: int) -> None:
    with generator.models.use(generator.models.choice(plain.model)) as (pipe,):
        true = pipe.unet.forward

        def forward(x: torch.Tensor, *args: Any, **more: Any) -> Any:
            if len(x) > fits:
                raise RuntimeError("CUDA out of memory (made up)")
            return true(x, *args, **more)

        patch.setattr(pipe.unet, "forward", forward)


def test_random_settings_give_pictures_or_one_sentence(generator: ImageGenerator, plain: GenerateSettings) -> None:
    rng = np.random.default_rng(5)
    made = refused = 0
    samplers = list(SAMPLERS)
    methods = list(METHODS)
    for _ in range(500):
        guidance = GuidanceSettings(
            str(rng.choice(methods)), float(rng.uniform(1, 50)), eta=float(rng.uniform(0, 1)),
            norm_threshold=rng.choice([0.0, 5.0]).item() if rng.random() < 0.7 else "auto",
            momentum=float(rng.uniform(-0.9, 0.9)),
            interval=(0.0, float("inf")) if rng.random() < 0.7 else (0.3, 5.0),
        )  # fmt: skip
        chosen = plain.with_changes(
            prompt="".join(rng.choice(list("abc ,é"), rng.integers(0, 40))), steps=int(rng.integers(1, 5)),
            sampler=str(rng.choice(samplers)), schedule=str(rng.choice(["default", "default", *SCHEDULES])),
            width=int(rng.integers(16, 40)), height=int(rng.integers(16, 40)), seed=int(rng.integers(0, 2**40)),
            guidance=guidance, tiling=bool(rng.random() < 0.2), slicing=bool(rng.random() < 0.2),
            memory=str(rng.choice(["auto", "fast", "balanced", "low"])),
        )  # fmt: skip
        try:
            result = finish(generator.run(chosen))
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            refused += 1
        else:
            assert np.isfinite(list(result.pictures[0].figures.values())).all()
            made += 1
    assert made > 250 and refused > 40


def test_autoguidance_pushes_away_from_a_weaker_model(
    generator: ImageGenerator, plain: GenerateSettings, folder: Path, tmp_path: Path
) -> None:
    copy, weak, other = tmp_path / "copy", tmp_path / "weak", tmp_path / "other"
    shutil.copytree(folder, copy)
    pipe = tiny_diffusion.sd(tmp_path, "v_prediction")
    with torch.no_grad():
        for weight in pipe.unet.parameters():
            weight.mul_(0.9)
    pipe.save_pretrained(weak, safe_serialization=True)
    tiny_diffusion.sd(tmp_path).save_pretrained(other, safe_serialization=True)

    def picture(scale: float, where: Path) -> np.ndarray:
        guidance = GuidanceSettings("autoguidance", scale)
        return pixels(finish(generator.run(plain.with_changes(guidance=guidance, weak=str(where)))))[0].astype(int)

    alone = pixels(finish(generator.run(plain.with_changes(guidance=GuidanceSettings("cfg", 1.0)))))[0].astype(int)
    assert np.abs(picture(5.0, copy) - alone).max() <= 1  # what is no weaker does not push
    gaps = [np.abs(picture(scale, weak) - alone).mean() for scale in (1.0, 2.0, 8.0)]
    assert gaps[0] == 0 and 0 < gaps[1] < gaps[2]
    for where, said in (("", "name one"), (str(folder), "itself"), (str(other), "another kind")):
        with pytest.raises(InputError, match=said):
            finish(generator.run(plain.with_changes(guidance=GuidanceSettings("autoguidance"), weak=where)))


def test_models_that_cannot_be_run_are_refused_in_a_sentence(
    generator: ImageGenerator, plain: GenerateSettings, tmp_path: Path, folder: Path
) -> None:
    def run(model: str) -> Iterator[Event]:
        return generator.run(plain.with_changes(model=model))

    with pytest.raises(InputError, match="nowhere"):
        finish(run("nowhere"))
    (tmp_path / "model_index.json").write_text('{"_class_name": "KandinskyPipeline"}')
    with pytest.raises(InputError, match="Kandinsky"):
        finish(run(str(tmp_path)))
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline", "unet": ["mine", "Net"]}')
    with pytest.raises(InputError, match="'mine'"):
        finish(run(str(tmp_path)))
    (tmp_path / "model_index.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        finish(run(str(tmp_path)))


def test_lora_adapters_act_with_their_weight_and_leave(
    generator: ImageGenerator, plain: GenerateSettings, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    key = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    drawn = torch.Generator().manual_seed(0)
    weights = {f"{key}.lora_A.weight": torch.randn(2, 16, generator=drawn),
               f"{key}.lora_B.weight": torch.randn(16, 2, generator=drawn)}  # fmt: skip
    save_file(weights, tmp_path / "style.safetensors")
    use = AdapterUse(where=str(tmp_path / "style.safetensors"))
    bare = pixels(finish(generator.run(plain)))[0].astype(int)
    gaps = []
    for weight in (0.0, 0.5, 2.0):
        chosen = plain.with_changes(adapters=[use.model_copy(update={"weight": weight})])
        gaps.append(np.abs(pixels(finish(generator.run(chosen)))[0] - bare).mean())
    assert gaps[0] == 0 and gaps[0] < gaps[1] < gaps[2]
    assert np.array_equal(pixels(finish(generator.run(plain)))[0], bare)
    for where, said in (("gone.safetensors", "no adapter"), (str(tmp_path), "")):
        if said:
            with pytest.raises(InputError, match=said):
                finish(generator.run(plain.with_changes(adapters=[AdapterUse(where=where)])))
    save_file({"nonsense": torch.zeros(2)}, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match="wrong"):
        finish(generator.run(plain.with_changes(adapters=[AdapterUse(where=str(tmp_path / "wrong.safetensors"))])))


def test_a_saved_picture_gives_all_its_settings_back(
    generator: ImageGenerator, plain: GenerateSettings, tmp_path: Path
) -> None:
    chosen = plain.with_changes(negative="hat", sampler="euler", schedule="karras", width=24, height=16)
    (picture,) = finish(generator.run(chosen)).pictures
    out = tmp_path / "made.png"
    save_image(picture.image, out, recipe_of(picture.settings, picture.figures), parameters=line_of(picture.settings))
    assert restore(out).settings == picture.settings
    assert np.array_equal(pixels(finish(generator.run(restore(out).settings)))[0], np.array(picture.image))
    line = Image.open(out).info["parameters"]
    assert line.startswith("a face\nNegative prompt: hat\nSteps: 4, Sampler: Euler, CFG scale: 4, Seed: 3, Size: 24x16")
    parsed = parse_line(line).settings
    same = ("prompt", "negative", "steps", "sampler", "schedule", "seed", "width", "height")
    assert all(getattr(parsed, name) == getattr(picture.settings, name) for name in same)
    assert parsed.guidance == picture.settings.guidance


def test_the_line_alone_gives_back_what_other_programs_can_say() -> None:
    rng = np.random.default_rng(8)
    methods = list(METHODS)
    for i in range(200):
        method = methods[i % len(methods)]
        more: dict[str, Any] = {
            "apg": {"eta": rng.random(), "momentum": -rng.random() / 2, "norm_units": "paper",
                    "norm_threshold": "auto" if i % 3 else 15 * rng.random()},
            "rescale": {"rescale": rng.random()},
            "threshold": {"percentile": 0.5 + rng.random() / 2},
            "fdg": {"low_scale": 1 + rng.random()},
            "zero_star": {"zero_steps": int(rng.integers(0, 9))},
        }.get(method, {})  # fmt: skip
        if i % 2:
            more["interval"] = (rng.random(), 1 + 4 * rng.random() if i % 4 == 1 else float("inf"))
        settings = GenerateSettings(
            prompt=str(rng.choice(["", "a face, Steps: 3", "says Negative prompt: no", "two\nlines", 'a "quote'])),
            negative=str(rng.choice(["", "hat, Seed: 4"])),
            model=str(rng.choice(["portraits", "/home/a, b/model: x", 'an "odd" one'])),
            guidance=GuidanceSettings(method, 1 + 49 * rng.random(), **more),
            strength=float(rng.uniform(0.05, 1)) if i % 2 else 0.6, seed=int(rng.integers(0, 2**53)),
            sampler=str(rng.choice(list(SAMPLERS))), schedule=str(rng.choice(list(SCHEDULES))),
            width=8 * int(rng.integers(2, 99)), height=8 * int(rng.integers(2, 99)),
        )  # fmt: skip
        found = parse_line(line_of(settings))
        assert found == Restored(settings)


def test_hostile_lines_take_no_time_and_say_what_is_wrong() -> None:
    lines = ("a" * 24_000, "a:" * 12_000, '"' * 24_000, '"\\' * 12_000, "a" * 23_000 + ",", "Steps: " * 3000)
    began = time.perf_counter()
    for line in lines:
        try:
            parse_line(f"Steps: 20, {line}")
            parse_line(f"x\nSteps: 20, {line}")
        except InputError as error:
            assert "\n" not in str(error)
    assert time.perf_counter() - began < 5  # what walks a line more than once needs minutes


def test_lines_of_other_programs_are_read_as_far_as_they_go() -> None:
    text = (
        "portrait of a man, (detailed:1.2)\nNegative prompt: blurry\nSteps: 28, Sampler: DPM++ 2M Karras, CFG scale: "
        '6.5, Seed: 42, Size: 512x768, Model hash: abc, Model: realism, Clip skip: 2, Hires prompt: "a, b"'
    )
    found = parse_line(text)
    s = found.settings
    assert (s.steps, s.sampler, s.schedule, s.seed, s.width, s.height) == (28, "dpmpp_2m", "karras", 42, 512, 768)
    assert (s.guidance.method, s.guidance.scale, s.negative) == ("cfg", 6.5, "blurry")
    assert any("Clip skip" in note for note in found.notes) and any("realism" in note for note in found.notes)
    assert parse_line("only words").settings.prompt == "only words"
    for wrong in ("x\nSteps: 9999, Seed: 1", "x\nSteps: 20, CFG scale: 900", "x\nSteps: 20, APG eta: 7"):
        with pytest.raises(InputError):
            parse_line(wrong)


def test_pictures_without_settings_say_so(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "bare.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    for name in ("bare.png", "broken.png", "gone.png"):
        with pytest.raises(InputError, match=name):
            restore(tmp_path / name)
