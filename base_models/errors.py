"""The exceptions of this project; each carries the exit code that a command ends with.

A message says what is wrong with the value seen, what is legal, and the likely cure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from base_models.clip_status import UNREADABLE


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
    """A file of an artifact differs from its manifest, or was never finished."""

    exit_code = 4


class OutOfSpace(StackedMOSError, OSError):
    """The disk (or its quota) is full; everything written before is intact."""

    exit_code = 5


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
    raise UsageError(f"Unknown {what} '{name}'.{hint} Known: {', '.join(known)}.")


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
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else ""


def some(names: Iterable[str], limit: int = 5) -> str:
    """The first `limit` names, quoted for a message, and how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    quoted = [f"'{name}'" for name in names]
    text = ", ".join(quoted[:limit])
    if len(quoted) > limit:
        text += f" and {len(quoted) - limit} more"
    return text


def in_one_line(error: BaseException) -> str:
    """The message of an error in one line, or the name of its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
