"""Our loop against the stock pipelines of diffusers: the same pictures at plain guidance."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.guidance import Guidance, GuidanceSettings
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.samplers import make_scheduler
from pipelines.generate.sampling import Run, Sampled, Start, denoise, draw_noise
from tests import tiny_diffusion

STEPS, SCALE, SEEDS = 5, 4.0, [11, 12]
NOISE_SAMPLERS = ["ddim", "euler", "heun", "dpmpp_2m", "unipc", "pndm", "euler_a", "dpmpp_2m_sde"]
FLOW_SAMPLERS = ["flow_euler", "flow_heun", "dpmpp_2m", "unipc"]
CASES = [(kind, name) for kind in ("sd1", "sd2", "sdxl", "pixart") for name in NOISE_SAMPLERS]
# The stock DiT pipeline neither scales its first noise as Euler's and Heun's classes want it, nor draws a picture's
# later noise from the picture's own seed.
CASES += [("dit", name) for name in ("ddim", "dpmpp_2m", "unipc", "pndm")]
CASES += [("sd3", name) for name in FLOW_SAMPLERS]
# The stock Flux pipeline hands over noise levels of its own, which Heun's class does not take.
CASES += [("flux", name) for name in FLOW_SAMPLERS if name != "flow_heun"]
PROMPTS = {"dit": ("1", "")}


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("tiny")
    made = {name: build(folder) for name, build in tiny_diffusion.KINDS.items()}
    for pipe in made.values():
        pipe.set_progress_bar_config(disable=True)
    return made


def ours(pipe: Any, sampler: str, seeds: list[int], settings: GuidanceSettings, split: bool = False) -> torch.Tensor:
    kind = FAMILIES[type(pipe).__name__]
    scheduler = make_scheduler(pipe.scheduler, kind.flow, sampler, "default")
    family = kind(pipe, scheduler)
    prompt, negative = PROMPTS.get(family.preset, ("a face, 30", "blue"))
    size = family.own_size
    told, free = family.encode([prompt] * len(seeds), [negative] * len(seeds), size)
    shape = (family.channels, size[1] // family.factor, size[0] // family.factor)
    noise, generators = draw_noise(seeds, shape, family)
    run = Run(family, told, free, noise, generators, STEPS, Start(), split)
    states: list[Sampled] = list(denoise(run, Guidance(settings)))
    assert [state.done for state in states] == list(range(1, len(states) + 1))
    with torch.no_grad():
        return pipe.vae.decode(family.unscaled(states[-1].clean), return_dict=False)[0]


def stock(pipe: Any, sampler: str) -> torch.Tensor:
    kind = FAMILIES[type(pipe).__name__]
    before = pipe.scheduler
    pipe.scheduler = make_scheduler(before, kind.flow, sampler, "default")
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    common = {"num_inference_steps": STEPS, "generator": generators, "output_type": "pt"}
    try:
        if kind.preset == "dit":
            common["output_type"] = "np"
            images = torch.from_numpy(pipe([1] * 2, guidance_scale=SCALE, **common).images).permute(0, 3, 1, 2)
        else:
            negative: Any = ["blue"] * 2
            more = {"true_cfg_scale": SCALE} if kind.preset == "flux" else {"guidance_scale": SCALE}
            if kind.preset == "pixart":
                more["use_resolution_binning"] = False
                more["clean_caption"] = False
            if kind.preset == "flux":
                side = pipe.default_sample_size * tiny_diffusion.FACTOR
                more |= {"height": side, "width": side}
            images = pipe(["a face, 30"] * 2, negative_prompt=negative, **more, **common).images
    finally:
        pipe.scheduler = before
    return images * 2 - 1


@pytest.mark.parametrize(("kind", "sampler"), CASES)
def test_plain_guidance_makes_the_stock_pipelines_pictures(pipes: dict[str, Any], kind: str, sampler: str) -> None:
    pipe = pipes[kind]
    if kind == "flux":
        pipe.default_sample_size = 8
    wanted = stock(pipe, sampler)
    made = ours(pipe, sampler, SEEDS, GuidanceSettings("cfg", SCALE)).clamp(-1, 1)
    assert wanted.std() > 0.01  # there is something to compare
    assert (made - wanted).abs().max().item() < 1e-4


@pytest.mark.parametrize("kind", list(tiny_diffusion.KINDS))
def test_a_picture_does_not_depend_on_its_batch(pipes: dict[str, Any], kind: str) -> None:
    pipe = pipes[kind]
    if kind == "flux":
        pipe.default_sample_size = 8
    settings = GuidanceSettings("apg", SCALE, norm_threshold=5.0)
    together = ours(pipe, "default", SEEDS, settings)
    for i, seed in enumerate(SEEDS):
        assert (ours(pipe, "default", [seed], settings) - together[i : i + 1]).abs().max().item() < 1e-4
    split = ours(pipe, "default", SEEDS, settings, split=True)
    assert (split - together).abs().max().item() < 1e-4
    plain = ours(pipe, "default", SEEDS, GuidanceSettings("cfg", SCALE))
    assert (plain - together).abs().max().item() > 1e-3  # and APG does something


@pytest.mark.parametrize("kind", ["sd1", "sd2", "sd3"])
def test_cfgpp_takes_its_own_step(pipes: dict[str, Any], kind: str) -> None:
    """DDIM and Euler are the same step in two notations: CFG++ through both gives one picture."""
    settings = GuidanceSettings("cfgpp", SCALE)
    if kind == "sd3":
        assert torch.isfinite(ours(pipes[kind], "flow_euler", SEEDS, settings)).all()
        return
    pipe = pipes[kind]
    ddim, plain = ours(pipe, "ddim", SEEDS, settings), ours(pipe, "ddim", SEEDS, GuidanceSettings("cfg", SCALE))
    assert (ddim - plain).abs().max().item() > 1e-3
