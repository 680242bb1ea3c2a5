"""rosinality's generators under NVIDIA's names: the same picture, against rosinality's formulas written out here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from published import nvidia_pickle, rosinality_file, rosinality_shapes, rosinality_state
from torch import Tensor

from models.foreign import convert
from models.foreign.names import from_rosinality, mean_w, to_rosinality
from models.foreign.refusal import Refused
from models.stylegan2 import Generator, load_generator

State = Mapping[str, Tensor]


def random_generator(resolution: int, base: int = 2048, top: int = 64, w_dim: int = 48, layers: int = 4) -> Generator:
    """Every tensor drawn, so that a mix-up of any two shows."""
    torch.manual_seed(resolution)
    g = Generator(w_dim, w_dim, resolution, channel_base=base, channel_max=top, mapping_layers=layers).eval()
    with torch.no_grad():
        for name, parameter in g.named_parameters():
            if name.endswith(("noise_strength", ".bias")):
                parameter.add_(torch.randn_like(parameter) * 0.2)
        g.mapping.w_avg.normal_()
    return g.requires_grad_(False)


class Rosinality:
    """A forward pass by rosinality's formulation, from its tensor names alone, in float64.

    Weights times 1 / sqrt(fan in) before they are modulated and demodulated, one kernel a sample by grouped
    convolution, the blur kernels of the file.
    """

    def __init__(self, state: State) -> None:
        self.state = {name: value.double() for name, value in state.items()}
        self.steps = sum(name.endswith("upsample.kernel") for name in state)

    def mapping(self, z: Tensor) -> Tensor:
        """z (N, D) -> w (N, D)."""
        x = z.double()
        x = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
        index = 1
        while f"style.{index}.weight" in self.state:
            weight, bias = self.state[f"style.{index}.weight"], self.state[f"style.{index}.bias"]
            scale = 0.01 / math.sqrt(weight.shape[1])
            x = F.leaky_relu(x @ (weight * scale).t() + bias * 0.01, 0.2) * math.sqrt(2)
            index += 1
        return x

    def synthesis(self, ws: Tensor) -> Tensor:
        """w+ (N, num_ws, D) -> (N, 3, R, R)."""
        ws = ws.double()
        x = self.state["input.input"].repeat(len(ws), 1, 1, 1)
        x = self.styled("conv1", x, ws[:, 0], "noises.noise_0")
        image = self.to_rgb("to_rgb1", x, ws[:, 1])
        at = 1
        for step in range(self.steps):
            x = self.styled(f"convs.{2 * step}", x, ws[:, at], f"noises.noise_{2 * step + 1}", up=True)
            x = self.styled(f"convs.{2 * step + 1}", x, ws[:, at + 1], f"noises.noise_{2 * step + 2}")
            skip = self.upfirdn(image, self.state[f"to_rgbs.{step}.upsample.kernel"], 2, (2, 1))
            image = self.to_rgb(f"to_rgbs.{step}", x, ws[:, at + 2]) + skip
            at += 2
        return image

    def styled(self, name: str, x: Tensor, w: Tensor, noise: str, up: bool = False) -> Tensor:
        x = self.modulated(f"{name}.conv", x, w, True, up)
        x = x + self.state[f"{name}.noise.weight"] * self.state[noise]
        return F.leaky_relu(x + self.state[f"{name}.activate.bias"].view(1, -1, 1, 1), 0.2) * math.sqrt(2)

    def to_rgb(self, name: str, x: Tensor, w: Tensor) -> Tensor:
        return self.modulated(f"{name}.conv", x, w, False, False) + self.state[f"{name}.bias"]

    def modulated(self, name: str, x: Tensor, w: Tensor, demodulate: bool, up: bool) -> Tensor:
        weight = self.state[f"{name}.weight"]
        batch, inputs, height, width = x.shape
        outputs, size = weight.shape[1], weight.shape[-1]
        linear = self.state[f"{name}.modulation.weight"]
        style = w @ (linear / math.sqrt(linear.shape[1])).t() + self.state[f"{name}.modulation.bias"]
        kernel = weight / math.sqrt(inputs * size**2) * style.view(batch, 1, inputs, 1, 1)
        if demodulate:
            kernel = kernel * (kernel.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        x = x.reshape(1, batch * inputs, height, width)
        if not up:
            kernel = kernel.reshape(batch * outputs, inputs, size, size)
            return F.conv2d(x, kernel, padding=size // 2, groups=batch).view(batch, outputs, height, width)
        kernel = kernel.transpose(1, 2).reshape(batch * inputs, outputs, size, size)
        x = F.conv_transpose2d(x, kernel, stride=2, groups=batch).view(batch, outputs, 2 * height + 1, -1)
        return self.upfirdn(x, self.state[f"{name}.blur.kernel"], 1, (1, 1))

    @staticmethod
    def upfirdn(x: Tensor, kernel: Tensor, up: int, pad: tuple[int, int]) -> Tensor:
        n, c, h, w = x.shape
        wide = x.new_zeros(n, c, h * up, w * up)
        wide[:, :, ::up, ::up] = x
        wide = F.pad(wide, (*pad, *pad))
        return F.conv2d(wide, kernel.flip(0, 1).expand(c, 1, 4, 4), groups=c)


@pytest.mark.parametrize("resolution", [64, 256, 1024])
def test_the_picture_stays_the_same(resolution: int, tmp_path: Path) -> None:
    source = random_generator(resolution, base=4096, top=32 if resolution == 1024 else 64)
    state = rosinality_state(source)
    made = convert(rosinality_file(tmp_path / "g.pt", source), tmp_path / "g.safetensors")
    assert (made.kind, made.title) == ("everyage-stylegan2", f"StyleGAN2 generator, {resolution} px")
    loaded = load_generator(tmp_path / "g.safetensors")
    z = torch.randn(1, 48)
    reference = Rosinality(state)
    ws = loaded.mapping(z)
    assert (ws[:, 5].double() - reference.mapping(z)).abs().max() < 1e-5
    got, wanted = loaded.synthesis(ws), reference.synthesis(ws)
    assert got.shape == (1, 3, resolution, resolution)
    assert wanted.std() > 0.5
    assert (got.double() - wanted).abs().max() < 1e-5 * max(1.0, float(wanted.abs().max()))


def test_a_flipped_kernel_would_be_another_picture() -> None:
    source = random_generator(64)
    state = rosinality_state(source)
    ws = torch.randn(2, source.num_ws, 48)
    right = Rosinality(state).synthesis(ws)
    state["convs.2.conv.weight"] = state["convs.2.conv.weight"].flip(3, 4)
    assert (Rosinality(state).synthesis(ws) - right).abs().max() > 0.1


@pytest.mark.parametrize("resolution", [4, 8, 64, 512])
def test_both_ways_give_every_tensor_back(resolution: int) -> None:
    source = random_generator(resolution, base=1024)
    there = to_rosinality(source.state_dict())
    oracle = rosinality_state(source)
    assert there.keys() == oracle.keys()
    assert all(torch.equal(there[name], oracle[name]) for name in oracle)
    back = from_rosinality(there)
    wanted = {name: value for name, value in source.state_dict().items() if name != "mapping.w_avg"}
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[name], value) for name, value in wanted.items())


def test_the_published_names_and_shapes_are_covered() -> None:
    state = {name: torch.empty(()).expand(shape) for name, shape in rosinality_shapes().items()}
    state |= {name: value for name, value in rosinality_state(random_generator(1024)).items() if "kernel" in name}
    assert len(state) == 171
    new = from_rosinality(state)
    with torch.device("meta"):
        wanted = {name: value.shape for name, value in Generator(512, 512, 1024).state_dict().items()}
    assert len(wanted) == 182
    assert {name: value.shape for name, value in new.items()} | {"mapping.w_avg": (512,)} == wanted


def test_what_a_training_file_lacks_is_rebuilt(tmp_path: Path) -> None:
    """rosinality's own trainer stores no latent_avg, and old versions no noise."""
    source = random_generator(32)
    state = {name: value for name, value in rosinality_state(source).items() if not name.startswith("noises.")}
    torch.save(
        {"g": state, "g_ema": state, "g_optim": {"state": {}, "param_groups": [{"lr": 1.0}]}}, tmp_path / "550000.pt"
    )
    made = [convert(tmp_path / "550000.pt", tmp_path / f"{n}.safetensors") for n in (1, 2)]
    assert made[0].left_out == ("g", "g_optim")
    first, second = (load_generator(tmp_path / f"{n}.safetensors") for n in (1, 2))
    noise = first.synthesis.b32.conv0.noise_const
    assert torch.equal(noise, second.synthesis.b32.conv0.noise_const)
    assert 0.8 < noise.std() < 1.2
    with torch.no_grad():
        mean = source.mapping(torch.randn(20_000, 48))[:, 0].mean(0)
    spread = (first.mapping.w_avg - mean).abs().max()
    assert 0 < spread < 0.05 * source.mapping(torch.randn(500, 48))[:, 0].std() * 4
    assert torch.equal(first.mapping.w_avg, mean_w(first.state_dict(), first.init_kwargs))


@pytest.mark.parametrize("change", ["missing", "extra", "kernel", "shape"])
def test_other_tensors_are_refused(change: str) -> None:
    state = rosinality_state(random_generator(16))
    if change == "missing":
        del state["convs.1.activate.bias"]
    elif change == "extra":
        state["convs.1.conv.twist"] = torch.zeros(1)
    elif change == "kernel":
        state["convs.0.conv.blur.kernel"] = torch.ones(4, 4) / 4
    else:
        state["to_rgb1.bias"] = torch.zeros(1, 3, 2, 1)
    with pytest.raises(Refused, match=r"convs\.1\.activate\.bias|twist|filter|to_rgb1\.bias"):
        from_rosinality(state)


def test_nvidia_pickle_gives_the_same_picture(tmp_path: Path) -> None:
    source = random_generator(64)
    convert(nvidia_pickle(tmp_path / "g.pkl", source), tmp_path / "g.safetensors")
    loaded = load_generator(tmp_path / "g.safetensors")
    assert loaded.init_kwargs == source.init_kwargs | {"channel_base": 2048}
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in loaded.state_dict().items())
    ws = torch.randn(1, loaded.num_ws, 48)
    assert torch.equal(loaded.synthesis(ws), source.synthesis(ws))
