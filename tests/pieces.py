"""Pieces of work that go wrong on a worker.

They stand in a module of their own, so that workers can import them.
"""

import os
import signal
import time

from base_models.errors import UsageError


def die_once(marker, work, piece):
    """`work`, but the first process to come by is killed."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return work(*piece)
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(k):
    """Nothing can be done with this."""
    raise UsageError(f"Piece {k} cannot be used; cut it otherwise.")


def leave_a_file(folder, k):
    """A file, after a while."""
    time.sleep(0.25)
    (folder / str(k)).touch()


def say_pid(folder):
    """A file named by the process that works, after a while; its number."""
    (folder / str(os.getpid())).touch()
    time.sleep(0.25)
    return os.getpid()


def say_pid_and_wait(folder, k):
    """A file named by the process that works, which then works for an hour."""
    (folder / f"{os.getpid()}-{k}").touch()
    time.sleep(3600)
