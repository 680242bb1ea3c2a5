"""How far a set of pictures is from another set: a distance like FID that holds for a few hundred pictures, too.

Kernel inception distance (Binkowski et al., ICLR 2018, equation 4): the unbiased squared maximum mean discrepancy under
a cubic kernel, here over features of the perceptual network that ships with the app. FID itself is biased by thousands
of pictures' worth; this is not, so that two halves of one set are at about 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.perceptual import PerceptualLoss

DEPTHS = slice(2, 5)
"""Which of the five depths are looked at: the last three see parts of faces, not dots."""


@torch.no_grad()
def picture_features(net: PerceptualLoss, images: Tensor) -> Tensor:
    """(N, 3, H, W) in [-1, 1] -> (N, 896) of unit length: what is in each picture, wherever it is."""
    pooled = torch.cat([maps.mean((2, 3)) for maps in net.features(images)[DEPTHS]], dim=1)
    return torch.nn.functional.normalize(pooled)


def kernel_distance(first: Tensor, second: Tensor) -> float:
    """1,000 times the squared discrepancy between feature sets (N, D) and (M, D); about 0 for sets of one kind.

    Raises ValueError for sets of fewer than two.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"two sets of at least two pictures are compared, got {len(first)} and {len(second)}")
    a, b = first.double(), second.double()
    # The features have unit length: their products need no division by their number.
    inside = [_mean_of_pairs((x @ x.T + 1) ** 3) for x in (a, b)]
    return float(1000 * (inside[0] + inside[1] - 2 * ((a @ b.T + 1) ** 3).mean()))


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    """The mean without the diagonal, where a picture meets itself."""
    count = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))
