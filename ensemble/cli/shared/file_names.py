"""Names of files as they are typed: patterns that no shell expanded, and ``-``."""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from base_models.errors import UsageError

_PATTERN = re.compile(r"[*?\[]")
# Predictions may be named as NAME=FILE:LOW-HIGH, see `PredictionFile`.
NAMED_FILE = re.compile(
    r"(?P<name>[^/\\=]+=)?(?P<file>.+?)(?P<scale>:[^:/\\]*)?", re.DOTALL
)


def audio_names(words: Sequence[str] | None) -> list[str]:
    """Names of audio files and folders, patterns replaced by what they match.

    ``-`` stands for names on standard input, one a line.

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
            names += _matches(word)
    return names


def _from_stdin() -> list[str]:
    names = [line.rstrip("\r\n") for line in sys.stdin]
    names = [name for name in names if name]
    if not names:
        raise UsageError(
            "'-' reads names of audio files from standard input, one a line; it holds "
            "none. Write for example: find clips -name '*.wav' | predict_mos -"
        )
    return names


def matching_files(words: Sequence[str] | None) -> list[str] | None:
    """Words such as ``NAME=FILE:0-100``, each pattern replaced by the files it matches.

    The name and the scale of a pattern are those of every file.

    Raises
    ------
    UsageError
        when a pattern matches nothing, or several files would have one name.
    """
    if words is None:
        return None
    found: list[str] = []
    for word in words:
        parts = NAMED_FILE.fullmatch(word)
        if parts is None or Path(word).exists() or not _PATTERN.search(parts["file"]):
            found.append(word)
            continue
        name, scale = parts["name"] or "", parts["scale"] or ""
        files = _matches(parts["file"])
        if name and len(files) > 1:
            raise UsageError(
                f"'{word}' matches {len(files)} files, which cannot all be "
                f"{name[:-1]}; name one of them, or leave {name} out."
            )
        found += [f"{name}{file}{scale}" for file in files]
    return found


def _matches(word: str) -> list[str]:
    """The files that a pattern matches; a file of exactly that name is itself."""
    if not _PATTERN.search(word) or Path(word).exists():
        return [word]
    matches = sorted(glob.glob(word, recursive=True))
    if not matches:
        raise UsageError(
            f"'{word}' matches no file. Patterns are looked for in {Path.cwd()}; ** "
            "goes through folders, [*] stands for a * in a name."
        )
    return matches
