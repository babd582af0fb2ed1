"""Which clip of each pair is preferred, and how surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from base_models.errors import UsageError, one_of
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.formats import Scores
from ensemble.scoring.pairs.pair_table import NOWHERE, PairTable
from meta.comparison.compared_rows import STACK
from meta.comparison.pairs.overall_preference import (
    moments,
    overall_preference,
)
from meta.comparison.preference import preference
from meta.regressor import MetaRegressor
from meta.score_columns import bin_columns

TIE = "tie"
"""What is preferred where both are equally likely to be."""
OVERALL = "overall_p"
"""Column of the preference over all aspects."""


@dataclass(frozen=True, eq=False)
class ComparedPairs:
    """What a stack says of the pairs of a table, a row each, in their order.

    Parameters
    ----------
    frame : DataFrame of n rows
        The columns of `PairTable.pairs`; per aspect ``<aspect>_a`` and ``<aspect>_b``,
        the scores of the two clips, and ``<aspect>_p``, the probability that the first
        is preferred; ``overall_p``, that over all aspects; ``preferred``: ``a``, ``b``
        or ``tie``, "" where it is not known; ``shown``, whether that is as sure as
        `level` asks; ``status``: ``ok``, or which side could not be scored
        (``failed_a``, ``failed_b``, ``failed_both``); and ``reason``.
    aspects : tuple of str
        Those that were scored.
    weights : mapping of str to float
        What each counts overall.
    level : float
        Probability from which on a preference counts as shown.
    table : PairTable
        The pairs themselves.
    """

    frame: pd.DataFrame
    aspects: tuple[str, ...]
    weights: Mapping[str, float]
    level: float
    table: PairTable

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of them, a sentence each."""
        frame = self.frame
        ok = frame["status"] == "ok"
        n_shown = int(frame["shown"].sum())
        sentences = [
            f"{n_shown} of {int(ok.sum())} pairs show a preference at {self.level:.0%};"
            " of the others it is a guess"
        ]
        if len(self.aspects) > 1:
            shares = ", ".join(
                f"{aspect} {self.weights[aspect]:g}" for aspect in self.aspects
            )
            sentences.append(f"overall weighs the aspects {shares}")
        n_same = int(self.table.one_clip_twice.sum())
        if n_same:
            pairs = "1 pair has" if n_same == 1 else f"{n_same} pairs have"
            sentences.append(f"{pairs} the same clip on both sides: a tie")
        return tuple(sentences)

    @property
    def failed(self) -> pd.DataFrame:
        """The pairs that have no preference."""
        return self.frame[self.frame["status"] != "ok"]


def checked_weights(
    given: Mapping[str, float] | None, aspects: Sequence[str]
) -> dict[str, float]:
    """What each aspect counts overall; all the same by default.

    Raises
    ------
    UsageError
        when an aspect is unknown, a weight is negative or not finite, or all are 0.
    """
    if given is None:
        return dict.fromkeys(aspects, 1.0)
    for aspect, weight in given.items():
        one_of(aspect, aspects, "aspect")
        if not (np.isfinite(weight) and weight >= 0):
            raise UsageError(f"Weights are 0 or more; {aspect} has {weight}.")
    weights = {aspect: float(given.get(aspect, 0.0)) for aspect in aspects}
    if not any(weights.values()):
        raise UsageError("At least one aspect needs a weight above 0.")
    return weights


def compare_pairs(
    table: PairTable,
    scores: Scores,
    stack: StackedMOS,
    weights: Mapping[str, float] | None = None,
    level: float = 0.9,
) -> ComparedPairs:
    """Compare the clips of each pair by their scores and distributions.

    Parameters
    ----------
    table : pairs
    scores : of ``table.clips``, with distributions
    stack : what scored them
    weights : what each aspect counts overall, by name; the others count nothing. None
        weighs all the same
    level : probability from which on a preference counts as shown

    Raises
    ------
    UsageError
        as `checked_weights`.
    """
    aspects = scores.aspects
    shares = checked_weights(weights, aspects)
    clips = table.clips["clip_id"].tolist()
    distributions = distributions_of(scores, clips)
    of_first = _taken(distributions, table.first)
    of_second = _taken(distributions, table.second)

    regressor = stack.final_estimator_
    by_aspect = np.empty((len(table), len(aspects)))
    for k, aspect in enumerate(aspects):
        factors = factors_of(regressor, aspect, table.same_system, table.same_prompt)
        by_aspect[:, k] = preference(of_first[:, k], of_second[:, k], factors)
    # One clip is no better than itself, whatever the last digit says.
    by_aspect[table.one_clip_twice[:, None] & np.isfinite(by_aspect)] = 0.5
    overall = by_aspect[:, 0]
    if len(aspects) > 1:
        _, first_spreads = moments(of_first, stack.bins_)
        _, second_spreads = moments(of_second, stack.bins_)
        overall = overall_preference(
            by_aspect,
            np.hypot(first_spreads, second_spreads),
            np.array([shares[aspect] for aspect in aspects]),
            correlations=correlations_of(regressor, aspects),
        )

    frame = _frame(table, scores, by_aspect, overall=overall)
    frame["shown"] = np.maximum(overall, 1 - overall) >= level
    status, reasons = _status(table, scores, overall)
    frame["status"] = status
    frame["reason"] = reasons
    return ComparedPairs(frame, aspects, shares, level, table)


