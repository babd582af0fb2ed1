"""Results of BeaqleJS: a text file per rater with a JSON list of rated test sets.

Its own evaluation script (HSU-ANT/beaqlejs, ``tools/Python/eval_mushra.py``) reads them
likewise: ``[{"TestID": …, "Runtime": …, "rating": {"1": 80, …}}, …]``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from base_models.clips.listening_tests.audio_beside import audio_beside
from base_models.clips.listening_tests.known_scales import MUSHRA
from base_models.clips.listening_tests.listening_test import (
    CONTENT,
    RATER,
    ListeningTest,
)
from base_models.clips.tables.encoding import read_text
from base_models.clips.text_table import TextTable
from base_models.errors import DamagedArtifact, UsageError, raise_machine_fault
from base_models.files import from_json

ASPECT = "mushra"
_SUFFIXES = {".txt", ".json"}


def is_beaqlejs(path: Path) -> bool:
    """Whether a file, or some file of a folder, looks like one rater's results."""
    for file in _files(path):
        try:
            with file.open("rb") as stream:
                start = stream.read(4000)
        except OSError as error:
            raise_machine_fault(error, file)
            continue
        opening = start.lstrip(b"\xef\xbb\xbf \t\r\n")
        if opening.startswith(b"[") and b'"TestID"' in start:
            return True
    return False


def read_beaqlejs(path: Path) -> ListeningTest:
    """Read one file of results, or all of a folder, as a listening test.

    Clips are called ``<test>__<label>``; the label is the system, the test set the
    content.

    Raises
    ------
    UsageError
        when a file is no list of rated test sets, naming it.
    """
    columns: dict[str, list[str]] = {
        name: [] for name in ("clip_id", "system_id", CONTENT, RATER, ASPECT)
    }
    locations = []
    files = [file for file in _files(path) if is_beaqlejs(file)]
    if not files:
        raise UsageError(f"{path} holds no BeaqleJS results (a list with 'TestID').")
    for file in files:
        for number, record in enumerate(_rated(file), start=1):
            test = str(record["TestID"])
            for label, rating in record["rating"].items():
                columns["clip_id"].append(f"{test}__{label}")
                columns["system_id"].append(str(label))
                columns[CONTENT].append(test)
                columns[RATER].append(file.stem)
                columns[ASPECT].append("" if rating is None else str(rating))
                locations.append((str(file), number))
    place = path / "results" if path.is_dir() else path
    columns["audio"] = audio_beside(place, columns["clip_id"])
    return ListeningTest(
        layout="beaqlejs",
        table=TextTable(columns, locations, unit="test set"),
        aspects=(ASPECT,),
        scales={ASPECT: MUSHRA},
    )


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [p for p in sorted(path.iterdir()) if p.suffix.lower() in _SUFFIXES]
    return [path] if path.is_file() and path.suffix.lower() in _SUFFIXES else []


def _rated(file: Path) -> Iterator[dict[str, Any]]:
    """The test sets of one rater that hold ratings."""
    try:
        records = from_json(read_text(file).encode(), str(file))
    except DamagedArtifact as error:
        raise UsageError(str(error)) from error
    for record in records if isinstance(records, list) else [records]:
        if not isinstance(record, dict):
            raise UsageError(
                f"{file}: expected test sets such as "
                f'{{"TestID": …, "rating": …}}; got {json.dumps(record)[:40]}.'
            )
        rating = record.get("rating")
        # What the rater said of herself stands among the test sets.
        if isinstance(rating, dict) and "TestID" in record:
            yield record
