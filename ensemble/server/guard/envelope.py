"""The outermost layer: a request id, headers for browsers, and a word for failures."""

from __future__ import annotations

import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ensemble.server.refusals import (
    Refusal,
    answer_http_error,
    answer_refusal,
    refusal_of_fault,
    refusal_response,
)

log = logging.getLogger("ensemble.server")

SECURITY_HEADERS = {
    # Nothing from elsewhere, and nothing written inside a page.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not no-referrer, with which browsers hide the origin of our own forms as well.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer."""
_NOT_KEPT = "no-store"


class Envelope:
    """Give every request an id, and every answer headers; say what failed.

    Answers are not kept by browsers, as they are about somebody's clips; pages that may
    be kept (styles and scripts) say so themselves.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["request_id"] = secrets.token_hex(8)
        started = time.monotonic()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", _NOT_KEPT)
                headers["x-request-id"] = scope["request_id"]
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except (Refusal, HTTPException) as error:
            # Of a layer further in that stands before the pages.
            if status:
                raise
            respond = (
                answer_refusal if isinstance(error, Refusal) else answer_http_error
            )
            response = await respond(Request(scope), error)
            await response(scope, receive, send_with_headers)
        except Exception as error:
            # The address is all that is written of a request: names are private.
            log.exception("Request %s failed", scope["request_id"])
            if status:
                raise
            refusal = refusal_of_fault(error, scope["request_id"]) or Refusal(
                500,
                "failure",
                "The server failed at this request; it goes on with others. Its "
                f"terminal says more under {scope['request_id']}.",
            )
            response = refusal_response(Request(scope), refusal)
            await response(scope, receive, send_with_headers)
        seconds = time.monotonic() - started
        log.info(
            "%s %s %s: %d, %.2f s",
            scope["request_id"],
            scope["method"],
            scope["path"],
            status,
            seconds,
        )
