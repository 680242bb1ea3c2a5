"""What is learnt of one person in one shot, and its file."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from models.stylegan2 import SynthesisNetwork
from photos.files import write_file
from pipelines.aging.nets import AgingNets

VERSION = 1
SYNTHESIS = "synthesis."
MADE_BY = "made_by"


@dataclass(frozen=True, eq=False)
class Tuned:
    """One person in one shot, the same for all of its frames.

    synthesis: the generator that draws them; own: whether it was tuned, or is the networks' own. present: their age
    in years. mean: w+ (num_ws, w_dim), over the sampled frames. ages: (K,) target ages, rising; moves: (K, num_ws,
    w_dim), where w+ moves for each; kept: (K,) in [0, 1], how much of the change leaves the person recognisable.
    psnr: of the drawings, in dB. bounded: whether the mask of persons sees this one.
    """

    synthesis: SynthesisNetwork
    own: bool
    present: float
    mean: Tensor
    ages: Tensor
    moves: Tensor
    kept: Tensor
    psnr: float
    bounded: bool

    def at(self, ages: Tensor) -> tuple[Tensor, Tensor]:
        """The movements (N, num_ws, w_dim) and the shares that are kept (N,) for target ages (N,)."""
        if len(self.ages) == 1:
            return self.moves.expand(len(ages), -1, -1), self.kept.expand(len(ages))
        high = torch.searchsorted(self.ages, ages.contiguous()).clamp(1, len(self.ages) - 1)
        low = high - 1
        way = ((ages - self.ages[low]) / (self.ages[high] - self.ages[low])).clamp(0, 1)
        moves = torch.lerp(self.moves[low], self.moves[high], way.view(-1, 1, 1))
        return moves, torch.lerp(self.kept[low], self.kept[high], way)


def made_by(*parts: object) -> str:
    """A digest of all that a file depends on."""
    return hashlib.sha256(json.dumps([VERSION, *parts], default=str).encode()).hexdigest()


def store(path: Path, tuned: Tuned, made: str) -> None:
    """Write the file, whole or not at all; weights in half precision."""
    tensors = {"mean": tuned.mean, "ages": tuned.ages, "moves": tuned.moves, "kept": tuned.kept}
    tensors["figures"] = torch.tensor([tuned.present, tuned.psnr, float(tuned.bounded)])
    if tuned.own:
        weights = tuned.synthesis.state_dict()
        tensors |= {SYNTHESIS + name: value.half() for name, value in weights.items()}
    content = save({name: value.cpu().contiguous() for name, value in tensors.items()}, {MADE_BY: made})
    write_file(path, content)


def load(path: Path, nets: AgingNets, made: str) -> Tuned | None:
    """What was stored, or None if it isn't there, is damaged, or was made by something else."""
    try:
        with safe_open(path, "pt", device="cpu") as file:
            if (file.metadata() or {}).get(MADE_BY) != made:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        weights = {
            name.removeprefix(SYNTHESIS): value.float() for name, value in tensors.items() if name.startswith(SYNTHESIS)
        }
        synthesis = nets.synthesis
        if weights:
            synthesis = copy.deepcopy(synthesis)
            synthesis.load_state_dict(weights)
        present, psnr, bounded = tensors["figures"].tolist()
        mean, ages, moves, kept = (tensors[name].to(nets.device) for name in ("mean", "ages", "moves", "kept"))
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError):
        return None
    synthesis = synthesis.to(nets.device).eval().requires_grad_(False)
    return Tuned(synthesis, bool(weights), present, mean, ages, moves, kept, psnr, bool(bounded))
