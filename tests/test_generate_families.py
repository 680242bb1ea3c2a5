"""Our loop against the stock pipelines of diffusers: the same pictures at plain guidance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.errors import InputError
from models.guidance import Guidance, GuidanceSettings
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.samplers import lay_out, make_scheduler, samplers_for
from pipelines.generate.sampling import Run, Sampled, Start, denoise, draw_noise
from pipelines.generate.settings import SAMPLERS, SCHEDULES
from pipelines.generate.start import begin, prepare_picture
from tests import tiny_diffusion

STEPS, SCALE, SEEDS = 5, 4.0, [11, 12]
NOISE_SAMPLERS = [name for name in samplers_for(flow=False) if name != "default"]
FLOW_SAMPLERS = [name for name in samplers_for(flow=True) if name != "default"]
CASES = [(kind, name) for kind in ("sd1", "sd2", "sdxl", "pixart") for name in NOISE_SAMPLERS]
CASES += [("pixart_alpha", name) for name in ("ddim", "euler", "heun", "dpmpp_2m")]
# The stock DiT pipeline neither scales its first noise as Euler's and Heun's classes want it, nor draws a picture's
# later noise from the picture's own seed.
CASES += [("dit", name) for name in ("ddim", "dpmpp_2m", "unipc", "pndm")]
# The stock flow pipelines draw the later noise of an SDE from no seed at all; those with noise levels of their own hand
# them over in a form that only some classes take.
CASES += [("sd3", name) for name in FLOW_SAMPLERS if name != "dpmpp_2m_sde"]
CASES += [("flux", name) for name in FLOW_SAMPLERS if name not in ("flow_heun", "dpmpp_2m_sde")]
CASES += [("lumina", "flow_euler"), ("zimage", "flow_euler")]
PROMPTS = {"dit": ("1", "")}
# Sides in pixels where the kind's own are too large for a test.
SIDES = dict.fromkeys(("FluxPipeline", "ZImagePipeline", "PixArtAlphaPipeline"), 8 * tiny_diffusion.FACTOR)


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
    side = SIDES.get(type(pipe).__name__)
    size = (side, side) if side else family.own_size
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
            name = "true_cfg_scale" if kind.preset == "flux" else "guidance_scale"
            more = {name: SCALE - 1 if kind.preset == "zimage" else SCALE}
            if kind.preset == "pixart":
                more["use_resolution_binning"] = False
                more["clean_caption"] = False
            if kind.preset == "lumina":
                more["cfg_normalization"] = False
            if type(pipe).__name__ in SIDES:
                more |= dict.fromkeys(("height", "width"), SIDES[type(pipe).__name__])
            images = pipe(["a face, 30"] * 2, negative_prompt=negative, **more, **common).images
    finally:
        pipe.scheduler = before
    return images * 2 - 1


@pytest.mark.parametrize(("kind", "sampler"), CASES)
def test_plain_guidance_makes_the_stock_pipelines_pictures(pipes: dict[str, Any], kind: str, sampler: str) -> None:
    pipe = pipes[kind]
    wanted = stock(pipe, sampler)
    made = ours(pipe, sampler, SEEDS, GuidanceSettings("cfg", SCALE)).clamp(-1, 1)
    assert wanted.std() > 0.01  # there is something to compare
    assert (made - wanted).abs().max().item() < 1e-4


@pytest.mark.parametrize("kind", list(tiny_diffusion.KINDS))
def test_a_picture_does_not_depend_on_its_batch(pipes: dict[str, Any], kind: str) -> None:
    pipe = pipes[kind]
    settings = GuidanceSettings("apg", SCALE, norm_threshold=5.0)
    together = ours(pipe, "default", SEEDS, settings)
    for i, seed in enumerate(SEEDS):
        assert (ours(pipe, "default", [seed], settings) - together[i : i + 1]).abs().max().item() < 1e-4
    split = ours(pipe, "default", SEEDS, settings, split=True)
    assert (split - together).abs().max().item() < 1e-4
    plain = ours(pipe, "default", SEEDS, GuidanceSettings("cfg", SCALE))
    assert (plain - together).abs().max().item() > 1e-3  # and APG does something


@pytest.mark.parametrize("build", [tiny_diffusion.sd_inpaint, tiny_diffusion.sdxl_inpaint])
def test_models_for_inpainting_do_not_see_what_the_mask_hides(build: Any, tmp_path: Path) -> None:
    pipe = build(tmp_path)
    kind = FAMILIES[type(pipe).__name__]
    drawn = np.random.default_rng(2).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    mask = Image.new("L", (16, 16), 0)
    mask.paste(255, (0, 0, 8, 16))
    made = []
    for hidden, seen in ((0, 0), (255, 0), (0, 90)):
        pixels = drawn.copy()
        pixels[:, :8], pixels[:, 12:] = hidden, pixels[:, 12:] // 2 + seen
        family = kind(pipe, make_scheduler(pipe.scheduler, kind.flow, "ddim", "default"))
        picture = prepare_picture(Image.fromarray(pixels), mask, (16, 16))
        # At strength 1 the first step begins from noise alone.
        start = begin(family, picture, 1.0, 1)
        assert (start.extra is not None) == (build is tiny_diffusion.sd_inpaint)
        told, free = family.encode(["a face"], [""], (16, 16))
        noise, generators = draw_noise([3], (4, 8, 8), family)
        states = list(denoise(Run(family, told, free, noise, generators, 4, start), Guidance(GuidanceSettings("cfg"))))
        made.append(picture.keep(family.decode(states[-1].clean)))
        assert torch.equal(made[-1][..., 8:], picture.image[..., 8:])
    if build is tiny_diffusion.sd_inpaint:
        assert torch.equal(made[0][..., :7], made[1][..., :7])
        with pytest.raises(InputError, match="only changes pictures"):
            begin(family, None, 1.0, 1)
    assert (made[0][..., :7] - made[2][..., :7]).abs().max().item() > 1e-4


def test_every_sampler_and_schedule_has_a_name() -> None:
    assert set(SAMPLERS) == {*samplers_for(flow=True), *samplers_for(flow=False)}
    for flow, kind in ((False, "sd1"), (True, "sd3")):
        for sampler in samplers_for(flow):
            for schedule in SCHEDULES:
                scheduler = tiny_diffusion.flow_scheduler() if flow else tiny_diffusion.noise_scheduler()
                try:
                    made = make_scheduler(scheduler, flow, sampler, schedule)
                except InputError as error:
                    assert schedule in str(error) and sampler in str(error)
                    continue
                levels = lay_out(made, 6, torch.device("cpu"), None, {})
                noise = [sigma / max(alpha, 1e-9) for alpha, sigma in levels.at]
                assert noise == sorted(noise, reverse=True), (kind, sampler, schedule)


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
