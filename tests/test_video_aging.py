"""Aging through a video: steady, the same however it is cut into chunks, and nothing else changes."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_nets import TinyNets
from torch import Tensor

from models.aging import Adapter, AgeEncoder, Sam
from models.errors import Cancelled, EveryageError, InputError
from models.faces.align import canonical_landmarks
from models.perceptual import PerceptualLoss
from models.stylegan2 import Generator
from pipelines.aging.invert import tune
from pipelines.aging.nets import AgingNets, SamNets
from pipelines.aging.personal import PersonalNets
from pipelines.events import CancelToken, Event
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from pipelines.video.aging import VideoAger, stream
from pipelines.video.aging.ahead import ahead
from pipelines.video.aging.artist import in_batches
from pipelines.video.aging.sampling import choose_frames
from pipelines.video.aging.smoothing import between, neighbours
from pipelines.video.aging.track import follow
from pipelines.video.aging.tuned import load
from pipelines.video.aging.tuning import targets
from pipelines.video.media import FrameIndex, VideoFacts, index_frames, open_video, read_frames
from pipelines.video.options import Subject, VideoOptions
from pipelines.video.seen import Look, SeenPerson

SIDE, FACE, FRAMES = 160, 96, 20


class Nets(TinyNets):
    """Codes that tremble with a few pixels, as those of a real encoder do."""

    def encode(self, crop: Tensor, age: float | Tensor, origin: Tensor | None = None) -> Tensor:
        return super().encode(4 * crop[..., 15:17, 15:17], age, origin)


def write_video(path: Path, frames: list[np.ndarray]) -> Path:
    """Frames (H, W, 3) uint8, without loss."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv444p"
        stream.time_base = Fraction(1, 25)
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv444p")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def smooth_frame(seed: int, side: int = SIDE) -> np.ndarray:
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(60, 190, (6, 6, 3), dtype=np.uint8))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC))


def landmarks(frames: int, left: float = 32, top: float = 32, drift: float = 0.5) -> np.ndarray:
    """(frames, 5, 2) of a face of FACE pixels that moves to the right."""
    points = canonical_landmarks(FACE)[None] + (left, top)
    moved = np.arange(frames, dtype=np.float32)[:, None, None] * np.array([drift, 0], np.float32)
    return (points + moved).astype(np.float32)


def person(who: int, marks: np.ndarray, sure: np.ndarray | None = None, age: float = 40.0) -> SeenPerson:
    sure = np.isfinite(marks).all(axis=(1, 2)) if sure is None else sure
    return SeenPerson(who, marks, sure, np.eye(128, dtype=np.float32)[who], age, FACE, 0)


def look_of(*people: SeenPerson, cuts: tuple[int, ...] = ()) -> Look:
    edges = [0, *cuts, len(people[0].sure)]
    return Look(np.array(list(pairwise(edges))), people)


def aged_to(*ages: float, **settings: object) -> VideoOptions:
    """Person 1 to the first of the ages, person 2 to the second, and so on."""
    people = tuple(Subject(who=i + 1, ages=((0.0, age),)) for i, age in enumerate(ages))
    return VideoOptions(subjects=people, **({"tune_steps": 2} | settings))  # type: ignore[arg-type]


class Bench:
    """A video with who is seen in it, and an ager with tiny networks."""

    def __init__(self, folder: Path, runtime: Runtime, frames: list[np.ndarray], look: Look) -> None:
        self.folder, self.look = folder, look
        self.facts: VideoFacts = open_video(write_video(folder / "clip.mkv", frames))
        self.index: FrameIndex = index_frames(self.facts, CancelToken(), lambda event: None)
        self.ager = VideoAger(runtime, folder)
        self.nets: AgingNets = Nets()
        self.ager.models.nets = lambda *a, **k: self.nets  # type: ignore[method-assign]
        self.before = planes(frame for frame in read_frames(self.facts, self.index))

    def tune(self, options: VideoOptions, cancel: CancelToken | None = None) -> list[Event]:
        events = []
        for subject in options.subjects:
            for shot in range(len(self.look.shots)):
                given = (self.facts, self.index, self.look, subject, shot, options, self.folder)
                for event in self.ager.tune(*given, cancel or CancelToken()):
                    events.append(event)
        return events

    def render(self, options: VideoOptions, first: int = 0, stop: int = FRAMES) -> list[np.ndarray]:
        self.tune(options)
        given = (self.facts, self.index, self.look, first, stop, options, self.folder, CancelToken())
        numbered = list(self.ager.render(*given))
        assert [number for number, _ in numbered] == list(range(first, stop))
        assert [frame.pts for _, frame in numbered] == self.index.pts[first:stop].tolist()
        return planes(frame for _, frame in numbered)


