"""What all commands share: exit codes, one line for an error, and where words go.

Results go to standard output, everything said about them to standard error, so that a command can be piped. Exit
codes: 0 all well, 1 unexpected failure, 2 usage, 3 some clips set aside (or findings), 4 damaged artifact, 5 disk
full, 130 interrupted (143 by SIGTERM).
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from rich.console import Console

from base_models.errors import DamagedArtifact, StackedMOSError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
RESTORE = "Restore it, or delete it (its whole folder, if that has a manifest.json) and run what made it again."


def run(
    command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None
) -> int:
    """Run a command and turn whatever goes wrong into one clear line and a documented exit code.

    Set ``STACKEDMOS_DEBUG=1`` to see the traceback of an unexpected failure.
    """
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    # Encoders are frozen and pinned: what their libraries say on loading is noise to the caller.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if threading.current_thread() is threading.main_thread():
        signal.signal(
            signal.SIGTERM, _stop
        )  # as Ctrl-C, or worker processes would train on without us
    try:
        code = command(argv)
        sys.stdout.flush()
        return code
    except DamagedArtifact as error:
        return fail(f"{error} {RESTORE}", error.exit_code)
    except StackedMOSError as error:
        return fail(str(error), error.exit_code)
    except KeyboardInterrupt as stopped:
        return fail(
            "Interrupted. Finished work is kept; run the same command to go on.",
            *(stopped.args or (130,)),
        )
    except BrokenPipeError:
        # the reader went away (`| head`): not our failure, and nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("STACKEDMOS_DEBUG"):
            raise
        return _unexpected(error)


class Screen(Console):
    """Where tables are printed."""

    def on_broken_pipe(self) -> None:
        """Leave it to `run`, which knows the exit code."""
        raise BrokenPipeError


def _stop(number: int, frame) -> None:
    raise KeyboardInterrupt(128 + number)


def _unexpected(error: Exception) -> int:
    """The line and exit code of an error that no module foresaw; most come from the file system."""
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        where = f" to write {error.filename}" if error.filename else ""
        return fail(
            f"No space left{where}. Finished work is kept; free some and run the same command again.",
            5,
        )
    if isinstance(error, OSError) and error.filename:
        return fail(
            f"{error.filename}: {error.strerror}. Name another file or folder, or change its permissions.",
            2,
        )
    return fail(f"{type(error).__name__}: {error} (STACKEDMOS_DEBUG=1 shows where)", 1)


def fail(message: str, code: int) -> int:
    """Say what went wrong on standard error and return the exit code."""
    say(f"error: {message}")
    return code


def say(message: str) -> None:
    """One line for the person at the terminal, on standard error."""
    print(message, file=sys.stderr, flush=True)


def say_set_aside(set_aside: Sequence) -> int:
    """List the clips that were set aside; the exit code that follows from them."""
    if not set_aside:
        return 0
    say(f"{len(set_aside)} clip{'s' if len(set_aside) > 1 else ''} set aside:")
    for clip in set_aside[:50]:
        say(f"  {clip.clip_id}: {clip.reason}")
    if len(set_aside) > 50:
        say(f"  and {len(set_aside) - 50} more")
    return 3
