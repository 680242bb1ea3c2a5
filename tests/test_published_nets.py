"""The networks at their published sizes: counts, names, and numbers against `reference_nets`."""

from __future__ import annotations

from pathlib import Path

import pytest
import reference_nets
import torch
import torch.nn.functional as F
from published import (
    adapter_shapes,
    constant,
    dex_file,
    dex_shapes,
    encoder_shapes,
    irse_file,
    irse_shapes,
)
from reference_nets import fill, part

from models.aging import Adapter, AgeEncoder, DexAge, load_dex, save_adapter
from models.errors import InputError
from models.faces.irse import IRSE50, load_irse50
from models.stylegan2 import Generator


def empty(make: type[torch.nn.Module], *args: int, **kwargs: int) -> torch.nn.Module:
    with torch.device("meta"):
        return make(*args, **kwargs)


@pytest.mark.parametrize(
    ("make", "kwargs", "shapes", "tensors", "parameters"),
    [
        (AgeEncoder, {"input_nc": 4}, encoder_shapes(4), 621, 267_140_000),
        (AgeEncoder, {"input_nc": 3}, encoder_shapes(3), 621, 267_140_000),
        (Adapter, {}, adapter_shapes(), 152, 11_187_888),
        (DexAge, {}, dex_shapes(), 32, 134_674_341),
        (IRSE50, {}, irse_shapes(), 397, 43_800_000),
    ],
)
def test_names_shapes_and_sizes_are_the_published_ones(make, kwargs, shapes, tensors, parameters) -> None:
    net = empty(make, **kwargs)
    state = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert state == {name.replace("-", "_"): shape for name, shape in shapes.items()}
    assert len(state) == tensors
    # The encoders' and IR-SE50's figures are published in millions only.
    counted = sum(p.numel() for p in net.parameters())
    assert counted == parameters if parameters % 10_000 else abs(counted - parameters) < 50_000


