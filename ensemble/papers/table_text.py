"""A reproduced table in words and cells, as the terminal and the files show it.

Numbers of a quick run look like any others once they are copied out. So what they were
measured on is stated above the table, and in every line of the CSV.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from base_models.metrics.evaluate import METRICS
from ensemble.papers.measure_rows import MEASURED, N_BOOTSTRAP, Cell, Outcome
from ensemble.papers.paper_tables import Column
from ensemble.papers.reproduce import Reproduction
from ensemble.papers.request import QUICK_ENCODERS, Request
from ensemble.prediction_files.read_system_truth import MEANS
from ensemble.reporting.number_text import interval_text

BETTER = {name: "↓" if name == "mse" else "↑" for name in METRICS}

_DEMO = (
    "DEMO CORPUS: synthetic music and simulated raters; these numbers say nothing "
    "about real music."
)
_QUICK = (
    "QUICK RUN with the embedded encoders {} and {} and few epochs: these numbers are "
    "not the paper's."
)
_READING = (
    "Ours is the mean over {} (least to most of them) [95 % interval of the mean over "
    "{} resamples of the systems, and prompts where systems share them]"
)
_COMPARED = (
    "; 'in' when the paper's number lies in that interval, 'out' when not. 'in' means "
    "only that the paper's number is compatible with our interval, which is wide with "
    "few systems; it does not mean 'reproduced'."
)
_NOT_COMPARED = (
    ". The paper's numbers stand beside ours for the look of the table, and are not "
    "compared with them."
)
_OTHER_SPLIT = (
    "ANOTHER SPLIT than the paper's: its numbers were measured on {}, ours on {}."
)
_TWIN = (
    "'{}' again: the two rows differ by encoder alone, and coincide on the embedded "
    "ones"
)
_REPETITIONS = "each repetition takes the next seeds, and splits the dev clips anew"


class Block(NamedTuple):
    """A part of the table: the numbers of one aspect at one level, as text."""

    title: str
    head: list[str]
    rows: list[list[str]]


# ---- above and below the table


def heading(made: Reproduction) -> list[str]:
    """What was measured, on what, and how to read it: sentences above the table."""
    request = made.request
    seeds = f"{request.seeds} seed{'s' if request.seeds > 1 else ''}"
    reading = _READING.format(seeds, N_BOOTSTRAP)
    reading += _COMPARED if request.compared else _NOT_COMPARED
    return [*origin(made), reading]


def origin(made: Reproduction) -> list[str]:
    """What was measured, and on what; the first sentences say whether it is a trial."""
    request = made.request
    table = request.table
    sentences = []
    if request.quick:
        sentences.append(_QUICK.format(*QUICK_ENCODERS))
    if request.rated.demo:
        sentences.append(_DEMO)

    if not request.is_trial:
        sentences.append(f"Data: {request.corpus.sentence}")
    if table.split != table.paper_split:
        sentences.append(_OTHER_SPLIT.format(table.paper_split, table.split))

    note = request.rated.note
    measured_on = f"{table.split} split"
    paper_on = f"{table.paper_split} split"
    if table.folds:
        measured_on = f"{table.folds}-fold cross-validation over all labelled clips"
        paper_on = f"{table.folds}-fold cross-validation over all clips"
        note = "splits of the data are left aside"
    sentences += [
        f"{table.label} (section {table.section}): {table.title}.",
        f"The paper: {paper_on} of MusicEval.",
        f"Ours: {measured_on} of {request.rated.source}{_counts(made)}; {note}.",
        f"{_system_truth(request)}.",
    ]
    if request.overrides:
        settings = [f"{key} = {value}" for key, value in request.overrides.items()]
        sentences.append(f"Settings laid over every row: {', '.join(settings)}.")
    return sentences


def _system_truth(request: Request) -> str:
    """What systems are measured against, with those on one side only."""
    truth = request.system_truth
    words = [MEANS]
    if truth is not None:
        words = [truth.title, *truth.remarks(request.clips["system_id"].tolist())]
    text = "; ".join(word.rstrip(".") for word in words)
    return text[0].upper() + text[1:]


def _counts(made: Reproduction) -> str:
    """How many clips and systems were measured."""
    unit = {"utterance": "clips", "system": "systems"}
    # The same for every measured row, since all are measured on the same clips.
    for outcome in made.outcomes:
        if outcome.status == MEASURED:
            counts = [f"{cell.n} {unit[cell.column.level]}" for cell in outcome.cells]
            return f" ({', '.join(dict.fromkeys(counts))})"
    return ""


def summary(made: Reproduction) -> str:
    """How many of the paper's numbers lie inside our intervals, and what failed."""
    failed = ""
    if made.failed:
        failed = f" Failed: {', '.join(outcome.row.name for outcome in made.failed)}."
    if made.request.is_trial:
        return f"This is a trial, and says nothing about the paper.{failed}"
    if not made.request.compared:
        return f"Measured on other clips than the paper's numbers.{failed}"

    cells = [cell for outcome in made.outcomes for cell in outcome.cells]
    compared = [cell.inside for cell in cells if cell.inside is not None]
    return (
        f"{sum(compared)} of {len(compared)} of the paper's numbers lie inside our "
        f"intervals.{failed}"
    )


