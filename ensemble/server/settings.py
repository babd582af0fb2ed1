"""What a server is told at its start: where it listens, whom it answers, limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from base_models.errors import UsageError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8765
SHORTEST_TOKEN = 12
_LAST_PORT = 2**16 - 1


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for.

    Parameters
    ----------
    megabytes : float
        Size of all files of a request together, in MB of 10^6 bytes.
    seconds : float
        Length of one clip, in s.
    clips : int
        Clips in a request.
    timeout : float
        Time in s from the first byte of an upload to its scores, waiting included.
    waiting : int
        Requests that may wait behind the one that is being scored.

    Raises
    ------
    UsageError
        When one of them is not above 0.
    """

    megabytes: float = 200
    seconds: float = 600
    clips: int = 200
    timeout: float = 600
    waiting: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < float("inf"):
                raise UsageError(f"--max-{name} must be above 0; got {value}.")

    @property
    def bytes(self) -> int:
        """Size of all files of a request together, in bytes."""
        return int(self.megabytes * 1e6)


@dataclass(frozen=True)
class ServerSettings:
    """Where a server listens, and whom it answers.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        0 takes a free one.
    token : str
        What every request must show, or "" where none is asked for.
    names : tuple of str
        Further names under which the server may be asked; addresses and localhost
        need not be named.
    limits : Limits

    Raises
    ------
    UsageError
        When the port is none, or the token is easy to guess.
    """

    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    token: str = field(default="", repr=False)
    names: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= _LAST_PORT:
            raise UsageError(
                f"--port is a number in 0..{_LAST_PORT} (0: a free one); got "
                f"{self.port}."
            )
        is_plain = self.token.isascii() and self.token.isprintable()
        if self.token and (
            len(self.token) < SHORTEST_TOKEN or not is_plain or " " in self.token
        ):
            raise UsageError(
                f"A token has at least {SHORTEST_TOKEN} letters, digits or signs and "
                "no space, or it is guessed; `--token new` makes one."
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, as seen by itself alone.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0")]
    [True, True, True, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
