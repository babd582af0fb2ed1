"""How many cores this process may use."""

from __future__ import annotations

import os


def n_cores() -> int:
    """Cores that the system gives this process, which may be fewer than there are."""
    # A container or a batch system may have set bounds.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
