"""The verdict in words: what can be said of a stack, and what cannot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

BEST = "best base"
MEAN = "mean"
CONSTANT = "constant"
RIVAL_TITLES = {
    BEST: "the best base model",
    MEAN: "the mean of the base models",
    CONSTANT: "a constant (the mean rating)",
}
"""The kinds of rivals in words, in order of reading."""
CLIP_ERROR = ("utterance", "mse")
SYSTEM_RANKS = ("system", "srcc")
HEADLINE = (CLIP_ERROR, SYSTEM_RANKS)
"""What the sentence draws on: how far off the score of a clip is, and whether systems
are ranked rightly."""
_IN_WORDS = {
    CLIP_ERROR: "error per clip",
    SYSTEM_RANKS: "ranking of systems",
}
_QUESTIONS = {
    CLIP_ERROR: ("whether its scores are nearer to the ratings", "than those of"),
    SYSTEM_RANKS: ("whether it ranks systems better", "than"),
}
"""What is asked, and how it goes on where it is asked about some rivals alone."""
_GAINS = {
    CLIP_ERROR: "difference in utterance MSE",
    SYSTEM_RANKS: "gain in system SRCC",
}
ONE_SYSTEM = (
    "All clips are of one system: nothing is said of any other system, or of how "
    "systems rank."
)
NO_SYSTEMS = (
    "The clips name no systems, so each counts as independent, and nothing is said of "
    "how systems rank."
)
Row = Mapping[str, Any]
"""A row of the table of a `meta.comparison.verdict.Verdict`."""
LIKE_THESE = "All of this is about clips and systems like these; others may differ."


def sentence(table: pd.DataFrame, n_systems: int) -> str:
    """What can be said.

    Parameters
    ----------
    table : of a `meta.comparison.verdict.Verdict`
    n_systems : how many systems the aspect with fewest has
    """
    # As records: a handful of rows is read many times.
    rows = table.to_dict("records")
    headline = [row for row in rows if not math.isnan(row["p_holm"])]
    n_clips = max(row["n"] for row in headline if row["level"] == "utterance")
    counted = f"{n_clips} clips"
    if n_systems > 1:
        counted += f" of {n_systems} systems"

    compared = {row["rival"] for row in headline}
    rivals = [rival for rival in RIVAL_TITLES if rival in compared]
    if any(row["said"] for row in headline):
        # What is shown comes first, then in one breath what is not.
        claims = [_claims(headline, rival) for rival in rivals]
        shown = [claim for claim in claims if claim]
        unshown = [
            RIVAL_TITLES[rival]
            for rival, claim in zip(rivals, claims, strict=True)
            if not claim
        ]
        if unshown:
            shown.append(f"shows no difference from {_listed(unshown)}")
        return f"On {counted}, the stack {'; it '.join(shown)}."

    titles = [RIVAL_TITLES[rival] for rival in rivals]
    least_p = p_text(min(row["p_holm"] for row in headline))
    return (
        f"No difference shown between the stack and {_listed(titles)}, on {counted} "
        f"(least adjusted {least_p})."
    )


def limits(table: pd.DataFrame, systems: Sequence[str], n_systems: int) -> str:
    """What cannot be said, and how large a difference would have been seen.

    Parameters
    ----------
    table : of a `meta.comparison.verdict.Verdict`
    systems : the system of each clip, "" where none is named
    n_systems : how many systems the aspect with fewest has
    """
    rows = table.to_dict("records")
    questions = [
        question
        for cell in HEADLINE
        for question in _open_questions(rows, cell, n_systems)
    ]
    sentences = []
    if questions:
        sentences.append(f"Cannot be said: {', or '.join(questions)}.")
    if n_systems > 1:
        sentences.append(LIKE_THESE)
    elif any(systems):
        sentences.append(ONE_SYSTEM)
    else:
        sentences.append(NO_SYSTEMS)
    return " ".join(sentences)


def p_text(p: float) -> str:
    """A p-value of three digits, rounded up.

    Rounded to the nearest, one above 0.05, which shows nothing, could read as 0.050.

    >>> p_text(0.0502), p_text(0.05), p_text(0.0002)
    ('p = 0.051', 'p = 0.050', 'p < 0.001')
    """
    if p < 0.001:
        return "p < 0.001"
    # What is left of binary fractions must not count as more.
    return f"p = {math.ceil(round(p * 1000, 6)) / 1000:.3f}"


def _claims(headline: Sequence[Row], rival: str) -> str:
    """What is shown against one rival, e.g. ``"beats … in …"``; "" if nothing is."""
    against_rival = [row for row in headline if row["rival"] == rival]
    title = RIVAL_TITLES[rival]
    claims = []
    for said, verb in (("better", "beats"), ("worse", "is worse than")):
        differences = [_difference(row) for row in against_rival if row["said"] == said]
        if differences:
            claims.append(f"{verb} {title} in {', '.join(differences)}")
    return " but ".join(claims)


def _difference(row: Row) -> str:
    """One difference in words."""
    figures = _signed(row["difference"])
    if np.isfinite([row["low"], row["high"]]).all():
        figures += f" [{_signed(row['low'])}, {_signed(row['high'])}]"
    # Only the best base model has a name that needs saying.
    if row["rival"] == BEST:
        figures += f" against {row['model']}"
    metric = row["metric"].upper()
    what = _IN_WORDS[row["level"], row["metric"]]
    p = p_text(row["p_holm"])
    return f"{row['aspect']} {what} ({row['level']} {metric} {figures}, adjusted {p})"


def _signed(value: float) -> str:
    """A difference of three decimals, or of one digit where these would be 0.

    >>> _signed(-0.0251), _signed(-0.00042), _signed(0.0)
    ('-0.025', '-0.0004', '+0.000')
    """
    text = f"{value:+.3f}"
    is_small = 0 < abs(value) < 0.0005
    return f"{value:+.1g}" if is_small else text


def _open_questions(
    table: Sequence[Row], cell: tuple[str, str], n_systems: int
) -> Iterator[str]:
    """What is not shown of one metric, in words; nothing where all of it is."""
    rows = _of_cell(table, cell)
    # Predictions that are the same have nothing to be told apart by.
    same = _same_models(table)
    unsaid = [
        row
        for row in rows
        if not (row["said"] or math.isnan(row["smallest"]) or row["model"] in same)
    ]
    if not unsaid:
        return

    # Against whom need not be said where it is against all.
    question, against = _QUESTIONS[cell]
    open_rivals = {row["rival"] for row in unsaid}
    if open_rivals != {row["rival"] for row in rows}:
        titles = [title for kind, title in RIVAL_TITLES.items() if kind in open_rivals]
        question += f" {against} {_listed(titles)}"
    aspects = list(dict.fromkeys(row["aspect"] for row in unsaid))
    if len(aspects) < len({row["aspect"] for row in rows}):
        question += f" in {' and '.join(aspects)}"

    # Against a constant chance is larger, which says nothing of base models.
    of_bases = [row for row in unsaid if row["rival"] != CONSTANT]
    yield f"{question} ({_unseen(of_bases or unsaid, cell, n_systems)})"


def _of_cell(table: Sequence[Row], cell: tuple[str, str]) -> list[Row]:
    """The rows of one metric at one level."""
    return [row for row in table if (row["level"], row["metric"]) == cell]


def _same_models(table: Sequence[Row]) -> set[str]:
    """Rivals that predict what the stack predicts, so that nothing tells them apart."""
    known: dict[str, list[float]] = {}
    for row in _of_cell(table, CLIP_ERROR):
        if not math.isnan(row["smallest"]):
            known.setdefault(row["model"], []).append(row["smallest"])
    return {model for model, smallest in known.items() if max(smallest) == 0}


def _unseen(unsaid: Sequence[Row], cell: tuple[str, str], n_systems: int) -> str:
    """How large a difference may be that would not have been seen."""
    smallest = max(row["smallest"] for row in unsaid)
    gain = _GAINS[cell]
    n_clips = min(row["n"] for row in unsaid)
    counted = f"{n_systems} systems" if n_systems > 1 else f"{n_clips} clips"
    if smallest == 0:
        return f"these {counted} are ranked alike"
    if not math.isfinite(smallest):
        return f"{counted} are too few to show any {gain}"

    # No correlation is above 1: a large gain may not be there to be had.
    room = 1 - min(row["other"] for row in unsaid)
    if cell == SYSTEM_RANKS and smallest >= room:
        return (
            f"with {counted}, not even the largest gain in system SRCC that is left, "
            f"{room:.2f}, would be seen"
        )
    plural = gain.replace(" ", "s ", 1)
    return f"with {counted}, {plural} below about {smallest:.2g} would not be seen"


def _listed(titles: Sequence[str]) -> str:
    """Alternatives as text.

    >>> _listed(["a", "b", "c"])
    'a, b or c'
    """
    *first, last = titles
    return f"{', '.join(first)} or {last}" if first else last
