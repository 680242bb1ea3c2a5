"""Every method through one interface: a row a method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.adapters import (
    AlloraConfig,
    PeftModel,
    SaltConfig,
    SaraConfig,
    SorsaConfig,
    WaraConfig,
    get_peft_model,
    inject_adapter_in_model,
)
from models.adapters.salt import SaltLayer, signed_svd
from models.adapters.sorsa import SorsaLayer, orthonormality_loss
from models.adapters.tuner import UpdateLayer
from tests import tiny_diffusion
from tests.tiny_adapters import mixed, pictures

LINEAR = ["wide", "out"]
pytestmark = pytest.mark.filterwarnings("ignore:SaRA's authors advise")


def peft_config(name: str, **values: Any) -> Any:
    import peft

    return getattr(peft, name)(**values)


# Method -> (maker of its settings, whether it is ours). peft's own SHiRA and WaveFT take linear layers alone.
METHODS: dict[str, tuple[Callable[[], Any], bool]] = {
    "sara": (lambda: SaraConfig(threshold=0.05), True),
    "wara": (lambda: WaraConfig(r=2), True),
    "wara_shared": (lambda: WaraConfig(r=4, variant="shared", wavelet="db2"), True),
    "sorsa": (lambda: SorsaConfig(r=3), True),
    "salt": (lambda: SaltConfig(r=3, ratio=0.2), True),
    "allora": (lambda: AlloraConfig(r=3), True),
    "lora": (lambda: peft_config("LoraConfig", r=3, target_modules=["conv", *LINEAR]), False),
    "dora": (lambda: peft_config("LoraConfig", r=3, use_dora=True, target_modules=["conv", *LINEAR]), False),
    "pissa": (lambda: peft_config("LoraConfig", r=3, init_lora_weights="pissa", target_modules=LINEAR), False),
    "oft": (lambda: peft_config("OFTConfig", oft_block_size=4, target_modules=["wide"]), False),
    "waveft": (lambda: peft_config("WaveFTConfig", n_frequency=40, target_modules=LINEAR), False),
    "shira": (lambda: peft_config("ShiraConfig", r=2, target_modules=LINEAR), False),
}
OURS = [name for name, (_, ours) in METHODS.items() if ours]


def trained(method: str, net: nn.Module | None = None, steps: int = 4) -> Any:
    torch.manual_seed(0)
    made = get_peft_model(net or mixed(), METHODS[method][0]())
    optimizer = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], 0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        (made(pictures()) - 1).square().mean().backward()
        optimizer.step()
    return made.eval()


def scaled(net: nn.Module, weight: float) -> None:
    for module in net.modules():
        if isinstance(module, UpdateLayer):
            module.set_scale("default", weight)


@pytest.mark.parametrize("method", METHODS)
def test_it_starts_as_the_base_and_learns(method: str) -> None:
    torch.manual_seed(0)
    plain = mixed()(pictures())
    assert torch.allclose(get_peft_model(mixed(), METHODS[method][0]()).eval()(pictures()), plain, atol=1e-5)
    before = (plain - 1).square().mean().item()
    after = (trained(method, steps=12)(pictures()) - 1).square().mean().item()
    assert after < 0.98 * before
    frozen = [p for n, p in trained(method).named_parameters() if not p.requires_grad and "base_layer" in n]
    assert frozen


@pytest.mark.parametrize("method", METHODS)
def test_files(method: str, tmp_path: Path) -> None:
    net = trained(method)
    net.save_pretrained(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    loaded = PeftModel.from_pretrained(mixed(), tmp_path).eval()
    assert torch.allclose(loaded(pictures()), net(pictures()), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_merge_unmerge_and_disable(method: str) -> None:
    net = trained(method)
    wanted, plain = net(pictures()), mixed()(pictures())
    assert (wanted - plain).abs().max() > 1e-3
    with net.disable_adapter():
        assert torch.allclose(net(pictures()), plain, atol=1e-5 if method == "pissa" else 0) or method == "pissa"
    net.merge_adapter()
    assert torch.allclose(net(pictures()), wanted, atol=1e-5)
    net.unmerge_adapter()
    again = net(pictures())
    assert torch.equal(again, wanted) if METHODS[method][1] else torch.allclose(again, wanted, atol=1e-4)
    assert torch.allclose(net.merge_and_unload()(pictures()), wanted, atol=1e-5)


@pytest.mark.parametrize("method", OURS)
def test_a_weight_scales_the_update(method: str) -> None:
    net, base = trained(method), mixed()
    layers = {n.removeprefix("base_model.model."): m for n, m in net.named_modules() if isinstance(m, UpdateLayer)}
    deltas = {n: m.get_delta("default") for n, m in layers.items()}
    for weight in (0.0, 0.5, -1.0):
        scaled(net, weight)
        wanted = mixed()
        with torch.no_grad():
            for name, parts in deltas.items():
                for key, delta in parts.items():
                    getattr(wanted.get_submodule(name), key).add_(weight * delta)
        assert torch.allclose(net(pictures()), wanted(pictures()), atol=1e-5)
    assert base.training


@pytest.mark.parametrize("method", OURS)
def test_several_adapters_add_up(method: str, tmp_path: Path) -> None:
    net = trained(method)
    alone = {n: m.get_delta("default") for n, m in net.named_modules() if isinstance(m, UpdateLayer)}
    net.save_pretrained(tmp_path)
    net.load_adapter(str(tmp_path), "twin")
    net.base_model.set_adapter(["default", "twin"])
    wanted = mixed()
    with torch.no_grad():
        for name, parts in alone.items():
            for key, delta in parts.items():
                getattr(wanted.get_submodule(name.removeprefix("base_model.model.")), key).add_(2 * delta)
    assert torch.allclose(net(pictures()), wanted(pictures()), atol=1e-5)
    net.delete_adapter("twin")
    assert not any("twin" in name for name, _ in net.named_parameters())


@pytest.mark.parametrize("method", OURS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_number_types(method: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net = get_peft_model(mixed().to(dtype), METHODS[method][0]())
    made = net(pictures().to(dtype))
    assert made.dtype == dtype
    made.float().square().mean().backward()
    trainable = [p for p in net.parameters() if p.requires_grad]
    assert all(p.dtype != torch.bfloat16 for p in trainable)  # half-width numbers would lose small steps
    assert sum(float(p.grad.abs().sum()) for p in trainable if p.grad is not None) > 0


@pytest.mark.parametrize("method", OURS)
def test_a_diffusion_network_takes_it(method: str, tmp_path: Path) -> None:
    unet = tiny_diffusion.unet()
    x, time, words = torch.randn(1, 4, 8, 8), torch.tensor([10]), torch.randn(1, 5, 16)

    def run() -> Tensor:
        return unet(x, time, encoder_hidden_states=words, return_dict=False)[0]

    plain = run()
    unet.add_adapter(METHODS[method][0]())
    assert torch.allclose(run(), plain, atol=1e-6)
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape))
    changed = run()
    assert (changed - plain).abs().max() > 1e-4
    unet.set_adapters("default", 0.0)
    assert torch.allclose(run(), plain, atol=1e-5)
    unet.set_adapters("default", 1.0)
    assert torch.equal(run(), changed)
    unet.disable_adapters()
    assert torch.equal(run(), plain)


def layers(net: nn.Module, kind: type[nn.Module]) -> dict[str, Any]:
    return {n.split(".")[-1]: m for n, m in net.named_modules() if isinstance(m, kind)}


def test_sorsa_trains_the_largest_triples() -> None:
    net = inject_adapter_in_model(SorsaConfig(r=3), mixed())
    layer, weight = layers(net, SorsaLayer)["wide"], mixed().wide.weight
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    product = layer.sorsa_B["default"] * layer.sorsa_S["default"] @ layer.sorsa_A["default"]
    assert torch.allclose(product, u[:, :3] * s[:3] @ v[:3], atol=1e-5)
    assert orthonormality_loss(net).item() < 1e-5
    with torch.no_grad():
        layer.sorsa_A["default"].mul_(2)
    factors = 2 * len(layers(net, SorsaLayer))
    assert orthonormality_loss(net).item() == pytest.approx(3 * 3**0.5 / factors, rel=1e-4)  # ||4 I - I||_F
    assert torch.allclose(layer.get_delta("default")["weight"], u[:, :3] * s[:3] @ v[:3], atol=1e-5)


def test_salt_changes_singular_values_and_the_rest_by_low_rank() -> None:
    net = inject_adapter_in_model(SaltConfig(r=3, ratio=0.1), mixed())
    layer, weight = layers(net, SaltLayer)["wide"], mixed().wide.weight.detach()
    _, s, _ = torch.linalg.svd(weight)
    with torch.no_grad():
        layer.salt_scale["default"].fill_(1.5)
        layer.salt_shift["default"].fill_(-0.25)
    now = torch.linalg.svdvals(weight + layer.get_delta("default")["weight"])
    wanted = torch.cat([1.5 * s[:8] - 0.25, s[8:]]).sort(descending=True).values
    assert torch.allclose(now, wanted, atol=1e-4)
    with torch.no_grad():
        layer.salt_Y["default"].normal_()
        layer.salt_scale["default"].fill_(1.0)
        layer.salt_shift["default"].fill_(0.0)
    assert int(torch.linalg.matrix_rank(layer.get_delta("default")["weight"].double(), rtol=1e-6)) == 3
    u, s, v = signed_svd(weight)
    assert torch.allclose(u * s @ v, weight, atol=1e-5) and (u.gather(0, u.abs().argmax(0, keepdim=True)) > 0).all()


def test_allora_paces_each_row_by_its_update() -> None:
    net = inject_adapter_in_model(AlloraConfig(r=3, eta=2.0, target_modules=["out"]), mixed())
    plain = inject_adapter_in_model(AlloraConfig(r=3, eta=2.0, target_modules=["out"]), mixed())
    layer, other = net.out, plain.out
    with torch.no_grad():
        for mine in (layer, other):
            mine.allora_A["default"].copy_(torch.randn(3, 80, generator=torch.Generator().manual_seed(1)))
            mine.allora_B["default"].copy_(torch.randn(70, 3, generator=torch.Generator().manual_seed(2)))
    net(pictures()).square().mean().backward()
    a, b = other.allora_A["default"], other.allora_B["default"]
    hidden = {}
    plain.out.register_forward_pre_hook(lambda _, given: hidden.update(x=given[0].detach()))
    with torch.no_grad():
        plain(pictures())
    free = b.detach().clone().requires_grad_()
    made = hidden["x"] @ mixed().out.weight.T + hidden["x"] @ a.detach().T @ free.T
    made.square().mean().backward()
    rows = torch.linalg.vector_norm(b @ a, dim=1)
    wanted = free.grad / (rows + 0.25).sqrt()[:, None]
    assert torch.allclose(layer.allora_B["default"].grad, wanted, rtol=1e-4, atol=1e-7)


def test_wrong_settings_are_said() -> None:
    for make in (lambda: SorsaConfig(r=0), lambda: SaltConfig(ratio=2), lambda: AlloraConfig(eta=0)):
        with pytest.raises(ValueError, match="rank"):
            make()
