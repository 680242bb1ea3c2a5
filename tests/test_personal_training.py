"""The two ways to learn a person, step by step, on tiny networks."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.errors import DeviceError, EveryageError
from pipelines.personalize.everyage import Everyage, colour, varied
from pipelines.personalize.method import Batch, Kind, Setting, Terms
from pipelines.personalize.official import Official, middle
from pipelines.personalize.training import Trainer, load_state, save_state
from pipelines.personalize.validation import Validation, hold_out
from tests.tiny_nets import TinyNets, tiny_album, tiny_setting

AGES = [20.0, 24.0, 30.0, 33.0, 40.0, 46.0]
ROOT = Path(__file__).resolve().parent.parent


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in trainer.setting.student.learnt().items()}


def run(trainer: Trainer, steps: int) -> Trainer:
    for _ in range(steps):
        trainer.train_step()
    return trainer


def draws(method: Everyage | Official, count: int = 300) -> list[Batch]:
    album = tiny_album(AGES)
    return [method.draw(album, torch.Generator().manual_seed(seed)) for seed in range(count)]


def test_official_batches_are_of_one_kind_a_third_each() -> None:
    batches = draws(Official())
    assert all(len(set(batch.kinds.tolist())) == 1 for batch in batches)
    kinds = [int(batch.kinds[0]) for batch in batches]
    assert [kinds.count(kind) for kind in Kind] == pytest.approx([100, 100, 100], abs=25)
    for batch, kind in zip(batches, kinds, strict=True):
        inside = (batch.target >= 20) & (batch.target <= 46)
        if kind == Kind.KEEP:
            assert torch.equal(batch.target, batch.present)
        else:
            assert torch.equal(batch.target, batch.target.round())
            ends = torch.isin(batch.target, torch.tensor([20.0, 46.0]))
            assert inside.all() if kind == Kind.INSIDE else (~inside | ends).all()


def test_everyage_samples_draw_for_themselves() -> None:
    kinds = torch.cat([batch.kinds for batch in draws(Everyage())])
    assert [(kinds == kind).float().mean().item() for kind in Kind] == pytest.approx([0.25, 0.375, 0.375], abs=0.05)
    for batch in draws(Everyage(), 50):
        assert torch.equal(batch.target[batch.kinds == Kind.KEEP], batch.present[batch.kinds == Kind.KEEP])
        outside = batch.target[batch.kinds == Kind.OUTSIDE]
        assert ((outside <= 20) | (outside >= 46)).all()


def test_codes_between_the_years_lie_on_the_line() -> None:
    """The tiny prior is linear in the age, so that the table must give its codes exactly, at any age."""
    setting = tiny_setting(AGES)
    places, ages = torch.tensor([0, 7, 3, 11]), torch.tensor([0.0, 37.3, 99.0, 100.0])
    wanted = setting.nets.encode(setting.album.crops[places], ages)
    assert torch.allclose(setting.codes.at(places, ages), wanted, atol=1e-5)


def test_everyage_runs_no_encoder_while_it_learns() -> None:
    setting = tiny_setting(AGES)
    assert isinstance(setting.nets, TinyNets)
    before = setting.nets.encoded
    run(Trainer(setting, Everyage(), 10, 0), 3)
    assert setting.nets.encoded == before


def test_a_new_student_of_everyage_is_the_global_prior() -> None:
    setting = tiny_setting(AGES)
    places, ages = torch.tensor([0, 5]), torch.tensor([30.0, 60.0])
    codes = setting.codes.at(places, ages)
    assert torch.equal(setting.draw(codes, ages)[1], setting.draw_global(codes))


def official_reference(setting: Setting, batch: Batch, method: Official) -> dict[str, float]:
    """The terms of the first pass, one sample after another, from the formulas."""
    album, judges = setting.album, setting.judges
    sums: dict[str, float] = {}
    for k in range(len(batch)):
        place, target, source = int(batch.places[k]), batch.target[k], batch.present[k]
        w = setting.nets.encode(album.crops[place : place + 1], target[None])
        own = setting.student.adapter(w, target[None] / 100)
        drawn, photo = setting.student.synthesis(own), album.crops[place : place + 1]
        outside, inside = batch.kinds[k] == Kind.OUTSIDE, batch.kinds[k] == Kind.INSIDE
        goal = setting.nets.synthesis(w) if outside else photo
        points = album.points[place : place + 1]
        vector = judges.embed(drawn, points)[0]
        gap = abs(float(target - source)) / 100
        far = max(20 - float(target), float(target) - 46, 0) / 100 if outside else gap
        closeness = 0.25 * torch.cos(torch.tensor(torch.pi * far)) + 0.75
        norm = (own - setting.nets.center).norm()
        if outside:
            norm = norm * 7 * (0.25 - 0.25 * torch.cos(torch.tensor(torch.pi * gap))) * len(batch)
        error = ((judges.read_age(drawn, points)[0] - target) / 100) ** 2
        terms = {
            "pixel": 0.25 * ((drawn - goal) ** 2).mean(),
            "perceptual": 0.1 * judges.perceptual(drawn, goal)[0],
            "face pixel": ((drawn[..., 4:28, 4:28] - goal[..., 4:28, 4:28]) ** 2).mean(),
            "likeness": 0.1 * closeness * (1 - vector @ judges.embed(photo, points)[0]),
            "age": (10 if outside else 5) * error,
            "w norm": 0.005 * norm,
        }
        if inside:
            near = [j for j in range(len(album)) if abs(float(album.ages[j] - target)) <= 3]
            terms["personal"] = 1 - max(vector @ setting.vectors[j] for j in near)
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums


@pytest.fixture
def small_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A perceptual distance that takes pictures of 24 px."""
    monkeypatch.setattr(
        "models.perceptual.PerceptualLoss.features", lambda self, x: [torch.nn.functional.avg_pool2d(x, 4)]
    )
    monkeypatch.setattr(
        "models.perceptual.PerceptualLoss.distance", lambda self, a, b: (a[0] - b[0]).square().mean(dim=(1, 2, 3))
    )


