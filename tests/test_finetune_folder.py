"""A folder of pictures is looked at first: every file is used or named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from models.errors import InputError
from pipelines.finetune.buckets import batches, bucket_sizes, crop_to, nearest
from pipelines.finetune.folder import name_as_words, read_folder


def picture(path: Path, size: tuple[int, int] = (80, 64), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_words_come_from_the_nearest_source(tmp_path: Path) -> None:
    for i, name in enumerate(("told.png", "beside.png", "old_fox-in snow (2).png", "IMG_0042.png", "deep/inner.png")):
        picture(tmp_path / name, seed=i)
    rows = [
        {"file_name": "told.png", "text": "from the\n list"},
        {"file_name": "deep/inner.png", "caption": "inner"},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    (tmp_path / "told.txt").write_text("not this")
    (tmp_path / "beside.txt").write_text("\ufeff beside it \n", encoding="utf-8")
    found = read_folder(tmp_path)
    words = {p.path.name: p.caption for p in found.pictures}
    assert words == {"told.png": "from the list", "beside.png": "beside it", "IMG_0042.png": "",
                     "old_fox-in snow (2).png": "old fox in snow", "inner.png": "inner"}  # fmt: skip
    assert not found.problems and {p.size for p in found.pictures} == {(80, 64)}
    phrased = {p.path.name: p.caption for p in read_folder(tmp_path, "a photo").pictures}
    assert phrased["IMG_0042.png"] == phrased["old_fox-in snow (2).png"] == "a photo"
    assert phrased["told.png"] == "from the list" and phrased["beside.png"] == "beside it"


def test_everything_that_is_wrong_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "good.png").read_bytes())
    picture(tmp_path / "small.png", (70, 64), seed=1)
    picture(tmp_path / "tiny.png", (20, 20), seed=2)
    (tmp_path / "broken.png").write_bytes((tmp_path / "good.png").read_bytes()[:400])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "words.webp").write_text("no picture")
    (tmp_path / "alone.txt").write_text("of nothing")
    (tmp_path / "small.txt").write_bytes(b"\xff\xfe\x00bad")
    lines = [
        '{"file_name": "gone.png", "text": "x"}',
        "nonsense",
        '{"text": "x"}',
        '{"file_name": 3, "text": "x"}',
        "[]",
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    found = read_folder(tmp_path, side=512)
    assert {p.path.name for p in found.pictures} == {"copy.png", "small.png"}  # the first of two alike, by name
    said = {(problem.path.name, problem.used): problem.words for problem in found.problems}
    assert all("\n" not in words for words in said.values())
    for name, used, words in (
        ("good.png", False, "same file as copy.png"), ("small.png", True, "70 x 64"), ("tiny.png", False, "20 x 20"),
        ("broken.png", False, "damaged"), ("empty.jpg", False, "empty"), ("words.webp", False, "not a JPEG"),
        ("alone.txt", False, "no picture"), ("small.txt", False, "UTF-8"), ("gone.png", False, "not here"),
    ):  # fmt: skip
        assert words in said[name, used]
    assert sum(problem.path.name == "metadata.jsonl" for problem in found.problems) == 4
    assert before == {p: p.read_bytes() for p in tmp_path.iterdir()}


def test_folders_that_teach_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        read_folder(tmp_path / "gone")
    with pytest.raises(InputError, match="no picture"):
        read_folder(tmp_path)
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"no picture.*a\.png"):
        read_folder(tmp_path)
    picture(tmp_path / "b.png")
    found = read_folder(tmp_path)
    assert len(found.pictures) == 1 and "one picture alone" in found.problems[-1].words


def test_a_picture_of_forty_megapixels_is_used(tmp_path: Path) -> None:
    Image.new("RGB", (8000, 5000), (9, 8, 7)).save(tmp_path / "large.jpg")
    (found,) = read_folder(tmp_path).pictures
    assert found.size == (8000, 5000)
    made = crop_to(found.size, (64, 64)).apply(Image.open(tmp_path / "large.jpg"))
    assert made.size == (64, 64) and np.abs(np.array(made).astype(int) - (9, 8, 7)).max() <= 2


@pytest.mark.parametrize(
    ("stem", "words"),
    [("a_red-fox.jpg copy", "a red fox jpg copy"), ("0001", ""), ("DSC1234", ""), ("cat (3)", "cat"), ("", "")],
)
def test_names_become_words(stem: str, words: str) -> None:
    assert name_as_words(stem) == words


def test_buckets_keep_the_number_of_pixels() -> None:
    for side, multiple in ((128, 8), (512, 64), (1024, 64)):
        sizes = bucket_sizes(side, multiple)
        assert (side, side) in sizes and sizes == sorted(sizes, key=lambda s: s[0] / s[1])
        assert all(w % multiple == 0 and h % multiple == 0 for w, h in sizes)
        assert all(0.7 * side * side <= w * h <= side * side and 0.5 <= w / h <= 2 for w, h in sizes)
        assert {(h, w) for w, h in sizes} == set(sizes)
    assert nearest((3000, 2000), bucket_sizes(512, 64)) in ((576, 448), (640, 384))
    assert nearest((500, 500), bucket_sizes(512, 64)) == (512, 512)
    assert nearest((9000, 100), bucket_sizes(512, 64))[0] > 600
    with pytest.raises(ValueError, match="multiple"):
        bucket_sizes(100, 64)


@given(width=st.integers(64, 4000), height=st.integers(64, 4000), across=st.floats(0, 1), down=st.floats(0, 1))
def test_a_crop_is_the_largest_that_fits(width: int, height: int, across: float, down: float) -> None:
    bucket = nearest((width, height), bucket_sizes(128, 16))
    crop = crop_to((width, height), bucket, across, down)
    left, upper, right, lower = crop.box
    assert -1e-6 <= left < right <= width + 1e-6 and -1e-6 <= upper < lower <= height + 1e-6
    assert math.isclose((right - left) / (lower - upper), bucket[0] / bucket[1], rel_tol=1e-6)
    assert math.isclose(right - left, width, rel_tol=1e-6) or math.isclose(lower - upper, height, rel_tol=1e-6)


def test_a_crop_takes_its_part_and_mirrors() -> None:
    image = Image.new("RGB", (200, 100), (255, 0, 0))
    image.paste((0, 0, 255), (100, 0, 200, 100))
    left = np.array(crop_to((200, 100), (16, 16), across=0.0).apply(image))
    assert (left[:, :-1, 0] > 250).all() and (left[:, :-1, 2] < 5).all()
    middle = crop_to((200, 100), (16, 16)).apply(image)
    mirrored = crop_to((200, 100), (16, 16)).apply(image, mirrored=True)
    assert np.array_equal(np.array(middle)[:, ::-1], np.array(mirrored))
    assert not np.array_equal(np.array(middle), np.array(mirrored))


def test_a_pass_shows_every_picture_once_in_batches_of_one_shape() -> None:
    sizes = [(64, 64)] * 7 + [(96, 48)] * 5 + [(48, 96)]
    one = list(batches(sizes, 3, torch.Generator().manual_seed(1)))
    assert sorted(i for batch in one for i in batch) == list(range(13))
    assert all(len({sizes[i] for i in batch}) == 1 and len(batch) <= 3 for batch in one) and len(one) == 3 + 2 + 1
    assert one == list(batches(sizes, 3, torch.Generator().manual_seed(1)))
    assert one != list(batches(sizes, 3, torch.Generator().manual_seed(2)))
