"""The sheet of a comparison: pictures with axes, and figures under each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from pipelines.generate.axes import MATCHED, Axis
from pipelines.generate.job import Made


def draw_sheet(axes: Sequence[Axis], rows: Sequence[Sequence[Made]]) -> Image.Image:
    """The sheet: labels above and at the left, pictures, and under each its figures."""
    width = max(made.image.width for row in rows for made in row)
    height = max(made.image.height for row in rows for made in row)
    side = max(width, 128)
    size = max(11, side // 12)
    font = ImageFont.load_default(size)
    left, top, foot, gap = (size * 8 if len(axes) > 1 else 0), size * 2, round(size * 2.6), 4
    sheet = Image.new(
        "RGB", (left + len(rows[0]) * (side + gap), top + len(rows) * (height + foot + gap)), (250, 249, 246)
    )
    pen = ImageDraw.Draw(sheet)
    for j, value in enumerate(axes[0].values):
        pen.text((left + j * (side + gap) + side / 2, top / 2), label(axes[0].name, value), "black", font, "mm")
    for i, row in enumerate(rows):
        y = top + i * (height + foot + gap)
        if len(axes) > 1:
            pen.text((left - size / 2, y + height / 2), label(axes[1].name, axes[1].values[i]), "black", font, "rm")
        for j, made in enumerate(row):
            x = left + j * (side + gap)
            sheet.paste(made.image, (x + (side - made.image.width) // 2, y))
            small = ImageFont.load_default(max(9, round(size * 0.85)))
            told = made.figures
            prompt = f", prompt {told['prompt']:.0%}" if "prompt" in told else ""
            pen.text((x + 2, y + height + 1), f"saturation {told['saturation']:.3f}{prompt}", (70, 70, 70), small)
            pen.text(
                (x + 2, y + height + 1 + size * 1.2),
                f"contrast {told['contrast']:.3f}, clipped {told['clipped']:.1%}",
                (70, 70, 70),
                small,
            )
    return sheet


def label(name: str, value: Any) -> str:
    """ "scale 8", "APG", ..."""
    if name == "guidance":
        return {"apg": "APG", "cfg": "CFG", "fdg": "FDG", "cfgpp": "CFG++", MATCHED: "CFG matched"}.get(
            str(value), str(value)
        )
    text = str(value)
    return f"{name.replace('_', ' ')} {text if len(text) < 18 else text[:17] + '…'}"
