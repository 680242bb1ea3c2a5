"""Photos in, results out: the two doors of the app, by one name."""

from __future__ import annotations

from photos.opening import MAX_PIXELS, MIN_SIDE, Photo, open_photo
from photos.results import check_result_path, read_recipe, save_image

__all__ = ["MAX_PIXELS", "MIN_SIDE", "Photo", "check_result_path", "open_photo", "read_recipe", "save_image"]
