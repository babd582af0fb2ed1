"""Differences of metrics of two models under exchanges of their predictions.

Squared errors are exchanged as they are. For correlations both models are first brought
to one scale, since a correlation does not depend on it: otherwise an exchange with a
model of another offset or spread would make ranks that neither model has. On the ranks
themselves the test would claim too much where two models rank nearly alike, because an
exchange of two neighbours one at a time only makes ties.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from base_models.metrics.bootstrap import resample, resample_means, system_means
from meta.comparison.sign_flip import (
    Exchanged,
    FlippedUnits,
    Shares,
    with_both_ways,
)

MSE = "mse"
CORRELATIONS = ("lcc", "srcc", "ktau")
RANKED = ("srcc", "ktau")
# Exchanges under which correlations of clips, or of means of other clips, are measured
# anew; those of system means under exchanged systems are cheap, and all are measured.
MEASURED_FLIPS = 1000
# Exchanges of prompts that are measured at a time.
_FLIPS_AT_A_TIME = 500
# As many decimals as system means have, so that equal scores tie on any scale.
_DECIMALS = 9


@dataclass(frozen=True, eq=False)
class Compared:
    """One metric at one level: both models' values, and their difference exchanged.

    Parameters
    ----------
    first, second : the metric of each model
    kinds : the difference under exchanges of every kind of units
    shares : what each clip adds to the difference, to first order
    """

    first: float
    second: float
    kinds: list[Exchanged]
    shares: Shares


@dataclass(frozen=True, eq=False)
class Pair:
    """Two models on the same clips.

    Parameters
    ----------
    truth, first, second : arrays of shape (n,)
    system : int array of shape (n,), codes from 0
    units : from `meta.comparison.sign_flip.flipped_units`
    seed : of drawn exchanges
    """

    truth: np.ndarray
    first: np.ndarray
    second: np.ndarray
    system: np.ndarray
    units: Sequence[FlippedUnits]
    seed: int

    def compare(self, level: str, metrics: Sequence[str]) -> Iterator[Compared]:
        """Yield some metrics at one level, in the order given.

        Parameters
        ----------
        level : ``"utterance"`` or ``"system"``; the latter needs two systems or more
        metrics : names, see `base_models.metrics.evaluate.METRICS`
        """
        points = self._clips() if level == "utterance" else self._systems()
        correlated = [metric for metric in metrics if metric != MSE]
        exchanged = points.correlations() if correlated else {}
        for metric in metrics:
            if metric == MSE:
                yield points.squared_errors()
            else:
                yield points.correlation(metric, exchanged[metric])

    def _clips(self) -> _Points:
        return _Points(
            pair=self,
            truth=self.truth,
            first=self.first,
            second=self.second,
            point=np.arange(len(self.truth)),
        )

    def _systems(self) -> _Points:
        return _Points(
            pair=self,
            truth=system_means(self.truth, self.system),
            first=system_means(self.first, self.system),
            second=system_means(self.second, self.system),
            point=self.system,
        )


@dataclass(frozen=True, eq=False)
class _Points:
    """The clips, or the systems, of two models.

    Parameters
    ----------
    pair : the models on clips
    truth, first, second : arrays of shape (points,)
    point : int array of shape (n,), the point that each clip is of
    """

    pair: Pair
    truth: np.ndarray
    first: np.ndarray
    second: np.ndarray
    point: np.ndarray

    @property
    def of_clips(self) -> bool:
        """Whether points are clips, and not means of clips."""
        return len(self.truth) == len(self.point)

    def squared_errors(self) -> Compared:
        """The mean squared errors."""
        # (a - t)² - (b - t)² is linear in a - b: so the clips of a point share it.
        slope = self.first + self.second - 2 * self.truth
        gaps = self.pair.first - self.pair.second
        shares = self._shared(gaps * slope[self.point])
        kinds = [Exchanged.of_means(shares, units) for units in self.pair.units]
        return Compared(
            first=float(((self.first - self.truth) ** 2).mean()),
            second=float(((self.second - self.truth) ** 2).mean()),
            kinds=self._with_both_ways(kinds, shares),
            shares=shares,
        )

    def correlation(self, metric: str, exchanged: Sequence[np.ndarray]) -> Compared:
        """One of the correlations.

        Parameters
        ----------
        metric : its name
        exchanged : for each kind of units, array of shape (2, flips): the metric of the
            first model and of the second one under every exchange
        """
        shares = self._correlation_shares(metric)
        kinds = [
            Exchanged.of_others(first - second, shares, units)
            for (first, second), units in zip(exchanged, self.pair.units, strict=True)
        ]
        return Compared(
            first=float(exchanged[0][0, 0]),
            second=float(exchanged[0][1, 0]),
            kinds=self._with_both_ways(kinds, shares),
            shares=shares,
        )

    def correlations(self) -> dict[str, list[np.ndarray]]:
        """Every correlation under every exchange, see `correlation`."""
        first = _scaled(self.first)
        second = _scaled(self.second)
        by_kind = []
        for units in self.pair.units:
            if self.of_clips:
                unit = units.unit_of_clip
                signs = units.signs[:MEASURED_FLIPS]
            elif units.kind == "system":
                # Every point is a unit, so all exchanges can be afforded.
                unit = np.arange(len(self.truth))
                signs = units.signs
            else:
                by_kind.append(self._exchanged_means(units))
                continue
            found = _exchanged_points(self.truth, first, second, signs=signs, unit=unit)
            by_kind.append(found)
        return {metric: [found[metric] for found in by_kind] for metric in CORRELATIONS}

    def _exchanged_means(self, units: FlippedUnits) -> dict[str, np.ndarray]:
        """Correlations of system means of which some clips are exchanged."""
        # On the scale on which the means of both models are alike.
        first = _scaled(self.pair.first, like=self.first)
        second = _scaled(self.pair.second, like=self.second)
        truth = np.tile(self.pair.truth, 2)
        scores = np.concatenate([first, second])
        system = np.tile(self.pair.system, 2)

        parts = []
        n_systems = len(self.truth)
        signs = units.signs[:MEASURED_FLIPS]
        unit = np.concatenate([units.unit_of_clip, units.unit_of_clip + units.n_units])
        for start in range(0, len(signs), _FLIPS_AT_A_TIME):
            weights = _side_weights(signs[start : start + _FLIPS_AT_A_TIME])
            (found,) = resample_means(
                truth,
                [scores],
                system,
                weights=np.ones((len(weights), n_systems)),
                unit=unit,
                unit_weights=weights,
            )
            parts.append({m: found[m].reshape(2, -1) for m in CORRELATIONS})
        return {m: np.hstack([part[m] for part in parts]) for m in CORRELATIONS}

    def _correlation_shares(self, metric: str) -> Shares:
        """What clips add to a difference of correlations, to first order.

        With standardised truth t and scores a and b, and r the mean of both
        correlations, points add (a - b) (t - r (a + b) / 2): their mean is the
        difference, and an exchange turns their signs.
        """
        # For Kendall's tau these are the shares of Spearman's correlation.
        rank = metric in RANKED
        truth = _standard(self.truth, rank)
        first = _standard(self.first, rank)
        second = _standard(self.second, rank)
        r = (truth * (first + second) / 2).mean()
        slope = truth - r * (first + second) / 2
        of_point = (first - second) * slope
        if self.of_clips:
            return self._shared(of_point)

        # Clips of a system share what it adds, and differ by their own scores.
        scaled_first = _scaled(self.pair.first, like=self.first)
        scaled_second = _scaled(self.pair.second, like=self.second)
        gaps = scaled_first - scaled_second
        own = gaps - _means(gaps, self.point)[self.point]
        return self._shared(of_point[self.point] + own * slope[self.point])

    def _shared(self, values: np.ndarray) -> Shares:
        """Shares of clips, so that every point counts alike."""
        n_clips = np.bincount(self.point)[self.point]
        return Shares(values / n_clips, 1 / n_clips)

    def _with_both_ways(
        self, kinds: Sequence[Exchanged], shares: Shares
    ) -> list[Exchanged]:
        return with_both_ways(
            kinds, self.pair.units, shares=shares, seed=self.pair.seed
        )


def _exchanged_points(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    signs: np.ndarray,
    unit: np.ndarray,
) -> dict[str, np.ndarray]:
    """Correlations of both models under exchanges of units, each (2, flips).

    Points of both models stand side by side; an exchange gives weight 1 to one of the
    two copies of each point, and 0 to the other.
    """
    found = resample(
        np.tile(truth, 2),
        np.concatenate([first, second]),
        _side_weights(signs),
        cluster=np.concatenate([unit, unit + signs.shape[1]]),
    )
    return {metric: found[metric].reshape(2, -1) for metric in CORRELATIONS}


def _side_weights(signs: np.ndarray) -> np.ndarray:
    """Weights of what each model gets from both models' sides.

    Parameters
    ----------
    signs : array of shape (flips, units)

    Returns
    -------
    weights : int32 array of shape (2 flips, 2 units) of 0 and 1; the first half is what
        the first model gets
    """
    kept = (signs > 0).astype(np.int32)
    first = np.hstack([kept, 1 - kept])
    second = np.hstack([1 - kept, kept])
    return np.vstack([first, second])


def _scaled(scores: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """Scores of mean 0 and standard deviation 1, or on the scale on which others are.

    A constant stays one.
    """
    like = scores if like is None else like
    spread = like.std() if np.ptp(like) > 0 else 1.0
    scaled = (scores - like.mean()) / spread
    return np.round(scaled, _DECIMALS)


def _standard(values: np.ndarray, rank: bool) -> np.ndarray:
    """Standardised values, or their mid-ranks."""
    return _scaled(stats.rankdata(values) if rank else values)


def _means(values: np.ndarray, point: np.ndarray) -> np.ndarray:
    return np.bincount(point, weights=values) / np.bincount(point)
