"""Where scores go: a file whose suffix is the format, a table on a terminal, csv in a pipe."""

from __future__ import annotations

import sys

from rich.table import Table

from base_models.errors import one_of
from base_models.files import atomic_write
from ensemble.cli.shared.exit_codes import Screen


def output_format(out: str | None, name: str | None) -> str | None:
    """The output format: named, or by the suffix of the file, or None to suit standard output."""
    from ensemble.formats import FORMATS, format_of_file

    if name:
        return one_of(name, FORMATS, "output format")
    return None if out is None else format_of_file(out)


def put_scores(scores, out: str | None, form: str | None, level: float) -> None:
    """Write scores to the file `out` and print its name, or write them to standard output."""
    from ensemble.formats import encode_scores

    if out:
        atomic_write(out, encode_scores(scores, form))
        print(out)
    elif form is None and sys.stdout.isatty():
        Screen().print(score_table(scores, level))
    else:
        sys.stdout.buffer.write(encode_scores(scores, form or "csv"))


def score_table(scores, level: float) -> Table:
    """Scores for a terminal: one row per clip, one column per aspect."""
    table = Table(
        title=f"mean opinion scores, 1 to 5, with {level:.0%} intervals",
        title_justify="left",
    )
    table.add_column("clip")
    for aspect in scores.aspects:
        table.add_column(aspect, justify="right")
    for row in scores.frame.to_dict("records"):
        cells = [
            f"{row[a]:.2f} [{row[f'{a}_low']:.2f}, {row[f'{a}_high']:.2f}]"
            for a in scores.aspects
        ]
        table.add_row(row["clip_id"], *cells)
    return table
