"""Asking web servers: which addresses are followed, which answers count, and when to ask again."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from models.errors import EveryageError

if TYPE_CHECKING:
    import httpx

MB = 1_000_000
AGAIN = {408, 425, 429, 500, 502, 503, 504}
DENIED = {401, 403, 407, 451}
REDIRECTS = {301, 302, 303, 307, 308}


@dataclass(frozen=True)
class Manners:
    """How patient a download is. `stall_s`: without data for so long, or slower than `least_rate`, it starts anew."""

    stall_s: float = 20.0
    least_rate: int = 1000  # bytes a second, measured over stall_s
    tries: int = 6  # failures in a row without a single new byte
    pause_s: float = 1.0  # before the second try; doubles up to max_pause_s
    max_pause_s: float = 30.0
    hops: int = 5
    spare_bytes: int = 256 * MB  # stays free on the disk


class Interrupted(Exception):
    """The connection broke, stalled or was refused for now; worth another try."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def is_loopback(host: str) -> bool:
    """Whether this name means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_url(url: Any, origin: Any = None) -> None:
    """Raises EveryageError unless `url` (an httpx.URL) is https, or http on this machine.

    A server elsewhere (`origin`) may not send us to this machine.
    """
    local = is_loopback(url.host)
    if url.scheme != "https" and not (url.scheme == "http" and local):
        raise EveryageError(f"{url} is not a safe address; only https is followed.")
    if local and origin is not None and not is_loopback(origin.host):
        raise EveryageError(f"{origin.host} leads to {url}, an address of this machine; that is not followed.")


@contextmanager
def connect(manners: Manners | None = None) -> Iterator[httpx.Client]:
    """The client for `fetch` and `get_json`; it follows no redirect by itself."""
    import httpx

    stall = (manners or Manners()).stall_s
    timeout = httpx.Timeout(stall, connect=min(stall, 15.0))
    headers = {"User-Agent": "everyage", "Accept-Encoding": "identity"}
    with httpx.Client(timeout=timeout, headers=headers, follow_redirects=False) as client:
        yield client


@contextmanager
def answer(client: httpx.Client, url: str, headers: dict[str, str], manners: Manners) -> Iterator[httpx.Response]:
    """The answer after all redirects, each of which is checked."""
    import httpx

    here = httpx.URL(url)
    check_url(here)
    for _ in range(manners.hops + 1):
        with client.stream("GET", here, headers=headers) as response:
            if response.status_code not in REDIRECTS:
                yield response
                return
            there = here.join(response.headers.get("location", ""))
        check_url(there, here)
        here = there
    raise EveryageError(
        f"{url} leads from one address to the next more than {manners.hops} times; that is not followed."
    )


def refuse(response: httpx.Response) -> None:
    """Raises for an answer that is no content: EveryageError for good, Interrupted for now."""
    code = response.status_code
    if code in AGAIN:
        wait = response.headers.get("retry-after", "")
        raise Interrupted(f"the server answers {code}", float(wait) if wait.isdecimal() else None)
    if code in DENIED:
        raise EveryageError(
            f"{response.url.host} does not give the file without an account (answer {code}); "
            "download it from its page in your browser, then add the file."
        )
    if code not in (200, 206, 416):
        raise EveryageError(f"{response.url} can't be downloaded (answer {code}); add the file by hand.")


def get_json(client: httpx.Client, url: str, most: int = 16 * MB, manners: Manners | None = None) -> Any:
    """A small JSON document. Raises EveryageError if it can't be had, is too large, or is none."""
    import httpx

    try:
        with answer(client, url, {}, manners or Manners()) as response:
            refuse(response)
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > most:
                    raise EveryageError(
                        f"{url} answers with more than {most / MB:.0f} MB; that is not what it should be."
                    )
        return json.loads(body)
    except (httpx.HTTPError, Interrupted) as error:
        raise EveryageError(f"{url} does not answer ({reason_of(error)}); try again later.") from error
    except ValueError as error:
        raise EveryageError(f"{url} answers with something else than expected ({error}).") from error


def version_of(response: httpx.Response) -> str | None:
    """What tells this version of the file from others: a strong ETag, or else the date of its last change."""
    tag = response.headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    changed: str | None = response.headers.get("last-modified")
    return changed


def content_range(response: httpx.Response) -> tuple[int, int | None]:
    """Where a partial answer begins, and how long the whole is, if it says; (-1, None) if it says nothing."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("content-range", ""))
    if not found:
        return -1, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def reason_of(error: Exception) -> str:
    """Why a request failed, in a few words."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
