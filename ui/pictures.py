"""Pictures on their way to the screen: small enough to show, and inside the page rather than behind an address."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image

SCREEN = 1400  # px: the longest side that the page shows
CLOSE_UP = 2.6  # side of the close-up, in faces


def data_uri(image: Image.Image, side: int = SCREEN, quality: int = 88) -> str:
    """The picture, at most `side` px long, as a JPEG data address: no other tab can ask the server for it."""
    small = image.convert("RGB")
    if max(small.size) > side:
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def close_up(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """The square around a face box (x, y, w, h in px of `image`), kept inside the picture where it fits."""
    x, y, w, h = box
    side = min(CLOSE_UP * max(w, h), *image.size)
    left = min(max(x + w / 2 - side / 2, 0), image.width - side)
    top = min(max(y + h / 2 - side / 2, 0), image.height - side)
    return image.crop((round(left), round(top), round(left + side), round(top + side)))


def collage(pictures: Sequence[Image.Image], side: int = 256) -> Image.Image:
    """Four of the pictures, from first to last, as one square: the small picture of a strip."""
    tile = side // 2
    out = Image.new("RGB", (2 * tile, 2 * tile))
    for i in range(4):
        picture = pictures[round(i * (len(pictures) - 1) / 3)].convert("RGB").resize((tile, tile))
        out.paste(picture, (i % 2 * tile, i // 2 * tile))
    return out