def planes(frames: Iterator[av.VideoFrame]) -> list[np.ndarray]:
    return [frame.to_ndarray().astype(int) for frame in frames]


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    return Runtime(load_settings(data=tmp_path_factory.mktemp("data"), device="cpu"))


@pytest.fixture(scope="module")
def moving() -> list[np.ndarray]:
    """A picture that wanders through the frame with its face, and grain."""
    wide, random = smooth_frame(1, SIDE + FRAMES), np.random.default_rng(2)
    cut = [wide[:SIDE, FRAMES - i // 2 : FRAMES - i // 2 + SIDE] for i in range(FRAMES)]
    return [np.clip(each + random.normal(0, 2, each.shape), 0, 255).round().astype(np.uint8) for each in cut]


@pytest.fixture
def bench(tmp_path: Path, runtime: Runtime, moving: list[np.ndarray]) -> Bench:
    return Bench(tmp_path, runtime, moving, look_of(person(1, landmarks(FRAMES))))


def test_chunks_leave_no_trace(bench: Bench) -> None:
    options = aged_to(70)
    whole = bench.render(options)
    for cut in (9, 1, 13):
        parts = bench.render(options, 0, cut) + bench.render(options, cut, FRAMES)
        assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    again = bench.render(options)
    assert all(np.array_equal(a, b) for a, b in zip(whole, again, strict=True))
    assert np.abs(whole[7] - bench.before[7]).mean() > 0.5


def test_a_still_video_changes_by_one_and_the_same(tmp_path: Path, runtime: Runtime) -> None:
    still = [smooth_frame(3)] * FRAMES
    bench = Bench(tmp_path, runtime, still, look_of(person(1, landmarks(FRAMES, drift=0))))
    done = bench.render(aged_to(70))
    assert all(np.array_equal(each, done[0]) for each in done)
    assert not np.array_equal(done[0], bench.before[0])


def test_noise_moves_the_change_less_than_frame_by_frame(
    tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, picture = np.random.default_rng(4), smooth_frame(3)
    # Grain that the frames have in common with their change (hair stays hair) is small beside what the codes do.
    noisy = [np.clip(picture + random.normal(0, 2, picture.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    laid: list[np.ndarray] = []

    def lay(frame: av.VideoFrame, change: np.ndarray, weights: np.ndarray, quad: np.ndarray) -> av.VideoFrame:
        laid.append(change * weights[..., None])
        return frame

    monkeypatch.setattr(stream, "lay_change", lay)
    trembling = []
    for cuts in ((), tuple(range(1, 10))):
        (tmp_path / str(len(cuts))).mkdir()
        seen = person(1, landmarks(10, drift=0))
        bench = Bench(tmp_path / str(len(cuts)), runtime, noisy, look_of(seen, cuts=cuts))
        laid.clear()
        for first, stop in bench.look.shots.tolist():
            bench.render(aged_to(70, tune_steps=0), first, stop)
        assert len(laid) == 10
        trembling.append(float(np.stack(laid).std(axis=0).mean()))
    assert trembling[0] < 0.5 * trembling[1]


def test_keyframed_ages_go_evenly(tmp_path: Path, runtime: Runtime) -> None:
    still = [smooth_frame(3)] * FRAMES
    bench = Bench(tmp_path, runtime, still, look_of(person(1, landmarks(FRAMES, drift=0), age=30.0)))
    ages = ((0.2, 30.0), (0.6, 42.0))
    options = VideoOptions(subjects=(Subject(ages=ages),), tune_steps=0)
    done = bench.render(options)
    amount = np.array([np.abs(each - done[0]).mean() for each in done])
    assert np.array_equal(done[0], done[5]) and np.array_equal(done[15], done[19])  # before the first, after the last
    assert np.abs(done[0] - bench.before[0]).max() <= 1  # the present age is the video itself
    assert (np.diff(amount[5:16]) > 0).all()
    parts = bench.render(options, 0, 11) + bench.render(options, 11, FRAMES)
    assert all(np.array_equal(a, b) for a, b in zip(done, parts, strict=True))


def test_frames_without_the_person_keep_their_bits(bench: Bench) -> None:
    marks = landmarks(FRAMES)
    marks[:4] = np.nan
    sure = np.ones(FRAMES, bool)
    sure[:4], sure[13:15] = False, False
    bench.look = look_of(person(1, marks, sure))
    done = bench.render(aged_to(70))
    kept = [i for i in range(FRAMES) if np.array_equal(done[i], bench.before[i])]
    assert kept == [0, 1, 2, 3, 13, 14]
    amount = [np.abs(a - b).mean() for a, b in zip(done, bench.before, strict=True)]
    assert amount[4] < amount[5] < amount[7] and amount[12] < amount[11] < amount[9]  # no popping
    unsure = bench.render(aged_to(70, skip_unsure=False))
    assert not np.array_equal(unsure[13], bench.before[13]) and np.array_equal(unsure[3], bench.before[3])


def test_only_the_square_of_the_face_changes(bench: Bench) -> None:
    done = bench.render(aged_to(70))
    for i in (0, 12):
        changed = (done[i] != bench.before[i]).any(axis=0)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        left, top = 32 + i / 2, 32
        # The oval of the face ends before the square does, and so does the change.
        assert rows[0] > top + 2 and rows[-1] < top + FACE - 2
        assert columns[0] > left + 2 and columns[-1] < left + FACE - 2
        assert changed.sum() > 0.25 * FACE * FACE


def test_the_drawing_itself_takes_the_colours_of_the_frame(tmp_path: Path, runtime: Runtime) -> None:
    dark = [np.asarray(smooth_frame(3) // 3)] * 2
    bench = Bench(tmp_path, runtime, dark, look_of(person(1, landmarks(2, drift=0))))
    drawn = bench.render(aged_to(70, tune_steps=0, detail=0.0), 0, 2)
    laid = bench.render(aged_to(70, tune_steps=0), 0, 2)
    middle = (slice(None), slice(60, 100), slice(60, 100))
    assert np.abs(drawn[0] - bench.before[0])[middle].mean() > np.abs(laid[0] - bench.before[0])[middle].mean()
    assert drawn[0][0][middle[1:]].mean() == pytest.approx(laid[0][0][middle[1:]].mean(), abs=12)


def test_two_people_each_at_their_own_age(tmp_path: Path, runtime: Runtime) -> None:
    frames = [np.concatenate([smooth_frame(5), smooth_frame(6)], axis=1)] * 8
    both = (person(1, landmarks(8, drift=0)), person(2, landmarks(8, left=32 + SIDE, drift=0)))
    bench = Bench(tmp_path, runtime, frames, look_of(*both))
    together = bench.render(aged_to(70, 40), 0, 8)
    first = bench.render(aged_to(70), 0, 8)
    assert np.array_equal(together[3][..., :SIDE], first[3][..., :SIDE])
    assert not np.array_equal(first[3][..., :SIDE], bench.before[3][..., :SIDE])
    assert np.array_equal(first[3][..., SIDE:], bench.before[3][..., SIDE:])
    assert np.abs(together[3] - bench.before[3])[..., SIDE:].max() <= 1  # 40 is their present age


def test_what_was_learnt_is_used_again_and_made_again_if_damaged(bench: Bench) -> None:
    options = aged_to(70)
    learnt = bench.tune(options)
    path = bench.folder / "tune-1-0.safetensors"
    assert path.is_file() and {event.stage for event in learnt} == {"tune"}
    assert [event.total for event in learnt].count(2) >= 3 and all(event.value is None for event in learnt)
    content = path.read_bytes()
    assert len(bench.tune(options)) == 1 and path.read_bytes() == content
    path.write_bytes(content[: len(content) // 2])
    assert len(bench.tune(options)) > 1 and path.read_bytes() == content
    assert sorted(each.name for each in bench.folder.iterdir()) == ["clip.mkv", "tune-1-0.safetensors"]
    path.write_bytes(b"damaged")
    given = (bench.facts, bench.index, bench.look, 0, 4, options, bench.folder, CancelToken())
    with pytest.raises(EveryageError, match="missing or damaged; start the job again"):
        list(bench.ager.render(*given))
    assert not path.exists()
    bench.tune(options)
    assert len(bench.tune(options.model_copy(update={"strength": 0.5}))) > 1  # learnt for something else


def test_a_shot_without_the_person_is_learnt_at_once(bench: Bench) -> None:
    marks = landmarks(FRAMES)
    marks[10:] = np.nan
    bench.look = look_of(person(1, marks), cuts=(10,))
    done = bench.render(aged_to(70), 10, FRAMES)
    assert (bench.folder / "tune-1-1.safetensors").is_file()
    assert all(np.array_equal(a, b) for a, b in zip(done, bench.before[10:], strict=True))
    with pytest.raises(ValueError, match="one shot"):
        bench.render(aged_to(70), 8, 12)
    with pytest.raises(InputError, match="Person 3 was chosen"):
        bench.tune(VideoOptions(subjects=(Subject(who=3, ages=((0, 70),)),)))


def test_cancel_ends_learning_and_drawing(bench: Bench) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        bench.tune(aged_to(70), token)
    assert not list(bench.folder.glob("tune-*"))
    options = aged_to(70)
    bench.tune(options)
    before, token = threading.active_count(), CancelToken()
    given = (bench.facts, bench.index, bench.look, 0, FRAMES, options, bench.folder, token)
    with pytest.raises(Cancelled):
        for _ in bench.ager.render(*given):
            token.cancel()
    left = bench.ager.render(*given[:-1], CancelToken())
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_the_age_of_the_shot_is_what_the_whole_video_says(bench: Bench) -> None:
    options = aged_to(70)
    bench.tune(options)
    path = bench.folder / "tune-1-0.safetensors"
    known = load(path, bench.nets, made_by_of(path))
    assert known is not None and known.present == 40.0 and known.own
    assert known.ages.tolist() == [70.0] and known.kept.shape == (1,)
    bench.look = look_of(replace(bench.look.people[0], age=float("nan")))
    bench.tune(options)
    read = load(path, bench.nets, made_by_of(path))
    assert read is not None and 0 < read.present < 90 and read.present != 40.0


def made_by_of(path: Path) -> str:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return file.metadata()["made_by"]


def test_many_pictures_are_learnt_together() -> None:
    nets = Nets()
    crops = torch.cat([torch.full((1, 3, 32, 32), value) for value in (-0.5, -0.2, 0.1, 0.4, 0.6)])
    pivots = nets.encode(crops, 40.0)
    with torch.no_grad():
        before = [float(((nets.synthesis(pivots) - crops) ** 2)[i].mean()) for i in range(5)]
    *steps, last = tune(nets, crops, pivots, 20, batch=2)
    assert len(steps) == 20
    with torch.no_grad():
        after = [float(((last.value.synthesis(pivots) - crops) ** 2)[i].mean()) for i in range(5)]
    assert all(b < a for a, b in zip(before, after, strict=True))


def test_samples_are_spread_over_time_and_pose() -> None:
    marks = landmarks(300, drift=0)
    marks[100:130, 2, 0] += 8  # the head turns for a second
    sure = np.ones(300, bool)
    sure[:40] = False
    track = follow(look_of(person(1, marks, sure)), Subject(ages=((0, 70),)), 0, aged_to(70), 25, 32)
    chosen = choose_frames(track, 0, 300)
    assert len(chosen) == 12 == len(set(chosen)) and chosen == sorted(chosen)
    assert chosen[0] == 40 and chosen[-1] == 299
    assert sum(100 <= number < 130 for number in chosen) >= 2
    assert choose_frames(track, 0, 40) == [] and choose_frames(track, 50, 53) == [50, 51, 52]


def test_means_over_time_stay_within_a_run() -> None:
    marks = landmarks(40, drift=0)
    marks[20] = np.nan
    track = follow(look_of(person(1, marks), cuts=(30,)), Subject(ages=((0, 70),)), 0, aged_to(70), 25, 32)
    near, weights = neighbours(track, 18, 25)
    assert near[-1] == 19 and near[0] < 17 and weights.sum().item() == pytest.approx(1)
    assert neighbours(track, 29, 25)[0][0] == 25 and neighbours(track, 29, 25)[0][-1] == 29
    assert between(track, 9, 4) == (8, 12, 0.25) and between(track, 17, 4) == (16, 19, pytest.approx(1 / 3))
    assert between(track, 21, 4)[:2] == (21, 25)
    assert track.share[0] == 1 and track.share[29] == 1  # a shot's own ends do not fade
    assert track.share[19] == track.share[21] == pytest.approx(0.2)


def sam_nets() -> SamNets:
    """A SAM of 64 px in the published form."""
    torch.manual_seed(0)
    small = {"widths": (8, 8, 16, 16), "blocks": (1, 1, 1, 1), "pyramid": 16}
    decoder = Generator(32, 32, 64, channel_base=512, channel_max=32)
    sam = Sam(*(AgeEncoder(channels, 32, decoder.num_ws, 32, **small) for channels in (4, 3)), decoder)
    return SamNets(sam.eval().requires_grad_(False), PerceptualLoss().eval(), "sam", 0)


def personal_nets() -> PersonalNets:
    """Tiny networks with somebody's own adapter."""
    base = Nets()
    torch.manual_seed(1)
    adapter = Adapter(num_ws=base.own.num_ws, w_dim=16).eval().requires_grad_(False)
    own = copy.deepcopy(base.synthesis)
    return PersonalNets("ada", base, adapter, own, (20.0, 60.0), "own", base.perceptual, True, 1)


@pytest.mark.parametrize("make", [sam_nets, personal_nets])
def test_other_models_age_videos_too(bench: Bench, make: Callable[[], AgingNets]) -> None:
    bench.nets = make()
    options = aged_to(70, tune_steps=None)
    whole = bench.render(options, 0, 6)
    learnt = load(bench.folder / "tune-1-0.safetensors", bench.nets, made_by_of(bench.folder / "tune-1-0.safetensors"))
    assert learnt is not None and learnt.own == (bench.nets.tune_steps > 0)
    parts = bench.render(options, 0, 2) + bench.render(options, 2, 6)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts, strict=True))
    assert not np.array_equal(whole[3], bench.before[3])


def test_little_memory_takes_smaller_batches() -> None:
    asked: list[int] = []

    def work(rows: Tensor) -> Tensor:
        asked.append(len(rows))
        if len(rows) > 4:
            raise RuntimeError("out of memory")
        return rows * 2

    assert torch.equal(in_batches(work, torch.arange(6.0)), torch.arange(6.0) * 2)
    assert asked == [8, 4, 4]


def test_ages_of_the_table() -> None:
    assert targets(Subject(ages=((0, 70),)), 40) == [70]
    assert targets(Subject(ages=((0, 22), (9, 41))), 33.5) == [22, 25, 30, 33.5, 35, 40, 41]


def test_ahead_passes_items_errors_and_ends() -> None:
    def count(until: int) -> Iterator[int]:
        try:
            yield from range(until)
            raise KeyError("over")
        finally:
            ended.append(threading.current_thread() is not threading.main_thread())

    ended: list[bool] = []
    got = []
    with pytest.raises(KeyError):
        for item in ahead(count(30), 2):
            got.append(item)
    assert got == list(range(30)) and ended == [True]
    stopped = ahead(count(10**9), 3)
    assert next(stopped) == 0
    stopped.close()
    assert ended == [True, True]
