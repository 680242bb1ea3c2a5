"""SaRA against the method written out with dense masks, and what its files keep."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.adapters import PeftModel, SaraConfig, get_peft_model, inject_adapter_in_model
from models.adapters.sara.config import default_learning_rate
from models.adapters.sara.model import base_hash, sara_layers
from models.adapters.sara.official import export_official, import_official, read_official
from models.adapters.sara.training import masked_norm, rank_loss, reselect
from models.adapters.sparse import chosen, threshold_for
from models.errors import InputError
from tests.tiny_adapters import mixed, pictures

THRESHOLD, STEPS, AGAIN, RANK = 0.05, 10, 5, 0.01
pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")


def adapted(seed: int = 0, **more: Any) -> nn.Module:
    return inject_adapter_in_model(SaraConfig(**({"threshold": THRESHOLD} | more)), mixed(seed))


def parameters(net: nn.Module) -> dict[str, Tensor]:
    """The weights as they act, adapters included, under the base model's names."""
    found = {}
    for name, layer in sara_layers(net, "default").items():
        delta = layer.get_delta("default")
        found |= {f"{name}.{key}": p.detach() + delta[key] for key, p in layer.tensors().items()}
    return found


def test_the_choice_is_one_threshold_for_all_tensors() -> None:
    base, net = mixed(), adapted()
    layers = sara_layers(net, "default")
    assert set(layers) == {"conv", "norm", "down", "grouped", "wide", "layer_norm", "out"}
    trained = sum(p.numel() for p in net.parameters() if p.requires_grad)
    assert trained == sum(int((p.abs() < THRESHOLD).sum()) for p in base.parameters())
    assert [n for n, p in net.named_parameters() if p.requires_grad] == [f"{n}.sara_delta.default" for n in layers]
    index = layers["wide"].split(layers["wide"].sara_delta["default"], layers["wide"].sara_index["default"])
    assert torch.equal(index["weight"][1], torch.where(base.wide.weight.flatten().abs() < THRESHOLD)[0].int())
    assert torch.equal(index["bias"][1], torch.where(base.wide.bias.abs() < THRESHOLD)[0].int())


def test_a_fraction_becomes_the_smallest_threshold_that_reaches_it() -> None:
    tensors = list(mixed().parameters())
    total = sum(t.numel() for t in tensors)
    for fraction in (0.001, 0.05, 0.5, 1.0):
        threshold = threshold_for(tensors, fraction)
        below = sum(len(chosen(t, threshold)) for t in tensors)
        at_most = sum(int((t.abs() <= threshold).sum()) for t in tensors)
        assert fraction * total <= below <= fraction * total + 1 and at_most >= below
    config = SaraConfig(fraction=0.05)
    inject_adapter_in_model(config, mixed())
    assert config.threshold == threshold_for(tensors, 0.05)


def test_scope_and_targets() -> None:
    assert set(sara_layers(adapted(scope="weights"), "default")) == {"conv", "down", "grouped", "wide", "out"}
    only = adapted(target_modules=["wide"])
    assert set(sara_layers(only, "default")) == {"wide"}
    weights = adapted(scope="weights")
    start = parameters(weights)
    weights(pictures()).square().mean().backward()
    for p in weights.parameters():
        if p.requires_grad:
            p.data -= p.grad
    assert torch.equal(parameters(weights)["wide.bias"], start["wide.bias"])


