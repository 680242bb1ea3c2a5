"""Pictures of frames side by side."""

from __future__ import annotations

from PIL import Image

GAP = 8


def side_by_side(*pictures: Image.Image) -> Image.Image:
    """PIL RGB pictures of one height in a row, on white."""
    width = sum(picture.width + GAP for picture in pictures) - GAP
    sheet = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + GAP
    return sheet
