"""The photo collection: import, dates, quality, duplicates, forgetting. What needs torch is imported on use."""

from photos.library.library import Library
from photos.library.views import Forgotten, ImportReport, ImportStep, LikenessView, PhotoView, Refused

__all__ = ["Forgotten", "ImportReport", "ImportStep", "Library", "LikenessView", "PhotoView", "Refused"]
