"""Results of webMUSHRA: one csv per kind of page, a row per rating.

The columns are those that its server script writes (audiolabs/webMUSHRA,
``service/write.php``): ``session_test_id``, the questions of the questionnaire,
``session_uuid`` in later versions, ``trial_id``, and what the kind of page asks for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from base_models.clips.listening_tests.known_scales import MUSHRA
from base_models.clips.listening_tests.layouts.webmushra_config import audio_of_stimuli
from base_models.clips.listening_tests.listening_test import (
    CONTENT,
    RATER,
    SECONDS,
    ListeningTest,
    rows_where,
)
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError, some
from base_models.scales import Scale

_TEST = "session_test_id"
_SESSION = "session_uuid"
_TRIAL = "trial_id"
# Kind of page: columns of the stimulus and of its rating, name of the aspect, scale.
_PAGES: dict[str, tuple[str, str, str, Scale | None]] = {
    "mushra": ("rating_stimulus", "rating_score", "mushra", MUSHRA),
    "bs1116": (
        "rating_non_reference",
        "rating_non_reference_score",
        "impairment",
        Scale(1, 5),
    ),
    "likert": ("stimuli", "stimuli_rating", "rating", None),
}
_TRAINING = re.compile(r"(training|practi[cs]e)[\W_]*\w*", re.IGNORECASE)


def is_webmushra(table: TextTable) -> bool:
    """Whether a table has the columns of any of its results."""
    return _TEST in table.columns and _TRIAL in table.columns


def read_webmushra(table: TextTable, path: Path) -> ListeningTest:
    """Results of a MUSHRA, BS.1116 or Likert page as a listening test.

    Clips are called ``<trial>__<stimulus>``; the stimulus is the system and the trial
    the content. Audio files are those of the configuration (.yaml) beside the results
    or in ``configs``, see `webmushra_config`.

    Raises
    ------
    UsageError
        when the results are of pairs, or no column of ratings is there.
    """
    if not is_webmushra(table):
        raise UsageError(
            f"{path} is no webMUSHRA export: it has no columns '{_TEST}' and "
            f"'{_TRIAL}'; it has {some(table.columns, 20)}."
        )
    page = next((p for p in _PAGES.values() if {*p[:2]} <= {*table.columns}), None)
    if page is None:
        raise UsageError(
            f"{path} holds no ratings that can be read ({some(table.columns, 20)}). "
            "Of webMUSHRA mushra.csv, bs1116.csv, lss.csv and lms.csv are; give "
            "choices between two as a table with the columns a, b and winner."
        )
    stimulus, score, aspect, scale = page

    notes = []
    trials = [cell.strip() for cell in table.columns[_TRIAL]]
    is_training = [_TRAINING.fullmatch(trial) is not None for trial in trials]
    if any(is_training) and not all(is_training):
        names = sorted({t for t, left in zip(trials, is_training, strict=True) if left})
        notes.append(
            f"{sum(is_training)} ratings of training pages ({some(names)}) are left out"
        )
        table = rows_where(table, [not left for left in is_training])
    stimuli = [cell.strip() for cell in table.columns[stimulus]]
    trials = [cell.strip() for cell in table.columns[_TRIAL]]
    pairs = list(zip(trials, stimuli, strict=True))
    raters, note = _raters(table, pairs)
    tests = sorted({cell.strip() for cell in table.columns[_TEST]})
    audio, about_audio = audio_of_stimuli(path, tests, pairs)

    columns = {
        "clip_id": [f"{trial}__{name}" for trial, name in pairs],
        "audio": audio,
        "system_id": stimuli,
        CONTENT: trials,
        RATER: raters,
        aspect: [cell.strip() for cell in table.columns[score]],
    }
    if "rating_time" in table.columns:
        columns[SECONDS] = [_seconds(cell) for cell in table.columns["rating_time"]]
    return ListeningTest(
        layout="webmushra",
        table=TextTable(columns, table.locations, table.unit),
        aspects=(aspect,),
        scales={} if scale is None else {aspect: scale},
        notes=(*notes, *(text for text in (note, about_audio) if text)),
    )


def _raters(
    table: TextTable, pairs: Sequence[tuple[str, str]]
) -> tuple[list[str], str]:
    """One name per session, and how sessions were told apart, for people."""
    if _SESSION in table.columns:
        return [cell.strip() for cell in table.columns[_SESSION]], ""
    names = list(table.columns)
    answers = names[names.index(_TEST) + 1 : names.index(_TRIAL)]
    by_row = list(zip(*(table.columns[name] for name in answers), strict=True))
    if not answers:
        by_row = [()] * table.n_rows

    # Equal answers are one session until it rates a stimulus of a trial again.
    seen: dict[tuple[object, ...], int] = {}
    number_of: dict[tuple[object, ...], int] = {}
    raters = []
    for answer, pair in zip(by_row, pairs, strict=True):
        times = seen.get((answer, pair), 0)
        seen[answer, pair] = times + 1
        number = number_of.setdefault((answer, times), len(number_of) + 1)
        raters.append(f"session {number}")
    told = f"their answers ({some(answers)})" if answers else "repeated trials"
    return raters, f"sessions have no {_SESSION}; they are told apart by {told}"


def _seconds(cell: str) -> str:
    """Milliseconds as seconds."""
    value = parse_number(cell.strip())
    return "" if value is None else f"{value / 1000:g}"
