"""Counts, names and numbers as a sentence for anyone has them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ensemble.reporting.number_text import interval_text

MOST_NAMES = 4
"""More names than this make a sentence that nobody reads to its end."""


def counted(n: int, noun: str) -> str:
    """A number and its noun, in the plural where it must be.

    >>> counted(1, "clip"), counted(1200, "clip")
    ('1 clip', '1,200 clips')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def named(names: Iterable[str], limit: int = MOST_NAMES, last: str = "and") -> str:
    """Names in a sentence, the first of them where there are many.

    Parameters
    ----------
    names : of any number
    limit : how many are named; of others only the number
    last : the word before the last name

    >>> named(["a", "b", "c"]), named(["a", "b", "c"], limit=1)
    ('a, b and c', 'a and 2 more')
    """
    every = list(names)
    shown = every[:limit]
    n_more = len(every) - len(shown)
    if n_more:
        return f"{', '.join(shown)} and {n_more} more"
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"


def share(part: int, whole: int) -> str:
    """A part of a whole, also in percent.

    >>> share(3, 40), share(1, 900)
    ('3 of 40 (8 %)', '1 of 900 (under 1 %)')
    """
    percent = 100 * part / whole
    rounded = "under 1" if 0 < percent < 0.5 else f"{percent:.0f}"
    return f"{part:,} of {whole:,} ({rounded} %)"


def figure(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """A score of two decimals, with its interval where both ends are known.

    >>> figure(3.456, 3.2, 3.71), figure(3.4), figure(math.nan)
    ('3.46 [3.20, 3.71]', '3.40', '-')
    """
    if not math.isfinite(value):
        return "-"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{value:.2f}"
    return f"{value:.2f} {interval_text(low, high, decimals=2)}"


def as_sentence(text: str) -> str:
    """What a table says in passing, as a sentence of its own.

    >>> as_sentence("no difference shown between a and b")
    'No difference shown between a and b.'
    """
    # What begins with a name is left as it is: names may be in small letters.
    if text.startswith(("no ", "intervals ", "all ")):
        text = f"{text[0].upper()}{text[1:]}"
    return text if text.endswith(".") else f"{text}."


def rows_words(rows_name: str) -> str:
    """What a report calls the rows that were measured, in words for anyone.

    >>> rows_words("LEAKY meta-validation"), rows_words("test")
    ('LEAKY held-out clips', 'test clips')
    """
    return f"{rows_name.replace('meta-validation', 'held-out')} clips"