@pytest.mark.usefixtures("small_faces")
@pytest.mark.parametrize("kind", list(Kind))
def test_the_official_losses_follow_the_formulas(kind: Kind) -> None:
    method = Official()
    setting = tiny_setting(AGES, method)
    batch = next(each for each in draws(method) if int(each.kinds[0]) == kind)
    with torch.no_grad():
        terms = next(method.losses(setting, batch))
        wanted = official_reference(setting, batch, method)
    assert set(wanted) | {"face perceptual"} == set(terms)
    for name, value in wanted.items():
        assert float(terms[name].sum()) == pytest.approx(value, rel=1e-3, abs=1e-5), name


@pytest.mark.usefixtures("small_faces")
def test_the_official_way_back_starts_from_the_drawing() -> None:
    method = Official()
    setting = tiny_setting(AGES, method)
    batch = next(each for each in draws(method) if int(each.kinds[0]) == Kind.INSIDE)
    first, back = list(method.losses(setting, batch))
    assert set(first) == set(back)
    with torch.no_grad():
        drawn = setting.draw(setting.codes.at(batch.places, batch.target), batch.target)[1]
        codes = setting.nets.encode(drawn, batch.present)
        _, images = setting.draw(codes, batch.present)
        pixel = 0.25 * (images - setting.album.crops[batch.places]).square().mean(dim=(1, 2, 3))
    assert torch.allclose(back["pixel"], pixel, atol=1e-6)


def test_the_face_is_the_middle_of_a_picture() -> None:
    picture = torch.arange(256.0).expand(1, 3, 256, 256)
    assert middle(picture).shape == (1, 3, 188, 188) and middle(picture)[0, 0, 0].tolist() == list(range(32, 220))


