"""What can go wrong, as types: each carries the exit code that a command ends with.

A message says what is wrong with the value seen, what is legal, and the likely cure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StackedMOSError(Exception):
    """Anything that this project refuses, in one readable line."""

    exit_code = 1


class UsageError(StackedMOSError, ValueError):
    """The caller passed something that cannot be used: a wrong name, a bad label, a missing folder."""

    exit_code = 2


class ClipError(StackedMOSError):
    """One clip cannot be used, and why; whoever walks over many clips sets it aside and goes on."""

    exit_code = 3


class DamagedArtifact(StackedMOSError):
    """A file that we wrote no longer holds what its manifest says, or was never finished."""

    exit_code = 4


class OutOfSpace(StackedMOSError, OSError):
    """The disk (or its quota) is full; everything written before is intact."""

    exit_code = 5


def one_of(name: str, legal: Iterable[str], what: str) -> str:
    """Return `name` if it is legal, else refuse it and suggest the nearest legal name.

    >>> one_of("dora", ["dora", "whisq"], "preset")
    'dora'
    >>> one_of("dorra", ["dora", "whisq"], "preset")
    Traceback (most recent call last):
    base_models.errors.UsageError: Unknown preset 'dorra'. Did you mean 'dora'? Known: dora, whisq.
    """
    legal = list(legal)
    if name in legal:
        return name
    close = difflib.get_close_matches(str(name), legal, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    raise UsageError(f"Unknown {what} '{name}'.{hint} Known: {', '.join(legal)}.")


def some(names: Iterable[str], limit: int = 5) -> str:
    """A few names for a message, and how many more there are.

    >>> some(["a", "b", "c"], limit=2)
    "'a', 'b' and 1 more"
    """
    names = [f"'{name}'" for name in names]
    return ", ".join(names[:limit]) + (
        f" and {len(names) - limit} more" if len(names) > limit else ""
    )
