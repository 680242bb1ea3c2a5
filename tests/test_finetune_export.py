"""Adapters written for other programs make the pictures that they make here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.adapters import lay_in, read_adapter
from models.errors import InputError
from pipelines.finetune.exporting import export
from pipelines.generate.adapters import network_of
from pipelines.generate.generator import ImageGenerator
from tests import tiny_diffusion
from tests.test_generate_adapters import generator, home, made, pixels  # noqa: F401

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")


def differences(home: Path, method: str) -> dict[str, torch.Tensor]:  # noqa: F811
    network = network_of(tiny_diffusion.KINDS["sd1"](home / "words"))
    kept = lay_in(network, *read_adapter(home / method))
    return {name: network.get_parameter(name).detach() - old for name, old in kept.items()}


@pytest.mark.parametrize("method", ["sara", "wara", "lora"])
def test_a_merged_model_needs_no_adapter(
    method: str,
    generator: ImageGenerator,  # noqa: F811
    home: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    done = export(generator.models, str(home / method), "merged", tmp_path / "merged")
    assert done.bytes == sum(p.stat().st_size for p in (tmp_path / "merged").rglob("*") if p.is_file()) > 0
    from pipelines.generate.generator import finish
    from pipelines.generate.settings import GenerateSettings

    plain = GenerateSettings(prompt="a", seed=1, steps=3, model=str(tmp_path / "merged"))
    merged = pixels(finish(generator.run(plain)))
    assert np.array_equal(merged, pixels(made(generator, home, (str(home / method), 1.0))))


def test_a_lora_of_full_rank_loses_nothing_and_of_low_rank_says_what(
    generator: ImageGenerator,  # noqa: F811
    home: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    exact = export(generator.models, str(home / "lora"), "lora", tmp_path / "exact.safetensors", rank=2)
    assert exact.lost < 1e-5
    wanted = pixels(made(generator, home, (str(home / "lora"), 1.0)))
    read = pixels(made(generator, home, (str(tmp_path / "exact.safetensors"), 1.0)))
    assert np.abs(wanted - read).max() <= 1
    changes = differences(home, "wara")
    low = export(generator.models, str(home / "wara"), "lora", tmp_path / "low.safetensors", rank=1)
    missed = whole = 0.0
    stored = load_file(tmp_path / "low.safetensors")
    for name, change in changes.items():
        key = f"unet.{name.removesuffix('.weight')}"
        product = stored[f"{key}.lora_B.weight"].flatten(1) @ stored[f"{key}.lora_A.weight"].flatten(1)
        missed += float((product.view_as(change) - change).square().sum())
        whole += float(change.square().sum())
    assert low.lost == pytest.approx((missed / whole) ** 0.5, abs=1e-4) and 0.1 < low.lost < 1
    assert f"{1 - low.lost:.1%}" in low.sentence()


def test_full_differences_are_the_change(generator: ImageGenerator, home: Path, tmp_path: Path) -> None:  # noqa: F811
    changes = differences(home, "sara")
    export(generator.models, str(home / "sara"), "lycoris", tmp_path / "full.safetensors", weight=0.5)
    stored = load_file(tmp_path / "full.safetensors")
    assert len(stored) == len(changes)
    key = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
    name = f"lora_unet_{key.replace('.', '_')}.diff"
    assert torch.allclose(stored[name], 0.5 * changes[f"{key}.weight"], atol=1e-6)
    assert {n.rpartition(".")[2] for n in stored} == {"diff", "diff_b", "b_norm"}


def test_what_can_not_be_written_is_said(generator: ImageGenerator, home: Path, tmp_path: Path) -> None:  # noqa: F811
    models, sara = generator.models, str(home / "sara")
    export(models, sara, "peft", tmp_path / "copy")
    assert (tmp_path / "copy/adapter_model.safetensors").read_bytes() == (
        home / "sara/adapter_model.safetensors"
    ).read_bytes()
    for where, form, out, said in (
        (sara, "peft", "copy", "there already"), (sara, "lora", "x.bin", "safetensors"),
        (str(home / "style.safetensors"), "lora", "y.safetensors", "own form"), (sara, "zip", "z", "no form"),
        ("gone", "peft", "z", "no adapter"), (sara, "merged", "no/where", "does not exist"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            export(models, where, form, tmp_path / out)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="rank 0"):
        export(models, sara, "lora", tmp_path / "z.safetensors", rank=0)
    with pytest.raises(InputError, match="does not fit"):
        export(models, sara, "lora", tmp_path / "z.safetensors", model="portraits")
