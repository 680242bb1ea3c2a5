"""How the ready-made networks of the faces room come to life."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from models.assets import load_tensors
from models.errors import EveryageError

Net = TypeVar("Net", bound=nn.Module)


def load_frozen(net: Net, relative: str, device: str | torch.device = "cpu") -> Net:
    """`net` with the weights of the asset `relative`, on `device`, in eval mode and with frozen parameters.

    Gradients still flow through it to its input. Raises EveryageError if the file is missing or does not fit.
    """
    try:
        net.load_state_dict(load_tensors(relative))
    except RuntimeError as error:
        raise EveryageError(f"The weights assets/{relative} do not fit this version; install the app again.") from error
    return net.eval().requires_grad_(False).to(device)
