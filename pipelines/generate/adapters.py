"""Adapters on a loaded pipeline: LoRA files and folders in the forms that diffusers and peft read, with weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from models.errors import InputError
from pipelines.generate.settings import AdapterUse


@contextmanager
def adapted(pipe: Any, adapters: Sequence[AdapterUse]) -> Iterator[None]:
    """The pipeline with these adapters inside the block, and bare after it.

    Raises InputError for a file that is not there, not safetensors, or not made for this model.
    """
    if not adapters:
        yield
        return
    if not hasattr(pipe, "load_lora_weights"):
        raise InputError(f"{type(pipe).__name__} takes no adapters; choose another model or none.")
    try:
        names = [_load(pipe, use, f"adapter{i}") for i, use in enumerate(adapters)]
        pipe.set_adapters(names, [use.weight for use in adapters])
        yield
    finally:
        pipe.unload_lora_weights()


def _load(pipe: Any, use: AdapterUse, name: str) -> str:
    path = Path(use.where).expanduser()
    if path.is_dir():
        weights = sorted(path.glob("*.safetensors"))
        if not weights:
            raise InputError(f"The adapter folder {use.where} holds no .safetensors file; give another.")
        path = weights[0]
    if not path.is_file():
        raise InputError(f"There is no adapter at {use.where}; give a .safetensors file or its folder.")
    if path.suffix != ".safetensors":
        raise InputError(f"{use.where} is no .safetensors file; other forms can run code and are not read.")
    try:
        pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name, local_files_only=True)
    except Exception as error:  # each library has its own errors for weights that do not fit
        raise InputError(f"The adapter {use.where} does not fit this model ({str(error)[:120]}).") from error
    if name not in {n for part in pipe.get_list_adapters().values() for n in part}:
        raise InputError(f"The adapter {use.where} holds nothing for this model; give one that was made for it.")
    return name
