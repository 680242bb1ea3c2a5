"""Settings of the paper for each family of models, where it gives them (Sadat et al. 2024, table 10)."""

from __future__ import annotations

from models.guidance.settings import GuidanceSettings

_PRESETS = {
    "sdxl": GuidanceSettings(scale=15.0, norm_threshold=15.0, momentum=-0.5),
    "dit": GuidanceSettings(scale=4.0, norm_threshold=5.0, momentum=-0.5, norm_units="paper"),
    "edm2": GuidanceSettings(scale=4.0, norm_threshold=2.5, momentum=-0.75, norm_units="paper"),
    "sd": GuidanceSettings(scale=10.0),
    "portraits": GuidanceSettings(scale=4.0),
    # Flow models are trained to follow weaker guidance.
    "sd3": GuidanceSettings(scale=7.0),
    "flux": GuidanceSettings(scale=3.5),
    "lumina": GuidanceSettings(scale=4.0),
    "zimage": GuidanceSettings(scale=5.0),
    "pixart": GuidanceSettings(scale=4.5),
}

_PAPER = {
    "sdxl": "The paper uses scale 15, eta 0, limit 15 and momentum -0.5 for SDXL.",
    "dit": "The paper uses eta 0, limit 5 and momentum -0.5 for DiT.",
    "edm2": "The paper uses scale 4, eta 0, limit 2.5 and momentum -0.75 for EDM2.",
}


def preset(family: str) -> GuidanceSettings:
    """The settings to start from with a family of models; the general ones for a family without its own."""
    return _PRESETS.get(family, GuidanceSettings())


def paper_says(family: str) -> str:
    """One sentence on what the paper uses for this family."""
    general = "The paper gives no values for this kind of model; it advises eta 0 and a limit that only cuts peaks."
    return _PAPER.get(family, general)
