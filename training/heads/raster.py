"""What is seen at each sample: a visibility buffer for triangles and soft lines of N pictures at once.

Each sample keeps one whole number: the depth's bits above the primitive's number. The smallest wins, so that the result
does not depend on the order of drawing, and nothing has to be sorted. Lines are softer than a sample: each covers a
sample with a chance that is its true share of it, and the supersampled picture turns chances into tones. The chances
of a line are spread evenly over its samples, from a start of its own: lines break into fewer dashes so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from training.heads.noise import unit

_EMPTY = (1 << 62) - 1
_NUMBER = (1 << 31) - 1
# Steps along and across a line after which multiples fill 0..1 most evenly (the plastic number's first powers).
_SPREAD = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True)
class Triangles:
    """T triangles: corners `xy` (T, 3, 2) in samples, camera depths `z` (T, 3) > 0, the picture `head` (T,)."""

    xy: Tensor
    z: Tensor
    head: Tensor


@dataclass(frozen=True)
class Lines:
    """L pieces of line: ends `xy` (L, 2, 2) in samples, depths `z` (L, 2), full widths (L, 2) in samples, opacity (L,).

    `salt` (L,) is the number within its picture of the longer line that a piece belongs to: chances follow it, so that
    no batch changes them. `tag` (L,) is the drawer's own note.
    """

    xy: Tensor
    z: Tensor
    width: Tensor
    opacity: Tensor
    head: Tensor
    salt: Tensor
    tag: Tensor


class Visibility:
    """The nearest primitive at each of side x side samples of `count` pictures."""

    def __init__(self, count: int, side: int, device: torch.device) -> None:
        self.count, self.side, self.drawn = count, side, 0
        self.keys = torch.full((count * side * side,), _EMPTY, dtype=torch.int64, device=device)

    def add_triangles(self, triangles: Triangles) -> int:
        """Draw, and return the number of the first one."""
        first, self.drawn = self.drawn, self.drawn + len(triangles.z)
        which, x, y = _boxes(triangles.xy, self.side)
        shares = barycentric(triangles.xy[which], torch.stack([x, y], 1) + 0.5)
        inside = (shares >= 0).all(1).nonzero()[:, 0]
        which, x, y, shares = which[inside], x[inside], y[inside], shares[inside]
        # 1/z is linear on the screen, z is not.
        depth = 1 / (shares / triangles.z[which]).sum(1)
        self._put(triangles.head[which], x, y, depth, first + which)
        return first

    def add_lines(self, lines: Lines, reach: int = 1) -> int:
        """Draw lines up to about 2 * reach samples wide, and return the number of the first one."""
        first, self.drawn = self.drawn, self.drawn + len(lines.z)
        which, step, share = _steps(lines.xy, self.side, ~self._hidden(lines))
        flat = _is_flat(lines.xy)
        ends = torch.where(flat[:, None], lines.xy[..., 1], lines.xy[..., 0])
        run = lines.xy[:, 1] - lines.xy[:, 0]
        slope = torch.where(flat, run[:, 1], run[:, 0]) / torch.where(flat, run[:, 0], run[:, 1])
        half = lines.width * ((1 + slope * slope).sqrt() / 2)[:, None]
        across, half, flat = _mix(ends[which], share), _mix(half[which], share), flat[which]
        start = unit(lines.salt)
        for offset in range(-reach, reach + 1):
            row = across.floor() + offset
            covered = torch.minimum(across + half, row + 1) - torch.maximum(across - half, row)
            # Most lines are thinner than a sample, and reach one neighbour or none.
            near = ((covered > 0) & (row >= 0) & (row < self.side)).nonzero()[:, 0]
            line, row, along = which[near], row[near].long(), step[near].long()
            chance = (start[line] + along * _SPREAD[0] + row * _SPREAD[1]) % 1
            kept = (chance < covered[near] * lines.opacity[line]).nonzero()[:, 0]
            near, line, row, along = near[kept], line[kept], row[kept], along[kept]
            x, y = torch.where(flat[near], along, row), torch.where(flat[near], row, along)
            self._put(lines.head[line], x, y, _mix(lines.z[line], share[near]), first + line)
        return first

    def _hidden(self, lines: Lines) -> Tensor:
        """(L,) bool: both ends lie behind what has been drawn. Most hair is behind the head, and need not be walked."""
        pixel = lines.xy.floor().long()
        inside = ((pixel >= 0) & (pixel < self.side)).all(-1)
        x, y = pixel.clamp(0, self.side - 1).unbind(-1)
        before = self.keys[(lines.head[:, None] * self.side + y) * self.side + x]
        return (inside & (_depth_key(lines.z) > before)).all(1)

    def _put(self, head: Tensor, x: Tensor, y: Tensor, depth: Tensor, number: Tensor) -> None:
        key = _depth_key(depth) | number
        self.keys.scatter_reduce_(0, (head * self.side + y.long()) * self.side + x.long(), key, "amin")

    def seen(self) -> tuple[Tensor, Tensor]:
        """The samples where something is seen (P,), as picture * side^2 + y * side + x, and the primitives' numbers."""
        at = (self.keys != _EMPTY).nonzero()[:, 0]
        return at, self.keys[at] & _NUMBER

    def place(self, at: Tensor) -> tuple[Tensor, Tensor]:
        """The picture (P,) and the middle (P, 2) of samples."""
        within = at % (self.side * self.side)
        middle = torch.stack([within % self.side, within // self.side], 1) + 0.5
        return at // (self.side * self.side), middle


def _depth_key(depth: Tensor) -> Tensor:
    """The bits of a positive float grow with it, so that whole numbers compare as the depths do."""
    return depth.float().contiguous().view(torch.int32).long() << 31


def _boxes(xy: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """All samples in the bounding boxes of triangles: triangle, x, y. Triangles seen from behind have none."""
    low = torch.ceil(xy.amin(1) - 0.5).clamp(min=0)
    high = torch.floor(xy.amax(1) - 0.5).clamp(max=side - 1)
    extent = (high - low + 1).clamp(min=0).long() * (_doubled_area(xy) > 0)[:, None]
    total = extent[:, 0] * extent[:, 1]
    which, local = _spread(total)
    width = extent[which, 0]
    return which, low[which, 0] + local % width, low[which, 1] + local // width


def _steps(xy: Tensor, side: int, shown: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each sample that a `shown` line passes along its longer side: line, that coordinate (whole), share of the way."""
    flat = _is_flat(xy)
    along = torch.where(flat[:, None], xy[:, :, 0], xy[:, :, 1])
    # Half-open, so that the pieces of a longer line meet without a gap or a double sample.
    low = torch.ceil(along.amin(1) - 0.5).clamp(min=0)
    high = torch.ceil(along.amax(1) - 0.5).clamp(max=side)
    which, local = _spread((high - low).clamp(min=0).long() * shown)
    step = low[which] + local
    start = along[which, 0]
    return which, step, (step + 0.5 - start) / (along[which, 1] - start)


def _spread(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Counts to a flat list: whose each entry is, and its place among that one's."""
    which = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    start = counts.cumsum(0) - counts
    return which, torch.arange(len(which), device=counts.device) - start[which]


def _is_flat(xy: Tensor) -> Tensor:
    run = (xy[:, 1] - xy[:, 0]).abs()
    return run[:, 0] >= run[:, 1]


def _mix(ends: Tensor, share: Tensor) -> Tensor:
    return ends[:, 0] + (ends[:, 1] - ends[:, 0]) * share


def _doubled_area(xy: Tensor) -> Tensor:
    """Positive for triangles that face the viewer: y points down, so that counter-clockwise ones turn the other way."""
    a, b = xy[:, 1] - xy[:, 0], xy[:, 2] - xy[:, 0]
    return a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]


def barycentric(xy: Tensor, point: Tensor) -> Tensor:
    """(P, 3) shares of the corners (P, 3, 2) at points (P, 2), on the screen."""
    a, b, c = xy.unbind(1)
    whole = _doubled_area(xy)
    parts = [_doubled_area(torch.stack(each, 1)) for each in ((point, b, c), (a, point, c), (a, b, point))]
    return torch.stack(parts, 1) / torch.where(whole == 0, torch.ones_like(whole), whole)[:, None]


def shares_of(triangles: Triangles, which: Tensor, point: Tensor) -> Tensor:
    """(P, 3) shares of the corners in space, not on the screen, at the points (P, 2) of triangles `which` (P,)."""
    shares = barycentric(triangles.xy[which], point) / triangles.z[which]
    return shares / shares.sum(1, keepdim=True)


def along_line(lines: Lines, which: Tensor, point: Tensor) -> Tensor:
    """(P,) share of the way along lines `which` at samples' middles (P, 2)."""
    ends, flat = lines.xy[which], _is_flat(lines.xy[which])
    along = torch.where(flat[:, None], ends[:, :, 0], ends[:, :, 1])
    at = torch.where(flat, point[:, 0], point[:, 1])
    return ((at - along[:, 0]) / (along[:, 1] - along[:, 0])).clamp(0, 1)
