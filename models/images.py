"""Between pictures (PIL, 0..255) and tensors ((N, 3, H, W), RGB, float32, -1..1)."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def to_tensor(image: Image.Image) -> torch.Tensor:
    """A picture of any mode as a (1, 3, H, W) float32 RGB tensor in [-1, 1]; 0 -> -1 and 255 -> 1 exactly."""
    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).unsqueeze(0).to(torch.float32).div_(127.5).sub_(1.0)


def to_pil(tensor: torch.Tensor) -> Image.Image:
    """A (3, H, W) or (1, 3, H, W) tensor in [-1, 1] as an RGB picture, rounded to nearest and clamped.

    `to_pil(to_tensor(image))` is `image` to the bit. Raises ValueError for any other shape.
    """
    single = tensor[0] if tensor.ndim == 4 and tensor.shape[0] == 1 else tensor
    if single.ndim != 3 or single.shape[0] != 3:
        raise ValueError(f"expected a (3, H, W) or (1, 3, H, W) tensor, got {tuple(tensor.shape)}")
    levels = single.detach().to(torch.float32).add(1.0).mul(127.5).round().clamp(0, 255)
    return Image.fromarray(levels.to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy())


def brightness(images: torch.Tensor) -> torch.Tensor:
    """RGB pictures (N, 3, H, W) as (N, 1, H, W) in the same range."""
    weights = torch.tensor(LUMA, dtype=images.dtype, device=images.device).view(1, 3, 1, 1)
    return (images * weights).sum(dim=1, keepdim=True)


def without_colour(images: torch.Tensor) -> torch.Tensor:
    """Brightness in all three channels. A network that judges a drawing is too easily pleased by a red nose."""
    return brightness(images).expand(-1, 3, -1, -1)
