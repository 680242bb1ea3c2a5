"""Which pipelines can be run, by the class that their `model_index.json` names."""

from __future__ import annotations

from pipelines.generate.families.base import Family
from pipelines.generate.families.dit import DiT
from pipelines.generate.families.flux import Flux
from pipelines.generate.families.lumina import Lumina2
from pipelines.generate.families.pixart import PixArt
from pipelines.generate.families.sd import StableDiffusion
from pipelines.generate.families.sd3 import StableDiffusion3
from pipelines.generate.families.sdxl import StableDiffusionXL
from pipelines.generate.families.zimage import ZImage

FAMILIES: dict[str, type[Family]] = {
    "StableDiffusionPipeline": StableDiffusion,
    "StableDiffusionInpaintPipeline": StableDiffusion,
    "StableDiffusionXLPipeline": StableDiffusionXL,
    "StableDiffusionXLInpaintPipeline": StableDiffusionXL,
    "StableDiffusion3Pipeline": StableDiffusion3,
    "FluxPipeline": Flux,
    "PixArtAlphaPipeline": PixArt,
    "PixArtSigmaPipeline": PixArt,
    "DiTPipeline": DiT,
    "Lumina2Pipeline": Lumina2,
    "ZImagePipeline": ZImage,
}
