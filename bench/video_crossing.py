"""A rendered clip of two people who cross, with a cut after which they stand the other way round.

    python -m bench.video_crossing --renderer /work/shared/heads --out /work/data/clips

Writes `two_people.mp4` (640 x 360, 25 fps): four seconds in which the first person walks from left to right in front of
the second, who walks from right to left; then two seconds in another room, the first on the left, the second on the
right. `two_people.json` says where the middle of each one's layer is in each frame, and whether it is hidden.
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from PIL import Image

from .clip import RATE, FixedCamera, display, film, pictures_of, write_clip

WIDTH, HEIGHT = 640, 360
WALK, STAY = 100, 50  # frames before and after the cut
STEP = 3  # pixels a frame: whole ones, so that moving blurs nothing
SECOND_LATER = 3.3  # seconds by which the second person's motion is ahead
ROOMS = (5, 14)


def places(number: int) -> tuple[int, int]:
    """Left edges of both people's layers in a frame."""
    if number >= WALK:
        return -20, WIDTH - HEIGHT + 20
    return -10 + STEP * number, WIDTH - HEIGHT + 10 - STEP * number


def room(camera: FixedCamera, seed: int) -> np.ndarray:
    """Light (HEIGHT, WIDTH, 3) of an empty room."""
    square = camera.renderer.background({**camera.base, "background_seed": seed}, WIDTH)
    return np.asarray(square[-HEIGHT:] * camera.gain.numpy(), dtype=np.float32)


def lay(picture: np.ndarray, layer: tuple[np.ndarray, np.ndarray], left: int) -> None:
    """Lay a person over the picture in place; what is outside of it falls away."""
    light, covered = layer
    low, high = max(left, 0), min(left + HEIGHT, WIDTH)
    part = slice(low - left, high - left)
    picture[:, low:high] = light[:, part] + (1 - covered[:, part]) * picture[:, low:high]


def draw(job: tuple[Path, Path, tuple[int, int], float, list[int]]) -> None:
    """Render some frames into PNG files, unless they are there."""
    renderer, folder, seeds, aa, numbers = job
    torch.set_num_threads(1)
    missing = [number for number in numbers if not (folder / f"{number:05d}.png").exists()]
    if not missing:
        return
    first, second = (FixedCamera(renderer, seed, 40, 40, ROOMS[0], HEIGHT, aa) for seed in seeds)
    rooms = [room(first, seed) for seed in ROOMS]
    for number in missing:
        picture = rooms[number >= WALK].copy()
        near, far = places(number)
        lay(picture, second.layer(number / RATE + SECOND_LATER), far)
        lay(picture, first.layer(number / RATE), near)
        part = folder / f"{number:05d}.part.png"
        Image.fromarray(display(film(picture))).save(part)
        part.replace(folder / f"{number:05d}.png")


def truth(number: int) -> dict[str, object]:
    """Where both people are in a frame, and whether the one behind is hidden for the most part."""
    near, far = places(number)
    hidden = number < WALK and abs(near - far) < HEIGHT / 6
    return {"frame": number, "first": near + HEIGHT / 2, "second": far + HEIGHT / 2, "second_hidden": hidden}


def main(
    renderer: Annotated[Path, typer.Option(help="Folder of the rendered heads.")],
    out: Annotated[Path, typer.Option(help="Folder of the clip.")],
    first: Annotated[int, typer.Option(help="Person in front.")] = 800_020,
    second: Annotated[int, typer.Option(help="Person behind.")] = 800_038,
    aa: float = 1.5,
    processes: int = 2,
) -> None:
    """Render the clip."""
    cv2.setNumThreads(1)
    frames = WALK + STAY
    folder = out / "frames" / f"{first}_{second}"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(renderer, folder, (first, second), aa, list(range(each, frames, processes))) for each in range(processes)]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(draw, jobs, chunksize=1)
    write_clip(out / "two_people.mp4", pictures_of(folder, range(frames)), frames)
    rows = {"cut": WALK, "frames": [truth(number) for number in range(frames)]}
    (out / "two_people.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
