"""Photo aging: one photo, one face, any age."""

from .options import EMBEDDED, Aged, AgingOptions, FoundFace, parse_age, parse_layers
from .pipeline import AgingPipeline
from .strip import strip

__all__ = [
    "EMBEDDED",
    "Aged",
    "AgingOptions",
    "AgingPipeline",
    "FoundFace",
    "parse_age",
    "parse_layers",
    "strip",
]
