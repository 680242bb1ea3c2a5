"""Who is where: faces followed through motion, crossings, cuts and hiding places, against the known motion."""

from __future__ import annotations

import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from moving_faces import Head, background, grained, head_of, put

from models.faces import ffhq_quad, load_detector
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from pipelines.video.look.readers import Readers
from pipelines.video.look.view import View
from pipelines.video.look.work import Pass, look_through
from pipelines.video.seen import Look, SeenPerson

WIDTH, HEIGHT, RATE = 480, 270, 25.0
NOWHERE = np.full((5, 2), np.nan)


@pytest.fixture(scope="module")
def readers() -> Readers:
    return Readers(Runtime(load_settings(device="cpu")))


@pytest.fixture(scope="module")
def heads(portraits: list[Path]) -> list[Head]:
    detector = load_detector()
    return [head_of(portraits[number], detector) for number in (0, 3)]


class Clip:
    """Frames, and where each head truly is in each of them (F, 5, 2), NaN where it is not."""

    def __init__(self, heads: list[Head], seed: int = 1) -> None:
        self.heads, self.rng = heads, np.random.default_rng(seed)
        self.frames: list[np.ndarray] = []
        self.truth: list[list[np.ndarray]] = [[] for _ in heads]

    def add(
        self, behind: np.ndarray, *where: tuple[float, float, float, float] | None, before: np.ndarray | None = None
    ) -> None:
        """One frame. where: x, y, side, roll of each head, the last ones in front; before: (H, W) bool of what the
        picture behind hides of them."""
        frame = behind.copy()
        for number, place in enumerate(where):
            at = NOWHERE if place is None else put(frame, self.heads[number], place[:2], place[2], place[3])
            self.truth[number].append(at)
        if before is not None:
            frame[before] = 255 - behind[before]
        self.frames.append(grained(frame, self.rng))

    def look(self, readers: Readers, rotation: int = 0) -> Look:
        *_, look = look_through((View(n, n / RATE, f, rotation) for n, f in enumerate(self.frames)), readers, RATE)
        assert isinstance(look, Look)
        return look

    def off(self, person: SeenPerson, head: int) -> np.ndarray:
        """Mean error of the landmarks of each frame, in sides of the face's square; NaN where one is missing."""
        return np.asarray(np.abs(person.landmarks - np.array(self.truth[head])).mean((1, 2)) / person.size)


def seen(person: SeenPerson) -> np.ndarray:
    return np.isfinite(person.landmarks[:, 0, 0])


def quads(points: np.ndarray) -> np.ndarray:
    return np.stack([ffhq_quad(each) for each in points])


def tremble(quads: np.ndarray) -> float:
    """Second difference of corners over time, root mean square, pixels."""
    return float(np.sqrt((np.diff(quads, 2, axis=0) ** 2).sum(-1).mean()))


@pytest.fixture(scope="module")
def moving(heads: list[Head]) -> Clip:
    """One face that goes right, up and down, nods and comes nearer."""
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 1)
    for t in range(60):
        clip.add(behind, (140 + 3.0 * t, 135 + 12 * np.sin(t / 9), 150 + 0.5 * t, 0.25 * np.sin(t / 12)))
    return clip


def test_a_moving_face_is_known_in_every_frame(moving: Clip, readers: Readers) -> None:
    look = moving.look(readers)
    assert look.shots.tolist() == [[0, 60]]
    (person,) = look.people
    assert person.who == 1 and person.sure.all() and seen(person).all()
    off = moving.off(person, 0)
    assert np.median(off) < 0.004 and off.max() < 0.012
    assert person.landmarks.dtype == np.float32 and person.embedding.shape == (128,)
    assert np.linalg.norm(person.embedding) == pytest.approx(1.0, abs=1e-4)
    sides = np.linalg.norm(quads(np.array(moving.truth[0]))[:, 3] - quads(np.array(moving.truth[0]))[:, 0], axis=1)
    assert person.size == pytest.approx(np.median(sides), rel=0.03)
    assert 18 < person.age < 45
    assert 0 <= person.thumbnail < 60


def test_the_square_neither_trembles_nor_lags(moving: Clip, readers: Readers) -> None:
    (person,) = moving.look(readers).people
    found, true = quads(person.landmarks), quads(np.array(moving.truth[0]))
    # What trembles is less than a tenth of a pixel above the motion itself.
    assert tremble(found - true) < 0.1
    lag = (found - true).mean((0, 1))
    assert abs(lag[0]) < 0.002 * person.size
    along = np.diff(true.mean(1), axis=0)
    behind = ((found - true).mean(1)[1:] * along).sum() / (along**2).sum()
    assert abs(behind) < 0.1  # frames


def test_a_fast_face_is_exact(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 2)
    for t in range(30):
        clip.add(behind, (240 + 120 * np.sin(0.4 * t), 135, 150, 0.3 * np.sin(0.3 * t)))
    (person,) = clip.look(readers).people
    assert seen(person).all() and person.sure.mean() > 0.9
    assert clip.off(person, 0).max() < 0.03  # it goes up to 0.35 sides from frame to frame


def test_two_who_cross_stay_who_they_are(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads), background(WIDTH, HEIGHT, 3)
    for t in range(50):
        clip.add(behind, (90 + 6 * t, 130, 130, 0.0), (390 - 6 * t, 140, 140, 0.0))
    look = clip.look(readers)
    front, back = look.people
    assert seen(front).all() and np.nanmax(clip.off(front, 1)) < 0.03 and front.sure.mean() > 0.9
    assert seen(back)[:18].all() and seen(back)[-18:].all()
    assert np.nanmax(clip.off(back, 0)) < 0.1
    # Behind the other there is nobody to be sure of.
    assert not back.sure[24:27].any()
    assert back.sure[:15].all() and back.sure[-15:].all()
    assert float(front.embedding @ back.embedding) < 0.4


