"""Refuse bodies that are too large, before they are in memory or on the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensemble.server.refusals import Refusal, refusal_response

USUAL_BYTES = 1_000_000
"""Where files are not uploaded."""
FORM_BYTES = 1_000_000
"""What a form may have beside its files: names, prompts, boundaries."""
# A browser shows an answer only once it has sent all, so a little too much is read and
# dropped; for longer than that nobody is listened to.
_DROPPED_SHARE = 4
_SECONDS_OF_DROPPING = 30.0


class BodyLimit:
    """Count the bytes of bodies as they come, and stop at the limit.

    Parameters
    ----------
    app : ASGI application
    limits : path → bytes, where it is not `USUAL_BYTES`
    """

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        self.app = app
        self.limits = dict(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limits.get(scope["path"], USUAL_BYTES)
        request = Request(scope)
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            if int(declared) <= _DROPPED_SHARE * limit:
                await _drop(receive, _DROPPED_SHARE * limit)
            refusal = _too_large(limit)
            await refusal_response(request, refusal)(scope, receive, send)
            return

        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    if message.get("more_body"):
                        await _drop(receive, _DROPPED_SHARE * limit)
                    raise _too_large(limit)
            return message

        await self.app(scope, receive_some, send)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413,
        "too_large",
        f"More than {limit / 1e6:g} MB in one request; send fewer or shorter clips at "
        "a time, or start the server with a larger --max-megabytes.",
        headers={"connection": "close"},
    )


async def _drop(receive: Receive, most: int) -> None:
    """Read on without keeping anything."""
    dropped = 0
    try:
        async with asyncio.timeout(_SECONDS_OF_DROPPING):
            while dropped < most:
                message = await receive()
                dropped += len(message.get("body", b""))
                if not message.get("more_body"):
                    return
    except TimeoutError:
        return
