"""What the person sees while a model learns, and what judges it: the same photos at the same ages, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from models.images import to_pil

from .method import Setting

TILE, BAND, GAP = 144, 22, 4
PAPER, INK = (250, 249, 246), (40, 40, 44)
MOST_ROWS = 3


def preview_ages(youngest: float, oldest: float) -> list[float]:
    """Every tenth year that the photos cover, with one beyond at either end."""
    first, last = max(int(youngest // 10) * 10, 0), min(int(-(-oldest // 10)) * 10, 100)
    first, last = max(first - 10, 5), min(last + 10, 90)
    return [float(age) for age in range(first, last + 1, 10)][:9]


def preview_places(setting: Setting) -> list[int]:
    """The youngest face of the album, the oldest, and the one in the middle, by their places."""
    count = len(setting.album)
    order = setting.album.ages[:count].argsort().tolist()
    return list(dict.fromkeys([order[0], order[count // 2], order[-1]]))[:MOST_ROWS]


@torch.no_grad()
def preview(setting: Setting) -> Image.Image:
    """A row for each face: the photo, then the drawings at each age, the personal ones below the global ones."""
    ages = preview_ages(setting.album.youngest, setting.album.oldest)
    years = torch.tensor(ages, device=setting.album.ages.device)
    rows = []
    for place in preview_places(setting):
        before, after = _both(setting, place, years)
        photo = setting.album.crops[place : place + 1]
        rows += [[photo, *before.split(1)], [photo, *after.split(1)]]
    own = [f"{setting.album.ages[place]:.0f}" for place in preview_places(setting)]
    return sheet(rows, [f"{age:g}" for age in ages], own)


def _both(setting: Setting, place: int, years: Tensor) -> tuple[Tensor, Tensor]:
    """The global and the personal drawings (N, 3, S, S) of a face at N ages, with mirror images if aging uses them."""
    sides = [place, place + len(setting.album)] if setting.nets.mirrored else [place]
    before: list[Tensor] = []
    after: list[Tensor] = []
    for side in sides:
        codes = setting.codes.at(torch.full((len(years),), side, device=years.device), years)
        drawn = setting.draw_global(codes), setting.draw(codes, years)[1]
        for images, kept in zip(drawn, (before, after), strict=True):
            kept.append(images.flip(3) if side != place else images)
    return torch.stack(before).mean(dim=0), torch.stack(after).mean(dim=0)


def sheet(rows: Sequence[Sequence[Tensor]], ages: Sequence[str], present: Sequence[str]) -> Image.Image:
    """Tiles (1, 3, S, S) with the ages above; rows come in pairs, "global" and "own", one pair a photo."""
    width = len(rows[0]) * (TILE + GAP) - GAP
    page = Image.new("RGB", (width, BAND + len(rows) * (TILE + GAP)), PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(size=13)
    for column, text in enumerate(["photo", *ages]):
        draw.text((column * (TILE + GAP) + TILE / 2, BAND / 2), text, fill=INK, font=font, anchor="mm")
    for index, row in enumerate(rows):
        for column, tile in enumerate(row):
            picture = to_pil(tile.clamp(-1, 1)).resize((TILE, TILE), Image.Resampling.LANCZOS)
            page.paste(picture, (column * (TILE + GAP), BAND + index * (TILE + GAP)))
        label = f"{present[index // 2]} " + ("global" if index % 2 == 0 else "own")
        draw.text(
            (4, BAND + index * (TILE + GAP) + 4),
            label,
            fill=(255, 255, 255),
            font=font,
            stroke_width=2,
            stroke_fill=INK,
        )
    return page
