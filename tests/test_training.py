"""The loops that make the embedded models, on heads that are drawn here in a few strokes."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from models.aging import load_encoder, with_age
from models.errors import InputError
from models.faces.age import age_chip
from models.faces.align import canonical_landmarks
from models.images import without_colour
from models.stylegan2 import MappingNetwork, load_generator, pool_to
from training import export, mapping
from training.augment import ColourCurve, augment_pair, degrade, place_landmarks, random_placement, warp, warp_grid
from training.config import PriorConfig
from training.networks import begin_with, build_models
from training.objective import Objective
from training.prior import PriorTrainer, run, save_checkpoint
from training.rendered import Batch, RenderedHeads

SIZE = 64
TINY = PriorConfig(
    resolution=SIZE,
    channel_base=512,
    channel_max=16,
    encoder_resolution=32,
    encoder_widths=(4, 6, 8, 10),
    encoder_blocks=(1, 1, 1, 1),
    sizes=((0.0, 16), (0.4, 64)),
    batch=4,
    steps=10,
    warmup=1,
    read_from=0.5,
    low_precision=False,
)


def draw_head(person: int, age: int) -> Image.Image:
    """An oval with eyes and a mouth; hair turns lighter with age."""
    image = Image.new("RGB", (SIZE, SIZE), (40 + 30 * person, 90, 120))
    draw = ImageDraw.Draw(image)
    draw.ellipse((14, 8, 50, 60), fill=(age * 2,) * 3)
    draw.ellipse((16, 16, 48, 60), fill=(200 - 20 * person, 150, 120))
    for x in (24, 40):
        draw.ellipse((x - 3, 28, x + 3, 33), fill=(20, 20, 30))
    draw.rectangle((26, 46, 38, 48), fill=(150, 40, 50))
    return image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("heads")
    with (folder / "meta.jsonl").open("w") as meta:
        for person in range(3):
            for age in (10, 50, 90):
                name = f"{person}_{age}.png"
                draw_head(person, age).save(folder / name)
                meta.write(json.dumps({"file": name, "seed": person, "view_seed": 7, "age": age}) + "\n")
    return folder


@pytest.fixture(scope="module")
def heads(folder: Path) -> RenderedHeads:
    return RenderedHeads([folder], SIZE)


def landmarks() -> torch.Tensor:
    return torch.from_numpy(canonical_landmarks(SIZE))


def test_pairs_show_one_person_at_two_ages(heads: RenderedHeads) -> None:
    batch = heads.pairs(64, 0.0, torch.Generator().manual_seed(0), landmarks())
    for source, target, a, b in zip(batch.source, batch.target, batch.source_age, batch.target_age, strict=True):
        assert torch.equal(source[:, 0, 0], target[:, 0, 0])  # the person's background
        assert torch.allclose((source[0, 10, 32] + 1) * 127.5, a * 2, atol=0.01)  # hair
        assert torch.allclose((target[0, 10, 32] + 1) * 127.5, b * 2, atol=0.01)
    assert (batch.source_age != batch.target_age).any()
    same = heads.pairs(64, 1.0, torch.Generator().manual_seed(0), landmarks())
    assert torch.equal(same.source, same.target) and torch.equal(same.source_age, same.target_age)


def test_people_can_be_kept_out(folder: Path) -> None:
    assert len(RenderedHeads([folder], SIZE, first_seed=2)) == 3
    with pytest.raises(ValueError, match="seeds 5 to 9"):
        RenderedHeads([folder], SIZE, first_seed=5, last_seed=9)


def test_landmarks_move_with_the_picture() -> None:
    points = landmarks()
    dots = torch.zeros(6, 5, SIZE, SIZE)
    yy, xx = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    for index, (x, y) in enumerate(points):
        dots[:, index] = torch.exp(-((xx - x) ** 2 + (yy - y) ** 2) / 8)
    random = torch.Generator().manual_seed(2)
    placement = random_placement(6, 1.0, random)
    moved = warp(dots, torch.nn.functional.affine_grid(placement, [6, 1, SIZE, SIZE], align_corners=False))
    wanted = place_landmarks(points, placement, SIZE)
    mirrored = torch.linalg.det(placement[:, :, :2]) < 0
    assert mirrored.any() and not mirrored.all()
    for sample in range(6):
        order = [1, 0, 2, 4, 3] if mirrored[sample] else range(5)
        for index, other in enumerate(order):
            weight = moved[sample, other] / moved[sample, other].sum()
            place = torch.stack([(weight * xx).sum(), (weight * yy).sum()])
            assert (place - wanted[sample, index]).norm() < 0.4


def test_source_and_target_share_shape_and_camera(heads: RenderedHeads) -> None:
    pictures = heads.pictures([0, 3])
    source, target, points = augment_pair(pictures, pictures, landmarks(), 1.0, torch.Generator().manual_seed(4))
    assert points.shape == (2, 5, 2)
    assert (source - target).abs().mean() < 0.1 < (target - pictures).abs().mean()
    assert target.min() >= -1 and target.max() <= 1
    again = augment_pair(pictures, pictures, landmarks(), 1.0, torch.Generator().manual_seed(4))
    assert torch.equal(source, again[0]) and torch.equal(target, again[1])


def test_no_strength_changes_little(heads: RenderedHeads) -> None:
    pictures, random = heads.pictures([0, 1]), torch.Generator().manual_seed(1)
    placement = random_placement(2, 0.0, random)
    still = warp(pictures, warp_grid(placement, SIZE, 0.0, random))
    flipped = placement[:, 0, 0] < 0
    for one, old, flip in zip(still, pictures, flipped, strict=True):
        assert torch.allclose(one, old.flip(2) if flip else old, atol=1e-4)
    brighter = ColourCurve(2, 0.0, random)(pictures)
    assert torch.allclose((brighter + 1) / 2, ((pictures + 1) / 2).clamp(min=1e-4) ** 0.9048, atol=1e-3)
    assert 0 < (degrade(pictures, random) - pictures).abs().mean() < 0.2


def test_a_perfect_picture_costs_nothing(heads: RenderedHeads) -> None:
    objective = Objective(TINY, torch.device("cpu"), torch.Generator().manual_seed(0))
    pictures = heads.pictures([0, 4])
    ages = heads.ages[[0, 4]]
    batch = Batch(pictures, pictures, ages, ages, landmarks().expand(2, -1, -1))
    codes = torch.full((2, 10, 512), 2.0)
    terms = {name: value.item() for name, value in objective(pictures, batch, codes, read=True).items()}
    assert terms["pixel"] == 0
    assert abs(terms["perceptual"]) < 1e-6 and abs(terms["identity"]) < 1e-5
    assert terms["w_norm"] == pytest.approx(4 * TINY.w_norm)
    read = objective.age_net(age_chip(without_colour(pictures), batch.landmarks))
    assert terms["age"] == pytest.approx(TINY.age * float(((ages - read) / 200).square().mean()), rel=1e-4)
    worse = objective(pictures.flip(2), batch, codes, read=True)
    assert worse["pixel"] > 0.1 and worse["perceptual"] > 0.05 and worse["identity"] > 0.01


def test_resuming_equals_going_on(heads: RenderedHeads, tmp_path: Path) -> None:
    trainer = PriorTrainer(TINY, heads)
    sizes = []
    for _ in range(5):
        sizes.append(trainer.size)
        trainer.train_step()
    assert sizes == [16, 16, 16, 16, 64]
    save_checkpoint(trainer, tmp_path / "checkpoint.pt")
    figures = trainer.train_step()
    assert set(figures) == {"pixel", "w_norm", "perceptual", "identity", "age"}
    other = PriorTrainer(TINY, heads)
    other.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert other.step == 5
    assert other.train_step() == figures
    for name, module in trainer.models.all().items():
        twin = other.models.all()[name].state_dict()
        assert all(torch.equal(value, twin[key]) for key, value in module.state_dict().items()), name
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_training_may_have_a_budget_of_time(
    heads: RenderedHeads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("training.prior.time.monotonic", lambda: float(next(clock)))
    trainer = PriorTrainer(replace(TINY, budget_minutes=5 / 60, steps=1), heads)
    sizes = []
    for _ in run(trainer, tmp_path, 1e9, 100):
        sizes.append(trainer.size)  # of the next step
    assert sizes == [16, 64, 64, 64, 64] and trainer.step == 5  # a second a step
    other = PriorTrainer(trainer.config, heads)
    other.restore(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert other.progress == 1.0


def test_training_learns_to_age(heads: RenderedHeads) -> None:
    config = PriorConfig(**{**vars(TINY), "steps": 140, "sizes": ((0.0, 16),), "read_from": 2.0, "augment": (0.0, 0.0)})
    trainer = PriorTrainer(config, heads)
    first = sum(trainer.train_step()["pixel"] for _ in range(10))
    for _ in range(120):
        trainer.train_step()
    last = sum(trainer.train_step()["pixel"] for _ in range(10))
    assert last < 0.5 * first
    # Asked for two ages of one picture, the hair follows: its place is row 3 of 16, in the middle.
    crops = pool_to(heads.pictures([1, 1]), 32)
    trainer.models.encoder.eval()
    with torch.no_grad():
        codes = trainer.models.encoder(with_age(crops, torch.tensor([10.0, 90.0])))
        young, old = trainer.models.generator.synthesis(codes, "none", resolution=16)[:, :, 3, 7:9].mean((1, 2))
    assert old > young + 0.1


def test_the_adversarial_part_moves_both_networks(heads: RenderedHeads) -> None:
    config = PriorConfig(**{**vars(TINY), "adversarial": 0.1, "adversarial_from": 0.0, "sizes": ((0.0, 64),)})
    trainer = PriorTrainer(config, heads)
    before = trainer.models.discriminator.b4.out.weight.clone()
    figures = trainer.train_step()
    assert figures["adversarial"] == pytest.approx(0.1 * 0.69, abs=0.06)
    assert figures["discriminator"] > 0.5
    assert not torch.equal(before, trainer.models.discriminator.b4.out.weight)


def test_the_mapping_network_meets_the_codes() -> None:
    torch.manual_seed(0)
    net = MappingNetwork(8, 6, 4, layers=2)
    codes = torch.randn(400, 6) * torch.tensor([1.0, 0.2, 0.5, 2.0, 0.1, 1.0]) + torch.arange(6.0) / 2
    distances = list(mapping.fit(net, codes, steps=400, batch=128))
    assert sum(distances[-20:]) < 0.1 * sum(distances[:20])
    made = net(torch.randn(2000, 8))[:, 0]
    assert (made.mean(0) - codes.mean(0)).abs().max() < 0.35
    assert torch.allclose(net.w_avg, codes.mean(0))


def test_freed_memory_is_kept_where_the_c_library_can() -> None:
    """Pages that a loop's tensors touch for the first time, with and without."""
    code = """
import resource, sys, torch
from training.allocator import keep_freed_memory
kept = sys.argv[1] == "keep" and keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for step in range(20):
    if step == 10:
        before = faults()  # the process is as large now as it needs to be
    torch.zeros(20_000_000).add_(1)
print(kept, faults() - before)
"""
    root = Path(__file__).resolve().parent.parent
    found = {}
    for word in ("keep", "not"):
        done = subprocess.run([sys.executable, "-c", code, word], capture_output=True, text=True, check=True, cwd=root)
        found[word] = done.stdout.split()
    if found["keep"][0] == "True":
        assert int(found["keep"][1]) < 0.1 * int(found["not"][1])
    else:
        assert platform.libc_ver()[0] != "glibc"


