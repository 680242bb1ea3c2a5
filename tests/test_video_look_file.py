"""The first pass over a real file: events, what is kept of it, damage, cancelling, thumbnails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from moving_faces import background, grained, head_of, put

import pipelines.video.look as look_room
from models.errors import Cancelled
from models.faces import detect_faces, load_detector
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from pipelines.video.look import look_at, look_path, thumbnail
from pipelines.video.media import FrameIndex, VideoFacts, open_video
from pipelines.video.seen import Look

FRAMES = 14


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return Runtime(load_settings(device="cpu"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, portraits: list[Path]) -> tuple[Path, np.ndarray]:
    """A short video with uneven times, and where the landmarks are in it (F, 5, 2)."""
    head, behind = head_of(portraits[0], load_detector()), background(320, 240, 1)
    rng, truth = np.random.default_rng(0), []
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(FRAMES):
            frame = behind.copy()
            truth.append(put(frame, head, (130 + 4.0 * number, 120), 140))
            picture = av.VideoFrame.from_ndarray(grained(frame, rng), format="rgb24")
            picture.pts, picture.time_base = number * 40 + (number % 3) * 9, Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path, np.array(truth)


@pytest.fixture(scope="module")
def facts(clip: tuple[Path, np.ndarray]) -> VideoFacts:
    return open_video(clip[0])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory, facts: VideoFacts, runtime: Runtime) -> Path:
    """The folder in which the look at the clip is kept."""
    folder = tmp_path_factory.mktemp("data") / "cache"
    assert list(look_at(facts, runtime, folder, CancelToken()))
    return folder


def the_look(events: Iterator[Event]) -> tuple[Look, FrameIndex]:
    *_, last = events
    assert last.stage == "done"
    look, index = last.value
    assert isinstance(look, Look) and isinstance(index, FrameIndex)
    return look, index


def no_scan(facts: VideoFacts) -> Iterator[av.VideoFrame]:
    raise AssertionError("the video was decoded again")


def test_events_count_frames(facts: VideoFacts, runtime: Runtime, tmp_path: Path) -> None:
    *told, last = look_at(facts, runtime, tmp_path / "cache", CancelToken())
    assert [event.stage for event in told] == ["look"] * (FRAMES + 1)
    assert [event.done for event in told] == list(range(FRAMES + 1))
    assert all(event.total >= event.done for event in told)
    assert told[-1].seconds_left is not None
    assert last.stage == "done" and last.done == FRAMES and last.message == "1 person seen in 14 frames"


def test_what_is_known_is_not_looked_at_again(
    facts: VideoFacts, clip: tuple[Path, np.ndarray], runtime: Runtime, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_room, "scan_frames", no_scan)
    look, index = the_look(look_at(facts, runtime, cache, CancelToken()))
    assert len(index) == FRAMES and look.shots.tolist() == [[0, FRAMES]]
    milliseconds = (index.pts - index.pts[0]) * 1000 * float(facts.time_base)
    assert milliseconds.tolist() == [number * 40 + (number % 3) * 9 for number in range(FRAMES)]
    (person,) = look.people
    assert person.sure.all() and person.landmarks.shape == (FRAMES, 5, 2)
    assert np.abs(person.landmarks - clip[1]).mean((1, 2)).max() < 0.015 * person.size
    # Nothing but numbers is kept, in the one file that the video's own sum names.
    path = look_path(cache, facts)
    assert path == cache / "video" / hashlib.sha256(facts.path.read_bytes()).hexdigest() / "look.npz"
    assert [each.name for each in path.parent.iterdir()] == ["look.npz"]
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fib" for name in file.files)


@pytest.mark.parametrize("damage", ["cut short", "bits turned", "no archive", "empty", "another version", "array lost"])
def test_a_damaged_file_is_made_again(
    damage: str, facts: VideoFacts, runtime: Runtime, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = look_path(cache, facts).read_bytes()
    path = look_path(tmp_path, facts)
    path.parent.mkdir(parents=True)
    if damage in ("another version", "array lost"):
        with np.load(look_path(cache, facts)) as file:
            arrays = {name: file[name] for name in file.files}
        arrays["version"] = arrays["version"] + (damage == "another version")
        arrays["sure"] = arrays["sure"] if damage == "another version" else arrays["sure"][:, 1:]
        np.savez_compressed(path, **arrays)
    else:
        turned = bytearray(whole)
        turned[len(whole) // 2 : len(whole) // 2 + 40] = bytes(40)
        path.write_bytes(
            {"cut short": whole[:-100], "bits turned": turned, "no archive": b"x" * 500, "empty": b""}[damage]
        )
    made = the_look(look_at(facts, runtime, cache, CancelToken()))
    monkeypatch.setattr(look_room, "_pass", lambda *_: iter_of(made))
    look, _ = the_look(look_at(facts, runtime, tmp_path, CancelToken()))
    assert look is made[0]
    monkeypatch.setattr(look_room, "_pass", no_scan)
    again, _ = the_look(look_at(facts, runtime, tmp_path, CancelToken()))
    assert (again.people[0].landmarks == look.people[0].landmarks).all()


def iter_of(made: tuple[Look, FrameIndex]) -> Iterator[Event]:
    """A pass that is over at once."""
    yield Event("look", "")
    return made


def test_cancelling_stops_within_a_frame_and_leaves_nothing(
    facts: VideoFacts, runtime: Runtime, tmp_path: Path
) -> None:
    token, told = CancelToken(), 0
    with pytest.raises(Cancelled):
        for event in look_at(facts, runtime, tmp_path, token):
            told += 1
            if event.done == 6:
                token.cancel()
    assert told == 7
    assert list(tmp_path.rglob("*.npz")) == []
    with pytest.raises(Cancelled):
        next(look_at(facts, runtime, tmp_path, token))


def test_a_thumbnail_shows_the_face_upright(facts: VideoFacts, runtime: Runtime, cache: Path) -> None:
    look, index = the_look(look_at(facts, runtime, cache, CancelToken()))
    picture = thumbnail(facts, index, look.people[0])
    assert picture.size == (160, 160) and picture.mode == "RGB"
    (face,) = detect_faces(picture, load_detector())
    assert abs(face.roll) < 0.05 and abs(face.landmarks[:2].mean() - 78) < 8


def test_turned_files_are_looked_at_upright(facts: VideoFacts, runtime: Runtime, tmp_path: Path) -> None:
    """The same frames, said to lie upside down: nobody stands on their head but in the stored picture."""
    look, _ = the_look(look_at(replace(facts, rotation=180), runtime, tmp_path, CancelToken()))
    # Seen upright the face is upside down now; it is found all the same, where it is.
    (person,) = look.people
    assert person.landmarks[0, 0, 1] < person.landmarks[0, 3, 1]
