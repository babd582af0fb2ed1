"""Run a command: one line for an error, and an exit code that says what happened.

Results go to standard output, everything said about them to standard error, so that a
command can be piped.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from base_models.errors import DamagedArtifact, StackedMOSError, some
from base_models.optional_libraries import EXTRA_OF_LIBRARY, missing_library

if TYPE_CHECKING:
    # Reading clips imports pandas, which a command's --help does not need.
    from base_models.clips.read_clips import SetAside

# The errors of `base_models.errors` carry the same codes.
ALL_WELL = 0
UNEXPECTED_FAILURE = 1
USAGE = 2
CLIPS_SET_ASIDE = 3
DISK_FULL = 5
INTERRUPTED = 130
READER_GONE = 141

# Python's convention for a process that was ended by a signal.
_SIGNAL_OFFSET = 128

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RESTORE = (
    "Restore it, or delete it (its whole folder, if that has a manifest.json) and run "
    "what made it again."
)
_MAX_LISTED_CLIPS = 50
_NO_LIMIT = 10_000


def run_command(
    command: Callable[[Sequence[str] | None], int], argv: Sequence[str] | None = None
) -> int:
    """Run a command, and turn whatever goes wrong into one line and an exit code.

    Set ``STACKEDMOS_DEBUG=1`` to see the traceback of an unexpected failure.

    Parameters
    ----------
    command : takes the words of the command line and returns its exit code
    argv : these words; None takes those of the process

    Returns
    -------
    code : 0 all well, 1 unexpected failure, 2 usage, 3 some clips set aside (or
        findings, or models that failed), 4 damaged artifact, 5 disk full, 130
        interrupted (143 by SIGTERM), 141 the reader of the output went away
    """
    _quieten_libraries()
    # SIGTERM acts as Ctrl-C does, or worker processes would train on without us. Only
    # the main thread may set what a signal does.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)

    try:
        code = command(argv)
        # Output that cannot be delivered is noticed here, and not on leaving Python.
        sys.stdout.flush()
        return code
    except DamagedArtifact as error:
        return fail(f"{error} {_RESTORE}", error.exit_code)
    except StackedMOSError as error:
        return fail(str(error), error.exit_code)
    except KeyboardInterrupt as interrupt:
        message = "Interrupted. Finished work is kept; run the same command to go on."
        return fail(message, interrupt.args[0] if interrupt.args else INTERRUPTED)
    except BrokenPipeError:
        # The reader went away (`| head`): no failure of ours. Nothing more can be
        # written, and Python would complain when it flushes on leaving.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except Exception as error:
        if os.environ.get("STACKEDMOS_DEBUG"):
            raise
        return _fail_unexpectedly(error)


def _quieten_libraries() -> None:
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr
    )
    # Encoders are frozen and pinned, so that what their libraries report while loading
    # them is of no use to the user.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(_SIGNAL_OFFSET + number)


def _fail_unexpectedly(error: Exception) -> int:
    """The line and exit code of an error that no module foresaw.

    Most come from the file system.
    """
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        target = f" to write {error.filename}" if error.filename else ""
        return fail(
            f"No space left{target}. Finished work is kept; free some and run the same "
            "command again.",
            DISK_FULL,
        )
    if isinstance(error, OSError) and error.filename:
        return fail(
            f"{error.filename}: {error.strerror}. Name another file or folder, or "
            "change its permissions.",
            USAGE,
        )
    # An extra that was installed in part, deep within a model.
    library = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and library in EXTRA_OF_LIBRARY:
        return fail(str(missing_library(library)), USAGE)
    return fail(
        f"{type(error).__name__}: {error} (STACKEDMOS_DEBUG=1 shows where)",
        UNEXPECTED_FAILURE,
    )


class Screen(Console):
    """Where tables are printed."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, and let a table be wider than the screen before a number is cut."""
        tables = [item for item in objects if isinstance(item, Table)]
        needed = max(map(self._least_width, tables), default=0)
        if needed > self.width:
            # The width that rich takes for a single print is at most the screen's.
            Screen(file=self.file, width=needed).print(*objects, **options)
        else:
            super().print(*objects, **options)

    def _least_width(self, table: Table) -> int:
        """The width at which no column is narrower than what may not wrap in it."""
        unlimited = self.options.update(max_width=_NO_LIMIT)
        for column in table.columns:
            # rich itself shortens such cells where columns do not fit.
            if column.no_wrap:
                cells = [column.header, *column.cells]
                widths = [Measurement.get(self, unlimited, cell) for cell in cells]
                column.min_width = max(width.maximum for width in widths)
        return Measurement.get(self, unlimited, table).minimum

    def on_broken_pipe(self) -> None:
        """Leave it to `run_command`, which knows the exit code."""
        raise BrokenPipeError


def fail(message: str, code: int) -> int:
    """Say what went wrong on standard error and return the exit code."""
    say(f"error: {message}")
    return code


def say(message: str) -> None:
    """Print one line for the user on standard error."""
    print(message, file=sys.stderr, flush=True)


def say_notes(notes: Iterable[str]) -> None:
    """Say what was chosen in reading the data."""
    for note in notes:
        say(f"note: {note}")


def say_without_prompt(clips_of_aspect: Mapping[str, Sequence[str]]) -> int:
    """List the clips without a prompt, by the aspects that are left out for them.

    Returns the exit code that follows: a clip without one of its scores is a finding,
    as one without any is.
    """
    for aspect, clips in clips_of_aspect.items():
        subject = "clip has" if len(clips) == 1 else "clips have"
        pronoun = "it" if len(clips) == 1 else "them"
        say(
            f"{len(clips)} {subject} no prompt: {aspect} left out for {pronoun} "
            f"({some(clips)})"
        )
    return CLIPS_SET_ASIDE if clips_of_aspect else ALL_WELL


def say_set_aside(set_aside: Sequence[SetAside]) -> int:
    """List the clips that were set aside; the exit code that follows from them."""
    if not set_aside:
        return ALL_WELL

    plural = "s" if len(set_aside) > 1 else ""
    say(f"{len(set_aside)} clip{plural} set aside:")
    for clip in set_aside[:_MAX_LISTED_CLIPS]:
        say(f"  {clip.clip_id}: {clip.reason}")
    if len(set_aside) > _MAX_LISTED_CLIPS:
        say(f"  and {len(set_aside) - _MAX_LISTED_CLIPS} more")
    return CLIPS_SET_ASIDE