def factors_of(
    regressor: MetaRegressor,
    aspect: str,
    same_system: np.ndarray,
    same_prompt: np.ndarray,
) -> np.ndarray:
    """The factor of each pair's preference in an aspect, see `PairFactors`."""
    calibration = regressor.calibrations_[regressor.aspects_.index(aspect)]
    if calibration is None:
        return np.ones(len(same_system))
    return calibration.pairs.of(same_system, same_prompt)


def correlations_of(regressor: MetaRegressor, aspects: Sequence[str]) -> np.ndarray:
    """How the errors of some aspects are correlated, see `error_correlations`."""
    numbers = [regressor.aspects_.index(aspect) for aspect in aspects]
    return regressor.error_correlations_[np.ix_(numbers, numbers)]


def distributions_of(scores: Scores, clip_ids: Sequence[str]) -> np.ndarray:
    """Distributions of some clips, NaN where there is none: (n, aspects, bins)."""
    assert scores.distributions is not None
    frame = scores.distributions.frame
    of_stack = frame[frame["model"] == STACK].set_index("clip_id")
    count = scores.distributions.bins.count
    by_aspect = [
        of_stack[bin_columns(aspect, count)].reindex(list(clip_ids)).to_numpy(float)
        for aspect in scores.aspects
    ]
    return np.stack(by_aspect, axis=1)


def _taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values of clips at some places, NaN at `NOWHERE`."""
    padded = np.concatenate([values, np.full((1, *values.shape[1:]), np.nan)])
    return padded[np.where(places == NOWHERE, len(values), places)]


def _frame(
    table: PairTable, scores: Scores, by_aspect: np.ndarray, overall: np.ndarray
) -> pd.DataFrame:
    """The pairs with scores, preferences and what is preferred."""
    frame = table.pairs.copy()
    clips = table.clips["clip_id"].tolist()
    known = scores.frame.set_index("clip_id")[list(scores.aspects)].reindex(clips)
    values = known.to_numpy(dtype=float)
    first = _taken(values, table.first)
    second = _taken(values, table.second)
    for k, aspect in enumerate(scores.aspects):
        frame[f"{aspect}_a"] = first[:, k]
        frame[f"{aspect}_b"] = second[:, k]
        frame[f"{aspect}_p"] = by_aspect[:, k]
    frame[OVERALL] = overall
    sides = np.select(
        [overall > 0.5, overall < 0.5, overall == 0.5], ["a", "b", TIE], default=""
    )
    frame["preferred"] = sides
    return frame


def _status(
    table: PairTable, scores: Scores, overall: np.ndarray
) -> tuple[list[str], list[str]]:
    """The status and the reason of each pair."""
    why = {clip.clip_id: clip.reason for clip in scores.set_aside}
    known = set(scores.frame["clip_id"])
    clips = table.clips["clip_id"].tolist()
    statuses = []
    reasons = []
    for row, places in enumerate(zip(table.first, table.second, strict=True)):
        if np.isfinite(overall[row]):
            statuses.append("ok")
            reasons.append("")
            continue
        failed = []
        said = [table.reasons[row]] if table.reasons[row] else []
        for side, place in zip("ab", places, strict=True):
            if place == NOWHERE:
                failed.append(side)
            elif clips[place] in why or clips[place] not in known:
                failed.append(side)
                reason = why.get(clips[place], "nothing is predicted of this clip")
                said.append(f"{side}: {reason}")
        # Both can have scores, and none of an aspect that counts.
        sides = "both" if len(failed) != 1 else failed[0]
        statuses.append(f"failed_{sides}")
        reasons.append("; ".join(said) or "no score of an aspect that counts")
    return statuses, reasons
