"""The FFHQ square: its formula, its exact inverse, its mask, and what stays untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.faces import (
    align_crop,
    canonical_landmarks,
    crop_to_photo_matrix,
    detect_faces,
    face_mask,
    ffhq_quad,
    load_detector,
    paste_back,
    paste_mask,
    resample,
)
from models.images import to_tensor

POINTS = np.array([[200.1, 101.8], [247.2, 102.6], [220.3, 124.7], [198.9, 143.2], [239.8, 143.9]])


@pytest.fixture(scope="module")
def photo(astronaut: Path) -> Image.Image:
    return Image.open(astronaut).convert("RGB")


def dots(places: np.ndarray, size: tuple[int, int], sigma: float) -> Image.Image:
    """Grey with one soft light dot at each place."""
    y, x = np.mgrid[: size[1], : size[0]]
    field = sum(np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in places)
    level = np.clip(np.rint(60 + 180 * np.asarray(field)), 0, 255).astype(np.uint8)
    return Image.fromarray(np.repeat(level[..., None], 3, 2))


def centre(image: Image.Image, near: np.ndarray, radius: int) -> np.ndarray:
    """Centre of light around a place."""
    light = np.asarray(image.convert("L"), dtype=np.float64) - 60
    x0, y0 = np.rint(near).astype(int) - radius
    part = np.clip(light[y0 : y0 + 2 * radius + 1, x0 : x0 + 2 * radius + 1], 0, None)
    y, x = np.mgrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
    return np.array([(x * part).sum(), (y * part).sum()]) / part.sum()


def test_the_quad_of_level_points_by_hand() -> None:
    # Eyes 40 apart, mouth 50 below: the half side is max(2 * 40, 1.8 * 50) = 90, the middle 5 below the eyes.
    level = np.array([[80, 100], [120, 100], [100, 125], [90, 150], [110, 150]], dtype=np.float64)
    assert ffhq_quad(level).tolist() == [[10, 15], [10, 195], [190, 195], [190, 15]]
    wide = level * [1.5, 1.0]
    assert np.ptp(ffhq_quad(wide)[:, 0]) == pytest.approx(4 * 60)


def test_the_quad_follows_the_face() -> None:
    angle, scale, shift = 0.6, 1.7, np.array([30.0, -12.0])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    assert np.allclose(ffhq_quad(POINTS @ turn.T + shift), ffhq_quad(POINTS) @ turn.T + shift)


@pytest.mark.parametrize("bad", [np.zeros((4, 2)), np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_points_that_are_no_face_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="landmarks"):
        ffhq_quad(bad)


def test_corner_pixels_touch_the_corners() -> None:
    quad = ffhq_quad(POINTS)
    matrix = crop_to_photo_matrix(quad, 100)
    outer = np.array([[-0.5, -0.5], [-0.5, 99.5], [99.5, 99.5], [99.5, -0.5]])
    assert np.allclose(resample.transform(outer, matrix), quad)
    finer = crop_to_photo_matrix(quad, 400)
    assert np.allclose(resample.finer(matrix, 4), finer)


@pytest.mark.parametrize("size", [128, 256, 700])
def test_a_crop_shows_the_points_where_the_matrix_says(size: int) -> None:
    places = POINTS * 3 + 40
    quad = ffhq_quad(places)
    matrix = crop_to_photo_matrix(quad, size)
    scale = resample.photo_scale(matrix)
    crop = align_crop(dots(places, (1100, 800), 9.0), quad, size)
    for place in resample.transform(places, resample.invert(matrix)):
        assert np.abs(centre(crop, place, round(24 / scale)) - place).max() < 0.15


@pytest.mark.parametrize("size", [96, 256, 600])
def test_there_and_back_moves_nothing(size: int) -> None:
    places = np.array([[190.0, 110.0], [250.3, 112.4], [221.7, 150.2]])
    picture = dots(places, (420, 380), 5.0)
    quad = ffhq_quad(POINTS)
    again = paste_back(picture, align_crop(picture, quad, size), quad)
    for place in places:
        assert np.abs(centre(again, place, 15) - centre(picture, place, 15)).max() < 0.1


def test_there_and_back_keeps_a_real_photo(photo: Image.Image) -> None:
    quad = ffhq_quad(POINTS)
    again = paste_back(photo, align_crop(photo, quad, 512), quad)
    error = np.asarray(again, dtype=np.float64) - np.asarray(photo)
    inside = paste_mask(photo.size, quad) > 0.5
    assert again.size == photo.size and again.mode == "RGB"
    assert 10 * np.log10(255**2 / (error[inside] ** 2).mean()) > 36
    assert abs(error[inside].mean()) < 0.1


@settings(max_examples=12, deadline=None)
@given(
    st.floats(-3.1, 3.1),
    st.floats(0.4, 3.0),
    st.floats(-60, 300),
    st.floats(-60, 260),
    st.sampled_from([64, 160]),
    st.sampled_from([None, 37, 128]),
)
def test_outside_the_mask_nothing_changes(
    angle: float, scale: float, x: float, y: float, size: int, mask_side: int | None
) -> None:
    rng = np.random.default_rng(5)
    picture = Image.fromarray(rng.integers(0, 256, (200, 240, 3), dtype=np.uint8))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quad = ffhq_quad((POINTS - POINTS.mean(0)) @ turn.T + [x, y])
    mask = None if mask_side is None else np.ones((mask_side, mask_side), dtype=np.float32)
    white = Image.new("RGB", (size, size), "white")
    pasted = paste_back(picture, white, quad, mask)
    amount = paste_mask(picture.size, quad, mask)
    assert np.array_equal(np.asarray(pasted)[amount == 0], np.asarray(picture)[amount == 0])
    # Nothing reaches beyond the square.
    centres = np.stack(np.meshgrid(np.arange(240), np.arange(200)), -1).reshape(-1, 2)
    local = resample.transform(centres, resample.invert(crop_to_photo_matrix(quad, 1))).reshape(200, 240, 2)
    assert amount[(np.abs(local) > 0.5).any(-1)].max(initial=0.0) == 0.0


def test_a_tensor_and_a_picture_paste_alike(photo: Image.Image) -> None:
    crop = align_crop(photo, POINTS, 128)
    first, second = (paste_back(photo, each, ffhq_quad(POINTS)) for each in (crop, to_tensor(crop)[0]))
    assert np.array_equal(np.asarray(first), np.asarray(second))
    with pytest.raises(ValueError, match="square"):
        paste_back(photo, torch.zeros(3, 64, 32), ffhq_quad(POINTS))
    with pytest.raises(ValueError, match="mask"):
        paste_back(photo, crop, ffhq_quad(POINTS), np.ones((4, 5)))


def test_a_square_beside_the_photo_changes_nothing(photo: Image.Image) -> None:
    quad = ffhq_quad(POINTS + 2000)
    same = paste_back(photo, Image.new("RGB", (64, 64)), quad)
    assert np.array_equal(np.asarray(same), np.asarray(photo))
    assert paste_mask(photo.size, quad).max() == 0


def test_beyond_the_photo_a_crop_is_mirrored(photo: Image.Image) -> None:
    quad = np.array([[-128, 0], [-128, 256], [128, 256], [128, 0]], dtype=np.float64) - 0.5
    crop = np.asarray(align_crop(photo, quad, 256), dtype=np.int64)
    # OpenCV mirrors about the outermost pixel: column -k shows column k.
    assert np.abs(crop[:, 127:27:-1] - crop[:, 129:229]).max() <= 1
    assert np.array_equal(crop[:, 128:], np.asarray(photo)[:256, :128])


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((1024, 1024, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    quad = np.array([[0, 0], [0, 1024], [1024, 1024], [1024, 0]], dtype=np.float64) - 0.5
    crop = np.asarray(align_crop(Image.fromarray(stripes), quad, 100), dtype=np.float64)
    assert crop[5:-5, 5:-5].std() < 2.0 and abs(crop.mean() - 127.5) < 2.0


@pytest.mark.parametrize("size", [64, 128, 257])
def test_the_mask_covers_the_face_and_spares_the_border(size: int) -> None:
    mask = face_mask(size)
    border = max(1, round(0.012 * size))
    assert mask.shape == (size, size) and mask.dtype == np.float32
    assert mask[:border].max() == mask[-border:].max() == mask[:, :border].max() == mask[:, -border:].max() == 0
    assert mask.max() == 1.0 and np.abs(np.diff(mask, axis=0)).max() < 16.0 / size
    for x, y in canonical_landmarks(size):
        assert mask[round(y), round(x)] == 1.0
    chin, brow_top = mask[int(0.89 * size), size // 2], mask[round(0.2 * size), size // 2]
    assert chin > 0.85 and brow_top > 0.95
    assert np.allclose(mask, mask[:, ::-1])


def test_average_points_frame_themselves() -> None:
    quad = ffhq_quad(canonical_landmarks(1000))
    assert np.abs(quad - np.array([[0, 0], [0, 1000], [1000, 1000], [1000, 0]]) + 0.5).max() < 6


def test_real_faces_land_on_the_average_points(portraits: list[Path], photo: Image.Image) -> None:
    detector, found = load_detector(), []
    for picture in (photo, *(Image.open(path).convert("RGB") for path in portraits[::3])):
        picture.thumbnail((700, 700))
        points = detect_faces(picture, detector)[0].landmarks
        found.append(resample.transform(points, resample.invert(crop_to_photo_matrix(ffhq_quad(points), 128))))
    assert np.abs(np.mean(found, axis=0) - canonical_landmarks(128)).max() < 1.5


def test_a_colour_cast_is_met_at_the_edge_only_slowly(photo: Image.Image) -> None:
    quad = ffhq_quad(POINTS)
    crop = align_crop(photo, quad, 256)
    cast = Image.fromarray(np.clip(np.asarray(crop) * 0.95 + [14, 4, -10], 0, 255).astype(np.uint8))
    amount = paste_mask(photo.size, quad)
    ring = (amount > 0.25) & (amount < 0.75)
    plain, matched = (
        np.asarray(paste_back(photo, cast, quad, color_match=match), dtype=np.float64) - np.asarray(photo)
        for match in (False, True)
    )
    assert np.abs(matched[ring].mean(0)).max() < 0.35 * np.abs(plain[ring].mean(0)).max()
    # Fine detail of the crop is not touched: the correction is smooth.
    correction = (matched - plain)[amount == 1.0]
    assert np.abs(correction).max() < 24


def test_an_equal_crop_needs_no_colour_match(photo: Image.Image) -> None:
    quad = ffhq_quad(POINTS)
    crop = align_crop(photo, quad, 256)
    first, second = (np.asarray(paste_back(photo, crop, quad, color_match=m), dtype=np.float64) for m in (False, True))
    assert np.abs(first - second).mean() < 0.3
