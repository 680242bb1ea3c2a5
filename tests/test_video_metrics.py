"""The figures of `bench.video_metrics` on videos whose answer is known."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from bench.video_metrics import (
    Flow,
    global_identity,
    inside,
    jitter,
    jitter_ratio,
    local_identity,
    psnr,
    spread,
    steadiness,
    to_truth,
)

SIDE, FRAMES = 96, 6
WHOLE = np.tile(np.array([[0, 0], [0, SIDE - 1], [SIDE - 1, SIDE - 1], [SIDE - 1, 0]], np.float32), (FRAMES, 1, 1))


def texture(seed: int = 0, side: int = 160) -> np.ndarray:
    """A soft picture (side, side, 3) uint8 with something to follow everywhere."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 3)
    return (128 + 40 * soft / soft.std()).clip(0, 255).astype(np.uint8)


def sliding(step: int = 2) -> list[np.ndarray]:
    """A window that moves over the texture by whole pixels."""
    picture = texture()
    return [picture[t * step : t * step + SIDE, 10 + t : 10 + t + SIDE] for t in range(FRAMES)]


def people(angles: np.ndarray) -> np.ndarray:
    """Unit vectors (T, 128) in a plane at these angles, so that cosines are known."""
    vectors = np.zeros((len(angles), 128))
    vectors[:, 0], vectors[:, 1] = np.cos(angles), np.sin(angles)
    return vectors


def walk(seed: int = 1) -> np.ndarray:
    """Landmarks (T, 5, 2) that wander."""
    return 50 + np.random.default_rng(seed).normal(size=(40, 5, 2)).cumsum(axis=0)


def test_the_source_itself_is_perfect() -> None:
    source, landmarks, frames = people(np.linspace(0, 0.6, 30)), walk(), sliding()
    assert local_identity(source, source) == pytest.approx(1)
    assert global_identity(source, source) == pytest.approx(1)
    assert jitter_ratio(landmarks, landmarks) == 1
    own, result = steadiness(((frame, frame) for frame in frames), WHOLE)
    assert result == own
    assert result.change == result.size == 0 < result.warp
    assert psnr(frames[0], frames[0], WHOLE[0]) == float("inf")


def test_identity_that_flickers_is_seen_by_both_and_drift_by_the_global_one() -> None:
    still = people(np.zeros(20))
    flicker = people(np.tile([0.0, 0.5], 10))
    assert local_identity(still, flicker) == pytest.approx(np.cos(0.5))
    # 10 of the other 19 frames are of the other kind.
    assert global_identity(still, flicker) == pytest.approx((10 * np.cos(0.5) + 9) / 19)
    drift = people(np.linspace(0, 1.0, 20))
    assert local_identity(still, drift) == pytest.approx(np.cos(1 / 19))
    assert global_identity(still, drift) < 0.95


def test_identity_is_measured_against_the_source() -> None:
    turning = people(np.linspace(0, 1.0, 20))
    assert local_identity(turning, people(np.zeros(20))) == pytest.approx(1 / np.cos(1 / 19))


def test_jitter_is_the_second_difference() -> None:
    even = np.arange(12.0)[:, None, None] * np.array([1.5, -0.5]) + np.zeros((12, 5, 2))
    assert jitter(even) == pytest.approx(0, abs=1e-12)
    curved = even**2
    assert jitter(curved) == pytest.approx(2 * np.hypot(1.5**2, 0.5**2))
    shaking = even.copy()
    shaking[::2, :, 0] += 0.25
    # Every second difference is -1, +2, -1 times the shift, or the other way round.
    assert jitter(shaking) == pytest.approx(0.5)
    assert jitter_ratio(curved, 3 * curved) == pytest.approx(3)


def test_spread_tells_drift_from_flicker() -> None:
    drift, flicker = spread(np.linspace(40, 60, 21)), spread(np.tile([45.0, 55.0], 10))
    assert flicker["mean"] == pytest.approx(50) and flicker["std"] == pytest.approx(5)
    assert flicker["flicker"] == pytest.approx(5, rel=0.1)
    assert drift["std"] > 6 and spread(np.linspace(40, 60, 21), window=3)["flicker"] < 0.25