@pytest.mark.parametrize("threshold", [THRESHOLD, 0.015])  # a fifth of the weights, and few enough to be had singly
def test_ten_steps_equal_the_dense_method(threshold: float) -> None:
    """Equations 2 to 7 written out: a mask for each tensor, the gradient masked, AdamW on the masked numbers, the rank
    loss on the masked weights, and the choice made anew at half time.
    """
    x, goal = pictures().double(), torch.randn(4, 70, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    net, base = inject_adapter_in_model(SaraConfig(threshold=threshold), mixed().double()), mixed().double()
    rate = 0.02
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], rate, weight_decay=0.0)
    masks = {n: p.detach().abs() < threshold for n, p in base.named_parameters()}
    first = {n: m.clone() for n, m in masks.items()}
    moments = {n: [torch.zeros_like(p), torch.zeros_like(p)] for n, p in base.named_parameters()}
    for step in range(1, STEPS + 1):
        loss = (net(x) - goal).square().mean()
        ranked = sum(masked_norm(layer, "default") for n, layer in sara_layers(net, "default").items() if n in RANKED)
        total = loss + RANK * ranked
        optimizer.zero_grad()
        total.backward()
        optimizer.step()

        base.zero_grad()
        wanted = (base(x) - goal).square().mean()
        named = dict(base.named_parameters())
        norms = [torch.linalg.svdvals(named[f"{n}.weight"] * masks[f"{n}.weight"]).sum() for n in RANKED]
        (wanted + RANK * sum(norms)).backward()
        assert abs(loss.item() - wanted.item()) < 1e-6 * max(1, wanted.item())
        assert ranked.item() == pytest.approx(sum(n.item() for n in norms), rel=1e-5)
        with torch.no_grad():
            for name, p in named.items():
                gradient, (m, v) = p.grad * masks[name], moments[name]
                m.mul_(0.9).add_(0.1 * gradient)
                v.mul_(0.999).add_(0.001 * gradient.square())
                change = rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8)
                p -= change * masks[name]
        if step == AGAIN:
            found = reselect(net, threshold, optimizer)
            before = sum(int(m.sum()) for m in masks.values())
            masks = {n: m & (named[n].detach().abs() < threshold) for n, m in masks.items()}
            kept = sum(int(m.sum()) for m in masks.values())
            assert (found.kept, found.frozen) == (kept, before - kept)
            assert 0 < found.frozen < before
    now, start = parameters(net), mixed().double().state_dict()
    for name, p in base.named_parameters():
        assert (now[name] - p).abs().max().item() < 1e-6
        assert torch.equal(now[name][~first[name]], start[name][~first[name]])  # the others, bit for bit
        assert first[name].sum() == 0 or not torch.equal(now[name][first[name]], start[name][first[name]])


def test_the_base_has_its_own_bits_after_each_use() -> None:
    """The update lies in the base's memory for as long as a layer computes, also where that fails."""
    net, base = adapted(), mixed().state_dict()
    for parameter in net.parameters():
        if parameter.requires_grad:
            torch.nn.init.constant_(parameter, 0.3)
    assert (net(pictures()) - mixed()(pictures())).abs().max() > 0.01
    net(pictures()).square().mean().backward()
    with pytest.raises(RuntimeError):
        net.wide(torch.zeros(2, 7))
    with pytest.raises(RuntimeError):
        net.conv(torch.zeros(2, 7, 8, 8))
    for name, layer in sara_layers(net, "default").items():
        for key, value in layer.tensors().items():
            assert torch.equal(value, base[f"{name}.{key}"])


def test_all_train_on_where_next_to_none_is_left_below() -> None:
    net = adapted()
    deltas = {n: layer.sara_delta["default"] for n, layer in sara_layers(net, "default").items()}
    total = sum(map(len, deltas.values()))
    for name, delta in deltas.items():
        if name != "norm":
            torch.nn.init.constant_(delta, 1.0)
    left = len(deltas["norm"])
    found = reselect(net, THRESHOLD, least=1.01 * left / total)
    assert (found.kept, found.frozen) == (total, 0)
    assert all(layer.sara_delta["default"] is deltas[n] for n, layer in sara_layers(net, "default").items())
    found = reselect(net, THRESHOLD, least=0.99 * left / total)
    assert (found.kept, found.frozen) == (left, total - left)


RANKED = ("wide", "out")


def test_only_the_sparse_vectors_have_gradients_and_state() -> None:
    net = adapted()
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad])
    net(pictures()).square().mean().backward()
    optimizer.step()
    count = sum(len(layer.sara_delta["default"]) for layer in sara_layers(net, "default").values())
    assert sum(p.grad.numel() for p in net.parameters() if p.grad is not None) == count
    held = sum(v.numel() for s in optimizer.state.values() for v in s.values() if v.dim())
    assert held == 2 * count < sum(p.numel() for p in mixed().parameters()) / 2


