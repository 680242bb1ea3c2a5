"""The published models: what exists, from where, and what is known of it. A fact that nobody has stated is None."""

from __future__ import annotations

from .licences import (
    APACHE,
    FFHQ_WEIGHTS,
    FLUX_DEV,
    INTERDIGITAL,
    NVIDIA,
    OPENRAIL_M,
    OPENRAIL_PP,
    STABILITY,
    UNSTATED,
)
from .record import GB, Licence, ModelFile, ModelRecord, Preset, Source

ADA = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained"
ADA_PAGE = "https://github.com/NVlabs/stylegan2-ada-pytorch"
SAM_PAGE = "https://github.com/yuval-alaluf/SAM"
MYTM_PAGE = "https://github.com/luchaoqi/mytimemachine"
GENERATOR = "everyage-stylegan2"


def _drive(file: str, page: str) -> Source:
    return Source("drive", f"https://drive.google.com/file/d/{file}/view", page)


def _ada(id: str, title: str, about: str, path: str, resolution: int, memory: int | None = None) -> ModelRecord:
    file = ModelFile(path.rpartition("/")[2])
    source = Source("url", f"{ADA}/{path}", ADA_PAGE)
    return ModelRecord(id, title, "generator", about, GENERATOR, source, NVIDIA, (file,), resolution, memory, 2 * GB)


def _hub(
    id: str, title: str, about: str, repo: str, licence: Licence, resolution: int, variant: str | None = None
) -> ModelRecord:
    source = Source("hub", repo, f"https://huggingface.co/{repo}")
    return ModelRecord(
        id,
        title,
        "text-to-image",
        about,
        "diffusers",
        source,
        licence,
        resolution=resolution,
        max_bytes=80 * GB,
        variant=variant,
    )


