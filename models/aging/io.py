"""Files of the aging networks: our safetensors forms, and the published checkpoints through `models.foreign`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..foreign import converted
from ..foreign.record import ADAPTER, DEX, ENCODER, KINDS, SAM
from ..header import Header, read_header
from ..network_file import load_network, read_tensor, save_network
from ..stylegan2 import Generator
from .adapter import Adapter
from .dex import DexAge
from .encoder import AgeEncoder
from .sam import Sam

Device = str | torch.device


def save_encoder(encoder: AgeEncoder, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write all parameters and statistics under SAM's names; floats are stored as `dtype`."""
    save_network(encoder, encoder.init_kwargs, path, ENCODER, dtype)


def load_encoder(path: str | Path, device: Device = "cpu") -> AgeEncoder:
    """Read an encoder, ready for inference. Raises InputError for a file that is none."""
    return load_network(path, ENCODER, AgeEncoder, KINDS[ENCODER], device)


def save_adapter(adapter: Adapter, path: Path, dtype: torch.dtype = torch.float16) -> None:
    """Write a person's adapter alone: 22 MB for the published size, where the official checkpoint takes 2.3 GB."""
    save_network(adapter, adapter.init_kwargs, path, ADAPTER, dtype)


def load_adapter(path: str | Path, device: Device = "cpu", cache: Path | None = None) -> Adapter:
    """A person's adapter from its own file, or out of a whole MyTimeMachine checkpoint.

    cache: a folder that keeps what was converted. Raises InputError for a file that holds none.
    """
    with converted(path, cache) as safe:
        return _adapter(safe, Path(path), read_header(safe), device)


def _adapter(safe: Path, path: Path, header: Header, device: Device) -> Adapter:
    if header.kind != SAM:
        return load_network(safe, ADAPTER, Adapter, KINDS[ADAPTER], device)
    if not header.config.get("adapter"):
        raise InputError(f"{path.name} is a SAM model without a personal adapter; choose a MyTimeMachine file.")
    return load_network(safe, SAM, Adapter, KINDS[ADAPTER], device, part="adapter")


def save_sam(sam: Sam, path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write a whole model, with its adapter if it has one; floats are stored as `dtype`."""
    save_network(sam, sam.config, path, SAM, dtype)


def load_sam(path: str | Path, device: Device = "cpu", cache: Path | None = None) -> Sam:
    """SAM from `sam_ffhq_aging.pt` or from our form of it, frozen, in eval mode and float32.

    cache: a folder that keeps what was converted; without it, a .pt file is converted again each time. A pSp file
    comes as a model that can `invert` only. A personal MyTimeMachine file comes with its adapter. The tensors are in
    memory once. Raises InputError for a file that is none.
    """
    with converted(path, cache) as safe:
        return load_network(safe, SAM, Sam.from_config, KINDS[SAM], device)


def load_mytm(
    path: str | Path, sam: Sam | None = None, device: Device = "cpu", cache: Path | None = None, official: bool = False
) -> Sam:
    """A person's aging model from a MyTimeMachine checkpoint, or from an adapter's own file.

    sam: the SAM model that the adapter belongs to. A file with the adapter alone needs it; with a whole checkpoint it
    spares reading 2 GB, and its weights are shared. Without it all comes from the checkpoint, and `official` changes
    nothing. device: where to, if `sam` is not given; else everything goes where `sam` is.

    official: with `sam` and a whole checkpoint, take `pretrained_encoder`, `latent_avg` and decoder from the checkpoint
    and only `encoder` from `sam`, as the official inference does. The official training lets the batch-norm statistics
    of the frozen encoders drift, so its pictures differ from those with SAM's own statistics, which are the default
    here. A decoder that was trained too (`--train_decoder`) is taken from the checkpoint in either case.

    Raises InputError for a file without an adapter, for an adapter alone without `sam`, or for one of another size.
    """
    path = Path(path)
    with converted(path, cache) as safe:
        header = read_header(safe)
        if header.kind == ADAPTER and sam is None:
            raise InputError(f"{path.name} holds a personal adapter alone; give the SAM model that it belongs to, too.")
        adapter = _adapter(safe, path, header, device if sam is None else sam.latent_avg.device)
        if sam is None:
            return load_network(safe, SAM, Sam.from_config, KINDS[SAM], device)
        if header.kind == ADAPTER:
            return sam.personal(adapter)
        return _personal(safe, sam, adapter, official)


def _personal(safe: Path, sam: Sam, adapter: Adapter, official: bool) -> Sam:
    """The model of a whole checkpoint around the weights that `sam` already holds."""
    place = sam.latent_avg.device
    decoder = load_network(safe, SAM, Generator, KINDS[SAM], place, part="decoder")
    # Only synthesis decides: the decoder's own mean w comes from latent_avg, and its mapping is not in use.
    if _equal(decoder.synthesis, sam.decoder.synthesis):
        decoder = sam.decoder
    before = sam.pretrained_encoder
    if official and before is not None:
        before = load_network(safe, SAM, AgeEncoder, KINDS[SAM], place, part="pretrained_encoder")
    personal = Sam(sam.encoder, before, decoder, adapter, sam.start_from_latent_avg)
    personal.latent_avg = read_tensor(safe, "latent_avg").to(place) if official else sam.latent_avg
    return personal.eval()


def _equal(one: nn.Module, other: nn.Module) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(_same(ours[name], theirs[name]) for name in ours)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def load_dex(path: str | Path, device: Device = "cpu", cache: Path | None = None) -> DexAge:
    """DEX from `dex_age_classifier.pth` or from our form of it, frozen, in eval mode.

    cache: a folder that keeps what was converted. Raises InputError for a file that is none.
    """
    with converted(path, cache) as safe:
        return load_network(safe, DEX, DexAge, KINDS[DEX], device)
