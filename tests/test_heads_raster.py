"""The rasteriser of rendered heads against triangles and lines whose pixels can be told by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from training.heads.raster import Lines, Triangles, Visibility, along_line, shares_of

CPU = torch.device("cpu")
SIDE = 16


def triangle(*corners: tuple[float, float], z: tuple[float, float, float] = (5, 5, 5), head: int = 0) -> Triangles:
    # Counter-clockwise as the viewer sees it, with y down.
    return Triangles(torch.tensor([corners]), torch.tensor([z], dtype=torch.float32), torch.tensor([head]))


def line(a: tuple[float, float], b: tuple[float, float], width: float, opacity: float = 1.0, salt: int = 0) -> Lines:
    return Lines(torch.tensor([[a, b]]), torch.full((1, 2), 5.0), torch.full((1, 2), width), torch.tensor([opacity]),
                 torch.tensor([0]), torch.tensor([salt]), torch.tensor([0]))  # fmt: skip


def drawn(visibility: Visibility) -> Tensor:
    """(N, side, side) bool."""
    at, _ = visibility.seen()
    flat = torch.zeros(len(visibility.keys), dtype=torch.bool)
    flat[at] = True
    return flat.view(visibility.count, visibility.side, visibility.side)


def test_a_triangle_covers_the_samples_whose_middles_lie_inside_it() -> None:
    visibility = Visibility(1, SIDE, CPU)
    visibility.add_triangles(triangle((2.0, 2.0), (2.0, 12.0), (12.0, 2.0)))
    y, x = torch.meshgrid(torch.arange(SIDE) + 0.5, torch.arange(SIDE) + 0.5, indexing="ij")
    expected = (x >= 2) & (y >= 2) & (x + y <= 14)
    assert torch.equal(drawn(visibility)[0], expected)
    assert expected.sum() == 55


def test_triangles_seen_from_behind_or_beside_the_picture_are_not_drawn() -> None:
    visibility = Visibility(1, SIDE, CPU)
    visibility.add_triangles(triangle((2.0, 2.0), (12.0, 2.0), (2.0, 12.0)))
    visibility.add_triangles(triangle((-9.0, 2.0), (-9.0, 12.0), (-2.0, 2.0)))
    assert not drawn(visibility).any()


@pytest.mark.parametrize("near_first", [True, False])
def test_the_nearest_is_seen_whatever_was_drawn_first(near_first: bool) -> None:
    corners = ((1.0, 1.0), (1.0, 15.0), (15.0, 1.0))
    depths = (3.0, 4.0) if near_first else (4.0, 3.0)
    visibility = Visibility(1, SIDE, CPU)
    first = [visibility.add_triangles(triangle(*corners, z=(depth,) * 3)) for depth in depths]
    _, number = visibility.seen()
    assert set(number.tolist()) == {first[0] if near_first else first[1]}


def test_crossing_triangles_hide_each_other_along_the_line_where_they_cross() -> None:
    square = ((0.0, 0.0), (0.0, 32.0), (32.0, 0.0))
    visibility = Visibility(1, SIDE, CPU)
    visibility.add_triangles(triangle(*square, z=(4.0, 4.0, 4.0)))
    visibility.add_triangles(triangle(*square, z=(2.0, 2.0, 1e6)))
    at, number = visibility.seen()
    # 1/z falls in a straight line from 1/2 to 0 over 32 samples: it passes 1/4 at 16, beyond the picture's 16 columns.
    assert (number == 1).all() and len(at) == SIDE * SIDE
    far = Visibility(1, SIDE, CPU)
    far.add_triangles(triangle(*square, z=(3.0, 3.0, 3.0)))
    far.add_triangles(triangle(*square, z=(2.0, 2.0, 1e6)))
    _, number = far.seen()
    columns = number.view(SIDE, SIDE)[0]
    # It passes 1/3 where 1/2 * (1 - x / 32) = 1/3, at x = 32/3.
    assert columns.tolist() == [1] * 10 + [1 if 10.5 < 32 / 3 else 0] + [0] * 5


def test_shares_are_right_in_space_not_on_the_screen() -> None:
    slanted = triangle((0.0, 0.0), (0.0, 10.0), (10.0, 0.0), z=(1.0, 1.0, 3.0))
    shares = shares_of(slanted, torch.tensor([0]), torch.tensor([[5.0, 0.0]]))
    # Half-way on the screen lies a quarter of the way towards a corner three times as far.
    assert torch.allclose(shares, torch.tensor([[0.75, 0.0, 0.25]]), atol=1e-6)


def test_pictures_of_a_batch_do_not_touch_each_other() -> None:
    both = Visibility(2, SIDE, CPU)
    both.add_triangles(triangle((1.0, 1.0), (1.0, 9.0), (9.0, 1.0), head=1))
    alone = Visibility(1, SIDE, CPU)
    alone.add_triangles(triangle((1.0, 1.0), (1.0, 9.0), (9.0, 1.0)))
    assert not drawn(both)[0].any()
    assert torch.equal(drawn(both)[1], drawn(alone)[0])


def test_pieces_of_a_line_meet_without_gap_or_overlap() -> None:
    visibility = Visibility(1, SIDE, CPU)
    for a, b in ((1.0, 4.3), (4.3, 4.9), (4.9, 13.0)):
        visibility.add_lines(line((a, 7.5), (b, 7.5), 1.0))
    seen = drawn(visibility)[0]
    assert seen[7, 1:13].all() and seen.sum() == 12


def test_lines_are_hidden_by_what_lies_before_them_and_seen_before_what_lies_behind() -> None:
    corners = ((0.0, 0.0), (0.0, 16.0), (16.0, 0.0))
    for depth, seen in ((4.0, 5), (6.0, 9)):
        visibility = Visibility(1, SIDE, CPU)
        visibility.add_triangles(triangle(*corners, z=(depth,) * 3))
        first = visibility.add_lines(line((2.0, 10.5), (11.0, 10.5), 1.0))
        _, number = visibility.seen()
        # The triangle reaches to x + y = 16: of nine samples in that row, five stand out behind it.
        assert (number >= first).sum() == seen


@pytest.mark.parametrize(("width", "opacity"), [(0.5, 1.0), (1.0, 1.0), (2.2, 1.0), (1.6, 0.4)])
@pytest.mark.parametrize("angle", [0, 20, 45, 80])
def test_lines_cover_their_area(width: float, opacity: float, angle: int) -> None:
    pieces, length = 300, 40.0
    run = torch.tensor([math.cos(math.radians(angle)), math.sin(math.radians(angle))]) * length
    start = torch.rand(pieces, 2, generator=torch.Generator().manual_seed(angle)) * 8 + 8
    # One line on each picture, so that none hides another.
    visibility = Visibility(pieces, 64, CPU)
    each, number = torch.ones(pieces, 2), torch.arange(pieces)
    ends = torch.stack([start, start + run], 1)
    visibility.add_lines(Lines(ends, 5 * each, width * each, opacity * each[:, 0], number, number, number), reach=2)
    assert drawn(visibility).sum().item() / pieces == pytest.approx(width * length * opacity, rel=0.03)


def test_along_a_line_shares_follow_its_longer_side() -> None:
    lines = line((2.0, 3.0), (4.0, 13.0), 1.0)
    share = along_line(lines, torch.tensor([0, 0]), torch.tensor([[2.5, 5.5], [3.5, 10.5]]))
    assert torch.allclose(share, torch.tensor([0.25, 0.75]))
