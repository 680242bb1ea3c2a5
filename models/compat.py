"""A torchvision that was built for CUDA, made to import beside a torch that was built without it.

Package indexes offer torchvision for Linux only as a CUDA build. Its compiled part then fails to load under a CPU
torch, and with it everything that imports torchvision: facexlib, diffusers, transformers, peft. The pure Python part is
sound, so it is enough to declare the operators that it looks for at import, and to give `nms` a body.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from pathlib import Path
from typing import Literal

import torch

from models.errors import EveryageError

# The operators of torchvision 0.26 to 0.28. One that a version does not have does no harm.
SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qroi_align(Tensor input, Tensor rois, float input_scale, int input_zero_point, float rois_scale, "
    "int rois_zero_point, float spatial_scale, SymInt pooled_height, SymInt pooled_width, int sampling_ratio, "
    "bool aligned) -> Tensor",
    "box_iou_rotated(Tensor boxes1, Tensor boxes2) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio, bool aligned) -> Tensor",
    "_roi_align_backward(Tensor grad, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "SymInt batch_size, SymInt channels, SymInt height, SymInt width, int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) "
    "-> (Tensor, Tensor)",
    "_roi_pool_backward(Tensor grad, Tensor rois, Tensor argmax, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width) -> Tensor",
    "ps_roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width, "
    "int sampling_ratio) -> (Tensor, Tensor)",
    "_ps_roi_align_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, "
    "SymInt pooled_height, SymInt pooled_width, int sampling_ratio, SymInt batch_size, SymInt channels, "
    "SymInt height, SymInt width) -> Tensor",
    "ps_roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width) "
    "-> (Tensor, Tensor)",
    "_ps_roi_pool_backward(Tensor grad, Tensor rois, Tensor channel_mapping, float spatial_scale, "
    "SymInt pooled_height, SymInt pooled_width, SymInt batch_size, SymInt channels, SymInt height, SymInt width) "
    "-> Tensor",
    "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, SymInt stride_h, "
    "SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, SymInt groups, "
    "SymInt offset_groups, bool use_mask) -> Tensor",
    "_deform_conv2d_backward(Tensor grad, Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, "
    "SymInt groups, SymInt offset_groups, bool use_mask) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "_cuda_version() -> int",
)

_lock = threading.Lock()
# Operators live as long as the Library object that declared them.
_declared: list[torch.library.Library] = []


def nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices (K,) of the boxes to keep, best first: of boxes (N, 4) as x1, y1, x2, y2 whose intersection over union
    is above `iou_threshold`, only the best scoring one stays."""
    order = scores.argsort(descending=True, stable=True)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[int] = []
    while order.numel():
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = torch.maximum(boxes[rest, :2], boxes[best, :2])
        high = torch.minimum(boxes[rest, 2:], boxes[best, 2:])
        shared = (high - low).clamp_min(0).prod(1)
        order = rest[shared <= iou_threshold * (areas[rest] + areas[best] - shared)]
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def _compiled_part_loads() -> bool:
    """Whether torchvision's own operators can be had; loading them twice does no harm."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise EveryageError("torchvision is not installed; install the app again with pip.")
    for library in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


def _declare() -> None:
    library = torch.library.Library("torchvision", "DEF")
    for schema in SCHEMAS:
        library.define(schema)
    library.impl("nms", nms, "CPU")
    # Asked at import; -1 is torchvision's own word for "built without CUDA".
    library.impl("_cuda_version", lambda: -1, "CompositeExplicitAutograd")
    _declared.append(library)


def ensure_torchvision() -> Literal["native", "shim"]:
    """Make `import torchvision` work. Call it before importing facexlib, diffusers, transformers or peft.

    Returns "native" where torchvision's own operators load (nothing is changed then) and "shim" where stand-ins were
    declared: `nms` works, `roi_align` and the like raise NotImplementedError. Idempotent and thread-safe. Raises
    EveryageError if torchvision is missing.
    """
    with _lock:
        if _declared:
            return "shim"
        if "torchvision" in sys.modules and hasattr(torch.ops.torchvision, "nms"):
            return "native"
        if _compiled_part_loads():
            return "native"
        # What an earlier, failed import has left behind would be taken for the whole package.
        for name in [each for each in sys.modules if each.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declare()
        extension = importlib.import_module("torchvision.extension")
        vars(extension)["_has_ops"] = lambda: True
        return "shim"