def test_the_encoder_equals_its_formulas_at_full_size() -> None:
    encoder = fill(empty(AgeEncoder, input_nc=4), 1)
    for name, value in encoder.state_dict().items():
        if name.startswith("styles."):
            # What comes out is to depend on what went in: no biases, and gains that keep the signal's size.
            value.mul_(0.0 if name.endswith("bias") else 2.0 if "linear" in name else 1.4)
    x = torch.randn(1, 4, 256, 256, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got, wanted = encoder(x), reference_nets.encoder(encoder.state_dict(), x)
    assert got.shape == (1, 18, 512)
    assert 0.3 < wanted.std() < 10
    assert (got - wanted).abs().max() < 1e-4


def test_the_adapter_equals_its_formulas_at_full_size() -> None:
    torch.manual_seed(0)
    adapter = Adapter()
    w, age = torch.randn(3, 18, 512), torch.tensor([0.05, 0.4, 0.9])
    with torch.no_grad():
        got, wanted = adapter(w, age), reference_nets.adapter(adapter.state_dict(), w, age)
    assert (got - wanted).abs().max() < 1e-5
    # The published adapter begins away from SAM: nothing in it starts as zero.
    assert 0.15 < (got - w).square().mean().sqrt() < 0.27
    assert not torch.equal(adapter(w, age)[0], adapter(w, age + 0.3)[0])


def test_one_style_reaches_all_others_through_the_global_vector() -> None:
    torch.manual_seed(0)
    adapter = Adapter(4, 8, 6, 10, 3)
    w = torch.randn(1, 4, 8)
    moved = w.clone()
    moved[0, 2] += 1
    change = (adapter(moved, torch.zeros(1)) - adapter(w, torch.zeros(1))).abs().amax(2)[0]
    assert (change > 1e-4).all()
    with pytest.raises(ValueError, match=r"\(N, 4, 8\).*not \(1, 3, 8\)"):
        adapter(w[:, :3], torch.zeros(1))
    with pytest.raises(ValueError, match=r"and \(2,\)"):
        adapter(w, torch.zeros(2))


def test_the_decoder_equals_its_formulas_at_1024_pixels() -> None:
    g = fill(empty(Generator, 512, 512, 1024), 2)
    with torch.no_grad():
        # Equalised layers hold weights of standard deviation 1; styles stay around 1.
        for name, value in g.state_dict().items():
            if name.endswith("affine.bias"):
                value.add_(1.0)
            elif name.endswith("affine.weight"):
                value.mul_(8.0)
            elif name.endswith("torgb.weight"):
                value.mul_(value[0].numel() ** 0.5)
        ws = torch.randn(1, 18, 512, generator=torch.Generator().manual_seed(2))
        got, wanted = g.synthesis(ws), reference_nets.synthesis(part(g.state_dict(), "synthesis"), ws)
    assert got.shape == (1, 3, 1024, 1024)
    assert 0.5 < wanted.std() < 20
    assert (got - wanted).abs().max() < 1e-4


def small(c_dim: int = 0, fp16: int = 0, clamp: float | None = None) -> Generator:
    torch.manual_seed(7)
    g = Generator(16, 24, 64, 1024, 32, 2, num_fp16_res=fp16, conv_clamp=clamp, c_dim=c_dim).eval()
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith(("noise_strength", ".bias")):
                parameter.add_(0.3 * torch.randn_like(parameter))
        g.mapping.w_avg.normal_()
    return g


def test_a_conditional_generator_equals_its_formulas() -> None:
    g = small(c_dim=5)
    state = g.state_dict()
    assert state["mapping.embed.weight"].shape == (24, 5) and state["mapping.embed.bias"].shape == (24,)
    assert state["mapping.fc0.weight"].shape == (24, 16 + 24)
    assert Generator(**g.init_kwargs).state_dict().keys() == state.keys()
    z, c = torch.randn(3, 16), F.one_hot(torch.tensor([0, 3, 4]), 5)
    exact = part(state, "mapping", torch.float64)
    for psi in (1.0, 0.6):
        wanted = reference_nets.mapping(exact, z.double(), c.double(), psi)
        assert (g.mapping(z, c, truncation_psi=psi)[:, 1] - wanted).abs().max() < 1e-5
    assert (g.mapping(z, c)[0] - g.mapping(z, c.roll(1, 0))[0]).abs().max() > 0.01
    cut = g.mapping(z, c, truncation_psi=0.0, truncation_cutoff=4)
    assert torch.allclose(cut[:, :4], g.mapping.w_avg.expand(3, 4, -1))
    assert torch.equal(cut[:, 4:], g.mapping(z, c)[:, 4:])
    assert g(z, c).shape == (3, 3, 64, 64)


def test_labels_that_do_not_fit_are_named() -> None:
    z = torch.randn(2, 16)
    for c, text in ((None, "not None"), (torch.zeros(2, 4), r"not \(2, 4\)"), (torch.zeros(1, 5), r"not \(1, 5\)")):
        with pytest.raises(ValueError, match=rf"\(2, 5\), {text}"):
            small(c_dim=5).mapping(z, c)
    plain = small()
    assert torch.equal(plain.mapping(z), plain.mapping(z, torch.zeros(2, 0)))
    with pytest.raises(ValueError, match=r"\(2, 0\), not 0.7"):
        plain.mapping(z, 0.7)  # type: ignore[arg-type]


def test_the_mean_w_of_a_conditional_generator_covers_its_classes() -> None:
    g = small(c_dim=3)
    g.update_w_avg(4000, torch.Generator().manual_seed(0))
    z = torch.randn(4000, 16, generator=torch.Generator().manual_seed(1))
    means = [g.mapping(z, F.one_hot(torch.tensor([k]), 3).expand(4000, -1))[:, 0].mean(0) for k in range(3)]
    apart = (means[0] - means[1]).abs().max()
    assert (g.mapping.w_avg - torch.stack(means).mean(0)).abs().max() < 0.2 * apart


def test_the_limit_holds_for_every_layer_after_the_gain() -> None:
    """conv_clamp limits what each layer of every block gives, in float32 as in float16."""
    g, free = small(clamp=0.8), small()
    ws = torch.randn(2, g.num_ws, 24)
    state = part(g.state_dict(), "synthesis", torch.float64)
    with torch.no_grad():
        got, wanted = g.synthesis(ws), reference_nets.synthesis(state, ws.double(), clamp=0.8)
        assert (got - wanted).abs().max() < 1e-5
        assert (got - free.synthesis(ws)).abs().max() > 0.1
    seen: list[float] = []
    for module in g.modules():
        if hasattr(module, "clamp"):
            module.register_forward_hook(lambda _, __, out: seen.append(out.abs().max().item()))
    with torch.no_grad():
        g.synthesis(ws)
    assert len(seen) == 9 + 5 and max(seen) == pytest.approx(0.8)


@pytest.mark.parametrize("batch", [1, 2])
def test_half_precision_rounds_as_the_published_models_do(batch: int) -> None:
    g = small(clamp=256.0)
    ws = torch.randn(batch, g.num_ws, 24)
    state = part(g.state_dict(), "synthesis")
    with torch.no_grad():
        got = g.synthesis(ws, dtype=torch.float16)
        half = reference_nets.synthesis(state, ws, 256.0, lambda size: size >= 16)
        full = reference_nets.synthesis(state, ws, 256.0)
    assert got.dtype == torch.float32
    assert 1e-4 < (half - full).abs().max() < 0.03 * full.std()
    assert (got - half).abs().max() < 0.03 * full.std()
    assert (got - half).square().mean().sqrt() < 0.003 * full.std()


def test_half_precision_survives_weights_beyond_its_range() -> None:
    """Kernels and styles are divided by their largest entries first; demodulation makes the picture the same."""
    g = small(clamp=256.0)
    for res in g.synthesis.resolutions:
        block = g.synthesis.block(res)
        for layer in (getattr(block, "conv0", None), block.conv1):
            if layer is not None:
                layer.weight.data.mul_(3e4)
                layer.affine.weight.data.mul_(100)
                layer.affine.bias.data.mul_(100)
    ws = torch.randn(2, g.num_ws, 24)
    with torch.no_grad():
        for codes in (ws, ws[:1]):
            full, low = g.synthesis(codes), g.synthesis(codes, dtype=torch.float16)
            assert low.isfinite().all()
            assert (low - full).abs().max() < 0.03 * full.std()


def test_which_resolutions_are_half_follows_the_checkpoint() -> None:
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    s = small(fp16=2).synthesis
    assert [s._dtype(res, cuda, None) for res in (4, 16, 32, 64)] == [torch.float32] * 2 + [torch.float16] * 2
    assert s._dtype(64, cpu, None) == torch.float32
    assert s._dtype(64, cuda, torch.float32) == torch.float32
    # As many half resolutions as the network has, and more: 4x4 still keeps full precision.
    assert small(fp16=9).synthesis._dtype(4, cuda, None) == torch.float32
    assert small(fp16=9).synthesis._dtype(8, cuda, None) == torch.float16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("batch", [1, 3])
def test_half_precision_on_cuda(batch: int) -> None:
    g = small(fp16=3, clamp=256.0)
    ws = torch.randn(batch, g.num_ws, 24)
    exact = reference_nets.synthesis(part(g.state_dict(), "synthesis", torch.float64), ws.double(), 256.0)
    with torch.no_grad():
        got = g.cuda().synthesis(ws.cuda()).cpu()
    assert 1e-5 < (got - exact).abs().max() < 0.03 * exact.std()


def test_dex_equals_its_formulas() -> None:
    net = fill(empty(DexAge), 3)
    coarse = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(3)) * 2 - 1
    faces = F.interpolate(coarse, size=(256, 256), mode="bicubic").clamp(-1, 1)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            # Signals that neither die out on their way nor end as equal shares, which would all mean 50 years.
            value.mul_(0.0 if name.endswith("bias") else 10.0 if name.startswith("fc8") else 1.5)
        got, wanted = net(faces), reference_nets.dex(net.state_dict(), faces)
    assert got.shape == (2,)
    assert (got - wanted).abs().max() < 1e-3
    assert (got[0] - got[1]).abs() > 0.01 and (got - 50).abs().max() > 1


