"""Networks that move a face along its age: the encoder to w+ and the global aging prior."""

from .encoder import AgeEncoder, with_age
from .io import load_encoder, save_encoder

__all__ = ["AgeEncoder", "load_encoder", "save_encoder", "with_age"]
