"""Kinds of jobs that are quick to do and easy to check, and a worker of them in a process of its own.

`python -m tests.fake_jobs DATA` works; the kill tests and the benchmark of killed jobs start it.
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path
from typing import Any

from models.errors import EveryageError, InputError
from photos.files import write_atomically
from pipelines.events import CancelToken, Event
from pipelines.jobs.kind import JobKind, Tell
from pipelines.settings import load_settings

KINDS = {"frames": "tests.fake_jobs:Frames"}


class Frames(JobKind):
    """`frames` frames in chunks of `chunk`, each a hash of its number; the result joins them in one file.

    request: frames, chunk, step_s (time a frame takes), out, and where to fail: fail (frame), how (which way).
    """

    name = "frames"

    def check(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("frames", 0) < 1:
            raise InputError("There are no frames in it; give some.")
        return {"chunk": 30, "step_s": 0.0, "out": "", "fail": -1, "how": "", "picture": False} | request

    def title(self, request: dict[str, Any]) -> str:
        return f"{request['frames']} frames"

    def chunks(self, request: dict[str, Any], folder: Path) -> list[str]:
        if not (folder / "look.txt").exists():
            return ["look"]
        return [f"part-{n}" for n in range(self._parts(request)) if not (folder / f"part-{n}.txt").exists()]

    def of(self, request: dict[str, Any], folder: Path) -> int:
        return self._parts(request) + 1

    def work(self, request: dict[str, Any], folder: Path, chunk: str, tell: Tell, cancel: CancelToken) -> None:
        path = folder / f"{chunk}.txt"
        if path.exists():
            return
        numbers = range(1) if chunk == "look" else self._numbers(request, int(chunk.partition("-")[2]))
        with (folder / "begun.log").open("a") as log:
            log.write(f"{chunk}\n")

        def fill(file: Any) -> None:
            for done, number in enumerate(numbers, start=1):
                cancel.check()
                self._fail(request, number)
                time.sleep(request["step_s"])
                file.write(frame(number).encode())
                file.flush()
                tell(Event("age", f"Frame {number}", done, len(numbers), value=self._picture(request, number)))

        write_atomically(path, fill)
        with (folder / "ended.log").open("a") as log:
            log.write(f"{chunk}\n")

    def finish(self, request: dict[str, Any], folder: Path, tell: Tell, cancel: CancelToken) -> dict[str, Any]:
        out = Path(request["out"] or folder / "all.txt")
        parts = [folder / f"part-{n}.txt" for n in range(self._parts(request))]
        if request["how"] == "slow finish":
            for _ in range(200):
                cancel.check()
                time.sleep(0.05)
        if all(part.exists() for part in parts):  # else it was killed while it removed them
            write_atomically(out, lambda file: file.write(b"".join(part.read_bytes() for part in parts)))
        for part in parts:
            part.unlink(missing_ok=True)
        return {"files": [str(out)], "frames": request["frames"]}

    def _parts(self, request: dict[str, Any]) -> int:
        return -(-request["frames"] // request["chunk"])

    def _numbers(self, request: dict[str, Any], part: int) -> range:
        return range(part * request["chunk"], min((part + 1) * request["chunk"], request["frames"]))

    def _fail(self, request: dict[str, Any], number: int) -> None:
        mended = self.settings.data / "mended"
        if number != request["fail"] or mended.exists():
            return
        if request["how"] == "sentence":
            raise EveryageError("The frame is torn; mend it.")
        if request["how"] == "full":
            raise OSError(28, "No space left on device")
        raise ZeroDivisionError("nobody thought of this")

    def _picture(self, request: dict[str, Any], number: int) -> Any:
        if not request["picture"]:
            return None
        from PIL import Image

        return Image.new("RGB", (1024, 512), (number % 256, 0, 0))


def frame(number: int) -> str:
    """What a frame looks like: one line."""
    return hashlib.sha256(str(number).encode()).hexdigest() + "\n"


def whole(frames: int) -> bytes:
    """The result of an undisturbed job."""
    return "".join(map(frame, range(frames))).encode()


def main(data: str) -> None:
    """Work until killed."""
    from pipelines.jobs.worker import work

    work(load_settings(data=Path(data)), kinds=KINDS, wait=True)


if __name__ == "__main__":
    main(sys.argv[1])
