"""Where independent pieces of work run: processes of this machine, or a Dask cluster.

Pieces read and write files under one folder, so a cluster needs a file system that all
its workers see under the same path. When a worker dies nothing is lost: its pieces are
run again elsewhere, and go on from what they had written.

Results must not depend on who computed them, so every piece sets its own number of
threads, and a worker of a cluster first proves that it has what this machine has: see
`ensemble.cluster`.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base_models.errors import StackedMOSError, UsageError
from base_models.optional_libraries import require
from base_models.processes.end_with_parent import end_with_parent

if TYPE_CHECKING:
    from ensemble.cluster.needs import Needs

LOCAL = "local"
DASK = "dask"

_starting: list[tuple[int, Generator[Any, None, None]]] = []
"""How many local processes were started early, and what they do; empty once they are
awaited."""


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
    needs: Needs | None = None,
) -> Iterator[Any]:
    """Yield ``work(*piece)`` for every piece, in the order of the pieces.

    As many pieces are under way as there are workers for them, once the first result is
    asked for. When no more results are asked for, pieces that were not begun are
    dropped.

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
    needs : Needs, optional
        What else a worker of a cluster must have; those that have not are left out.

    Raises
    ------
    UsageError
        When no worker sees the folder, has what is needed, and runs this version of
        this package.
    StackedMOSError
        When workers died too often, most likely for memory, or the scheduler does not
        answer. What `work` raises is raised as it is.
    """
    pieces = list(pieces)
    if engine != LOCAL:
        # Imported late, as are the others below: most commands only name an engine.
        from ensemble.cluster.needs import Needs
        from ensemble.cluster.run_pieces import run_on_cluster

        _, _, address = check_engine(engine).partition("://")
        yield from run_on_cluster(
            work, pieces, address, shared=shared, needs=needs or Needs()
        )
    elif jobs <= 1 or len(pieces) < 2:
        end_unused()
        for piece in pieces:
            yield work(*piece)
    else:
        import joblib

        with _processes(threads):
            _await_started()
            # One piece at a time: pieces are long, and some are longer than others.
            parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator")
            yield from parallel(joblib.delayed(work)(*piece) for piece in pieces)


def start_early(prepare: Callable[[], object], jobs: int, threads: int = 0) -> None:
    """Start local worker processes before there are pieces of work for them.

    `spread` with as many jobs and threads takes these. Whoever has something else to do
    before does not wait for them to start, and to import libraries. Where it may come
    to nothing, `end_unused` follows.

    Parameters
    ----------
    prepare : callable
        A function that can be imported, which each of them calls once.
    jobs, threads : int
        As `spread` takes them.
    """
    if jobs <= 1 or _starting:
        return
    import joblib

    with _processes(threads):
        parallel = joblib.Parallel(n_jobs=jobs, batch_size=1, return_as="generator")
        prepared = parallel(joblib.delayed(prepare)() for _ in range(jobs))
        _starting.append((jobs, prepared))


def n_started_early() -> int:
    """How many local processes were started early, and have no work yet."""
    return sum(jobs for jobs, _ in _starting)


def end_unused() -> None:
    """End processes that were started early and not used."""
    with warnings.catch_warnings():
        # joblib warns that nobody asked for their results.
        warnings.simplefilter("ignore")
        while _starting:
            _, prepared = _starting.pop()
            prepared.close()


def _await_started() -> None:
    """Wait for processes that were started early: they do one thing at a time."""
    while _starting:
        _, prepared = _starting.pop()
        # What they return is of no use.
        for _ in prepared:
            pass


@contextlib.contextmanager
def _processes(threads: int) -> Iterator[None]:
    """Let joblib use processes that end with this one.

    When one of them is killed, the error names the cause.
    """
    from concurrent.futures.process import BrokenProcessPool

    import joblib

    try:
        with joblib.parallel_config(
            backend="loky",
            inner_max_num_threads=threads or None,
            initializer=_begin,
            initargs=(os.getpid(),),
        ):
            yield
    except BrokenProcessPool as error:
        raise StackedMOSError(
            "A worker process was killed, most likely for memory. Finished runs are "
            "kept; run the same command with fewer --jobs."
        ) from error


def _begin(parent: int) -> None:
    """The first thing that a worker process does."""
    end_with_parent(parent)
    # Registered first, called last: taking libraries apart takes Python a second.
    atexit.register(os._exit, 0)
