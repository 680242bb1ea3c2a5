"""WaRA against PyWavelets, and against its own dense form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pywt
import torch
from torch import Tensor, nn

from models.adapters import PeftModel, WaraConfig, get_peft_model
from models.adapters.wara.bands import dense, names, sizes
from models.adapters.wara.layer import WaraLayer
from models.adapters.wavelets import WAVELETS, analyse, half, synthesise
from models.errors import InputError
from tests.tiny_adapters import mixed, pictures

CASES = [("bands", 1), ("bands", 2), ("shared", 1)]


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("size", [2, 3, 6, 7, 16, 33])
def test_the_transform_is_that_of_pywavelets(wavelet: str, size: int) -> None:
    x = torch.randn(3, size, generator=torch.Generator().manual_seed(size), dtype=torch.float64)
    low, high = analyse(x, wavelet, 1)
    padded = np.pad(x.numpy(), ((0, 0), (0, size % 2)))
    wanted = pywt.dwt(padded, wavelet, "periodization", axis=1)
    assert low.shape == high.shape == (3, half(size))
    assert np.allclose(low, wanted[0], atol=1e-12) and np.allclose(high, wanted[1], atol=1e-12)
    assert torch.allclose(synthesise(low, high, wavelet, 1, size), x, atol=1e-12)
    columns = analyse(x.T.contiguous(), wavelet, 0)
    assert torch.allclose(columns[0].T, low) and torch.allclose(columns[1].T, high)


def test_unknown_wavelets_are_refused() -> None:
    with pytest.raises(InputError, match="haar"):
        analyse(torch.zeros(4), "bior4.4", 0)


def inverse(blocks: dict[str, np.ndarray], wavelet: str, rows: list[int], columns: list[int]) -> np.ndarray:
    """The same update by PyWavelets, level by level."""
    levels = len(rows) - 1
    low = blocks[f"LL{levels}"]
    for level in range(levels, 0, -1):
        details = (blocks[f"HL{level}"], blocks[f"LH{level}"], blocks[f"HH{level}"])
        made = pywt.idwt2((low, details), wavelet, "periodization", axes=(0, 1))
        low = made[: rows[level - 1], : columns[level - 1]]
    return low


@pytest.mark.parametrize("wavelet", WAVELETS)
@pytest.mark.parametrize("shape", [(16, 24), (9, 14), (7, 5), (32, 32)])
@pytest.mark.parametrize("levels", [1, 2])
def test_the_update_is_the_inverse_transform_of_its_blocks(wavelet: str, shape: tuple[int, int], levels: int) -> None:
    rows, columns = sizes(shape[0], levels), sizes(shape[1], levels)
    drawn = torch.Generator().manual_seed(levels)
    blocks = {b: torch.randn(rows[int(b[2:])], columns[int(b[2:])], generator=drawn) for b in names(levels)}
    made = dense(blocks, wavelet, rows, columns)
    wanted = inverse({b: t.numpy() for b, t in blocks.items()}, wavelet, rows, columns)
    assert made.shape == shape and np.abs(made.numpy() - wanted).max() < 1e-5


def filled(variant: str, levels: int, wavelet: str = "haar", **more: Any) -> nn.Module:
    net = get_peft_model(mixed(), WaraConfig(r=3, alpha=6.0, variant=variant, levels=levels, wavelet=wavelet, **more))
    drawn = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in net.named_parameters():
            if "wara_" in name:
                p.copy_(0.2 * torch.randn(p.shape, generator=drawn))
    return net


def layers(net: nn.Module) -> dict[str, WaraLayer]:
    prefix = "base_model.model."
    return {n.removeprefix(prefix): m for n, m in net.named_modules() if isinstance(m, WaraLayer)}


def with_updates(net: nn.Module) -> nn.Module:
    """The bare network with the dense updates in its weights."""
    plain = mixed()
    with torch.no_grad():
        for name, layer in layers(net).items():
            plain.get_submodule(name).weight += layer.get_delta("default")["weight"]
    return plain


@pytest.mark.parametrize(("variant", "levels"), CASES)
@pytest.mark.parametrize("wavelet", ["haar", "db2"])
def test_the_forward_without_the_dense_update_equals_it(variant: str, levels: int, wavelet: str) -> None:
    net = filled(variant, levels, wavelet)
    small = {"conv"} if levels == 2 else set()  # three channels can't be halved twice
    assert set(layers(net)) == {"conv", "down", "wide", "out"} - small
    made, wanted, plain = net(pictures()), with_updates(net)(pictures()), mixed()(pictures())
    assert (made - wanted).abs().max() < 1e-5 and (made - plain).abs().max() > 0.01
    x = pictures().requires_grad_()
    y = pictures().requires_grad_()
    net(x).square().sum().backward()
    with_updates(net)(y).square().sum().backward()
    assert torch.allclose(x.grad, y.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("variant", "levels"), CASES)
def test_ranks_and_counts_are_as_stated(variant: str, levels: int) -> None:
    net = filled(variant, levels)
    wide = layers(net)["wide"]  # 80 by 192
    count = sum(p.numel() for n, p in wide.named_parameters() if "wara_" in n)
    stated = {("bands", 1): 2 * 3 * (80 + 192), ("shared", 1): 3 * (80 + 192) // 2,
              ("bands", 2): 3 * 3 * (40 + 96) + 4 * 3 * (20 + 48)}  # fmt: skip
    assert count == stated[variant, levels]
    rank = int(torch.linalg.matrix_rank(wide.get_delta("default")["weight"].double(), rtol=1e-6))
    assert rank == {("bands", 1): 12, ("shared", 1): 6, ("bands", 2): 21}[variant, levels]
    down = layers(net)["down"]
    assert down.get_delta("default")["weight"].shape == (12, 8, 3, 3)


def test_shared_is_the_figure_of_the_paper() -> None:
    """Transform the input, one pair of factors for all sub-bands, transform back: over tokens, too."""
    net = filled("shared", 1, "db2")
    wide = layers(net)["wide"]
    a, b = wide.wara_A["default"]["1"][0], wide.wara_B["default"]["1"][0]
    tokens = torch.randn(6, 192, generator=torch.Generator().manual_seed(1))
    bands = [[analyse(part, "db2", 0) for part in analyse(tokens, "db2", 1)]][0]
    low = [synthesise(part[0] @ a.T @ b.T, part[1] @ a.T @ b.T, "db2", 0, 6) for part in bands]
    wanted = 2.0 * synthesise(low[0], low[1], "db2", 1, 80)
    made = wide(tokens) - wide.base_layer(tokens)
    assert torch.allclose(made, wanted, atol=1e-4)


def test_it_starts_as_the_base_and_learns() -> None:
    net, plain = get_peft_model(mixed(), WaraConfig(r=2)), mixed()
    assert torch.equal(net(pictures()), plain(pictures()))
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 0.02)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (net(pictures()) - 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    kept = {n: p for n, p in net.named_parameters() if "wara_" not in n}
    start = mixed().state_dict()
    assert all(torch.equal(p, start[n.removeprefix("base_model.model.").replace(".base_layer", "")])
               for n, p in kept.items())  # fmt: skip


@pytest.mark.parametrize(("variant", "levels"), CASES)
def test_merging_files_and_scales(tmp_path: Path, variant: str, levels: int) -> None:
    net = filled(variant, levels)
    wanted, plain = net(pictures()), mixed()(pictures())
    net.save_pretrained(tmp_path)
    assert torch.equal(PeftModel.from_pretrained(mixed(), tmp_path)(pictures()), wanted)
    net.merge_adapter()
    assert (net(pictures()) - wanted).abs().max() < 1e-5
    net.unmerge_adapter()
    assert torch.equal(net(pictures()), wanted)
    with net.disable_adapter():
        assert torch.equal(net(pictures()), plain)
    for weight in (0.0, 0.5):
        for layer in layers(net).values():
            layer.set_scale("default", weight)
        half_way = mixed()
        with torch.no_grad():
            for name, layer in layers(net).items():
                half_way.get_submodule(name).weight += layer.get_delta("default")["weight"]
        assert (net(pictures()) - half_way(pictures())).abs().max() < 1e-5
        if weight == 0:
            assert torch.allclose(net(pictures()), plain, atol=1e-6)
    for layer in layers(net).values():
        layer.set_scale("default", 1.0)
    net.load_adapter(str(tmp_path), "twin")
    net.base_model.set_adapter(["default", "twin"])
    doubled = mixed()
    with torch.no_grad():
        for name, layer in layers(net).items():
            doubled.get_submodule(name).weight += 2 * layer.get_delta("default")["weight"]
    assert (net(pictures()) - doubled(pictures())).abs().max() < 1e-4


def test_what_a_layer_keeps_is_small() -> None:
    net, kept = get_peft_model(mixed(), WaraConfig(r=2, target_modules=["wide"])), []
    own = {p.data_ptr() for p in net.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        net(pictures(1)).sum().backward()
    assert max(kept) < mixed().wide.weight.numel() / 4


def test_wrong_settings_are_said() -> None:
    for wrong in ({"r": 0}, {"wavelet": "bior"}, {"variant": "both"}, {"levels": 0},
                  {"variant": "shared", "levels": 2}):  # fmt: skip
        with pytest.raises(ValueError, match="WaRA"):
            WaraConfig(**wrong)
    with pytest.raises(ValueError, match="do not fit 3"):
        sizes(3, 3)
    with pytest.raises(ValueError, match="can't change norm"):
        get_peft_model(mixed(), WaraConfig(target_modules=["norm"]))


def test_what_was_first_only_drawn_with_can_be_trained() -> None:
    net = filled("bands", 1)
    with torch.inference_mode():
        drawn = net(pictures())
    made = net(pictures())
    assert torch.equal(made, drawn)
    made.square().mean().backward()
    assert all(p.grad.abs().max() > 0 for n, p in net.named_parameters() if "wara_" in n)
