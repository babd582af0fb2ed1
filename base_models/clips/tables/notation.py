"""Numbers in the notation of other countries: ``3,5``, ``1.234,5``, ``1 234``.

A column is rewritten only if its cells are numbers in one notation, but for a word here
and there, so that a title such as ``1,5`` among other titles stays what it is. What has
two readings, as ``1,234``, stays too, and is then refused by whoever needs a number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

from base_models.clips.text_table import parse_number

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "."})
"""Cells, in lower case, that say that a number is missing."""

WORDS_AMONG_NUMBERS = 0.1
"""Share of a column's cells that may be no numbers, and stay as they are."""

_GROUPED_BY_SPACE = r"[1-9]\d{0,2}(?:[ \u00a0\u202f'\u2019]\d{3})+"
_SIGN = r"[+\u2212-]?"
_EXPONENT = r"(?:[eE][+-]?\d+)?"


def _notation(point: str, grouping: str) -> re.Pattern[str]:
    """Numbers with this decimal point, whose thousands may be grouped by the other."""
    grouped = rf"[1-9]\d{{0,2}}(?:{grouping}\d{{3}})+"
    whole = rf"(?:{grouped}|{_GROUPED_BY_SPACE}|\d+)"
    number = rf"{_SIGN}(?:{whole}(?:{point}\d*)?|{point}\d+){_EXPONENT}"
    return re.compile(number, re.ASCII)


_WITH_POINT = _notation(r"\.", ",")
_WITH_COMMA = _notation(",", r"\.")
_WHOLE = re.compile(r"0|[1-9][0-9]*")
_MONTH = re.compile(
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sept|june|july|march|april"
    "|mrz|mär|mai|okt|dez|märz|juni|juli|janv|févr|mars|avr|juin|juil|août|déc"
    "|sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru|ene|abr|ago|dic",
    re.IGNORECASE,
)
_LONGEST_ANSWER = 100
_NUMBER_ALONE = re.compile(r"[0-9]+(?:[.,][0-9]+)?")
# A number, then a percent sign or "/5", or a word of two letters at least.
_ANSWER = re.compile(
    rf"(?P<number>{_NUMBER_ALONE.pattern})\s*(?:(?P<sign>%|/\s*[0-9]+)"
    r"|[-\u2013\u2014:=.|(\[]?\s*(?P<word>[^\W\d_]{2}[^\d]*?)[)\]]?)?"
)
_MARKS = re.compile(r"[, \u00a0\u202f'\u2019\u2212]")
_GROUPS = re.compile(r"[ \u00a0\u202f'\u2019]")


def readings(cell: str) -> list[str]:
    """What a cell may mean as a number, in plain form: none, one, or two that differ.

    >>> readings("3,5"), readings("1.234,5"), readings("1,234"), readings("piano")
    (['3.5'], ['1234.5'], ['1234', '1.234'], [])
    """
    cell = cell.strip()
    found = []
    if _WITH_POINT.fullmatch(cell):
        found.append(_with_point(cell))
    if _WITH_COMMA.fullmatch(cell):
        found.append(_with_comma(cell))
    return list(dict.fromkeys(found))


def two_readings(cell: str) -> str:
    """What to say of a cell with two readings as a number, or "".

    >>> two_readings("1,234")
    'It may be 1234 or 1.234: write it with a decimal point, or without a comma.'
    >>> two_readings("piano"), two_readings("1.234")
    ('', '')
    """
    found = readings(cell)
    if len(found) < 2 or parse_number(cell) is not None:
        return ""
    return (
        f"It may be {found[0]} or {found[1]}: write it with a decimal point, or "
        "without a comma."
    )


def in_plain_form(cells: Sequence[str]) -> list[str] | None:
    """The cells of a column with all of its numbers as ``parse_number`` reads them.

    Parameters
    ----------
    cells : of one column; those of `MISSING` stay as they are, and so do words, if they
        are at most `WORDS_AMONG_NUMBERS` of the others

    Returns
    -------
    cells : None where nothing is to be rewritten: all numbers are plain, too many cells
        are no numbers, or the notation of the column is in doubt
    """
    numbers = _marked_numbers(cells)
    if numbers is None:
        return None

    has_point = all(_WITH_POINT.fullmatch(number) for number in numbers)
    has_comma = all(_WITH_COMMA.fullmatch(number) for number in numbers)
    if has_point and not has_comma:
        plain = [_with_point(number) for number in numbers]
    elif has_comma and not has_point and not _mixes_points(numbers):
        plain = [_with_comma(number) for number in numbers]
    # Numbers typed now with a comma, now with a point; or grouped whole ones.
    elif all(len(readings(number)) == 1 for number in numbers):
        plain = [readings(number)[0] for number in numbers]
    else:
        return None
    # A number may be too large for any notation.
    if any(parse_number(number) is None for number in plain):
        return None

    rewritten = iter(plain)
    return [next(rewritten) if _is_number(cell) else cell for cell in cells]


