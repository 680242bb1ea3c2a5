"""Adapters on a loaded pipeline, each with its weight: folders of any method, LoRA files of other programs.

Folders are laid into the network's own weights and taken out afterwards, so that adapters of different methods go
together and cost nothing while pictures are made. LoRA files may reach into text encoders; diffusers reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.errors import InputError
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.settings import AdapterUse

CONFIG = "adapter_config.json"


@contextmanager
def adapted(
    pipe: Any, adapters: Sequence[AdapterUse], find: Callable[[str], Path], say: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """The pipeline with these adapters inside the block, and bare after it.

    find: a file or folder for what an `AdapterUse` names. say: takes a sentence about an adapter of another model.
    Raises InputError for a file that is not there, not safetensors, or not made for this model.
    """
    with ExitStack() as stack:
        found = [(use, find(use.where)) for use in adapters]
        for use, path in found:
            if (path / CONFIG).is_file():
                stack.callback(_lay_in(pipe, use, path, say))
        files = [(use, path) for use, path in found if not (path / CONFIG).is_file()]
        if files:
            if not hasattr(pipe, "load_lora_weights"):
                raise InputError(f"{type(pipe).__name__} takes no LoRA files; choose another model or none.")
            stack.callback(pipe.unload_lora_weights)
            names = [_load(pipe, use.where, path, f"adapter{i}") for i, (use, path) in enumerate(files)]
            pipe.set_adapters(names, [use.weight for use, _ in files])
        yield


def network_of(pipe: Any) -> nn.Module:
    """The part of a pipeline that draws, which adapters change."""
    network: nn.Module = getattr(pipe, FAMILIES[type(pipe).__name__].network_name)
    return network


def _lay_in(pipe: Any, use: AdapterUse, path: Path, say: Callable[[str], None]) -> Callable[[], None]:
    """Add an adapter's folder; gives back what takes it out again."""
    from models.adapters import lay_in, put_back, read_adapter

    network = network_of(pipe)
    config, state = read_adapter(path)
    try:
        kept: Mapping[str, Tensor] = lay_in(network, config, state, use.weight)
    except InputError as error:
        raise InputError(f"{use.where}: {error}") from error
    wanted, own = config.base_model_name_or_path, getattr(pipe.config, "_name_or_path", "")
    if wanted and Path(wanted).name not in Path(own).parts:
        say(f"The adapter {use.where} was made for {wanted}; on another model it may do little.")
    return lambda: put_back(network, kept)


def _load(pipe: Any, where: str, path: Path, name: str) -> str:
    if path.is_dir():
        weights = sorted(path.glob("*.safetensors"))
        if not weights:
            raise InputError(f"The adapter folder {where} holds no .safetensors file; give another.")
        path = weights[0]
    if not path.is_file():
        raise InputError(f"There is no adapter at {where}; give a .safetensors file or its folder.")
    if path.suffix != ".safetensors":
        raise InputError(f"{where} is no .safetensors file; other forms can run code and are not read.")
    try:
        pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name, local_files_only=True)
    except Exception as error:  # each library has its own errors for weights that do not fit
        raise InputError(f"The adapter {where} does not fit this model ({str(error)[:120]}).") from error
    if name not in {n for part in pipe.get_list_adapters().values() for n in part}:
        raise InputError(f"The adapter {where} holds nothing for this model; give one that was made for it.")
    return name