@pytest.mark.usefixtures("small_faces")
def test_everyage_terms_by_hand() -> None:
    """With one term at a time, on one sample of each kind."""
    method = Everyage(batch=3)
    setting = tiny_setting(AGES, method)
    with torch.no_grad():
        for value in setting.student.parameters():
            value.add_(0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel())))
    target = torch.tensor([20.0, 27.0, 80.0])
    kinds = torch.tensor([Kind.KEEP, Kind.INSIDE, Kind.OUTSIDE])
    places = torch.tensor([0, 1, 2])
    batch = Batch(places, setting.album.ages[places], target, kinds, torch.zeros(3, 15))
    with torch.no_grad():
        (terms,) = method.losses(setting, batch)
        codes = setting.codes.at(places, target)
        _, images = setting.draw(codes, target)
        before = setting.draw_global(codes)
    photos = setting.album.crops[places]
    assert terms["pixel"].tolist() == pytest.approx([16 * float((images[0] - photos[0]).square().mean()), 0, 0])
    assert terms["perceptual"][0] > 0 and terms["perceptual"][1:].tolist() == [0, 0]
    assert terms["age"][0] == 0 and terms["age"][1] > 0
    apart = float((images[2] - before[2]).square().mean())
    assert terms["outside"].tolist() == pytest.approx([0, 0, method.outside * apart])
    chroma = (colour(images) - colour(before)).square().mean(dim=(1, 2, 3))
    assert torch.allclose(terms["colour"], method.colour * chroma)
    assert terms["w norm"][:2].tolist() == [0, 0] and terms["w norm"][2] > 0
    assert (terms["personal"] > 0).all()


def test_pictures_are_varied_only_a_little_and_landmarks_follow() -> None:
    images, points = torch.rand(2, 3, 32, 32), torch.rand(2, 5, 2) * 31
    same, places = varied(images, points, torch.zeros(2, 15))
    assert torch.allclose(same, images, atol=1e-6) and torch.equal(places, points)
    noise = torch.zeros(2, 15)
    noise[1, 14] = 1.0
    mirrored, places = varied(images, points, noise)
    assert torch.allclose(mirrored, torch.stack([images[0], images[1].flip(2)]), atol=1e-6)
    assert places[1, 0].tolist() == pytest.approx([31 - points[1, 1, 0].item(), points[1, 1, 1].item()])


@pytest.mark.usefixtures("small_faces")
@pytest.mark.parametrize("method", [Everyage(), Official(learning_rate=3e-3)], ids=["everyage", "official"])
def test_learning_lowers_the_losses(method: Everyage | Official) -> None:
    trainer = run(Trainer(tiny_setting(AGES, method), method, 100, 0), 100)
    pixel = trainer.losses["pixel"]
    assert sum(pixel[-30:]) < 0.85 * sum(pixel[:30])


@pytest.mark.usefixtures("small_faces")
@pytest.mark.parametrize("method", [Everyage(), Official()], ids=["everyage", "official"])
def test_a_stopped_training_goes_on_to_the_same_weights(method: Everyage | Official, tmp_path: Path) -> None:
    whole = run(Trainer(tiny_setting(AGES, method), method, 14, 5), 14)
    first = run(Trainer(tiny_setting(AGES, method), method, 14, 5), 8)
    save_state(first.state(), tmp_path / "state.pt")
    second = Trainer(tiny_setting(AGES, method), method, 14, 5)
    state = load_state(tmp_path / "state.pt", torch.device("cpu"))
    assert state is not None
    second.restore(state)
    run(second, 6)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(second)[name]), name
    assert whole.losses == second.losses and whole.early_losses() == second.early_losses()
    assert run(Trainer(tiny_setting(AGES, method), method, 14, 6), 1).losses != first.losses


def test_a_damaged_state_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state({"step": 1}, path)
    assert load_state(path, torch.device("cpu")) == {"step": 1, "format": 1}
    path.write_bytes(path.read_bytes()[:-100])
    assert load_state(path, torch.device("cpu")) is None
    assert load_state(tmp_path / "none.pt", torch.device("cpu")) is None


class Hungry(Everyage):
    """Runs out of memory with more than `fits` samples at a time."""

    fits = 1

    def losses(self, setting: Setting, batch: Batch) -> Iterator[Terms]:
        for terms in super().losses(setting, batch):
            if len(batch) > self.fits:
                raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
            yield terms


