"""MyTimeMachine's losses, its sampling of ages and its optimizer, against the formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.aging.personal import (
    adaptive_weight,
    beyond,
    closeness,
    draw_inside,
    draw_outside,
    personal_unlikeness,
    w_norm,
)
from pipelines.personalize.ranger import Ranger


def unit(*rows: list[float]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows), dim=1)


def test_closeness_is_half_a_cosine() -> None:
    assert closeness(torch.tensor([0.0, 50.0, 100.0])).tolist() == pytest.approx([1.0, 0.75, 0.5])


def test_the_adaptive_weight_has_the_published_figures() -> None:
    years = torch.tensor([10.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    wanted = [0.086, 0.33, 1.21, 2.29, 3.17, 3.5]
    assert adaptive_weight(years, 7.0).tolist() == pytest.approx(wanted, abs=0.006)


def test_the_w_norm_is_frobenius() -> None:
    codes = torch.zeros(2, 3, 4)
    codes[1] = 2.0
    assert w_norm(codes, torch.ones(4)).tolist() == pytest.approx([math.sqrt(12), math.sqrt(12)])


def test_beyond_counts_years_outside() -> None:
    assert beyond(torch.tensor([20.0, 30.0, 55.0, 70.0, 82.0]), 30, 70).tolist() == [10, 0, 0, 0, 12]


def test_likeness_is_to_photos_of_about_that_age() -> None:
    album = unit([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    ages = torch.tensor([30.0, 33.0, 60.0])
    vectors = unit([1.0, 0.0], [1.0, 0.0], [1.0, 0.0])
    # 30 and 33 are within 3 years of 32; only 33 is within 3 of 36; 45 is nearest to 33, whose window holds 30 too.
    found = personal_unlikeness(vectors, album, ages, torch.tensor([32.0, 36.0, 45.0]))
    assert found.tolist() == pytest.approx([0.0, 1.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("pair", [(24, 27), (29, 32), (57, 60)])
def test_exactly_three_years_are_near(pair: tuple[int, int]) -> None:
    album = unit([1.0, 0.0], [0.0, 1.0])
    ages = torch.tensor([float(pair[0]), float(pair[1])])
    assert personal_unlikeness(unit([0.0, 1.0]), album, ages, ages[:1]).item() == pytest.approx(0.0, abs=1e-6)


def test_the_mean_over_the_best_counts_only_near_photos() -> None:
    album = unit([1.0, 0.0], [0.6, 0.8], [0.8, 0.6])
    ages = torch.tensor([30.0, 31.0, 70.0])
    found = personal_unlikeness(unit([1.0, 0.0]), album, ages, torch.tensor([30.0]), best=3)
    assert found.item() == pytest.approx(1 - (1.0 + 0.6) / 2)


def test_gradients_reach_the_vectors() -> None:
    vectors = unit([1.0, 0.2]).requires_grad_(True)
    personal_unlikeness(vectors, unit([0.0, 1.0]), torch.tensor([40.0]), torch.tensor([40.0])).sum().backward()
    assert vectors.grad is not None and vectors.grad.tolist()[0] == pytest.approx([0.0, -1.0])


def test_ages_inside_fill_the_range() -> None:
    ages = draw_inside(4000, 20, 40, torch.Generator().manual_seed(0))
    assert 20 <= ages.min() < 20.1 and 39.9 < ages.max() <= 40 and ages.mean().item() == pytest.approx(30, abs=0.3)


def test_ages_outside_lie_on_both_sides() -> None:
    ages = draw_outside(4000, 20, 40, torch.Generator().manual_seed(0))
    young = ages[ages < 30]
    assert ((ages <= 20) | (ages >= 40)).all() and len(young) == pytest.approx(2000, abs=120)
    assert young.mean().item() == pytest.approx(10, abs=0.5) and ages.max() > 99


@pytest.mark.parametrize(("youngest", "oldest", "low", "high"), [(0, 30, 30, 100), (60, 100, 0, 60), (0, 0, 0, 100)])
def test_albums_at_the_end_of_life(youngest: float, oldest: float, low: float, high: float) -> None:
    """A newborn's album leaves nothing younger to ask for, and that is no error."""
    ages = draw_outside(200, youngest, oldest, torch.Generator().manual_seed(0))
    assert ages.min() >= low and ages.max() <= high and ages.std() > 5


def reference_ranger(start: np.ndarray, gradients: list[np.ndarray]) -> np.ndarray:
    """RAdam, gradient centralisation and look-ahead, written from their formulas in float64."""
    rate, (b1, b2), eps = 1e-2, (0.95, 0.999), 1e-5
    fast, slow = start.copy(), start.copy()
    mean, square = np.zeros_like(start), np.zeros_like(start)
    longest = 2 / (1 - b2) - 1
    for t, raw in enumerate(gradients, 1):
        gradient = raw - raw.mean(axis=1, keepdims=True)
        mean = b1 * mean + (1 - b1) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        length = longest - 2 * t * b2**t / (1 - b2**t)
        step = mean / (1 - b1**t)
        if length > 5:
            rect = math.sqrt((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length))
            step = step * rect * math.sqrt(1 - b2**t) / (np.sqrt(square) + eps)
        fast = fast - rate * step
        if t % 6 == 0:
            slow = slow + 0.5 * (fast - slow)
            fast = slow.copy()
    return fast


def test_ranger_follows_its_formulas() -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(3, 4)), [random.normal(size=(3, 4)) for _ in range(20)]
    value = torch.tensor(start, requires_grad=True)
    optimizer = Ranger([value], lr=1e-2)
    for gradient in gradients:
        value.grad = torch.tensor(gradient)
        optimizer.step()
    assert value.detach().numpy() == pytest.approx(reference_ranger(start, gradients), abs=1e-9)


def test_ranger_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    gradients = [torch.randn(2, 3) for _ in range(14)]

    def run(value: torch.Tensor, optimizer: Ranger, some: list[torch.Tensor]) -> None:
        for gradient in some:
            value.grad = gradient.clone()
            optimizer.step()

    whole = torch.zeros(2, 3, requires_grad=True)
    run(whole, Ranger([whole]), gradients)
    first = torch.zeros(2, 3, requires_grad=True)
    optimizer = Ranger([first])
    run(first, optimizer, gradients[:8])
    second = first.detach().clone().requires_grad_(True)
    again = Ranger([second])
    again.load_state_dict(optimizer.state_dict())
    run(second, again, gradients[8:])
    assert torch.equal(whole, second)
