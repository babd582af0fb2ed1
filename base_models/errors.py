"""The exceptions of this project; each carries the exit code that a command ends with.

A message says what is wrong with the value seen, what is legal, and the likely cure.
"""

from __future__ import annotations

import difflib
import errno
import itertools
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from base_models.clip_status import UNREADABLE

_MOST_COMPARED = 1_000
LONGEST_NAME = 200
"""Characters of a name that a message shows."""
MOST_MESSAGE = 480
"""Characters of a message about a damaged file; commands add what to do."""


class StackedMOSError(Exception):
    """Base class of all errors that this project raises on purpose."""

    exit_code = 1


class UsageError(StackedMOSError, ValueError):
    """An input cannot be used: a wrong name, a bad label, a missing folder."""

    exit_code = 2


class MissingLibrary(UsageError, ImportError):
    """An optional library is not installed; the message names the extra with it.

    Parameters
    ----------
    message : str
    library : str
        Import name of the library, which is the attribute ``name`` as of other errors
        of imports.
    """

    def __init__(self, message: str, library: str = "") -> None:
        super().__init__(message)
        self.name = library


class ClipError(StackedMOSError):
    """One clip cannot be used; code that reads many clips sets it aside and goes on.

    Parameters
    ----------
    message : str
    status : str
        What is the matter in one word, of `base_models.clip_status.STATUSES`.
    """

    exit_code = 3

    def __init__(self, message: str, status: str = UNREADABLE) -> None:
        super().__init__(message)
        self.status = status


class DamagedArtifact(StackedMOSError):
    """A file of an artifact differs from its manifest, or was never finished.

    Parameters
    ----------
    message : str
        Made one line of at most `MOST_MESSAGE` characters: it may repeat what a
        stranger wrote into the file.
    """

    exit_code = 4

    def __init__(self, message: str = "") -> None:
        super().__init__(shortened(" ".join(message.splitlines()), MOST_MESSAGE))


class DamagedEmbedding(DamagedArtifact):
    """A stored embedding is not what was written; filling its store makes it again."""


class MachineFault(StackedMOSError, OSError):
    """The machine failed, not what it was given: no file can be opened any more, say.

    Everything written before is intact. No clip is set aside for it and nothing goes
    on without what could not be read: what was made on fewer clips would pass for
    whole. See `machine_fault`.
    """

    exit_code = 5


class OutOfSpace(MachineFault):
    """The disk (or its quota) is full; everything written before is intact."""


_UNFINISHED = re.compile(
    r"(?<![^/])\.(?P<name>[^/]+?)(?:\.[0-9a-f]{8}-\d+-\d+)?\.[0-9a-f]{32}"
    r"(?:\.old)?\.tmp(?![^/])"
)
"""Part of a path that is still under a hidden name."""
_TRY_AGAIN = "run the same command again"
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_TOO_MANY_FILES = (
    f"close other programs or raise the limit (ulimit -n), and {_TRY_AGAIN}"
)
_NO_MEMORY = f"close other programs or take a larger machine, and {_TRY_AGAIN}"
_MAY_NOT_WRITE = f"take a place that you may write to, and {_TRY_AGAIN}"
_LOST_DISK = f"check the disk or the network it is reached by, and {_TRY_AGAIN}"
_CURES = {
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
    errno.ENOMEM: _NO_MEMORY,
    errno.EIO: _LOST_DISK,
    errno.ESTALE: _LOST_DISK,
    errno.ETIMEDOUT: _LOST_DISK,
    errno.ENOTCONN: _LOST_DISK,
    # Also where it is read: a copy of a clip lies in memory, as a file.
    errno.EFBIG: (
        f"raise the largest size of a file (ulimit -f) or take another disk, and "
        f"{_TRY_AGAIN}"
    ),
    getattr(errno, "EREMOTEIO", errno.EIO): _LOST_DISK,
}
"""What helps against faults of the machine, whatever was done to the file."""
_CURES_OF_WRITING = {
    errno.EACCES: _MAY_NOT_WRITE,
    errno.EPERM: _MAY_NOT_WRITE,
    errno.EROFS: _MAY_NOT_WRITE,
}
"""The same where these are faults of the machine: when a file is written."""


def machine_fault(
    error: BaseException,
    path: str | os.PathLike[str] = "",
    n_bytes: int | None = None,
) -> MachineFault | None:
    """The fault of the machine that an error of reading or writing a file stands for.

    Code that turns an `OSError` or a `MemoryError` into a fault of the data asks here
    first, and raises what it gets ``from error``.

    Parameters
    ----------
    error : what was raised
    path : of the file, as its owner knows it; "" takes the one that the error names
    n_bytes : int or None
        How many bytes were being written. None where the file was read: that a file
        may not be read by this user is a matter of the file.

    Returns
    -------
    fault : MachineFault or None
        None where it is a fault of the data, e.g. a file that is not there.

    Examples
    --------
    >>> fault = machine_fault(OSError(errno.EMFILE, "Too many open files"), "a.wav")
    >>> print(fault)  # doctest: +ELLIPSIS
    The machine failed at a.wav: Too many open files. Finished work is kept; close ...
    >>> machine_fault(FileNotFoundError(errno.ENOENT, "No such file"), "a.wav") is None
    True
    """
    if isinstance(error, MachineFault):
        return error
    is_memory = isinstance(error, MemoryError)
    if not is_memory and not isinstance(error, OSError):
        return None

    code = errno.ENOMEM if is_memory else getattr(error, "errno", None)
    name = final_name(os.fspath(path) or getattr(error, "filename", None) or "")
    if code in _NO_SPACE:
        return _out_of_space(name, n_bytes)
    cures = _CURES if n_bytes is None else _CURES | _CURES_OF_WRITING
    if code not in cures:
        return None

    written = "" if n_bytes is None else f" while {n_bytes:,} bytes were written"
    place = f" at {name}" if name else ""
    return MachineFault(
        f"The machine failed{place}: {os.strerror(code)}{written}. "
        f"Finished work is kept; {cures[code]}."
    )


