"""Guidance against float64 references written from the papers' formulas."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.errors import InputError
from models.guidance import METHODS, Guidance, GuidanceSettings, MomentumBuffer, Step, apg, auto_threshold, cfg, preset
from models.guidance.fdg import fdg, low_band
from models.guidance.rescale import rescaled
from models.guidance.spaces import from_noise, from_x0, to_noise, to_x0
from models.guidance.thresholding import thresholded
from models.guidance.zero_star import zero_star

SHAPES = [(2, 4, 8, 8), (3, 16, 12), (1, 4, 3, 6, 6)]


def draw(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def reference(pairs: list[tuple[Tensor, Tensor]], scale: float, eta: float, r: float, beta: float) -> list[Tensor]:
    """Algorithm 1 of arXiv 2410.02416, one sample at a time, all of it in float64."""
    results = []
    running: list[Tensor | None] = [None] * len(pairs[0][0])
    for cond, uncond in pairs:
        made = []
        for i, (c, u) in enumerate(zip(cond.double(), uncond.double(), strict=True)):
            push = c - u
            if beta != 0:
                running[i] = push if running[i] is None else push + beta * running[i]
                push = running[i]
            length = push.square().sum().sqrt()
            if r > 0:
                push = push * min(1.0, (r / length).item())
            parallel = (push * c).sum() / c.square().sum() * c
            made.append(c + (scale - 1) * (push - parallel + eta * parallel))
        results.append(torch.stack(made))
    return results


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("r", [0.0, 2.5, 15.0])
@pytest.mark.parametrize("beta", [0.0, -0.5, -0.75])
def test_apg_is_algorithm_1(shape: tuple[int, ...], eta: float, r: float, beta: float) -> None:
    for scale in (1.0, 4.0, 15.0):
        pairs = [(draw(shape, 10 + i), draw(shape, 50 + i)) for i in range(10)]
        wanted = reference(pairs, scale, eta, r, beta)
        buffer = MomentumBuffer(beta)
        for (cond, uncond), expected in zip(pairs, wanted, strict=True):
            made = apg(cond, uncond, scale, eta, r, buffer)
            assert made.dtype == torch.float32
            assert ((made - expected).norm() / expected.norm()).item() < 1e-6


def test_in_float64_the_reduced_form_is_exact() -> None:
    pairs = [(draw((2, 4, 8, 8), i, torch.float64), draw((2, 4, 8, 8), i + 9, torch.float64)) for i in range(3)]
    buffer = MomentumBuffer(-0.5)
    for (cond, uncond), expected in zip(pairs, reference(pairs, 7.5, 0.2, 2.5, -0.5), strict=True):
        assert (apg(cond, uncond, 7.5, 0.2, 2.5, buffer) - expected).abs().max() < 1e-12


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_width_predictions_are_widened_before_the_difference(dtype: torch.dtype) -> None:
    cond, uncond = draw((2, 4, 8, 8), 1, dtype), draw((2, 4, 8, 8), 2, dtype)
    expected = reference([(cond, uncond)], 10.0, 0.0, 2.5, 0.0)[0]
    made = apg(cond, uncond, 10.0, 0.0, 2.5)
    assert made.dtype == torch.float32
    assert ((made - expected).norm() / expected.norm()).item() < 1e-6


def test_neutral_apg_is_cfg_to_the_bit() -> None:
    cond, uncond = draw((4, 4, 8, 8), 3), draw((4, 4, 8, 8), 4)
    for scale in (1.0, 5.0, 15.0):
        assert torch.equal(apg(cond, uncond, scale, eta=1.0), cfg(cond, uncond, scale))
        assert torch.equal(apg(cond, uncond, scale, 1.0, 0.0, MomentumBuffer(0.0)), uncond + scale * (cond - uncond))
    neutral = GuidanceSettings("apg", 7.5, eta=1.0, norm_threshold=0.0, momentum=0.0)
    step = Step(0, 10, 0.6, 0.8, "epsilon")
    made = Guidance(neutral)(draw((4, 4, 8, 8), 5), cond, uncond, step)
    assert torch.equal(made, uncond + 7.5 * (cond - uncond))


def test_without_the_parallel_part_the_norm_grows_by_the_orthogonal_push_alone() -> None:
    cond, uncond = draw((1, 4, 8, 8), 6, torch.float64), draw((1, 4, 8, 8), 7, torch.float64)
    push = cond - uncond
    across = push - (push * cond).sum() / cond.square().sum() * cond
    made = apg(cond, uncond, 5.0)
    assert made.square().sum().item() == pytest.approx((cond.square().sum() + 16 * across.square().sum()).item())


def test_momentum_belongs_to_the_step_not_to_its_evaluations() -> None:
    buffer = MomentumBuffer(-0.5)
    first, second, third = (draw((2, 3), i) for i in range(3))
    assert torch.equal(buffer.update(first), first)
    assert torch.equal(buffer.update(second, stage=1), second)  # reads what was there before this step: nothing
    assert torch.equal(buffer.update(second), second - 0.5 * first)
    assert torch.allclose(buffer.update(third, stage=1), third - 0.5 * first)
    assert torch.allclose(buffer.update(third), third - 0.5 * (second - 0.5 * first))
    buffer.reset()
    assert torch.equal(buffer.update(third), third)


KINDS = ["epsilon", "v", "flow", "x0"]


def step_of(kind: str, index: int = 0, level: float = 0.7) -> Step:
    alpha, sigma = (1 - level, level) if kind == "flow" else (math.cos(level), math.sin(level))
    return Step(index, 10, alpha, sigma, kind, next_alpha=math.cos(level / 2), next_sigma=math.sin(level / 2))


@pytest.mark.parametrize("kind", KINDS)
def test_spaces_go_there_and_back(kind: str) -> None:
    x, output = draw((2, 4, 6, 6), 1, torch.float64), draw((2, 4, 6, 6), 2, torch.float64)
    step = step_of(kind)
    assert torch.allclose(from_x0(x, to_x0(x, output, step), step), output, atol=1e-12)
    assert torch.allclose(from_noise(x, to_noise(x, output, step), step), output, atol=1e-12)
    clean, noise = to_x0(x, output, step), to_noise(x, output, step)
    assert torch.allclose(step.alpha * clean + step.sigma * noise, x, atol=1e-12)


@pytest.mark.parametrize("method", ["cfg", "apg", "threshold", "fdg"])
def test_methods_agree_whatever_the_network_predicts(method: str) -> None:
    """Over ten steps with momentum: the same x and x0 predictions through all three kinds of output."""
    settings = GuidanceSettings(method, 8.0, norm_threshold=5.0, norm_units="paper")
    for kinds in (("epsilon", "v", "x0"),):
        runs = {kind: Guidance(settings) for kind in kinds}
        for index in range(10):
            level = 1.3 - 0.12 * index
            x, told, free = (draw((2, 4, 8, 8), 100 * index + i) for i in range(3))
            found = {}
            for kind, run in runs.items():
                step = step_of(kind, index, level)
                raw = run(x, from_x0(x, told, step), from_x0(x, free, step), step)
                found[kind] = to_x0(x, raw, step)
            for kind in kinds[1:]:
                gap = (found[kind] - found["epsilon"]).norm() / found["epsilon"].norm()
                assert gap.item() < 1e-5


@pytest.mark.parametrize("method", ["cfg", "apg"])
def test_flow_agrees_too(method: str) -> None:
    """A flow at t and a noise predictor with the same x0 predictions: guidance must not know the difference."""
    settings = GuidanceSettings(method, 6.0, norm_threshold=5.0, norm_units="paper")
    told, free, x = (draw((2, 4, 8, 8), i) for i in range(3))
    flow, noise = step_of("flow"), step_of("epsilon")
    a = to_x0(x, Guidance(settings)(x, from_x0(x, told, flow), from_x0(x, free, flow), flow), flow)
    b = to_x0(x, Guidance(settings)(x, from_x0(x, told, noise), from_x0(x, free, noise), noise), noise)
    assert (a - b).norm() / b.norm() < 1e-5


@pytest.mark.parametrize("method", list(METHODS))
def test_samples_do_not_see_each_other(method: str) -> None:
    settings = GuidanceSettings(method, 9.0, norm_threshold=2.0)
    together, alone = Guidance(settings), [Guidance(settings) for _ in range(3)]
    for index in range(3):
        x, cond, uncond = (draw((3, 4, 8, 8), 10 * index + i) for i in range(3))
        step = step_of("epsilon", index, 1.2 - 0.3 * index)
        whole = together(x, cond, uncond, step)
        for i, run in enumerate(alone):
            one = slice(i, i + 1)
            assert torch.allclose(run(x[one], cond[one], uncond[one], step), whole[one], atol=1e-5)
    for i, run in enumerate(alone):
        assert [p.difference for p in run.probes[0]] == pytest.approx([p.difference for p in together.probes[i]])


def test_packed_tokens_and_maps_are_the_same_to_apg() -> None:
    settings = GuidanceSettings("apg", 5.0, norm_threshold=3.0)
    x, cond, uncond = (draw((2, 4, 8, 8), i) for i in range(3))
    step = step_of("flow")
    pack = lambda t: t.flatten(2).transpose(1, 2)  # noqa: E731
    maps = Guidance(settings)(x, cond, uncond, step)
    tokens = Guidance(settings)(pack(x), pack(cond), pack(uncond), step)
    assert torch.allclose(pack(maps), tokens, atol=1e-5)


def test_the_limit_follows_the_size_of_the_latent() -> None:
    relative = Guidance(GuidanceSettings(norm_threshold=15.0))
    assert relative.limit(4 * 128 * 128) == pytest.approx(15.0)
    assert relative.limit(4 * 64 * 64) == pytest.approx(7.5)
    assert Guidance(GuidanceSettings(norm_threshold=15.0, norm_units="paper")).limit(10) == 15.0


def test_the_interval_leaves_guidance_out_and_says_so() -> None:
    run = Guidance(GuidanceSettings("apg", 5.0, norm_threshold=0.0, interval=(0.3, 5.0)))
    late, early, middle = (replace(step_of("epsilon"), alpha=a, sigma=s, index=i)
                           for i, (a, s) in enumerate([(0.1, 0.9), (1.0, 0.2), (0.7, 0.7)]))  # fmt: skip
    assert [run.needs_uncond(s) for s in (late, early, middle)] == [False, False, True]
    x, cond, uncond = (draw((1, 4, 8, 8), i) for i in range(3))
    assert torch.equal(run(x, cond, None, late), cond)
    assert not torch.allclose(run(x, cond, uncond, middle), cond)
    assert [p.guided for p in run.probes[0]] == [False, True]


def test_a_scale_of_one_switches_every_method_off() -> None:
    x, cond, uncond = (draw((1, 4, 8, 8), i) for i in range(3))
    for method in METHODS:
        run = Guidance(GuidanceSettings(method, 1.0, norm_threshold=0.0))
        assert not run.needs_uncond(step_of("v"))
        assert torch.equal(run(x, cond, uncond, step_of("v")), cond)


def test_at_the_ends_of_the_schedule_guidance_is_plain_and_finite() -> None:
    x, cond, uncond = (draw((1, 4, 8, 8), i) for i in range(3))
    run = Guidance(GuidanceSettings("apg", 5.0, norm_threshold=1.0))
    for alpha, sigma in ((1.0, 0.0), (0.0, 1.0)):
        made = run(x, cond, uncond, Step(0, 2, alpha, sigma, "epsilon"))
        assert torch.equal(made, cfg(cond, uncond, 5.0))
    assert all(math.isfinite(p.push) for p in run.probes[0])


def test_probes_measure_what_was_done() -> None:
    settings = GuidanceSettings("apg", 5.0, norm_threshold=3.0, norm_units="paper", momentum=0.0)
    x, cond, uncond = (draw((2, 4, 8, 8), i) for i in range(3))
    step = step_of("x0")
    run = Guidance(settings)
    made = run(x, cond, uncond, step)
    for i, (probe,) in enumerate(run.probes):
        push = cond[i] - uncond[i]
        assert probe.difference == pytest.approx(push.norm().item(), rel=1e-4)
        assert probe.clip == pytest.approx(3.0 / push.norm().item(), rel=1e-4)
        assert probe.push == pytest.approx((made[i] - cond[i]).norm().item(), rel=1e-4)
        share = abs((push * cond[i]).sum().item()) / (push.norm() * cond[i].norm()).item()
        assert probe.parallel == pytest.approx(share, rel=1e-3)
        assert probe.noise_level == pytest.approx(step.sigma / step.alpha)


def test_rescale_restores_the_standard_deviation() -> None:
    cond, uncond = draw((2, 4, 8, 8), 1), draw((2, 4, 8, 8), 2)
    whole = rescaled(cond, uncond, 9.0, 1.0)
    assert torch.allclose(whole.flatten(1).std(1), cond.flatten(1).std(1), rtol=1e-4)
    mixed = rescaled(cond, uncond, 9.0, 0.7)
    assert torch.allclose(mixed, 0.7 * whole + 0.3 * cfg(cond, uncond, 9.0), atol=1e-5)


def test_thresholding_stays_in_the_range_of_the_prediction() -> None:
    cond, uncond = draw((2, 4, 16, 16), 1), draw((2, 4, 16, 16), 2)
    made = thresholded(cond, uncond, 12.0, 1.0)
    assert torch.allclose(made.flatten(1).abs().amax(1), cond.flatten(1).abs().amax(1), rtol=1e-5)
    guided = cfg(cond, uncond, 12.0)
    ratio = cond.flatten(1).abs().amax(1) / guided.flatten(1).abs().amax(1)
    assert torch.allclose(made, guided * ratio[:, None, None, None], atol=1e-5)


def test_zero_star_fits_the_unguided_prediction_first() -> None:
    cond = draw((2, 4, 8, 8), 1, torch.float64)
    uncond = 0.4 * cond
    assert torch.allclose(zero_star(cond, uncond, 9.0), cond)  # all of the difference was a matter of length
    other = draw((2, 4, 8, 8), 2, torch.float64)
    share = [(c * u).sum() / u.square().sum() for c, u in zip(cond, other, strict=True)]
    wanted = torch.stack([s * u + 9 * (c - s * u) for s, c, u in zip(share, cond, other, strict=True)])
    assert torch.allclose(zero_star(cond, other, 9.0), wanted)
    run = Guidance(GuidanceSettings("zero_star", 5.0, zero_steps=2))
    x = draw((2, 4, 8, 8), 5)
    flow = [run(x, cond.float(), other.float(), step_of("flow", i)) for i in range(3)]
    assert [bool(t.any()) for t in flow] == [False, False, True]
    assert run(x, cond.float(), other.float(), step_of("v", 0)).any()


def test_cfgpp_takes_the_step_of_its_paper() -> None:
    x, cond, uncond = (draw((1, 4, 8, 8), i, torch.float64) for i in range(3))
    step = step_of("epsilon")
    assert step.next_alpha is not None and step.next_sigma is not None
    handed = Guidance(GuidanceSettings("cfgpp", 7.5))(x, cond, uncond, step)
    taken = step.next_alpha * to_x0(x, handed, step) + step.next_sigma * handed  # DDIM
    mixed = uncond + 0.6 * (cond - uncond)
    wanted = step.next_alpha * to_x0(x, mixed, step) + step.next_sigma * uncond
    assert torch.allclose(taken, wanted, atol=1e-10)
    with pytest.raises(InputError, match="ddim or euler"):
        Guidance(GuidanceSettings("cfgpp", 7.5))(x, cond, uncond, replace(step, next_alpha=None))


def test_frequency_decoupling_with_equal_scales_is_plain() -> None:
    cond, uncond = draw((2, 4, 16, 16), 1), draw((2, 4, 16, 16), 2)
    assert torch.allclose(fdg(cond, uncond, 6.0, 6.0), cfg(cond, uncond, 6.0), atol=1e-4)
    flat = torch.ones(1, 1, 16, 16)
    assert torch.allclose(low_band(flat), flat, atol=1e-6)  # a plain colour is all low
    assert torch.allclose(fdg(cond, cond - 1.0, 6.0, 1.0), cond, atol=1e-5)  # and low_scale 1 leaves it alone
    checks = (torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1
    assert low_band(checks[None, None])[..., 4:-4, 4:-4].abs().max() < 1e-6  # the finest pattern is all high


def test_auto_threshold_is_the_median_push_in_the_units_of_the_setting() -> None:
    run = Guidance(GuidanceSettings("cfg", 5.0))
    for index, size in enumerate((1.0, 2.0, 9.0)):
        cond = draw((1, 4, 8, 8), index)
        run(cond, cond, cond - size * cond / cond.norm(), step_of("x0", index))
    found = auto_threshold(run.probes, 4 * 8 * 8)
    assert found == pytest.approx(2.0 * 16, rel=1e-3)
    assert Guidance(GuidanceSettings(norm_threshold=found)).limit(4 * 8 * 8) == pytest.approx(2.0, rel=1e-3)
    with pytest.raises(InputError, match="auto"):
        Guidance(GuidanceSettings(norm_threshold="auto"))


def test_settings_go_through_json_and_refuse_what_is_wrong() -> None:
    chosen = GuidanceSettings("fdg", 9.0, low_scale=2.0, interval=(0.3, math.inf))
    assert GuidanceSettings.from_dict(chosen.to_dict()) == chosen
    assert chosen.to_dict()["interval"] == [0.3, None]
    for wrong, said in (
        ({"method": "magic"}, "magic"), ({"scale": 0.5}, "scale"), ({"scale": float("nan")}, "scale"),
        ({"scale": "9"}, "scale"), ({"scale": True}, "scale"), ({"eta": 2}, "eta"), ({"interval": [3, 1]}, "interval"),
        ({"interval": 3}, "interval"), ({"norm_threshold": -1}, "norm_threshold"), ({"norm_units": "feet"}, "feet"),
        ({"burn": 1}, "burn"), ({"momentum": -2}, "momentum"), ({"low_scale": 0}, "low_scale"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            GuidanceSettings.from_dict(wrong)


def test_presets_are_the_papers() -> None:
    assert (preset("sdxl").norm_threshold, preset("sdxl").momentum, preset("sdxl").eta) == (15.0, -0.5, 0.0)
    assert (preset("dit").norm_threshold, preset("dit").momentum) == (5.0, -0.5)
    assert (preset("edm2").norm_threshold, preset("edm2").momentum) == (2.5, -0.75)
    assert preset("unheard of") == GuidanceSettings()
