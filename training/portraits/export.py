"""Turn a finished run into the embedded model: a Stable Diffusion folder, fp16, with cards.

    python -m training.portraits.export --run RUN --out assets/portraits

The folder opens with `DiffusionPipeline.from_pretrained`. A card lies beside each safetensors file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import torch

from models.compat import ensure_torchvision
from training.portraits.config import AutoencoderConfig, DenoiserConfig
from training.portraits.networks import PICTURE, build_autoencoder, build_denoiser, build_text_encoder
from training.portraits.words import load

TITLES = {
    "unet/diffusion_pytorch_model": "Denoiser of rendered portraits",
    "vae/diffusion_pytorch_model": "Autoencoder of rendered portraits",
    "text_encoder/model": "Text encoder of rendered portraits",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("assets/portraits"))
    parser.add_argument("--quality", type=Path, help="JSON with measured figures for the cards")
    options = parser.parse_args()
    quality = json.loads(options.quality.read_text()) if options.quality else {}
    export(options.run, options.out, quality)


def export(run: Path, out: Path, quality: dict[str, Any]) -> None:
    """Write the folder `out` from `run/autoencoder.pt`, `run/denoiser.pt`, `run/latents.pt` and `run/tokenizer`."""
    pipeline, steps = assemble(run)
    shutil.rmtree(out, ignore_errors=True)
    pipeline.save_pretrained(out, safe_serialization=True)
    # Else the text encoder would open in half width and the rest in full, when nobody says which.
    settings = out / "text_encoder" / "config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"dtype": "float32"}, indent=2) + "\n")
    for stem, title in TITLES.items():
        path = out / f"{stem}.safetensors"
        text = json.dumps(card(path, title, steps, quality), indent=2)
        path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    print(f"{sum(p.stat().st_size for p in out.rglob('*') if p.is_file()) / 1e6:.1f} MB")


def assemble(run: Path) -> tuple[Any, int]:
    """The pipeline of averaged weights in half width, and the steps that the denoiser was trained for."""
    ensure_torchvision()
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    plan, config = AutoencoderConfig(), DenoiserConfig()
    tokenizer = load(run / "tokenizer", config.text_length)
    saved = torch.load(run / "denoiser.pt", map_location="cpu", weights_only=True)
    parts = torch.nn.ModuleDict(
        {
            "unet": build_denoiser(config, plan.latent_channels),
            "text": build_text_encoder(config, len(tokenizer), tokenizer.eos_token_id),
        }
    )
    parts.load_state_dict(saved["average"])
    autoencoder = build_autoencoder(plan)
    autoencoder.load_state_dict(torch.load(run / "autoencoder.pt", weights_only=True)["average"])
    scale = torch.load(run / "latents.pt", weights_only=True, mmap=True)["scale"]
    autoencoder.register_to_config(scaling_factor=scale)
    scheduler = DDIMScheduler(
        beta_start=config.beta_start,
        beta_end=config.beta_end,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        timestep_spacing="trailing",
    )
    pipeline = StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=parts["text"],
        tokenizer=tokenizer,
        unet=parts["unet"],
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipeline.to(torch.float16), int(saved["step"])


def card(path: Path, title: str, steps: int, quality: dict[str, Any]) -> dict[str, Any]:
    """What the card of one file says."""
    return {
        "title": f"{title}, {PICTURE} px",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "dtype": "float16",
        "made_by": "python -m training.portraits.autoencoder, .denoiser, .export",
        "config": {"resolution": PICTURE},
        "steps": steps,
        "data": "rendered heads of made-up people (MakeHuman community assets, CC0) with captions from their known "
        "attributes; no photograph of a person",
        "quality": quality,
        "licence": "Apache-2.0",
        "notice": "assets/NOTICE.md",
    }


if __name__ == "__main__":
    main()
