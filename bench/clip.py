"""Rendered clips of one person who turns, talks, smiles and blinks, and the same seconds at other ages.

    python -m bench.clip --renderer /work/shared/heads --seed 800020 --age 40 --also 70,20 --out /work/data/clips

Writes `person_40.mp4`, `person_70.mp4` and `person_20.mp4`: H.264 with an AAC tone that follows the mouth. All of them
have one motion, one light, one background and one fixed camera, so that frame t of the older clip is the true answer to
"frame t, thirty years on". Nothing but the motion differs between two frames: the exposure is held and there is no
grain. Frames are kept under `--out`/frames/SEED_AGE, so that an interrupted run goes on where it was.

RENDERER is the folder of the rendered heads (`heads.py` and its assets), which is no part of this repository. Seeds of
people: 800,000 to 899,999, which no training has seen.
"""

from __future__ import annotations

import math
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import av
import cv2
import numpy as np
import torch
import typer
from PIL import Image

RATE = 25
SOUND_RATE = 48_000
ZOOM = 1.8  # side of the frame over that of the face's FFHQ square
PEOPLE = range(800_000, 900_000)
BLINKS = (1.3, 3.9, 5.2, 8.1)


def bump(second: float, middle: float, width: float) -> float:
    """A smooth pulse, 1 at `middle`."""
    return math.exp(-(((second - middle) / width) ** 2))


def view_at(base: dict[str, Any], second: float) -> dict[str, Any]:
    """The photo situation of a moment: `base` with pose and expression as smooth functions of time.

    The head turns between about -25 and 25 degrees; two sentences with a pause, a smile from second 5.5 to 8.
    """
    turn = 2 * math.pi * second
    yaw = 18 * math.sin(turn / 5.3 + 0.4) + 7 * math.sin(turn / 2.9)
    talking = bump(second, 2.2, 2.0) + bump(second, 8.6, 1.1)
    syllables = 0.5 + 0.3 * math.sin(turn * 2.7) + 0.2 * math.sin(turn * 4.1 + 1)
    return {
        **base,
        "yaw": yaw,
        "pitch": 4 * math.sin(turn / 3.7 + 1) + 1.5 * math.sin(turn / 1.6),
        "roll": 3 * math.sin(turn / 4.6 + 2),
        "body_yaw": 4 * math.sin(turn / 7.9),
        "gaze": (-0.35 * yaw, 2 * math.sin(turn / 2.3)),
        # The mouth is never quite shut: at 0 the renderer drops another face unit, and the lip would jump.
        "open": 0.02 + 0.9 * min(1.0, talking) * max(0.0, syllables),
        "smile": 0.1 + 0.75 * (1 / (1 + math.exp(-(second - 5.6) * 5))) * (1 / (1 + math.exp((second - 7.9) * 5))),
        "brow": 0.35 * math.sin(turn / 3.1),
        "squint": 0.1 + sum(1.1 * bump(second, middle, 0.09) for middle in BLINKS),
    }


