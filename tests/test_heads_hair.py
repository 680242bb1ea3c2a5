"""Strands of rendered heads: where they grow, where they may not be, whose they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.tiny_heads import build_tiny_heads
from training.heads import Person, draw_person, draw_view
from training.heads.assets import load_assets
from training.heads.browline import brow_density, brow_lines
from training.heads.camera import frame
from training.heads.geometry import Body, Geometry
from training.heads.glasses import wear_glasses
from training.heads.hair import STYLES, strand_colours
from training.heads.looks import looks_at
from training.heads.roots import still_normals
from training.heads.scalp import hairlines
from training.heads.strands import Strands
from training.heads.styling import Stylist

CPU = torch.device("cpu")
STILL = replace(draw_view(0), yaw=0.0, pitch=0.0, roll=0.0, body_yaw=0.0)


@pytest.fixture(scope="module")
def geometry(tmp_path_factory: pytest.TempPathFactory) -> Geometry:
    return Geometry(load_assets(build_tiny_heads(tmp_path_factory.mktemp("hair")), CPU))


@pytest.fixture(scope="module")
def stylist(geometry: Geometry) -> Stylist:
    return Stylist(geometry)


def pick(wanted: Callable[[Person], bool]) -> Person:
    return next(person for person in map(draw_person, range(900)) if wanted(person))


def styled(style: str) -> Person:
    person = pick(lambda p: p.female and p.hair.curl < 0.1)
    return replace(person, hair=replace(person.hair, style=style))


def hair_of(stylist: Stylist, geometry: Geometry, people: list[Person], age: float) -> tuple[Body, Strands]:
    ages, looks = [age] * len(people), [looks_at(person, age) for person in people]
    body = geometry.body(people, ages, [STILL] * len(people))
    seeds = torch.tensor([person.seed for person in people])
    line = hairlines(people, looks, CPU)
    return body, stylist.hair.grow(body, still_normals(body.skin), people, looks, line, seeds)


def there(strands: Strands, head: int = 0) -> Tensor:
    """(R, K, 3): the nodes of the strands that one head has."""
    return strands.nodes[head][strands.opacity[head] > 0]


@pytest.mark.parametrize("style", STYLES)
def test_hair_of_every_style_stays_outside_the_skull_and_off_the_face(
    stylist: Stylist, geometry: Geometry, style: str
) -> None:
    body, strands = hair_of(stylist, geometry, [styled(style)], 30)
    nodes, skull = there(strands), stylist.hair.skull(body)
    assert len(nodes) > 2000 and nodes.isfinite().all()
    assert skull.ratio(nodes[None, :, 1:].flatten(1, 2)).quantile(0.02) > 0.97
    x, y, z = ((nodes - skull.middle[0]) / skull.radii[0]).unbind(-1)
    below = y < (skull.brow[0] - skull.middle[0, 1]) / skull.radii[0, 1] - 0.1
    on_the_face = (z > 0.75) & below & (x.abs() < 0.6)
    assert on_the_face.any(1).float().mean() < 0.01


def test_long_hair_is_longer_and_hangs_lower_than_short(stylist: Stylist, geometry: Geometry) -> None:
    lowest, lengths = {}, {}
    for style in ("short05", "short02", "bob01", "long01"):
        nodes = there(hair_of(stylist, geometry, [styled(style)], 30)[1])
        lowest[style] = nodes[..., 1].quantile(0.02).item()
        lengths[style] = (nodes[:, 1:] - nodes[:, :-1]).norm(dim=-1).sum(1).median().item()
    assert lengths["short05"] < 0.14 < lengths["short02"] < 0.6 < lengths["bob01"] < lengths["long01"]
    assert lowest["long01"] < lowest["bob01"] - 0.2 < lowest["short02"] - 0.2


def test_hair_depends_on_its_person_not_on_the_batch(stylist: Stylist, geometry: Geometry) -> None:
    people = [styled("bob01"), draw_person(3), draw_person(8)]
    together = hair_of(stylist, geometry, people, 40)[1]
    for index, person in enumerate(people):
        alone = hair_of(stylist, geometry, [person], 40)[1]
        assert torch.equal(alone.opacity[0], together.opacity[index])
        assert torch.allclose(alone.nodes[0], together.nodes[index], atol=1e-4)


def test_leaving_out_strands_that_are_not_there_keeps_order_and_numbers(stylist: Stylist, geometry: Geometry) -> None:
    strands = hair_of(stylist, geometry, [styled("short02"), draw_person(3)], 70)[1]
    kept = strands.present()
    assert kept.number is not None and kept.opacity.shape[1] == (strands.opacity > 0).sum(1).max()
    for head in (0, 1):
        assert torch.equal(there(kept, head), there(strands, head))
        numbers = kept.number[head][kept.opacity[head] > 0]
        assert torch.equal(numbers, (strands.opacity[head] > 0).nonzero()[:, 0])


def test_more_strands_turn_with_age_and_those_that_have_turned_stay(stylist: Stylist) -> None:
    person = pick(lambda p: p.hair.colour == "black")
    random = torch.rand(1, 4000, generator=torch.Generator().manual_seed(0))
    before = torch.zeros(1, 4000, dtype=torch.bool)
    shares = []
    for age in (20, 40, 50, 60, 90):
        turned = strand_colours([looks_at(person, age)], random, 0 * random[0])[0, :, 0] > 0.12
        assert (turned | ~before[0]).all()
        before, shares = turned[None], [*shares, turned.float().mean().item()]
    assert shares[0] == 0 and shares == sorted(shares) and shares[-1] > 0.9


def test_who_has_beards_and_glasses(stylist: Stylist, geometry: Geometry) -> None:
    bearded = pick(lambda p: p.beard.kind == "full")
    reader = pick(lambda p: p.glasses == "round" and 20 < p.glasses_from < 50)
    people, ages = [bearded, replace(bearded, beard=replace(bearded.beard, kind="none")), reader], [40.0] * 3
    looks = [looks_at(person, 40) for person in people]
    body = geometry.body(people, ages, [STILL] * 3)
    seeds = torch.tensor([person.seed for person in people])
    beards = stylist.face.beards(body, still_normals(body.skin), people, looks, seeds)
    assert (beards.opacity[0] > 0).sum() > 1000 and not beards.opacity[1].any()
    child = stylist.face.beards(body, still_normals(body.skin), people, [looks_at(bearded, 12)] * 3, seeds)
    assert not child.opacity.any()
    for age in (10.0, 60.0):
        glasses = wear_glasses(geometry, body, [reader], [age])
        assert bool(glasses.opacity.any()) == (age > reader.glasses_from)


def test_glasses_frame_the_eyes(geometry: Geometry) -> None:
    reader = pick(lambda p: p.glasses == "round")
    body = geometry.body([reader], [70.0], [STILL])
    glasses = wear_glasses(geometry, body, [reader], [70.0])
    placed, depth = frame(geometry, body, [STILL]).project(glasses.nodes.flatten(1, 2))
    eyes, eye_depth = frame(geometry, body, [STILL]).project(
        body.pose.apply(
            torch.stack([body.base[:, geometry.assets.joints[name]].mean(1) for name in ("r-eye", "l-eye")], 1)
        )
    )
    rims = placed.view(1, 5, -1, 2)[0, :2]
    assert torch.allclose(rims.mean(1), eyes[0], atol=0.03)
    # Before the eyes, all round them, nothing across them.
    assert (depth.view(1, 5, -1)[0, :2] < eye_depth.min()).all()
    assert (rims - eyes[0][:, None]).norm(dim=-1).min() > 0.05


def test_brows_lie_above_the_eyes_alike_on_both_sides() -> None:
    line = brow_lines([draw_person(1)], [30.0], CPU).column()
    grid = torch.linspace(-0.8, 0.8, 81)
    y, x = torch.meshgrid(torch.linspace(7.0, 7.9, 91), grid, indexing="ij")
    density = brow_density(torch.stack([x, y, torch.full_like(x, 1.4)], -1).view(1, -1, 3), line).view(91, 81)
    assert torch.allclose(density, density.flip(1), atol=1e-4)
    assert density.max() > 0.45 and density[:, 38:43].max() < 0.05
    rows = (density.amax(1) > 0.3).nonzero()[:, 0]
    assert 7.3 < 7.0 + 0.01 * rows.min() < 7.0 + 0.01 * rows.max() < 7.55