def test_no_dense_copy_waits_for_the_way_back() -> None:
    """What a layer keeps between its ways: its input, the base's own weight, and the sparse vectors."""
    net, kept = adapted(target_modules=["wide", "down"]), []
    own = {p.data_ptr() for p in net.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in own:
            kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        net(pictures(1)).sum().backward()
    assert max(kept) < mixed().wide.weight.numel() / 4


@pytest.mark.parametrize("name", ["conv", "down", "grouped", "wide", "out", "norm", "layer_norm"])
def test_gradients_are_those_of_the_dense_layer(name: str) -> None:
    net = adapted(target_modules=[name], threshold=0.1).double()
    (layer,) = sara_layers(net, "default").values()
    layer.sara_delta["default"].data.normal_(0, 0.1, generator=torch.Generator().manual_seed(3))
    x = pictures(2).double().requires_grad_()
    net(x).square().sum().backward()
    dense = mixed().double()
    with torch.no_grad():
        for key, p in dense.named_parameters():
            if key in parameters(net):
                p.copy_(parameters(net)[key])
    y = pictures(2).double().requires_grad_()
    dense(y).square().sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-10)
    gradient = torch.cat([p.grad.flatten() for p in dense.get_submodule(name).parameters()])
    places = {n: p.numel() for n, p in dense.get_submodule(name).named_parameters()}
    assert next(iter(places)) == "weight"
    wanted = gradient[layer.sara_index["default"].long()]
    assert torch.allclose(layer.sara_delta["default"].grad, wanted, atol=1e-10)


@pytest.mark.parametrize("wide", [torch.float32, torch.bfloat16])
def test_mixed_precision(wide: torch.dtype) -> None:
    net, plain = adapted(), mixed()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made, wanted = net(pictures().to(wide)), plain(pictures().to(wide))
        assert made.dtype == wanted.dtype == torch.bfloat16
        made.float().square().mean().backward()
    assert (made - wanted).abs().max() < 0.05 * wanted.abs().max()
    deltas = [layer.sara_delta["default"] for layer in sara_layers(net, "default").values()]
    assert all(d.grad.dtype == torch.float32 and torch.isfinite(d.grad).all() for d in deltas)


def trained(folder: Path, again: bool) -> tuple[nn.Module, dict[str, Tensor]]:
    net = get_peft_model(mixed(), SaraConfig(threshold=THRESHOLD))
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 0.02)
    for step in range(4):
        optimizer.zero_grad()
        net(pictures()).square().mean().backward()
        optimizer.step()
        if again and step == 1:
            reselect(net, THRESHOLD, optimizer)
    net.save_pretrained(folder)
    return net, parameters(net)


@pytest.mark.parametrize("again", [False, True])
def test_a_file_gives_back_the_same_bits(tmp_path: Path, again: bool) -> None:
    net, before = trained(tmp_path, again)
    loaded = PeftModel.from_pretrained(mixed(), tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in parameters(loaded).items())
    assert torch.equal(loaded(pictures()), net(pictures()))
    counted = [sum(len(x.sara_delta["default"]) for x in sara_layers(n, "default").values()) for n in (net, loaded)]
    assert counted[0] == counted[1]
    assert loaded.peft_config["default"].base_hash == base_hash(net, "default")
    assert base_hash(PeftModel.from_pretrained(mixed(1), tmp_path), "default") != net.peft_config["default"].base_hash


def test_merging_is_exact_and_undone_to_the_bit(tmp_path: Path) -> None:
    net, _ = trained(tmp_path, True)
    wanted, plain = net(pictures()), mixed()(pictures())
    net.merge_adapter()
    assert torch.allclose(net(pictures()), wanted, atol=1e-6)
    net.unmerge_adapter()
    assert torch.equal(net(pictures()), wanted)
    with net.disable_adapter():
        assert torch.equal(net(pictures()), plain)
    start = mixed().state_dict()
    bases = {n: p for n, p in net.named_parameters() if ".sara_" not in n}
    assert all(torch.equal(p, start[n.removeprefix("base_model.model.").replace(".base_layer", "")])
               for n, p in bases.items())  # fmt: skip
    merged = net.merge_and_unload()
    assert not any("sara" in n for n, _ in merged.named_parameters())
    assert torch.allclose(merged(pictures()), wanted, atol=1e-6)