def raise_machine_fault(
    error: BaseException,
    path: str | os.PathLike[str] = "",
    n_bytes: int | None = None,
) -> None:
    """Raise the fault of the machine that an error stands for, if it stands for one.

    For code that goes on without what could not be read. Parameters are those of
    `machine_fault`.
    """
    fault = machine_fault(error, path, n_bytes)
    if fault is not None:
        raise fault from error


def final_name(path: object) -> str:
    """A path as its owner knows it, also while what it names is being made.

    Files and folders are made under hidden names beside the ones that they get.

    Examples
    --------
    >>> final_name("out/.stack.0123456789abcdef0123456789abcdef.tmp/stack.json")
    'out/stack/stack.json'
    """
    return _UNFINISHED.sub(r"\g<name>", str(path))


def _out_of_space(name: str, n_bytes: int | None) -> OutOfSpace:
    folders = Path(name).absolute().parents
    folder = next(parent for parent in folders if parent.exists())
    target = f" to write {name}" if name else ""
    needed = "" if n_bytes is None else f"{n_bytes:,} bytes needed, "
    free = shutil.disk_usage(folder).free
    return OutOfSpace(
        f"No space left{target}: {needed}{free:,} free. "
        f"Finished work is kept; free some space and {_TRY_AGAIN}."
    )


def one_of(
    name: str,
    legal: Iterable[str],
    what: str,
) -> str:
    """Return `name` if it is legal; otherwise raise and suggest the nearest legal name.

    Parameters
    ----------
    name : str
    legal : legal names, in the order in which the message lists them
    what : str, what the names stand for, as the message calls it

    Raises
    ------
    UsageError
        when `name` is not among `legal`.

    Examples
    --------
    >>> one_of("dora", ["dora", "whisq"], "preset")
    'dora'
    >>> one_of("dorra", ["dora", "whisq"], "preset")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    base_models.errors.UsageError: ... Did you mean 'dora'? Known: dora, whisq.
    """
    known = list(legal)
    if name in known:
        return name

    nearest = nearest_name(str(name), known)
    hint = f" Did you mean '{nearest}'?" if nearest else ""
    raise UsageError(
        f"Unknown {what} '{shortened(str(name), 80)}'.{hint} Known: {', '.join(known)}."
    )


def nearest_name(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The known name that is most like `name`, to be suggested; "" where none is.

    Parameters
    ----------
    name : as it was written
    known : legal names
    cutoff : the least likeness, 0..1, as `difflib.get_close_matches` takes it: a hint
        that is far from the name would mislead

    Examples
    --------
    >>> nearest_name("dorra", ["dora", "whisq"]), nearest_name("x", ["dora"])
    ('dora', '')
    """
    # Comparing takes long of long names, and of many: a table may have any number.
    listed = list(itertools.islice(known, _MOST_COMPARED))
    name = in_the_middle(name, LONGEST_NAME)
    close = difflib.get_close_matches(name, listed, n=1, cutoff=cutoff)
    return close[0] if close else ""


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first `limit` names, quoted for a message, and how many more there are.

    Longer names than people give are cut in their middle.

    >>> some(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    named = [str(name) for name in names]
    shown = [in_the_middle(name, LONGEST_NAME) for name in named[:limit]]
    text = ", ".join(f"'{name}'" for name in shown)
    if len(named) > limit:
        text += f" and {len(named) - limit} more"
    return text


def in_the_middle(text: str, longest: int) -> str:
    """A text cut to a length in its middle, since names differ at their ends.

    >>> in_the_middle("system_of_the_first_laboratory_v2", longest=16)
    'system_o…tory_v2'
    """
    if len(text) <= longest:
        return text
    n_after = (longest - 1) // 2
    n_before = longest - 1 - n_after
    return f"{text[:n_before]}…{text[len(text) - n_after :]}"


def in_one_line(error: BaseException) -> str:
    """The message of an error in one line, or the name of its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def in_short(error: BaseException, most: int = 200) -> str:
    """The type and message of an error in one line of at most `most` characters.

    For what libraries raise, whose messages may repeat a whole file.

    >>> in_short(KeyError("dim")), in_short(ValueError("a\\n" * 90), most=24)
    ("KeyError: 'dim'", 'ValueError: a a a a a a…')
    """
    return shortened(" ".join(f"{type(error).__name__}: {error}".split()), most)


def shortened(text: str, most: int) -> str:
    """The start of a text, if it has more than `most` characters.

    >>> shortened("abcdef", 6), shortened("abcdefg", 6)
    ('abcdef', 'abcde…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


MISFITS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What values of a file raise that are of another kind, or do not fit each other.

Readers of files turn these, and no others, into `DamagedArtifact`.
"""
