"""Networks that leave the device after use, and how a run shrinks until it fits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from pipelines.generate.memory import Fit, first_fit
from pipelines.generate.parts import RESERVE, Parts, Swap, choose_swap
from pipelines.generate.settings import GenerateSettings

HOME, DEVICE, CUDA = torch.device("cpu"), torch.device("meta"), torch.device("cuda")


class Wanderer(nn.Linear):
    """A network that only notes where it was sent; it lies where its one weight does."""

    def __init__(self) -> None:
        super().__init__(2, 2, bias=False)
        self.seen: list[str] = []

    def to(self, device: Any, **_: Any) -> Any:
        self.seen.append(torch.device(device).type)
        self.weight = nn.Parameter(torch.empty(2, 2, device=device))
        return self


def pipe() -> Any:
    parts = {name: Wanderer() for name in ("text_encoder", "text_encoder_2", "unet", "vae", "image_encoder")}
    return SimpleNamespace(**parts, components={**parts, "tokenizer": object()})


@pytest.mark.parametrize(
    ("swap", "moves"),
    [
        ("none", {"text_encoder": ["meta"], "unet": ["meta"], "vae": ["meta"]}),
        ("text", {"text_encoder": ["meta", "cpu"] * 2, "unet": ["meta"], "vae": ["meta"]}),
        ("all", {"text_encoder": ["meta", "cpu"] * 2, "unet": ["meta", "cpu"] * 2, "vae": ["meta", "cpu"] * 2}),
    ],
)
def test_networks_leave_the_device_as_asked(swap: Swap, moves: dict[str, list[str]]) -> None:
    model = pipe()
    for _ in range(2):
        parts = Parts(model, DEVICE, swap)
        for group in ("text", "network", "vae"):
            with parts.using(group):
                names = {"text": ("text_encoder", "text_encoder_2"), "network": ("unet",), "vae": ("vae",)}[group]
                assert all(model.components[name].weight.device.type == "meta" for name in names)
    assert {name: model.components[name].seen for name in moves} == moves
    assert model.image_encoder.seen == []  # no run uses it


def test_what_an_earlier_run_left_on_the_device_goes_home() -> None:
    model = pipe()
    with Parts(model, DEVICE, "none").using("network"):
        pass
    Parts(model, DEVICE, "all")
    assert model.unet.weight.device == HOME and model.unet.seen == ["meta", "cpu"]


def test_a_failed_run_leaves_nothing_behind() -> None:
    model = pipe()
    with pytest.raises(RuntimeError), Parts(model, DEVICE, "all").using("network"):
        raise RuntimeError("out of memory")
    assert model.unet.weight.device == HOME


def test_what_leaves_depends_on_the_memory() -> None:
    model = pipe()  # five networks of 16 bytes; four are used, two of them read text
    assert choose_swap("low", model, HOME) == "none"  # one memory for all: nothing to gain
    assert [choose_swap(mode, model, CUDA) for mode in ("fast", "balanced", "low")] == ["none", "text", "all"]
    free = {64: "none", 63: "text", 32: "text", 31: "all"}
    assert {more: choose_swap("auto", model, CUDA, RESERVE + more) for more in free} == free


def test_a_run_shrinks_step_by_step() -> None:
    settings = GenerateSettings(count=5, memory="fast")
    for device, last in ((HOME, "none"), (CUDA, "all")):
        fit: Fit | None = first_fit(settings, pipe(), device)
        seen = []
        while fit is not None:
            seen.append(fit)
            fit = fit.smaller(device)
        assert [f.batch for f in seen[:3]] == [5, 2, 1] and {f.batch for f in seen[3:]} == {1}
        assert [f.split for f in seen[2:4]] == [False, True] and not seen[3].tiling and seen[4].tiling
        assert seen[-1].swap == last and len(seen) == (5 if last == "none" else 6)
    low = first_fit(settings.with_changes(memory="low"), pipe(), CUDA)
    assert low == Fit(1, True, True, True, "all")
