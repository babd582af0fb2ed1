"""The addresses of the rating page, all below ``/rate``."""

from __future__ import annotations

from starlette.routing import BaseRoute

from ensemble.server.rating.settings import RatingSettings


def rating_routes(settings: RatingSettings) -> list[BaseRoute]:
    """Routes of the rating page, for `ensemble.server.application.create_app`."""
    return []
