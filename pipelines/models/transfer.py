"""One file over https: resumed after every interruption, checked before it gets its name.

While a file arrives it is called NAME.partial, and .notes/NAME.json says of which address and version (ETag) it is a
part. NAME itself appears only when length and SHA-256 are right.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from models.errors import EveryageError, InputError
from photos.files import make_folder, write_atomically
from pipelines.events import CancelToken, Eta, Event
from pipelines.models.web import MB, Interrupted, Manners, answer, content_range, reason_of, refuse, version_of

if TYPE_CHECKING:
    import httpx

TICK_S = 0.2  # between two events
WINDOW_S = 8.0  # of the speed that the time left is told by


@dataclass(frozen=True)
class Wanted:
    """A file to fetch. bytes, sha256: what it must be, where that is known; `max_bytes` stops what never ends."""

    url: str
    name: str
    bytes: int | None = None
    sha256: str | None = None
    max_bytes: int = 4_000 * MB


class NoRoom(InputError):
    """The disk is too full."""


class Transfer:
    """The download of one file into `folder`. Iterate `run()`; what has arrived stays for the next time."""

    def __init__(self, client: httpx.Client, wanted: Wanted, folder: Path, manners: Manners | None = None) -> None:
        self.client, self.wanted, self.manners = client, wanted, manners or Manners()
        self.path = folder / wanted.name
        make_folder(self.path.parent)
        self.partial = self.path.with_name(f"{self.path.name}.partial")
        self.notes = folder / ".notes" / f"{wanted.name}.json"
        make_folder(self.notes.parent)
        self.total = wanted.bytes
        self._pace = _Pace(self.manners)
        self._resumed = False

    def run(self, cancel: CancelToken) -> Iterator[Event]:
        """Events of stage "download" and "check"; afterwards `path` holds the whole file.

        Raises NoRoom, Cancelled, and EveryageError where the address is not safe, or where the file can't be had or is
        not the one that it should be.
        """
        failures, before = 0, -1
        if self.path.exists() and self._known().get("url") != self.wanted.url:
            self.discard()  # whole, but of another address, such as an older commit
        while not self.path.exists():
            cancel.check()
            try:
                yield from self._attempt(cancel)
                yield from self._finish(cancel)
            except Interrupted as error:
                have = self._have()
                failures = failures + 1 if have <= before else 1
                before = max(before, have)
                if failures >= self.manners.tries:
                    raise EveryageError(self._given_up(error)) from error
                yield self._event(f"The connection broke ({error}); trying again")
                self._pause(failures, error.wait_s, cancel)

    def discard(self) -> None:
        """Forget what has arrived."""
        for path in (self.path, self.partial, self.notes):
            path.unlink(missing_ok=True)

    def _attempt(self, cancel: CancelToken) -> Iterator[Event]:
        import httpx

        start = self._resumable()
        if self.total is not None and start == self.total:
            return
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and (tag := self._known().get("tag")):
            headers["If-Range"] = tag
        try:
            with answer(self.client, self.wanted.url, headers, self.manners) as response:
                refuse(response)
                start = self._place(response, start)
                self._check_size(start)
                yield from self._receive(response, start, cancel)
        except httpx.InvalidURL as error:
            raise EveryageError(f"{self.wanted.url} leads to an address that is none ({error}).") from error
        except httpx.HTTPError as error:
            raise Interrupted(reason_of(error)) from error

    def _resumable(self) -> int:
        """How much of what lies there may be kept: it must be a part of this address's file, and not too long."""
        have, known = self._have(), self._known()
        sure = known.get("tag") or self.wanted.sha256
        too_long = have > (self.wanted.bytes or self.wanted.max_bytes)
        if have and (known.get("url") != self.wanted.url or not sure or too_long):
            self.discard()
            return 0
        return have

    def _place(self, response: httpx.Response, start: int) -> int:
        """Where the answer's content begins; notes which version of the file it is."""
        tag = version_of(response)
        known = self._known().get("tag")
        if response.status_code == 416:
            self.partial.unlink(missing_ok=True)
            raise Interrupted("the server has no more of it")
        if response.status_code == 206:
            first, total = content_range(response)
            if first != start or (known and tag and tag != known):
                self.partial.unlink(missing_ok=True)
                raise Interrupted("the file changed on the server")
            self._set_total(total)
        else:
            start = 0  # the server starts over: it knows no ranges, or has another version now
            length = response.headers.get("content-length", "")
            self._set_total(int(length) if length.isdecimal() else None)
            chunked = "chunked" in response.headers.get("transfer-encoding", "")
            if self.total is None and self.wanted.sha256 is None and not chunked:
                raise EveryageError(
                    f"{self.wanted.url} does not say how long it is, so nobody could tell whether it came whole; "
                    "download it in your browser, then add the file."
                )
        self._resumed = start > 0
        if start == 0:
            self.partial.unlink(missing_ok=True)  # first: an old part must never lie beside a new note
            note = json.dumps({"url": self.wanted.url, "tag": tag}).encode()
            write_atomically(self.notes, lambda file: _write(file, note))
        return start

    def _set_total(self, total: int | None) -> None:
        wanted = self.wanted.bytes
        if wanted is not None and total is not None and total != wanted:
            self.discard()
            raise EveryageError(
                f"{self.wanted.url} has {total:,} bytes instead of {wanted:,}; it is not the file that is known, "
                "so nothing was kept."
            )
        self.total = wanted if wanted is not None else total

    def _check_size(self, start: int) -> None:
        if self.total is None:
            return
        if self.total > self.wanted.max_bytes:
            raise EveryageError(
                f"{self.wanted.url} has {self.total / MB:,.0f} MB; at most {self.wanted.max_bytes / MB:,.0f} MB are "
                "expected, so it was not downloaded."
            )
        check_disk(self.path.parent, self.total - start, self.manners.spare_bytes)

    def _receive(self, response: httpx.Response, start: int, cancel: CancelToken) -> Iterator[Event]:
        with self.partial.open("r+b" if start else "wb") as file:
            file.truncate(start)
            file.seek(start)
            have, told = start, 0.0
            self._pace.begin(start)
            for chunk in response.iter_raw():
                cancel.check()
                have += len(chunk)
                if have > (self.total if self.total is not None else self.wanted.max_bytes):
                    self.discard()
                    raise EveryageError(f"{self.wanted.url} sends more than it said; nothing was kept.")
                file.write(chunk)
                self._pace.check(have)
                if time.monotonic() - told >= TICK_S:
                    told = time.monotonic()
                    yield self._event(f"Downloading {self.wanted.name}", have)
            file.flush()
            os.fsync(file.fileno())
        if self.total is not None and have < self.total:
            raise Interrupted("it ended early")

    def _finish(self, cancel: CancelToken) -> Iterator[Event]:
        """Check the whole file as it lies on the disk, then give it its name."""
        digest = hashlib.sha256()
        size = self._have()
        if self.wanted.sha256 is not None:
            yield from hashing(self.partial, f"Checking {self.wanted.name}", digest, cancel)
            if digest.hexdigest() != self.wanted.sha256:
                self.discard()
                if self._resumed:  # a part from earlier may have been damaged; once more from the beginning
                    raise Interrupted("what had arrived before was damaged")
                raise EveryageError(
                    f"{self.wanted.url} is not the file that is known (sha256 {digest.hexdigest()[:12]}... instead of "
                    f"{self.wanted.sha256[:12]}...); nothing was kept."
                )
        self.partial.replace(self.path)
        yield Event("download", f"{self.wanted.name} is here", size, size)

    def _pause(self, failures: int, wait_s: float | None, cancel: CancelToken) -> None:
        manners = self.manners
        wait = wait_s if wait_s is not None else manners.pause_s * 2 ** (failures - 1)
        until = time.monotonic() + min(wait, manners.max_pause_s)
        while (left := until - time.monotonic()) > 0:
            cancel.check()
            threading.Event().wait(min(left, 0.1))

    def _given_up(self, error: Exception) -> str:
        kept = f"{self._have() / MB:,.0f} MB are kept, and the next try goes on from there"
        return f"{self.wanted.name} could not be downloaded ({error}); {kept if self._have() else 'try again later'}."

    def _event(self, message: str, have: int | None = None) -> Event:
        done = self._have() if have is None else have
        total = self.total or 0
        return Event("download", message, done, total, self._pace.left(done, total))

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self.notes.read_bytes())
        except (OSError, ValueError):  # none, or written when the machine stopped: then nothing is known
            return {}
        return known if isinstance(known, dict) else {}


