"""The published networks written out from their tensors: plain functions over a state_dict, nothing of the app's nets.

They follow the formulas word for word (per-sample modulated kernels, zero insertion and a square filter, one layer
after the other), so they are slow. Each takes the published names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = Mapping[str, Tensor]


def fill(net: nn.Module, seed: int = 0) -> nn.Module:
    """Weights for a network that was built on "meta", repeated out of one pool of random numbers: quick at any size.

    Convolutions and linear layers get 1 / sqrt(fan in); norms, biases and running statistics get values of their own.
    """
    pool = torch.randn(1_000_003, generator=torch.Generator().manual_seed(seed))
    state = {}
    for index, (name, value) in enumerate(net.state_dict().items()):
        count = value.numel()
        if not value.is_floating_point():
            state[name] = torch.zeros(value.shape, dtype=value.dtype)
            continue
        start = (index * 7919) % 900_000
        x = pool[start:].repeat(math.ceil(count / (len(pool) - start)))[:count].view(value.shape).clone()
        state[name] = _plausible(name, x)
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)


def _plausible(name: str, x: Tensor) -> Tensor:
    if name.endswith("resample_filter"):
        return fir(x.dtype)
    if name.endswith("running_var"):
        return 1 + 0.3 * x.tanh()
    if x.dim() > 1:
        return x / math.sqrt(x[0].numel())
    # Factors of norms and slopes of PReLU are "weight"; they stay away from 0.
    return 1 + 0.2 * x.tanh() if name.endswith("weight") else 0.2 * x


# --- IR-SE50 and the age encoder


def batch_norm(s: State, x: Tensor, name: str) -> Tensor:
    mean, var = s[f"{name}.running_mean"], s[f"{name}.running_var"]
    return F.batch_norm(x, mean, var, s[f"{name}.weight"], s[f"{name}.bias"], eps=1e-5)


def ir_se_block(s: State, x: Tensor, name: str, stride: int) -> Tensor:
    y = F.conv2d(batch_norm(s, x, f"{name}.res_layer.0"), s[f"{name}.res_layer.1.weight"], padding=1)
    y = F.prelu(y, s[f"{name}.res_layer.2.weight"])
    y = F.conv2d(y, s[f"{name}.res_layer.3.weight"], stride=stride, padding=1)
    y = batch_norm(s, y, f"{name}.res_layer.4")
    gate = F.relu(F.conv2d(y.mean((2, 3), keepdim=True), s[f"{name}.res_layer.5.fc1.weight"]))
    y = y * torch.sigmoid(F.conv2d(gate, s[f"{name}.res_layer.5.fc2.weight"]))
    if f"{name}.shortcut_layer.0.weight" in s:
        skip = F.conv2d(x, s[f"{name}.shortcut_layer.0.weight"], stride=stride)
        return y + batch_norm(s, skip, f"{name}.shortcut_layer.1")
    return y + x[:, :, ::stride, ::stride]


def ir_se_stages(s: State, x: Tensor, blocks: Sequence[int]) -> list[Tensor]:
    """The features after each of the four stages."""
    x = batch_norm(s, F.conv2d(x, s["input_layer.0.weight"], padding=1), "input_layer.1")
    x = F.prelu(x, s["input_layer.2.weight"])
    ends, index = [], 0
    for count in blocks:
        for position in range(count):
            x = ir_se_block(s, x, f"body.{index}", 2 if position == 0 else 1)
            index += 1
        ends.append(x)
    return ends


def encoder(s: State, x: Tensor, blocks: Sequence[int] = (3, 4, 14, 3)) -> Tensor:
    """(N, input_nc, R, R) -> (N, num_ws, w_dim): feature pyramid and one head for each style."""
    _, c1, c2, c3 = ir_se_stages(s, x, blocks)

    def add(coarse: Tensor, fine: Tensor, name: str) -> Tensor:
        up = F.interpolate(coarse, size=fine.shape[2:], mode="bilinear", align_corners=True)
        return up + F.conv2d(fine, s[f"{name}.weight"], s[f"{name}.bias"])

    p2 = add(c3, c2, "latlayer1")
    p1 = add(p2, c1, "latlayer2")
    codes: list[Tensor] = []
    while f"styles.{len(codes)}.linear.weight" in s:
        k = len(codes)
        y = c3 if k < 3 else p2 if k < 7 else p1
        layer = 0
        while f"styles.{k}.convs.{layer}.weight" in s:
            y = F.conv2d(y, s[f"styles.{k}.convs.{layer}.weight"], s[f"styles.{k}.convs.{layer}.bias"], 2, 1)
            y = F.leaky_relu(y, 0.01)
            layer += 2
        weight = s[f"styles.{k}.linear.weight"]
        codes.append(F.linear(y.flatten(1), weight / math.sqrt(weight.shape[1]), s[f"styles.{k}.linear.bias"]))
    return torch.stack(codes, 1)


def ir_se50(s: State, crops: Tensor) -> Tensor:
    """FFHQ crops (N, 3, 256, 256) -> unit vectors (N, 512)."""
    x = F.adaptive_avg_pool2d(crops[:, :, 35:223, 32:220], (112, 112))
    x = batch_norm(s, ir_se_stages(s, x, (3, 4, 14, 3))[-1], "output_layer.0").flatten(1)
    x = F.linear(x, s["output_layer.3.weight"], s["output_layer.3.bias"])
    x = batch_norm(s, x, "output_layer.4")
    return x / x.norm(dim=1, keepdim=True)


# --- MyTimeMachine's adapter, and DEX


def adapter(s: State, w: Tensor, age: Tensor) -> Tensor:
    """W + fc_k([global, age, W_k]); the global vector comes from all bottlenecks together."""

    def mlp(x: Tensor, name: str) -> Tensor:
        hidden = F.relu(x @ s[f"{name}.0.weight"].t() + s[f"{name}.0.bias"])
        return hidden @ s[f"{name}.2.weight"].t() + s[f"{name}.2.bias"]

    count = w.shape[1]
    everything = mlp(torch.cat([mlp(w[:, k], f"bottleneck_{k}") for k in range(count)], 1), "global_mlp")
    years = mlp(age[:, None], "age_mlp")
    return w + torch.stack([mlp(torch.cat([everything, years, w[:, k]], 1), f"fc_{k}") for k in range(count)], 1)


def dex(s: State, faces: Tensor) -> Tensor:
    """Faces in [-1, 1] -> years, sum of j softmax_j."""
    x = F.interpolate(faces, size=(224, 224), mode="bilinear")
    for stage, layers in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(1, layers + 1):
            name = f"conv{stage}_{layer}"
            x = F.relu(F.conv2d(x, s[f"{name}.weight"], s[f"{name}.bias"], padding=1))
        x = F.max_pool2d(x, 2)
    x = x.flatten(1)
    for name in ("fc6", "fc7"):
        x = F.relu(F.linear(x, s[f"{name}.weight"], s[f"{name}.bias"]))
    shares = F.linear(x, s["fc8_101.weight"], s["fc8_101.bias"]).softmax(1)
    return sum(year * shares[:, year] for year in range(101))


# --- StyleGAN2 under NVIDIA's names


def fir(dtype: torch.dtype) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype)
    return torch.outer(taps, taps) / 64


def dense_upfirdn(x: Tensor, up: int, pad: tuple[int, int], gain: float) -> Tensor:
    """Zero insertion, zero padding, the square FIR kernel: the definition, each channel for itself."""
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h * up, w * up)
    wide[:, :, ::up, ::up] = x
    wide = F.pad(wide, (pad[0], pad[1], pad[0], pad[1]))
    kernel = (fir(x.dtype) * gain).to(x.device).expand(c, 1, 4, 4)
    return F.conv2d(wide, kernel, groups=c)


def mapping(s: State, z: Tensor, c: Tensor | None = None, psi: float = 1.0) -> Tensor:
    """One w (N, w_dim); `s` holds the names behind `mapping.`, c the labels of a conditional network."""

    def unit(x: Tensor) -> Tensor:
        return x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()

    x = unit(z)
    if c is not None:
        weight = s["embed.weight"]
        x = torch.cat([x, unit(c @ weight.t() / math.sqrt(weight.shape[1]) + s["embed.bias"])], 1)
    layer = 0
    while f"fc{layer}.weight" in s:
        weight, bias = s[f"fc{layer}.weight"], s[f"fc{layer}.bias"]
        x = F.leaky_relu(x @ weight.t() * 0.01 / math.sqrt(weight.shape[1]) + bias * 0.01, 0.2) * math.sqrt(2)
        layer += 1
    return s["w_avg"] + psi * (x - s["w_avg"])


def synthesis(s: State, ws: Tensor, clamp: float | None = None, half: Callable[[int], bool] | None = None) -> Tensor:
    """w+ (N, num_ws, w_dim) -> images, in the precision of `s` and `ws`; `s` holds the names behind `synthesis.`.

    clamp: limit of what each layer gives, after the activation's gain. half: which resolutions compute in float16,
    with kernel and style divided by their largest entries before they are joined.
    """

    def limit(x: Tensor) -> Tensor:
        return x if clamp is None else x.clamp(-clamp, clamp)

    def affine(name: str, w: Tensor) -> Tensor:
        weight = s[f"{name}.affine.weight"]
        return w @ weight.t() / math.sqrt(weight.shape[1]) + s[f"{name}.affine.bias"]

    def kernels(name: str, w: Tensor, demodulate: bool, low: bool) -> Tensor:
        weight, styles = s[f"{name}.weight"], affine(name, w)
        if not demodulate:
            return weight[None] * styles[:, None, :, None, None] / math.sqrt(weight.shape[1])
        if low:
            weight = weight / math.sqrt(weight[0].numel()) / weight.abs().amax((1, 2, 3), keepdim=True)
            styles = styles / styles.abs().amax(1, keepdim=True)
        modulated = weight[None] * styles[:, None, :, None, None]
        return modulated / (modulated.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()

    def layer(name: str, x: Tensor, w: Tensor, up: bool, low: bool) -> Tensor:
        outs = []
        for sample, kernel in zip(x, kernels(name, w, True, low).to(x.dtype), strict=True):
            if up:
                y = F.conv_transpose2d(sample[None], kernel.transpose(0, 1), stride=2)
                y = dense_upfirdn(y, 1, (1, 1), 4.0)
            else:
                y = F.conv2d(sample[None], kernel, padding=1)
            outs.append(y)
        y = torch.cat(outs) + (s[f"{name}.noise_const"] * s[f"{name}.noise_strength"]).to(x.dtype)
        y = y + s[f"{name}.bias"].to(x.dtype)[None, :, None, None]
        return limit(F.leaky_relu(y, 0.2) * math.sqrt(2))

    x = s["b4.const"][None].repeat(len(ws), 1, 1, 1)
    image = None
    index, size = 0, 4
    while f"b{size}.torgb.weight" in s:
        low = half is not None and half(size)
        x = x.to(torch.float16 if low else ws.dtype)
        if size > 4:
            x = layer(f"b{size}.conv0", x, ws[:, index], True, low)
            index += 1
        x = layer(f"b{size}.conv1", x, ws[:, index], False, low)
        index += 1
        kernel = kernels(f"b{size}.torgb", ws[:, index], False, low).to(x.dtype)
        rgb = torch.stack([F.conv2d(a[None], k)[0] for a, k in zip(x, kernel, strict=True)])
        rgb = limit(rgb + s[f"b{size}.torgb.bias"].to(x.dtype)[None, :, None, None]).to(ws.dtype)
        image = rgb if image is None else dense_upfirdn(image, 2, (2, 1), 4.0) + rgb
        size *= 2
    assert image is not None
    return image


def part(s: State, prefix: str, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """The tensors behind `prefix.`, in another precision if one is named."""
    start = f"{prefix}."
    return {name.removeprefix(start): value.to(dtype) for name, value in s.items() if name.startswith(start)}
