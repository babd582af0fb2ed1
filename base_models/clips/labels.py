"""Labels as every estimator takes them: one float column per aspect."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.bins import ScoreBins
from base_models.clips.columns import is_judged_by_text
from base_models.clips.problems import Problem, Problems, problem_in
from base_models.clips.rows.reading import USUAL_MISSING, fold_code
from base_models.clips.tables.notation import two_readings
from base_models.clips.text_table import TextTable, parse_number
from base_models.errors import UsageError
from base_models.scales import Scale

SCALE = ScoreBins()
"""The scale of a mean opinion score, 1..5."""
FEWEST_LABELLED = 4
"""Fewer labelled clips than this are not learnt from."""
_DATE = re.compile(
    r"\d{4}-\d{2}-\d{2}(T[\d:.]+)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}"
    r"|\d{1,2}\.?[ -]?[^\W\d_]{3,9}\.?|[^\W\d_]{3,9}\.?[ -]\d{1,2}"
)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")


def read_scores(
    table: TextTable,
    name: str,
    bins: ScoreBins | Scale,
    cure: str = "",
    problems: Problems | None = None,
) -> np.ndarray:
    """Labels or ratings of one column, shape (n,); an empty cell is NaN.

    Parameters
    ----------
    table : the cells
    name : the column
    bins : the scale
    cure : what the message of an error says to do
    problems : takes every cell that is no number on the scale, which is then NaN

    Raises
    ------
    TableProblems
        without `problems`: of all such cells, each with its place.
    """
    found = Problems(table.n_rows) if problems is None else problems
    cells = table.columns[name]
    # Of many scores few are different; what is no number becomes NaN.
    number_of = {cell: parse_number(cell.strip()) for cell in set(cells)}
    scores = np.array([number_of[cell] for cell in cells], dtype=np.float64)
    is_score = (scores >= bins.low) & (scores <= bins.high)
    for row in np.flatnonzero(~is_score).tolist():
        if cells[row].strip():
            found.add(row, _not_a_score(table, row, name, bins=bins, cure=cure))
    scores[~is_score] = np.nan
    if problems is None:
        found.raise_if_any()
    return scores


def _not_a_score(
    table: TextTable,
    row: int,
    name: str,
    *,
    bins: ScoreBins | Scale,
    cure: str,
) -> Problem:
    """The problem of a cell that is no number on the scale."""
    cell = table.columns[name][row].strip()
    has_ends = math.isfinite(bins.low) and math.isfinite(bins.high)
    legal = f"a number in {range_text(bins)}" if has_ends else "a finite number"
    is_number = parse_number(cell) is not None
    what = f"{name} is off the scale {range_text(bins)}"
    own_cure = (
        f"If '{name}' is rated on another scale, name its ends (--scale LOW HIGH); if "
        "it is not a rating, name the rated columns with aspects (--aspects)."
    )
    if not is_number:
        what = f"{name} is no number"
        own_cure = (
            "Correct the cell, or leave it empty where there is no rating; if "
            f"'{name}' is not a rating, name those that are (--aspects)."
        )
    if _DECIMAL_COMMA.fullmatch(cell):
        own_cure = two_readings(cell) or "Write it with a decimal point."
    elif fold_code(cell) in USUAL_MISSING:
        what = f"{name} has {cell!r}, which often stands for a missing value"
        own_cure = f"If it does here: --missing-code {shlex.quote(cell)}"
    elif _DATE.fullmatch(cell):
        what = f"{name} has a date, which spreadsheets make of numbers such as 3.5"
        own_cure = "Write the number again, in a column of numbers or text."
    return problem_in(
        table,
        row,
        name,
        value=cell,
        what=what,
        cure=cure or own_cure,
        message=f"{name} is {table.as_written(name, row, cell)!r}; a label is {legal}, "
        "or empty",
    )


def range_text(bins: ScoreBins | Scale) -> str:
    """The ends of a scale, for a message."""
    return f"{bins.low:g}..{bins.high:g}"


# ---- labels on scales of their own


def label_scales(
    clips: pd.DataFrame, default: ScoreBins | Scale = SCALE
) -> dict[str, Scale]:
    """The scale of each aspect's labels in a clip table.

    Parameters
    ----------
    clips : see `base_models.clips.read_clips.read_clips`; ``attrs["scales"]`` holds the
        ends of the scales that were declared
    default : the scale of the others
    """
    declared = clips.attrs.get("scales", {})
    others = Scale.of(default)
    return {
        aspect: Scale(*declared[aspect]) if aspect in declared else others
        for aspect in clips.attrs["aspects"]
    }


def labels_onto(clips: pd.DataFrame, bins: ScoreBins | Scale = SCALE) -> pd.DataFrame:
    """The same clip table with all labels mapped onto one scale.

    Parameters
    ----------
    clips : see `label_scales`
    bins : the scale

    Returns
    -------
    mapped : a table without ``attrs["scales"]``; ends of intervals of means
        (``<aspect>_low``) are mapped as well
    """
    scales = label_scales(clips, bins)
    mapped = clips.copy()
    for aspect, scale in scales.items():
        columns = [aspect]
        if "means_of" in clips.attrs:
            columns += [f"{aspect}_low", f"{aspect}_high"]
        for name in columns:
            mapped[name] = scale.map(clips[name].to_numpy(np.float64), bins)
    mapped.attrs = {
        name: value for name, value in clips.attrs.items() if name != "scales"
    }
    return mapped


def as_labels(y: ArrayLike | pd.Series | pd.DataFrame, n: int) -> pd.DataFrame:
    """Labels as a float64 frame of n rows, one column per aspect.

    Parameters
    ----------
    y : DataFrame (columns are the aspects), Series, or array of shape (n,) or
        (n, aspects)
    n : rows expected

    Raises
    ------
    UsageError
        when the number of rows differs, a value is not a number, or an aspect is named
        twice.

    Examples
    --------
    >>> as_labels([1.0, 2.0], 2).columns.tolist()
    ['mos']
    >>> as_labels([[1, 2]], 1).columns.tolist()
    ['y0', 'y1']
    """
    if isinstance(y, pd.DataFrame):
        frame = y
    elif isinstance(y, pd.Series):
        frame = y.to_frame("mos" if y.name is None else y.name)
    else:
        frame = _frame_of_array(y)

    if len(frame) != n:
        raise UsageError(f"There are {n} clips but {len(frame)} rows of labels.")
    try:
        labels = frame.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"Labels must be numbers: {error}.") from error

    # As text, the column names 1 and "1" are the same aspect, so they become text
    # before the check for duplicates.
    labels = labels.rename(columns=str).reset_index(drop=True)
    if labels.columns.empty or labels.columns.has_duplicates:
        raise UsageError(
            "Labels need one column per aspect, each with a name of its own; got "
            f"{list(labels.columns)}."
        )
    return labels


def _frame_of_array(y: ArrayLike) -> pd.DataFrame:
    try:
        values = np.asarray(y)
    except ValueError as error:
        # Rows of unequal length.
        raise UsageError(f"Labels must be numbers: {error}.") from error
    if values.ndim not in (1, 2):
        raise UsageError(
            f"Labels have the shape (n,) or (n, aspects); got {values.shape}."
        )
    if values.ndim == 1:
        values = values[:, None]

    # A single column needs no number to tell it from others.
    n_aspects = values.shape[1]
    if n_aspects == 1:
        return pd.DataFrame(values, columns=["mos"])
    return pd.DataFrame(values, columns=[f"y{k}" for k in range(n_aspects)])


def check_labels(
    labels: pd.DataFrame,
    bins: ScoreBins,
    clip_ids: Sequence[str] | None = None,
) -> None:
    """Refuse labels off the scale, and an aspect without any label.

    Parameters
    ----------
    labels : n rows, one column per aspect
    bins : the scale
    clip_ids : n ids that name the clip in a message, where they are known

    Raises
    ------
    UsageError
        when a label is infinite or off the scale, or an aspect has no label.
    """
    values = labels.to_numpy()
    # Comparisons with NaN are false, so that a missing label is on the scale.
    is_off_scale = (values < bins.low) | (values > bins.high) | np.isinf(values)
    if is_off_scale.any():
        row, column = np.argwhere(is_off_scale)[0]
        value = values[row, column]
        aspect = labels.columns[column]
        clip = f"in row {row}" if clip_ids is None else f"of clip '{clip_ids[row]}'"
        raise UsageError(
            f"Label {value:g} of aspect '{aspect}' {clip} is off the scale "
            f"{range_text(bins)}."
        )

    for aspect in labels:
        if not np.isfinite(labels[aspect]).any():
            raise UsageError(f"Aspect '{aspect}' has no label at all.")


def judged_by_text(
    aspects: Sequence[str], text_aspects: Sequence[str] | None = None
) -> tuple[bool, ...]:
    """Whether each aspect is judged against the prompt.

    Parameters
    ----------
    aspects : names
    text_aspects : those judged against the prompt; by default the aspects with a known
        name, such as ``ta``

    Raises
    ------
    UsageError
        when `text_aspects` names an unknown aspect.

    Examples
    --------
    >>> judged_by_text(["mi", "ta"])
    (False, True)
    """
    if text_aspects is None:
        return tuple(is_judged_by_text(aspect) for aspect in aspects)
    unknown = sorted(set(text_aspects) - set(aspects))
    if unknown:
        raise UsageError(
            f"text_aspects names {unknown}, but the aspects are {list(aspects)}."
        )
    return tuple(aspect in text_aspects for aspect in aspects)


def text_gaps(
    clips: pd.DataFrame | np.ndarray, needs_text: Sequence[bool]
) -> np.ndarray:
    """Aspects that a clip cannot be judged for, since it has no prompt.

    Parameters
    ----------
    clips : clip table of n rows, or a matrix, whose rows have no prompts
    needs_text : whether each aspect is judged against the prompt

    Returns
    -------
    gaps : bool array of shape (n, aspects). All False without a column of prompts; also
        where every aspect needs one, since a clip without it is then of no use at all,
        and is set aside or refused as a whole.

    Examples
    --------
    >>> text_gaps(pd.DataFrame({"prompt": ["slow piano", " "]}), [False, True]).tolist()
    [[False, False], [False, True]]
    """
    has_prompts = isinstance(clips, pd.DataFrame) and "prompt" in clips
    if not has_prompts or all(needs_text):
        return np.zeros((len(clips), len(needs_text)), dtype=bool)
    return prompt_gaps(clips, needs_text)


def prompt_gaps(clips: pd.DataFrame, needs_text: Sequence[bool]) -> np.ndarray:
    """As `text_gaps`, also where every aspect needs a prompt.

    Parameters
    ----------
    clips : clip table of n rows, with prompts
    needs_text : whether each aspect is judged against the prompt

    Returns
    -------
    gaps : bool array of shape (n, aspects)
    """
    prompts = clips["prompt"].tolist()
    # Many clips share a prompt.
    gap_of = {cell: pd.isna(cell) or not str(cell).strip() for cell in set(prompts)}
    is_blank = [gap_of[cell] for cell in prompts]
    return np.outer(is_blank, needs_text).astype(bool)


def mean_label(scores: np.ndarray) -> np.ndarray:
    """Mean over the labelled aspects of each clip: shape (n, aspects) to (n,).

    The mean of a clip without any label is NaN; ``np.nanmean`` would warn about it.
    """
    is_labelled = np.isfinite(scores)
    counts = is_labelled.sum(1)
    sums = np.where(is_labelled, scores, 0).sum(1)

    # Both branches of np.where are computed, so the division must be safe everywhere.
    means = sums / np.maximum(counts, 1)
    return np.where(counts, means, np.nan)
