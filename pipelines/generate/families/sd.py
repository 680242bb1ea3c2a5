"""Stable Diffusion 1.x and 2.x, and the embedded portraits model."""

from __future__ import annotations

from pipelines.generate.families.base import Family


class StableDiffusion(Family):
    """StableDiffusionPipeline: noise or velocity, by its scheduler. The contract's defaults are this family."""
