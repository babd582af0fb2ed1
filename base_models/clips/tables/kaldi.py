"""``wav.scp`` of Kaldi: lines of an id and the path of its audio file."""

from __future__ import annotations

from pathlib import Path

from base_models.clips.tables.encoding import read_text
from base_models.clips.text_table import TextTable, split_lines
from base_models.errors import UsageError


def read_scp(path: Path) -> TextTable:
    """Read a .scp as columns ``clip_id`` and ``audio``.

    Raises
    ------
    UsageError
        when a line has no path, a command in its place, or a place in an archive.
    """
    rows = []
    locations = []
    for number, line in enumerate(split_lines(read_text(path)), start=1):
        if not line.strip():
            continue
        utterance, _, file = line.strip().partition("\t")
        if not file:
            utterance, _, file = line.strip().partition(" ")
        file = file.strip()
        where = f"{path}, line {number}"
        if not file:
            raise UsageError(f"{where}: expected 'ID PATH'; got {line[:80]!r}.")
        if file.endswith("|"):
            raise UsageError(
                f"{where}: '{file[:60]}' is a command, and commands in a table are "
                "not run; write its output to a file and give the path."
            )
        if ".ark:" in file:
            raise UsageError(
                f"{where}: '{file[:60]}' is a place in an archive; extract the audio "
                "to a file and give the path."
            )
        rows.append((utterance.strip(), file))
        locations.append((str(path), number))
    return TextTable.from_rows(("clip_id", "audio"), rows, locations)
