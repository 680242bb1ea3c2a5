"""How fast the video pipeline is against its bare networks, and whether its memory stays flat. Ratios, in one run.

    python -m bench.video_speed --clip person_40.mp4 --work /tmp/speed --out docs/video_speed.json

- "pass_through": frames a second from decoder to encoder where nobody is aged (`read_frames` to `PartWriter`).
- "memory": resident memory of a child process after 1,000 and after all of --long-frames frames of one file, which go
  from decoder to encoder in the app's own chunks; the slope between them, in MB per 1,000 frames.
- "bare" and "end_to_end": frames a second of the networks alone, as often and at the batch size that a frame of the
  video needs, against drawing the clip (`VideoAger.render` and `PartWriter`: decode, crop, networks, blend, encode).
  They take turns, so that they share the machine's moods.

Each wall-clock figure stands beside the processor's own time for a frame (all threads), which other programs on the
machine change little.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import psutil
import torch
import typer

from models.faces.quad import ffhq_quad
from pipelines.aging.loading import AgingModels
from pipelines.events import CancelToken
from pipelines.runtime import Runtime
from pipelines.settings import load_settings
from pipelines.video.aging import VideoAger
from pipelines.video.aging.artist import BATCH_CPU, BATCH_GPU
from pipelines.video.aging.tuning import codes_of
from pipelines.video.look import look_at
from pipelines.video.media import Indexer, PartWriter, Quality, crop_rgb, open_video, read_frames, scan_frames
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.options import Subject, VideoOptions
from pipelines.video.plan import BUSY, IDLE

MIB = 1024**2
EARLY = 1000  # frames after which memory is looked at first: by then everything is loaded
TURNS = 3


def index_of(facts: VideoFacts) -> FrameIndex:
    """By decoding once."""
    indexer = Indexer(facts)
    for frame in scan_frames(facts):
        indexer.add(frame)
    return indexer.done()


def pass_on(facts: VideoFacts, index: FrameIndex, folder: Path) -> Iterator[int]:
    """Send every frame from decoder to encoder as the app does, in its chunks; yields the numbers that are done."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, len(index), IDLE):
        stop = min(first + IDLE, len(index))
        part = folder / "part.mp4"
        with PartWriter(part, facts, Quality()) as writer:
            for number, frame in enumerate(read_frames(facts, index, first, stop), first + 1):
                writer.add(frame)
                yield number
        part.unlink()


@dataclass(frozen=True)
class Pace:
    """Frames a second, and milliseconds of processor time a frame."""

    fps: float
    cpu_ms: float


class Clock:
    """`with Clock(frames) as clock: ...`, then `clock.pace`."""

    def __init__(self, frames: int) -> None:
        self.frames = frames

    def __enter__(self) -> Clock:
        self.began, self.worked = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        seconds, worked = time.perf_counter() - self.began, time.process_time() - self.worked
        self.pace = Pace(self.frames / seconds, 1000 * worked / self.frames)


def median(paces: Iterable[Pace]) -> Pace:
    return Pace(*(float(each) for each in np.median([(pace.fps, pace.cpu_ms) for pace in paces], axis=0)))


def pass_through(clip: Path, folder: Path) -> dict[str, float]:
    """Decoder to encoder, the median of TURNS."""
    facts = open_video(clip)
    index = index_of(facts)
    paces = []
    for _ in range(TURNS):
        with Clock(len(index)) as clock:
            for _ in pass_on(facts, index, folder):
                pass
        paces.append(clock.pace)
    return {"width": facts.width, **asdict(median(paces))}