class _Pace:
    """How quickly the bytes come: for the time left, and to notice a server that sends hardly anything."""

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self.begin(0)

    def begin(self, have: int) -> None:
        """A connection begins, with so many bytes here already."""
        self._at, self._have = time.monotonic(), have
        self._recent = deque([(self._at, have)])

    def check(self, have: int) -> None:
        """Raises Interrupted if the last while brought too little."""
        now = time.monotonic()
        if now - self._at < self._manners.stall_s:
            return
        if have - self._have < self._manners.least_rate * (now - self._at):
            raise Interrupted("the server hardly sends anything")
        self._at, self._have = now, have

    def left(self, have: int, total: int) -> float | None:
        """Seconds left at the speed of the last seconds; None while nothing can be said."""
        now = time.monotonic()
        self._recent.append((now, have))
        while len(self._recent) > 2 and now - self._recent[0][0] > WINDOW_S:
            self._recent.popleft()
        since, before = self._recent[0]
        if total <= 0 or have <= before or now - since < TICK_S:
            return None
        return max(total - have, 0) * (now - since) / (have - before)


def hashing(path: Path, message: str, digest: Any, cancel: CancelToken) -> Iterator[Event]:
    """Feed the file to `digest`, with events of stage "check"."""
    size, done, told, eta = path.stat().st_size, 0, 0.0, Eta()
    with path.open("rb") as file:
        while chunk := file.read(4 * MB):
            cancel.check()
            digest.update(chunk)
            done += len(chunk)
            if time.monotonic() - told >= TICK_S:
                told = time.monotonic()
                yield Event("check", message, done, size, eta.update(done, size))


def check_disk(folder: Path, needed: int, spare: int = Manners.spare_bytes) -> None:
    """Raises NoRoom if `needed` bytes do not fit beside what should stay free."""
    free = shutil.disk_usage(folder).free
    if needed + spare > free:
        raise NoRoom(
            f"{folder} has {free / MB:,.0f} MB free, and {(needed + spare) / MB:,.0f} MB are needed; "
            "make room, or choose another folder with --data."
        )


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
