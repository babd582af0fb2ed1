"""How a request is refused: a sentence with a cure, as JSON or as a page."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from base_models.errors import MachineFault, OutOfSpace, UsageError, machine_fault
from ensemble.server.pages import page

_TITLES = {
    400: "This cannot be used",
    401: "This server asks for a token",
    403: "Not from there",
    404: "There is nothing here",
    405: "Not that way",
    408: "That took too long",
    413: "That is too much",
    415: "Not such files",
    421: "Not under that name",
    422: "No clip could be scored",
    503: "Not now",
    504: "That took too long",
    507: "There is no space left here",
}
# Of SQLite, which says less than the system: full, and files that fail.
_SQLITE_FULL = {sqlite3.SQLITE_FULL}
_SQLITE_FAULTS = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM}
_OTHERS = "Something went wrong here"


class Refusal(UsageError):
    """A request that is not answered as it wishes.

    Parameters
    ----------
    status : int
        Of HTTP.
    word : str
        The reason in one word, for programs.
    message : str
        What is wrong with what was seen, what is legal, and the cure.
    clip : str, optional
        Name of the file that it is about.
    headers : mapping of str to str, optional
    """

    def __init__(
        self,
        status: int,
        word: str,
        message: str,
        clip: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.word = word
        self.clip = clip
        self.headers = dict(headers or {})


def refusal_of_fault(error: Exception, request_id: str) -> Refusal | None:
    """How a request is refused for a fault of the machine; None for other errors.

    Paths of the server are not told to whoever asks; its terminal has them.

    Parameters
    ----------
    error : Exception
    request_id : str
        Under which the terminal says more.
    """
    fault = machine_fault(error)
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        fault = OutOfSpace(str(error)) if code in _SQLITE_FULL else fault
        fault = MachineFault(str(error)) if code in _SQLITE_FAULTS else fault
    if fault is None:
        return None

    is_full = isinstance(fault, OutOfSpace)
    reason = "has no space left" if is_full else "cannot read or write its files"
    return Refusal(
        507 if is_full else 503,
        "no_space" if is_full else "machine",
        f"The server {reason}; nothing of this request was kept. Send it again later, "
        f"or tell who runs the server: its terminal says more under {request_id}.",
        headers={"retry-after": "60"},
    )


def wants_page(request: Request) -> bool:
    """Whether a person's browser asks, and not a program."""
    return "text/html" in request.headers.get("accept", "")


def refusal_response(request: Request, refusal: Refusal) -> Response:
    """Answer with a refusal, in the form that is asked for."""
    request_id = request.scope.get("request_id", "")
    if wants_page(request):
        return page(
            request,
            "refusal.html.j2",
            status_code=refusal.status,
            headers=refusal.headers,
            title=_TITLES.get(refusal.status, _OTHERS),
            message=str(refusal),
            request_id=request_id,
        )
    error = {
        "status": refusal.status,
        "word": refusal.word,
        "message": str(refusal),
        "clip": refusal.clip,
    }
    return JSONResponse(
        {"error": error, "request_id": request_id},
        status_code=refusal.status,
        headers=refusal.headers,
    )


async def answer_refusal(request: Request, error: Exception) -> Response:
    """Exception handler of the application for `Refusal`."""
    assert isinstance(error, Refusal)
    return refusal_response(request, error)


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Exception handler of the application for what Starlette raises itself."""
    assert isinstance(error, HTTPException)
    words = {
        404: ("not_found", f"{request.url.path} is no page; the pages: / and /api."),
        405: (
            "method",
            f"{request.method} is not answered at {request.url.path}; /api says what "
            "is.",
        ),
    }
    word, message = words.get(error.status_code, ("refused", str(error.detail)))
    refusal = Refusal(error.status_code, word, message, headers=error.headers)
    return refusal_response(request, refusal)
