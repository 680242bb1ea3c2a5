"""Small model files for tests of the store, and a quick stand-in for the conversion in a process of its own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from models.catalog import ModelFile, ModelRecord, Source
from models.catalog.licences import NVIDIA
from models.errors import Cancelled, InputError
from models.foreign import KINDS, Converted


def foreign_file(
    path: Path, kind: str = "everyage-stylegan2", side: int = 64, pause: float = 0.0, **config: Any
) -> Path:
    """A file that `quick_convert` takes for a foreign weight file of this kind."""
    path.write_text(json.dumps({"kind": kind, "side": side, "pause": pause, "config": config}))
    return path


def quick_convert(
    source: str | Path,
    out: str | Path,
    *,
    dtype: str = "float32",
    sha256: str | None = None,
    seconds: float = 900.0,
    memory_gb: float = 8.0,
    cancel: Callable[[], bool] | None = None,
) -> Converted:
    """As `models.foreign.convert_safely`, for the files of `foreign_file`."""
    content = Path(source).read_bytes()
    try:
        said = json.loads(content)
    except ValueError as error:
        raise InputError(f"{source} holds nothing that is known; give a published model file.") from error
    until = time.monotonic() + said["pause"]
    while time.monotonic() < until:
        time.sleep(0.02)
        if cancel is not None and cancel():
            raise Cancelled
    tensor = np.arange(said["side"] ** 2, dtype=dtype).reshape(said["side"], said["side"])
    save_file({"weight": tensor}, out, {"format": said["kind"], "config": json.dumps(said["config"])})
    found = hashlib.sha256(content).hexdigest()
    assert sha256 in (None, found)
    return Converted(
        said["kind"], KINDS.get(said["kind"], "?"), 1, Path(out).stat().st_size, found, ("G_ema (1 tensors)",)
    )


def record(url: str, content: bytes, id: str = "tiny", **more: Any) -> ModelRecord:
    """A catalog entry for a file on a test server."""
    file = ModelFile("tiny.pkl", len(content), hashlib.sha256(content).hexdigest())
    facts: dict[str, Any] = {
        "id": id,
        "title": "A tiny generator",
        "task": "generator",
        "about": "For tests.",
        "kind": "everyage-stylegan2",
        "source": Source("url", url),
        "licence": NVIDIA,
        "files": (file,),
    }
    return ModelRecord(**(facts | more))


def diffusers_folder(folder: Path) -> Path:
    """A folder in the Stable Diffusion layout, with weights of a few numbers and some files that are not needed."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.1",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "safety_checker": [None, None],
        "requires_safety_checker": False,
    }
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text(json.dumps(index))
    numbers = np.ones(1000, np.float32)
    for part, kind in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")):
        (folder / part).mkdir()
        (folder / part / "config.json").write_text("{}")
        save_file({"w": numbers}, folder / part / f"{kind}.safetensors")
        save_file({"w": numbers.astype(np.float16)}, folder / part / f"{kind}.fp16.safetensors")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "merges.txt").write_text("a b")
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text("{}")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickled")
    (folder / "run_me.py").write_text("raise SystemExit")
    return folder
