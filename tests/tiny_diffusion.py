"""Pipelines of every kind with tiny networks of random weights, built from configurations: no file, no network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.compat import ensure_torchvision

SIDE = 8  # places of the latent along each side
FACTOR = 2


def _seeded(build: Callable[[], Any], seed: int) -> Any:
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    made = build().eval()
    torch.random.set_rng_state(state)
    return made


def tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer of letters and a few words."""
    ensure_torchvision()
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789,."
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({w: i for i, w in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"), model_max_length=77,
        bos_token="<|startoftext|>", eos_token="<|endoftext|>", pad_token="<|endoftext|>", unk_token="<|endoftext|>",
    )  # fmt: skip


def t5_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789,. "
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<pad>", "</s>", "<unk>", *letters])}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=64
    )


def clip_text(width: int = 16, projected: bool = False) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=100, hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, projection_dim=width, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return _seeded(lambda: kind(config), 1)


def t5_text(width: int = 16) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=60, d_model=width, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
    return _seeded(lambda: T5EncoderModel(config), 2)


def vae(channels: int = 4, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return _seeded(
        lambda: AutoencoderKL(
            block_out_channels=(8, 8), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=channels, norm_num_groups=4,
            sample_size=SIDE * FACTOR, scaling_factor=3.0,  # latents about as large as the noise
 **more,
        ),
        3,
    )  # fmt: skip


def unet(channels: int = 4, cross: int = 16, **more: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return _seeded(
        lambda: UNet2DConditionModel(
            sample_size=SIDE, in_channels=more.pop("in_channels", channels), out_channels=channels,
            block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=cross, **more,
        ),
        4,
    )  # fmt: skip


def noise_scheduler(kind: str = "epsilon") -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False,
        steps_offset=1, prediction_type=kind,
    )  # fmt: skip


def sd(folder: Path, kind: str = "epsilon", in_channels: int = 4) -> Any:
    """Stable Diffusion 1.x ("epsilon") or 2.x ("v_prediction")."""
    names = tokenizer(folder / "words")
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline(
        vae=vae(), text_encoder=clip_text(), tokenizer=names, unet=unet(in_channels=in_channels),
        scheduler=noise_scheduler(kind), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sd2(folder: Path) -> Any:
    return sd(folder, "v_prediction")


def sdxl(folder: Path) -> Any:
    names = tokenizer(folder / "words")
    from diffusers import StableDiffusionXLPipeline

    net = unet(
        cross=32, addition_embed_type="text_time", addition_time_embed_dim=8, transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=6 * 8 + 16, use_linear_projection=True,
    )  # fmt: skip
    return StableDiffusionXLPipeline(
        vae=vae(), text_encoder=clip_text(), text_encoder_2=clip_text(projected=True), tokenizer=names,
        tokenizer_2=names, unet=net, scheduler=noise_scheduler(), add_watermarker=False,
    )  # fmt: skip


def sd3(folder: Path) -> Any:
    names = tokenizer(folder / "words")
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    net = _seeded(
        lambda: SD3Transformer2DModel(
            sample_size=SIDE, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
            joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32, out_channels=4,
            pos_embed_max_size=16,
        ),
        5,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=net, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0), vae=vae(shift_factor=0.06),
        text_encoder=clip_text(projected=True), tokenizer=names, text_encoder_2=clip_text(projected=True),
        tokenizer_2=names, text_encoder_3=t5_text(32), tokenizer_3=t5_tokenizer(),
    )  # fmt: skip


def flux(folder: Path) -> Any:
    names = tokenizer(folder / "words")
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    net = _seeded(
        lambda: FluxTransformer2DModel(
            patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
            num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8),
            guidance_embeds=False,
        ),
        6,
    )  # fmt: skip
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), vae=vae(shift_factor=0.1),
        text_encoder=clip_text(), tokenizer=names, text_encoder_2=t5_text(32), tokenizer_2=t5_tokenizer(),
        transformer=net,
    )  # fmt: skip


def pixart(folder: Path) -> Any:
    ensure_torchvision()
    from diffusers import PixArtSigmaPipeline, PixArtTransformer2DModel

    net = _seeded(
        lambda: PixArtTransformer2DModel(
            sample_size=SIDE, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=4,
            caption_channels=32, in_channels=4, cross_attention_dim=32, out_channels=8, attention_bias=True,
            activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
            norm_elementwise_affine=False, norm_eps=1e-6, use_additional_conditions=False,
        ),
        7,
    )  # fmt: skip
    return PixArtSigmaPipeline(
        tokenizer=t5_tokenizer(), text_encoder=t5_text(32), vae=vae(), transformer=net, scheduler=noise_scheduler()
    )


def dit(folder: Path) -> Any:
    ensure_torchvision()
    from diffusers import DiTPipeline, DiTTransformer2DModel

    net = _seeded(
        lambda: DiTTransformer2DModel(
            sample_size=SIDE, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=4, in_channels=4,
            out_channels=8, attention_bias=True, activation_fn="gelu-approximate", num_embeds_ada_norm=1000,
            norm_type="ada_norm_zero", norm_elementwise_affine=False,
        ),
        8,
    )  # fmt: skip
    return DiTPipeline(
        transformer=net, vae=vae(), scheduler=noise_scheduler(), id2label={1: "goldfish, carp", 2: "shark"}
    )


KINDS = {
    "sd1": sd, "sd2": sd2, "sdxl": sdxl, "sd3": sd3, "flux": flux, "pixart": pixart, "dit": dit,
}  # fmt: skip
"""Name -> maker; each takes a folder for its tokenizer and gives a pipeline of diffusers."""
