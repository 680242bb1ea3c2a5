"""The generator against a direct, slow reading of the paper's formulas; names and shapes of the published files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import reference_nets
import torch
from reference_nets import dense_upfirdn, part
from safetensors.torch import save_file

from bench.synthesis import plain_formulation
from models.errors import InputError
from models.stylegan2 import Discriminator, Generator, load_generator, save_generator
from models.stylegan2.ops import downsample2d, fir_smooth, modulated_conv2d, modulated_layer, upsample2d


def small_generator(resolution: int = 32) -> Generator:
    torch.manual_seed(3)
    g = Generator(16, 24, resolution, channel_base=512, channel_max=32, mapping_layers=3).eval()
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith(("noise_strength", ".bias")):
                parameter.normal_(0.0, 0.3)
        g.mapping.w_avg.normal_()
    return g


@pytest.mark.parametrize("batch", [1, 3])
def test_synthesis_equals_the_formulas(batch: int) -> None:
    g = small_generator()
    ws = torch.randn(batch, g.num_ws, 24)
    with torch.no_grad():
        got = g.synthesis(ws)
        wanted = reference_nets.synthesis(part(g.state_dict(), "synthesis", torch.float64), ws.double())
    assert got.shape == (batch, 3, 32, 32)
    assert wanted.abs().max() > 1
    assert (got.double() - wanted).abs().max() < 2e-4 * wanted.abs().max()


def test_mapping_equals_the_formula_and_truncates() -> None:
    g = small_generator()
    z = torch.randn(5, 16)
    x = reference_nets.mapping(part(g.state_dict(), "mapping", torch.float64), z.double())
    ws = g.mapping(z)
    assert ws.shape == (5, 8, 24)
    assert (ws[:, 3].double() - x).abs().max() < 1e-5
    half = g.mapping(z, truncation_psi=0.5)
    assert torch.allclose(half, (ws + g.mapping.w_avg) / 2, atol=1e-6)
    assert torch.allclose(g.mapping(z, truncation_psi=0.0)[2, 1], g.mapping.w_avg, atol=1e-6)


def test_names_and_sizes_are_those_of_the_published_generator() -> None:
    with torch.device("meta"):
        g = Generator(512, 512, 1024)
    state = {name: tuple(value.shape) for name, value in g.state_dict().items()}
    assert len(state) == 182
    assert sum(p.numel() for p in g.parameters()) == 30_370_060
    assert g.num_ws == 18
    assert state["synthesis.b4.const"] == (512, 4, 4)
    assert state["synthesis.b4.conv1.noise_strength"] == ()
    assert state["synthesis.b128.conv0.weight"] == (256, 512, 3, 3)
    assert state["synthesis.b128.conv0.affine.weight"] == (512, 512)
    assert state["synthesis.b1024.conv1.noise_const"] == (1024, 1024)
    assert state["synthesis.b1024.torgb.weight"] == (3, 32, 1, 1)
    assert state["synthesis.b512.resample_filter"] == (4, 4)
    assert state["mapping.fc7.weight"] == (512, 512)
    assert state["mapping.w_avg"] == (512,)
    assert sum(name.endswith("resample_filter") for name in state) == 26
    with torch.device("meta"):
        assert sum(p.numel() for p in Generator(512, 512, 256, channel_base=16384).parameters()) == 24_767_458


def test_building_without_weights_imports_no_compiler() -> None:
    """Networks are built on "meta" to be loaded, also where nothing may be written; the compiler makes folders."""
    code = """
import sys, torch
from models.stylegan2 import Generator
from models.aging import Adapter, AgeEncoder, DexAge
with torch.device("meta"):
    Generator(8, 8, 8, 64, 8, 1, c_dim=2), AgeEncoder(4, 32, 8, 16), Adapter(4), DexAge()