def test_training_can_start_from_exported_networks(heads: RenderedHeads, folder: Path, tmp_path: Path) -> None:
    trainer = PriorTrainer(TINY, heads)
    for _ in range(2):
        trainer.train_step()
    save_checkpoint(trainer, tmp_path / "checkpoint.pt")
    mapping.main(tmp_path, [folder], tmp_path / "mapping.pt", steps=3)
    export.main(tmp_path, tmp_path / "out", tmp_path / "mapping.pt", None, None)
    x = with_age(pool_to(heads.pictures([2]), 32), torch.tensor([40.0]))
    before = trainer.models
    larger = replace(TINY, resolution=2 * SIZE)
    for config in (TINY, larger):
        after = build_models(config)
        begin_with(after, tmp_path / "out")
        assert after.generator.mapping.w_avg.abs().max() == 0
        with torch.no_grad():
            wanted = before.generator_ema.synthesis(before.encoder_ema(x), "none")
            for encoder, generator in (
                (after.encoder.eval(), after.generator),
                (after.encoder_ema, after.generator_ema),
            ):
                got = generator.synthesis(encoder(x), "none", resolution=SIZE)
                assert (got - wanted).abs().max() < 0.02 * wanted.abs().max() + 0.01
    with pytest.raises(InputError, match=r"encoder\.safetensors in .* has other widths"):
        begin_with(build_models(replace(TINY, encoder_widths=(4, 6, 8, 12))), tmp_path / "out")
    with pytest.raises(InputError, match=r"generator\.safetensors in .* is larger"):
        begin_with(build_models(replace(TINY, resolution=32)), tmp_path / "out")


