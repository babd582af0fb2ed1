"""Lists of the VoiceMOS challenges with a row per listener, and no header.

Lines are ``system,utterance.wav,rating,…,listener``, as in ``TRAINSET`` of BVCC. (Lists
of mean ratings, ``utterance.wav,2.125``, are label lists.)
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.listening_tests.listening_test import RATER, ListeningTest
from base_models.clips.tables.encoding import read_text
from base_models.clips.text_table import TextTable, split_lines
from base_models.errors import UsageError, raise_machine_fault

ASPECT = "mos"
_LINE = re.compile(
    r"(?P<system>[^,]+),(?P<file>[^,]+\.wav),(?P<rating>[0-9.]+),(?:.*,)?"
    r"(?P<listener>[^,]+)"
)
_FRACTION = re.compile(r"[0-9]*\.[0-9]+")
_FIRST_LINES = 20_000
_SUFFIXES = {"", ".txt", ".csv", ".list"}


def is_voicemos(path: Path) -> bool:
    """Whether a file is such a list, by its first lines.

    A listener of several utterances, or several of one, are among them: else the last
    number may be anything that is known of a clip.
    """
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8-sig") as stream:
            lines = [stream.readline(10_000).strip()]
            # Of other files one line is looked at.
            if _LINE.fullmatch(lines[0]):
                lines += [line.strip() for line in islice(stream, _FIRST_LINES)]
    except (OSError, UnicodeDecodeError) as error:
        raise_machine_fault(error, path)
        return False
    matches = [_LINE.fullmatch(line) for line in lines]
    if matches[0] is None:
        return False
    known = [match for match in matches if match is not None]
    if any(_FRACTION.fullmatch(match["listener"].strip()) for match in known):
        return False
    files = {match["file"] for match in known}
    return len(known) == 1 or len(files) < len(known)


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
