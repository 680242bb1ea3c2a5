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


def vae(channels: int = 4, levels: int = 2, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return _seeded(
        lambda: AutoencoderKL(
            block_out_channels=(8,) * levels, down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels, latent_channels=channels, norm_num_groups=4,
            sample_size=SIDE * FACTOR, scaling_factor=3.0,  # latents about as large as the noise
            **more,
        ),
        3,
    )  # fmt: skip


def unet(channels: int = 4, cross: int = 16, **more: Any) -> Any:
    ensure_torchvision()
    from diffusers import UNet2DConditionModel

    return _seeded(
        lambda: UNet2DConditionModel(
            sample_size=SIDE, in_channels=more.pop("in_channels", channels), out_channels=channels,
            block_out_channels=more.pop("block", (8, 16)), layers_per_block=1, norm_num_groups=4, attention_head_dim=2,
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


def flow_scheduler() -> Any:
    from diffusers import FlowMatchEulerDiscreteScheduler

    return FlowMatchEulerDiscreteScheduler(shift=3.0)


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
    from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

    net = _seeded(
        lambda: SD3Transformer2DModel(
            sample_size=SIDE, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4,
            joint_attention_dim=32, caption_projection_dim=32, pooled_projection_dim=32, out_channels=4,
            pos_embed_max_size=16,
        ),
        5,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=net, scheduler=flow_scheduler(), vae=vae(shift_factor=0.06),
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
    return _pixart("PixArtSigmaPipeline", SIDE, False)


def pixart_alpha(folder: Path) -> Any:
    """The large alpha model: trained at 128 places, and told the picture's size and shape."""
    return _pixart("PixArtAlphaPipeline", 128, True)


def _pixart(name: str, side: int, told_size: bool) -> Any:
    ensure_torchvision()
    import diffusers

    net = _seeded(
        lambda: diffusers.PixArtTransformer2DModel(
            sample_size=side, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=6,
            caption_channels=32, in_channels=4, cross_attention_dim=48, out_channels=8, attention_bias=True,
            activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
            norm_elementwise_affine=False, norm_eps=1e-6, use_additional_conditions=told_size,
        ),
        7,
    )  # fmt: skip
    return getattr(diffusers, name)(
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


def lumina(folder: Path) -> Any:
    ensure_torchvision()
    from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel
    from transformers import Gemma2Config, Gemma2Model

    net = _seeded(
        lambda: Lumina2Transformer2DModel(
            sample_size=SIDE, patch_size=2, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1,
            num_attention_heads=2, num_kv_heads=1, multiple_of=8, axes_dim_rope=(4, 4, 4), axes_lens=(300, 64, 64),
            cap_feat_dim=16,
        ),
        9,
    )  # fmt: skip
    reader = Gemma2Config(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, pad_token_id=0,
    )  # fmt: skip
    return Lumina2Pipeline(
        transformer=net, scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0), tokenizer=t5_tokenizer(),
        text_encoder=_seeded(lambda: Gemma2Model(reader), 2),
        vae=vae(levels=4, shift_factor=0.1),  # the pipeline takes a factor of 8 for granted
    )  # fmt: skip


def zimage(folder: Path) -> Any:
    ensure_torchvision()
    from diffusers import ZImagePipeline, ZImageTransformer2DModel
    from transformers import Qwen3Config, Qwen3Model

    net = _seeded(
        lambda: ZImageTransformer2DModel(
            in_channels=4, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16,
            axes_dims=[4, 6, 6], axes_lens=[600, 64, 64],
        ),
        10,
    )  # fmt: skip
    for name in ("x_pad_token", "cap_pad_token"):  # made empty, to be read from a file
        torch.nn.init.normal_(getattr(net, name), 0, 0.02, generator=torch.Generator().manual_seed(10))
    reader = Qwen3Config(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    words = t5_tokenizer()
    words.chat_template = "{% for m in messages %}user {{ m.content }}{% endfor %} made"
    return ZImagePipeline(
        transformer=net, scheduler=flow_scheduler(), vae=vae(shift_factor=0.1),
        text_encoder=_seeded(lambda: Qwen3Model(reader), 2), tokenizer=words,
    )  # fmt: skip


def sd_inpaint(folder: Path) -> Any:
    """A network that was trained to inpaint: nine inputs."""
    from diffusers import StableDiffusionInpaintPipeline

    return StableDiffusionInpaintPipeline(**sd(folder, in_channels=9).components, requires_safety_checker=False)


def sdxl_inpaint(folder: Path) -> Any:
    from diffusers import StableDiffusionXLInpaintPipeline

    return StableDiffusionXLInpaintPipeline(**sdxl(folder).components, add_watermarker=False)


KINDS = {
    "sd1": sd, "sd2": sd2, "sdxl": sdxl, "sd3": sd3, "flux": flux, "pixart": pixart, "pixart_alpha": pixart_alpha,
    "dit": dit, "lumina": lumina, "zimage": zimage,
}  # fmt: skip
"""Name -> maker of a text-to-image pipeline; each takes a folder for its tokenizer."""
