"""Refuse requests that a page of elsewhere makes a browser send.

A server that only this machine reaches is reached by every page in its browsers. A name
that such a page's owner lets point at 127.0.0.1 ("DNS rebinding") would make it one
origin with the server; so names other than those that are ours are refused. Addresses
are never such names. What changes something comes from our own pages, or from programs,
which send no ``Origin``.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ensemble.server.refusals import Refusal, refusal_response

_READING = ("GET", "HEAD")
# Nothing of a path or an account: addresses of this server are made of what is let in.
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([\w.-]+))(?::[0-9]{1,5})?", re.ASCII)


class OriginCheck:
    """Let through what is asked for by name or address, and by our own pages.

    Parameters
    ----------
    app : ASGI application
    names : of the server, beside its addresses, ``localhost`` and that of the machine
    """

    def __init__(self, app: ASGIApp, names: Collection[str] = ()) -> None:
        self.app = app
        own = ("localhost", socket.gethostname(), *names)
        self.names = {name.lower() for name in own}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http":
            request = Request(scope)
            refusal = self._refusal(request)
            if refusal is not None:
                await refusal_response(request, refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, request: Request) -> Refusal | None:
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return Refusal(
                421,
                "host",
                f"This server does not answer under the name {host[:100]!r}; ask for "
                "its address, or start it with --name and that name.",
            )
        if request.method in _READING:
            return None
        origin = request.headers.get("origin")
        site = request.headers.get("sec-fetch-site", "none")
        # The scheme may differ behind a proxy that adds TLS.
        is_foreign = origin is not None and origin.partition("://")[2] != host
        if is_foreign or site not in ("same-origin", "none"):
            return Refusal(
                403,
                "origin",
                f"This was sent by a page of {(origin or 'elsewhere')[:100]!r}; send "
                "it from a page of this server, or from a program.",
            )
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header is an address, or one of our names."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1] or found[2]
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower().rstrip(".") in self.names
        return True
