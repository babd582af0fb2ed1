"""The application: every page and address of the server, and what guards them."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ensemble.server.pages import page, static_routes
from ensemble.server.rating.routes import rating_routes
from ensemble.server.rating.settings import RatingSettings
from ensemble.server.settings import ServerSettings

SCORE_LINK = ("/", "Score clips")
RATE_LINK = ("/rate", "Rate clips")


def create_app(
    settings: ServerSettings, rating: RatingSettings | None = None
) -> Starlette:
    """Make the application.

    Parameters
    ----------
    settings : ServerSettings
    rating : RatingSettings, optional
        What is rated; without it there is no rating page.

    Returns
    -------
    app : Starlette
        Its ``state.links`` are the pages of the navigation: pairs of address and name.
    """
    routes: list[BaseRoute] = [Route("/", _home), *static_routes()]
    if rating is not None:
        routes += rating_routes(rating)
    app = Starlette(routes=routes)
    app.state.settings = settings
    app.state.links = _links(rating)
    return app


def _links(rating: RatingSettings | None) -> Sequence[tuple[str, str]]:
    links = [SCORE_LINK]
    if rating is not None:
        links.append(RATE_LINK)
    return links


async def _home(request: Request) -> Response:
    return page(request, "score.html.j2", title="Score clips")
