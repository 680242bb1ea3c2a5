"""Pictures of frames, as a person sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image

from pipelines.video.media import small_rgb, upright

if TYPE_CHECKING:
    from av import VideoFrame

    from pipelines.video.media import VideoFacts

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


def shown_frame(frame: VideoFrame, facts: VideoFacts, side: int) -> Image.Image:
    """A frame upright, at most `side` pixels wide and high, as a PIL RGB picture."""
    return Image.fromarray(upright(small_rgb(frame, side), facts.rotation))
