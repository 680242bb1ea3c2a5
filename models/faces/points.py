"""Five exact landmarks of a face that is known roughly: the last of MTCNN's three networks.

Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment Using Multi-task Cascaded Convolutional Networks", IEEE
Signal Processing Letters, 2016. YuNet finds faces well but moves its points towards those of a level average face;
this network looks at the face alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.faces.frozen import load_frozen

WINDOW = 48
"""Pixels on a side of what the network sees."""


class PointNet(nn.Module):
    """MTCNN's O-Net: faces (N, 3, 48, 48), RGB in [-1, 1] -> landmarks (N, 5, 2) in pixels and scores (N,).

    The landmarks are image-left eye, image-right eye, nose tip, image-left and image-right mouth corner, with pixel
    centres at whole numbers; the score in [0, 1] says how surely this is a face. A window is tight around the face.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = ((3, 32, 3), (32, 64, 3), (64, 64, 3), (64, 128, 2))
        self.convs = nn.ModuleList(nn.Conv2d(a, b, side) for a, b, side in widths)
        self.acts = nn.ModuleList(nn.PReLU(b) for _, b, _ in widths)
        self.hidden = nn.Linear(128 * 3 * 3, 256)
        self.hidden_act = nn.PReLU(256)
        self.face = nn.Linear(256, 2)
        self.points = nn.Linear(256, 10)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Landmarks (N, 5, 2) and scores (N,) of windows (N, 3, 48, 48) in [-1, 1]."""
        x = x * (127.5 / 128.0)
        for index, (conv, act) in enumerate(zip(self.convs, self.acts, strict=True)):
            x = act(conv(x))
            if index < 3:
                x = F.max_pool2d(x, 3 if index < 2 else 2, 2, ceil_mode=True)
        x = self.hidden_act(self.hidden(x.flatten(1)))
        # The network speaks in shares of the window, all x before all y.
        points = self.points(x).unflatten(1, (2, 5)).transpose(1, 2) * WINDOW - 0.5
        return points, self.face(x).softmax(1)[:, 1]


def load_point_net(device: str | torch.device = "cpu") -> PointNet:
    """The network with its weights, frozen, in eval mode."""
    return load_frozen(PointNet(), "faces/mtcnn_points.safetensors", device)
