"""What more clips would buy, from a metric measured on repeated nested subsets.

A draw splits the clips at hand into some that judge and some to learn from; a model is
fitted on a quarter of the latter, a half, and so on, and measured on the same judges.
The curve through these measurements is followed a little beyond the clips at hand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

HIGHER_IS_BETTER = {"mse": False, "srcc": True}
"""Metrics that a forecast can be made of."""
LARGEST_REACH = 4.0
"""No forecast is made for more than so many times the largest subset."""
EXPONENTS = (0.0, 0.5, 1.0)
"""How fast curves may bend; 0 stands for a logarithm."""
USUAL_EXPONENT = 0.5
LEVEL = 0.95


@dataclass(frozen=True)
class MeanOfDraws:
    """A mean over draws with its interval; NaN where it is not known."""

    mean: float
    low: float
    high: float


UNKNOWN = MeanOfDraws(math.nan, math.nan, math.nan)


@dataclass(frozen=True, eq=False)
class CurveDraws:
    """One metric of one aspect on nested subsets of clips.

    Parameters
    ----------
    metric : str
        One of `HIGHER_IS_BETTER`.
    counts : array of shape (draws, subsets)
        Clips in each subset, ascending.
    values : array of shape (draws, subsets)
        The metric; NaN where it is undefined.
    judged, learnt : float
        Clips that judge a draw, and clips that its subsets are taken from.
    """

    metric: str
    counts: np.ndarray
    values: np.ndarray
    judged: float
    learnt: float

    def at(self, subset: int) -> MeanOfDraws:
        """The metric on one subset."""
        return self._mean(self.values[:, subset])

    def forecast(self, now: int, more: int) -> Forecast:
        """What `more` clips would change, on top of `now`.

        Parameters
        ----------
        now, more : int

        Notes
        -----
        The curve is metric = a + b n^-k. Four noisy points tell a and b, but not k, and
        the gain hangs on it: the larger k, the sooner the curve is flat. So the gain is
        that of k = 1/2, and its interval the hull of those of `EXPONENTS`, from a
        learner with few parameters (k = 1) to a curve that is not yet bending at all
        (k to 0: a + b log n). A curve that bends upwards gains more than that.
        """
        # A gain is a smaller error or a larger correlation.
        sign = -1 if HIGHER_IS_BETTER[self.metric] else 1
        is_within_reach = (now + more) / self.counts.max() <= LARGEST_REACH
        gains = {}
        values = {}
        for exponent in EXPONENTS:
            intercepts, slopes = self._lines(exponent)
            values[exponent] = self._mean(intercepts + slopes * _falling(now, exponent))
            step = _falling(now, exponent) - _falling(now + more, exponent)
            gains[exponent] = self._mean(sign * slopes * step)

        gain = UNKNOWN
        if is_within_reach:
            gain = MeanOfDraws(
                gains[USUAL_EXPONENT].mean,
                low=min(one.low for one in gains.values()),
                high=max(one.high for one in gains.values()),
            )
        return Forecast(
            metric=self.metric,
            now=now,
            later=now + more,
            largest=int(self.counts.max()),
            value=values[USUAL_EXPONENT].mean,
            gain=gain,
        )

    def _lines(self, exponent: float) -> tuple[np.ndarray, np.ndarray]:
        """Intercept and slope of each draw's least-squares line over `_falling`."""
        x = _falling(self.counts, exponent)
        centred = x - x.mean(axis=1, keepdims=True)
        squares = (centred**2).sum(axis=1)
        # Subsets of one size have no slope.
        squares = np.where(squares > 0, squares, np.nan)
        slopes = (centred * self.values).sum(axis=1) / squares
        intercepts = self.values.mean(axis=1) - slopes * x.mean(axis=1)
        return intercepts, slopes

    def _mean(self, values: np.ndarray) -> MeanOfDraws:
        """Mean of values, one of each draw, with its interval.

        Draws share clips, so that they are not independent: the variance of their mean
        is (1 / draws + judged / learnt) times theirs (Nadeau and Bengio 2003,
        "Inference for the generalization error", Machine Learning 52).
        """
        known = values[np.isfinite(values)]
        # Draws in which a metric is undefined are left out, but not most of them.
        if len(known) < 2 or 2 * len(known) < len(values):
            return UNKNOWN
        mean = float(known.mean())
        variance = (1 / len(known) + self.judged / self.learnt) * known.var(ddof=1)
        quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(known) - 1))
        reach = quantile * math.sqrt(variance)
        return MeanOfDraws(mean, low=mean - reach, high=mean + reach)


@dataclass(frozen=True)
class Forecast:
    """What some more clips would change of a metric.

    Parameters
    ----------
    metric : str
    now, later : int
        Clips at hand, and clips with those to come.
    largest : int
        Clips in the largest subset that was measured.
    value : float
        The metric with the clips at hand, by the fitted curve.
    gain : MeanOfDraws
        How much better it becomes: less error, or more correlation. NaN where the
        curve would have to be followed too far, or the metric is undefined.
    """

    metric: str
    now: int
    later: int
    largest: int
    value: float
    gain: MeanOfDraws

    @property
    def is_shown(self) -> bool:
        """Whether the interval of the gain lies above 0."""
        return self.gain.low > 0

    @property
    def sentence(self) -> str:
        """What the clips to come would buy, for people."""
        name = self.metric.upper()
        more = self.later - self.now
        if math.isnan(self.gain.mean):
            return (
                f"{name}: what {more} more would buy cannot be said from subsets of at "
                f"most {self.largest} clips"
            )
        change = "rise" if HIGHER_IS_BETTER[self.metric] else "fall"
        interval = f"{self.gain.mean:.3f} [{self.gain.low:.3f}, {self.gain.high:.3f}]"
        if self.is_shown:
            return f"{name} would {change} by {interval} from {self.value:.3f}"
        return f"{name}: no gain shown ({change} by {interval} from {self.value:.3f})"

    def to_json(self) -> dict[str, Any]:
        """All of it, for programs; numbers may be NaN."""
        return {
            "metric": self.metric,
            "now": self.now,
            "later": self.later,
            "largest": self.largest,
            "value": self.value,
            "gain": self.gain.mean,
            "low": self.gain.low,
            "high": self.gain.high,
            "is_shown": self.is_shown,
            "sentence": self.sentence,
        }


def _falling(count: np.ndarray | int, exponent: float) -> np.ndarray:
    """count^-exponent, and -log(count) for the exponent 0."""
    counts = np.asarray(count, dtype=np.float64)
    return counts**-exponent if exponent else -np.log(counts)
