"""Pictures out of frames and changes into them: exact colours, nothing touched outside, upright for people."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace
from clips import Clip, make_clip, picture, planes

from models.faces import resample
from models.faces.quad import crop_to_photo_matrix
from pipelines.video.media import (
    crop_rgb,
    lay_change,
    open_video,
    scan_frames,
    small_rgb,
    stored,
    to_stored,
    to_upright,
    upright,
    whole_rgb,
)
from pipelines.video.media.planes import layout_of, planes_of

# ITU-R BT.709, 601 and 2020: weights of red and blue in brightness; FFmpeg's number of each.
SPACES = {"709": (1, 0.2126, 0.0722), "601": (6, 0.299, 0.114), "2020": (9, 0.2627, 0.0593)}
FORMATS = ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p12le"]
TURNED = np.array([[40.3, 30.1], [30.2, 110.4], [110.5, 120.5], [120.6, 40.2]])


def flat_frame(form: str, space: str, full: bool, rgb: tuple[float, float, float], size: int = 160) -> av.VideoFrame:
    """A frame of one colour, by the standard's own formulas."""
    tag, red, blue = SPACES[space]
    r, g, b = (x / 255 for x in rgb)
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    bits = layout_of(form).bits
    if full:
        samples = (y * (2**bits - 1), cb * (2**bits - 1) + 2 ** (bits - 1), cr * (2**bits - 1) + 2 ** (bits - 1))
    else:
        unit = 2 ** (bits - 8)
        samples = ((219 * y + 16) * unit, (224 * cb + 128) * unit, (224 * cr + 128) * unit)
    frame = av.VideoFrame(size, size - 10, form)
    frame.colorspace, frame.color_range = tag, ColorRange.JPEG if full else ColorRange.MPEG
    for plane, sample in zip(planes_of(frame), samples, strict=True):
        plane[:] = round(sample)
    frame.pts = 11
    return frame


def wavy_frame(form: str = "yuv420p", size: tuple[int, int] = (200, 160)) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture(3, size), "rgb24").reformat(
        format=form, dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
    )
    frame.colorspace, frame.pts = 1, 42
    return frame


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("full", [False, True])
def test_colours_are_those_of_the_standard(form: str, space: str, full: bool) -> None:
    for rgb in ((200.0, 120.0, 90.0), (255.0, 255.0, 255.0), (0.0, 0.0, 0.0), (20.0, 60.0, 230.0)):
        crop = crop_rgb(flat_frame(form, space, full, rgb), TURNED, 48)
        assert crop.shape == (48, 48, 3) and crop.dtype == np.float32
        assert np.abs(crop - rgb).max() < (1.6 if layout_of(form).bits == 8 else 0.5)


def test_untagged_video_is_taken_for_what_its_size_suggests() -> None:
    sd, hd = (flat_frame("yuv420p", space, False, (30, 200, 60), size) for space, size in (("601", 160), ("709", 1280)))
    for frame in (sd, hd):
        frame.colorspace = 2
        assert np.abs(crop_rgb(frame, TURNED, 32) - (30, 200, 60)).max() < 2


def test_a_crop_is_the_one_that_photos_get() -> None:
    frame = wavy_frame("yuv444p", (400, 320))
    image = whole_rgb(frame)
    for scale in (0.4, 1.0, 2.4):  # enlarged, and shrunk by up to three
        corner, side = np.array([50.2, 60.4]), 90 * scale
        quad = corner + side * np.array([[0, 0], [-0.1, 1], [0.9, 1.1], [1, 0.1]])
        square = resample.cut(image, crop_to_photo_matrix(quad, 80), 80).astype(np.float32)
        difference = crop_rgb(frame, quad, 80) - square
        assert np.abs(difference).mean() < 1.0 and abs(difference.mean()) < 0.5
    outside = crop_rgb(frame, TURNED - 60, 64)  # mirrored beyond the frame
    assert np.isfinite(outside).all() and outside.std() > 10


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("full", [False, True])
def test_a_change_that_is_laid_is_seen_again(form: str, full: bool) -> None:
    frame = flat_frame(form, "709", full, (150, 120, 100))
    change = np.zeros((64, 64, 3), np.float32)
    change[:] = (24, -12, 6)
    weights = np.zeros((64, 64), np.float32)
    weights[12:-12, 12:-12] = 1
    before = [plane.copy() for plane in planes_of(frame)]
    aged = lay_change(frame, change, weights, TURNED)
    assert all((old == now).all() for old, now in zip(before, planes_of(frame), strict=True))
    assert (aged.pts, aged.format.name) == (11, form)
    assert (aged.colorspace, aged.color_range) == (frame.colorspace, frame.color_range)
    seen = crop_rgb(aged, TURNED, 64) - crop_rgb(frame, TURNED, 64)
    assert np.abs(seen[20:-20, 20:-20].mean((0, 1)) - (24, -12, 6)).max() < 1.5
    assert np.abs(seen[:4]).max() < 0.5 and np.abs(seen[:, -4:]).max() < 0.5


