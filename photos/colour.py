"""Pixels of any photo as 8-bit RGB."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

WHITE = (255, 255, 255)


def to_rgb(image: Image.Image) -> Image.Image:
    """`image` of any mode as 8-bit RGB: transparency on white, 16 bits scaled, CMYK through its own profile.

    The numbers of an RGB picture stay as they are, whatever its profile; `rgb_profile` says what they mean.
    """
    if image.mode.startswith("I"):
        return _from_wide(image)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        flat = Image.new("RGBA", layer.size, (*WHITE, 255))
        return Image.alpha_composite(flat, layer).convert("RGB")
    if image.mode == "CMYK":
        return _from_cmyk(image)
    # A copy in any case (one, for photos may be huge): the result must not hang on the file, nor carry its metadata.
    bare = image.convert("RGB")
    bare.info.clear()
    return bare


def rgb_profile(image: Image.Image) -> bytes | None:
    """The ICC profile of a photo if it speaks of RGB; those of grey or CMYK photos do not fit the RGB result."""
    profile = image.info.get("icc_profile")
    if isinstance(profile, bytes) and len(profile) > 128 and profile[16:20] == b"RGB ":
        return profile
    return None


def _from_wide(image: Image.Image) -> Image.Image:
    """16-bit grey, 0..65535, to 0..255, rounded."""
    levels = np.asarray(image, dtype=np.float64).clip(0, 65535) / 257
    return Image.fromarray(levels.round().astype(np.uint8)).convert("RGB")


def _from_cmyk(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            srgb = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, io.BytesIO(profile), srgb, outputMode="RGB")
            if converted is not None:
                converted.info.clear()
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile: the plain formula is near enough
    return image.convert("RGB")
