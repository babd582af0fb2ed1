"""Run the server until it is stopped."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette

from ensemble.server.settings import ServerSettings


def run(app: Starlette, settings: ServerSettings) -> None:
    """Answer requests until Ctrl-C or SIGTERM."""
    uvicorn.run(app, host=settings.host, port=settings.port, log_level="warning")
