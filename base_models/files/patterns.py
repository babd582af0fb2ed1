"""Patterns of files, as a shell has them."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from base_models.errors import UsageError

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
    """
    if not WILDCARD.search(pattern) or Path(pattern).exists():
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        raise UsageError(
            f"'{word or pattern}' matches no file. Patterns are looked for in "
            f"{Path.cwd()}; ** goes through folders, [*] stands for a * in a name."
        )
    return found
