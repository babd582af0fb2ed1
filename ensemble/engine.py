"""Where independent pieces of work run: in processes of this machine, or on a Dask cluster; through joblib either way.

Pieces read and write files under one artifacts folder, so a cluster needs a file system that all its workers see under
the same path. A worker that dies takes nothing along: its pieces are run again elsewhere and go on from what they had
written. The trap: results must not depend on who computed them, so every piece sets its own number of threads.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import joblib

from base_models.errors import StackedMOSError, UsageError

LOCAL = "local"
TIMEOUT = "10s"
CHUNK = 64
"""Clips embedded by one piece of work."""


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
    if scheme != "dask" or not found or not (host and colon and port.isdigit()):
        raise UsageError(f"--engine is local, or dask://HOST:PORT of a running scheduler; got '{name}'.")
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError("Dask is not installed; pip install 'stackedmos[dask]', on every worker too.") from error
    return name


def spread(
    work: Callable[..., Any], pieces: Iterable[tuple], engine: str = LOCAL, jobs: int = 1, threads: int = 0
) -> list[Any]:
    """``work(*piece)`` for every piece, results in their order.

    Parameters
    ----------
    engine : see `check_engine`
    jobs : worker processes of the local engine; 1 runs in this one
    threads : CPU threads of the libraries in each local worker; 0 leaves them alone

    Raises
    ------
    StackedMOSError
        when workers died too often, most likely for memory, or the scheduler does not answer.
    """
    pieces = list(pieces)
    if engine == LOCAL and (jobs <= 1 or len(pieces) < 2):
        return [work(*piece) for piece in pieces]
    tasks = (joblib.delayed(work)(*piece) for piece in pieces)
    with _cluster(engine) if engine != LOCAL else _processes(threads):
        return joblib.Parallel(n_jobs=jobs if engine == LOCAL else -1, batch_size=1)(tasks)


@contextlib.contextmanager
def _processes(threads: int) -> Iterator[None]:
    from concurrent.futures.process import BrokenProcessPool

    try:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=threads or None):
            yield
    except BrokenProcessPool as error:
        raise StackedMOSError(
            "A worker process was killed, most likely for memory. Finished runs are kept; run the same command with "
            "fewer --jobs."
        ) from error


@contextlib.contextmanager
def _cluster(engine: str) -> Iterator[None]:
    from distributed import Client, KilledWorker

    address = check_engine(engine).partition("://")[2]
    try:
        client = Client(f"tcp://{address}", timeout=TIMEOUT, set_as_default=False)
    except OSError as error:
        raise StackedMOSError(f"No Dask scheduler answers at {address}; start one, or use --engine local.") from error
    with client:
        try:
            with joblib.parallel_config(backend="dask", client=client, wait_for_workers_timeout=60):
                yield
        except KilledWorker as error:
            raise StackedMOSError(
                f"Workers at {address} died again and again, most likely for memory. Finished work is kept; run the "
                "same command with larger workers."
            ) from error


def embed_chunks(clips, store, specs: tuple[str, str | None], device: str, engine: str) -> None:
    """Fill `store` with the embeddings of a clip table, `CHUNK` clips a piece; the caller finds the bad clips again.

    Parameters
    ----------
    clips : clip table of n rows
    store : an EmbeddingStore on disk
    specs : audio encoder, and text encoder or None
    """
    parts = [clips.iloc[first : first + CHUNK] for first in range(0, len(clips), CHUNK)]
    spread(_embed, [(part, store.folder, store.dtype, specs, device) for part in parts], engine)


def _embed(clips, folder, dtype: str, specs: tuple[str, str | None], device: str) -> None:
    from base_models.devices import resolve_device
    from base_models.embed import fill_clips
    from base_models.embeddings import EmbeddingStore

    audio, text = (None if spec is None else _encoder(spec, str(resolve_device(device))) for spec in specs)
    fill_clips(clips, EmbeddingStore(folder, dtype=dtype), audio, text)


@functools.lru_cache(maxsize=4)
def _encoder(spec: str, device: str):
    """A frozen encoder, loaded once per process."""
    from base_models.encoders import load_encoder

    return load_encoder(spec, device=device)