def test_a_moved_picture_has_no_warp_error() -> None:
    frames = sliding()
    (own,) = steadiness(((frame,) for frame in frames), WHOLE)
    assert own.warp < 2e-5
    still = float(np.mean([((a / 255.0 - b / 255.0) ** 2).mean() for a, b in pairwise(frames)]))
    assert own.warp < still / 100


def test_the_flow_finds_the_motion_to_a_tenth_of_a_pixel() -> None:
    frames = sliding(step=3)
    places, seen = Flow().back(frames[0], frames[1])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    motion = (places - np.stack([columns, rows], -1))[16:-16, 16:-16]
    assert np.abs(np.median(motion, axis=(0, 1)) - (1, 3)).max() < 0.1
    assert seen[16:-16, 16:-16].mean() > 0.99


def test_flicker_adds_the_square_of_its_step() -> None:
    frames = [texture()[:SIDE, :SIDE] for _ in range(FRAMES)]
    bright = [
        np.clip(frame.astype(int) + (8 if t % 2 else 0), 0, 255).astype(np.uint8) for t, frame in enumerate(frames)
    ]
    own, result = steadiness(zip(frames, bright, strict=True), WHOLE)
    assert own.warp < 1e-9
    assert result.warp == pytest.approx((8 / 255) ** 2, rel=0.03)  # a little less where levels end at 255
    assert result.change == pytest.approx((8 / 255) ** 2, rel=0.03)


def test_a_change_that_moves_along_does_not_flicker_and_one_that_stays_behind_does() -> None:
    frames, spots = sliding(), texture(7)
    along = [spots[t * 2 : t * 2 + SIDE, 10 + t : 10 + t + SIDE] for t in range(FRAMES)]
    mixed = [(frame * 0.8 + spot * 0.2).round().astype(np.uint8) for frame, spot in zip(frames, along, strict=True)]
    stuck = [(frame * 0.8 + spots[:SIDE, :SIDE] * 0.2).round().astype(np.uint8) for frame in frames]
    _, moving, staying = steadiness(zip(frames, mixed, stuck, strict=True), WHOLE)
    assert moving.size == pytest.approx(staying.size, rel=0.2) and moving.size > 1e-3
    assert moving.change < moving.size / 50
    assert staying.change > 5 * moving.change


def test_only_the_square_counts() -> None:
    frames = [texture()[:SIDE, :SIDE] for _ in range(FRAMES)]
    spoilt = [frame.copy() for frame in frames]
    for t in range(1, FRAMES, 2):
        spoilt[t][:, 60:] = 0
    left = np.tile(np.array([[4, 4], [4, 90], [50, 90], [50, 4]], np.float32), (FRAMES, 1, 1))
    own, result = steadiness(zip(frames, spoilt, strict=True), left)
    assert result == own
    assert inside(left[0], SIDE, SIDE).sum() == 47 * 87


def test_what_a_moving_thing_uncovers_does_not_count() -> None:
    ground, thing = texture(3)[:SIDE, :SIDE], texture(4)[:30, :30]
    frames = []
    for t in range(FRAMES):
        frame = ground.copy()
        frame[30:60, 10 + 4 * t : 40 + 4 * t] = thing
        frames.append(frame)
    _, seen = Flow().back(frames[2], frames[3])
    uncovered = seen[34:56, 18:21]  # was behind the thing
    assert uncovered.mean() < 0.5 < 0.95 < seen[:25].mean()


def test_distance_to_the_truth() -> None:
    same, turned = people(np.zeros(4)), people(np.full(4, 0.3))
    found = to_truth(turned, same, np.array([60.0, 64, 66, 70]), np.full(4, 66.0))
    assert found["identity"] == pytest.approx(np.cos(0.3))
    assert found["age_difference"] == pytest.approx(-1)
    assert found["age_error"] == pytest.approx(3)
    assert found["age_std"] == pytest.approx(np.std([60, 64, 66, 70]))
    frame = texture()[:SIDE, :SIDE] // 2
    assert psnr(frame, frame + 5, WHOLE[0]) == pytest.approx(20 * np.log10(255 / 5))
