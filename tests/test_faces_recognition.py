"""dlib's recognition network: dlib's own numbers, people told apart, gradients, and the reader of dlib's files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models import faces
from models.faces.recognition import SAME_COSINE, RecognitionNet
from models.images import to_tensor
from training import convert_faces

REFERENCE = json.loads((Path(__file__).parent / "faces_reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def net() -> RecognitionNet:
    return faces.load_recognition_net()


@pytest.fixture(scope="module")
def photo(astronaut: Path) -> torch.Tensor:
    return to_tensor(Image.open(astronaut).convert("RGB"))


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    return torch.tensor(REFERENCE["yunet_row"][4:14]).reshape(1, 5, 2)


def dlib_descriptor(net: RecognitionNet, chip: torch.Tensor) -> torch.Tensor:
    """What dlib itself answers for one chip: it takes nothing away at the end."""
    return net.descriptors(chip)[0] - net.embed.bias


def test_descriptors_equal_dlib(net: RecognitionNet, photo: torch.Tensor) -> None:
    wanted = torch.tensor(REFERENCE["dlib_recognition_of_rows_20_170_columns_150_300"])
    assert wanted.norm().item() == pytest.approx(1.354, abs=0.01)
    assert (dlib_descriptor(net, photo[:, :, 20:170, 150:300]) - wanted).abs().max() < 1e-3


def test_our_chip_serves_as_well_as_dlibs(net: RecognitionNet, photo: torch.Tensor, points: torch.Tensor) -> None:
    chip = faces.recognition_chip(photo, points)
    assert chip.shape == (1, 3, 150, 150)
    wanted = torch.tensor(REFERENCE["dlib_recognition_aligned_by_dlib"])
    near = (dlib_descriptor(net, chip) - wanted).norm().item()
    assert near < faces.SAME_DISTANCE / 3
    upside_down = (dlib_descriptor(net, chip.flip(2)) - wanted).norm().item()
    assert upside_down > faces.SAME_DISTANCE  # so that the figure above says something


def test_the_chip_puts_the_eyes_and_the_nose_on_dlibs_template(points: torch.Tensor) -> None:
    # A ramp tells positions: its value at a pixel is the pixel's place.
    ramp = torch.stack(torch.meshgrid(torch.arange(512.0), torch.arange(512.0), indexing="xy"))
    chip = faces.recognition_chip(torch.cat([ramp, ramp[:1]])[None], points)[0, :2]
    # The eyes lie near (0.219, 0.2) and (0.761, 0.2) of dlib's unit square, which padding 0.25 sets into the chip.
    left, right = ((np.array(place) + 0.25) / 1.5 * 150 for place in ((0.219, 0.2004), (0.7612, 0.2002)))
    for place, wanted in ((left, points[0, 0]), (right, points[0, 1])):
        x, y = (round(float(each)) for each in place)
        assert (chip[:, y, x] - wanted).norm() < 4.0


def test_people_are_told_apart(net: RecognitionNet, portraits: list[Path], selfies: list[Path]) -> None:
    detector = faces.load_detector()

    def chip(path: Path) -> torch.Tensor:
        image = Image.open(path).convert("RGB")
        image.thumbnail((800, 800))
        face = faces.detect_faces(image, detector)[0]
        return faces.recognition_chip(to_tensor(image), torch.from_numpy(face.landmarks)[None])

    chosen = (0, 4, 7)
    first, second = (torch.cat([chip(paths[index]) for index in chosen]) for paths in (portraits, selfies))
    others = ~torch.eye(3, dtype=torch.bool)
    cosine = net(first) @ net(second).T
    assert cosine.diagonal().min() > 0.75 > SAME_COSINE > cosine[others].max()
    distance = torch.cdist(net.descriptors(first), net.descriptors(second))
    assert distance.diagonal().max() < 0.5 < faces.SAME_DISTANCE < distance[others].min()


def test_vectors_have_length_one_whatever_the_batch(
    net: RecognitionNet, photo: torch.Tensor, points: torch.Tensor
) -> None:
    chip = faces.recognition_chip(photo, points)
    chips = torch.cat([chip, chip.flip(3), torch.zeros(1, 3, 150, 150)])
    vectors = net(chips)
    assert vectors.shape == (3, 128)
    assert vectors.norm(dim=1).tolist() == pytest.approx([1.0] * 3, abs=1e-5)
    assert (vectors[1] - net(chips[1:2])[0]).abs().max() < 1e-5
    # Mirrored is still the same person, a grey chip is not.
    assert vectors[0] @ vectors[1] > 0.85 and vectors[0] @ vectors[2] < SAME_COSINE


def test_the_gradient_points_the_right_way(net: RecognitionNet, photo: torch.Tensor, points: torch.Tensor) -> None:
    part = photo[:, :, 32:192, 144:304].clone().requires_grad_()
    moved = points - torch.tensor([144.0, 32.0])
    target = net(faces.recognition_chip(part.detach().flip(3), moved))[0]

    def cosine(picture: torch.Tensor) -> torch.Tensor:
        return net(faces.recognition_chip(picture, moved))[0] @ target

    (slope,) = torch.autograd.grad(cosine(part), part)
    assert bool(slope.isfinite().all()) and float(slope.norm()) > 1e-3
    step = 0.02 * slope / slope.norm()
    with torch.no_grad():
        change = float(cosine(part + step) - cosine(part - step))
    assert change == pytest.approx(0.04 * float(slope.norm()), rel=0.1)


def packed(value: int) -> bytes:
    """An integer as dlib writes it."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def layer(name: bytes, head: list[int], weights: np.ndarray) -> bytes:
    """A layer as dlib writes it: name, some numbers, a tensor, and more that no one needs."""
    sizes = [2, weights.size, 1, 1, 1]
    numbers = b"".join(map(packed, [*head, *sizes]))
    return packed(len(name)) + name + numbers + weights.astype("<f4").tobytes() + packed(7) + packed(-300)


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 4736, 70000, -1, -300])
def test_packed_integers_come_back(value: int) -> None:
    assert convert_faces._packed_integer(b"??" + packed(value) + b"!", 2) == (value, 2 + len(packed(value)))


def test_a_dlib_file_is_read_layer_by_layer() -> None:
    rng = np.random.default_rng(0)
    kinds: tuple[tuple[str, list[int]], ...] = (("con_4", []), ("affine_", []), ("fc_2", [128, 256]))
    weights = [rng.normal(size=size).astype(np.float32) for size in (300, 8, 70000)]
    data = b"\x01\x01\x0dloss_metric_2" + struct.pack("<2f", 1.0, 2.0)
    for (name, head), each in zip(kinds, weights, strict=True):
        data += layer(name.encode(), head, each) + b"\x01\x05relu_"
    read = convert_faces.read_dlib_tensors(data)
    assert [name for name, _ in read] == [name for name, _ in kinds]
    for (_, got), wanted in zip(read, weights, strict=True):
        assert np.array_equal(got, wanted)


def test_a_dlib_file_of_another_kind_is_refused() -> None:
    with pytest.raises(SystemExit, match="version 300, not 2"):
        convert_faces.read_dlib_tensors(b"\x01\x05con_4" + packed(300) + b"\x01\x01" * 4 + bytes(8))
