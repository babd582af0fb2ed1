"""In how many processes base models are trained at a time, and their early start."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence

from base_models.devices import CPU, resolve_devices
from base_models.processes.cores import n_cores
from ensemble.engine import LOCAL, n_started_early, start_early
from ensemble.training.training_setup import Compute

# Bytes that are taken to be free where the system does not say, and bytes that a
# training process needs besides its embeddings and encoders.
_ASSUMED_FREE = 2**33
_PROCESS_SIZE = 2**30
# About what one takes that has imported all that it needs, and nothing else.
_STARTED_SIZE = 2**28
# What a process that trains a network imports.
_IMPORTED = ("base_models.training.neural_mos", "ensemble.training.base_model_run")


def share_out(
    n_runs: int,
    devices: Sequence[str],
    size: int,
    threads: int,
) -> int:
    """How many processes to train in.

    One on each GPU; on the CPU as many as cores and memory allow, where each process
    loads `size` bytes of embeddings and encoders.
    """
    if n_runs < 2:
        return 1
    if tuple(devices) != (CPU,):
        return min(n_runs, len(devices))
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # macOS and Windows do not say how much memory is free.
    except (AttributeError, ValueError):
        free = _ASSUMED_FREE
    by_cores = n_cores() // threads
    # Processes that wait for work are not counted twice.
    free += n_started_early() * _STARTED_SIZE
    # Twice the size: batches are padded copies of the embeddings.
    by_memory = int(free // (2 * size + _PROCESS_SIZE))
    return max(1, min(n_runs, by_cores, by_memory))


def start_processes(n_runs: int, compute: Compute) -> None:
    """Start the processes that will train so many runs; returns at once.

    Until the runs are planned they import what training needs, which takes as long as
    some epochs of a small network.
    """
    if compute.engine != LOCAL:
        return
    devices = [str(device) for device in resolve_devices(compute.device)]
    jobs = compute.jobs or share_out(n_runs, devices, size=0, threads=compute.threads)
    start_early(_import_training, jobs=min(jobs, n_runs), threads=compute.threads)


def _import_training() -> None:
    """Import what training imports, also what torch imports with an optimizer."""
    for module in _IMPORTED:
        importlib.import_module(module)
    from base_models.training.loop import import_optimizers

    import_optimizers()
