"""The arithmetic of a comparison: means, spreads, and distances at one drift."""

from __future__ import annotations

import pytest
from PIL import Image

from pipelines.finetune.comparison import Comparison, Row, along


def row(method: str, seed: int, curve: tuple[tuple[float, float], ...], distance: float = 5.0) -> Row:
    return Row(method, "medium", seed, distance, 0.9, curve[-1][0], 0.1, 10.0 + seed, None, 100, 50, curve)


def test_a_distance_along_a_curve() -> None:
    curve = ((0.0, 100.0), (0.2, 60.0), (0.1, 90.0))
    assert along(curve, 0.0) == 100 and along(curve, 0.1) == 90 and along(curve, 0.2) == 60
    assert along(curve, 0.05) == pytest.approx(95) and along(curve, 0.15) == pytest.approx(75)
    assert along(curve, 0.5) == 60 and along(curve, -1) == 100
    assert along(((0.0, 100.0), (0.0, 80.0)), 0.0) in (80, 100)


def test_the_table_has_means_spreads_and_equal_drift() -> None:
    rows = (
        row("slow", 0, ((0.0, 100.0), (0.1, 80.0)), 80.0),
        row("slow", 1, ((0.0, 100.0), (0.1, 70.0)), 70.0),
        row("fast", 0, ((0.0, 100.0), (0.4, 20.0)), 20.0),
        row("fast", 1, ((0.0, 100.0), (0.2, 60.0)), 60.0),
    )
    found = Comparison(rows, Image.new("RGB", (4, 4)))
    slow, fast = found.table()
    assert (slow["method"], slow["seeds"], slow["distance"]) == ("slow", 2, 75.0)
    assert slow["distance_spread"] == pytest.approx(7.07107) and slow["seconds"] == 10.5
    assert "memory" not in slow and slow["bytes"] == 100
    assert found.drift("medium") == 0.1  # the least of what each reaches
    assert slow["distance_at_drift"] == 75 and fast["distance_at_drift"] == pytest.approx((80 + 80) / 2)
    assert [r["seed"] for r in found.as_dict()["rows"]] == [0, 1, 0, 1]
