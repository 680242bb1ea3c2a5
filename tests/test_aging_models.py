"""The age encoder: SAM's names and sizes, its arithmetic, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import reference_nets
import torch

from models.aging import AgeEncoder, load_encoder, save_encoder, with_age
from models.errors import InputError
from models.stylegan2 import Generator, save_generator


def small_encoder() -> AgeEncoder:
    torch.manual_seed(5)
    encoder = AgeEncoder(4, 32, 8, 16, widths=(4, 6, 8, 10), blocks=(1, 1, 2, 1), pyramid=10).eval()
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return encoder


def test_the_default_is_sams_encoder() -> None:
    with torch.device("meta"):
        encoder = AgeEncoder(input_nc=4)
        rgb = AgeEncoder(input_nc=3)
        codes = encoder(torch.zeros(2, 4, 256, 256, device="meta"))
    state = {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert codes.shape == (2, 18, 512)
    assert len(state) == 621
    assert round(sum(p.numel() for p in encoder.parameters()) / 1e6, 2) == 267.14
    assert state["input_layer.0.weight"] == (64, 4, 3, 3)
    assert state["body.0.res_layer.5.fc1.weight"] == (4, 64, 1, 1)
    assert state["body.3.shortcut_layer.0.weight"] == (128, 64, 1, 1)
    assert state["body.23.res_layer.3.weight"] == (512, 512, 3, 3)
    assert {name for name in state if "shortcut_layer.0" in name} == {
        f"body.{i}.shortcut_layer.0.weight" for i in (3, 7, 21)
    }
    assert state["styles.0.convs.6.weight"] == (512, 512, 3, 3) and "styles.0.convs.8.weight" not in state
    assert "styles.3.convs.8.weight" in state and "styles.3.convs.10.weight" not in state
    assert "styles.17.convs.10.weight" in state
    assert state["styles.7.linear.weight"] == (512, 512)
    assert state["latlayer2.weight"] == (512, 128, 1, 1)
    assert rgb.state_dict()["input_layer.0.weight"].shape == (64, 3, 3, 3)


def test_forward_equals_the_published_structure() -> None:
    encoder = small_encoder()
    x = torch.randn(3, 4, 32, 32)
    with torch.no_grad():
        got, wanted = encoder(x), reference_nets.encoder(encoder.state_dict(), x, (1, 1, 2, 1))
    assert got.shape == (3, 8, 16)
    assert torch.allclose(got, wanted, atol=1e-5)
    assert wanted.std() > 0.01


def test_the_age_plane() -> None:
    crops = torch.rand(2, 3, 8, 8)
    x = with_age(crops, torch.tensor([25.0, 80.0]))
    assert x.shape == (2, 4, 8, 8)
    assert torch.equal(x[:, :3], crops)
    assert torch.allclose(x[:, 3], torch.tensor([0.25, 0.8])[:, None, None].expand(2, 8, 8))


def test_age_reaches_every_style() -> None:
    encoder = small_encoder()
    crops = torch.rand(1, 3, 32, 32)
    young, old = (encoder(with_age(crops, torch.tensor([age]))) for age in (10.0, 90.0))
    assert ((young - old).abs().amax(dim=2) > 1e-4).all()


def test_encoder_file_round_trip_and_refusal(tmp_path: Path) -> None:
    encoder = small_encoder()
    save_encoder(encoder, tmp_path / "e.safetensors", torch.float32)
    x = torch.randn(1, 4, 32, 32)
    assert torch.equal(encoder(x), load_encoder(tmp_path / "e.safetensors")(x))
    save_generator(Generator(8, 8, 8, 64, 8, 1), tmp_path / "g.safetensors")
    with pytest.raises(InputError, match="not of an age encoder"):
        load_encoder(tmp_path / "g.safetensors")
    with pytest.raises(InputError, match="can't be read"):
        load_encoder(tmp_path / "nothing.safetensors")


def test_widths_that_do_not_meet_are_named() -> None:
    with pytest.raises(ValueError, match=r"pyramid's width \(12\)"):
        AgeEncoder(4, 32, 8, 16, widths=(4, 6, 8, 10), blocks=(1, 1, 1, 1), pyramid=12)
