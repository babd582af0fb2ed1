"""Standard output and standard error of a command: how much goes where.

Results go to standard output, what is said about them to standard error. ``-q`` leaves
results and errors, ``-v`` adds what is usually left out.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import textwrap
from dataclasses import dataclass
from enum import IntEnum
from typing import TextIO

from ensemble.screen.literal import literal

_PACKAGES = ("base_models", "meta", "ensemble")


class Volume(IntEnum):
    """How much a command says."""

    QUIET = 0
    USUAL = 1
    VERBOSE = 2


@dataclass
class _State:
    """What holds for the command that is running.

    Parameters
    ----------
    volume : how much is said
    is_taken : whether standard output holds a file (``-o -``), and nothing else
    json_of : the command of which standard output is still to hold JSON
        (``--json -``), or ""
    """

    volume: Volume = Volume.USUAL
    is_taken: bool = False
    json_of: str = ""


_STATE = _State()


def set_volume(volume: Volume) -> None:
    """Say as much as that from now on; log lines of this package follow."""
    _STATE.volume = volume
    logging.getLogger().setLevel(
        logging.ERROR if volume is Volume.QUIET else logging.WARNING
    )
    # Those of other packages would drown ours.
    level = logging.INFO if volume is Volume.VERBOSE else logging.NOTSET
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(level)


def is_quiet() -> bool:
    """Whether only results and errors are wanted."""
    return _STATE.volume is Volume.QUIET


def is_verbose() -> bool:
    """Whether more is wanted than usual."""
    return _STATE.volume is Volume.VERBOSE


def take_stdout(is_taken: bool) -> None:
    """Keep standard output for one file; tables for people go to standard error."""
    _STATE.is_taken = is_taken


def is_stdout_taken() -> bool:
    """Whether standard output holds a file, and nothing else."""
    return _STATE.is_taken


def await_json(command: str) -> None:
    """Expect JSON of a command on standard output, also of an error; "" for none."""
    _STATE.json_of = command


def awaited_json() -> str:
    """The command of which standard output is still to hold JSON, or ""."""
    return _STATE.json_of


def put_line(text: str) -> None:
    """Print a result of one line, such as the folder that was written."""
    if _STATE.is_taken:
        write_notes(text)
    else:
        put_bytes(f"{literal(text)}\n".encode("utf-8", "backslashreplace"))


def put_bytes(data: bytes) -> None:
    """Write to standard output; a reader that went away (``| head``) has enough."""
    # Even if it cannot be delivered: a second document after half of one is no JSON.
    if data:
        await_json("")
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        leave(sys.stdout)


def write_notes(text: str) -> None:
    """Print one line on standard error, whatever is in it; wrapped on a terminal."""
    try:
        sys.stderr.write(f"{_wrapped(literal(text))}\n")
        sys.stderr.flush()
    except BrokenPipeError:
        leave(sys.stderr)


def _wrapped(line: str) -> str:
    """A line broken at words where people read it; files and pipes get it whole."""
    if not sys.stderr.isatty():
        return line
    width = shutil.get_terminal_size().columns
    if len(line) <= width:
        return line
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def leave(stream: TextIO) -> None:
    """Let what is still to be written to a stream without a reader vanish.

    The command goes on, as its files are still to be written, and Python would complain
    when it flushes the stream on leaving.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
