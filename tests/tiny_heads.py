"""A folder of head assets in the true format, of a few hundred vertices: an egg with eyes, a nose and a collar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from training.heads.textures import NAMES, SQUARE

MIDDLE, RADII = np.array([0.0, 7.3, 0.55]), np.array([0.8, 1.15, 0.98])
NOSE, LIPS, EYES, NECK = (0.0, 6.95, 1.6), (0.36, 6.6, 1.35), (0.31, 7.28, 1.245), (0.0, 5.9, 0.07)
BOX = 64
"""Side in texture pixels of the two boxes of the skin's atlas."""


def build_tiny_heads(folder: Path) -> Path:
    """Write the assets into `folder` and return it."""
    for sub in ("skins", "clothes"):
        (folder / sub).mkdir(parents=True, exist_ok=True)
    np.savez(folder / "geometry.npz", **_geometry())
    rng = np.random.default_rng(0)
    for name in NAMES:
        tone = np.array([90, 60, 45] if "dark" in name else [200, 150, 120])
        levels = tone + rng.normal(0, 6, (2 * BOX, BOX, 1))
        Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(folder / "skins" / f"{name}.webp", lossless=True)
    for name in ("clothes/female_coat", "clothes/male_coat", "teeth", "tongue"):
        Image.new("RGB", (16, 16), (180, 180, 190)).save(folder / f"{name}.webp", lossless=True)
    return folder


def _sphere(
    middle: np.ndarray, radii: np.ndarray, rows: int, columns: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (rows * columns, 3), faces that are seen from outside, and (azimuth, height) of 0..1."""
    height, turn = np.meshgrid(np.linspace(0.02, 0.98, rows), np.arange(columns) / columns, indexing="ij")
    polar, around = np.pi * height, 2 * np.pi * turn
    unit = np.stack([np.sin(around) * np.sin(polar), -np.cos(polar), -np.cos(around) * np.sin(polar)], -1)
    faces = []
    for row in range(rows - 1):
        for column in range(columns):
            a, b = row * columns + column, row * columns + (column + 1) % columns
            faces += [(a, a + columns, b), (b, a + columns, b + columns)]
    vertices, triangles = (middle + radii * unit).reshape(-1, 3), np.array(faces)
    corners = vertices[triangles]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    turned = (outward * (corners.mean(1) - middle)).sum(1) < 0
    triangles[turned] = triangles[turned][:, ::-1]
    return vertices, triangles, np.stack([turn, height], -1).reshape(-1, 2)


def _geometry() -> dict[str, np.ndarray]:
    head, faces, layout = _sphere(MIDDLE, RADII, 24, 32)
    front = head[:, 2] > 1
    sockets = np.hypot(np.abs(head[:, 0]) - EYES[0], head[:, 1] - EYES[1]) < 0.17
    head[:, 2] -= 0.2 * (front & sockets)
    head[:, 2] += 0.3 * (front & (np.hypot(head[:, 0], head[:, 1] - NOSE[1]) < 0.12))
    helpers = [np.array(NECK), np.array(EYES), np.array(EYES) * (-1, 1, 1)]
    vertices = np.concatenate([head, *(np.repeat(point[None], 8, 0) for point in helpers)])
    joints = {name: len(head) + 8 * i + np.arange(8) for i, name in enumerate(("neck", "l-eye", "r-eye"))}

    def nearest(point: tuple[float, ...]) -> int:
        return int(np.argmin(((head - np.array(point)) ** 2).sum(1)))

    left, right, nose = nearest(LIPS), nearest((-LIPS[0], *LIPS[1:])), nearest(NOSE)
    lids = (np.abs(np.abs(head[faces].mean(1)[:, 0]) - EYES[0]) < 0.12) & (
        np.abs(head[faces].mean(1)[:, 1] - 7.28) < 0.1
    )
    count = len(head)
    raw = {
        "vertices": vertices.astype(np.float32), "head_weight": np.ones(len(vertices), np.float32),
        "landmark_vertices": np.array([right, left, nose], np.int32),
        "subdiv_indptr": np.arange(count + 1, dtype=np.int32), "subdiv_indices": np.arange(count, dtype=np.uint16),
        "subdiv_weights": np.ones(count, np.float32), "skin_position": np.arange(count, dtype=np.uint16),
        "skin_uv": (layout * BOX / SQUARE * (1, -1) + (0, 1)).astype(np.float32), "skin_faces": faces.astype(np.uint16),
        "skin_face_box": (lids & (head[faces].mean(1)[:, 2] > 1)).astype(np.uint8),
        "skin_boxes": np.array([[0, 0, BOX, BOX, 0, 0], [0, 0, BOX, BOX, 0, BOX]], np.int32),
    }  # fmt: skip
    raw |= {f"joint/{name}": rows.astype(np.int32) for name, rows in joints.items()}
    moves = {
        "mouth/mouth-angles-up": {left: (0, 0.1, 0), right: (0, 0.1, 0)}, "nose/nose-volume-incr": {nose: (0, 0, 0.1)},
        "nose/nose-volume-decr": {nose: (0, 0, -0.1)}, "mouth/mouth-laugh-lines-in": {left: (0, 0, -0.05)},
    }  # fmt: skip
    return raw | _targets(moves) | _fitted(joints, vertices)


def _targets(moves: dict[str, dict[int, tuple[float, ...]]]) -> dict[str, np.ndarray]:
    rows = {name: sorted(moved.items()) for name, moved in moves.items()}
    steps = [np.diff([0, *(index for index, _ in row)]) for row in rows.values()]
    deltas = np.array([delta for row in rows.values() for _, delta in row])
    return {
        "target_names": np.array(list(rows)), "target_start": np.cumsum([0, *(len(row) for row in rows.values())]),
        "target_index_steps": np.concatenate(steps).astype(np.uint16),
        "target_deltas": (deltas * 1000).round().astype(np.int16).T,
    }  # fmt: skip


def _fitted(joints: dict[str, np.ndarray], vertices: np.ndarray) -> dict[str, np.ndarray]:
    """Eyeballs at the joints, teeth and tongue inside the head, a collar below it."""
    parts = {}
    shapes = {
        "eyes": [("r-eye", 0, 0.15), ("l-eye", 0, 0.15)], "teeth": [("neck", 1.0, 0.2)], "tongue": [("neck", 0.9, 0.1)],
        "clothes/female_coat": [("neck", -0.4, 0.9)], "clothes/male_coat": [("neck", -0.5, 1.0)],
    }  # fmt: skip
    for name, balls in shapes.items():
        offsets, faces, refs = [], [], []
        for joint, up, radius in balls:
            ball, triangles, layout = _sphere(np.array([0.0, up, 0.0]), np.full(3, radius), 12, 16)
            faces.append(triangles + sum(len(each) for each in offsets))
            offsets.append(ball)
            refs.append(np.full(len(ball), joints[joint][0]))
        ref = np.concatenate(refs)
        part = {
            "ref": np.stack([ref] * 3, 1).astype(np.uint16),
            "weights": np.tile([1, 0, 0], (len(ref), 1)).astype(np.float32),
            "offset": np.concatenate(offsets).astype(np.float32), "position": np.arange(len(ref)).astype(np.uint16),
            "uv": np.tile(layout, (len(balls), 1)).astype(np.float32), "faces": np.concatenate(faces).astype(np.uint16),
            "scale_vertices": np.array([[0, 400]] * 3, np.int32), "scale_length": np.abs(vertices[0] - vertices[400]),
        }  # fmt: skip
        parts |= {f"mesh/{name}/{key}": value for key, value in part.items()}
    return parts
