"""Between pictures and tensors, and the assets' files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from models import assets
from models.errors import EveryageError
from models.images import to_pil, to_tensor


def test_every_level_survives_the_way_to_a_tensor_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(np.stack([levels, levels.T, 255 - levels], axis=-1))
    tensor = to_tensor(image)
    assert tensor.shape == (1, 3, 16, 16) and tensor.dtype == torch.float32
    assert tensor.min() == -1 and tensor.max() == 1
    assert tensor[0, 0, 0, 3] == pytest.approx(3 / 127.5 - 1)
    assert np.array_equal(np.asarray(to_pil(tensor)), np.asarray(image))
    assert np.array_equal(np.asarray(to_pil(tensor[0])), np.asarray(image))


def test_pictures_are_rounded_and_clamped() -> None:
    tensor = torch.tensor([-9.0, -1.0, 100.6 / 127.5 - 1, 1.0, 9.0, 0.0]).reshape(1, 1, 2, 3).expand(1, 3, 2, 3)
    assert np.asarray(to_pil(tensor))[..., 0].ravel().tolist() == [0, 0, 101, 255, 255, 128]


def test_grey_pictures_become_rgb() -> None:
    assert to_tensor(Image.new("L", (4, 3), 255)).eq(1).all()


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (4, 4), (1, 4, 4), (1, 1, 4, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        to_pil(torch.zeros(shape))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(assets, "assets_dir", lambda: tmp_path)
    return tmp_path


def test_tensors_come_as_float32_and_integers_as_they_are(shelf: Path) -> None:
    save_file({"half": torch.tensor([0.5]).half(), "count": torch.tensor([7])}, shelf / "a.safetensors")
    (shelf / "a.json").write_text(json.dumps({"licence": "CC0-1.0"}))
    tensors = assets.load_tensors("a.safetensors")
    assert tensors["half"].dtype == torch.float32 and tensors["half"].item() == 0.5
    assert tensors["count"].dtype == torch.int64
    assert assets.read_card("a.safetensors") == assets.read_card("a.json") == {"licence": "CC0-1.0"}


def test_missing_and_damaged_assets_are_clear_errors(shelf: Path) -> None:
    (shelf / "b.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    (shelf / "b.json").write_text("[1]")
    with pytest.raises(EveryageError, match=r"a\.safetensors .* is missing; install the app again"):
        assets.load_tensors("a.safetensors")
    with pytest.raises(EveryageError, match=r"b\.safetensors is damaged"):
        assets.load_tensors("b.safetensors")
    with pytest.raises(EveryageError, match=r"b\.json is damaged"):
        assets.read_card("b.safetensors")


def test_each_shipped_model_has_a_full_card() -> None:
    files = sorted(assets.assets_dir().rglob("*.safetensors"))
    assert files
    for path in files:
        card = assets.read_card(str(path.relative_to(assets.assets_dir())))
        assert card.get("sha256") and card.get("licence"), path
