"""Is this machine ready? Each check is one line with what was found, and what to do where something is wrong."""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from models.assets import assets_dir
from models.errors import EveryageError
from pipelines.settings import Settings

GIB = 1024**3
LEAST_MEMORY_GIB, LEAST_DISK_GIB = 3.0, 1.0
PACKAGES = ("torch", "torchvision", "gradio", "diffusers", "facexlib", "safetensors", "pillow_heif", "av", "dbos")
NEED_TORCHVISION = {"torchvision", "diffusers", "facexlib"}
DISTRIBUTIONS = {"pillow_heif": "pillow-heif"}


@dataclass(frozen=True)
class Check:
    """One finding: `detail` says what is there, and what to do if it is not `ok`."""

    name: str
    ok: bool
    detail: str


def doctor(settings: Settings) -> dict[str, Any]:
    """All checks as {"ok": bool, "version": str, "checks": [{"name", "ok", "detail"}]}. Never raises; takes seconds."""
    checks = list(_all_checks(settings))
    return {
        "ok": all(check.ok for check in checks),
        "version": _version("everyage") or "from a folder",
        "checks": [asdict(check) for check in checks],
    }


def _all_checks(settings: Settings) -> Iterator[Check]:
    python = sys.version_info >= (3, 11)
    yield Check("python", python, platform.python_version() + ("" if python else "; 3.11 or newer is needed"))
    for name in PACKAGES:
        yield _guarded(name, partial(_package, name))
    yield _guarded("opencv", _opencv)
    yield _guarded("device", lambda: _device(settings))
    yield _guarded("memory", _memory)
    yield _guarded("data folder", lambda: _data_folder(settings.data))
    yield _guarded("disk", lambda: _disk(settings.data))
    yield from _assets()


def _guarded(name: str, find: Callable[[], tuple[bool, str]]) -> Check:
    """A check that breaks is a finding, too."""
    try:
        ok, detail = find()
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return Check(name, False, lines[0])
    return Check(name, ok, detail)


def _package(name: str) -> tuple[bool, str]:
    if name in NEED_TORCHVISION:
        from models.compat import ensure_torchvision

        ensure_torchvision()
    importlib.import_module(name)
    return True, _version(DISTRIBUTIONS.get(name, name)) or "found"


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _opencv() -> tuple[bool, str]:
    import cv2

    fits = int(cv2.__version__.split(".")[0]) == 4
    return fits, cv2.__version__ + ("" if fits else "; version 4 is needed: python -m pip install 'opencv-python<5'")


def _device(settings: Settings) -> tuple[bool, str]:
    import torch

    from pipelines.runtime import choose_device, choose_dtype, device_memory

    device = choose_device(settings.device)
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    dtype = str(choose_dtype(settings.dtype, device)).removeprefix("torch.")
    return True, f"{device} ({kind}, {device_memory(device) / GIB:.1f} GiB, {dtype})"


def _memory() -> tuple[bool, str]:
    import psutil

    memory = psutil.virtual_memory()
    enough = memory.available >= LEAST_MEMORY_GIB * GIB
    advice = "" if enough else f"; {LEAST_MEMORY_GIB:.0f} GiB are needed: close other programs"
    return enough, f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB free{advice}"


def _data_folder(data: Path) -> tuple[bool, str]:
    try:
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=data):
            pass
    except OSError as error:
        return False, f"{data} can't be written ({error.strerror or error}); choose another with --data"
    return True, f"{data} can be written"


def _disk(data: Path) -> tuple[bool, str]:
    existing = next(folder for folder in (data, *data.parents) if folder.exists())
    free = shutil.disk_usage(existing).free / GIB
    enough = free >= LEAST_DISK_GIB
    return enough, f"{free:.1f} GiB free" + ("" if enough else f"; {LEAST_DISK_GIB:.0f} GiB are needed")


def _assets() -> Iterator[Check]:
    """Each shipped weights file against the sha256 of its card."""
    files = sorted(assets_dir().rglob("*.safetensors"))
    if not files:
        yield Check("assets", False, f"no models in {assets_dir()}; install the app again")
    for path in files:
        yield _guarded(f"assets/{path.relative_to(assets_dir()).as_posix()}", partial(_asset, path))


def _asset(path: Path) -> tuple[bool, str]:
    card_path = path.with_suffix(".json")
    if not card_path.is_file():
        raise EveryageError("its card is missing; install the app again")
    expected = json.loads(card_path.read_text(encoding="utf-8")).get("sha256")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != expected:
        return False, f"damaged: sha256 {found[:12]}..., its card says {str(expected)[:12]}...; install the app again"
    return True, f"{path.stat().st_size / 1e6:.1f} MB, sha256 {found[:12]}..."