@pytest.mark.parametrize("form", FORMATS)
def test_samples_of_no_weight_keep_their_bits(form: str) -> None:
    frame = wavy_frame(form)
    rng = np.random.default_rng(1)
    change = rng.normal(0, 60, (96, 96, 3)).astype(np.float32)
    y, x = np.mgrid[:96, :96]
    weights = np.clip(1.2 - np.hypot(x - 47.5, y - 47.5) / 30, 0, 1).astype(np.float32)
    aged = lay_change(frame, change, weights, TURNED)
    layout = layout_of(form)
    for i, (old, new) in enumerate(zip(planes_of(frame), planes_of(aged), strict=True)):
        place = crop_to_photo_matrix(TURNED, 96)
        if i:  # where each sample of chroma lies: on the left pixel, between two rows
            place = np.vstack([place[0] / layout.across, (place[1] - [0, 0, 0.5 * (layout.down - 1)]) / layout.down])
        mask = resample.lay(weights, place, (0, 0, old.shape[1], old.shape[0]), is_mask=True)
        assert (old[mask == 0] == new[mask == 0]).all()
        assert (mask == 0).mean() > 0.6
        assert (old[mask > 0.5] != new[mask > 0.5]).mean() > 0.6
    nothing = lay_change(frame, change, np.zeros_like(weights), TURNED)
    beyond = lay_change(frame, change, weights, TURNED + 1000)
    assert planes(nothing) == planes(beyond) == planes(frame)
    assert nothing is not frame


def test_a_change_at_the_edge_of_the_frame_stays_in_range() -> None:
    frame = flat_frame("yuv420p", "709", False, (250, 250, 250))
    change = np.full((64, 64, 3), 120, np.float32)
    aged = lay_change(frame, change, np.ones((64, 64), np.float32), TURNED - 50)
    bright = planes_of(aged)[0]
    assert bright.max() == 255 and bright[-1, -1] == planes_of(frame)[0][-1, -1]


def test_laying_is_fast() -> None:
    frame = wavy_frame("yuv420p", (1920, 1080))
    quad = np.array([[700.3, 200], [700, 712.0], [1212, 712], [1212, 200]])
    change, weights = np.full((256, 256, 3), 5, np.float32), np.ones((256, 256), np.float32)
    best = np.inf
    for _ in range(8):
        began = time.thread_time()
        lay_change(frame, change, weights, quad)
        best = min(best, time.thread_time() - began)
    assert best < 0.05


def test_an_aged_frame_keeps_what_belongs_to_it(tmp_path: Path) -> None:
    clip = Clip(
        frames=3,
        rotation=90,
        rate=Fraction(30000, 1001),
        colours=(1, 9, 9, 16),
        size=(97, 81),
        codec="ffv1",
        options=(),
    )
    frame = list(scan_frames(open_video(make_clip(tmp_path / "h.mkv", clip))))[2]
    aged = lay_change(frame, np.full((32, 32, 3), 9, np.float32), np.ones((32, 32)), TURNED - 30)
    for name in (
        "pts",
        "time_base",
        "duration",
        "rotation",
        "color_range",
        "colorspace",
        "color_primaries",
        "color_trc",
    ):
        assert getattr(aged, name) == getattr(frame, name), name
    assert frame.rotation == 90 and frame.color_trc == 16 and len(aged.side_data) == len(frame.side_data) > 0
    assert planes(aged)[0] != planes(frame)[0]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_upright_pictures_are_what_players_show(tmp_path: Path, rotation: int) -> None:
    facts = open_video(make_clip(tmp_path / "r.mp4", Clip(frames=2, rotation=rotation)))
    frame = next(scan_frames(facts))
    image = whole_rgb(frame)
    seen = upright(image, facts.rotation)
    # The fact about FFmpeg's own automatic turning: counter-clockwise by what the frame says.
    assert (seen == np.rot90(image, k=frame.rotation // 90 % 4)).all()
    assert facts.rotation == -rotation % 360
    assert facts.upright_size == (seen.shape[1], seen.shape[0])
    assert (stored(seen, facts.rotation) == image).all()
    places = np.array([[5.0, 9.0], [80.0, 33.0], [0.0, 79.0]])
    size = (facts.width, facts.height)
    turned = to_upright(places, size, facts.rotation)
    for (x, y), (u, v) in zip(places.astype(int), turned.astype(int), strict=True):
        assert (image[y, x] == seen[v, u]).all()
    assert np.allclose(to_stored(turned, size, facts.rotation), places)


def test_small_pictures() -> None:
    frame = wavy_frame("yuv420p", (400, 200))
    small = small_rgb(frame, 100)
    assert small.shape == (50, 100, 3) and small.dtype == np.uint8
    mean = picture(3, (400, 200)).reshape(50, 4, 100, 4, 3).mean((1, 3))
    assert np.abs(small - mean).mean() < 2
    assert small_rgb(frame, 1000).shape == (200, 400, 3)
    assert np.abs(whole_rgb(frame).astype(float) - picture(3, (400, 200))).mean() < 2
