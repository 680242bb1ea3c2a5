"""Who is it, a second opinion: dlib's face recognition network (Davis King, 2017; CC0), a ResNet of 29 convolutions.

What judges a result should not be what the result was trained against: one of SFace (`models.faces.identity`) and this
network can train, the other one judge. It sees a dlib chip: padding 0.25 around the five-point template. The scale and
shift after each convolution are folded into it. The last layer's bias is ours: minus three quarters of the mean face
(`training.recognition_mean`), so that cosines spread; distances are dlib's own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.dlib_parts import DlibInput, ResidualBlock, dlib_chip
from models.faces.frozen import load_frozen

RECOGNITION_CHIP = 150
PADDING = 0.25
SAME_DISTANCE = 0.6
"""Euclidean distance of two descriptors below which the faces are of one person (dlib's figure)."""
SAME_COSINE = 0.6
"""Cosine of two unit vectors above which the faces are of one person: as many portraits of strangers pass as below
SAME_DISTANCE, about one pair in nine."""

# (channels in, channels out, halve) of the 14 residual blocks; the last three halvings end at 8, 4 and 2 pixels.
BLOCKS = (
    (32, 32, False), (32, 32, False), (32, 32, False),
    (32, 64, True), (64, 64, False), (64, 64, False), (64, 64, False),
    (64, 128, True), (128, 128, False), (128, 128, False),
    (128, 256, True), (256, 256, False), (256, 256, False),
    (256, 256, True),
)  # fmt: skip


class RecognitionNet(nn.Module):
    """dlib chips (N, 3, 150, 150), RGB in [-1, 1] -> unit vectors (N, 128); a dot product is a cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.input = DlibInput()
        self.stem = nn.Conv2d(3, 32, 7, 2)
        self.blocks = nn.Sequential(*(ResidualBlock(*each) for each in BLOCKS))
        self.embed = nn.Linear(256, 128)

    def descriptors(self, x: torch.Tensor) -> torch.Tensor:
        """Descriptors (N, 128) of chips (N, 3, 150, 150) in [-1, 1]; see SAME_DISTANCE. Less `embed.bias`: dlib's."""
        x = F.max_pool2d(F.relu(self.stem(self.input(x))), 3, 2)
        return self.embed(self.blocks(x).mean((2, 3)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Unit vectors (N, 128) of chips (N, 3, 150, 150), RGB in [-1, 1]."""
        return F.normalize(self.descriptors(x), dim=1)


def recognition_chip(images: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
    """Pictures (N, 3, H, W) and their five landmarks (N, 5, 2) in pixels -> chips (N, 3, 150, 150), differentiable."""
    return dlib_chip(images, landmarks, RECOGNITION_CHIP, PADDING)


def load_recognition_net(device: str | torch.device = "cpu") -> RecognitionNet:
    """dlib's recognition network with its weights, frozen, in eval mode."""
    return load_frozen(RecognitionNet(), "faces/dlib_recognition.safetensors", device)
