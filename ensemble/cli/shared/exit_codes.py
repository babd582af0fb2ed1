"""Run a command: one line for an error, and an exit code that says what happened.

Results go to standard output, everything said about them to standard error, so that a
command can be piped.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from base_models.errors import (
    LONGEST_NAME,
    DamagedArtifact,
    MachineFault,
    StackedMOSError,
    final_name,
    in_the_middle,
    machine_fault,
    some,
)
from base_models.optional_libraries import (
    EXTRA_OF_LIBRARY,
    missing_library,
    unusable_library,
)
from base_models.processes.garbage import skip_last_collection
from ensemble.cli.shared.clip_tables.problem_list import (
    list_problems_in,
    show_problems,
    write_listed,
)
from ensemble.screen import streams
from ensemble.screen.literal import literal
from ensemble.screen.screen import Screen as Screen

if TYPE_CHECKING:
    # Reading clips imports pandas, which a command's --help does not need.
    from base_models.clips.read_clips import SetAside

# The errors of `base_models.errors` carry the same codes.
ALL_WELL = 0
UNEXPECTED_FAILURE = 1
USAGE = 2
CLIPS_SET_ASIDE = 3
INTERRUPTED = 130

EXIT_CODES = {
    ALL_WELL: "all well",
    UNEXPECTED_FAILURE: "unexpected failure",
    USAGE: "usage",
    CLIPS_SET_ASIDE: "some clips set aside (or findings, or models that failed)",
    DamagedArtifact.exit_code: "damaged artifact",
    MachineFault.exit_code: ("the machine failed (disk full, too many open files, …)"),
    INTERRUPTED: "interrupted (143 by SIGTERM)",
}
"""What each exit code means, in every command; help and documents repeat it."""

# Python's convention for a process that was ended by a signal.
_SIGNAL_OFFSET = 128

_RESTORE = (
    "Restore it, or delete it (its whole folder, if that has a manifest.json) and run "
    "what made it again."
)
_MAX_LISTED_CLIPS = 50
_LONGEST_REASON = 290
LONGEST_ERROR = 490
"""Characters of an error; those in its middle are left out, since cures come last."""


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
    code : see `EXIT_CODES`; a reader of the output that goes away (``| head``) changes
        nothing
    """
    skip_last_collection()
    _quieten_libraries()
    # Until the options are read.
    streams.set_volume(streams.Volume.USUAL)
    streams.take_stdout(False)
    streams.await_json("")
    list_problems_in(None)
    started = time.monotonic()
    # SIGTERM acts as Ctrl-C does, or worker processes would train on without us. Only
    # the main thread may set what a signal does.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)

    try:
        code = command(argv)
        if code == ALL_WELL:
            write_listed()
        # Output that cannot be delivered is noticed here, and not on leaving Python.
        streams.put_bytes(b"")
        say_more(f"took {time.monotonic() - started:.1f} s; exit code {code}")
        return code
    except DamagedArtifact as error:
        return fail(f"{error} {_RESTORE}", error.exit_code)
    except StackedMOSError as error:
        return _fail_on_purpose(error)
    except KeyboardInterrupt as interrupt:
        message = "Interrupted. Finished work is kept; run the same command to go on."
        return fail(message, interrupt.args[0] if interrupt.args else INTERRUPTED)
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


def _fail_on_purpose(error: StackedMOSError) -> int:
    """The message of an error, or the list of problems, and the exit code."""
    # Imported late, as above: only tables have problems.
    from base_models.clips.problems import TableProblems

    if isinstance(error, TableProblems):
        show_problems(error)
        _put_awaited_json(str(error), error.exit_code)
        write_listed(error.problems)
        return error.exit_code
    return fail(str(error), error.exit_code)


def _fail_unexpectedly(error: Exception) -> int:
    """The line and exit code of an error that no module foresaw.

    Most come from the file system.
    """
    fault = machine_fault(error)
    if fault is not None:
        return fail(str(fault), fault.exit_code)
    if isinstance(error, OSError) and error.filename:
        return fail(
            f"{final_name(error.filename)}: {error.strerror}. Name another file or "
            "folder, or change its permissions.",
            USAGE,
        )
    # An extra that was installed in part, deep within a model.
    library = (getattr(error, "name", None) or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and library in EXTRA_OF_LIBRARY:
        return fail(str(missing_library(library)), USAGE)
    unusable = unusable_library(error)
    if unusable is not None:
        return fail(str(unusable), USAGE)
    return fail(
        f"{type(error).__name__}: {error} (STACKEDMOS_DEBUG=1 shows where)",
        UNEXPECTED_FAILURE,
    )


def fail(message: str, code: int) -> int:
    """Say what went wrong on standard error and return the exit code.

    With ``--json -``, standard output says it as well.
    """
    message = in_the_middle(literal(message), LONGEST_ERROR)
    streams.write_notes(f"error: {message}")
    _put_awaited_json(message, code)
    return code


def _put_awaited_json(message: str, code: int) -> None:
    """The error as JSON, for a program that reads standard output and expects some."""
    command = streams.awaited_json()
    # Python has no standard output where the shell closed it (``>&-``).
    if not command or sys.stdout is None:
        return
    # Imported late, as writing JSON imports pandas.
    from ensemble.cli.shared.output.json_document import json_document

    text = in_the_middle(literal(message), LONGEST_ERROR)
    error = {"code": code, "message": text}
    try:
        streams.put_bytes(json_document({"error": error}, command))
    except OSError:
        # The line on standard error has said it, and the exit code is to stay.
        streams.leave(sys.stdout)


def say(message: str) -> None:
    """Print one line for the user on standard error; ``-q`` leaves it out."""
    if not streams.is_quiet():
        streams.write_notes(message)


def say_more(message: str) -> None:
    """Print one line that only ``-v`` asks for."""
    if streams.is_verbose():
        streams.write_notes(message)


def say_problem(message: str) -> None:
    """Print one line on what makes the exit code another than 0, also with ``-q``."""
    streams.write_notes(message)


def say_result(message: str) -> None:
    """Print one line that a call is made for, also with ``-q``."""
    streams.write_notes(message)


def listed(names: Iterable[str]) -> str:
    """The first names and how many more there are; with ``-v`` all of them."""
    names = list(names)
    return some(names, limit=len(names)) if streams.is_verbose() else some(names)


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
        say_problem(
            f"{len(clips)} {subject} no prompt: {aspect} left out for {pronoun} "
            f"({listed(clips)})"
        )
    return CLIPS_SET_ASIDE if clips_of_aspect else ALL_WELL


def say_set_aside(set_aside: Sequence[SetAside], file: str | None = None) -> int:
    """List the clips that were set aside; the exit code that follows from them.

    Parameters
    ----------
    set_aside : all of them
    file : that lists all of them too, where there is one
    """
    if not set_aside:
        return ALL_WELL

    plural = "s" if len(set_aside) > 1 else ""
    say_problem(f"{len(set_aside)} clip{plural} set aside:")
    most = len(set_aside) if streams.is_verbose() else _MAX_LISTED_CLIPS
    for clip in set_aside[:most]:
        name = in_the_middle(clip.clip_id, LONGEST_NAME)
        say_problem(f"  {name}: {in_the_middle(clip.reason, _LONGEST_REASON)}")
    if len(set_aside) > most:
        where = f"{file} has all" if file else "-v names all"
        say_problem(f"  and {len(set_aside) - most} more ({where})")
    return CLIPS_SET_ASIDE
