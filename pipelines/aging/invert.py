"""From a crop to a generator that draws it: encode, then tune a copy around the pivot.

Pivotal tuning (Roich et al., "Pivotal Tuning for Latent-based Editing of Real Images", 2021): the code w+ stays, the
generator learns to draw this very photo there, and edits near the code keep working.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.stylegan2 import SynthesisNetwork
from pipelines.events import CancelToken, Eta, Event

from .nets import AgingNets

# Equalised weights have unit variance and can take longer steps than biases and styles.
WEIGHT_RATE, OTHER_RATE = 6e-3, 3e-3
PIXEL_WEIGHT = 4.0
GOOD_PSNR = 33.0  # dB; past this the photo's own detail carries the rest
GOOD_DISTANCE = 0.02
KEPT_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Inversion:
    """A generator that draws one face: `synthesis` tuned, `pivot` (N, num_ws, w_dim), quality at the pivot."""

    synthesis: SynthesisNetwork
    pivot: Tensor
    psnr: float
    distance: float


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1]; infinite for equal ones."""
    error = F.mse_loss(a.clamp(-1, 1), b.clamp(-1, 1)).item()
    return 10 * math.log10(4 / error) if error else math.inf


def tune(
    nets: AgingNets,
    crop: Tensor,
    pivot: Tensor,
    steps: int,
    cancel: CancelToken | None = None,
    batch: int | None = None,
) -> Iterator[Event]:
    """Tune a copy of the generator until it draws `crop` (N, 3, R, R) at `pivot`, or for `steps` steps.

    batch: how many of the N one step looks at, in turn; None: all of them.
    Yields an Event a step; the last one's value is the Inversion. Raises Cancelled between steps.
    """
    synthesis = copy.deepcopy(nets.synthesis).requires_grad_(True)
    optimizer = _optimizer(synthesis)
    eta = Eta()
    wanted = nets.perceptual.features(crop)
    rows = _in_turn(len(crop), batch or len(crop), crop.device)
    # One figure for each of the last steps that together looked at everything.
    fits, distances = (deque[float](maxlen=-(-len(crop) // (batch or len(crop)))) for _ in range(2))
    for step in range(steps + 1):
        if cancel is not None:
            cancel.check()
        chosen = next(rows)
        image = synthesis(pivot[chosen])
        features = nets.perceptual.features(image)
        apart = nets.perceptual.distance(features, [each[chosen] for each in wanted]).mean()
        fits.append(psnr(image.detach(), crop[chosen]))
        distances.append(apart.item())
        enough = len(fits) == fits.maxlen and min(fits) > GOOD_PSNR and max(distances) < GOOD_DISTANCE
        if step == steps or enough:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        optimizer.zero_grad(set_to_none=True)
        (apart + PIXEL_WEIGHT * F.mse_loss(image, crop[chosen])).backward()
        optimizer.step()
        message = f"Learning this face: {fits[-1]:.1f} dB"
        yield Event("tune", message, step + 1, steps, eta.update(step + 1, steps))
    fit, distance = (sum(each) / len(each) for each in (fits, distances))
    inversion = Inversion(synthesis.eval().requires_grad_(False), pivot, fit, distance)
    yield Event("tune", f"This face is learnt: {fit:.1f} dB", steps, steps, 0.0, value=inversion)


def _in_turn(count: int, batch: int, device: torch.device) -> Iterator[Tensor]:
    """Row numbers (batch) without end, each as often as the others; shuffled anew each time all were seen."""
    if batch >= count:
        while True:
            yield torch.arange(count, device=device)
    random, waiting = torch.Generator().manual_seed(0), torch.arange(0)
    while True:
        while len(waiting) < batch:
            waiting = torch.cat([waiting, torch.randperm(count, generator=random)])
        yield waiting[:batch].to(device)
        waiting = waiting[batch:]


def _optimizer(synthesis: SynthesisNetwork) -> torch.optim.Adam:
    named = list(synthesis.named_parameters())
    long = [value for name, value in named if name.endswith("weight") and "torgb" not in name]
    short = [value for name, value in named if not name.endswith("weight") or "torgb" in name]
    groups = [{"params": long, "peak": WEIGHT_RATE}, {"params": short, "peak": OTHER_RATE}]
    return torch.optim.Adam(groups, WEIGHT_RATE, betas=(0.9, 0.99))


class InversionCache:
    """Tuned generators on disk, one file a face and setting; the oldest go when all are larger than `kept` bytes."""

    def __init__(self, folder: Path, kept: int = KEPT_BYTES):
        self.folder, self.kept = folder, kept

    @staticmethod
    def key(photo: str, *parts: object) -> str:
        """A file name out of whatever the inversion depends on; it begins like the photo's SHA-256.

        So all that is kept of a photo can be found, and forgotten, without knowing the rest.
        """
        digest = hashlib.sha256(json.dumps([photo, *(str(part) for part in parts)]).encode()).hexdigest()
        return f"{photo[:16]}-{digest[:40]}"

    def load(self, key: str, nets: AgingNets) -> Inversion | None:
        """The stored inversion, or None; a damaged file is removed and counts as none."""
        path = self.folder / f"{key}.safetensors"
        if not path.is_file():
            return None
        synthesis = copy.deepcopy(nets.synthesis)
        try:
            stored = load_file(path)
            pivot, figures = stored.pop("pivot"), stored.pop("figures").tolist()
            synthesis.load_state_dict({name: value.float() for name, value in stored.items()})
        except (SafetensorError, OSError, KeyError, RuntimeError, ValueError):
            path.unlink(missing_ok=True)
            return None
        path.touch()
        device = nets.device
        return Inversion(synthesis.to(device).requires_grad_(False), pivot.to(device), figures[0], figures[1])

    def store(self, key: str, inversion: Inversion) -> None:
        """Write the inversion (fp16 weights) under a temporary name, then rename; drop the oldest files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: value.half().cpu().contiguous() for name, value in inversion.synthesis.state_dict().items()}
        tensors["pivot"] = inversion.pivot.cpu().contiguous()
        tensors["figures"] = torch.tensor([inversion.psnr, inversion.distance])
        temporary = self.folder / f".{key}.tmp"
        save_file(tensors, temporary)
        temporary.replace(self.folder / f"{key}.safetensors")
        files = sorted(self.folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        held = 0
        for path in files:
            held += path.stat().st_size
            if held > self.kept and path != files[0]:
                path.unlink(missing_ok=True)