def answers_in_plain_form(cells: Sequence[str]) -> list[str] | None:
    """The numbers of a rated column whose answers say more: ``40%``, ``4 - Good``, 4/5.

    Parameters
    ----------
    cells : of one column that is known to hold ratings; those of `MISSING` stay

    Returns
    -------
    cells : None where all are plain, or one is no such answer; where a number comes
        with two words, a word is that of a month or beside a fraction, signs differ
        (``/5`` beside ``/10``), or numbers of another scale would pass for those of
        1..5 without their sign

    Examples
    --------
    >>> answers_in_plain_form(["40%", "", "2,5 %"]), answers_in_plain_form(["4/5"])
    (['40', '', '2.5'], ['4'])
    >>> answers_in_plain_form(["5 - Excellent", "1 (Bad)", "3"])
    ['5', '1', '3']
    >>> answers_in_plain_form(["4 - noisy", "4 - dull"])
    """
    # Nearly all columns of a large table end here, or at their first cell below.
    distinct = {cell.strip() for cell in set(cells) if not _is_missing(cell)}
    if all(map(_NUMBER_ALONE.fullmatch, distinct)):
        return None
    # A longer cell is no answer, and could take the pattern forever.
    if any(len(cell) > _LONGEST_ANSWER for cell in distinct):
        return None
    filled = [cell.strip() for cell in cells if not _is_missing(cell)]
    matches = []
    for cell in filled:
        match = _ANSWER.fullmatch(cell)
        if match is None:
            return None
        matches.append(match)
    # All have one sign, or each number a word of its own, as only the ends may have.
    signs = {re.sub(r"\s", "", match["sign"] or "") for match in matches}
    words = {(match["number"], match["word"] or "") for match in matches}
    numbers = {number for number, _ in words}
    has_words = any(word for _, word in words)
    # "01. Mrz" is what a spreadsheet makes of 1.3.
    is_odd = has_words and not all(map(_WHOLE.fullmatch, numbers))
    are_dates = any(_MONTH.fullmatch(word.rstrip(".")) for _, word in words)
    if len(signs) > 1 or len(words) > len(numbers) or is_odd or are_dates:
        return None
    values = [match["number"].replace(",", ".") for match in matches]
    # "4/10" and "4%" are other ratings than 4 on the usual scale, which would not show.
    sign = signs.pop()
    if sign not in ("", "/5") and all(float(value) <= 5 for value in values):
        return None
    plain = iter(values)
    return [cell if _is_missing(cell) else next(plain) for cell in cells]


def _is_number(cell: str) -> bool:
    return not _is_missing(cell) and bool(readings(cell))


def _is_missing(cell: str) -> bool:
    return cell.strip().lower() in MISSING


def is_doubtful(cells: Sequence[str]) -> bool:
    """Whether a column holds numbers with commas whose notation cannot be told.

    >>> is_doubtful(["1,234", "2"]), is_doubtful(["1.234", "2"]), is_doubtful(["a,b"])
    (True, False, False)
    """
    numbers = _marked_numbers(cells)
    return numbers is not None and in_plain_form(cells) is None


def settled_by_scale(cells: Sequence[str], low: float, high: float) -> list[str] | None:
    """The cells of a column in plain form, where its scale says which notation it has.

    Parameters
    ----------
    cells : of one column
    low, high : the ends of its scale

    Returns
    -------
    cells : None where the notation is in no doubt, or remains so: on the scale lie the
        numbers of both readings, or of none

    Examples
    --------
    >>> settled_by_scale(["2,125", ""], 1, 5), settled_by_scale(["2,125"], 1, 5000)
    (['2.125', ''], None)
    """
    if not is_doubtful(cells):
        return None
    fitting = []
    # With a decimal comma, or with grouped thousands; others have one reading.
    for choice in (-1, 0):
        plain = [readings(cell)[choice] if _is_number(cell) else cell for cell in cells]
        numbers = (parse_number(cell) for cell in plain if _is_number(cell))
        if all(number is not None and low <= number <= high for number in numbers):
            fitting.append(plain)
    return fitting[0] if len(fitting) == 1 else None


def _marked_numbers(cells: Sequence[str]) -> list[str] | None:
    """The numbers of a column, or None where all are plain or many cells are none.

    Most columns end here, at their first cells or without any of the signs that a plain
    number lacks.
    """
    given = (cell for cell in cells if not _is_missing(cell))
    if not any(map(readings, islice(given, 2))) or not _MARKS.search("\n".join(cells)):
        return None
    filled = [cell.strip() for cell in cells if not _is_missing(cell)]
    numbers = list(filter(_is_number, filled))
    if len(filled) - len(numbers) > WORDS_AMONG_NUMBERS * len(filled):
        return None
    if all(parse_number(number) is not None for number in numbers):
        return None
    return numbers


def _mixes_points(numbers: Sequence[str]) -> bool:
    """Whether ``1.234`` stands among ``3,5`` and no number has both signs."""
    has_both = any("." in number and "," in number for number in numbers)
    return not has_both and any(
        "." in number and parse_number(number) is not None for number in numbers
    )


def _with_point(number: str) -> str:
    return _plain_signs(number.replace(",", ""))


def _with_comma(number: str) -> str:
    return _plain_signs(number.replace(".", "").replace(",", "."))


def _plain_signs(number: str) -> str:
    return _GROUPS.sub("", number).replace("\u2212", "-")
