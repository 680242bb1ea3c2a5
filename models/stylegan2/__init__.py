"""StyleGAN2 under its published parameter names, written from the paper."""

from .discriminator import Discriminator
from .generator import Generator, MappingNetwork, SynthesisNetwork, pool_to
from .io import load_generator, save_generator

__all__ = [
    "Discriminator",
    "Generator",
    "MappingNetwork",
    "SynthesisNetwork",
    "load_generator",
    "pool_to",
    "save_generator",
]
