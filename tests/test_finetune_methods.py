"""A method and a strength become an adapter of about the size that was asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from models.errors import InputError
from pipelines.finetune.methods import METHODS, SHARES, SMALL, budget_of, learning_rate, settle
from tests import tiny_diffusion

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")


def network() -> Any:
    """Wide enough that a rank is a small step."""
    return tiny_diffusion.unet(block=(32, 64))


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.02, 0.06])
def test_the_adapter_has_about_the_weights_asked_for(method: str, share: float) -> None:
    net = network()
    budget = round(share * sum(p.numel() for p in net.parameters()))
    config = settle(net, method, budget)
    net.add_adapter(config)
    # Whole ranks, and the limits of methods that want all layers alike, leave this much room.
    low, high = (0.02, 2.5) if method in ("oft", "shira", "waveft", "pissa") else (0.6, 1.5)
    assert low * budget <= count(net) <= high * budget
    assert method not in ("sara",) or abs(count(net) - budget) <= 1
    x = torch.randn(1, 4, 8, 8), torch.tensor([3]), torch.randn(1, 5, 16)
    net(x[0], x[1], encoder_hidden_states=x[2]).sample.square().mean().backward()
    assert sum(float(p.grad.abs().sum()) for p in net.parameters() if p.grad is not None) > 0


def test_strengths_are_shares_of_the_network() -> None:
    net = network()
    total = sum(p.numel() for p in net.parameters())
    sizes = [budget_of(net, strength) for strength in ("subtle", "medium", "strong")]
    assert sizes == [round(share * total) for share in SHARES.values()] and sizes == sorted(sizes)


def test_learning_rates() -> None:
    net = network()
    config = settle(net, "sara", 1000)
    net.add_adapter(config)
    assert learning_rate(config, "sara") == pytest.approx(1e-3 * 2.718281828 ** (-350 * config.threshold))
    lora = settle(network(), "lora", 1000)
    assert learning_rate(lora, "lora") == METHODS["lora"].rate
    assert set(SMALL) == set(METHODS) and learning_rate(lora, "lora", 25_000_000) == SMALL["lora"]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InputError, match="no method 'magic'"):
        settle(network(), "magic", 10)
    with pytest.raises(InputError, match="finds no layer"):
        settle(nn.Sequential(nn.ReLU()), "lora", 10)