def test_who_leaves_and_comes_back_is_one_person(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 4)
    for t in range(50):
        clip.add(behind, (240 + 380 * np.sin(np.pi * t / 49), 135, 140, 0.0))
    (person,) = clip.look(readers).people
    there = seen(person)
    assert there[:8].all() and there[-8:].all() and not there[20:30].any()
    assert not person.sure[~there].any()
    assert np.nanmax(clip.off(person, 0)) < 0.04


def test_cuts_divide_and_people_are_found_again(heads: list[Head], readers: Readers) -> None:
    clip, rooms = Clip(heads), [background(WIDTH, HEIGHT, seed) for seed in (5, 6)]
    for t in range(44):
        here = (t // 11) % 2 == 0
        one, other = (180.0 + t, 130.0, 150.0, 0.0), (300.0 - t, 140.0, 130.0, 0.1)
        clip.add(rooms[0 if here else 1], one if here else None, None if here else other)
    look = clip.look(readers)
    assert look.shots.tolist() == [[0, 11], [11, 22], [22, 33], [33, 44]]
    assert len(look.people) == 2
    for person in look.people:
        head = int(np.isfinite(clip.truth[1][int(np.argmax(seen(person)))]).all())
        # Seen exactly where it is, and nowhere blended over the cut.
        assert (seen(person) == np.isfinite(np.array(clip.truth[head])[:, 0, 0])).all()
        assert np.nanmax(clip.off(person, head)) < 0.01
        assert person.sure[seen(person)].all()
    assert look.people[0].size > look.people[1].size


def test_what_is_hidden_is_not_sure(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 7)
    columns = np.arange(WIDTH)
    hidden = []
    for t in range(48):
        middle = -60 + 14 * t
        bar = np.abs(columns - middle) < 65
        clip.add(behind, (240.0, 135.0, 150.0, 0.0), before=np.tile(bar, (HEIGHT, 1)))
        face = (columns > 240 - 50) & (columns < 240 + 50)
        hidden.append(float((bar & face).sum() / face.sum()))
    (person,) = clip.look(readers).people
    share = np.array(hidden)
    assert not person.sure[share > 0.75].any() and (share > 0.75).sum() >= 4
    assert person.sure[share == 0].all()


def test_a_few_missed_frames_are_filled(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 8)
    for t in range(30):
        clip.add(behind, (180 + 4.0 * t, 135, 140, 0.0))
    for t in (14, 15):
        clip.frames[t] = np.full_like(clip.frames[t], 250)  # a flash
    look = clip.look(readers)
    (person,) = look.people
    assert look.shots.tolist() == [[0, 30]]
    assert seen(person).all() and person.sure.all()
    assert clip.off(person, 0).max() < 0.02


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_video_that_lies_on_its_side(rotation: int, heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 9)
    for t in range(12):
        # As stored: turned against the clock, so that turning it clockwise sets it upright.
        clip.add(behind, (180 + 4.0 * t, 135, 140, 0.1 - np.deg2rad(rotation)))
    (person,) = clip.look(readers, rotation).people
    assert seen(person).all() and person.sure.all()
    assert clip.off(person, 0).max() < 0.01


def test_a_small_face_of_a_large_frame(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(1920, 1080, 10)
    for t in range(8):
        clip.add(behind, (700 + 4.0 * t, 500, 80, 0.0))
    (person,) = clip.look(readers).people
    assert seen(person).all() and person.sure.all()
    assert 60 < person.size < 80  # the face itself is about 40 pixels wide
    assert clip.off(person, 0).max() < 0.015


def test_a_tiny_face_is_seen_but_not_sure(heads: list[Head], readers: Readers) -> None:
    clip, behind = Clip(heads[:1]), background(WIDTH, HEIGHT, 11)
    for t in range(12):
        clip.add(behind, (200 + 2.0 * t, 135, 52, 0.0))
    people = clip.look(readers).people
    assert all(not person.sure.any() for person in people)


def test_nobody_is_no_error(readers: Readers) -> None:
    clip = Clip([])
    for _ in range(12):
        clip.add(background(WIDTH, HEIGHT, 12))
    look = clip.look(readers)
    assert look.people == () and look.shots.tolist() == [[0, 12]]


def test_a_single_frame(heads: list[Head], readers: Readers) -> None:
    clip = Clip(heads[:1])
    clip.add(background(WIDTH, HEIGHT, 13), (240.0, 135.0, 150.0, 0.0))
    look = clip.look(readers)
    (person,) = look.people
    assert look.shots.tolist() == [[0, 1]] and person.sure.all()


def test_few_frames_are_held_at_a_time(moving: Clip, readers: Readers) -> None:
    work, alive, most = Pass(readers, RATE), weakref.WeakSet[View](), 0
    for number in range(40):
        view = View(number, number / RATE, moving.frames[number])
        alive.add(view)
        work.add(view)
        del view
        most = max(most, len(alive))
    assert most <= 10


def test_shots_of_a_look_have_no_gaps(moving: Clip, readers: Readers) -> None:
    shots = moving.look(readers).shots
    assert shots[0, 0] == 0 and shots[-1, 1] == len(moving.frames)
    assert all(before[1] == after[0] for before, after in pairwise(shots))
