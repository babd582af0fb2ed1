"""A worker process ends soon after the process that started it, however that ended.

A command that is killed (SIGKILL, or by a system that is out of memory) cannot take its
workers along. They would train on, and take the next piece of work.
"""

from __future__ import annotations

import os
import signal
import threading

LOOK_SECONDS = 1.0
"""Seconds between two looks whether the parent lives."""


def end_with_parent(parent: int) -> None:
    """End this process within seconds after its parent has; for the first line of one.

    Parameters
    ----------
    parent : process id of the parent, taken there: it may have ended by now

    Notes
    -----
    A thread looks, which a library that holds Python's lock delays. The kernel's own
    notice (``PR_SET_PDEATHSIG`` of Linux) would come when the *thread* ends that
    started this process, and pools start processes from threads that do not last.
    """
    # Windows tells the id of a parent that has gone as if it were there.
    if os.name != "posix":
        return
    watch = threading.Thread(
        target=_end_after,
        args=(parent,),
        name="end_with_parent",
        daemon=True,
    )
    watch.start()


def _end_after(parent: int) -> None:
    never = threading.Event()
    # A process without its parent is given another one.
    while os.getppid() == parent:
        never.wait(LOOK_SECONDS)
    # Nothing is tidied up: handlers could wait for the parent.
    os.kill(os.getpid(), signal.SIGKILL)
