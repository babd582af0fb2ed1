"""Where independent pieces of work run: processes of this machine, or a Dask cluster.

Pieces read and write files under one folder, so a cluster needs a file system that all
its workers see under the same path. When a worker dies nothing is lost: its pieces are
run again elsewhere, and go on from what they had written.

Results must not depend on who computed them, so every piece sets its own number of
threads. Workers may join late, so each piece first asks its worker whether it runs this
version of the code and sees the folder.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib

from base_models.errors import StackedMOSError, UsageError
from base_models.optional_libraries import require
from base_models.processes.end_with_parent import end_with_parent
from ensemble.version import __version__

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
DASK = "dask"
TIMEOUT = "10s"
"""How long a scheduler may take to answer."""
PATIENCE = "120s"
"""How long the first worker may take to join; batch systems start workers when there is
work."""


def check_engine(name: str) -> str:
    """Return `name` if it is ``"local"`` or ``"dask://HOST:PORT"``.

    Raises
    ------
    UsageError
        When it is neither, or Dask is not installed.
    """
    if name == LOCAL:
        return name
    scheme, separator, address = name.partition("://")
    host, colon, port = address.rpartition(":")
    is_address = host and colon and port.isdigit() and int(port) < 2**16
    if scheme != DASK or not separator or not is_address:
        raise UsageError(
            "--engine is local, or dask://HOST:PORT of a running scheduler; got "
            f"'{name}'."
        )
    require("distributed")
    return name


def spread(
    work: Callable[..., Any],
    pieces: Iterable[tuple[Any, ...]],
    engine: str = LOCAL,
    jobs: int = 1,
    threads: int = 0,
    shared: Path | None = None,
) -> Iterator[Any]:
    """Yield ``work(*piece)`` for every piece, in the order of the pieces.

    All pieces are under way once the first result is asked for. When no more results
    are asked for, pieces that were not begun are dropped.

    Parameters
    ----------
    work : callable
        A function that can be imported where it runs.
    pieces : iterable of tuples
        Arguments of `work`.
    engine : str
        See `check_engine`.
    jobs : int
        Worker processes of the local engine; with 1, the work is done in this process.
    threads : int
        CPU threads of the libraries in each local worker; 0 leaves them alone.
    shared : Path, optional
        Absolute path of the folder that the pieces read and write, and that all workers
        must see.

    Raises
    ------
    UsageError
        When a worker does not see the folder, or runs another version of this package.
    StackedMOSError
        When workers died too often, most likely for memory, or the scheduler does not
        answer. What `work` raises is raised as it is.
    """
    pieces = list(pieces)
    if engine != LOCAL:
        _, _, address = check_engine(engine).partition("://")
        yield from _on_cluster(work, pieces, address, shared=shared)
    elif jobs <= 1 or len(pieces) < 2:
        for piece in pieces:
            yield work(*piece)
    else:
        with _processes(threads):
            # One piece at a time: pieces are long, and some are longer than others.
            parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator")
            yield from parallel(joblib.delayed(work)(*piece) for piece in pieces)


@contextlib.contextmanager
def _processes(threads: int) -> Iterator[None]:
    """Let joblib use processes that end with this one.

    When one of them is killed, the error names the cause.
    """
    from concurrent.futures.process import BrokenProcessPool

    try:
        with joblib.parallel_config(
            backend="loky",
            inner_max_num_threads=threads or None,
            initializer=end_with_parent,
            initargs=(os.getpid(),),
        ):
            yield
    except BrokenProcessPool as error:
        raise StackedMOSError(
            "A worker process was killed, most likely for memory. Finished runs are "
            "kept; run the same command with fewer --jobs."
        ) from error


@dataclass(frozen=True)
class _Demands:
    """What a worker must meet before it works.

    Parameters
    ----------
    version : str
        Of this package.
    probe : str
        A file in the shared folder that it must see, or "".
    """

    version: str
    probe: str


def _on_cluster(
    work: Callable[..., Any],
    pieces: list[tuple[Any, ...]],
    address: str,
    shared: Path | None,
) -> Iterator[Any]:
    """As `spread`, on the workers of a scheduler."""
    # Not joblib's Dask backend: it returns None for pieces that were under way when the
    # scheduler went away.
    from distributed import CancelledError, KilledWorker

    if not pieces:
        return
    with _client(address) as client, _probe(shared) as probe:
        demands = _Demands(__version__, probe)
        _check_workers(client, address, demands)
        run_piece = functools.partial(_run_piece, demands, work)
        try:
            # Not pure: equal pieces of two commands are not one piece.
            futures = deque(client.map(run_piece, pieces, pure=False))
            while futures:
                # Once a future is dropped, the cluster forgets its result.
                yield futures.popleft().result()
        except KilledWorker as error:
            raise StackedMOSError(
                f"Workers at {address} died again and again, most likely for memory. "
                "Finished work is kept; run the same command with larger workers."
            ) from error
        except CancelledError as error:
            raise StackedMOSError(
                f"The scheduler at {address} went away. Finished work is kept; run the "
                "same command to go on."
            ) from error


@contextlib.contextmanager
def _client(address: str) -> Iterator[Client]:
    """A client of the scheduler at `address`."""
    from distributed import Client

    # What goes wrong is reported here, in one line, and not in Dask's log.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        client = Client(f"tcp://{address}", timeout=TIMEOUT, set_as_default=False)
    except OSError as error:
        raise StackedMOSError(
            f"No Dask scheduler answers at {address}; start one, or use --engine local."
        ) from error
    # On leaving, pieces that no worker has begun are taken back.
    with client:
        yield client


@contextlib.contextmanager
def _probe(shared: Path | None) -> Iterator[str]:
    """Make a new file in the shared folder, for workers to look for.

    A file of a known name could be that of another machine's folder.
    """
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


def _check_workers(client: Client, address: str, demands: _Demands) -> None:
    """Wait for a worker, and refuse to begin with one that is not fit to work."""
    try:
        answer = client.submit(
            _check_this_worker, demands.version, demands.probe, pure=False
        )
        answer.result(timeout=PATIENCE)
    except TimeoutError as error:
        raise StackedMOSError(
            f"No worker has joined the scheduler at {address} in {PATIENCE}; start "
            "some."
        ) from error
    # Dask raises these for code that it cannot load.
    except (ImportError, AttributeError, RuntimeError) as error:
        raise StackedMOSError(
            f"The scheduler at {address} or a worker cannot load this code; install "
            f"stackedmos {demands.version} on each of them and start them again."
        ) from error


def _check_this_worker(version: str, probe: str) -> None:
    """Refuse to work here with another version, or without sight of the folder.

    It takes plain text, so that a worker of another version can read what is asked.
    """
    if __version__ != version:
        raise UsageError(
            f"A worker on {socket.gethostname()} runs stackedmos {__version__}, and "
            f"this command {version}; install the same version everywhere and start "
            "the workers again."
        )
    if probe and not Path(probe).is_file():
        raise UsageError(
            f"A worker on {socket.gethostname()} does not see {Path(probe).parent} as "
            "it is here; a cluster needs a file system that all machines share, under "
            "the same path."
        )


def _run_piece(
    demands: _Demands, work: Callable[..., Any], piece: tuple[Any, ...]
) -> Any:
    """Run one piece on a worker that may have joined since the check."""
    _check_this_worker(demands.version, demands.probe)
    return work(*piece)
