"""What all commands share: exit codes, one line for an error, and where words go.

Results go to standard output, everything said about them to standard error, so that a command can be piped. Exit
codes: 0 all well, 1 unexpected failure, 2 usage, 3 some clips set aside (or findings), 4 damaged artifact, 5 disk
full, 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Sequence

from base_models.errors import StackedMOSError

EXIT_CODES = "exit codes: 0 all well, 2 usage, 3 some clips set aside, 4 damaged artifact, 5 disk full, 130 interrupted"


def run(command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None) -> int:
    """Run a command and turn whatever goes wrong into one clear line and a documented exit code.

    Set ``STACKEDMOS_DEBUG=1`` to see the traceback of an unexpected failure.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    # Encoders are frozen and pinned: what their libraries say on loading is noise to the caller.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        code = command(argv)
        sys.stdout.flush()
        return code
    except StackedMOSError as error:
        return fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return fail("Interrupted. Finished work is kept; run the same command to go on.", 130)
    except BrokenPipeError:
        # the reader went away (`| head`): not our failure, and nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        if os.environ.get("STACKEDMOS_DEBUG"):
            raise
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
