"""How much each part of a `Stack` counts, and the level that all of them predict."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from meta.learners.auto import paired_gain
from meta.learners.convex_weights import pulled_weights
from meta.learners.inner_folds import MergedRows, grouped_folds
from meta.learners.stack.clear_moves import CLEAR_SHIFT, clear_share
from meta.learners.stack.parts import FEWEST_CLIPS, PARTS, ScoreRows

FEWEST_GROUPS = 6
"""With fewer groups, clips are held out one by one to choose shares: so few groups
would not tell, and clips of one group tell at least whether models say anything."""
HALF_CLIPS = 30
"""Distinct clips with which the plain mean counts half."""
LEARNT = {"skill": 0.25, "ridge": 0.5, "ridge_to_mean": 0.25}
"""Shares of the other half. More skill errs a little less on clips, and ranks systems
worse."""

# Weight of the usual shares beside those that fit held-out rows best, in clips.
_PULL_CLIPS = 20.0

# Standard errors by which shares must gain on held-out groups to be taken.
_CLEAR_GAIN = 1.5


@dataclass(frozen=True)
class Shares:
    """Share of each part, and why.

    Parameters
    ----------
    values : array of shape (parts,), in the order of `PARTS`
    why : sentence for a report
    gain, standard_error : by how much learnt shares reduce the mean squared error on
        held-out groups; None where none were learnt
    learnt : whether they are those that held-out groups chose
    """

    values: np.ndarray
    why: str
    gain: float | None = None
    standard_error: float | None = None
    learnt: bool = False


def usual_shares(n: int) -> np.ndarray:
    """Shares of the parts on n distinct clips, before anything is compared.

    >>> usual_shares(30).round(3).tolist()
    [0.0, 0.5, 0.125, 0.25, 0.125]
    """
    of_mean = 1.0
    if n >= FEWEST_CLIPS:
        of_mean = 1 / (1 + (n / HALF_CLIPS) ** 2)
    shares = {name: (1 - of_mean) * share for name, share in LEARNT.items()}
    shares["mean"] = of_mean
    return np.array([shares.get(name, 0.0) for name in PARTS])


def choose_shares(rows: ScoreRows) -> Shares:
    """The usual shares, or others that are clearly better on held-out groups."""
    n = len(rows)
    usual = usual_shares(n)
    if n < FEWEST_CLIPS:
        clips = "1 clip is" if n == 1 else f"{n} distinct clips are"
        why = (
            f"{clips} too few to learn from ({FEWEST_CLIPS} are the fewest), so the "
            "plain mean of the models stays."
        )
        return Shares(usual, why)

    set_for = f"the shares are those set for {n} distinct clips"
    held_out = "groups" if rows.grouped else "clips"
    if len(np.unique(rows.group)) < FEWEST_GROUPS:
        held_out = "clips"
        rows = replace(rows, group=np.arange(n), grouped=False)
    unseen = _out_of_fold(rows)
    found = pulled_weights(
        unseen, rows.y, rows.weight, prior=usual, prior_rows=_PULL_CLIPS
    )
    gain, standard_error = paired_gain(
        (unseen @ usual - rows.y) ** 2,
        (unseen @ found - rows.y) ** 2,
        weight=rows.weight,
        group=rows.group,
    )
    changed = "lower" if gain >= 0 else "raise"
    compared = (
        f"shares learnt on other {held_out} {changed} the MSE of those held out by "
        f"{abs(gain):.2g} (standard error {standard_error:.2g})"
    )
    # A gain of NaN is none.
    if not gain > _CLEAR_GAIN * standard_error:
        why = f"{compared}, which is no clear gain, so {set_for}."
        return Shares(usual, why, gain, standard_error)
    why = f"{compared}, a clear gain, so they are taken."
    return Shares(found, why, gain, standard_error, learnt=True)


def _out_of_fold(rows: ScoreRows) -> np.ndarray:
    """Scores (n, parts), each by parts that were fitted on other groups."""
    fold = grouped_folds(
        MergedRows(X=rows.scores, y=rows.y, weight=rows.weight, group=rows.group)
    )
    unseen = np.empty((len(rows), len(PARTS)))
    for number in np.unique(fold):
        test = fold == number
        train = rows.take(~test)
        level = level_of(train)
        for column, fit in enumerate(PARTS.values()):
            unseen[test, column] = fit(train, level).predict(rows.scores[test])
    return unseen


def level_of(rows: ScoreRows) -> float:
    """The score that parts predict at the mean of the rows.

    It is that of the plain mean of the models, moved by how far this mean is off where
    that is clear, see `meta.learners.stack.clear_moves.clear_share`.
    """
    of_models = rows.scores.mean(axis=1)
    errors = rows.y - of_models
    plain = float(np.average(of_models, weights=rows.weight))
    if len(rows) < FEWEST_CLIPS:
        return plain

    shift = float(np.average(errors, weights=rows.weight))
    terms = rows.weight * (errors - shift) / len(rows)
    return plain + clear_share(shift, terms, rows.group, CLEAR_SHIFT) * shift