def test_scale_and_several_adapters(tmp_path: Path) -> None:
    net, now = trained(tmp_path, False)
    start = mixed().state_dict()
    for weight in (0.0, 0.5, 2.0):
        for layer in sara_layers(net, "default").values():
            layer.set_scale("default", weight)
        wanted = mixed()
        wanted.load_state_dict({n: start[n] + weight * (now[f"base_model.model.{n}"] - start[n]) for n in start})
        assert torch.allclose(net(pictures()), wanted(pictures()), atol=1e-5)
    for layer in sara_layers(net, "default").values():
        layer.set_scale("default", 1.0)
    net.load_adapter(str(tmp_path), "twin")
    net.base_model.set_adapter(["default", "twin"])
    wanted.load_state_dict({n: start[n] + 2 * (now[f"base_model.model.{n}"] - start[n]) for n in start})
    assert torch.allclose(net(pictures()), wanted(pictures()), atol=1e-5)


def test_the_rank_loss_draws_a_large_matrix() -> None:
    net = adapted()
    layers = sara_layers(net, "default")
    norms = {name: masked_norm(layers[name], "default").item() for name in ("wide", "out")}
    drawn = torch.Generator().manual_seed(0)
    seen = {round(rank_loss(net, drawn).item(), 4) for _ in range(20)}
    assert seen == {round(norm, 4) for norm in norms.values()}  # both sides over 64, and no convolution
    rank_loss(net, drawn).backward()
    assert any(layer.sara_delta["default"].grad is not None for layer in layers.values())


def test_the_default_learning_rate() -> None:
    rates = {2e-3: 4.966e-4, 8e-4: 7.558e-4, 2e-4: 9.324e-4}
    assert all(default_learning_rate(t) == pytest.approx(rate, rel=1e-3) for t, rate in rates.items())


def test_checkpoints_of_the_authors_form_go_both_ways(tmp_path: Path) -> None:
    base = mixed()
    stored: dict[Any, Any] = {"threshold": THRESHOLD}
    drawn = torch.Generator().manual_seed(2)
    for i, p in enumerate(base.parameters()):
        mask = p.detach().abs() < THRESHOLD
        stored[i] = p.detach()[mask] + 0.1 * torch.randn(int(mask.sum()), generator=drawn)
    torch.save(stored, tmp_path / "sara.pt")
    threshold, values = read_official(tmp_path / "sara.pt")
    net = adapted(threshold=threshold)
    import_official(net, values)
    now = parameters(net)
    for i, (name, p) in enumerate(base.named_parameters()):
        assert torch.allclose(now[name][p.abs() < THRESHOLD], stored[i], atol=1e-7)
    back = export_official(net, threshold)
    assert set(back) == set(stored)
    assert all(torch.allclose(back[i], stored[i], atol=1e-7) for i in values)
    reselect(net, THRESHOLD)
    again = export_official(net, threshold)
    assert all(torch.equal(again[i], back[i]) for i in values)
    with pytest.raises(InputError, match="another base"):
        import_official(adapted(1), values)
    with pytest.raises(InputError, match="not chosen"):
        export_official(net, 2 * THRESHOLD)


@pytest.mark.parametrize("content", [b"nonsense", {"a": 1}, {"threshold": 1.0, "x": torch.ones(2)}, [1]])
def test_files_of_another_form_are_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(InputError, match="other"):
        read_official(path)


def test_wrong_settings_are_said() -> None:
    for wrong in ({"threshold": 0.0}, {"threshold": -1.0}, {"fraction": 1.5}, {"scope": "some"}):
        with pytest.raises(ValueError, match="SaRA"):
            SaraConfig(**wrong)
    with pytest.raises(ValueError, match="nothing to change"):
        inject_adapter_in_model(SaraConfig(), nn.Sequential(nn.ReLU()))


def test_small_models_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="100 million"):
        inject_adapter_in_model(SaraConfig(), copy.deepcopy(mixed()))