@pytest.mark.parametrize("fits", [1, 2])
def test_out_of_memory_makes_smaller_parts_with_the_same_gradients(fits: int) -> None:
    plain = run(Trainer(tiny_setting(AGES), Everyage(), 4, 0), 4)
    method = Hungry()
    object.__setattr__(method, "fits", fits)
    hungry = run(Trainer(tiny_setting(AGES), method, 4, 0), 4)
    assert hungry.parts == 4 // fits
    for name, value in weights(plain).items():
        assert torch.allclose(value, weights(hungry)[name], atol=2e-4), name


def test_memory_for_not_even_one_sample_is_said() -> None:
    method = Hungry()
    object.__setattr__(method, "fits", 0)
    with pytest.raises(DeviceError, match="too little memory"):
        Trainer(tiny_setting(AGES), method, 4, 0).train_step()


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    setting = tiny_setting(AGES)
    setting.album.crops[:] = torch.nan
    with pytest.raises(EveryageError, match="no number"):
        run(Trainer(setting, replace(Everyage(), keep=4), 4, 0), 1)


def test_hard_faces_are_noted_in_the_first_half() -> None:
    trainer = run(Trainer(tiny_setting(AGES), Everyage(), 20, 0), 11)
    before = trainer.early_losses()
    assert set(before) <= set(range(len(AGES))) and all(value > 0 for value in before.values())
    run(trainer, 9)
    assert trainer.early_losses() == before


@pytest.mark.parametrize(("count", "held"), [(5, 5), (11, 11), (12, 1), (50, 6)])
def test_every_eighth_face_is_held_out_of_large_albums(count: int, held: int) -> None:
    album = tiny_album([20.0 + place for place in range(count)])
    train, check = hold_out(album)
    assert len(check) == held and len(train) == (count if held == count else count - held)
    if held != count:
        assert not set(train.ids) & set(check.ids)
        assert (train.youngest, train.oldest) == (album.youngest, album.oldest)
        assert train.crops.shape[0] == 2 * len(train) and torch.equal(train.crops[0].flip(2), train.crops[len(train)])


def test_validation_knows_the_photos_themselves() -> None:
    """Drawings that are the held-out photos have likeness 1."""
    setting = tiny_setting([20.0, 21.0])
    validation = Validation(setting, setting.album)
    places = setting.album.ages[:2].argsort().flip(0)
    setting.draw = lambda codes, ages: (codes, setting.album.crops[places.flip(0)])  # type: ignore[method-assign]
    setting.album.points[:] = setting.album.points[:1]
    assert validation.score() == pytest.approx(1.0, abs=1e-4)
    assert validation.start < 0.9999


KILLED = """
import sys, torch
from pathlib import Path
from tests.tiny_nets import tiny_setting
from pipelines.personalize.everyage import Everyage
from pipelines.personalize.training import Trainer, load_state, save_state
torch.set_num_threads(1)
path, out = Path(sys.argv[1]), Path(sys.argv[2])
trainer = Trainer(tiny_setting([20.0, 24.0, 30.0, 33.0, 40.0, 46.0]), Everyage(), 120, 0)
state = load_state(path, torch.device("cpu"))
if state is not None:
    trainer.restore(state)
print("ready", flush=True)
while trainer.step < 120:
    trainer.train_step()
    if trainer.step % 5 == 0:
        save_state(trainer.state(), path)
torch.save(trainer.setting.student.learnt(), out)
"""


def test_killed_processes_end_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    """SIGKILL at moments spread over the training, then to the end; compared bit by bit."""

    def start(state: str, out: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", KILLED, str(tmp_path / state), str(tmp_path / out)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    whole = start("whole.pt", "whole.out")
    for delay in (0.05, 0.4, 0.8):
        killed = start("killed.pt", "killed.out")
        assert killed.stdout is not None and killed.stdout.readline() == "ready\n"
        time.sleep(delay)
        killed.kill()
        killed.wait()
    last = start("killed.pt", "killed.out")
    assert last.wait(timeout=120) == 0 and whole.wait(timeout=120) == 0
    one, other = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.out", "killed.out"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert not list(tmp_path.glob(".*.part")) or (tmp_path / "killed.pt").is_file()
