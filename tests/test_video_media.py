"""Videos through and through: frames in = frames out, times exact, sound byte-equal, and nothing else let through."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from clips import Clip, all_planes, make_clip, packets, planes

from models.errors import Cancelled, EveryageError, InputError
from pipelines.events import CancelToken, Event
from pipelines.video.media import (
    MARK,
    FrameIndex,
    PartWriter,
    Quality,
    VideoFacts,
    check_video_path,
    index_frames,
    join,
    open_video,
    read_frames,
    read_recipe,
    scan_frames,
)
from pipelines.video.media.part import look_of
from pipelines.video.media.planes import normal

LOSSLESS = Quality(crf=0, preset="ultrafast")
NTSC = Fraction(30000, 1001)
UNEVEN = (0, *(int(x) for x in np.cumsum(np.random.default_rng(3).integers(300, 4000, 23))))
HEVC = (("preset", "ultrafast"), ("x265-params", "log-level=none"))
FILM = (1, 1, 1, 1)  # limited range, BT.709 throughout

CLIPS = {
    "film.mp4": Clip(rate=Fraction(24000, 1001), colours=FILM),
    "pal.mov": Clip(audio=("deu",)),
    "ntsc.mp4": Clip(frames=45, rate=NTSC, audio=("deu", "eng"), subtitles=("Hallo", "Welt"), aspect=Fraction(8, 9)),
    "fast.mp4": Clip(rate=Fraction(60000, 1001)),
    "uneven.mp4": Clip(pts=UNEVEN, base=Fraction(1, 30000)),
    "turned90.mp4": Clip(rotation=90),
    "turned180.mp4": Clip(rotation=180, size=(80, 96)),
    "turned270.mov": Clip(rotation=270),
    "odd.mkv": Clip(size=(97, 81), codec="ffv1", options=()),
    "odd422.mkv": Clip(size=(97, 80), codec="ffv1", form="yuv422p", options=()),
    "deep.mkv": Clip(form="yuv420p10le", codec="libx265", options=HEVC),
    "deep422.mov": Clip(form="yuv422p10le", codec="prores_ks", options=()),
    "reordered.mp4": Clip(options=(("preset", "medium"), ("bf", "3"), ("g", "9"))),
    "old.avi": Clip(codec="mpeg4", options=()),
    "old-h264.avi": Clip(options=(("preset", "medium"), ("bf", "2"))),
    "stream.ts": Clip(options=(("preset", "medium"), ("bf", "2"), ("g", "8"))),
    "open.ts": Clip(frames=40, options=(("preset", "medium"), ("g", "10"), ("x264-params", "open-gop=1"))),
    "waves.mkv": Clip(frames=40, options=(("preset", "medium"), ("g", "10"), ("x264-params", "intra-refresh=1"))),
    "bare.h264": Clip(options=(("preset", "medium"), ("bf", "2"), ("g", "8"))),
    "web.webm": Clip(codec="libvpx", options=(("cpu-used", "8"), ("deadline", "realtime"))),
    "flash.flv": Clip(codec="flv", options=(), audio=("eng",)),
    "words.mkv": Clip(frames=50, audio=("eng",), subtitles=("one", "two"), subtitle_codec="subrip"),
    "gif.gif": Clip(codec="gif", form="rgb8", options=()),
    "screen.mkv": Clip(codec="ffv1", form="bgr0", options=()),
    "grey.mkv": Clip(codec="ffv1", form="gray", options=()),
    "camera.avi": Clip(codec="mjpeg", form="yuvj420p", options=()),
}


def quiet(event: Event) -> None:
    """Nobody listens."""


def opened(path: Path) -> tuple[VideoFacts, FrameIndex]:
    facts = open_video(path)
    return facts, index_frames(facts, CancelToken(), quiet)


def written(
    facts: VideoFacts, index: FrameIndex, out: Path, cuts: tuple[int, ...], quality: Quality = LOSSLESS, **more: Any
) -> tuple[str, ...]:
    """The frames from the first to the last cut, written in parts between the cuts, and joined."""
    parts = []
    for first, stop in pairwise(cuts):
        parts.append(out.with_name(f"{out.stem}-part{first}.mp4"))
        with PartWriter(parts[-1], facts, quality) as part:
            for frame in read_frames(facts, index, first, stop):
                part.add(frame)
    recipe = more.get("recipe", {"age": 70})
    cancel = more.get("cancel", CancelToken())
    return join(parts, facts, index, cuts[0], cuts[-1], out, quality, recipe, cancel, quiet)


def seconds_of(facts: VideoFacts, index: FrameIndex) -> list[Fraction]:
    return [pts * facts.time_base for pts in index.pts.tolist()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.mark.parametrize("name", CLIPS)
def test_frames_in_are_frames_out(folder: Path, tmp_path: Path, name: str) -> None:
    clip = CLIPS[name]
    facts, index = opened(make_clip(folder / name, clip))
    assert len(index) == clip.frames
    assert (facts.width, facts.height) == clip.size
    frames = list(scan_frames(facts))
    whole = all_planes(frames)
    rng = np.random.default_rng(len(name))
    for first in rng.integers(0, clip.frames, 3).tolist():
        stop = int(rng.integers(first, clip.frames)) + 1
        assert all_planes(list(read_frames(facts, index, first, stop))) == whole[first:stop]
    out = tmp_path / "out.mp4"
    cuts = sorted({0, clip.frames, *rng.integers(1, clip.frames, 3).tolist()})
    written(facts, index, out, tuple(cuts))
    result, of_result = opened(out)
    assert seconds_of(result, of_result) == seconds_of(facts, index)
    assert (result.width, result.height, result.rotation) == (facts.width, facts.height, facts.rotation)
    assert result.bits == min(facts.bits, 10)
    back = list(scan_frames(result))
    if not name.startswith("odd"):
        assert all_planes(back) == whole
    else:  # their chroma is looked at below
        assert [planes(frame)[0] for frame in back] == [frame[0] for frame in whole]
    assert packets(out, "audio") == packets(facts.path, "audio")
    if clip.subtitle_codec == "mov_text":
        assert packets(out, "subtitle") == packets(facts.path, "subtitle")


def test_times_come_from_the_file_to_the_tick(folder: Path) -> None:
    facts, index = opened(make_clip(folder / "v.mp4", CLIPS["uneven.mp4"]))
    assert facts.time_base == Fraction(1, 30000)
    assert tuple(index.pts.tolist()) == UNEVEN
    assert index.keys.tolist() == [0, 8, 16]
    facts, index = opened(make_clip(folder / "n.mp4", Clip(rate=NTSC)))
    assert seconds_of(facts, index) == [Fraction(1001 * i, 30000) for i in range(24)]
    assert facts.rate == NTSC and index.duration * facts.time_base == 1 / NTSC


def test_chroma_of_odd_frames_is_repeated_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "odd2.mkv", CLIPS["odd.mkv"]))
    written(facts, index, tmp_path / "o.mp4", (0, 24))
    for old, new in zip(scan_frames(facts), scan_frames(open_video(tmp_path / "o.mp4")), strict=True):
        assert new.format.name == "yuv444p" and (new.width, new.height) == (97, 81)
        for i in (1, 2):
            wide = np.frombuffer(planes(new)[i], np.uint8).reshape(81, 97)
            assert wide[::2, ::2].tobytes() == planes(old)[i] and (wide[1::2] == wide[:-1:2]).all()


def test_parts_split_anywhere_give_the_same_frames(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "s.mp4", Clip(frames=40)))
    rng = np.random.default_rng(9)
    made = []
    for cuts in ((0, 40), (0, *sorted({*rng.integers(1, 40, 6).tolist()}), 40), (0, 1, 2, 39, 40)):
        written(facts, index, tmp_path / "o.mp4", cuts)
        result, of_result = opened(tmp_path / "o.mp4")
        made.append((all_planes(list(scan_frames(result))), of_result.pts.tolist()))
    assert made[0] == made[1] == made[2]


def test_the_same_part_twice_is_the_same_file(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "t.mp4", Clip(frames=30)))
    for name in "ab":
        with PartWriter(tmp_path / f"{name}.mp4", facts, Quality()) as part:
            for frame in read_frames(facts, index, 3, 27):
                part.add(frame)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


CODECS = {
    "h264.mp4": (Quality(), "h264", "yuv420p"),
    "deep.mp4": (Quality(ten_bit=True), "h264", "yuv420p10le"),
    "hevc.mp4": (Quality("hevc", 24, preset="ultrafast"), "hevc", "yuv420p"),
    "lossless.mkv": (Quality("hevc", 0, preset="ultrafast"), "hevc", "yuv420p"),
    "av1.mp4": (Quality("av1", 30, preset="12"), "av1", "yuv420p"),
    "av1.webm": (Quality("av1", 30, True, "12"), "av1", "yuv420p10le"),
    "prores.mov": (Quality("prores", 0), "prores", "yuv422p10le"),
}


@pytest.mark.parametrize("name", CODECS)
def test_every_codec(folder: Path, tmp_path: Path, name: str) -> None:
    quality, codec, form = CODECS[name]
    facts, index = opened(make_clip(folder / "c.mp4", Clip(frames=30, colours=FILM, audio=("eng",))))
    notes = written(facts, index, tmp_path / name, (0, 11, 12, 30), quality)
    result, of_result = opened(tmp_path / name)
    assert (result.codec, result.pixel_format, len(of_result)) == (codec, form, 30)
    if name.endswith(("mp4", "mov")):
        assert seconds_of(result, of_result) == seconds_of(facts, index)
    # Matroska counts milliseconds from the first thing that is heard.
    steps = np.diff(of_result.pts) * float(result.time_base)
    assert np.abs(steps - 0.04).max() < 0.0011
    assert bool(notes) == name.endswith("webm") and all("aac" in note and ".mkv" in note for note in notes)
    top = 255 if result.bits == 8 else 1023
    for old, new in zip(scan_frames(facts), scan_frames(result), strict=True):
        dtype = np.uint8 if result.bits == 8 else np.uint16
        a = np.frombuffer(planes(old)[0], np.uint8) / 255.0
        b = np.frombuffer(planes(new)[0], dtype) / top
        assert np.abs(a - b).mean() < 0.02
    assert look_of(result).space == 1 and look_of(result).range == 1


def test_no_encoder_takes_the_machine_for_itself(folder: Path, tmp_path: Path) -> None:
    """The encoder of AV1, run as root, would leave this thread and its children at real-time priority."""
    facts, _ = opened(make_clip(folder / "calm.mp4", Clip(frames=4)))
    with PartWriter(tmp_path / "a.part", facts, Quality("av1", 40, preset="12")) as part:
        for number, frame in enumerate(scan_frames(facts)):
            part.add(frame)
            threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
            assert number > 0 or len(threads) > 2
            assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_OTHER}
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_trim_starts_at_zero_with_the_sound_of_that_part(folder: Path, tmp_path: Path) -> None:
    clip = Clip(frames=75, audio=("deu", "eng"), subtitles=("one", "two", "three"))
    facts, index = opened(make_clip(folder / "trim.mp4", clip))
    written(facts, index, tmp_path / "o.mp4", (20, 31, 60))
    result, of_result = opened(tmp_path / "o.mp4")
    assert seconds_of(result, of_result) == [Fraction(i, 25) for i in range(40)]
    assert all_planes(list(scan_frames(result))) == all_planes(list(read_frames(facts, index, 20, 60)))
    start, end = Fraction(20, 25), Fraction(60, 25)
    for kind in ("audio", "subtitle"):
        for old, new in zip(packets(facts.path, kind), packets(tmp_path / "o.mp4", kind), strict=True):
            kept = [(time - start, data) for time, data in old if start <= time < end]
            assert len(kept) >= 1 and [data for _, data in new if len(data) > 2] == [
                data for _, data in kept if len(data) > 2
            ]
            if kind == "audio":
                assert max(abs(a[0] - b[0]) for a, b in zip(kept, new, strict=True)) < Fraction(1, 20000)


def test_start_offset_is_kept_when_nothing_is_cut(folder: Path, tmp_path: Path) -> None:
    clip = Clip(pts=tuple(range(3, 27)), base=Fraction(1, 25), audio=("eng",))
    facts, index = opened(make_clip(folder / "late.mp4", clip))
    assert seconds_of(facts, index)[0] == Fraction(3, 25)
    written(facts, index, tmp_path / "o.mp4", (0, 24))
    result, of_result = opened(tmp_path / "o.mp4")
    assert seconds_of(result, of_result) == seconds_of(facts, index)
    assert packets(tmp_path / "o.mp4", "audio") == packets(facts.path, "audio")


def test_words_stay_places_go_and_the_recipe_is_inside(folder: Path, tmp_path: Path) -> None:
    tags = (
        ("title", "Summer"), ("creation_time", "2020-05-17T10:00:00.000000Z"), ("location", "+48.1+011.5/"),
        ("com.apple.quicktime.location.ISO6709", "+48.1+011.5/"), ("artist", "Ada"), ("comment", "home movie"),
    )  # fmt: skip
    facts, index = opened(make_clip(folder / "tags.mp4", Clip(tags=tags, audio=("deu", "eng"), aspect=Fraction(4, 3))))
    assert b"+48.1" in facts.path.read_bytes()
    recipe = {"subjects": [{"who": 1, "ages": [[0, 20.5]]}], "name": "Zoë"}
    for name in ("o.mp4", "o.mov", "o.mkv"):
        out = tmp_path / name
        written(facts, index, out, (0, 24), recipe=recipe)
        assert b"+48.1" not in out.read_bytes() and b"home movie" not in out.read_bytes()
        assert read_recipe(out) == recipe
        with av.open(str(out)) as made:
            found = {key.lower(): value for key, value in made.metadata.items()}
            assert found["title"] == "Summer" and found["artist"] == "Ada" and found["comment"] == MARK
            assert "compositeWithTrainedAlgorithmicMedia" in found["digitalsourcetype"]
            sounds = made.streams.audio
            assert [stream.language for stream in sounds] == ["ger" if name == "o.mov" else "deu", "eng"]
            wanted = av.open(str(facts.path))
            assert [stream.disposition for stream in sounds] == [s.disposition for s in wanted.streams.audio]
            assert made.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
    assert read_recipe(facts.path) is None and read_recipe(tmp_path / "missing.mp4") is None
    head = (tmp_path / "o.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # browsers play it while it loads


def test_chapters_follow_a_trim(folder: Path, tmp_path: Path) -> None:
    plain = make_clip(folder / "plain.mkv", Clip(frames=50))
    path = folder / "chapters.mkv"
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        second = Fraction(1, 1000)
        target.set_chapters(
            [
                {"id": 1, "start": 0, "end": 1000, "time_base": second, "metadata": {"title": "One"}},
                {"id": 2, "start": 1000, "end": 2000, "time_base": second, "metadata": {"title": "Two"}},
            ]
        )
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    facts, index = opened(path)
    written(facts, index, tmp_path / "o.mkv", (20, 50))
    with av.open(str(tmp_path / "o.mkv")) as made:
        found = [(c["start"] * float(c["time_base"]), c["end"] * float(c["time_base"])) for c in made.chapters()]
        assert np.allclose(found, [(0, 0.2), (0.2, 1.2)]) and made.chapters()[1]["metadata"]["title"] == "Two"


def test_tracks_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "words2.mkv", CLIPS["words.mkv"]))
    notes = written(facts, index, tmp_path / "o.mp4", (0, 50))
    assert notes == ("The subtitle track 2 (subrip) is left out: .mp4 can't hold it, .mkv can.",)
    assert written(facts, index, tmp_path / "o.mkv", (0, 50)) == ()
    for kind in ("audio", "subtitle"):
        old, new = packets(facts.path, kind), packets(tmp_path / "o.mkv", kind)
        assert [[data for _, data in track] for track in new] == [[data for _, data in track] for track in old]


@pytest.mark.parametrize(
    ("name", "quality", "word"),
    [("o.avi", Quality(), ".mp4"), ("o.mp4", Quality("prores", 0), ".mov"), ("o.webm", Quality(), "AV1")],
)
def test_names_that_will_not_do(tmp_path: Path, name: str, quality: Quality, word: str) -> None:
    with pytest.raises(InputError, match=word):
        check_video_path(tmp_path / name, quality)


def test_nothing_is_left_after_an_error(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "e.mp4", Clip()))
    with pytest.raises(RuntimeError, match="stop"), PartWriter(tmp_path / "p.mp4", facts, LOSSLESS) as part:
        part.add(next(read_frames(facts, index)))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        written(facts, index, tmp_path / "o.mp4", (0, 10, 24), cancel=cancel)
    with pytest.raises(EveryageError, match="10 frames instead of 24"):
        part = [tmp_path / "o-part0.mp4"]
        join(part, facts, index, 0, 24, tmp_path / "o.mp4", LOSSLESS, {}, CancelToken(), quiet)
    other = Quality(preset="ultrafast")
    with PartWriter(tmp_path / "x.mp4", facts, other) as writer:
        for frame in read_frames(facts, index, 10, 24):
            writer.add(frame)
    with pytest.raises(EveryageError, match="different settings"):
        join([*part, tmp_path / "x.mp4"], facts, index, 0, 24, tmp_path / "o.mp4", other, {}, CancelToken(), quiet)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o-part0.mp4", "o-part10.mp4", "x.mp4"]


def test_what_a_killed_process_left_goes_with_the_next_try(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "k.mp4", Clip()))
    (tmp_path / ".p.mp4.0badcafe.part").write_bytes(b"half")
    (tmp_path / ".q.mp4.0badcafe.part").write_bytes(b"another's")
    with PartWriter(tmp_path / "p.mp4", facts, LOSSLESS) as part:
        part.add(next(read_frames(facts, index)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".q.mp4.0badcafe.part", "p.mp4"]


def test_a_cut_short_or_damaged_video_gives_what_is_there(folder: Path, tmp_path: Path) -> None:
    whole = make_clip(folder / "whole.ts", Clip(frames=60)).read_bytes()
    (tmp_path / "short.ts").write_bytes(whole[: len(whole) // 2])
    facts, index = opened(tmp_path / "short.ts")
    assert 20 <= len(index) < 60
    hurt = bytearray(whole)
    hurt[len(whole) // 3 : len(whole) // 3 + 3000] = bytes(3000)
    (tmp_path / "hurt.ts").write_bytes(hurt)
    facts, index = opened(tmp_path / "hurt.ts")
    assert 40 <= len(index) <= 60
    last = all_planes(list(scan_frames(facts)))[-5:]
    assert all_planes(list(read_frames(facts, index, len(index) - 5))) == last
    written(facts, index, tmp_path / "o.mp4", (0, 9, len(index)))
    assert seconds_of(*opened(tmp_path / "o.mp4")) == seconds_of(facts, index)


def test_times_that_repeat_or_are_missing_are_made_to_rise(folder: Path) -> None:
    facts, index = opened(make_clip(folder / "bare.h264", CLIPS["bare.h264"]))
    assert len(index) == 24 and (np.diff(index.pts) > 0).all() and index.keys.size == 0
    path = folder / "again.avi"
    first, second = (make_clip(folder / f"{i}.ts", Clip(frames=10)).read_bytes() for i in (1, 2))
    path = path.with_suffix(".ts")
    path.write_bytes(first + second)  # the clock starts again in the middle
    facts, index = opened(path)
    assert len(index) == 20 and (np.diff(index.pts) > 0).all()
    frames = all_planes(list(scan_frames(facts)))
    assert all_planes(list(read_frames(facts, index, 8, 14))) == frames[8:14]


def test_frame_numbers_are_checked(folder: Path) -> None:
    facts, index = opened(make_clip(folder / "n2.mp4", Clip()))
    assert list(read_frames(facts, index, 5, 5)) == []
    with pytest.raises(ValueError, match="20 to 25 of 24"):
        next(read_frames(facts, index, 20, 25))
    more = FrameIndex(np.append(index.pts, index.pts[-1] + 1000), index.keys, index.duration)
    with pytest.raises(EveryageError, match="frame 24"):
        list(read_frames(facts, more, 20))


def test_a_long_video_takes_no_more_memory(folder: Path, tmp_path: Path) -> None:
    facts, index = opened(make_clip(folder / "long.mp4", Clip(frames=1000, size=(64, 64), audio=("eng",))))
    process, memory = psutil.Process(), []
    quality = Quality(preset="ultrafast")
    parts = []
    for first in range(0, 1000, 50):
        parts.append(tmp_path / f"{first}.mp4")
        with PartWriter(parts[-1], facts, quality) as part:
            for frame in read_frames(facts, index, first, first + 50):
                part.add(frame)
        memory.append(process.memory_info().rss / 1e6)
    join(parts, facts, index, 0, 1000, tmp_path / "o.mp4", quality, {}, CancelToken(), quiet)
    after = process.memory_info().rss / 1e6
    assert np.polyfit(np.arange(10), memory[10:], 1)[0] * 20 < 3  # MB per 1000 frames; the bench measures it better
    assert after - memory[-1] < 30
    assert seconds_of(*opened(tmp_path / "o.mp4")) == seconds_of(facts, index)
    assert packets(tmp_path / "o.mp4", "audio") == packets(facts.path, "audio")


def test_reading_the_index_can_be_stopped_and_tells_how_far_it_is(folder: Path) -> None:
    facts = open_video(make_clip(folder / "tell.mp4", Clip(frames=120)))
    cancel, told = CancelToken(), []

    def listen(event: Event) -> None:
        told.append(event)
        cancel.cancel()

    with pytest.raises(Cancelled):
        index_frames(facts, cancel, listen)
    assert len(told) == 1 and told[0].done == 50 and told[0].total == 120
    json.dumps(told[0].seconds_left)


def test_formats_of_decoders_are_brought_to_few(folder: Path) -> None:
    y = np.arange(96 * 64, dtype=np.uint8).reshape(64, 96)
    pairs = np.arange(96 * 32, dtype=np.uint8).reshape(32, 96)
    frame = av.VideoFrame.from_ndarray(np.concatenate([y, pairs]), "nv12")
    frame.pts = 7
    made = normal(frame)
    assert made.format.name == "yuv420p" and made.pts == 7
    assert planes(made) == [y.tobytes(), pairs[:, 0::2].tobytes(), pairs[:, 1::2].tobytes()]
    grey = normal(av.VideoFrame.from_ndarray(y, "gray"))
    assert planes(grey) == [y.tobytes(), bytes([128]) * (48 * 32), bytes([128]) * (48 * 32)]
    wide = av.VideoFrame(96, 64, "yuvj422p")
    assert normal(wide).format.name == "yuv422p" and normal(wide).color_range == 2
    assert normal(av.VideoFrame(96, 64, "yuv411p")).format.name == "yuv422p"
    assert normal(av.VideoFrame(96, 64, "gbrp12le")).format.name == "yuv444p12le"
    assert normal(av.VideoFrame(96, 64, "yuv420p16le")).format.name == "yuv420p12le"
