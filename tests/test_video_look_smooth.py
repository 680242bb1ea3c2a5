"""Smoothing landmarks in time, and the parts that need no video."""

from __future__ import annotations

import numpy as np
import pytest

from models.faces import Face
from models.faces.quad import canonical_landmarks, ffhq_quad
from pipelines.video.look.persons import Person, Sighting, group, sightings
from pipelines.video.look.readers import Reading
from pipelines.video.look.result import describe
from pipelines.video.look.smooth import fit_lines, smooth_run
from pipelines.video.look.track import Pointed, Track, same_place
from pipelines.video.look.view import Patch

FACE = canonical_landmarks(100).astype(np.float64)


def run(count: int, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A face that moves evenly: (n, 5, 2), and the same with noise."""
    rng = np.random.default_rng(seed)
    true = FACE + np.arange(count)[:, None, None] * np.array([1.5, -0.5])
    return true, true + rng.normal(0, noise, true.shape)


def quads(points: np.ndarray) -> np.ndarray:
    return np.stack([ffhq_quad(each) for each in points])


def tremble(points: np.ndarray) -> float:
    return float(np.sqrt((np.diff(quads(points), 2, axis=0) ** 2).mean()))


def test_an_evenly_moving_face_stays_as_it_is() -> None:
    true, _ = run(40)
    assert np.abs(smooth_run(true, np.arange(40) / 25) - true).max() < 1e-6
    uneven = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.08, 40))
    moving = FACE + uneven[:, None, None] * np.array([40.0, 10.0])
    assert np.abs(smooth_run(moving, uneven) - moving).max() < 1e-6


def test_tremble_falls_and_the_axes_are_smoothed_most() -> None:
    true, noisy = run(100, noise=0.8)
    smooth = smooth_run(noisy, np.arange(100) / 25)
    assert tremble(smooth) < 0.1 * tremble(noisy)
    middle = [np.diff(quads(each).mean(1), 2, axis=0).std() for each in (noisy, smooth)]
    axes = [np.diff(quads(each)[:, 3] - quads(each)[:, 0], 2, axis=0).std() for each in (noisy, smooth)]
    assert middle[1] < 0.35 * middle[0] and axes[1] < 0.06 * axes[0]
    assert np.abs(quads(smooth) - quads(true)).mean() < np.abs(quads(noisy) - quads(true)).mean()


def test_the_sigmas_are_those_of_25_frames_a_second() -> None:
    """An impulse comes out as the Gaussian: 1 frame for the centre at 25 fps, twice as many frames at 50."""
    for rate in (25, 50):
        impulse = np.zeros(41)
        impulse[20] = 1.0
        answer = fit_lines(impulse, np.arange(41) / rate, 1 / 25, np.ones(41))
        sigma = rate / 25
        wanted = np.exp(-0.5 * ((np.arange(41) - 20) / sigma) ** 2)
        assert np.abs(answer - wanted / wanted.sum()).max() < 1e-3


def test_the_landmarks_move_as_their_square_does() -> None:
    _, noisy = run(30, noise=1.0)
    smooth = smooth_run(noisy, np.arange(30) / 25)
    for seen, moved in zip(noisy, smooth, strict=True):
        # One similarity takes the seen landmarks and their square to the smooth ones.
        a, b = (each - each.mean(0) for each in (seen, moved))
        one, other = a[:, 0] + 1j * a[:, 1], b[:, 0] + 1j * b[:, 1]
        factor = (one.conj() @ other) / (one.conj() @ one)
        assert np.abs(one * factor - other).max() < 1e-6
        square = (ffhq_quad(seen) - seen.mean(0)) @ np.array([1, 1j]) * factor + moved.mean(0) @ np.array([1, 1j])
        assert np.abs(ffhq_quad(moved) @ np.array([1, 1j]) - square).max() < 1e-6


def test_a_sudden_turn_is_believed() -> None:
    seconds = np.arange(60) / 25
    path = np.where(np.arange(60) < 30, np.arange(60), 60 - np.arange(60))[:, None, None] * np.array([20.0, 0.0])
    smooth = smooth_run(FACE + path, seconds)
    assert np.abs(smooth - (FACE + path)).max() < 0.08 * 100


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_runs(count: int) -> None:
    true, noisy = run(count, noise=0.1)
    smooth = smooth_run(noisy, np.arange(count) / 25)
    assert smooth.shape == true.shape and np.isfinite(smooth).all()
    assert np.abs(smooth - true).max() < 1.0


def track(first: int, count: int, who: np.ndarray, where: float = 0.0, quality: float = 0.9) -> Track:
    """A face at rest that is sampled every 5 frames."""
    noise = np.random.default_rng(first)
    made = Track(first)
    for number in range(count):
        made.add(FACE + where, 1.0)
        if number % 5 == 0 or number == count - 1:
            embedding = who + noise.normal(0, 0.03, 128)
            embedding /= np.linalg.norm(embedding)
            made.samples[first + number] = Reading(embedding.astype(np.float32), 30.0 + number % 3, quality)
    return made


def somebody(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=128)
    return np.asarray(vector / np.linalg.norm(vector))


def test_tracks_become_persons() -> None:
    ada, bob = somebody(1), somebody(2)
    brief = [track(95, 4, bob), track(99, 2, somebody(3))]
    tracks = [track(0, 20, ada), track(10, 40, bob, 200), track(60, 30, ada), *brief]
    persons = group(tracks, 25.0, 120)
    assert [sorted(each.first for each in person.tracks) for person in persons] == [[0, 60], [10, 95]]


def test_two_seen_at_once_are_two() -> None:
    twin = somebody(4)
    persons = group([track(0, 30, twin), track(10, 30, twin, 300), track(50, 20, twin)], 25.0, 100)
    found = sorted(sorted(each.first for each in person.tracks) for person in persons)
    assert found in ([[0], [10, 50]], [[0, 50], [10]])
    # And so nothing is surely one of them.
    assert not any(part.sure.any() for part in sightings(persons[0], persons[1:]))


def test_what_is_never_seen_well_is_nobody() -> None:
    assert group([track(0, 50, somebody(5), quality=0.05)], 25.0, 50) == []


def test_a_profile_belongs_to_whom_it_goes_on_from() -> None:
    ada = somebody(6)
    front, profile = track(0, 30, ada), track(30, 20, somebody(7), quality=0.1)
    profile.before = front
    (person,) = group([front, profile], 25.0, 60)
    assert person.frames == 50
    sure = np.concatenate([part.sure for part in sightings(person, [])])
    assert sure[:30].all() and not sure[30:].any()


def test_a_gap_is_filled_within_a_shot_alone() -> None:
    ada = somebody(8)
    person = Person([track(0, 20, ada), track(22, 20, ada, where=4.0), track(60, 20, ada), track(110, 20, ada)])
    seconds = np.arange(130) / 25
    whole = describe(1, person, [], np.array([[0, 130]]), seconds, 1.0)
    there = np.isfinite(whole.landmarks[:, 0, 0])
    assert there[:42].all() and whole.sure[:42].all()
    # Missed for longer: between 42 and 60 (0.7 s) and between 80 and 110 nobody was seen.
    assert not there[42:60].any() and not there[80:110].any()
    cut = describe(1, person, [], np.array([[0, 21], [21, 130]]), seconds, 1.0)
    assert not np.isfinite(cut.landmarks[20:22, 0, 0]).any()
    # Nothing is smoothed over the cut: each side rests exactly where it was.
    assert np.abs(cut.landmarks[:20] - FACE).max() < 1e-3 and np.abs(cut.landmarks[22:42] - FACE - 4.0).max() < 1e-3


def test_stored_pixels_of_a_reduced_frame() -> None:
    person = Person([track(0, 10, somebody(9))])
    seen = describe(1, person, [], np.array([[0, 10]]), np.arange(10) / 25, 2.0)
    assert np.abs(seen.landmarks - ((FACE + 0.5) * 2 - 0.5)).max() < 1e-3
    assert seen.size == pytest.approx(2 * np.linalg.norm(ffhq_quad(FACE)[3] - ffhq_quad(FACE)[0]), rel=1e-5)
    assert seen.age == 30.0 or 30.0 <= seen.age <= 32.0
    assert isinstance(next(iter(sightings(person, []))), Sighting)


def test_faces_side_by_side_are_two_and_one_found_twice_is_one() -> None:
    patch = Patch(np.zeros((160, 160, 3), np.uint8), np.eye(2, 3))
    side = float(np.linalg.norm(ffhq_quad(FACE)[3] - ffhq_quad(FACE)[0]))

    def found(shift: float) -> Pointed:
        return Pointed(Face((0.0, 0.0, 1.0, 1.0), FACE, 0.9), FACE + np.array([shift * side, 0.0]), 1.0, patch)

    assert not same_place(found(0.0), found(0.25))
    assert same_place(found(0.0), found(0.05))