# ---- the table


def blocks(made: Reproduction) -> Iterator[Block]:
    """The table in parts, one per aspect and level, the paper's numbers beside ours."""
    columns = made.request.table.columns
    parts = dict.fromkeys((column.aspect, column.level) for column in columns)
    for aspect, level in parts:
        places = [
            place
            for place, column in enumerate(columns)
            if column.aspect == aspect and column.level == level
        ]
        yield Block(
            title=f"{aspect}, {level} level",
            head=_head([columns[place] for place in places]),
            rows=[_block_row(made, outcome, places) for outcome in made.outcomes],
        )


def _head(columns: list[Column]) -> list[str]:
    head = [""]
    for column in columns:
        metric = column.metric
        head += [f"{metric.upper()} {BETTER[metric]} paper", "ours"]
    return head


def _block_row(made: Reproduction, outcome: Outcome, places: list[int]) -> list[str]:
    decimals = made.request.table.decimals
    texts = [outcome.row.name]
    for place in places:
        cell = outcome.cells[place]
        texts += [f"{cell.paper:.{decimals}f}", our_number(outcome, cell, decimals)]
    return texts


def our_number(outcome: Outcome, cell: Cell, decimals: int) -> str:
    """Our side of a cell: the number with its range and interval, or why there is none.

    Parameters
    ----------
    outcome : of the row
    cell : one of its cells
    decimals : that the paper prints
    """
    if outcome.status != MEASURED:
        return outcome.status
    if not math.isfinite(cell.value):
        return cell.note or "undefined"

    # A range needs several repetitions, an interval several systems.
    text = f"{cell.value:.{decimals}f}"
    if cell.least < cell.most:
        text += f" ({cell.least:.{decimals}f} to {cell.most:.{decimals}f})"
    if math.isfinite(cell.low) and math.isfinite(cell.high):
        text += f" {interval_text(cell.low, cell.high, decimals)}"
        if cell.inside is not None:
            text += " in" if cell.inside else " out"
    elif cell.note:
        text += f" ({cell.note})"
    return text


# ---- remarks on the rows


def remarks(made: Reproduction) -> list[tuple[str, str]]:
    """What is behind each row, by its name: models, encoders, differences, failures.

    Last come the notes that hold for all rows of a kind.
    """
    of_rows = [
        (outcome.row.name, "; ".join(_remarks_on(made, outcome)))
        for outcome in made.outcomes
    ]
    of_families = [
        (_family_name(family), note)
        for family, note in made.request.table.families.items()
    ]
    return of_rows + of_families


def _family_name(family: str) -> str:
    return f"every {family} row"


def _remarks_on(made: Reproduction, outcome: Outcome) -> list[str]:
    row = outcome.row
    parts = []
    if row.preset or row.stack:
        parts.append(_models_behind(made, outcome))
    if outcome.reason:
        parts.append(f"{outcome.status}: {outcome.reason}")
    # What is said of the published encoders does not hold for the embedded ones.
    if row.encoding and not made.request.quick:
        parts.append(row.encoding)
    parts += [part for part in (row.note, outcome.facts) if part]
    parts += [f"see '{_family_name(family)}'" for family in row.families]
    return parts


def _models_behind(made: Reproduction, outcome: Outcome) -> str:
    row = outcome.row
    request = made.request
    if request.quick:
        # Training it would give the same numbers once more.
        twin = request.table.twin(row)
        if twin is not row:
            return _TWIN.format(twin.name)

    setup = request.setup(row)
    models = f"{row.learner} over {' '.join(row.stack)}" if row.stack else row.preset
    # The folder of the weights is no part of what was reproduced.
    words = [setup.audio]
    if request.table.reads_prompts:
        words.append(setup.text)
    encoders = [word.partition("=")[0] for word in words]
    settings = setup.settings or row.settings
    text = f"{models} on {' and '.join(encoders)}, settings {settings}"
    return f"{text}; {_REPETITIONS}" if row.stack else text
