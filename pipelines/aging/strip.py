"""One row of faces, an age under each."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from .options import Aged

GAP = 8
PAPER, INK = (250, 249, 246), (40, 40, 44)


def strip(aged: Sequence[Aged], labels: bool = True, size: int = 384) -> Image.Image:
    """The crops of several results side by side, each `size` pixels square, with the target age below."""
    band = size // 8 if labels else 0
    sheet = Image.new("RGB", (len(aged) * (size + GAP) - GAP, size + band), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=size // 14)
    for index, each in enumerate(aged):
        left = index * (size + GAP)
        sheet.paste(each.crop.resize((size, size), Image.Resampling.LANCZOS), (left, 0))
        if labels:
            draw.text((left + size / 2, size + band / 2), f"{each.target:g}", fill=INK, font=font, anchor="mm")
    return sheet
