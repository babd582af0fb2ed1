"""Ask every request for a token: of programs as a header, of browsers once."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ensemble.server.forms import read_text_form
from ensemble.server.pages import page
from ensemble.server.refusals import Refusal, refusal_response, wants_page

LOGIN = "/login"
_OPEN_TO_ALL = (LOGIN, "/health")
_STATIC = "/static/"
_BEARER = "bearer "


class TokenCheck:
    """Let through requests with the token, or with the cookie that a login gives.

    The cookie is not the token: it is made of it and of a secret of this process, so
    that it ends with the server. It is sent by pages of this server alone
    (``SameSite=Strict``), and no script can read it.

    Parameters
    ----------
    app : ASGI application
    token : str
        "" lets everybody through.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token
        secret = secrets.token_bytes(32)
        self.session = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
        # Servers on other ports share the cookies of a host; each has its own name.
        self.cookie = f"stackedmos_{secrets.token_hex(4)}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or ask for the token."""
        if scope["type"] != "http" or not self.token:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        response = await self._response(request)
        await (response or self.app)(scope, receive, send)

    async def _response(self, request: Request) -> Response | None:
        """What is answered in place of the page; None lets the request through."""
        # As it is routed; `request.url` is made of the Host header as well.
        path: str = request.scope["path"]
        if path == LOGIN and request.method == "POST":
            return self._login(await read_text_form(request, max_files=0, max_fields=4))
        if path == LOGIN:
            return self._login_page(request, "/")
        if path in _OPEN_TO_ALL or path.startswith(_STATIC) or self._is_known(request):
            return None

        if request.method == "GET" and "token" in request.query_params:
            # Into a cookie and out of the address, which is shown, kept and copied.
            if not _is_same(request.query_params["token"], self.token):
                return self._refused(request)
            others = [
                pair
                for pair in request.query_params.multi_items()
                if pair[0] != "token"
            ]
            target = f"{path}?{urlencode(others)}" if others else path
            return self._with_cookie(target)
        if request.method == "GET" and wants_page(request):
            return self._login_page(request, path)
        return self._refused(request)

    def _is_known(self, request: Request) -> bool:
        shown = request.headers.get("authorization", "")
        if shown[: len(_BEARER)].lower() == _BEARER:
            return _is_same(shown[len(_BEARER) :].strip(), self.token)
        return _is_same(request.cookies.get(self.cookie, ""), self.session)

    def _login(self, form: FormData) -> Response:
        target = form.get("next")
        if not isinstance(target, str) or not _is_local(target):
            target = "/"
        token = form.get("token")
        if isinstance(token, str) and _is_same(token.strip(), self.token):
            return self._with_cookie(target)
        words = urlencode({"wrong": "1"})
        return RedirectResponse(f"{LOGIN}?{words}", status_code=303)

    def _with_cookie(self, target: str) -> Response:
        response = RedirectResponse(target, status_code=303)
        response.set_cookie(self.cookie, self.session, httponly=True, samesite="strict")
        return response

    def _login_page(self, request: Request, target: str) -> Response:
        return page(
            request,
            "login.html.j2",
            status_code=401,
            title="This server asks for a token",
            target=target,
            is_wrong="wrong" in request.query_params,
        )

    def _refused(self, request: Request) -> Response:
        refusal = Refusal(
            401,
            "token",
            "This server asks for the token that its terminal shows: send it as the "
            "header `Authorization: Bearer TOKEN`, or open /login in a browser.",
            headers={"www-authenticate": "Bearer"},
        )
        return refusal_response(request, refusal)


def _is_same(given: str, expected: str) -> bool:
    """Compare in a time that does not tell how much is right."""
    return hmac.compare_digest(given.encode(), expected.encode())


def _is_local(target: str) -> bool:
    """Whether a target of a redirection stays on this server."""
    return target.startswith("/") and not target.startswith(("//", "/\\"))
