"""What a network is asked for while it learns, against the formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.guidance.spaces import Step, to_x0
from pipelines.finetune.objective import Objective
from tests.tiny_diffusion import flow_scheduler, noise_scheduler


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def objective(kind: Any, **more: Any) -> Objective:
    scheduler = flow_scheduler() if kind == "flow" else noise_scheduler()
    return Objective.of(scheduler, kind, **more)


@pytest.mark.parametrize("kind", ["epsilon", "v", "x0", "flow"])
def test_a_perfect_answer_gives_the_picture_back(kind: Any) -> None:
    asked = objective(kind)
    clean, noise = torch.randn(6, 4, 8, 8, generator=drawn(1)), asked.draw_noise((6, 4, 8, 8), drawn(2))
    times = asked.draw_times(6, drawn(3))
    x, said = asked.noisy(clean, noise, times), asked.goal(clean, noise, times)
    for i, time in enumerate(times):
        if kind == "flow":
            sigma = float(time) / 1000
            alpha = 1 - sigma
        else:
            squared = float(noise_scheduler().alphas_cumprod[int(time)])
            alpha, sigma = squared**0.5, (1 - squared) ** 0.5
        assert torch.allclose(x[i], alpha * clean[i] + sigma * noise[i], atol=1e-5)
        back = to_x0(x[i : i + 1], said[i : i + 1], Step(0, 1, alpha, sigma, kind))
        assert torch.allclose(back, clean[i : i + 1], atol=1e-3)
    assert asked.loss(said, clean, noise, times).abs().max() < 1e-12
    assert (asked.loss(said + 1, clean, noise, times) - asked.weights(times)).abs().max() < 1e-5


def test_min_snr_counts_the_error_of_the_picture() -> None:
    """Hang et al. 2023: whatever is predicted, an error of x0 counts min(SNR, 5)."""
    times = torch.tensor([0.0, 100.0, 500.0, 900.0])
    squared = noise_scheduler().alphas_cumprod[times.long()]
    snr = squared / (1 - squared)
    of_x0 = {"epsilon": snr, "v": snr + 1, "x0": torch.ones(4)}  # the output's error for one of x0
    for kind, factor in of_x0.items():
        weight = objective(kind).weights(times)
        assert torch.allclose(weight * factor, snr.clamp(max=5.0), rtol=1e-4)
        assert torch.equal(objective(kind, min_snr=None).weights(times), torch.ones(4))
    assert torch.equal(objective("flow").weights(times), torch.ones(4))


def test_times_are_drawn_where_they_matter() -> None:
    times = objective("epsilon").draw_times(20_000, drawn(4))
    assert torch.equal(times, times.round()) and times.min() == 0 and times.max() == 999
    assert abs(times.mean().item() - 499.5) < 10
    flows = objective("flow").draw_times(20_000, drawn(4))
    assert flows.min() > 0 and flows.max() < 1000
    assert flows.median().item() == pytest.approx(750, abs=10)  # shift 3: 3 * 0.5 / (1 + 2 * 0.5)


def test_offset_noise_is_shared_by_a_channel() -> None:
    plain, shifted = (objective("epsilon", offset=o).draw_noise((4000, 4, 4, 4), drawn(5)) for o in (0.0, 0.5))
    assert plain.mean((2, 3)).var().item() == pytest.approx(1 / 16, rel=0.05)
    assert shifted.mean((2, 3)).var().item() == pytest.approx(1 / 16 + 0.25, rel=0.05)
    gap = shifted - plain
    assert torch.allclose(gap, gap[:, :, :1, :1].expand_as(gap), atol=1e-6)