print([name for name in sys.modules if name.startswith("torch._dynamo")])
"""
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


def test_resampling_equals_its_definition() -> None:
    x = torch.randn(2, 3, 8, 8)
    assert torch.allclose(upsample2d(x), dense_upfirdn(x, 2, (2, 1), 4.0), atol=1e-6)
    assert torch.allclose(fir_smooth(x, 2, 1.0), dense_upfirdn(x, 1, (2, 2), 1.0), atol=1e-6)
    assert torch.allclose(downsample2d(x), dense_upfirdn(x, 1, (1, 1), 1.0)[:, :, ::2, ::2], atol=1e-6)


def test_one_shared_convolution_equals_per_sample_kernels() -> None:
    x, weight, styles = torch.randn(4, 6, 16, 16), torch.randn(5, 6, 3, 3), torch.randn(4, 6)
    for up in (False, True):
        together = modulated_conv2d(x, weight, styles, up=up)
        # A single sample with more pixels than weights takes the fused path.
        apart = torch.cat([modulated_conv2d(x[i : i + 1], weight, styles[i : i + 1], up=up) for i in range(4)])
        assert torch.allclose(together, apart, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("up", [False, True])
def test_a_layer_equals_its_steps_and_can_be_differentiated_twice(count: int, up: bool) -> None:
    torch.manual_seed(0)
    double = {"dtype": torch.float64, "requires_grad": True}
    x, weight = torch.randn(count, 2, 6, 6, **double), torch.randn(3, 2, 3, 3, **double)
    styles, bias = torch.randn(count, 2, **double), torch.randn(3, **double)
    side = 12 if up else 6
    noise = torch.randn(side, side, **double)
    got = modulated_layer(x, weight, styles, bias, noise, up)
    plain = modulated_conv2d(x, weight, styles, up) + noise + bias[:, None, None]
    wanted = torch.nn.functional.leaky_relu(plain, 0.2) * 2**0.5
    assert torch.allclose(got, wanted, atol=1e-12)
    given = (x, weight, styles, bias, noise)
    for one, other in zip(torch.autograd.grad(got.sum(), given), torch.autograd.grad(wanted.sum(), given), strict=True):
        assert torch.allclose(one, other, atol=1e-10)
    # As path lengths need it: the slope by styles, and how that changes with everything.
    assert torch.autograd.gradgradcheck(
        lambda *a: modulated_layer(*a[:4], None, up), (x, weight, styles, bias), fast_mode=True
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_the_plain_formulation_that_speed_is_told_against_draws_the_same(batch: int) -> None:
    g = small_generator()
    ws = torch.randn(batch, g.num_ws, 24)
    with torch.no_grad():
        ours = g.synthesis(ws)
        with plain_formulation():
            plain = g.synthesis(ws)
    assert not torch.equal(plain, ours)  # it did compute otherwise
    assert (plain - ours).abs().max() < 1e-4 * ours.abs().max()


def test_noise_modes() -> None:
    g = small_generator()
    ws = torch.randn(1, g.num_ws, 24)
    with torch.no_grad():
        assert torch.equal(g.synthesis(ws), g.synthesis(ws, noise_mode="const"))
        none = g.synthesis(ws, noise_mode="none")
        drawn = [g.synthesis(ws, "random", generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)]
    assert (none - g.synthesis(ws)).abs().max() > 0.01
    assert torch.equal(drawn[0], drawn[1])
    assert (drawn[0] - drawn[2]).abs().max() > 0.01


def test_lower_precision_and_early_stop() -> None:
    g = small_generator()
    ws = torch.randn(2, g.num_ws, 24)
    with torch.no_grad():
        full, low = g.synthesis(ws), g.synthesis(ws, dtype=torch.bfloat16)
        early = g.synthesis(ws, resolution=16)
        smaller = Generator(16, 24, 16, 512, 32, 3)
        names = smaller.state_dict().keys()
        smaller.load_state_dict({name: value for name, value in g.state_dict().items() if name in names})
        assert torch.equal(early, smaller.synthesis(ws[:, : smaller.num_ws]))
    assert low.dtype == torch.float32
    assert 0 < (full - low).square().mean().sqrt() / full.std() < 0.03


def test_wrong_codes_and_resolutions_are_named() -> None:
    g = small_generator()
    with pytest.raises(ValueError, match=r"\(N, 8, 24\)"):
        g.synthesis(torch.randn(1, 7, 24))
    with pytest.raises(ValueError, match="not 48"):
        Generator(16, 24, 48)


def test_generator_file_round_trip(tmp_path: Path) -> None:
    g = small_generator()
    save_generator(g, tmp_path / "g.safetensors", torch.float32)
    back = load_generator(tmp_path / "g.safetensors")
    ws = torch.randn(1, g.num_ws, 24)
    assert torch.equal(g.synthesis(ws), back.synthesis(ws))
    assert not any(p.requires_grad for p in back.parameters())


def test_files_that_are_no_generators_are_refused(tmp_path: Path) -> None:
    (tmp_path / "junk.safetensors").write_bytes(b"no safetensors at all")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    cases = (
        ("junk", "no weight file that this app reads"),
        ("other", "no network that this app"),
        ("missing", "can't be read"),
    )
    for name, text in cases:
        with pytest.raises(InputError, match=text):
            load_generator(tmp_path / f"{name}.safetensors")


def test_discriminator_names_and_gradients() -> None:
    with torch.device("meta"):
        full = Discriminator(1024)
    names = {name: tuple(value.shape) for name, value in full.state_dict().items()}
    assert names["b1024.fromrgb.weight"] == (32, 3, 1, 1)
    assert names["b1024.conv1.weight"] == (64, 32, 3, 3)
    assert names["b8.skip.weight"] == (512, 512, 1, 1)
    assert names["b4.conv.weight"] == (512, 513, 3, 3)
    assert names["b4.fc.weight"] == (512, 8192)
    assert names["b4.out.weight"] == (1, 512)
    assert sum(p.numel() for p in full.parameters()) == 29_012_513
    torch.manual_seed(0)
    d = Discriminator(16, 128, 16)
    x = torch.randn(4, 3, 16, 16, requires_grad=True)
    scores = d(x)
    assert scores.shape == (4, 1)
    (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    slope.square().sum().backward()  # the R1 penalty needs the second derivative
    assert d.b16.conv0.weight.grad.abs().sum() > 0
    # Each score sees its group: the minibatch standard deviation falls to 0 for equal pictures.
    assert (d(x[:1].repeat(4, 1, 1, 1)) - scores[0]).abs().max() > 1e-6
