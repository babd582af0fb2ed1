"""Lists of the VoiceMOS challenges with a row per listener, and no header.

Lines are ``system,utterance.wav,rating,…,listener``, as in ``TRAINSET`` of BVCC. (Lists
of mean ratings, ``utterance.wav,2.125``, are label lists.)
"""

from __future__ import annotations

import re
from pathlib import Path

from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.listening_tests.listening_test import RATER, ListeningTest
from base_models.clips.tables.encoding import read_text
from base_models.clips.text_table import TextTable, split_lines
from base_models.errors import UsageError

ASPECT = "mos"
_LINE = re.compile(
    r"(?P<system>[^,]+),(?P<file>[^,]+\.wav),(?P<rating>[0-9.]+),(?:.*,)?"
    r"(?P<listener>[^,]+)"
)
_SUFFIXES = {"", ".txt", ".csv", ".list"}


def is_voicemos(path: Path) -> bool:
    """Whether the first line of a file is one of such a list."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig") as stream:
            return _LINE.fullmatch(stream.readline(10_000).strip()) is not None
    except (OSError, UnicodeDecodeError):
        return False


def read_voicemos(path: Path) -> ListeningTest:
    """Read such a list as a listening test; audio lies in ``wav`` beside or above it.

    Raises
    ------
    UsageError
        when a line is no such line.
    """
    columns: dict[str, list[str]] = {
        name: [] for name in ("clip_id", "system_id", RATER, ASPECT)
    }
    locations = []
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise UsageError(
                f"{path}, line {number}: expected system,utterance.wav,rating,…,"
                f"listener; got {line[:60]!r}."
            )
        columns["clip_id"].append(Path(match["file"]).stem)
        columns["system_id"].append(match["system"].strip())
        columns[RATER].append(match["listener"].strip())
        columns[ASPECT].append(match["rating"])
        locations.append((str(path), number))
    audio = audio_beside(path, columns["clip_id"])
    if not any(audio):
        # The challenges keep lists in DATA/sets and audio in DATA/wav.
        above = audio_beside(path.parent, columns["clip_id"])
        audio = [str(Path("..") / file) if file else "" for file in above]
    return ListeningTest(
        layout="voicemos",
        table=TextTable({**columns, "audio": audio}, locations),
        aspects=(ASPECT,),
    )