class FixedCamera:
    """The renderer with a camera, an exposure and a white balance that do not follow the face.

    The camera stands where the face at `age`, looking straight ahead, fills the middle of the frame (people grow and
    shrink over a life); exposure and white balance suit the face at `lit_for`, so that the room looks the same in all
    clips of a person.
    """

    def __init__(
        self, renderer: Path, seed: int, age: float, lit_for: float, view_seed: int, size: int, aa: float
    ) -> None:
        sys.path.insert(0, str(renderer))
        module: Any = import_module("heads")
        self.renderer = import_module("heads_render")
        self.heads = module.Heads(device="cpu")
        self.person = module.sample_identity(seed)
        calm = module.sample_view(view_seed, calm=True)
        self.base = {**calm, "fov": 14.0, "light": "soft", "makeup": 0.0, "body_yaw": 0.0}
        self.age, self.size, self.aa = age, size, aa
        self.gain = self._gain(lit_for)
        self.reference = self._ahead(age)
        self.heads._camera = self._camera

    def _ahead(self, age: float) -> Any:
        """Set up the person looking straight ahead, seen by the renderer's own camera: in the FFHQ square."""
        return self.heads._setup(
            self.person, age, {**self.base, "yaw": 0.0, "pitch": 0.0, "roll": 0.0}, self.size, self.aa
        )

    def _camera(self, frame: Any) -> None:
        fixed, middle = self.reference, self.reference.W / 2

        def screen(points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            xy, depth = fixed.screen(points)
            return (xy - middle) / ZOOM + middle, depth

        frame.camera, frame.view_direction, frame.face_centre = fixed.camera, fixed.view_direction, fixed.face_centre
        frame.pixels_per_dm, frame.screen = fixed.pixels_per_dm / ZOOM, screen

    def _gain(self, age: float) -> torch.Tensor:
        """Exposure and white balance (3,) that show the face at `age` well: its skin at a middle level, and neutral."""
        frame = self._ahead(age)
        face = self.heads._shade(frame)[frame.skin_pixel[frame.face_pixels]]
        white = frame.skin_light[frame.face_pixels].mean(0)
        return 0.23 * (frame.tone / 0.35) ** 0.56 / face.mean(1).quantile(0.62) / (white / white.mean()) ** 0.72

    @torch.no_grad()
    def picture(self, second: float) -> np.ndarray:
        """(size, size, 3) uint8 RGB."""
        frame = self._frame(second)
        return develop(self._shade(frame), self.size)

    @torch.no_grad()
    def layer(self, second: float) -> tuple[np.ndarray, np.ndarray]:
        """The person alone, to be laid over any background: light (size, size, 3) times coverage, and coverage.

        Shaded over black and over white: where both agree, nothing shows through.
        """
        frame = self._frame(second)
        eyes = frame.eyes.f  # shading takes the corneas out of it
        with patch.object(self.renderer, "background", _plain(0.0)):
            black = self._shade(frame)
        frame.eyes.f = eyes
        with patch.object(self.renderer, "background", _plain(1.0)):
            white = self._shade(frame)
        covered = 1 - ((white - black) / self.gain).mean(2, keepdim=True).clamp(0, 1)
        return shrink(black, self.size), shrink(covered.expand_as(black), self.size)[..., :1]

    def _frame(self, second: float) -> Any:
        return self.heads._setup(self.person, self.age, view_at(self.base, second), self.size, self.aa)

    def _shade(self, frame: Any) -> torch.Tensor:
        """Light (W, W, 3), exposed."""
        side = self.reference.W
        lit: torch.Tensor = (self.heads._shade(frame).reshape(side, side, 3) * self.gain).clamp_min(0)
        return lit


def _plain(level: float) -> Callable[[Any, int], np.ndarray]:
    return lambda view, side: np.full((side, side, 3), level, np.float32)


def shrink(light: torch.Tensor, size: int) -> np.ndarray:
    """Light (W, W, C) averaged down to `size`."""
    return np.asarray(cv2.resize(light.contiguous().numpy(), (size, size), interpolation=cv2.INTER_AREA))


def film(light: torch.Tensor | np.ndarray) -> np.ndarray:
    """The renderer's film curve: light from 0 on to linear display values below 1."""
    lit = np.asarray(light)
    return np.asarray(1 - np.exp(-1.15 * lit**1.1 * (1 + 0.45 * lit)))


def display(linear: np.ndarray) -> np.ndarray:
    """Linear 0..1 as uint8 sRGB."""
    curved = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055)
    return np.asarray((curved.clip(0, 1) * 255 + 0.5).astype(np.uint8))


def develop(light: torch.Tensor, size: int) -> np.ndarray:
    """Light (W, W, 3) as a picture (size, size, 3) uint8; edges are averaged after the film, so that none is jagged."""
    return display(shrink(torch.from_numpy(film(light)), size))


def draw_frames(job: tuple[Path, Path, int, float, float, int, int, float, list[int]]) -> None:
    """Render some frames of one clip into PNG files, unless they are there. job: see `render`."""
    renderer, folder, seed, age, lit_for, view_seed, size, aa, numbers = job
    torch.set_num_threads(1)
    missing = [number for number in numbers if not (folder / f"{number:05d}.png").exists()]
    camera = FixedCamera(renderer, seed, age, lit_for, view_seed, size, aa) if missing else None
    for number in missing:
        assert camera is not None
        part = folder / f"{number:05d}.part.png"
        Image.fromarray(camera.picture(number / RATE)).save(part)
        part.replace(folder / f"{number:05d}.png")


