"""What separates the cells of a line.

`csv.Sniffer` decides by how often characters stand in a line, and so takes a letter or
the blank between the words of prompts for a separator. Here the lines are read with
each of the few separators in use, and the table that results is judged: by names that
are known, then by rows of equal length, then by cells without other separators.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence

from base_models.clips.names import is_audio_name
from base_models.clips.tables.header import is_known_name
from base_models.clips.tables.notation import readings

_SAMPLE = 1 << 17
"""How many characters of a file are looked at."""
_SEPARATORS = {
    ".csv": ",;\t|",
    ".tsv": "\t,;|",
    ".txt": "\t,;|",
}
"""Separators by the suffix of a file, the likeliest first."""
_OTHERS = re.compile(r"[,;\t|]")


def separator_of(text: str, suffix: str) -> str:
    """The separator of a text: a comma, semicolon, tab, bar, or a blank in lists.

    Parameters
    ----------
    text : of a table, with its header or without
    suffix : of its file, which says what is likely where the text does not
    """
    sample = without_comments(sample_of(text))
    candidates = _SEPARATORS.get(suffix, ",;\t|")
    if suffix == ".txt" and _is_list_of_files(sample):
        return candidates[0]

    best = candidates[0]
    best_score: tuple[float, ...] = ()
    unsplit: tuple[float, float, float] | None = None
    for place, separator in enumerate(candidates):
        if separator in sample:
            judged = _score(sample, separator)
        else:
            # All that do not occur leave the same rows, which are read once.
            unsplit = unsplit or _score(sample, separator)
            judged = unsplit
        score = (*judged, -place)
        if not best_score or score > best_score:
            best = separator
            best_score = score
    is_split = best_score[1] > 0
    if suffix == ".txt" and not is_split and _is_split_by_blanks(sample):
        return " "
    return best


def sample_of(text: str) -> str:
    """The first lines of a text."""
    if len(text) <= _SAMPLE:
        return text
    sample = text[:_SAMPLE]
    # The last line is cut off.
    return sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample


def without_comments(sample: str) -> str:
    """A text without the lines that begin with ``#``, unless all do."""
    if "#" not in sample:
        return sample
    return re.sub(r"(?:\A|(?<=[\r\n]))#[^\r\n]*(\r\n|\r|\n|\Z)", "", sample) or sample


def rows_of(
    text: str,
    separator: str,
    skipinitialspace: bool = False,
) -> list[list[str]]:
    """The rows of a text, without blank ones, up to the first that is malformed."""
    rows: list[list[str]] = []
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=skipinitialspace,
        strict=True,
    )
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(cells)
    except csv.Error:
        pass
    return rows


def _score(sample: str, separator: str) -> tuple[float, float, float]:
    """How well a separator makes a table of a text; larger is better.

    Returns
    -------
    known : the largest number of known names in one of the first rows
    equal : share of rows that have the commonest number of cells, 0 where that is 1
    clean : share of cells without another separator, numbers aside
    """
    rows = rows_of(sample, separator)
    if not rows:
        return (0, 0, 0)
    known = max(sum(map(is_known_name, row)) for row in rows[:10])
    width, n_equal = Counter(map(len, rows)).most_common(1)[0]
    equal = n_equal / len(rows) if width > 1 else 0.0
    cells = [cell for row in rows[:100] for cell in row]
    n_clean = sum(1 for cell in cells if _is_clean(cell))
    return (known, equal, n_clean / len(cells))


def _is_clean(cell: str) -> bool:
    return not _OTHERS.search(cell) or bool(readings(cell))


def _is_list_of_files(sample: str) -> bool:
    lines = _lines(sample)
    return all(is_audio_name(line) for line in lines)


def _is_split_by_blanks(sample: str) -> bool:
    """Whether each line is an id and numbers, with blanks between them."""
    rows: Sequence[list[str]] = [line.split() for line in _lines(sample)]
    if rows and all(map(is_known_name, rows[0])):
        rows = rows[1:]
    return all(len(row) > 1 and all(readings(cell) for cell in row[1:]) for row in rows)


def _lines(sample: str) -> list[str]:
    return [line for line in re.split(r"[\r\n]+", sample) if line.strip()]
