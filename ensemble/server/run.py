"""Run the server until it is stopped: a socket, signals, what is still under way."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from base_models.errors import UsageError
from ensemble.server.settings import ServerSettings
from ensemble.server.work_queue import WorkQueue

_KEEP_ALIVE_SECONDS = 5
_BACKLOG = 128


def listen(settings: ServerSettings) -> socket.socket:
    """Take the address, before anything that takes long is loaded.

    Raises
    ------
    UsageError
        When it is taken, or none of this machine.
    """
    host = settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, settings.port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"Port {settings.port} of {host} is taken, perhaps by another "
                "serve_mos; stop that, or choose another --port (0: a free one)."
            ) from error
        if error.errno == errno.EACCES:
            raise UsageError(
                f"Port {settings.port} may not be used by this account; choose a "
                "--port above 1023."
            ) from error
        raise UsageError(
            f"{host} is no address of this machine ({error.strerror or error}); "
            "--host takes 127.0.0.1 for this machine alone, or 0.0.0.0 for all."
        ) from error


def address_of(listening: socket.socket) -> str:
    """The address that a browser on this machine asks for."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def run(
    app: Starlette,
    listening: socket.socket,
    queue: WorkQueue | None,
    say: Callable[[str], None],
) -> None:
    """Answer requests until Ctrl-C or SIGTERM.

    What a client waits for is finished and sent; what waits in the queue is refused. A
    second Ctrl-C gives up the rest.

    Parameters
    ----------
    app : Starlette
    listening : socket
        See `listen`.
    queue : WorkQueue or None
    say : callable
        Takes a line for the terminal.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        # Nobody's word is taken for where a request came from.
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    server = _Server(config, queue, say)
    # The signal that stopped it is raised again once it has stopped.
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if queue is None:
        return
    if server.force_exit and queue.is_working:
        say("given up: the clips that were being scored")
    else:
        queue.join()


class _Server(uvicorn.Server):
    """A server that closes the queue when it is told to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        queue: WorkQueue | None,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(config)
        self._queue = queue
        self._say = say

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; at a second signal, stop."""
        if not self.should_exit and self._queue is not None:
            closing = self._queue.close()
            if closing.n_refused:
                self._say(f"refused: {closing.n_refused} requests that waited")
            if closing.is_given_up:
                self._say("given up: an upload whose page nobody can ask for any more")
            if closing.is_finishing:
                self._say("finishing the clips that are being scored; Ctrl-C: at once")
        super().handle_exit(sig, frame)
