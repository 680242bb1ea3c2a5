"""Which pixels are face and hair: facexlib's BiSeNet, with weights that a person has put into the data folder.

The app ships no such weights and downloads none. Without them the oval of `models.faces.mask` serves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from models.compat import ensure_torchvision
from models.errors import EveryageError

WEIGHTS = "parsing_bisenet.pth"
SIDE = 512
# CelebAMask-HQ: skin, brows, eyes, glasses, ears, nose, mouth, lips (1-13 without 9, the earring), and hair.
FACE_CLASSES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def parser_weights(data: Path) -> Path | None:
    """Where the person has put the weights (`models/parsing_bisenet.pth` in the data folder), or None."""
    path = data / "models" / WEIGHTS
    return path if path.is_file() else None


class FaceParser:
    """Soft masks of face and hair. `path` is facexlib's parsing_bisenet.pth; nothing in the file is executed.

    Raises EveryageError if the file is not that.
    """

    def __init__(self, path: Path, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.net = self._load(path).eval().requires_grad_(False).to(self.device)
        self.mean, self.std = (
            torch.tensor(values, device=self.device).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
        )

    @staticmethod
    def _load(path: Path) -> Any:
        ensure_torchvision()
        from facexlib.parsing.bisenet import BiSeNet

        net = BiSeNet(num_class=19)
        try:
            net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch.load has no common error for files that are something else
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EveryageError(f"{path} is not facexlib's {WEIGHTS} ({first}); put the right file there.") from error
        return net

    @torch.inference_mode()
    def __call__(self, crops: torch.Tensor) -> torch.Tensor:
        """Face and hair (N, 1, S, S) in [0, 1] of FFHQ crops (N, 3, S, S), RGB in [-1, 1], any S."""
        side = crops.shape[-1]
        x = (crops.to(self.device).float() + 1.0) / 2.0
        x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=side > SIDE)
        scores = self.net((x - self.mean) / self.std)[0].softmax(1)
        mask = scores[:, list(FACE_CLASSES)].sum(1, keepdim=True)
        return F.interpolate(mask, size=(side, side), mode="bilinear", align_corners=False).clamp(0.0, 1.0)
