"""Adapters for other programs: the model with the adapter in it, peft's folder, a LoRA, or full differences.

LoRA: diffusers' names (`unet.MODULE.lora_A.weight`), by a singular value decomposition of each layer's difference; what
has no low rank is lost, and how much is said. LyCORIS "full" form: dense differences `lora_unet_MODULE.diff` of weights
and `.diff_b` of biases, read by A1111, ComfyUI and others.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save
from torch import Tensor

from models.errors import EveryageError, InputError
from photos.files import check_output, write_file
from pipelines.generate.adapters import network_of
from pipelines.generate.families.registry import FAMILIES
from pipelines.generate.loading import DiffusionModels
from pipelines.models.adapters import CARD, CONFIG, WEIGHTS, is_adapter

Form = Literal["peft", "merged", "lora", "lycoris"]
FORMS: tuple[Form, ...] = get_args(Form)
RANK = 32


@dataclass(frozen=True)
class Exported:
    """path: what was written; lost: share of the adapter's change that the form can't hold, 0..1, by its norm."""

    path: Path
    form: Form
    bytes: int
    lost: float = 0.0

    def sentence(self) -> str:
        """For a person."""
        lost = f" It holds {1 - self.lost:.1%} of the change; a higher rank holds more." if self.lost > 5e-4 else ""
        return f"{self.path} is written ({self.bytes / 1e6:,.1f} MB).{lost}"


def export(
    models: DiffusionModels,
    adapter: str,
    form: Form,
    out: Path,
    model: str | None = None,
    rank: int = RANK,
    weight: float = 1.0,
) -> Exported:
    """Write an adapter (an id or a folder) in another form.

    model: the base in place of the one that the adapter names. rank: of a LoRA. weight: what the change is multiplied
    by. Raises InputError where adapter, model and form do not go together, or `out` can't be written.
    """
    if form not in FORMS:
        raise InputError(f"There is no form {form!r}; choose one of {', '.join(FORMS)}.")
    if rank < 1:
        raise InputError(f"A LoRA of rank {rank} holds nothing; give 1 or more.")
    source = models.adapter(adapter)
    if not is_adapter(source):
        raise InputError(f"{adapter} is no adapter of the app's own form; only those are written in other forms.")
    _check_out(out, form)
    if form == "peft":
        return _copy(source, out)
    from models.adapters import lay_in, put_back, read_adapter

    config, state = read_adapter(source)
    choice = models.choice(model or config.base_model_name_or_path or "portraits")
    with models.use(choice, purpose="training") as (pipe,):
        network = network_of(pipe)
        kept = lay_in(network, config, state, weight)
        try:
            if form == "merged":
                return _merged(pipe, out)
            changes = {name: network.get_parameter(name).detach().float() - old.float() for name, old in kept.items()}
        finally:
            put_back(network, kept)
        place = FAMILIES[type(pipe).__name__].network_name
        norms = {n for n, m in network.named_modules() if getattr(getattr(m, "weight", None), "ndim", 0) == 1}
    tensors, lost = _lora(changes, place, rank) if form == "lora" else (_lycoris(changes, place, norms), 0.0)
    content = save(tensors, {"format": "pt"})
    write_file(out, content)
    return Exported(out, form, len(content), lost)


def _check_out(out: Path, form: Form) -> None:
    """Raises InputError for a name that does not suit the form, or is taken by something else."""
    if form in ("lora", "lycoris"):
        check_output(out)
        if out.suffix != ".safetensors":
            raise InputError(f"{out} must end in .safetensors for the form {form}.")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; give the name of a new folder.")
    elif not out.exists():
        check_output(out)


def _copy(source: Path, out: Path) -> Exported:
    names = [name for name in (CONFIG, WEIGHTS, CARD) if (source / name).is_file()]
    _fill(out, lambda place: [shutil.copyfile(source / name, place / name) for name in names])
    return Exported(out, "peft", _bytes(out))


def _merged(pipe: Any, out: Path) -> Exported:
    _fill(out, lambda place: pipe.save_pretrained(place, safe_serialization=True))
    return Exported(out, "merged", _bytes(out))


def _fill(out: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a folder beside `out`, then give it that name: it is there whole or not at all."""
    place = out.with_name(f".{out.name}.part")
    shutil.rmtree(place, ignore_errors=True)
    try:
        place.mkdir()
        write(place)
        if out.is_dir():
            out.rmdir()  # it is empty
        place.rename(out)
    except OSError as error:
        raise EveryageError(f"The folder {out} can't be written ({error.strerror or error}).") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _lora(changes: Mapping[str, Tensor], place: str, rank: int) -> tuple[dict[str, Tensor], float]:
    """The nearest LoRA of this rank (Eckart & Young 1936), each factor with the roots of the singular values."""
    tensors: dict[str, Tensor] = {}
    whole = missed = 0.0
    for name, change in changes.items():
        size = float(change.square().sum())
        whole += size
        module, _, key = name.rpartition(".")
        if key != "weight" or change.dim() not in (2, 4):
            missed += size  # norms and biases have no place in a LoRA
            continue
        flat = change.flatten(1)
        u, s, v = torch.linalg.svd(flat, full_matrices=False)
        r = min(rank, len(s))
        root = s[:r].sqrt()
        up, down = u[:, :r] * root, root[:, None] * v[:r]
        missed += float(s[r:].square().sum())
        if change.dim() == 4:
            up, down = up[:, :, None, None], down.view(r, *change.shape[1:])
        tensors[f"{place}.{module}.lora_A.weight"] = down.contiguous()
        tensors[f"{place}.{module}.lora_B.weight"] = up.contiguous()
    if not tensors:
        raise InputError("The adapter changes no layer that a LoRA can hold; choose another form.")
    return tensors, (missed / whole) ** 0.5 if whole else 0.0


def _lycoris(changes: Mapping[str, Tensor], place: str, norms: set[str]) -> dict[str, Tensor]:
    """Dense differences by kohya's names of modules; those of norms are called `w_norm` and `b_norm`."""
    tensors: dict[str, Tensor] = {}
    for name, change in changes.items():
        module, _, key = name.rpartition(".")
        ends = {"weight": "w_norm", "bias": "b_norm"} if module in norms else {"weight": "diff", "bias": "diff_b"}
        if key not in ends:
            raise InputError(f"The LyCORIS form has no name for {name}, which the adapter changes; choose another.")
        tensors[f"lora_{place}_{module.replace('.', '_')}.{ends[key]}"] = change.contiguous()
    return tensors