def sound(frames: int) -> np.ndarray:
    """A voice-like tone (1, samples) float32 at 48 kHz: as loud as the mouth is open."""
    seconds = np.arange(frames * SOUND_RATE // RATE) / SOUND_RATE
    grid = np.arange(0, frames / RATE, 0.01)
    loud = np.interp(seconds, grid, [view_at({}, float(second))["open"] for second in grid])
    phase = 2 * np.pi * np.cumsum(140 + 25 * np.sin(2 * np.pi * seconds / 1.7)) / SOUND_RATE
    tone = sum(np.sin(phase * harmonic) / harmonic for harmonic in range(1, 9))
    return (0.12 * loud * tone)[None].astype(np.float32)


def write_clip(path: Path, pictures: Iterable[np.ndarray], count: int) -> None:
    """H.264 (CRF 12) with AAC, from `count` RGB pictures of one size."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as file:
        video = file.add_stream("libx264", RATE, options={"crf": "12", "preset": "medium"})
        voice = file.add_stream("aac", SOUND_RATE, layout="mono")
        video.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            file.mux(video.encode(frame))
        file.mux(video.encode())
        samples = sound(count)
        for start in range(0, samples.shape[1], 1024):
            piece = np.ascontiguousarray(samples[:, start : start + 1024])
            heard = av.AudioFrame.from_ndarray(piece, "fltp", "mono")
            heard.sample_rate, heard.pts, heard.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
            file.mux(voice.encode(heard))
        file.mux(voice.encode())
    part.replace(path)


def pictures_of(folder: Path, numbers: Iterable[int]) -> Iterator[np.ndarray]:
    """Rendered frames of a folder, RGB."""
    for number in numbers:
        yield np.asarray(Image.open(folder / f"{number:05d}.png"))


def render(
    renderer: Path, out: Path, seed: int, age: float, lit_for: float, view_seed: int, size: int, aa: float,
    frames: int, processes: int,
) -> Path:  # fmt: skip
    """The folder with the frames of one clip, rendered where they are missing. lit_for: see `FixedCamera`."""
    folder = out / "frames" / f"{seed}_{age:g}"
    folder.mkdir(parents=True, exist_ok=True)
    shares = [list(range(first, frames, processes)) for first in range(processes)]
    jobs = [(renderer, folder, seed, age, lit_for, view_seed, size, aa, share) for share in shares]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(draw_frames, jobs, chunksize=1)
    return folder


def main(
    renderer: Annotated[Path, typer.Option(help="Folder of the rendered heads.")],
    out: Annotated[Path, typer.Option(help="Folder of the clips.")],
    seed: Annotated[int, typer.Option(help="Person: 800000 to 899999.")] = 800_020,
    age: Annotated[float, typer.Option(help="Age of the source.")] = 40,
    also: Annotated[str, typer.Option(help="Other ages with the same motion.")] = "70,20",
    seconds: float = 10.0,
    size: Annotated[int, typer.Option(help="Side of the frame in pixels.")] = 512,
    aa: Annotated[float, typer.Option(help="Supersampling of the renderer.")] = 1.5,
    view_seed: Annotated[int, typer.Option(help="Light, background and clothes.")] = 5,
    processes: int = 2,
) -> None:
    """Render the clips that are not there."""
    if seed not in PEOPLE:
        raise typer.BadParameter(f"People for validation are {PEOPLE.start} to {PEOPLE.stop - 1}, not {seed}.")
    frames = round(seconds * RATE)
    for each in (age, *(float(word) for word in also.split(",") if word)):
        folder = render(renderer, out, seed, each, age, view_seed, size, aa, frames, processes)
        write_clip(out / f"person_{each:g}.mp4", pictures_of(folder, range(frames)), frames)
        typer.echo(f"person_{each:g}.mp4: {frames} frames")


if __name__ == "__main__":
    typer.run(main)
