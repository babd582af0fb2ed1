"""Files that a command is to write, checked before anything is computed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from base_models.errors import UsageError

# Predictions may be named as NAME=FILE:LOW-HIGH, see `PredictionFile`.
_AROUND_A_FILE = re.compile(r"(?:[^/\\=]+=)?(?P<file>.+?)(?::[^:/\\]*)?", re.DOTALL)


def check_outputs(
    outputs: Mapping[str, str | None], inputs: Iterable[str | None]
) -> None:
    """Refuse to write over a file that is read, or twice to one file.

    Parameters
    ----------
    outputs : the option of each file to write, such as ``"--json"``, to its value
    inputs : what the command reads: files, or words such as ``NAME=FILE:0-100``

    Raises
    ------
    UsageError
        when two of these are one file, or an output is a folder or "".
    """
    read: set[Path] = set()
    for word in inputs:
        if word:
            read |= {Path(name).resolve() for name in (word, _file_of(word))}

    written: dict[Path, tuple[str, str]] = {}
    for option, name in outputs.items():
        if name is None:
            continue
        # An empty variable of a shell would be no output, without a word.
        if not name:
            raise UsageError(f"{option} takes a file; got ''.")
        place = Path(name).resolve()
        if place.is_dir():
            raise UsageError(f"{option} takes a file; {name} is a folder.")
        if place in read and place.is_file():
            raise UsageError(
                f"{option} would write over {name}, which is read; name another file."
            )
        if place in written:
            other, same = written[place]
            raise UsageError(
                f"{other} and {option} are both {same}; each needs a file of its own."
            )
        written[place] = (option, name)


def _file_of(word: str) -> str:
    match = _AROUND_A_FILE.fullmatch(word)
    return word if match is None else match["file"]
