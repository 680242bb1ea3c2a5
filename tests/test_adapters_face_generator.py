"""SaRA and WaRA on StyleGAN2: effective weights, exact starts, merging, files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.adapters import SaraConfig, WaraConfig
from models.adapters.face_generator import attach, attached, detach, gain_of, load_state, state_of
from models.errors import InputError
from models.stylegan2 import Generator

CONFIGS = {
    "sara": lambda: SaraConfig(threshold=2e-3),
    "wara": lambda: WaraConfig(r=2, levels=1),
    "shared": lambda: WaraConfig(r=2, variant="shared", wavelet="db2"),
}


def generator() -> Generator:
    torch.manual_seed(0)
    return Generator(16, 24, 16, 512, 32, 3)


def drawn(g: Generator) -> Tensor:
    ws = torch.randn(2, g.num_ws, 24, generator=torch.Generator().manual_seed(1))
    return g.synthesis(ws)


def train(g: Generator) -> None:
    optimizer = torch.optim.Adam([p for p in g.parameters() if p.requires_grad], 0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (drawn(g) - 0.5).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("name", CONFIGS)
def test_it_starts_as_the_base_learns_and_leaves(name: str, tmp_path: Path) -> None:
    plain, g = drawn(generator()), generator()
    updates = attach(g, CONFIGS[name]())
    assert updates and all(n.startswith("synthesis.") for n in updates)
    assert torch.equal(drawn(g), plain)
    assert all("parametrizations" in n and "original" not in n for n, p in g.named_parameters() if p.requires_grad)
    train(g)
    changed = drawn(g)
    assert (changed - plain).abs().max() > 1e-3
    save_file(state_of(g), tmp_path / "adapter.safetensors")
    other = generator()
    attach(other, CONFIGS[name]())
    load_state(other, load_file(tmp_path / "adapter.safetensors"))
    assert torch.equal(drawn(other), changed)
    detach(other)
    assert torch.equal(drawn(other), plain) and not attached(other)
    detach(g, merge=True)
    assert torch.allclose(drawn(g), changed, atol=1e-6)
    assert set(g.state_dict()) == set(generator().state_dict())


def test_the_threshold_holds_for_effective_weights() -> None:
    g = generator()
    updates = attach(g, SaraConfig(threshold=2e-3))
    base = generator()
    for name, update in updates.items():
        layer = base.get_submodule(name)
        effective = layer.weight * gain_of(layer)
        assert len(update.delta) == int((effective.abs() < 2e-3).sum())
    layer = base.synthesis.b8.conv0
    assert gain_of(layer) == pytest.approx((9 * layer.weight.shape[1]) ** -0.5)
    assert gain_of(base.mapping.fc0) == pytest.approx(0.01 / 16**0.5)
    update = updates["synthesis.b8.conv0"]
    with torch.no_grad():
        update.delta.fill_(0.1)
    changed = (g.synthesis.b8.conv0.weight - layer.weight) * gain_of(layer)
    assert torch.allclose(changed.flatten()[update.index.long()], torch.tensor(0.1), atol=1e-6)
    assert int((changed != 0).sum()) == len(update.index)


def test_a_fraction_and_targets() -> None:
    g = generator()
    updates = attach(g, SaraConfig(fraction=0.1, target_modules=["conv0"]))
    assert {n.split(".")[-1] for n in updates} == {"conv0"}
    total = sum(generator().get_submodule(n).weight.numel() for n in updates)
    assert sum(len(u.delta) for u in updates.values()) == pytest.approx(0.1 * total, abs=1)


def test_what_does_not_fit_is_said() -> None:
    g = generator()
    attach(g, WaraConfig(r=2))
    with pytest.raises(InputError, match="already"):
        attach(g, WaraConfig(r=2))
    with pytest.raises(InputError, match="another generator"):
        load_state(g, {})
    with pytest.raises(InputError, match="has not"):
        load_state(g, {**state_of(g), "more": torch.zeros(1)})
    with pytest.raises(InputError, match="No layer"):
        attach(generator(), SaraConfig(target_modules=["nowhere"]))