def long_file(path: Path, frames: int, side: int = 512) -> Path:
    """A video of a soft pattern that moves, unless it is there."""
    if path.is_file():
        return path
    rows, columns = np.mgrid[:side, :side] / side
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as file:
        stream = file.add_stream("libx264", 25, options={"crf": "23", "preset": "ultrafast"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            wave = np.sin(7 * rows + number / 20) * np.cos(5 * columns - number / 31)
            frame = av.VideoFrame.from_ndarray((128 + 90 * wave[..., None].repeat(3, 2)).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    part.replace(path)
    return path


def _memory_of(path: Path, folder: Path, results: Any) -> None:
    """In a child process: resident MB after EARLY and after all frames."""
    process = psutil.Process()
    facts = open_video(path)
    index = index_of(facts)
    found = {}
    for number in pass_on(facts, index, folder):
        if number in (EARLY, len(index)):
            found[number] = process.memory_info().rss / MIB
    results.put(found)


def memory(path: Path, folder: Path) -> dict[str, Any]:
    """Resident memory over a long file, and its slope in MB per 1,000 frames."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    child = context.Process(target=_memory_of, args=(path, folder, results))
    child.start()
    found: dict[int, float] = results.get(timeout=3600)
    child.join()
    early, late = min(found), max(found)
    slope = (found[late] - found[early]) / (late - early) * 1000
    return {"frames": late, "mb_early": found[early], "mb_late": found[late], "mb_per_1000_frames": slope}


class Drawing:
    """A clip that is ready to be drawn: looked at, and learnt without tuning (which changes no speed)."""

    def __init__(self, clip: Path, age: float, runtime: Runtime, work: Path) -> None:
        self.runtime, self.work, self.cancel = runtime, work, CancelToken()
        self.facts = open_video(clip)
        *_, last = look_at(self.facts, runtime, work / "cache", self.cancel)
        self.look, self.index = last.value
        subject = Subject(ages=((0.0, age),))
        self.options = VideoOptions(subjects=(subject,), tune_steps=0)
        self.nets = AgingModels(runtime, work).nets()
        self.size = BATCH_CPU if runtime.device.type == "cpu" else BATCH_GPU
        self.crops = self._crops()
        self.ager = VideoAger(runtime, work)
        for _ in self.ager.tune(self.facts, self.index, self.look, subject, 0, self.options, work, self.cancel):
            pass

    def _crops(self) -> torch.Tensor:
        """The first faces, (size, 3, R, R) in [-1, 1]."""
        landmarks, side = self.look.people[0].landmarks, self.nets.resolution
        frames = zip(read_frames(self.facts, self.index, 0, self.size), landmarks, strict=False)
        crops = np.stack([crop_rgb(frame, ffhq_quad(points), side) for frame, points in frames])
        return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous().div_(127.5).sub_(1.0)

    @torch.inference_mode()
    def bare(self, frames: int) -> Pace:
        """The encoder (once a frame) and the generator (twice: today, and then)."""
        crops = self.crops.to(self.runtime.device)
        with Clock(frames) as clock:
            for _ in range(0, frames, self.size):
                codes = codes_of(self.nets, crops, 40.0)
                for each in (codes, codes + 0.1):
                    drawn = self.nets.synthesis(each)
            float(drawn.sum())  # waits for a GPU
        return clock.pace

    def end_to_end(self, first: int, frames: int) -> Pace:
        """From the file to a part of the result."""
        known = self.facts, self.index, self.look, first, first + frames, self.options, self.work, self.cancel
        with Clock(frames) as clock, PartWriter(self.work / "drawn.mp4", self.facts, Quality()) as writer:
            for _, frame in self.ager.render(*known):
                writer.add(frame)
        return clock.pace


def speed(drawing: Drawing) -> dict[str, Any]:
    """Bare and end to end in turns, over whole chunks of the app; the ratio of the medians, and that of each turn."""
    drawing.bare(drawing.size)
    drawing.end_to_end(0, drawing.size)
    places = [turn * (len(drawing.index) - BUSY) // (TURNS - 1) for turn in range(TURNS)]
    pairs = [(drawing.bare(BUSY), drawing.end_to_end(place, BUSY)) for place in places]
    bare, whole = (median(each) for each in zip(*pairs, strict=True))
    return {
        "batch": drawing.size,
        "frames_a_turn": BUSY,
        "bare": asdict(bare),
        "end_to_end": asdict(whole),
        "ratio": whole.fps / bare.fps,
        "ratios": [each.fps / other.fps for other, each in pairs],
    }


def main(
    clip: Annotated[Path, typer.Option(help="Video of one person.")],
    work: Annotated[Path, typer.Option(help="Folder for what is made on the way.")],
    out: Annotated[Path, typer.Option(help="JSON.")],
    age: float = 70,
    device: str = "cpu",
    threads: Annotated[int, typer.Option(help="Of the networks; 0: PyTorch's choice.")] = 0,
    long_frames: Annotated[int, typer.Option(help="Length of the file for the memory's slope.")] = 5000,
) -> None:
    """Measure."""
    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    runtime = Runtime(load_settings(data=work, device=device))
    found: dict[str, Any] = {"device": str(runtime.device), "threads": torch.get_num_threads(), "cores": os.cpu_count()}
    found["speed"] = speed(Drawing(clip, age, runtime, work))
    found["pass_through"] = pass_through(clip, work / "parts")
    found["memory"] = memory(long_file(work / "long.mp4", long_frames), work / "parts")
    shutil.rmtree(work / "parts", ignore_errors=True)
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(found, indent=1))


if __name__ == "__main__":
    typer.run(main)
