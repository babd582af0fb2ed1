"""Patterns of files, as a shell has them."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from base_models.errors import UsageError, raise_machine_fault

ANY_DEPTH = "**"
"""Part of a pattern that goes through folders."""
ONLY_FOLDERS = ""
"""Last part of a pattern that ends with a slash."""
WILDCARD = re.compile(r"[*?\[]")
"""What makes a path a pattern, see `matching_paths`."""


def matching_paths(pattern: str, word: str = "") -> list[str]:
    """The files and folders that a pattern matches, sorted.

    A path of exactly that name is itself, and so is one without wildcards, whether it
    is there or not.

    Parameters
    ----------
    pattern : as for a shell, which may have left it as it is; ``**`` goes through
        folders
    word : what was typed, for the message, where the pattern is a part of it

    Raises
    ------
    UsageError
        when it matches nothing.
    MachineFault
        when the machine fails while a folder is listed, whose files would be missing.
    """
    if not WILDCARD.search(pattern) or Path(pattern).exists():
        return [pattern]
    parts = [part for part in pattern.split("/") if part]
    if pattern.endswith("/"):
        parts.append(ONLY_FOLDERS)
    found = sorted(set(_matches("/" if pattern.startswith("/") else "", parts)))
    if not found:
        raise UsageError(
            f"'{word or pattern}' matches no file. Patterns are looked for in "
            f"{Path.cwd()}; ** goes through folders, [*] stands for a * in a name."
        )
    return found


def _matches(folder: str, parts: Sequence[str]) -> Iterator[str]:
    """What is below a folder whose path fits these parts of a pattern.

    As `glob.glob` finds it, which however leaves a folder out that cannot be listed.
    """
    if not parts:
        yield folder
        return
    part, *rest = parts
    if part == ONLY_FOLDERS:
        if os.path.isdir(folder):
            yield os.path.join(folder, "")
    elif part == ANY_DEPTH:
        if rest:
            yield from _matches(folder, rest)
        elif folder:
            yield os.path.join(folder, "")
        for name in _names(folder, part):
            path = os.path.join(folder, name)
            if os.path.isdir(path):
                yield from _matches(path, parts)
            elif not rest:
                yield path
    elif WILDCARD.search(part):
        for name in _names(folder, part):
            path = os.path.join(folder, name)
            if not rest or os.path.isdir(path):
                yield from _matches(path, rest)
    elif os.path.lexists(path := os.path.join(folder, part)):
        yield from _matches(path, rest)


def _names(folder: str, part: str) -> list[str]:
    """The names in a folder that fit a part; hidden ones only where it has a dot."""
    try:
        names = os.listdir(folder or ".")
    except OSError as error:
        raise_machine_fault(error, folder or ".")
        return []
    if not part.startswith("."):
        names = [name for name in names if not name.startswith(".")]
    return names if part == ANY_DEPTH else fnmatch.filter(names, part)
