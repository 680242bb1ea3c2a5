"""The file that keeps a look at a video: `cache/video/SHA/look.npz` in the data folder, numbers only.

Embeddings of faces are biometric data: they are in this file and nowhere else.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from photos.files import make_folder, write_atomically
from pipelines.video.media.facts import FrameIndex, VideoFacts
from pipelines.video.seen import Look, SeenPerson

VERSION = 1
"""Of the file and of how its content is found: others are made again."""

# Whatever a damaged archive brings.
DAMAGED = (
    OSError, ValueError, KeyError, EOFError, TypeError, MemoryError, NotImplementedError,
    zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


def look_path(cache: Path, facts: VideoFacts) -> Path:
    """Where the look at a video is kept. cache: the data folder's `cache`."""
    return cache / "video" / facts.sha256 / "look.npz"


def store(path: Path, look: Look, index: FrameIndex) -> None:
    """Write the file, whole or not at all. Raises EveryageError if the disk refuses."""
    people, frames = look.people, len(index)
    arrays: dict[str, Any] = {
        "version": np.int64(VERSION),
        "pts": index.pts,
        "keys": index.keys,
        "duration": np.int64(index.duration),
        "shots": look.shots,
        "landmarks": np.stack([p.landmarks for p in people]) if people else np.zeros((0, frames, 5, 2), np.float32),
        "sure": np.stack([p.sure for p in people]) if people else np.zeros((0, frames), bool),
        "embeddings": np.stack([p.embedding for p in people]) if people else np.zeros((0, 128), np.float32),
        "figures": np.array([(p.age, p.size) for p in people], np.float64).reshape(-1, 2),
        "thumbnails": np.array([p.thumbnail for p in people], np.int64),
    }
    make_folder(path.parent)
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load(path: Path) -> tuple[Look, FrameIndex] | None:
    """What the file says; None if there is none, or one of another version, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if int(file["version"]) != VERSION:
                return None
            return _read(file)
    except DAMAGED:
        return None


def _read(file: np.lib.npyio.NpzFile) -> tuple[Look, FrameIndex]:
    """Raises ValueError for arrays that do not fit together."""
    index = FrameIndex(file["pts"], file["keys"], int(file["duration"]))
    landmarks, sure, embeddings = file["landmarks"], file["sure"], file["embeddings"]
    figures, thumbnails, shots = file["figures"], file["thumbnails"], file["shots"]
    count, frames = len(landmarks), len(index)
    fits = (
        landmarks.shape == (count, frames, 5, 2)
        and sure.shape == (count, frames)
        and embeddings.shape == (count, 128)
        and figures.shape == (count, 2)
        and thumbnails.shape == (count,)
        and shots.ndim == 2
        and shots.shape[1] == 2
        and frames > 0
    )
    if not fits:
        raise ValueError("the arrays do not fit together")
    people = tuple(
        SeenPerson(
            i + 1, landmarks[i], sure[i], embeddings[i], float(figures[i, 0]), float(figures[i, 1]), int(thumbnails[i])
        )
        for i in range(count)
    )
    return Look(shots, people), index
