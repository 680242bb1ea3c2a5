"""Where shots begin: cuts to the frame, and what is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipelines.video.look.cuts import CutFinder, difference, glance, shots_of

SIZE = (320, 180)
RATE = 25.0


def scene(path: Path) -> np.ndarray:
    """A wide picture (220, 400, 3) float32 out of a photo, with room for the camera to move."""
    photo = Image.open(path).convert("RGB")
    height = round(photo.width * 220 / 400)
    top = max(0, (photo.height - height) // 3)
    cut = photo.crop((0, top, photo.width, top + height)).resize((400, 220), Image.Resampling.LANCZOS)
    return np.asarray(cut, dtype=np.float32)


@pytest.fixture(scope="module")
def scenes(astronaut: Path, no_face: Path, portraits: list[Path], selfies: list[Path]) -> list[np.ndarray]:
    return [scene(path) for path in (astronaut, no_face, selfies[0], selfies[3], portraits[4], selfies[6])]


def shot(picture: np.ndarray, frames: int, pan: float = 0.5, start: float = 0.0) -> list[np.ndarray]:
    """Frames of a slowly or quickly panning camera, float32."""
    moved = []
    for t in range(frames):
        x = 40 + 40 * np.sin((start + t) * pan / 40)
        matrix = np.array([[1, 0, x], [0, 1, 20 + 5 * np.cos(t * pan / 20)]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        moved.append(cv2.warpAffine(picture, matrix, SIZE, flags=flags, borderMode=cv2.BORDER_REFLECT))
    return moved


def starts(frames: list[np.ndarray], rate: float = RATE) -> tuple[list[int], list[int]]:
    """First frames of shots after hard cuts, and after dissolves, of a noisy video."""
    rng = np.random.default_rng(3)
    finder, said = CutFinder(rate), []
    for number, frame in enumerate(frames):
        noisy = np.clip(frame + rng.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
        begins = finder.add(glance(number, noisy))
        assert (begins is None) == (number < finder.delay)
        said += [] if begins is None else [begins]
    said += finder.rest()
    assert len(said) == len(frames)
    return [number for number, begins in enumerate(said) if begins], finder.dissolves


@pytest.mark.parametrize("rate", [12.0, 25.0, 60.0])
def test_hard_cuts_to_the_frame(scenes: list[np.ndarray], rate: float) -> None:
    lengths = [17, 30, 1, 8, 41, 25]
    frames = [f for picture, n in zip(scenes, lengths, strict=True) for f in shot(picture, n)]
    begins, dissolves = starts(frames, rate)
    # The shot of a single frame begins and ends exactly, too.
    assert begins == np.cumsum([0, *lengths[:-1]]).tolist()
    assert dissolves == []


def test_a_cut_within_a_fast_pan(scenes: list[np.ndarray]) -> None:
    frames = shot(scenes[0], 30, pan=9.0) + shot(scenes[3], 30, pan=9.0)
    assert starts(frames)[0] == [0, 30]


@pytest.mark.parametrize("flashes", [(20,), (20, 21), (20, 23)])
def test_a_flash_is_no_cut(scenes: list[np.ndarray], flashes: tuple[int, ...]) -> None:
    frames = shot(scenes[2], 50)
    for number in flashes:
        frames[number] = np.minimum(frames[number] * 2.5 + 90, 255)
    assert starts(frames) == ([0], [])
    white = [np.full_like(frame, 255) if n == 30 else frame for n, frame in enumerate(frames)]
    assert starts(white) == ([0], [])


def test_light_that_goes_on_is_no_cut(scenes: list[np.ndarray]) -> None:
    frames = [frame * (0.35 if n < 25 else 1.0) for n, frame in enumerate(shot(scenes[3], 50))]
    assert starts(frames) == ([0], [])


def test_motion_is_no_cut(scenes: list[np.ndarray]) -> None:
    pan = shot(scenes[5], 60, pan=12.0)
    zoom = [cv2.resize(frame[n : 180 - n, 2 * n : 320 - 2 * n], SIZE) for n, frame in enumerate(shot(scenes[1], 45))]
    assert starts(pan) == ([0], [])
    assert starts(zoom) == ([0], [])
    passing = shot(scenes[0], 50)
    for n, frame in enumerate(passing):  # something large and dark goes through the picture in 0.6 s
        left = round(-200 + (n - 15) * 520 / 15)
        frame[:, max(left, 0) : max(left + 200, 0)] = 25
    assert starts(passing) == ([0], [])


@pytest.mark.parametrize("length", [8, 15, 30])
def test_a_dissolve_is_one_boundary(scenes: list[np.ndarray], length: int) -> None:
    before, after = shot(scenes[0], 40 + length), shot(scenes[5], 40 + length)
    shares = np.linspace(0, 1, length + 2)[1:-1]
    mixed = [a * (1 - s) + b * s for a, b, s in zip(before[40:], after[:length], shares, strict=True)]
    begins, dissolves = starts(before[:40] + mixed + after[length:])
    found = shots_of(begins, dissolves, 80 + length, 10)
    assert len(found) == 2
    assert 40 - 2 <= found[1, 0] <= 40 + length + 2


def test_a_fade_through_black_is_few_shots(scenes: list[np.ndarray]) -> None:
    down = [frame * (1 - n / 20) for n, frame in enumerate(shot(scenes[2], 20))]
    up = [frame * (n / 20) for n, frame in enumerate(shot(scenes[4], 20))]
    black = [np.zeros_like(down[0])] * 8
    begins, dissolves = starts(shot(scenes[2], 30) + down + black + up + shot(scenes[4], 30))
    found = shots_of(begins, dissolves, 108, 10)
    assert 2 <= len(found) <= 4
    # No shot shows both scenes.
    assert any(40 <= start <= 62 for start in found[:, 0])


def test_shots_have_no_gaps() -> None:
    shots = shots_of([0, 10, 50], [30, 48], 80, 5)
    assert shots.tolist() == [[0, 10], [10, 30], [30, 50], [50, 80]]
    assert shots.dtype == np.int64
    assert shots_of([0], [], 3, 5).tolist() == [[0, 3]]


def test_blank_pictures_differ_by_their_light_alone() -> None:
    black, dark, white = (glance(0, np.full((90, 160, 3), level, np.uint8)) for level in (0, 20, 255))
    assert difference(black, dark) == 0.0
    assert difference(black, white) == 1.0
