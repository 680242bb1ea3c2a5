"""Who is it: IR-SE50 trained with ArcFace (`model_ir_se50.pth`), the identity network of SAM and MyTimeMachine.

Source: Deng et al., "ArcFace" (2019). It is there for parity with published training and figures; the app's own
network is SFace (`models.faces.identity`).
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.foreign import converted
from models.foreign.record import IRSE, KINDS
from models.irse import IRSE50_WIDTHS, backbone, stem
from models.network_file import load_network

CHIP = 112
FACE = 256
ROWS, COLUMNS = slice(35, 223), slice(32, 220)  # the face's part of an FFHQ crop of 256 px


class IRSE50(nn.Module):
    """FFHQ crops (N, 3, H, W), RGB in [-1, 1] -> unit vectors (N, 512); a dot product is a cosine. 397 tensors."""

    def __init__(self) -> None:
        super().__init__()
        width = IRSE50_WIDTHS[-1]
        self.input_layer = stem(3, IRSE50_WIDTHS[0])
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.Dropout(0.6),
            nn.Flatten(),
            nn.Linear(width * (CHIP // 16) ** 2, 512),
            nn.BatchNorm1d(512),
        )
        self.body = backbone()

    def embed(self, chips: Tensor) -> Tensor:
        """Chips (N, 3, 112, 112) in [-1, 1] -> unit vectors (N, 512)."""
        return F.normalize(self.output_layer(self.body(self.input_layer(chips))), dim=1)

    def forward(self, crops: Tensor) -> Tensor:
        """FFHQ crops of any size: pooled to 256 px, cut to the face, pooled to 112 px, then `embed`."""
        if crops.shape[-2:] != (FACE, FACE):
            crops = F.adaptive_avg_pool2d(crops, FACE)
        return self.embed(F.adaptive_avg_pool2d(crops[:, :, ROWS, COLUMNS], CHIP))


def load_irse50(path: str | Path, device: str | torch.device = "cpu", cache: Path | None = None) -> IRSE50:
    """IR-SE50 from `model_ir_se50.pth` or from our form of it, frozen, in eval mode.

    cache: a folder that keeps what was converted. Raises InputError for a file that is none.
    """
    with converted(path, cache) as safe:
        return load_network(safe, IRSE, IRSE50, KINDS[IRSE], device)
