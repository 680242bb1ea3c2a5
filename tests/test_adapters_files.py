"""Adapters as files from anywhere, and laid into a network's weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from models.adapters import PeftModel, adapter_files, adapter_state, lay_in, put_back, read_adapter
from models.errors import InputError
from tests.test_adapters import METHODS, trained
from tests.tiny_adapters import mixed, pictures

pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")
PLAIN = [name for name in METHODS if name != "pissa"]  # whose base is changed while it is loaded


def written(method: str, folder: Path) -> Any:
    net = trained(method)
    config = net.peft_config["default"]
    for name, content in adapter_files(config, adapter_state(net.base_model.model), "tiny").items():
        (folder / name).write_bytes(content)
    return net


@pytest.mark.parametrize("method", PLAIN)
def test_an_adapter_is_laid_in_at_any_weight_and_taken_out(method: str, tmp_path: Path) -> None:
    net = written(method, tmp_path)
    wanted, plain = net(pictures()), mixed()(pictures())
    base = mixed()
    before = {name: p.clone() for name, p in base.named_parameters()}
    config, state = read_adapter(tmp_path)
    kept = lay_in(base, config, state)
    assert torch.allclose(base(pictures()), wanted, atol=1e-5)
    merged = {name: p.clone() for name, p in base.named_parameters()}
    assert list(merged) == list(before) and set(kept) == {n for n in before if not torch.equal(before[n], merged[n])}
    put_back(base, kept)
    assert all(torch.equal(p, before[name]) for name, p in base.named_parameters())
    for weight in (0.0, 0.5, -1.0):
        kept = lay_in(base, config, state, weight)
        for name, p in base.named_parameters():
            assert torch.allclose(p, before[name] + weight * (merged[name] - before[name]), atol=1e-6)
        put_back(base, kept)
    assert torch.equal(base(pictures()), plain)


@pytest.mark.parametrize("method", PLAIN)
def test_the_folder_is_what_peft_reads(method: str, tmp_path: Path) -> None:
    net = written(method, tmp_path)
    loaded = PeftModel.from_pretrained(mixed(), tmp_path).eval()
    assert torch.allclose(loaded(pictures()), net(pictures()), atol=1e-6)
    assert json.loads((tmp_path / "adapter_config.json").read_bytes())["base_model_name_or_path"] == "tiny"


def test_several_methods_follow_each_other(tmp_path: Path) -> None:
    base, deltas, kept = mixed(), [], []
    before = {name: p.clone() for name, p in base.named_parameters()}
    for method in ("sara", "lora", "wara"):
        (tmp_path / method).mkdir()
        written(method, tmp_path / method)
        alone = mixed()
        lay_in(alone, *read_adapter(tmp_path / method), 0.5)
        deltas.append({name: p - before[name] for name, p in alone.named_parameters()})
    for method in ("sara", "lora", "wara"):
        kept.append(lay_in(base, *read_adapter(tmp_path / method), 0.5))
    for name, p in base.named_parameters():
        assert torch.allclose(p, before[name] + sum(delta[name] for delta in deltas), atol=1e-5)
    for one in reversed(kept):
        put_back(base, one)
    assert all(torch.equal(p, before[name]) for name, p in base.named_parameters())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING"),
        ({"peft_type": None}, "None"),
        ({"r": 10**9}, "r"),
        ({"target_modules": "(a+)+b"}, "target_modules"),
        ({"rank_pattern": {"(a+)+$": 2}}, "rank_pattern"),
        ({"init_lora_weights": "pissa"}, "base"),
        ({"target_modules": [["deep"]]}, "target_modules"),
    ],
)
def test_settings_from_strangers_are_refused(values: dict[str, Any], said: str, tmp_path: Path) -> None:
    written("lora", tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_bytes()) | values))
    with pytest.raises(InputError, match=said):
        read_adapter(tmp_path)


def test_named_code_is_never_imported(tmp_path: Path) -> None:
    written("lora", tmp_path)
    file = tmp_path / "adapter_config.json"
    danger = {"megatron_config": {"a": 1}, "megatron_core": "antigravity", "auto_mapping": {"parent_library": "this"}}
    file.write_text(json.dumps(json.loads(file.read_bytes()) | danger))
    config, _ = read_adapter(tmp_path)
    assert config.megatron_config is None and config.auto_mapping is None


def test_what_does_not_fit_leaves_the_network_alone(tmp_path: Path) -> None:
    written("sara", tmp_path)
    config, state = read_adapter(tmp_path)
    other = torch.nn.Sequential(torch.nn.Linear(4, 4))
    before = {name: p.clone() for name, p in other.named_parameters()}
    with pytest.raises(InputError, match="does not fit"):
        lay_in(other, config, state)
    assert all(torch.equal(p, before[name]) for name, p in other.named_parameters())
    assert [type(m) for m in other] == [torch.nn.Linear]
    (tmp_path / "adapter_model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="not a whole"):
        read_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text("[]")
    (tmp_path / "adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match="has no adapter_model"):
        read_adapter(tmp_path)
