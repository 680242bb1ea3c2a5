"""Conversion in a process of its own, with limits of time and memory. Nothing in here loads PyTorch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import Cancelled, EveryageError, InputError
from .record import Converted
from .source import file_sha256, open_source, own_header

ROOT = Path(__file__).resolve().parent.parent.parent
POLL_S = 0.05
GRACE_S = 5.0
WORK = ".convert-"
STALE_S = 24 * 3600
SECONDS = 900.0
MEMORY_GB = 8.0
DTYPES = ("float32", "float16", "bfloat16")


def convert_safely(
    source: str | Path,
    out: str | Path,
    *,
    dtype: str = "float32",
    sha256: str | None = None,
    seconds: float = SECONDS,
    memory_gb: float = MEMORY_GB,
    cancel: Callable[[], bool] | None = None,
) -> Converted:
    """`convert` in a process that has limits, no network, no other processes, and may write beside `out` only.

    source: any file, trusted or not. out: a .safetensors file, which appears whole or not at all; a failure leaves
    nothing behind. dtype: of all floats, "float32", "float16" or "bfloat16". sha256: what the source must be, in
    hexadecimal digits, where that is known. seconds, memory_gb: limits; the full SAM takes about 10 s and 2.5 GB of
    address space. cancel: asked about twenty times a second whether to stop.

    Raises InputError for a file that is unknown, damaged, hostile or not the expected one, or that goes beyond a
    limit; Cancelled; EveryageError for a full disk.
    """
    source, out = Path(source).absolute(), Path(out).absolute()
    if dtype not in DTYPES:
        raise InputError(f"Weights can be stored as {', '.join(DTYPES)}, not as {dtype!r}.")
    open_source(source).close()
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist; make it first.")
    _sweep(out.parent)
    # In a folder of its own, so that nothing stays behind, wherever the other process stops.
    with tempfile.TemporaryDirectory(prefix=WORK, dir=out.parent, ignore_cleanup_errors=True) as folder:
        made = Path(folder) / out.name
        request = {"source": str(source), "out": str(made), "dtype": dtype, "memory_gb": memory_gb}
        record = _run(request, source.name, seconds, cancel)
        if sha256 is not None and record.sha256 != sha256.lower():
            raise InputError(
                f"{source.name} is not the published file: its sha256 begins with {record.sha256[:12]} instead of "
                f"{sha256[:12]}; get it from its authors' page."
            )
        made.replace(out)
    return record


def _sweep(folder: Path) -> None:
    """Remove what was left where this process itself was killed, long ago."""
    for left in folder.glob(f"{WORK}*"):
        if time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def _run(request: dict[str, Any], name: str, seconds: float, cancel: Callable[[], bool] | None) -> Converted:
    command = [sys.executable, "-m", "models.foreign.worker"]
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complaints:
        # With -m Python looks for modules in the current folder first: that must be ours, not where a download lies.
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=said, stderr=complaints, text=True, encoding="utf-8"
        )
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it ended at once; its exit code says how
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            _wait(process, name, seconds, cancel)
            return _answer(process.returncode, said, complaints, name)
        finally:
            _end(process)


def _wait(process: subprocess.Popen[str], name: str, seconds: float, cancel: Callable[[], bool] | None) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            process.wait(POLL_S)
            return
        except subprocess.TimeoutExpired:
            if cancel is not None and cancel():
                raise Cancelled from None
            if time.monotonic() > deadline:
                raise InputError(
                    f"{name} could not be read within {seconds:g} seconds; it is damaged, hostile or very large."
                ) from None


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(GRACE_S)
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _answer(code: int, said: IO[str], complaints: IO[str], name: str) -> Converted:
    said.seek(0)
    lines = said.read().splitlines()
    reply = _parsed(lines[-1]) if lines else {}
    if "converted" in reply:
        return Converted.from_dict(reply["converted"])
    if "error" in reply:
        kind = InputError if reply.get("exit_code") == InputError.exit_code else EveryageError
        raise kind(reply["error"])
    if code < 0:
        raise InputError(
            f"{name} stopped the process that read it (signal {-code}); it is damaged, hostile or too large."
        )
    complaints.seek(0)
    last = (complaints.read().strip().splitlines() or ["no message"])[-1]
    raise EveryageError(f"{name} could not be converted ({ascii(last)[1:-1][:200]}); report this with the file's name.")


def _parsed(line: str) -> dict[str, Any]:
    try:
        reply = json.loads(line)
    except ValueError:
        return {}
    return reply if isinstance(reply, dict) else {}


@contextmanager
def converted(path: str | Path, cache: Path | None = None) -> Iterator[Path]:
    """The path of a file in one of our own forms, for the length of a `with`.

    A file that is in our form already comes back as it is. Any other goes through `convert_safely`: into `cache`, under
    the sha256 of its content, where the next call finds it; without a cache into a temporary folder that is removed at
    the end. Raises what `convert_safely` raises.
    """
    path = Path(path)
    if own_header(path) is not None:
        yield path
    elif cache is None:
        with tempfile.TemporaryDirectory(prefix="everyage-", ignore_cleanup_errors=True) as folder:
            out = Path(folder) / f"{path.stem}.safetensors"
            convert_safely(path, out)
            yield out
    else:
        yield _cached(path, cache)


def _cached(path: Path, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    sha256 = file_sha256(path)
    out = cache / f"{sha256}.safetensors"
    if not (out.is_file() and _whole(out)):
        convert_safely(path, out, sha256=sha256)
    return out


def _whole(path: Path) -> bool:
    """Whether a converted file is still as it was written; one that is damaged is simply made again."""
    try:
        return own_header(path) is not None
    except InputError:
        return False
