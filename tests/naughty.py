"""A web server for tests of downloads: it can break off, stall, lie, forget ranges, and change its file."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request, as the server saw it, and how many bytes of content it sent."""

    path: str
    range: str | None
    if_range: str | None
    sent: int = 0


@dataclass
class Naughty:
    """The server's files and its tricks. Every trick is for the next requests only: it is used up one by one."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str | None = '"one"'
    ranges: bool = True
    tricks: list[Callable[[Any, bytes], bool]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    url: str = ""
    port: int = 0

    def put(self, path: str, content: bytes) -> str:
        """Serve this content; returns its address."""
        self.files[path] = content
        return f"{self.url}{path}"

    @property
    def bytes_sent(self) -> int:
        return sum(asked.sent for asked in self.asked)


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def break_off(after: int) -> Callable[[Any, bytes], bool]:
    """Send so many bytes of the content, then reset the connection."""

    def trick(handler: Any, content: bytes) -> bool:
        handler.start(200 if handler.first == 0 else 206, content)
        handler.send(content[handler.first : handler.first + after])
        time.sleep(0.05)  # a reset throws away what was not read yet
        handler.close_connection = True
        handler.connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset, not a polite end
        handler.connection.close()
        return True

    return trick


def stall(after: int, seconds: float) -> Callable[[Any, bytes], bool]:
    """Send so many bytes, then nothing for a while."""

    def trick(handler: Any, content: bytes) -> bool:
        handler.start(200 if handler.first == 0 else 206, content)
        handler.send(content[handler.first : handler.first + after])
        time.sleep(seconds)
        handler.close_connection = True
        return True

    return trick


def drip(pause: float, count: int) -> Callable[[Any, bytes], bool]:
    """Send one byte at a time, slowly."""

    def trick(handler: Any, content: bytes) -> bool:
        handler.start(200 if handler.first == 0 else 206, content)
        for i in range(count):
            handler.send(content[handler.first + i : handler.first + i + 1])
            time.sleep(pause)
        handler.close_connection = True
        return True

    return trick


def refuse(code: int, **headers: str) -> Callable[[Any, bytes], bool]:
    """Answer with this code and no content."""

    def trick(handler: Any, content: bytes) -> bool:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    return trick


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    naughty: Naughty
    first = 0

    def do_GET(self) -> None:
        naughty = self.naughty
        path = self.path.partition("?")[0]
        self.asked = Asked(self.path, self.headers.get("Range"), self.headers.get("If-Range"))
        naughty.asked.append(self.asked)
        if path in naughty.redirects:
            self.send_response(302)
            self.send_header("Location", naughty.redirects[path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = naughty.files.get(path)
        if content is None:
            self.send_error(404)
            return
        self.first = self.wanted_first(len(content))
        if self.first >= len(content) > 0 and self.first:
            self.send_response(416)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if naughty.tricks and naughty.tricks.pop(0)(self, content):
            return
        self.start(206 if self.first else 200, content)
        self.send(content[self.first :])

    def wanted_first(self, size: int) -> int:
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        tag = self.headers.get("If-Range")
        if not found or not self.naughty.ranges or (tag is not None and tag != self.naughty.etag):
            return 0
        return int(found[1])

    def start(self, code: int, content: bytes) -> None:
        self.send_response(code)
        if code == 206:
            self.send_header("Content-Range", f"bytes {self.first}-{len(content) - 1}/{len(content)}")
        headers = {"Content-Length": str(len(content) - self.first)} | self.naughty.headers
        if self.naughty.etag:
            headers["ETag"] = self.naughty.etag
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def send(self, content: bytes) -> None:
        try:
            self.wfile.write(content)
            self.wfile.flush()
            self.asked.sent += len(content)
        except OSError:
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Connections that break are what this server is for."""


@contextmanager
def serving(port: int = 0) -> Iterator[Naughty]:
    """The server in a thread, on this machine alone."""
    naughty = Naughty()
    handler = type("Handler", (_Handler,), {"naughty": naughty})
    with _Server(("127.0.0.1", port), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        naughty.port = server.server_address[1]
        naughty.url = f"http://127.0.0.1:{naughty.port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield naughty
        finally:
            server.shutdown()
            thread.join()
