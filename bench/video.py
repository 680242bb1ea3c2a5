"""A video aged by the app, and the same one aged photo by photo: how steady both are, and how near the truth.

    python -m bench.video --clip person_40.mp4 --truth person_70.mp4 --age 70 --work /tmp/video --out docs/video.json

The clip goes through the app's own job (look, tune, draw, join) with `VideoOptions` as a person leaves them. "Frame by
frame" is what somebody without it would do: every frame is a photo for the Age page, drawn with --photo-steps steps of
tuning (0: by the encoder alone) and written with the same codec. The truth is a clip of the same motion at the target
age (`bench.clip`). The figures are those of `bench.video_metrics`; the faces are read by networks from the finished
files, frame by frame. "Re-encoded" is the source through the same codec: what of the figures is the codec's;
`flicker` is what is left of the change's warp error without it, `flicker_ratio` that of the video over that of frame by
frame. With tuning, frame by frame takes minutes a frame: --first and --frames compare a stretch. --sheet: source,
video, truth and frame by frame (rows) at eight moments.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import av
import numpy as np
import torch
import typer
from PIL import Image

from models.errors import InputError
from photos.opening import Photo
from pipelines.aging.options import AgingOptions
from pipelines.aging.pipeline import AgingPipeline
from pipelines.events import CancelToken
from pipelines.runtime import Runtime
from pipelines.settings import Settings, load_settings
from pipelines.video.job import VideoJob
from pipelines.video.options import CRF

from .video_faces import FaceReader, Track, frames_of
from .video_metrics import global_identity, jitter, jitter_ratio, local_identity, psnr, spread, steadiness, to_truth

MOMENTS, TILE, MARGIN = 8, 224, 1.4


def by_the_app(
    clip: Path, age: float, out: Path, settings: Settings, runtime: Runtime, tune_steps: int | None
) -> dict[str, float]:
    """Age a clip by the app's own job, in this process. Returns the seconds of each kind of chunk."""
    kind = VideoJob(settings, lambda: runtime)
    options = {"subjects": [{"who": 1, "ages": [[0.0, age]]}], "tune_steps": tune_steps}
    request = kind.check({"source": str(clip), "out": str(out), "options": options})
    folder = settings.data / "job"
    folder.mkdir(parents=True, exist_ok=True)
    seconds: dict[str, float] = defaultdict(float)
    cancel = CancelToken()
    while names := kind.chunks(request, folder):
        for name in names:
            began = time.monotonic()
            kind.work(request, folder, name, lambda event: None, cancel)
            seconds[name.split("-")[0]] += time.monotonic() - began
    began = time.monotonic()
    kind.finish(request, folder, lambda event: None, cancel)
    seconds["join"] = time.monotonic() - began
    return {name: round(value, 2) for name, value in seconds.items()}


def photo_by_photo(
    frames: Iterable[np.ndarray], clip: Path, age: float, runtime: Runtime, data: Path, steps: int
) -> Iterator[np.ndarray]:
    """Every frame as a photo of its own."""
    pipeline = AgingPipeline(runtime, data)
    for number, frame in enumerate(frames):
        photo = Photo(Image.fromarray(frame), clip, f"frame-{number}")
        try:
            *_, last = pipeline.run(photo, [age], AgingOptions(tune_steps=steps))
            yield np.asarray(last.value[0].image)
        except InputError:
            yield frame


