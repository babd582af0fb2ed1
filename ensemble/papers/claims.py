"""What the papers say of their tables in words: ranks and relative gains, and ours.

Gains are computed anew from the printed table, since those that a paper states may come
from numbers before rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ensemble.papers.measure_rows import MEASURED, Outcome
from ensemble.papers.paper_tables import Claim, Column, PaperTable
from ensemble.papers.reproduce import Reproduction


def claim_lines(made: Reproduction) -> list[str]:
    """Sentences on the ranks and gains of a reproduced table."""
    table = made.request.table
    lines = []
    if table.ranked:
        lines.append(_ranks_in_paper(table))
        ours = _ranks_of_ours(made)
        if ours:
            lines.append(ours)
    lines += [_gain_line(made, claim) for claim in table.claims]
    return lines


# ---- ranks


def ranks(
    columns: Sequence[Column],
    numbers: Sequence[float],
    others: Sequence[Sequence[float]],
) -> list[int]:
    """The rank of a row in each column, 1 for the best; equal numbers share a rank.

    Parameters
    ----------
    columns : of the table
    numbers : of the row
    others : numbers of the other rows

    Examples
    --------
    >>> columns = [Column("mi", "system", "mse"), Column("mi", "system", "srcc")]
    >>> ranks(columns, [0.2, 0.9], [[0.1, 0.9], [0.3, 0.8]])
    [2, 1]
    """
    found = []
    for place, column in enumerate(columns):
        # Of an error, less is better.
        sign = -1 if column.metric == "mse" else 1
        own = sign * numbers[place]
        found.append(1 + sum(sign * other[place] > own for other in others))
    return found


def _describe_ranks(table: PaperTable, found: Sequence[int], n_rows: int) -> str:
    first = found.count(1)
    text = f"first of {n_rows} rows in {first} of {len(found)} metrics"
    elsewhere = [
        f"rank {rank} in {' '.join(column)}"
        for column, rank in zip(table.columns, found, strict=True)
        if rank > 1
    ]
    return f"{text}, {', '.join(elsewhere)}" if elsewhere else text


def _ranks_in_paper(table: PaperTable) -> str:
    others = [row.paper for row in table.rows if row.name != table.ranked]
    (own,) = [row.paper for row in table.rows if row.name == table.ranked]
    found = ranks(table.columns, own, others)
    text = _describe_ranks(table, found, len(table.rows))
    stated = f" The paper says: {table.ranks_stated}." if table.ranks_stated else ""
    return f"{table.ranked} in the paper's table: {text}.{stated}"


def _ranks_of_ours(made: Reproduction) -> str:
    """The rank of our row, among ours and other teams'; "" where there is none."""
    table = made.request.table
    (own,) = [each for each in made.outcomes if each.row.name == table.ranked]
    numbers = _values(own)
    if not numbers:
        return ""

    others = []
    are_foreign = False
    for outcome in made.outcomes:
        if outcome is own:
            continue
        if _values(outcome):
            others.append(_values(outcome))
        elif outcome.row.reason:
            # Another team's system, of which there are the printed numbers alone.
            others.append(list(outcome.row.paper))
            are_foreign = True
    # Printed numbers are a measure for ours on the same clips alone.
    if not others or (are_foreign and not made.request.compared):
        return ""
    among = "the printed numbers of the others" if are_foreign else "our own rows"
    found = ranks(table.columns, numbers, others)
    text = _describe_ranks(table, found, len(others) + 1)
    return f"{table.ranked}, ours among {among}: {text}."


def _values(outcome: Outcome) -> list[float]:
    """Our numbers of a row; an empty list where one is missing or undefined."""
    values = [cell.value for cell in outcome.cells]
    is_whole = outcome.status == MEASURED and all(map(math.isfinite, values))
    return values if is_whole else []


# ---- gains


def _gain_line(made: Reproduction, claim: Claim) -> str:
    table = made.request.table
    place = table.columns.index(claim.column)
    outcomes = {outcome.row.name: outcome for outcome in made.outcomes}
    row = outcomes[claim.row]
    base = outcomes[claim.over]

    printed = _gain(row.row.paper[place], base.row.paper[place])
    line = (
        f"Gain in {' '.join(claim.column)} of {claim.row} over {claim.over}: the paper "
        f"states {claim.stated} ({claim.place}); its printed table gives {printed}"
    )
    values = _values(row)
    base_values = _values(base)
    # On the embedded encoders two rows may be one model.
    is_same = made.request.quick and table.twin(row.row) is table.twin(base.row)
    if values and base_values and not is_same:
        line += f"; ours {_gain(values[place], base_values[place])}"
    return f"{line}."


def _gain(value: float, base: float) -> str:
    """A relative gain, and the difference that it is of.

    >>> _gain(0.991, 0.818)
    '+21.15 % (+0.173)'
    """
    if base == 0:
        return f"{value - base:+.3f}, from 0"
    # Of the size of the base: from a negative one the gain is positive, too.
    return f"{100 * (value - base) / abs(base):+.2f} % ({value - base:+.3f})"