def test_ir_se50_equals_its_formulas() -> None:
    net = fill(empty(IRSE50), 4)
    crops = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(4)) * 2 - 1
    with torch.no_grad():
        got, wanted = net(crops), reference_nets.ir_se50(net.state_dict(), crops)
        large = net(F.interpolate(crops, size=(512, 512)))
    assert (got - wanted).abs().max() < 1e-5
    assert torch.allclose(got.norm(dim=1), torch.ones(2))
    assert got[0] @ got[1] < 0.999
    # A larger crop is pooled to 256 px first; nearest enlargement pools back to the same pixels.
    assert torch.allclose(large, got, atol=1e-5)


@pytest.mark.parametrize(("write", "load"), [(dex_file, load_dex), (irse_file, load_irse50)])
def test_the_published_files_of_both_judges_load(write, load, tmp_path: Path) -> None:
    """dex_age_classifier.pth, with hyphens in its names, and the bare state model_ir_se50.pth."""
    net = load(write(tmp_path / "judge.pth"))
    assert not net.training and not any(p.requires_grad for p in net.parameters())
    for name, value in net.state_dict().items():
        stored = name.replace("_", "-") if write is dex_file else name
        assert (value == constant(stored)).all()


def test_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    save_adapter(Adapter(4, 8, 6, 10, 3), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not of a DEX age network"):
        load_dex(tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="not of an IR-SE50 face network"):
        load_irse50(tmp_path / "a.safetensors")