def test_export_writes_files_that_decode_the_same(heads: RenderedHeads, folder: Path, tmp_path: Path) -> None:
    trainer = PriorTrainer(TINY, heads)
    trainer.train_step()
    save_checkpoint(trainer, tmp_path / "checkpoint.pt")
    mapping.main(tmp_path, [folder], tmp_path / "mapping.pt", steps=3)
    export.main(tmp_path, tmp_path / "out", tmp_path / "mapping.pt", None, tmp_path / "sheet.png")
    generator = load_generator(tmp_path / "out" / "generator.safetensors")
    encoder = load_encoder(tmp_path / "out" / "encoder.safetensors")
    x = with_age(pool_to(heads.pictures([2]), 32), torch.tensor([40.0]))
    ema = trainer.models
    with torch.no_grad():
        wanted = ema.generator_ema.synthesis(ema.encoder_ema(x), "none")
        got = generator.synthesis(encoder(x) + generator.mapping.w_avg, "none")
    assert generator.mapping.w_avg.abs().max() > 1e-4
    assert (got - wanted).abs().max() < 0.02 * wanted.abs().max() + 0.01
    card = json.loads((tmp_path / "out" / "encoder.json").read_text())
    assert card["sha256"] == hashlib.sha256((tmp_path / "out" / "encoder.safetensors").read_bytes()).hexdigest()
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (10 * SIZE, 4 * SIZE)
    assert card["steps"] == 1 and card["licence"] == "Apache-2.0"
