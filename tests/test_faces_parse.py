"""facexlib's face parser behind the torchvision shim, with small or random weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.compat import ensure_torchvision, nms
from models.errors import EveryageError
from models.faces import FaceParser, parser_weights

ROOT = Path(__file__).resolve().parent.parent


def test_facexlib_imports_even_after_torchvision_failed() -> None:
    code = """
try:
    import torchvision
except RuntimeError:
    pass
from models.compat import ensure_torchvision
kind = ensure_torchvision()
import facexlib.parsing.bisenet, torchvision, torch
boxes = torch.tensor([[0., 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
print(kind == ensure_torchvision(), torchvision.ops.nms(boxes, torch.tensor([.5, .9, .7]), .5).tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "True [1, 2]"


def test_nms_equals_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    corner = torch.rand(80, 2, generator=generator) * 50
    boxes = torch.cat([corner, corner + 1 + 20 * torch.rand(80, 2, generator=generator)], 1)
    scores = torch.rand(80, generator=generator)

    def overlap(a: list[float], b: list[float]) -> float:
        width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0) * max(height, 0)
        return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)

    kept: list[int] = []
    for index in scores.argsort(descending=True).tolist():
        if all(overlap(boxes[index].tolist(), boxes[other].tolist()) <= 0.4 for other in kept):
            kept.append(index)
    assert nms(boxes, scores, 0.4).tolist() == kept
    assert nms(boxes[:0], scores[:0], 0.4).shape == (0,)


def test_no_weights_no_parser(tmp_path: Path) -> None:
    assert parser_weights(tmp_path) is None


def test_a_wrong_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "models" / "parsing_bisenet.pth"
    path.parent.mkdir()
    path.write_bytes(b"not weights")
    assert parser_weights(tmp_path) == path
    with pytest.raises(EveryageError, match=r"is not facexlib's parsing_bisenet\.pth"):
        FaceParser(path)


def test_the_mask_is_the_share_of_face_classes(tmp_path: Path) -> None:
    ensure_torchvision()
    from facexlib.parsing.bisenet import BiSeNet

    torch.manual_seed(0)
    net = BiSeNet(num_class=19)
    # A head that always answers "hair" with a known certainty.
    last = net.conv_out.conv_out
    torch.nn.init.zeros_(last.weight)
    path = tmp_path / "parsing_bisenet.pth"
    torch.save(net.state_dict(), path)
    mask = FaceParser(path)(torch.zeros(1, 3, 64, 64))
    assert mask.shape == (1, 1, 64, 64)
    assert mask.mean().item() == pytest.approx(13 / 19, abs=1e-4)
