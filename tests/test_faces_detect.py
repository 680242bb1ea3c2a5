"""Detection on photos of all sizes, and what is said about faces that are hard to use."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from models.errors import InputError
from models.faces import Face, FaceDetector, check_face, detect_faces, face_warnings, load_detector, require_face
from models.faces.checks import turn
from models.faces.yunet import pick

REFERENCE = json.loads((Path(__file__).parent / "faces_reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return load_detector()


@pytest.fixture(scope="module")
def photo(astronaut: Path) -> Image.Image:
    return Image.open(astronaut).convert("RGB")


@pytest.fixture(scope="module")
def face(photo: Image.Image, detector: FaceDetector) -> Face:
    (found,) = detect_faces(photo, detector)
    return found


def sheet(portraits: list[Path], kind: str) -> Image.Image:
    """A sheet of the first person: "emotions" has 16 faces, "character" two front views and profiles."""
    return Image.open(portraits[0].parent / f"{kind}_sheet.jpg").convert("RGB")


def eye_distance(face: Face) -> float:
    return float(np.linalg.norm(face.landmarks[1] - face.landmarks[0]))


def test_the_astronaut(face: Face) -> None:
    row = np.array(REFERENCE["yunet_row"])
    assert face.score > 0.9
    # Pupils and mouth corners as read off an enlarged picture.
    by_eye = np.array([[203.1, 100.9], [247.1, 103.4], [203.0, 140.0], [243.8, 141.0]])
    assert np.abs(face.landmarks[[0, 1, 3, 4]] - by_eye).max() < 2.0
    assert np.abs(np.array(face.box) - row[:4]).max() < 8.0
    assert face.landmarks.dtype == np.float32 and face.landmarks.shape == (5, 2)


@pytest.mark.parametrize("side", [128, 256, 1400])
def test_a_photo_of_any_size_gives_the_same_points(
    side: int, photo: Image.Image, face: Face, detector: FaceDetector
) -> None:
    found = detect_faces(photo.resize((side, side), Image.Resampling.LANCZOS), detector)
    assert len(found) == 1
    back = (found[0].landmarks + 0.5) * (512 / side) - 0.5
    assert np.abs(back - face.landmarks).max() < 0.03 * eye_distance(face)


@pytest.mark.parametrize("degrees", [20, 45, 90, 180])
def test_a_turned_face_is_found_and_its_turn_is_known(
    degrees: int, photo: Image.Image, face: Face, detector: FaceDetector
) -> None:
    turned = photo.rotate(degrees, expand=True, resample=Image.Resampling.BICUBIC)
    found = detect_faces(turned, detector)
    assert len(found) == 1
    apart = np.rad2deg(found[0].roll - face.roll) + degrees
    assert abs((apart + 180) % 360 - 180) < 0.5
    angle = np.deg2rad(-degrees)
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    place = (face.landmarks - 255.5) @ linear.T + (np.array(turned.size) - 1) / 2
    assert np.abs(found[0].landmarks - place).max() < 0.02 * eye_distance(face)


def test_large_portraits_and_selfies(portraits: list[Path], selfies: list[Path], detector: FaceDetector) -> None:
    for path in (portraits[3], selfies[4]):
        found = detect_faces(Image.open(path), detector)
        assert len(found) == 1 and found[0].score > 0.9


def test_sixteen_faces_largest_first(portraits: list[Path], detector: FaceDetector) -> None:
    found = detect_faces(sheet(portraits, "emotions"), detector)
    assert len(found) == 16
    sizes = [each.size for each in found]
    assert sizes == sorted(sizes, reverse=True)


def test_no_face_is_an_empty_list_and_a_sentence(no_face: Path, detector: FaceDetector) -> None:
    coffee = Image.open(no_face)
    assert detect_faces(coffee, detector) == []
    with pytest.raises(InputError, match="No face was found in this photo of 600 x 400 pixels") as caught:
        require_face([], coffee)
    assert caught.value.exit_code == 2
    assert detect_faces(Image.new("RGB", (64, 64)), detector) == []


def test_a_face_from_the_front_passes(photo: Image.Image, face: Face) -> None:
    require_face([face], photo)
    check_face(face, photo)
    assert face_warnings(face, photo) == []
    assert abs(turn(face)) < 0.2


def test_a_profile_is_refused(portraits: list[Path], detector: FaceDetector) -> None:
    photo = sheet(portraits, "character")
    found = detect_faces(photo, detector)
    refused = []
    for each in found:
        try:
            check_face(each, photo)
        except InputError as error:
            assert "seen from the side" in str(error)
            refused.append(each)
    # Two front views and four profiles; the faces of the lower row are small but large enough.
    assert len(found) == 6 and len(refused) == 4
    assert all(abs(turn(each)) < 0.2 for each in found if each not in refused)


def test_a_tiny_face_is_refused(photo: Image.Image, detector: FaceDetector) -> None:
    small = Image.new("RGB", (640, 480), (120, 130, 140))
    small.paste(photo.resize((150, 150), Image.Resampling.LANCZOS), (200, 100))
    (found,) = detect_faces(small, detector)
    with pytest.raises(InputError, match=r"only 3[0-9] pixels high and 48 are needed"):
        check_face(found, small)


def test_a_face_outside_the_photo_is_refused(photo: Image.Image, face: Face) -> None:
    x, y, width, height = face.box
    gone = Face((x, -0.6 * height, width, height), face.landmarks - np.float32([0, y + 0.6 * height]), 0.9)
    with pytest.raises(InputError, match="Only 40% of the face"):
        check_face(gone, photo)


def test_sunglasses_are_noticed(photo: Image.Image, face: Face, detector: FaceDetector) -> None:
    worn = photo.copy()
    draw, width = ImageDraw.Draw(worn), eye_distance(face)
    for x, y in face.landmarks[:2]:
        draw.ellipse((x - 0.42 * width, y - 0.3 * width, x + 0.42 * width, y + 0.36 * width), fill=(28, 24, 22))
    (found,) = detect_faces(worn, detector)
    assert any("sunglasses" in each for each in face_warnings(found, worn))


def test_blur_is_noticed(photo: Image.Image, detector: FaceDetector) -> None:
    blurred = photo.filter(ImageFilter.GaussianBlur(3))
    (found,) = detect_faces(blurred, detector)
    assert face_warnings(found, blurred) == ["The face is blurred; a sharper photo gives a better result."]


def test_portraits_bring_no_warnings(portraits: list[Path], detector: FaceDetector) -> None:
    for path in portraits[::3]:
        portrait = Image.open(path).convert("RGB")
        portrait.thumbnail((900, 900))
        assert face_warnings(detect_faces(portrait, detector)[0], portrait) == []


def test_pick_keeps_the_best_of_overlapping_candidates() -> None:
    rows = torch.zeros(4, 15)
    rows[:, :4] = torch.tensor([[0, 0, 10, 10], [1, 1, 10, 10], [30, 30, 10, 10], [32, 32, 4, 4]])
    rows[:, -1] = torch.tensor([0.8, 0.9, 0.95, 0.75])
    assert pick(rows, 0.7)[:, -1].tolist() == pytest.approx([0.95, 0.9, 0.75])
    assert pick(rows, 0.7, nested=0.6)[:, -1].tolist() == pytest.approx([0.95, 0.9])
    assert pick(rows, 0.99).shape == (0, 15)
