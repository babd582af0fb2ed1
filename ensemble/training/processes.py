"""In how many processes base models are trained at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence

from base_models.devices import CPU
from base_models.processes.cores import n_cores

# Bytes that are taken to be free where the system does not say, and bytes that a
# training process needs besides its embeddings and encoders.
_ASSUMED_FREE = 2**33
_PROCESS_SIZE = 2**30


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
    # Twice the size: batches are padded copies of the embeddings.
    by_memory = int(free // (2 * size + _PROCESS_SIZE))
    return max(1, min(n_runs, by_cores, by_memory))
