"""How a video is split into chunks, what may be asked of it, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import InputError
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.options import Subject, VideoOptions, default_name, parse_keyframes, video_options
from pipelines.video.plan import BUSY, IDLE, busy_frames, kept_frames, shots_of, split
from pipelines.video.seen import Look, SeenPerson


def facts(rate: int = 25) -> VideoFacts:
    base, mean = Fraction(1, 1000), Fraction(rate)
    path = Path("/tmp/clip.mp4")
    return VideoFacts(path, "ab" * 32, "mov", 0, 640, 360, 90, base, mean, "yuv420p", 8, "h264", (1,), (), 4.0)


def person(who: int, seen: np.ndarray) -> SeenPerson:
    landmarks = np.where(seen[:, None, None], 100.0, np.nan) * np.ones((len(seen), 5, 2))
    vector = np.zeros(128, np.float32)
    vector[who] = 1
    return SeenPerson(who, landmarks.astype(np.float32), seen, vector, 40.0, 120.0, 0)


def look(frames: int, cuts: list[int], *seen: tuple[int, int]) -> Look:
    shots = np.array([*zip([0, *cuts], [*cuts, frames], strict=True)])
    places = np.arange(frames)
    people = tuple(person(n, (places >= a) & (places < b)) for n, (a, b) in enumerate(seen, 1))
    return Look(shots, people)


def options(**given: object) -> VideoOptions:
    return video_options({"subjects": [{"ages": [[0, 70]]}], **given})


def test_facts_survive_json() -> None:
    assert VideoFacts.from_dict(facts().as_dict()) == facts()
    assert facts().upright_size == (360, 640)


@given(
    frames=st.integers(1, 2000),
    cuts=st.sets(st.integers(1, 1999), max_size=6),
    seen=st.tuples(st.integers(0, 2000), st.integers(0, 2000)),
    kept=st.tuples(st.integers(0, 1999), st.integers(1, 2000)),
)
def test_runs_cover_each_frame_once_and_never_cross_a_cut(
    frames: int, cuts: set[int], seen: tuple[int, int], kept: tuple[int, int]
) -> None:
    inside = sorted(cut for cut in cuts if cut < frames)
    found = look(frames, inside, seen)
    busy = busy_frames(found, options())
    first, stop = min(kept[0], frames - 1), min(max(kept[1], kept[0] + 1), frames)
    runs = split(found, busy, first, stop)
    assert [frame for a, b in runs for frame in range(a, b)] == list(range(first, max(stop, first)))
    for a, b in runs:
        assert b - a <= (BUSY if busy[a:b].any() else IDLE)
        assert not any(a < cut < b for cut in inside)


def test_frames_without_anybody_make_long_runs() -> None:
    found = look(1000, [], (480, 528))
    assert split(found, busy_frames(found, options()), 0, 1000) == [(0, 480), (480, 528), (528, 1000)]


def test_the_part_that_is_kept() -> None:
    index = FrameIndex(np.arange(100) * 40 + 7, np.array([0]), 40)
    assert kept_frames(facts(), index, options()) == (0, 100)
    assert kept_frames(facts(), index, options(start=1.0, end=2.0)) == (25, 50)
    with pytest.raises(InputError, match=r"clip.mp4 is 4.0 seconds long"):
        kept_frames(facts(), index, options(start=9))


def test_who_is_there() -> None:
    found = look(100, [40], (0, 30), (50, 60))
    assert shots_of(found, Subject(who=1, ages=((0, 70),)), 0, 100) == [0]
    assert shots_of(found, Subject(who=2, ages=((0, 70),)), 0, 100) == [1]
    assert shots_of(found, Subject(who=2, ages=((0, 70),)), 0, 50) == []
    with pytest.raises(InputError, match="Person 3 was chosen, but 2 people"):
        busy_frames(found, options(subjects=[{"who": 3, "ages": [[0, 70]]}]))
    with pytest.raises(InputError, match="No face was found"):
        busy_frames(look(10, []), options())


def test_ages_over_time() -> None:
    subject = Subject(ages=parse_keyframes("1:20, 11:80"))
    assert [subject.age_at(second) for second in (0, 1, 6, 11, 99)] == [20, 20, 50, 80, 80]
    assert parse_keyframes("70") == ((0.0, 70.0),)


@pytest.mark.parametrize(
    ("text", "said"),
    [("old", "not 'old'"), ("5:20,3:40", "must rise"), ("0:140", "between 0 and 100"), ("", "Ages are written like")],
)
def test_ages_that_are_refused(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_keyframes(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"subjects": []}, "subjects"),
        ({"subjects": [{"who": 1, "ages": [[0, 70]]}, {"who": 1, "ages": [[0, 20]]}]}, "chosen once"),
        ({"start": 5, "end": 4}, "must come after the start"),
        ({"crf": 60}, "from 0 to 51"),
        ({"codec": "mpeg2"}, "codec"),
        ({"strength": 7}, "strength"),
        ({"colour": 7}, "colour"),
    ],
)
def test_options_that_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        options(**given)


def test_options_survive_json_and_name_the_result() -> None:
    chosen = options(start=1, codec="prores")
    assert video_options(chosen.model_dump(mode="json")) == chosen
    assert default_name(Path("a/holiday.mkv"), chosen) == "holiday-at-70.mov"
    growing = options(subjects=[{"ages": [[0, 20], [10, 80]]}])
    assert default_name(Path("holiday.mkv"), growing) == "holiday-at-20-80.mp4"
