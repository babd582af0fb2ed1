"""Where independent pieces of work run: in processes of this machine, or on the workers of a Dask cluster.

Pieces read and write files under one folder, so a cluster needs a file system that all its workers see under the same
path. A worker that dies takes nothing along: its pieces are run again elsewhere and go on from what they had written.
The traps: results must not depend on who computed them, so every piece sets its own number of threads; and workers may
join late, so each piece first asks its worker for this version of the code and for the folder.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import logging
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import joblib

from base_models.errors import StackedMOSError, UsageError

LOCAL = "local"
TIMEOUT = "10s"
"""How long a scheduler may take to answer."""
PATIENCE = "120s"
"""How long the first worker may take to join; batch systems start them when there is work."""


def check_engine(name: str) -> str:
    """`name`, when it is ``"local"`` or ``"dask://HOST:PORT"``.

    Raises
    ------
    UsageError
        when it is neither, or Dask is not installed.
    """
    if name == LOCAL:
        return name
    scheme, found, address = name.partition("://")
    host, colon, port = address.rpartition(":")
    if (
        scheme != "dask"
        or not found
        or not (host and colon and port.isdigit() and int(port) < 2**16)
    ):
        raise UsageError(
            f"--engine is local, or dask://HOST:PORT of a running scheduler; got '{name}'."
        )
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "Dask is not installed; pip install 'stackedmos[dask]', on every worker too."
        ) from error
    return name


def spread(
    work: Callable[..., Any],
    pieces: Iterable[tuple],
    engine: str = LOCAL,
    jobs: int = 1,
    threads: int = 0,
    shared: Path | None = None,
) -> Iterator[Any]:
    """``work(*piece)`` for every piece, one result after another in the order of the pieces.

    All pieces are under way from the first result that is asked for; what nobody asks for any more is not begun.

    Parameters
    ----------
    engine : see `check_engine`
    jobs : worker processes of the local engine; 1 runs in this one
    threads : CPU threads of the libraries in each local worker; 0 leaves them alone
    shared : absolute path of the folder that the pieces read and write, and all workers must see; or None

    Raises
    ------
    UsageError
        when a worker does not see the folder, or runs another version of this package.
    StackedMOSError
        when workers died too often, most likely for memory, or the scheduler does not answer. What `work` raises
        arrives as it is.
    """
    pieces = list(pieces)
    if engine != LOCAL:
        yield from _on_cluster(
            work, pieces, check_engine(engine).partition("://")[2], shared
        )
    elif jobs <= 1 or len(pieces) < 2:
        yield from (work(*piece) for piece in pieces)
    else:
        with _processes(threads):
            tasks = (joblib.delayed(work)(*piece) for piece in pieces)
            yield from joblib.Parallel(
                n_jobs=jobs, batch_size=1, return_as="generator"
            )(tasks)


@contextlib.contextmanager
def _processes(threads: int) -> Iterator[None]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        with joblib.parallel_config(
            backend="loky", inner_max_num_threads=threads or None
        ):
            yield
    except BrokenProcessPool as error:
        raise StackedMOSError(
            "A worker process was killed, most likely for memory. Finished runs are kept; run the same command with "
            "fewer --jobs."
        ) from error


def _on_cluster(
    work: Callable[..., Any], pieces: list[tuple], address: str, shared: Path | None
) -> Iterator[Any]:
    # not joblib's Dask backend: it gives None for what was under way when the scheduler went away
    from distributed import CancelledError, KilledWorker

    if not pieces:
        return
    with _client(address) as client, _probe(shared) as probe:
        asked = _version(), probe
        _ask(client, address, asked)
        try:
            futures = deque(
                client.map(functools.partial(_piece, asked, work), pieces, pure=False)
            )
            while futures:
                yield futures.popleft().result()  # and the cluster forgets it
        except KilledWorker as error:
            raise StackedMOSError(
                f"Workers at {address} died again and again, most likely for memory. Finished work is kept; run the "
                "same command with larger workers."
            ) from error
        except CancelledError as error:
            raise StackedMOSError(
                f"The scheduler at {address} went away. Finished work is kept; run the same command to go on."
            ) from error


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    from distributed import Client

    for name in (
        "distributed",
        "distributed.client",
    ):  # what goes wrong is told here, in one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(f"tcp://{address}", timeout=TIMEOUT, set_as_default=False)
    except OSError as error:
        raise StackedMOSError(
            f"No Dask scheduler answers at {address}; start one, or use --engine local."
        ) from error
    with client:  # on leaving, pieces that no worker has begun are taken back
        yield client


@contextlib.contextmanager
def _probe(shared: Path | None) -> Iterator[str]:
    """A new file in the folder, for workers to look for: one by a known name might be that of another machine."""
    if shared is None:
        yield ""
        return
    if not shared.is_absolute():
        raise UsageError(
            f"Workers stand in other folders: name {shared} by its absolute path."
        )
    shared.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        dir=shared, prefix=".seen-", suffix=".tmp"
    ) as file:
        yield file.name


def _ask(client, address: str, asked: tuple[str, str]) -> None:
    """Wait for a worker, and refuse to begin with one that is not fit to work."""
    try:
        client.submit(_answer, *asked, pure=False).result(timeout=PATIENCE)
    except TimeoutError as error:
        raise StackedMOSError(
            f"No worker has joined the scheduler at {address} in {PATIENCE}; start some."
        ) from error
    except (
        ImportError,
        AttributeError,
        RuntimeError,
    ) as error:  # what Dask makes of code that is not there
        raise StackedMOSError(
            f"The scheduler at {address} or a worker cannot load this code; install stackedmos {asked[0]} on each of "
            "them and start them again."
        ) from error


def _answer(version: str, probe: str) -> None:
    """A worker's answer to what it is asked before it works: that it is fit to, or why not."""
    if _version() != version:
        raise UsageError(
            f"A worker on {socket.gethostname()} runs stackedmos {_version()}, and this command {version}; install the "
            "same version everywhere and start the workers again."
        )
    if probe and not Path(probe).is_file():
        raise UsageError(
            f"A worker on {socket.gethostname()} does not see {Path(probe).parent} as it is here; a cluster needs a "
            "file system that all machines share, under the same path."
        )


def _piece(asked: tuple[str, str], work: Callable[..., Any], piece: tuple) -> Any:
    _answer(*asked)
    return work(*piece)


def _version() -> str:
    return importlib.metadata.version("stackedmos")
