"""Names of files as they are typed: patterns that no shell expanded, and ``-``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from base_models.errors import UsageError
from base_models.files import matching_paths


def audio_names(words: Sequence[str] | None) -> list[str]:
    """Names of audio files and folders, patterns replaced by what they match.

    ``-`` stands for names on standard input, one a line, or with a NUL after each, as
    ``find -print0`` writes them.

    Raises
    ------
    UsageError
        when a pattern matches nothing, or standard input holds no name.
    """
    names: list[str] = []
    for word in words or ():
        if word == "-":
            names += _from_stdin()
        else:
            names += matching_paths(word)
    return names


def _from_stdin() -> list[str]:
    # Some shells begin what they write into a pipe with a byte order mark.
    text = sys.stdin.read().removeprefix("\ufeff")
    # No name holds a NUL: it separates them where names may hold newlines.
    if "\0" in text:
        names = text.split("\0")
    else:
        names = [name.rstrip("\r") for name in text.split("\n")]
    names = [name for name in names if name]
    if not names:
        raise UsageError(
            "'-' reads names of audio files from standard input, one a line; it holds "
            "none. Write for example: find clips -name '*.wav' | predict_mos -"
        )
    return names
