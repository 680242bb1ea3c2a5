"""DEX: how old a face looks, by a VGG-16 with one class a year.

Source: Rothe et al., "Deep EXpectation of apparent age" (2015); the published file is the one that SAM and
MyTimeMachine train against (`dex_age_classifier.pth`). Its licence allows research and evaluation only, and no
redistribution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 224
CLASSES = 101
# Convolutions of each stage, and their width; a maximum over 2x2 pixels follows each stage.
STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


class DexAge(nn.Module):
    """Faces (N, 3, H, W), RGB in [-1, 1] -> years (N,): the expectation over 0, 1, ..., 100.

    32 tensors, 134,674,341 parameters. The picture is resized to 224 px without any subtraction of means, as the
    published weights expect; no dropout. Differentiable in the picture.
    """

    def __init__(self) -> None:
        super().__init__()
        width = 3
        for stage, (count, outputs) in enumerate(STAGES, start=1):
            for index in range(1, count + 1):
                setattr(self, f"conv{stage}_{index}", nn.Conv2d(width, outputs, 3, 1, 1))
                width = outputs
        self.fc6 = nn.Linear(width * (SIZE // 2 ** len(STAGES)) ** 2, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8_101 = nn.Linear(4096, CLASSES)

    def logits(self, faces: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 101) logits of 0, 1, ..., 100 years."""
        x = F.interpolate(faces, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        for stage, (count, _) in enumerate(STAGES, start=1):
            for index in range(1, count + 1):
                x = F.relu(getattr(self, f"conv{stage}_{index}")(x))
            x = F.max_pool2d(x, 2)
        x = F.relu(self.fc7(F.relu(self.fc6(x.flatten(1)))))
        logits: Tensor = self.fc8_101(x)
        return logits

    def forward(self, faces: Tensor) -> Tensor:
        """Years (N,) between 0 and 100."""
        logits = self.logits(faces)
        return logits.softmax(dim=1) @ torch.arange(CLASSES, dtype=logits.dtype, device=logits.device)
