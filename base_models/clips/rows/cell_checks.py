"""What is wrong with the rows of a table: every cell, before anything is raised."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from base_models.clip_status import DUPLICATE
from base_models.clips.columns import SPLIT_ALIASES
from base_models.clips.problems import Problems, problem_in
from base_models.clips.rows.audio_paths import same_file_twice
from base_models.clips.rows.standard_columns import StandardTable
from base_models.clips.text_table import CONTROL_CHARACTER
from base_models.errors import some

SPLIT_OF_WORD = {
    word: split for split, words in SPLIT_ALIASES.items() for word in words
}
_NUL_OR_SURROGATE = re.compile(r"[\x00\ud800-\udfff]")


def check_names(standard: StandardTable, problems: Problems) -> None:
    """Add ids, systems and paths that are no names, and prompts that are no text."""
    table = standard.table
    named = {"clip_id": "clip id", "system_id": "system", "audio": "audio file"}
    for name, what in named.items():
        column = standard.column(name)
        cells = table.columns[name]
        has_gaps = name == "clip_id" and "" in cells
        # Nearly all columns are clean, which one look at all of their text tells.
        if not has_gaps and not CONTROL_CHARACTER.search("".join(cells)):
            continue
        for row, cell in enumerate(cells):
            problem = ""
            message = ""
            if CONTROL_CHARACTER.search(cell):
                problem = f"the {what} holds a control character"
                message = f"{what} {cell!r} holds a control character"
            if not cell and has_gaps:
                problem = f"the {what} is empty"
            if problem:
                problems.add(
                    row,
                    problem_in(
                        table, row, column, value=cell, what=problem, message=message
                    ),
                )
    prompts = table.columns["prompt"]
    if not _NUL_OR_SURROGATE.search("".join(prompts)):
        return
    for row, prompt in enumerate(prompts):
        if _NUL_OR_SURROGATE.search(prompt):
            what = "the prompt holds a NUL or half a surrogate pair: it is not text"
            column = standard.column("prompt")
            # Half a pair cannot be written to a file either.
            value = prompt.encode("ascii", "backslashreplace").decode()
            problems.add(row, problem_in(table, row, column, value=value, what=what))


def check_audio(standard: StandardTable, problems: Problems) -> None:
    """Add paths that fit several files, and different paths that led to one file."""
    table = standard.table
    column = standard.column("audio")
    for row, one in enumerate(standard.audio):
        if one.choices:
            problem = problem_in(
                table,
                row,
                column,
                value=one.cell,
                what="several audio files fit the path",
                message=f"{one.cell!r} could be {some(one.choices, 3)}",
                cure="Write its path in full, or name the folder with --audio-root.",
            )
            problems.add(row, problem)
    # Found by their ends, two paths of other computers may lead to one file here.
    for row in same_file_twice(standard.audio):
        one = standard.audio[row]
        problem = problem_in(
            table,
            row,
            column,
            value=one.cell,
            what="different paths lead to one audio file",
            message=f"{one.cell!r} leads to {one.path}, as another path does",
            cure="One of them may be of a file that is not here; write both in full.",
        )
        problems.add(row, problem)


def read_splits(standard: StandardTable, problems: Problems) -> list[str]:
    """The split of each clip, under its standard name; "" where it has none."""
    table = standard.table
    column = standard.column("split")
    cells = table.columns["split"]
    splits = [SPLIT_OF_WORD.get(cell.lower(), "") for cell in cells]
    # A column of words that are no splits, such as "set A", is not half filled in.
    has_splits = any(splits)
    for row, cell in enumerate(cells):
        if cell and not splits[row]:
            problem = problem_in(
                table,
                row,
                column,
                value=cell,
                what="the split is unknown",
                message=f"unknown split {cell!r}",
                cure=f"Legal: {', '.join(SPLIT_OF_WORD)}. If '{column}' holds no "
                "splits: --columns split=",
            )
            problems.add(row, problem)
        elif not cell and has_splits:
            clip = table.columns["clip_id"][row]
            problem = problem_in(
                table,
                row,
                column,
                value="",
                what="no split, while other clips have one",
                message=f"clip '{clip}' has no split while other clips have one",
                cure="Fill in all or none.",
            )
            problems.add(row, problem)
    return splits


def check_repeats(
    standard: StandardTable, splits: Sequence[str], problems: Problems
) -> None:
    """Add rows of clips that have another row.

    Where all rows of a clip say the same, the first of them is none of these: the
    others can be left out.
    """
    table = standard.table
    column = standard.column("clip_id")
    clips = table.columns["clip_id"]
    if len(set(clips)) == len(clips):
        return
    rows_of: dict[str, list[int]] = {}
    for row, clip in enumerate(clips):
        rows_of.setdefault(clip, []).append(row)

    for clip, rows in rows_of.items():
        if not clip or len(rows) == 1:
            continue
        # Rows that differ leave it open which of them is right, so that all are listed.
        whole = {tuple(cells[row] for cells in table.columns.values()) for row in rows}
        # A clip in two splits is the graver mistake (a leak).
        if len({splits[row] for row in rows}) > 1:
            what = "the clip is in more than one split"
            message = f"clip '{clip}' is in more than one split"
            cure = "A clip used for training cannot be used for testing."
        else:
            what = "the clip id stands twice"
            message = f"clip id '{clip}' stands twice"
            cure = (
                "Each clip has one row; of single ratings name the column of raters "
                "(--columns rater=NAME), or, where nobody knows them, say --format "
                "long."
            )
        for row in rows[1:] if len(whole) == 1 else rows:
            other = rows[0] if row != rows[0] else rows[1]
            number = table.locations[other][1]
            problem = problem_in(
                table,
                row,
                column,
                value=clip,
                what=what,
                message=f"{message} (also in {table.unit} {number})",
                cure=cure,
                status=DUPLICATE,
            )
            problems.add(row, problem)


def check_labelled(
    standard: StandardTable,
    splits: Sequence[str],
    scores: np.ndarray,
    problems: Problems,
) -> None:
    """Add clips of train and dev without any label.

    Parameters
    ----------
    standard : the table
    splits : n names
    scores : labels, shape (n, aspects), NaN where there is none
    problems : of the table so far: a row whose label is a problem has a label
    """
    table = standard.table
    # A cell that is no number was refused as such, and is not missing as well.
    has_problem = problems.rows
    for row in np.flatnonzero(np.isnan(scores).all(axis=1)).tolist():
        if splits[row] not in ("train", "dev") or row in has_problem:
            continue
        clip = table.columns["clip_id"][row]
        problem = problem_in(
            table,
            row,
            "",
            value="",
            what="a clip of train or dev has no label",
            message=f"clip '{clip}' is in {splits[row]} and has no label",
            cure="Rate it, or leave its row out.",
        )
        problems.add(row, problem)
