"""Read the form of a request, whose text is UTF-8 whatever the request says."""

from __future__ import annotations

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData
from starlette.requests import Request

from ensemble.server.refusals import Refusal

_UTF_8 = (b"utf-8", b"utf8")
_LONGEST_TEXT = 2**20


async def read_text_form(
    request: Request,
    *,
    max_files: int,
    max_fields: int,
    max_part_size: int = _LONGEST_TEXT,
) -> FormData:
    """Read a form as `starlette.requests.Request.form` does.

    The name of an encoding would be looked up among all that Python has, some of which
    make text that nothing can write, or fail in ways of their own.

    Parameters
    ----------
    request : Request
    max_files, max_fields : int
    max_part_size : int
        Bytes of a field that is no file.

    Raises
    ------
    Refusal
        When the form names another encoding.
    HTTPException
        When it cannot be read.
    """
    _, options = parse_options_header(request.headers.get("content-type"))
    charset = options.get(b"charset", _UTF_8[0])
    if charset.strip().lower() not in _UTF_8:
        shown = charset.decode("latin-1")[:40]
        raise Refusal(
            415, "form", f"A form comes in UTF-8; got charset={shown!r}: leave it out."
        )
    return await request.form(
        max_files=max_files, max_fields=max_fields, max_part_size=max_part_size
    )
