"""Photo aging: one photo, one face, any age."""

from .options import Aged, AgingOptions, FoundFace, parse_age
from .pipeline import AgingPipeline
from .strip import strip

__all__ = ["Aged", "AgingOptions", "AgingPipeline", "FoundFace", "parse_age", "strip"]
