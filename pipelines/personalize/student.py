"""What learns: an adapter on a frozen prior's w+ and, if wanted, the generator that draws them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from models.aging import Adapter
from models.stylegan2 import SynthesisNetwork
from pipelines.aging.nets import AgingNets


class Student(nn.Module):
    """`adapter` and `synthesis` learn (the latter only if `tune_generator`); `nets` stays as it is.

    tiny_start: the adapter's last layers are zero, so that it begins as the global prior.
    """

    adapter: Adapter
    synthesis: SynthesisNetwork

    def __init__(self, nets: AgingNets, tune_generator: bool, tiny_start: bool, seed: int):
        super().__init__()
        self.tunes_generator = tune_generator
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.adapter = Adapter(num_ws=nets.generator.num_ws, w_dim=nets.generator.w_dim)
        if tiny_start:
            for k in range(self.adapter.num_ws):
                last = getattr(self.adapter, f"fc_{k}")[2]
                nn.init.zeros_(last.weight)
                nn.init.zeros_(last.bias)
        own = copy.deepcopy(nets.synthesis) if tune_generator else nets.synthesis
        self.synthesis = own.requires_grad_(tune_generator)
        self.to(nets.device)

    def learnt(self) -> dict[str, Tensor]:
        """Every tensor that training may change, by name."""
        state = self.state_dict()
        return {name: value for name, value in state.items() if self.tunes_generator or name.startswith("adapter.")}

    def forward(self, codes: Tensor, ages: Tensor) -> tuple[Tensor, Tensor]:
        """The prior's w+ (N, num_ws, w_dim) and target ages (N,) in years -> the person's w+ and the pictures."""
        own = self.adapter(codes, ages / 100)
        return own, self.synthesis(own)
