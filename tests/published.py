"""Files in the layouts of the published checkpoints, written without their authors' code.

The lists of names and shapes here come from the published checkpoints and are written apart from the app's own code, so
that a test can hold one against the other. A full layout is cheap: `constants` gives tensors of one number each that is
repeated by stride 0, and torch.save stores the one number.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import types
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Shapes = dict[str, tuple[int, ...]]
State = Mapping[str, Tensor]
OPTS: dict[str, Any] = {
    "output_size": 1024,
    "input_nc": 4,
    "start_from_encoded_w_plus": True,
    "start_from_latent_avg": False,
    "device": "cuda:0",
    "exp_dir": "/some/where",
    "learning_rate": 0.0001,
    "checkpoint_path": None,
}


def constants(shapes: Shapes) -> dict[str, Tensor]:
    """One number for each tensor, told by its name, repeated to the full shape without memory; kernels are real."""
    return {
        name: blur_kernel() if name.endswith(".kernel") else constant(name).expand(shape)
        for name, shape in shapes.items()
    }


def blur_kernel() -> Tensor:
    """The (4, 4) constant that rosinality's files repeat: outer([1, 3, 3, 1]) / 64, times 4."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / 16


def constant(name: str) -> Tensor:
    """The () tensor that `constants` repeats under this name: in [0.001, 0.1), or a whole number for a counter."""
    number = zlib.crc32(name.encode()) % 100
    return torch.tensor(number) if name.endswith("num_batches_tracked") else torch.tensor((number + 1) / 1010)


# --- shapes of the published networks


def _norm(name: str, width: int) -> Shapes:
    shapes: Shapes = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
    return shapes | {f"{name}.num_batches_tracked": ()}


