"""The ready-made networks: the numbers of the originals, gradients, frozen weights, honest cards."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from models import faces
from models.assets import asset_path, read_card
from models.errors import EveryageError
from models.faces.frozen import load_frozen
from models.faces.identity import IdentityNet
from models.faces.person import load_person_net, person_mask
from models.faces.points import PointNet, load_point_net
from models.faces.warp import similarity, warp_to_chip
from models.faces.yunet import FaceFinder, load_finder
from models.images import to_tensor
from models.perceptual import PerceptualLoss, load_perceptual

REFERENCE = json.loads((Path(__file__).parent / "faces_reference.json").read_text(encoding="utf-8"))
LOADERS: dict[str, Callable[[], nn.Module]] = {
    "sface": faces.load_identity_net,
    "dlib_age": faces.load_age_net,
    "dlib_gender": faces.load_gender_net,
    "dlib_recognition": faces.load_recognition_net,
    "yunet": load_finder,
    "mtcnn_points": load_point_net,
    "person": load_person_net,
    "stlpips_alex": load_perceptual,
}


@pytest.fixture(scope="module")
def photo(astronaut: Path) -> torch.Tensor:
    return to_tensor(Image.open(astronaut).convert("RGB"))


@pytest.fixture(scope="module")
def points() -> torch.Tensor:
    return torch.tensor(REFERENCE["yunet_row"][4:14]).reshape(1, 5, 2)


@pytest.mark.parametrize("name", sorted(LOADERS))
def test_a_network_comes_frozen_and_its_card_tells_the_truth(name: str) -> None:
    net = LOADERS[name]()
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    card = read_card(f"faces/{name}.safetensors")
    path = asset_path(f"faces/{name}.safetensors")
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert card["parameters"] == sum(p.numel() for p in net.parameters())
    assert card["licence"] in ("MIT", "Apache-2.0", "CC0-1.0", "BSD-2-Clause")
    notice = (path.parent.parent / "NOTICE.md").read_text(encoding="utf-8")
    assert card["source"]["package"] in notice and card["source"]["sha256"] in notice


def test_identity_equals_opencv(photo: torch.Tensor) -> None:
    vector = faces.load_identity_net()(photo[:, :, 40:152, 168:280])[0]
    wanted = torch.tensor(REFERENCE["sface_of_rows_40_152_columns_168_280"])
    assert (vector - wanted).abs().max() < 2e-3
    assert vector.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_identity_of_an_aligned_face_equals_opencv(photo: torch.Tensor, points: torch.Tensor) -> None:
    vector = faces.load_identity_net()(faces.identity_chip(photo, points))[0]
    wanted = torch.tensor(REFERENCE["sface_aligned"])
    assert float(vector @ wanted) > 0.999
    assert (vector - wanted).abs().max() < 1e-2


def test_identity_tells_people_apart(portraits: list[Path], selfies: list[Path]) -> None:
    detector, net = faces.load_detector(), faces.load_identity_net()

    def vector(path: Path) -> torch.Tensor:
        image = Image.open(path).convert("RGB")
        image.thumbnail((800, 800))
        face = faces.detect_faces(image, detector)[0]
        return net(faces.identity_chip(to_tensor(image), torch.from_numpy(face.landmarks)[None]))[0]

    chosen = (0, 4, 7)
    first = torch.stack([vector(portraits[index]) for index in chosen])
    second = torch.stack([vector(selfies[index]) for index in chosen])
    cosine = first @ second.T
    assert cosine.diagonal().min() > 0.5
    assert cosine[~torch.eye(3, dtype=torch.bool)].max() < faces.SAME_PERSON


def test_identity_features_halve(photo: torch.Tensor) -> None:
    maps = faces.load_identity_net().features(photo[:, :, 40:152, 168:280])
    assert [tuple(each.shape[1:]) for each in maps] == [
        (64, 112, 112),
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (1024, 7, 7),
    ]


def test_age_equals_the_original(photo: torch.Tensor) -> None:
    net = faces.load_age_net()
    chip = photo[:, :, 70:134, 192:256]
    wanted = torch.tensor(REFERENCE["age_probabilities_of_rows_70_134_columns_192_256"])
    assert (net.logits(chip).softmax(1)[0] - wanted).abs().max() < 4e-3
    years = float(wanted @ torch.tensor([0.25, *range(1, 81)]))
    assert net(chip).item() == pytest.approx(years, abs=0.1)


def test_gender_equals_the_original(photo: torch.Tensor) -> None:
    chip = photo[:, :, 40:168:4, 160:288:4]
    wanted = REFERENCE["gender_of_every_4th_of_rows_40_168_columns_160_288"]
    assert faces.load_gender_net()(chip)[0].tolist() == pytest.approx(wanted, abs=4e-3)


def test_age_and_sex_of_the_astronaut(photo: torch.Tensor, points: torch.Tensor) -> None:
    assert 25 < faces.load_age_net()(faces.age_chip(photo, points)).item() < 42
    female, male = faces.load_gender_net()(faces.age_chip(photo, points, 32))[0].tolist()
    assert female > 0.9 and female + male == pytest.approx(1.0, abs=1e-5)


def test_detector_equals_opencv(photo: torch.Tensor) -> None:
    rows = load_finder()(photo)
    assert rows.shape == (1, 64 * 64 + 32 * 32 + 16 * 16, 15)
    best = rows[0, rows[0, :, -1].argmax()]
    assert (best - torch.tensor(REFERENCE["yunet_row"])).abs().max() < 1e-3


def test_points_equal_the_package(photo: torch.Tensor) -> None:
    points, score = load_point_net()(photo[:, :, 60:180:5, 160:280:5].repeat_interleave(2, 2).repeat_interleave(2, 3))
    wanted = torch.tensor(REFERENCE["mtcnn_points_of_every_5th_of_rows_60_180_columns_160_280_doubled"])
    assert (points[0] - wanted).abs().max() < 1e-3
    assert score.shape == (1,) and score.item() > 0.9


def test_the_person_equals_the_original(photo: torch.Tensor) -> None:
    net, part = load_person_net(), photo[:, :, :256, 96:352]
    mask = person_mask(net, part)
    assert mask.shape == (1, 1, 256, 256)
    wanted = torch.tensor(REFERENCE["person_of_rows_0_256_columns_96_352_every_16th"])
    assert (mask[0, 0, ::16, ::16] - wanted).abs().max() < 1e-3
    assert 0.3 < wanted.mean() < 0.7  # both are there, person and background
    larger = person_mask(net, torch.nn.functional.interpolate(part, scale_factor=2.0, mode="bilinear"))
    assert larger.shape == (1, 1, 512, 512) and (larger[..., ::2, ::2] - mask).abs().mean() < 0.02


def test_perceptual_distance_equals_the_package(photo: torch.Tensor) -> None:
    net, x = load_perceptual(), photo[:, :, 40:168, 160:288]
    others = torch.cat([x.roll(3, 3), x.flip(3), -x, x * 0.5])
    got = net(x.expand(4, -1, -1, -1), others)
    wanted = REFERENCE["stlpips_of_rows_40_168_columns_160_288"]["distance"]
    assert got.shape == (4,)
    assert got.tolist() == pytest.approx(wanted, rel=1e-3)
    assert net(x, x).item() == 0.0


def test_perceptual_distance_refuses_a_tiny_picture() -> None:
    with pytest.raises(ValueError, match="32 pixels"):
        load_perceptual()(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))


def test_perceptual_gradient_is_finite_on_a_flat_picture() -> None:
    x = torch.zeros(1, 3, 64, 64, requires_grad=True)
    load_perceptual()(x, torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
    assert x.grad is not None and bool(x.grad.isfinite().all()) and float(x.grad.abs().sum()) > 0


@pytest.mark.parametrize("name", ["identity", "age", "gender", "detector", "points", "perceptual"])
def test_gradients_reach_the_photo(name: str, photo: torch.Tensor, points: torch.Tensor) -> None:
    part = photo[:, :, 32:192, 144:304].clone().requires_grad_()
    moved = points - torch.tensor([144.0, 32.0])
    outputs: dict[str, Callable[[], torch.Tensor]] = {
        "identity": lambda: faces.load_identity_net()(faces.identity_chip(part, moved))[0, 0],
        "age": lambda: faces.load_age_net()(faces.age_chip(part, moved))[0],
        "gender": lambda: faces.load_gender_net().logits(faces.age_chip(part, moved, 32))[0, 0],
        "detector": lambda: load_finder()(part)[0, :, -1].max(),
        "points": lambda: load_point_net()(part[:, :, 33:129:2, 17:113:2])[0].sum(),
        "perceptual": lambda: load_perceptual()(part, -part.detach())[0],
    }
    outputs[name]().backward()
    assert part.grad is not None and bool(part.grad.isfinite().all())
    assert float(part.grad.abs().max()) > 1e-7


def test_the_age_gradient_points_the_right_way(photo: torch.Tensor, points: torch.Tensor) -> None:
    net, chip = faces.load_age_net(), faces.age_chip(photo, points).requires_grad_()
    (slope,) = torch.autograd.grad(net(chip).sum(), chip)
    step = 1e-3 * slope / slope.norm()
    change = (net(chip + step) - net(chip - step)).item()
    assert change == pytest.approx(2e-3 * float(slope.norm()), rel=0.05)


def test_similarity_finds_a_known_transform() -> None:
    rng = np.random.default_rng(3)
    source = torch.from_numpy(rng.normal(size=(4, 5, 2)))
    angle, scale, shift = 0.7, 2.5, torch.tensor([3.0, -4.0], dtype=torch.float64)
    turn = scale * torch.from_numpy(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]))
    matrix = similarity(source, source @ turn.T + shift)
    wanted = torch.cat([turn, shift[:, None]], 1).expand(4, 2, 3)
    assert (matrix - wanted).abs().max() < 1e-9


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_chip_shows_what_lies_there(scale: float) -> None:
    # A ramp tells positions: its value at a pixel is the pixel's place.
    ramp = torch.stack(torch.meshgrid(torch.arange(200.0), torch.arange(200.0), indexing="xy"))
    image = torch.cat([ramp, ramp[:1]])[None]
    matrix = torch.tensor([[[1 / scale, 0.0, -40 / scale], [0.0, 1 / scale, -30 / scale]]])
    chip = warp_to_chip(image, matrix, 20)
    place = torch.arange(20.0) * scale
    assert (chip[0, 0, 10] - (40 + place)).abs().max() < 0.02
    assert (chip[0, 1, :, 10] - (30 + place)).abs().max() < 0.02


def test_weights_that_do_not_fit_are_one_sentence() -> None:
    with pytest.raises(EveryageError, match=r"dlib_age\.safetensors do not fit"):
        load_frozen(IdentityNet(), "faces/dlib_age.safetensors")


def test_state_dicts_hold_weights_alone() -> None:
    nets: list[Any] = [IdentityNet(), PerceptualLoss(), faces.AgeNet(), faces.GenderNet()]
    nets += [FaceFinder(), PointNet()]
    for net in nets:
        assert set(net.state_dict()) == {name for name, _ in net.named_parameters()}
