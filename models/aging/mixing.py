"""Style mixing in w+: some layers of one face from another, the only hair-colour control that SAM has (fine layers)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import InputError


def mix_styles(codes: Tensor, reference: Tensor, layers: Sequence[int], amount: float = 1.0) -> Tensor:
    """codes with `layers` moved towards the reference: (1 - amount) codes + amount reference in these layers.

    codes: (N, num_ws, w_dim). reference: (N or 1, num_ws, w_dim), such as `sam.invert(other_crops)` or a mapped z.
    layers: indices from 0 to num_ws - 1; SAM's examples for the colours take 8 and 9. amount: 0 to 1. Returns a new
    tensor. Source: the latent masks of pSp and SAM. Raises InputError for a layer or an amount that does not exist,
    ValueError for w+ that do not fit each other.
    """
    count = codes.shape[1]
    if reference.shape[1:] != codes.shape[1:] or len(reference) not in (1, len(codes)):
        raise ValueError(f"The reference's w+ {tuple(reference.shape)} does not fit {tuple(codes.shape)}.")
    wrong = [layer for layer in layers if not 0 <= layer < count]
    if wrong:
        raise InputError(f"There is no style layer {wrong[0]}; choose layers from 0 to {count - 1}.")
    if not 0.0 <= amount <= 1.0:
        raise InputError(f"The amount of style mixing is from 0 to 1, not {amount:g}.")
    mixed = codes.clone()
    chosen = list(layers)
    mixed[:, chosen] = codes[:, chosen].lerp(reference[:, chosen].to(codes), amount)
    return mixed