def _backbone(input_nc: int) -> Shapes:
    """The 24 blocks of IR-SE50 behind their input layer."""
    shapes: Shapes = {"input_layer.0.weight": (64, input_nc, 3, 3), **_norm("input_layer.1", 64)}
    shapes["input_layer.2.weight"] = (64,)
    index, before = 0, 64
    for width, blocks in ((64, 3), (128, 4), (256, 14), (512, 3)):
        for _ in range(blocks):
            name = f"body.{index}"
            if before != width:
                shapes |= {f"{name}.shortcut_layer.0.weight": (width, before, 1, 1)}
                shapes |= _norm(f"{name}.shortcut_layer.1", width)
            shapes |= _norm(f"{name}.res_layer.0", before)
            shapes |= {f"{name}.res_layer.1.weight": (width, before, 3, 3), f"{name}.res_layer.2.weight": (width,)}
            shapes |= {f"{name}.res_layer.3.weight": (width, width, 3, 3), **_norm(f"{name}.res_layer.4", width)}
            shapes |= {f"{name}.res_layer.5.fc1.weight": (width // 16, width, 1, 1)}
            shapes |= {f"{name}.res_layer.5.fc2.weight": (width, width // 16, 1, 1)}
            index, before = index + 1, width
    return shapes


def encoder_shapes(input_nc: int = 4) -> Shapes:
    """The 621 tensors of SAM's encoder (input_nc 4) or pSp's (3)."""
    shapes = _backbone(input_nc)
    for style in range(18):
        for layer in range(4 if style < 3 else 5 if style < 7 else 6):
            shapes |= {f"styles.{style}.convs.{2 * layer}.weight": (512, 512, 3, 3)}
            shapes |= {f"styles.{style}.convs.{2 * layer}.bias": (512,)}
        shapes |= {f"styles.{style}.linear.weight": (512, 512), f"styles.{style}.linear.bias": (512,)}
    for layer, width in ((1, 256), (2, 128)):
        shapes |= {f"latlayer{layer}.weight": (512, width, 1, 1), f"latlayer{layer}.bias": (512,)}
    return shapes


def irse_shapes() -> Shapes:
    """The 397 tensors of model_ir_se50.pth."""
    shapes = _backbone(3) | _norm("output_layer.0", 512) | _norm("output_layer.4", 512)
    return shapes | {"output_layer.3.weight": (512, 25088), "output_layer.3.bias": (512,)}


def dex_shapes() -> Shapes:
    """The 32 tensors of dex_age_classifier.pth, with the hyphens of the file."""
    shapes: Shapes = {}
    before = 3
    for stage, (width, layers) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1):
        for layer in range(1, layers + 1):
            shapes |= {f"conv{stage}-{layer}.weight": (width, before, 3, 3), f"conv{stage}-{layer}.bias": (width,)}
            before = width
    for name, outputs, inputs in (("fc6", 4096, 25088), ("fc7", 4096, 4096), ("fc8-101", 101, 4096)):
        shapes |= {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    return shapes


def adapter_shapes(num_ws: int = 18, w_dim: int = 512) -> Shapes:
    """The 152 tensors of MyTM's adapter, without the prefix `blender.`."""
    linears: dict[str, tuple[int, int]] = {}
    for style in range(num_ws):
        linears |= {f"bottleneck_{style}.0": (32, w_dim), f"bottleneck_{style}.2": (32, 32)}
        linears |= {f"fc_{style}.0": (w_dim, 128 + 16 + w_dim), f"fc_{style}.2": (w_dim, w_dim)}
    linears |= {"global_mlp.0": (128, 32 * num_ws), "global_mlp.2": (128, 128)}
    linears |= {"age_mlp.0": (16, 1), "age_mlp.2": (16, 16)}
    shapes: Shapes = {}
    for name, shape in linears.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return shapes


def rosinality_shapes(resolution: int = 1024, multiplier: int = 2, w_dim: int = 512, mapping: int = 8) -> Shapes:
    """The tensors of a rosinality `g_ema` (171 by default), which is also SAM's `decoder.`."""
    width = {4: 512, 8: 512, 16: 512, 32: 512} | {r: 256 * multiplier * 64 // r for r in (64, 128, 256, 512, 1024)}
    shapes: Shapes = {}
    for layer in range(1, mapping + 1):
        shapes |= {f"style.{layer}.weight": (w_dim, w_dim), f"style.{layer}.bias": (w_dim,)}
    shapes["input.input"] = (1, width[4], 4, 4)

    def conv(name: str, outputs: int, inputs: int, up: bool) -> Shapes:
        made: Shapes = {f"{name}.conv.weight": (1, outputs, inputs, 3, 3), **modulation(name, inputs)}
        made |= {f"{name}.noise.weight": (1,), f"{name}.activate.bias": (outputs,)}
        return made | ({f"{name}.conv.blur.kernel": (4, 4)} if up else {})

    def modulation(name: str, inputs: int) -> Shapes:
        return {f"{name}.conv.modulation.weight": (inputs, w_dim), f"{name}.conv.modulation.bias": (inputs,)}

    def to_rgb(name: str, inputs: int, up: bool) -> Shapes:
        made: Shapes = {f"{name}.bias": (1, 3, 1, 1), f"{name}.conv.weight": (1, 3, inputs, 1, 1)}
        return made | modulation(name, inputs) | ({f"{name}.upsample.kernel": (4, 4)} if up else {})

    shapes |= conv("conv1", width[4], width[4], False) | to_rgb("to_rgb1", width[4], False)
    shapes["noises.noise_0"] = (1, 1, 4, 4)
    size, step = 8, 0
    while size <= resolution:
        shapes |= conv(f"convs.{2 * step}", width[size], width[size // 2], True)
        shapes |= conv(f"convs.{2 * step + 1}", width[size], width[size], False)
        shapes |= to_rgb(f"to_rgbs.{step}", width[size], True)
        shapes |= {f"noises.noise_{2 * step + 1 + extra}": (1, 1, size, size) for extra in (0, 1)}
        size, step = size * 2, step + 1
    return shapes


# --- the files of rosinality, pSp, SAM and MyTimeMachine


def rosinality_state(generator: nn.Module) -> dict[str, Tensor]:
    """The state of one of our generators under rosinality's names and shapes (g_ema)."""
    old = {name: value.detach() for name, value in generator.state_dict().items()}
    depth = sum(name.startswith("mapping.fc") for name in old) // 2
    sizes = sorted(int(name.split(".")[1][1:]) for name in old if name.endswith("torgb.weight"))
    new: dict[str, Tensor] = {}
    for layer in range(depth):
        new[f"style.{layer + 1}.weight"] = old[f"mapping.fc{layer}.weight"]
        new[f"style.{layer + 1}.bias"] = old[f"mapping.fc{layer}.bias"]
    new["input.input"] = old["synthesis.b4.const"][None]

    def put(target: str, source: str) -> None:
        new[f"{target}.conv.weight"] = old[f"{source}.weight"][None]
        new[f"{target}.conv.modulation.weight"] = old[f"{source}.affine.weight"]
        new[f"{target}.conv.modulation.bias"] = old[f"{source}.affine.bias"]

    def put_conv(target: str, source: str, noise: int, up: bool) -> None:
        put(target, source)
        new[f"{target}.noise.weight"] = old[f"{source}.noise_strength"].reshape(1)
        new[f"{target}.activate.bias"] = old[f"{source}.bias"]
        new[f"noises.noise_{noise}"] = old[f"{source}.noise_const"][None, None]
        if up:
            new[f"{target}.conv.blur.kernel"] = blur_kernel()

    def put_rgb(target: str, source: str, up: bool) -> None:
        put(target, source)
        new[f"{target}.bias"] = old[f"{source}.bias"].reshape(1, 3, 1, 1)
        if up:
            new[f"{target}.upsample.kernel"] = blur_kernel()

    put_conv("conv1", "synthesis.b4.conv1", 0, False)
    put_rgb("to_rgb1", "synthesis.b4.torgb", False)
    for step, size in enumerate(sizes[1:]):
        put_conv(f"convs.{2 * step}", f"synthesis.b{size}.conv0", 2 * step + 1, True)
        put_conv(f"convs.{2 * step + 1}", f"synthesis.b{size}.conv1", 2 * step + 2, False)
        put_rgb(f"to_rgbs.{step}", f"synthesis.b{size}.torgb", True)
    return new


def rosinality_file(path: Path, generator: nn.Module, *, legacy: bool = False, latent_avg: bool = True) -> Path:
    """{"g_ema", "latent_avg"}, as stylegan2-ffhq-config-f.pt; legacy: the file form of PyTorch before 1.6."""
    content: dict[str, Any] = {"g_ema": rosinality_state(generator)}
    if latent_avg:
        content["latent_avg"] = generator.state_dict()["mapping.w_avg"]
    return _save(content, path, legacy)


def _prefixed(prefix: str, state: State) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value.detach() for name, value in state.items()}


def _state_of(net: nn.Module | None, shapes: Shapes) -> State:
    return constants(shapes) if net is None else net.state_dict()


def sam_content(
    encoder: nn.Module | None = None,
    pretrained_encoder: nn.Module | None = None,
    generator: nn.Module | None = None,
    latent_avg: Tensor | None = None,
    opts: Any = None,
) -> dict[str, Any]:
    """What sam_ffhq_aging.pt holds. A network that is not given has the published layout, filled with `constants`."""
    decoder = constants(rosinality_shapes()) if generator is None else rosinality_state(generator)
    state = _prefixed("encoder", _state_of(encoder, encoder_shapes(4)))
    state |= _prefixed("decoder", decoder)
    state |= _prefixed("pretrained_encoder", _state_of(pretrained_encoder, encoder_shapes(3)))
    if latent_avg is None:
        latent_avg = torch.linspace(-1, 1, 18 * 512).view(18, 512)
    return {"state_dict": state, "latent_avg": latent_avg, "opts": OPTS if opts is None else opts}


def sam_file(path: Path, *, legacy: bool = False, **parts: Any) -> Path:
    """A SAM checkpoint; `parts` are those of `sam_content`."""
    return _save(sam_content(**parts), path, legacy)


def mytm_file(path: Path, *, adapter: State | None = None, legacy: bool = False, **parts: Any) -> Path:
    """A personal MyTimeMachine checkpoint: SAM's with `blender.*` beside.

    adapter: the state of an adapter, under its names without the prefix; None: the published layout of `constants`.
    """
    content = sam_content(**parts)
    content["state_dict"] |= _prefixed("blender", constants(adapter_shapes()) if adapter is None else adapter)
    return _save(content, path, legacy)


def psp_file(path: Path, *, encoder: nn.Module | None = None, generator: nn.Module | None = None) -> Path:
    """pSp's own checkpoint: encoder of 3 channels, decoder, latent_avg, opts."""
    decoder = constants(rosinality_shapes()) if generator is None else rosinality_state(generator)
    state = _prefixed("encoder", _state_of(encoder, encoder_shapes(3))) | _prefixed("decoder", decoder)
    return _save({"state_dict": state, "latent_avg": torch.zeros(18, 512), "opts": OPTS}, path, False)


def dex_file(path: Path, state: State | None = None) -> Path:
    """{"state_dict"} with hyphens in the names. state: under our names, with `_`."""
    if state is None:
        renamed: State = constants(dex_shapes())
    else:
        renamed = {name.replace("_", "-"): value for name, value in state.items()}
    return _save({"state_dict": dict(renamed)}, path, False)


def irse_file(path: Path, state: State | None = None, *, legacy: bool = True) -> Path:
    """A bare state; the published file has the form of PyTorch before 1.6."""
    return _save(OrderedDict(constants(irse_shapes()) if state is None else state), path, legacy)


def _save(content: Any, path: Path, legacy: bool) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


# --- NVIDIA's pickles

NVIDIA_CLASSES = {
    "Generator": "Generator",
    "Discriminator": "Discriminator",
    "DiscriminatorBlock": "DiscriminatorBlock",
    "DiscriminatorEpilogue": "DiscriminatorEpilogue",
    "MappingNetwork": "MappingNetwork",
    "SynthesisNetwork": "SynthesisNetwork",
    "SynthesisBlock": "SynthesisBlock",
    "SynthesisLayer": "SynthesisLayer",
    "ToRGB": "ToRGBLayer",
    "FullyConnected": "FullyConnectedLayer",
    "Conv": "Conv2dLayer",
}


class EasyDict(dict):  # type: ignore[type-arg]
    """Stands for dnnlib's class of this name while a pickle is written."""


EasyDict.__module__ = "dnnlib.util"


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("a test's stand-in was called: something executed a pickle")


_reconstruct_persistent_obj.__module__ = "torch_utils.persistence"


class Persistent:
    """One module as NVIDIA's `persistence` pickles it: class name, source text, state."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str) -> None:
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": source,
            "class_name": class_name,
            "state": state,
        }

    def __reduce__(self) -> Any:
        return _reconstruct_persistent_obj, (self.meta,)


@contextlib.contextmanager
def _nvidia_modules() -> Iterator[None]:
    """Let pickle find the two globals under NVIDIA's module names while it writes."""
    names = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    before = {name: sys.modules.get(name) for name in names}
    modules = {name: types.ModuleType(name) for name in names}
    vars(modules["torch_utils.persistence"])["_reconstruct_persistent_obj"] = _reconstruct_persistent_obj
    vars(modules["dnnlib.util"])["EasyDict"] = EasyDict
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def persistent(net: nn.Module, source: str, init_kwargs: Mapping[str, Any] | None = None) -> Persistent:
    """A network as a tree of `Persistent`, with the attributes that its authors' modules carry."""
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict((name, value) for name, value in net._parameters.items() if value is not None),
        "_buffers": OrderedDict(net._buffers),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": OrderedDict(),
        "_forward_hooks": OrderedDict(),
        "_modules": OrderedDict((name, persistent(child, source)) for name, child in net._modules.items()),
        "_init_args": (),
        "_init_kwargs": EasyDict(init_kwargs or {}),
        "weight_gain": np.float64(1 / np.sqrt(512)),
    }
    return Persistent(NVIDIA_CLASSES.get(type(net).__name__, type(net).__name__), state, source)


def nvidia_kwargs(generator: nn.Module) -> dict[str, Any]:
    """The constructor arguments that NVIDIA's training script would have given for one of our generators."""
    ours: dict[str, Any] = dict(generator.init_kwargs)  # type: ignore[arg-type]
    synthesis = EasyDict(channel_base=ours["channel_base"], channel_max=ours["channel_max"])
    if ours["num_fp16_res"]:
        synthesis |= EasyDict(num_fp16_res=ours["num_fp16_res"], conv_clamp=ours["conv_clamp"])
    return {
        "z_dim": ours["z_dim"],
        "c_dim": ours.get("c_dim", 0),
        "w_dim": ours["w_dim"],
        "img_resolution": ours["resolution"],
        "img_channels": 3,
        "mapping_kwargs": EasyDict(num_layers=ours["mapping_layers"]),
        "synthesis_kwargs": EasyDict(synthesis),
    }


def nvidia_pickle(
    path: Path,
    generator: nn.Module,
    *,
    init_kwargs: Mapping[str, Any] | None = None,
    discriminator: nn.Module | None = None,
    other: nn.Module | None = None,
    source: str = "raise AssertionError('the source in the pickle was executed')",
    protocol: int = 3,
) -> Path:
    """{"G", "D", "G_ema", "training_set_kwargs", "augment_pipe"}, as stylegan2-ada-pytorch writes it.

    generator: what goes in as G_ema; `other` as G (None: the same network). init_kwargs: None means `nvidia_kwargs`.
    source: the Python text that the file carries for each module. protocol: 3 is what the published files have.
    """
    kwargs = nvidia_kwargs(generator) if init_kwargs is None else init_kwargs
    content = {
        "G": persistent(other or generator, source, kwargs),
        "D": None if discriminator is None else persistent(discriminator, source),
        "G_ema": persistent(generator, source, kwargs),
        "training_set_kwargs": EasyDict(
            class_name="training.dataset.ImageFolderDataset", path="ffhq.zip", use_labels=0
        ),
        "augment_pipe": None,
    }
    with _nvidia_modules(), path.open("wb") as file:
        pickle.dump(content, file, protocol=protocol)
    return path
