"""Who is it: the SFace network (OpenCV Zoo, 2021), a MobileNet with 27 convolutions and 128 numbers at its end.

Batch norms are folded into the convolutions beside them, so the module holds weights and biases alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.frozen import load_frozen
from models.faces.warp import similarity, warp_to_chip

CHIP_SIZE = 112
SAME_PERSON = 0.363
"""Cosine above which two faces are of one person (OpenCV's figure for this network)."""

# Where the five landmarks lie in the 112 x 112 chip (the ArcFace template).
TEMPLATE = torch.tensor(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
# (channels out, stride) of the 13 depthwise-separable blocks.
BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
# Blocks whose outputs `features` yields: the last one at 112, 56, 28, 14 and 7 pixels.
FEATURE_BLOCKS = (0, 2, 4, 10, 12)


class SeparableBlock(nn.Module):
    """Depthwise 3x3, PReLU, pointwise 1x1, PReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs)
        self.depthwise_act = nn.PReLU(inputs)
        self.pointwise = nn.Conv2d(inputs, outputs, 1)
        self.pointwise_act = nn.PReLU(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.depthwise_act(self.depthwise(x))
        return self.pointwise_act(self.pointwise(x))


class IdentityNet(nn.Module):
    """SFace: aligned faces (N, 3, 112, 112), RGB in [-1, 1] -> unit vectors (N, 128); a dot product is a cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 1, 1)
        self.stem_act = nn.PReLU(32)
        widths = [32, *(width for width, _ in BLOCKS)]
        self.blocks = nn.ModuleList(
            SeparableBlock(widths[i], width, stride) for i, (width, stride) in enumerate(BLOCKS)
        )
        self.embed = nn.Linear(1024 * 7 * 7, 128)

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Five feature maps, fine to coarse, for a perceptual loss.

        (N, 3, 112, 112) in [-1, 1] -> (N, 64, 112, 112), (N, 128, 56, 56), (N, 256, 28, 28), (N, 512, 14, 14),
        (N, 1024, 7, 7). Other sizes that 16 divides work too.
        """
        # The network was trained on (pixel - 127.5) / 128 with pixels of 0..255.
        x = self.stem_act(self.stem(x * (127.5 / 128.0)))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in FEATURE_BLOCKS:
                maps.append(x)
        return maps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit vectors (N, 128) of aligned faces (N, 3, 112, 112), RGB in [-1, 1]."""
        return F.normalize(self.embed(self.features(x)[-1].flatten(1)), dim=1)


def identity_chip(images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
    """Pictures (N, 3, H, W) and their five landmarks (N, 5, 2) in pixels -> chips (N, 3, 112, 112), differentiable.

    A similarity takes the landmarks to the ArcFace template, as `cv2.FaceRecognizerSF.alignCrop` does.
    """
    return warp_to_chip(images, similarity(landmarks.float(), TEMPLATE), CHIP_SIZE)


def load_identity_net(device: str | torch.device = "cpu") -> IdentityNet:
    """SFace with its weights, frozen, in eval mode."""
    return load_frozen(IdentityNet(), "faces/sface.safetensors", device)
