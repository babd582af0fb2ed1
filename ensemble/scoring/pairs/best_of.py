"""The best candidates of each group, such as all that were generated for one prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.errors import UsageError, some
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Scores
from ensemble.scoring.pairs.compare_pairs import (
    checked_weights,
    correlations_of,
    distributions_of,
    factors_of,
)
from meta.comparison.pairs.overall_preference import chances_of_best, overall_moments

BEST_COLUMNS = ("group", "rank", "candidates", "p_best")
"""Columns beside the scores of a chosen clip: its group, its place in it, how many were
compared, and the probability that it would be rated highest of them."""


@dataclass(frozen=True, eq=False)
class BestOf:
    """The chosen clips, and what is to be said of the choice.

    Parameters
    ----------
    chosen : DataFrame
        Rows of the scores, group by group in the order of the groups' first clips, the
        best of each first; with `BEST_COLUMNS` after the first two columns.
    notes : tuple of str
        What was chosen from what, and where it could not be, a sentence each.
    """

    chosen: pd.DataFrame
    notes: tuple[str, ...]


def best_of(
    scores: Scores,
    clips: pd.DataFrame,
    stack: StackedMOS,
    *,
    number: int,
    group: str,
    weights: Mapping[str, float] | None = None,
) -> BestOf:
    """Choose so many clips of each group, by the weighted mean of their aspects.

    Parameters
    ----------
    scores : of the clips, with distributions
    clips : with ``clip_id`` and the column of the groups; of those without a system all
        count as of one, as candidates of one generator are
    stack : what scored them
    number : how many of each group; one with fewer is ranked as a whole
    group : column of the groups; a clip without a group is left out
    weights : see `checked_weights`

    Raises
    ------
    UsageError
        when there is no such column, nothing in it, or `number` is less than 1.
    """
    if number < 1:
        raise UsageError(f"--best-of takes 1 or more; got {number}.")
    if group not in clips:
        raise UsageError(
            f"--group {group}: there is no such column; the table has "
            f"{some(clips.columns, 12)}."
        )
    if not clips[group].astype(str).str.strip().any():
        raise UsageError(
            f"--group {group}: no clip has anything in that column, so there are no "
            "groups to choose in; name another column."
        )
    shares = checked_weights(weights, scores.aspects)
    ids = clips["clip_id"].tolist()
    means, spreads = overall_moments(
        distributions_of(scores, ids),
        np.array([shares[aspect] for aspect in scores.aspects]),
        correlations_of(stack.final_estimator_, scores.aspects),
        stack.bins_,
    )
    factor = _factor(stack, shares)
    names = clips[group].astype(str).str.strip().to_numpy(dtype=object)
    usable = np.isfinite(means)

    rows: list[dict[str, object]] = []
    sizes = {}
    for name in dict.fromkeys(names):
        members = np.flatnonzero((names == name) & usable)
        if not name:
            continue
        sizes[str(name)] = len(members)
        if not len(members):
            continue
        chances = chances_of_best(means[members], spreads[members], factor)
        # Equal candidates stay in the order in which they were given.
        order = np.argsort(-means[members], kind="stable")
        for rank, place in enumerate(order[:number]):
            rows.append(
                {
                    "clip_id": ids[members[place]],
                    "group": name,
                    "rank": rank + 1,
                    "candidates": len(members),
                    "p_best": float(chances[place]),
                }
            )
    chosen = pd.DataFrame(rows, columns=["clip_id", *BEST_COLUMNS])
    n_without = int(np.sum(names == ""))
    return BestOf(
        chosen=_with_scores(chosen, scores),
        notes=_notes(sizes, number, group, n_without=n_without),
    )


def _factor(stack: StackedMOS, weights: Mapping[str, float]) -> float:
    """The factor of clips of one system, a weighted mean over the aspects."""
    one = np.array([True])
    factors = [
        float(factors_of(stack.final_estimator_, aspect, one, one)[0])
        for aspect in weights
    ]
    return float(np.average(factors, weights=list(weights.values())))


def _with_scores(chosen: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """The chosen clips with the columns of their scores."""
    frame = scores.frame.merge(chosen, on="clip_id", how="right")
    leading = ["clip_id", "audio", *BEST_COLUMNS]
    others = [name for name in scores.frame.columns if name not in leading]
    return frame[[*leading, *others]]


def _notes(
    sizes: Mapping[str, int], number: int, group: str, n_without: int
) -> tuple[str, ...]:
    """What was chosen from what."""
    n_clips = sum(sizes.values())
    sentences = [
        f"the best {number} of each {group}: {len(sizes)} groups, {n_clips} candidates"
    ]
    empty = [name for name, size in sizes.items() if size == 0]
    small = [name for name, size in sizes.items() if 0 < size < number]
    if small:
        sentences.append(
            f"{_groups(small)} fewer than {number} candidates, all of which are kept: "
            f"{_named(small)}"
        )
    alone = [name for name, size in sizes.items() if size == 1 and number == 1]
    if alone:
        sentences.append(
            f"{_groups(alone)} one candidate alone, which is the best for want of "
            f"others: {_named(alone)}"
        )
    if empty:
        sentences.append(
            f"{_groups(empty)} no candidate that could be scored: {_named(empty)}"
        )
    if n_without:
        subject = "clip names" if n_without == 1 else "clips name"
        sentences.append(f"{n_without} {subject} no {group} and were left out")
    return tuple(sentences)


def _groups(names: Sequence[str]) -> str:
    return "1 group has" if len(names) == 1 else f"{len(names)} groups have"


def _named(names: Sequence[str]) -> str:
    """Names of groups, of which prompts may be long."""
    return some([name if len(name) <= 40 else f"{name[:39]}…" for name in names], 3)