AGING = (
    ModelRecord(
        id="sam",
        title="SAM: aging at 1024 px",
        task="aging",
        about="Shows a face at any age, photo-real, learned from 70,000 portraits.",
        kind="everyage-sam",
        source=_drive("1XyumF6_fdAxFmxpFcmPf-q84LU_22EMC", SAM_PAGE),
        licence=FFHQ_WEIGHTS,
        files=(
            ModelFile(
                "sam_ffhq_aging.pt",
                2_270_547_237,
                "6fbd6085e2e6001f51f6dee896ae5ba7bd6c3fab5c06fadba75f2a12188ba143",
            ),
        ),
        resolution=1024,
        memory_bytes=2_269_957_296,
    ),
    ModelRecord(
        id="mytm-al-pacino",
        title="MyTimeMachine: Al Pacino, 30 to 70",
        task="personal",
        about="The published example of one person's own aging, for trying out how that works.",
        kind="everyage-sam",
        source=_drive("1RvQ-qTVHwYYMtBYtbbEEB_3Vex8GfB9U", MYTM_PAGE),
        licence=FFHQ_WEIGHTS,
        resolution=1024,
        memory_bytes=2_269_957_296 + 4 * 11_187_888,
    ),
    ModelRecord(
        id="psp",
        title="pSp: photo to StyleGAN2",
        task="encoder",
        about="Reads a portrait into StyleGAN2's space; part of SAM, useful on its own for style mixing.",
        kind="everyage-sam",
        source=_drive("1bMTNWkh5LArlaWSc_wa8VKyq2V42T2z0", "https://github.com/eladrich/pixel2style2pixel"),
        licence=FFHQ_WEIGHTS,
        files=(ModelFile("psp_ffhq_encode.pt"),),
        resolution=1024,
    ),
)
GENERATORS = (
    _ada("ffhq", "StyleGAN2 faces, 1024 px", "Portraits of people who do not exist.", "ffhq.pkl", 1024, 121_480_240),
    _ada(
        "ffhq-256",
        "StyleGAN2 faces, 256 px",
        "The same, small and quick.",
        "transfer-learning-source-nets/ffhq-res256-mirror-paper256-noaug.pkl",
        256,
        99_069_832,
    ),
    _ada("metfaces", "StyleGAN2 painted faces, 1024 px", "Faces from works of art.", "metfaces.pkl", 1024, 121_480_240),
    _ada("afhqcat", "StyleGAN2 cats, 512 px", "Cats that do not exist.", "afhqcat.pkl", 512),
    _ada("afhqdog", "StyleGAN2 dogs, 512 px", "Dogs that do not exist.", "afhqdog.pkl", 512),
    _ada("afhqwild", "StyleGAN2 wild animals, 512 px", "Wild animals that do not exist.", "afhqwild.pkl", 512),
    _ada("cifar10", "StyleGAN2 small pictures, 32 px", "Ten classes of things, on request.", "cifar10.pkl", 32),
    ModelRecord(
        id="ffhq-rosinality",
        title="StyleGAN2 faces, 1024 px (rosinality's file)",
        task="generator",
        about="The same faces in the form that SAM and MyTimeMachine are trained with.",
        kind=GENERATOR,
        source=_drive("1EM87UquaoQmk17Q8d5kYIAHqu0dkYqdT", SAM_PAGE),
        licence=NVIDIA,
        files=(ModelFile("stylegan2-ffhq-config-f.pt"),),
        resolution=1024,
        memory_bytes=121_480_240,
    ),
)
READERS = (
    ModelRecord(
        id="dex",
        title="DEX: age of a face",
        task="reading",
        about="Reads how old a face looks; SAM and MyTimeMachine are trained against it.",
        kind="everyage-dex",
        source=_drive("1atzjZm_dJrCmFWCqWlyspSpr3nI6Evsh", SAM_PAGE),
        licence=INTERDIGITAL,
        files=(ModelFile("dex_age_classifier.pth"),),
        resolution=224,
        memory_bytes=4 * 134_674_341,
    ),
    ModelRecord(
        id="ir-se50",
        title="IR-SE50: likeness of two faces",
        task="reading",
        about="Says how alike two faces are; SAM and MyTimeMachine are trained against it.",
        kind="everyage-irse50",
        source=_drive("1KW7bjndL3QG3sxBbZxreGHigcCCpsDgn", SAM_PAGE),
        licence=UNSTATED,
        files=(ModelFile("model_ir_se50.pth"),),
        resolution=112,
        memory_bytes=175_200_000,
    ),
)
DIFFUSION = (
    _hub(
        "sd-1-5",
        "Stable Diffusion 1.5",
        "Pictures from words; the smallest of the well-known models.",
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        OPENRAIL_M,
        512,
    ),
    _hub(
        "sd-2-1",
        "Stable Diffusion 2.1",
        "Pictures from words, at 768 px.",
        "stabilityai/stable-diffusion-2-1",
        OPENRAIL_PP,
        768,
    ),
    _hub(
        "sdxl",
        "Stable Diffusion XL",
        "Pictures from words, large and detailed.",
        "stabilityai/stable-diffusion-xl-base-1.0",
        OPENRAIL_PP,
        1024,
        "fp16",
    ),
    _hub(
        "sd-3",
        "Stable Diffusion 3 Medium",
        "Pictures from words, with writing in them.",
        "stabilityai/stable-diffusion-3-medium-diffusers",
        STABILITY,
        1024,
    ),
    _hub(
        "sd-3-5",
        "Stable Diffusion 3.5 Medium",
        "Pictures from words, with writing in them.",
        "stabilityai/stable-diffusion-3.5-medium",
        STABILITY,
        1024,
    ),
    _hub(
        "flux-schnell",
        "FLUX.1 schnell",
        "Pictures from words in few steps; for strong graphics cards.",
        "black-forest-labs/FLUX.1-schnell",
        APACHE,
        1024,
    ),
    _hub(
        "flux-dev",
        "FLUX.1 dev",
        "Pictures from words, of the highest quality here; for strong graphics cards.",
        "black-forest-labs/FLUX.1-dev",
        FLUX_DEV,
        1024,
    ),
    _hub(
        "pixart-sigma",
        "PixArt-Sigma",
        "Pictures from words, of high quality for its size.",
        "PixArt-alpha/PixArt-Sigma-XL-2-1024-MS",
        OPENRAIL_PP,
        1024,
    ),
    _hub(
        "pixart-alpha",
        "PixArt-Alpha",
        "Pictures from words, of high quality for its size.",
        "PixArt-alpha/PixArt-XL-2-1024-MS",
        OPENRAIL_PP,
        1024,
    ),
)
PUBLISHED = (*AGING, *GENERATORS, *READERS, *DIFFUSION)
PRESETS = (
    Preset(
        "built-in",
        "Built in",
        "Ages any portrait without adding anything. This is what the Age page starts with.",
        ("heads-generator", "heads-encoder"),
    ),
    Preset(
        "published",
        "Published aging",
        "SAM's photo-real aging at 1024 px. You download one file of 2.3 GB by hand and add it here.",
        ("sam",),
    ),
    Preset(
        "personal",
        "Personal aging",
        "SAM, and on top of it the aging of one person. The published example is Al Pacino's.",
        ("sam", "mytm-al-pacino"),
    ),
)