def write_frames(path: Path, pictures: Iterable[np.ndarray], rate: Fraction) -> None:
    """H.264 as the app writes it by default."""
    part = path.with_suffix(".part.mp4")
    with av.open(str(part), "w") as file:
        stream = file.add_stream("libx264", rate, options={"crf": str(CRF["h264"]), "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(pictures):
            if number == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    part.replace(path)


def figures(source: Track, made: Track, truth: Track | None) -> dict[str, Any]:
    """All that can be said of one version from what was read in it."""
    found: dict[str, Any] = {
        "frames_with_face": int(made.found.sum()),
        "tl_id": local_identity(source.embeddings, made.embeddings),
        "tg_id": global_identity(source.embeddings, made.embeddings),
        "jitter": jitter(made.landmarks),
        "jitter_ratio": jitter_ratio(source.landmarks, made.landmarks),
        "apparent_age": spread(made.ages),
        "identity_to_source": float((source.embeddings * made.embeddings).sum(axis=1).mean()),
    }
    if truth is not None:
        found["to_truth"] = to_truth(made.embeddings, truth.embeddings, made.ages, truth.ages)
    return found


def rounded(value: Any) -> Any:
    """Figures short enough to read: four digits, at any depth."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value


@dataclass(frozen=True)
class Version:
    """One of the videos that are compared; of its frames those from `first` on."""

    path: Path
    first: int
    count: int

    def frames(self) -> Iterator[np.ndarray]:
        return frames_of(self.path, self.first, self.first + self.count)

    def track(self, reader: FaceReader, cache: Path) -> Track:
        return reader.of_file(self.path, cache, self.first, self.first + self.count)


def compare(versions: dict[str, Version], reader: FaceReader, cache: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Figures of every version (the first is the source), and the face's squares (T, 4, 2) in the source."""
    tracks = {name: version.track(reader, cache) for name, version in versions.items()}
    source, truth = tracks["source"], tracks.get("truth")
    quads = source.quads()
    rows = {name: figures(source, track, truth) for name, track in tracks.items()}
    steady = steadiness(zip(*(version.frames() for version in versions.values()), strict=True), quads)
    codec = dict(zip(versions, steady, strict=True))["re-encoded"]
    for name, each in zip(versions, steady, strict=True):
        rows[name] |= {"warp_error": each.warp, "change_warp_error": each.change, "change": each.size}
        if name not in ("source", "re-encoded"):
            # The codec's noise has nothing to do with the change: their squares add up.
            flicker = max(each.change - codec.change, 0.0)
            rows[name] |= {"flicker": flicker, "flicker_a_change": flicker / each.size}
    if truth is not None:
        true_quads = truth.quads()
        for name, version in versions.items():
            if name != "truth":
                pairs = zip(version.frames(), versions["truth"].frames(), true_quads, strict=True)
                rows[name]["to_truth"]["psnr"] = float(np.mean([psnr(*pair) for pair in pairs]))
    return rows, quads


def save_sheet(path: Path, versions: dict[str, Version], quads: np.ndarray) -> None:
    """A row for each version, a column for each of MOMENTS moments, cut around the face."""
    numbers = np.linspace(0, len(quads) - 1, MOMENTS + 2).round().astype(int)[1:-1].tolist()
    sheet = Image.new("RGB", (MOMENTS * TILE, len(versions) * TILE), "white")
    for row, version in enumerate(versions.values()):
        for number, frame in enumerate(version.frames()):
            if number in numbers:
                middle = quads[number].mean(axis=0)
                half = MARGIN * float(np.linalg.norm(quads[number][3] - quads[number][0])) / 2
                left, top, right, bottom = (round(float(each)) for each in (*(middle - half), *(middle + half)))
                tile = Image.fromarray(frame).crop((left, top, right, bottom))
                tile = tile.resize((TILE, TILE), Image.Resampling.LANCZOS)
                sheet.paste(tile, (numbers.index(number) * TILE, row * TILE))
    sheet.save(path, quality=90)


def main(
    clip: Annotated[Path, typer.Option(help="Video of one person.")],
    work: Annotated[Path, typer.Option(help="Folder for the results; what lies there is not made again.")],
    out: Annotated[Path, typer.Option(help="JSON.")],
    truth: Annotated[Path | None, typer.Option(help="The same motion at the target age.")] = None,
    age: float = 70,
    tune_steps: Annotated[int | None, typer.Option(help="Of the video; default: the app's.")] = None,
    photo_steps: Annotated[int, typer.Option(help="Of each photo, frame by frame.")] = 0,
    first: Annotated[int, typer.Option(help="First frame that is compared.")] = 0,
    frames: Annotated[int, typer.Option(help="How many frames are compared; 0: to the end.")] = 0,
    sheet: Annotated[Path | None, typer.Option(help="Contact sheet, WebP.")] = None,
    again: Annotated[bool, typer.Option(help="Make the video anew, and keep frame by frame.")] = False,
    device: str = "cpu",
) -> None:
    """Age, measure, compare."""
    settings = load_settings(data=work, device=device)
    runtime = Runtime(settings)
    work.mkdir(parents=True, exist_ok=True)
    with av.open(str(clip)) as file:
        rate = file.streams.video[0].average_rate or Fraction(25)
    count = frames or sum(1 for _ in frames_of(clip, first))
    video, coded = work / f"video-{age:g}.mp4", work / "re-encoded.mp4"
    photos = work / f"photos-{age:g}-{photo_steps}-{first}-{count}.mp4"
    found: dict[str, Any] = {"clip": clip.name, "age": age, "photo_steps": photo_steps, "device": str(runtime.device)}
    if again:
        shutil.rmtree(settings.data / "job", ignore_errors=True)
        shutil.rmtree(settings.data / "cache" / "video", ignore_errors=True)
        video.unlink(missing_ok=True)
    if not video.is_file():
        found["seconds"] = by_the_app(clip, age, video, settings, runtime, tune_steps)
        typer.echo(json.dumps(found["seconds"]), err=True)
    source = Version(clip, first, count)
    if not photos.is_file():
        write_frames(photos, photo_by_photo(source.frames(), clip, age, runtime, work, photo_steps), rate)
    if not coded.is_file():
        write_frames(coded, frames_of(clip), rate)
    versions = {
        "source": source,
        "video": Version(video, first, count),
        **({"truth": Version(truth, first, count)} if truth else {}),
        "frame by frame": Version(photos, 0, count),
        "re-encoded": Version(coded, first, count),
    }
    rows, quads = compare(versions, FaceReader(runtime.device), work / "tracks")
    found["flicker_ratio"] = rounded(rows["video"]["flicker"] / rows["frame by frame"]["flicker"])
    found |= {"first": first, "frames": count, "threads": torch.get_num_threads(), "rows": rounded(rows)}
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if sheet is not None:
        save_sheet(sheet, {name: each for name, each in versions.items() if name != "re-encoded"}, quads)
    typer.echo(json.dumps(found, indent=1))


if __name__ == "__main__":
    typer.run(main)
