"""Templates and static files, which every page of the server shares.

A page is a template that extends ``base.html.j2`` and is rendered by `page`. Templates
of the rating page lie in ``rating/templates``. The security policy of the server allows
neither scripts nor styles inside a page: they are files under ``static``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from ensemble.reporting.style.page_style import page_style
from ensemble.version import __version__

_FOLDER = Path(__file__).parent
_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(
        [_FOLDER / "templates", _FOLDER / "rating" / "templates"]
    ),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    request: Request,
    template: str,
    status_code: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """Render a template.

    Parameters
    ----------
    request : Request
        Its application has the list of pages for the navigation.
    template : str
        Name of a file that extends ``base.html.j2``.
    status_code : int
    headers : mapping of str to str, optional
    values : what the template shows; all text is escaped
    """
    text = _ENVIRONMENT.get_template(template).render(
        links=request.app.state.links,
        here=request.url.path,
        version=__version__,
        **values,
    )
    return HTMLResponse(text, status_code=status_code, headers=headers)


def static_routes() -> list[BaseRoute]:
    """Where scripts and styles are served from."""
    files = StaticFiles(directory=_FOLDER / "static")
    return [Route(_STYLE, _style), Mount("/static", files, name="static")]


async def _style(request: Request) -> Response:
    """The style that pages share with reports."""
    return Response(page_style(), media_type="text/css", headers=_ASKED_AGAIN)


_STYLE = "/static/page.css"
# What is kept is asked for again, so that a new version is seen at once.
_ASKED_AGAIN = {"cache-control": "no-cache"}
