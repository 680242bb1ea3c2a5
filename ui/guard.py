"""Who may talk to the server: this machine's own browser, and no other web site through it."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

READING = {"GET", "HEAD", "OPTIONS"}


class LocalOnly:
    """ASGI middleware. Refuses (403) a Host that is not ours, and requests that another site's page sends.

    The first stops DNS rebinding: a hostile name that points to 127.0.0.1. The second stops a page on the web from
    posting to the app behind the person's back; a link to the app still opens it.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        """hosts: the names that the app answers to, without ports; None answers to all (a server with a password)."""
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            reason = self.refusal(scope)
            if reason:
                await PlainTextResponse(reason, status_code=403)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def refusal(self, scope: Scope) -> str | None:
        """Why this request is refused, or None."""
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get("host", "")
        if self.hosts is not None and urlsplit(f"//{host}").hostname not in self.hosts:
            return "This name does not lead here."
        if scope.get("method", "GET") in READING:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return "Another site may not do this."
        return None
