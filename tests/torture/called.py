"""Commands as users call them, each in a forked child, and what is wrong with its end.

A child has everything imported, so that a call costs what the command does. What it
prints goes through real descriptors: pipes, or a terminal.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pty
import re
import resource
import selectors
import signal
import sys
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ensemble.cli.shared.exit_codes import (
    EXIT_CODES,
    UNEXPECTED_FAILURE,
    run_command,
)

HANGS_AFTER = 40.0
"""Seconds of wall after which a call is killed; a machine may be busy with others."""
MOST_SECONDS = 5.0
"""Seconds of processor that a call may take."""
MOST_MEMORY = 2 << 30
"""Bytes that a call may allocate beyond what was imported."""
LONGEST_LINE = 500
_SHOWN = 160
# Colours and the moves of a progress bar. Backgrounds are not among them: rows use
# these for what may not get through.
_STYLE = re.compile(r"\x1b\[(?:\?25[lh]|2K|1A|(?:[0-9]|[39][0-9])(?:;[39]?[0-9])*m)")


class Ended(NamedTuple):
    """How a call ended.

    Parameters
    ----------
    code : its exit code, or minus the signal that ended it
    out, err : what it printed; on a terminal `out` has both
    seconds : of processor
    hung : whether it was killed for taking too long
    """

    code: int
    out: str
    err: str
    seconds: float
    hung: bool


def warm_up() -> None:
    """Import all that commands import, in the parent; what is there stays there."""
    importlib.import_module("torture.imported")


def called(
    command: str,
    words: Sequence[str | Path],
    folder: Path,
    *,
    on_terminal: bool = False,
    memory: int = MOST_MEMORY,
) -> Ended:
    """Call a command in a child.

    Parameters
    ----------
    command : its name
    words : of its command line
    folder : where it is called
    on_terminal : whether it prints on a terminal, of 100 columns, and not into pipes
    memory : bytes that it may allocate
    """
    out, out_end = pty.openpty() if on_terminal else os.pipe()
    err, err_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        os.close(err)
        ends = (out_end, out_end if on_terminal else err_end)
        _be_called(command, [str(word) for word in words], folder, ends, memory)
    os.close(out_end)
    os.close(err_end)
    texts, hung = _read_all((out, err))
    if hung:
        os.killpg(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, *texts, used.ru_utime + used.ru_stime, hung)


def _be_called(
    command: str, words: list[str], folder: Path, ends: tuple[int, int], memory: int
) -> None:
    """Be the child: it never returns."""
    os.setsid()
    code = UNEXPECTED_FAILURE
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(ends[0], 1)
        os.dup2(ends[1], 2)
        # What the parent has buffered is the parent's.
        sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8")
        sys.stderr = io.TextIOWrapper(
            io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace"
        )
        sys.argv = [command, *words]
        os.environ["COLUMNS"] = "100" if os.isatty(1) else ""
        os.environ.setdefault("TERM", "xterm-256color")
        used = int(Path("/proc/self/statm").read_text().split()[0])
        limit = used * os.sysconf("SC_PAGE_SIZE") + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(folder)
        module = importlib.import_module(f"ensemble.cli.{command}")
        try:
            code = run_command(module._main, words)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else USELESS_CODE
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"Traceback: {type(error).__name__}: {error}\n".encode())
    finally:
        os._exit(code)


USELESS_CODE = 99
"""Stands for an end without a number."""


def _read_all(ends: Sequence[int]) -> tuple[list[str], bool]:
    """What is written until the writers end; whether they had to be given up."""
    parts: dict[int, list[bytes]] = {end: [] for end in ends}
    until = time.monotonic() + HANGS_AFTER
    with selectors.DefaultSelector() as watched:
        for end in ends:
            watched.register(end, selectors.EVENT_READ)
        while watched.get_map() and time.monotonic() < until:
            for key, _ in watched.select(timeout=1):
                data = b""
                # A terminal whose writer has ended is an error to read.
                with contextlib.suppress(OSError):
                    data = os.read(key.fd, 1 << 16)
                parts[key.fd].append(data)
                if not data:
                    watched.unregister(key.fd)
        hung = bool(watched.get_map())
    for end in ends:
        os.close(end)
    texts = [b"".join(data).decode("utf-8", "replace") for data in parts.values()]
    return texts, hung


def complaint(ended: Ended, codes: Sequence[int] = (), out_is_data: bool = True) -> str:
    """What is wrong with how a call ended; "" when nothing is.

    Parameters
    ----------
    ended : the call
    codes : exit codes that are right; none for any documented one but 1
    out_is_data : whether standard output is a table or JSON for programs, in which
        names are as they were written
    """
    legal = codes or [code for code in EXIT_CODES if code != UNEXPECTED_FAILURE]
    said = ended.err if out_is_data else ended.out + ended.err
    lines = [_without_colours(line) for line in _lines(said)]
    if ended.hung:
        return f"it hung for {HANGS_AFTER:g} s"
    if ended.code not in legal:
        return f"ended with {ended.code}, not {list(legal)}: {said[-_SHOWN:]!r}"
    if "Traceback" in said:
        return f"a traceback: {said[-_SHOWN:]!r}"
    if ended.seconds > MOST_SECONDS:
        return f"it took {ended.seconds:.1f} s"
    longest = max(lines, key=len)
    if len(longest) > LONGEST_LINE:
        return f"a line of {len(longest)} characters: {longest[:_SHOWN]!r}"
    for line in lines:
        acting = [char for char in line if acts(char)]
        if acting:
            return f"{acting[0]!r} reaches the screen: {line[:_SHOWN]!r}"
    if ended.code not in (0, 3):
        n_errors = sum(line.startswith("error: ") for line in lines)
        if n_errors != 1:
            return f"{n_errors} lines of an error: {said[-_SHOWN:]!r}"
    return ""


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


def acts(char: str) -> bool:
    """Whether a character does something to a screen, or cannot be seen on it."""
    return unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _without_colours(line: str) -> str:
    """What is left on a line of a terminal, without the styles that rich gives it."""
    return _STYLE.sub("", line).split("\r")[-1]
