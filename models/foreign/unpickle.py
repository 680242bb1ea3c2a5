"""NVIDIA's network pickles (stylegan2-ada-pytorch), read as data.

Such a file holds each module as a call of `_reconstruct_persistent_obj` with a dictionary: class name, state, and the
source text of a whole Python file that NVIDIA's loader executes. Here the call becomes a `Record`, and the text is
dropped unread. The tensors lie in files within the file, which NVIDIA's loader unpickles without any check; here they
go the same guarded way as every PyTorch file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from .machine import Machine, Record, Rule
from .refusal import Refused, shown
from .tensors import TensorStub, check_amount, parameter_stub, tensor_stub
from .torchfile import dictionary, load_storage, nested_storage

MAX_DEPTH = 16
_FORMATS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i", "u8": "<Q", "u4": "<I", "b1": "<?"}
TENSORFLOW = (
    "is a TensorFlow pickle of the first StyleGAN2, which only TensorFlow can read; "
    "turn it into a PyTorch one with legacy.py of stylegan2-ada-pytorch, or take ffhq.pkl or stylegan2-ffhq-config-f.pt"
)


class DType(Record):
    """numpy.dtype: only its code ("f8") matters; little-endian is the only order that there is on disk."""

    def build(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 2 or state[1] not in ("<", "|", "="):
            raise Refused("holds numbers of another byte order")


def _dtype(code: Any, *_: Any) -> DType:
    if type(code) is not str:
        raise Refused("holds numbers of an unknown type")
    return DType("numpy.dtype", {"code": code})


def _scalar(dtype: Any, data: Any) -> float | int | bool:
    code = dtype.state["code"] if type(dtype) is DType else None
    if code not in _FORMATS or type(data) is not bytes:
        raise Refused("holds a number of an unknown type")
    return struct.unpack(_FORMATS[code], data)[0]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    """How protocol 2 writes bytes."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused("holds bytes in an unknown form")
    return text.encode("latin1")


def _set(values: Any = ()) -> list[Any]:
    return list(values) if type(values) in (list, tuple) else []


def _module(meta: Any) -> Record:
    if type(meta) is not dict or type(meta.get("class_name")) is not str or type(meta.get("state")) is not dict:
        raise Refused("holds a network without a name or a state")
    return Record(meta["class_name"], meta["state"])


def _tensorflow(*_: Any) -> Any:
    raise Refused(TENSORFLOW)


CALLS: dict[str, Rule] = {
    "collections.OrderedDict": dictionary,
    "dnnlib.util.EasyDict": dictionary,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "_codecs.encode": _encode,
    "numpy.dtype": _dtype,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray.scalar": _scalar,
    "torch._utils._rebuild_parameter": parameter_stub,
    "torch._utils._rebuild_tensor_v2": tensor_stub,
    "torch.storage._load_from_bytes": nested_storage,
    "torch_utils.persistence._reconstruct_persistent_obj": _module,
    "dnnlib.tflib.network.Network": _tensorflow,
}


@dataclass(frozen=True)
class NvidiaNetwork:
    """tensors: parameters and buffers by name, each loaded when it is taken. kwargs: the constructor's arguments.

    contained, left_out: what the file held, and what of that is not in here, for the person.
    """

    tensors: Mapping[str, TensorStub]
    kwargs: Mapping[str, Any]
    contained: tuple[str, ...]
    left_out: tuple[str, ...]

    def load(self) -> dict[str, Tensor]:
        """All tensors, on the CPU."""
        return {name: load_stub(stub) for name, stub in self.tensors.items()}


def load_stub(stub: TensorStub) -> Tensor:
    """The tensor that a stub describes."""
    return load_storage(stub.storage).as_strided(stub.shape, stub.stride, stub.offset)


def read_nvidia_pickle(path: Path) -> NvidiaNetwork:
    """The generator of a pickle: G_ema of a snapshot, or the one network of the file. Raises Refused or Damaged."""
    with path.open("rb") as file:
        tree = Machine(file, path.stat().st_size, CALLS).load()
    check_amount(tree)
    parts = tree if type(tree) is dict else {"network": tree}
    networks = {str(name): part for name, part in parts.items() if type(part) is Record}
    contained = tuple(f"{shown(name)} ({shown(net.name)})" for name, net in networks.items())
    chosen = "G_ema" if "G_ema" in networks else "network"
    if chosen not in networks or networks[chosen].name != "Generator":
        raise Refused(f"holds no generator under the name G_ema, but {', '.join(contained) or 'no network'}")
    network = networks[chosen]
    left_out = tuple(shown(str(name)) for name, part in parts.items() if name != chosen and part is not None)
    return NvidiaNetwork(dict(walk(network)), init_kwargs(network), contained, left_out)


def walk(module: Record, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, TensorStub]]:
    """Names and tensors of a module and its children, as `state_dict` would list them."""
    seen = set() if seen is None else seen
    if prefix.count(".") > MAX_DEPTH or id(module) in seen:
        raise Refused(f"has one network in two places, or networks nested more than {MAX_DEPTH} deep")
    seen.add(id(module))
    skipped = part(module, "_non_persistent_buffers_set", list)
    for group in ("_parameters", "_buffers"):
        for name, value in part(module, group, dict).items():
            if type(value) is TensorStub and not (group == "_buffers" and name in skipped):
                yield f"{prefix}{name}", value
    for name, child in part(module, "_modules", dict).items():
        if type(child) is Record:
            yield from walk(child, f"{prefix}{name}.", seen)


def part(module: Record, name: str, kind: type[Any]) -> Any:
    """An attribute of a module; empty where it is missing or of another type."""
    value = module.state.get(name)
    return value if type(value) is kind else kind()


def init_kwargs(module: Record) -> dict[str, Any]:
    """The arguments of the constructor; older files give some of them by position."""
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    given = dict(zip(names, part(module, "_init_args", tuple), strict=False))
    return given | part(module, "_init_kwargs", dict)
