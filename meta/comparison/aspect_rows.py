"""The labelled rows of one aspect, on which two models at a time are compared.

A comparison is one metric of both models at one level, their difference, and what the
test by exchanges says of it, see `meta.comparison.sign_flip`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from base_models.metrics.evaluate import LEVELS
from meta.comparison.exchange import Compared, Pair
from meta.comparison.sign_flip import (
    LEVEL,
    answer,
    flipped_units,
    smallest_difference,
)
from meta.comparison.verdict_text import HEADLINE

Cell = tuple[str, str]
"""A level and a metric."""
Rival = tuple[str, str]
"""Kind and name of what a model is compared with."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """One row of the table, and what its smallest detectable difference follows from.

    Parameters
    ----------
    columns : of the row, without those that depend on other rows
    pair : the stack and its rival
    compared : one metric of both
    """

    columns: dict[str, Any]
    pair: Pair
    compared: Compared

    @property
    def in_headline(self) -> bool:
        """Whether the sentence draws on this row."""
        return (self.columns["level"], self.columns["metric"]) in HEADLINE


class AspectRows:
    """The labelled rows of one aspect, and the units that models are exchanged in.

    Parameters
    ----------
    aspect : its name
    truth : array of shape (n,)
    system, prompt : int arrays of shape (n,), codes from 0
    seed : of drawn exchanges
    """

    def __init__(
        self,
        aspect: str,
        truth: np.ndarray,
        system: np.ndarray,
        prompt: np.ndarray,
        seed: int,
    ) -> None:
        self.aspect = aspect
        self.truth = truth
        self.system = system
        self.n_systems = int(system.max()) + 1
        self.seed = seed
        self.units = flipped_units(system, prompt, seed)

    def comparisons(
        self,
        stack: np.ndarray,
        rival_scores: Mapping[Rival, np.ndarray],
        rivals: Mapping[Rival, Sequence[Cell]],
    ) -> Iterator[Comparison]:
        """Yield each comparison of the stack with a rival.

        Parameters
        ----------
        stack : array of shape (n,), scores
        rival_scores : rival to its scores, of shape (n,)
        rivals : rival to the cells to compare
        """
        for rival, cells in rivals.items():
            pair = Pair(
                truth=self.truth,
                first=stack,
                second=rival_scores[rival],
                system=self.system,
                units=self.units,
                seed=self.seed,
            )
            for level in LEVELS:
                # A single system has no metrics of systems.
                if level == "system" and self.n_systems == 1:
                    continue
                metrics = [metric for at, metric in cells if at == level]
                found = pair.compare(level, metrics)
                for metric, compared in zip(metrics, found, strict=True):
                    columns = self._columns(compared, rival, (level, metric))
                    yield Comparison(columns, pair, compared)

    def _columns(self, compared: Compared, rival: Rival, cell: Cell) -> dict[str, Any]:
        """Both metrics, their difference and what the test says of it."""
        level, metric = cell
        # Of several kinds of exchanges the most cautious answer.
        found = answer(compared.kinds)
        less_is_better = metric == "mse"
        return {
            "aspect": self.aspect,
            "level": level,
            "metric": metric,
            "rival": rival[0],
            "model": rival[1],
            "stack": compared.first,
            "other": compared.second,
            "difference": compared.first - compared.second,
            "low": found.low,
            "high": found.high,
            "p_better": 1 - found.p_above if less_is_better else found.p_above,
            "p": found.p,
            "n": len(self.truth) if level == "utterance" else self.n_systems,
        }


def smallest_of_claims(
    compared: Sequence[Comparison], questions: Iterable[Sequence[int]], seed: int
) -> list[float]:
    """The smallest detectable difference of each comparison, NaN where none is claimed.

    It is that of a claim on its own, by the p-value that Holm asks of the first one.

    Parameters
    ----------
    compared : the comparisons
    questions : places of the claims whose p-values are adjusted together
    seed : of the simulated listening tests
    """
    smallest = [np.nan] * len(compared)
    for claims in questions:
        # Holm compares the least p-value with the error over the number of claims.
        level = 1 - (1 - LEVEL) / max(len(claims), 1)
        for place in claims:
            comparison = compared[place]
            if np.isfinite(comparison.columns["p"]):
                smallest[place] = smallest_difference(
                    comparison.pair.units,
                    comparison.compared.shares,
                    level=level,
                    seed=seed,
                )
    return smallest
