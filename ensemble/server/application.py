"""The application: every page and address of the server, and what guards them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from ensemble.server.guard.body_limit import FORM_BYTES, BodyLimit
from ensemble.server.guard.envelope import Envelope
from ensemble.server.guard.origin import OriginCheck
from ensemble.server.guard.token import TokenCheck
from ensemble.server.pages import static_routes
from ensemble.server.rating.routes import rating_routes
from ensemble.server.rating.settings import RatingSettings
from ensemble.server.refusals import Refusal, answer_http_error, answer_refusal
from ensemble.server.settings import ServerSettings
from ensemble.version import __version__

if TYPE_CHECKING:
    # A rating page alone needs no torch.
    from ensemble.server.scoring.intake import Intake

SCORE_LINK = ("/", "Score clips")
RATE_LINK = ("/rate", "Rate clips")
API_LINK = ("/api", "For programs")
_UPLOADS = ("/", "/score")


def create_app(
    settings: ServerSettings,
    rating: RatingSettings | None = None,
    intake: Intake | None = None,
) -> Starlette:
    """Make the application.

    Parameters
    ----------
    settings : ServerSettings
    rating : RatingSettings, optional
        What is rated; without it there is no rating page.
    intake : Intake, optional
        Where requests to score go; without it no clips are scored.

    Returns
    -------
    app : Starlette
        Its ``state.links`` are the pages of the navigation: pairs of address and name.
    """
    routes: list[BaseRoute] = [*static_routes(), Route("/health", _health)]
    links = []
    if intake is not None:
        routes += _scoring_routes(settings, intake)
        links += [SCORE_LINK]
    else:
        routes.append(Route("/", _to_rating))
    if rating is not None:
        routes += rating_routes(rating)
        links += [RATE_LINK]
    if intake is not None:
        links += [API_LINK]

    largest = settings.limits.bytes + FORM_BYTES
    app = Starlette(
        routes=routes,
        # From the outside in: whoever may not ask is told so before a body is read.
        middleware=[
            Middleware(Envelope),
            Middleware(OriginCheck, names=settings.names),
            Middleware(BodyLimit, limits=dict.fromkeys(_UPLOADS, largest)),
            Middleware(TokenCheck, token=settings.token),
        ],
        exception_handlers={
            Refusal: answer_refusal,
            HTTPException: answer_http_error,
        },
    )
    app.state.settings = settings
    app.state.links = links
    app.state.intake = intake
    return app


def _scoring_routes(settings: ServerSettings, intake: Intake) -> list[BaseRoute]:
    from ensemble.server.scoring.openapi import description_routes
    from ensemble.server.scoring.score_api import ScoreApi
    from ensemble.server.scoring.score_page import ScorePage

    return [
        *ScorePage(intake).routes(),
        *ScoreApi(intake).routes(),
        *description_routes(settings),
    ]


async def _health(request: Request) -> Response:
    intake = request.app.state.intake
    queue = None if intake is None else intake.queue
    return JSONResponse(
        {
            "status": "ok",
            "version": __version__,
            "taken": 0 if queue is None else queue.n_taken,
            "places": 0 if queue is None else queue.places,
        }
    )


async def _to_rating(request: Request) -> Response:
    return RedirectResponse(RATE_LINK[0], status_code=303)
