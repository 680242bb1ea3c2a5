"""The networks of the portraits model, built from their configurations, in the Stable Diffusion layout.

diffusers and transformers are imported where they are used: the rest of the training runs without them.
"""

from __future__ import annotations

from typing import Any

from models.compat import ensure_torchvision
from training.portraits.config import AutoencoderConfig, DenoiserConfig

PICTURE = 128
FACTOR = 8


def build_autoencoder(config: AutoencoderConfig) -> Any:
    """diffusers' AutoencoderKL: (N, 3, H, W) in [-1, 1] to (N, latent_channels, H / 8, W / 8) and back."""
    ensure_torchvision()
    from diffusers import AutoencoderKL

    levels = len(config.widths)
    return AutoencoderKL(
        block_out_channels=config.widths,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        latent_channels=config.latent_channels,
        layers_per_block=1,
        norm_num_groups=8,
        sample_size=PICTURE,
        mid_block_add_attention=False,
    )


def build_denoiser(config: DenoiserConfig, latent_channels: int) -> Any:
    """diffusers' UNet2DConditionModel with cross-attention to the text at every level."""
    ensure_torchvision()
    from diffusers import UNet2DConditionModel

    levels = len(config.widths)
    return UNet2DConditionModel(
        sample_size=PICTURE // FACTOR,
        in_channels=latent_channels,
        out_channels=latent_channels,
        block_out_channels=config.widths,
        layers_per_block=config.layers,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        cross_attention_dim=config.text_width,
        attention_head_dim=[max(1, width // config.head_width) for width in config.widths],
        norm_num_groups=16,
    )


def build_text_encoder(config: DenoiserConfig, words: int, end: int) -> Any:
    """transformers' CLIPTextModel over a vocabulary of `words` tokens, of which `end` closes a text."""
    ensure_torchvision()
    from transformers import CLIPTextConfig, CLIPTextModel

    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=words,
            hidden_size=config.text_width,
            intermediate_size=config.text_width * 4,
            num_hidden_layers=config.text_layers,
            num_attention_heads=config.text_width // config.head_width,
            max_position_embeddings=config.text_length,
            projection_dim=config.text_width,
            hidden_act="quick_gelu",
            bos_token_id=end - 1,
            eos_token_id=end,
            pad_token_id=end,
        )
    )
