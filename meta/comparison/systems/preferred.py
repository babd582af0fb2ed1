"""How often the clip of one system is preferred to that of another.

Of two clips, the probability that the first is preferred is that of
`meta.comparison.preference`, which answers for single pairs of clips as well. Its mean
over the prompts that two systems share, or over all pairs of their clips, is the share
of pairs in which listeners are expected to prefer the second system.

The interval is that of the difference of the means, in units of how far the difference
of two clips varies: if the true difference is as small, or as large, as its interval
allows, so is the share.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from base_models.bins import ScoreBins
from meta.comparison.preference import preference
from meta.comparison.systems.mean_scores import MeanScores, Part
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.system_estimates import Estimate

_LEAST_OWN = 0.25
"""Of the variance of the difference of two clips: what remains of it, at least, when
the error that all clips of a system share is taken out."""


class Preferences:
    """Shares of pairs of clips in which one system is preferred.

    Parameters
    ----------
    sample : RatedSample
        Of N clips.
    means : MeanScores
        Of `sample`.
    distributions : array of shape (N, bins), or None
        Predicted, on `bins`. Without, the higher score counts as preferred, which makes
        more of small differences than listeners do.
    bins : ScoreBins
    """

    def __init__(
        self,
        sample: RatedSample,
        means: MeanScores,
        distributions: np.ndarray | None,
        bins: ScoreBins,
    ) -> None:
        self._means = means
        self._scores = sample.predictions
        self._system = sample.system
        self._distributions = distributions
        self._centers = bins.centers
        if distributions is not None:
            self._of_cells = means.cells.averages(distributions)

    def share(self, a: int, b: int) -> float:
        """Expected share of pairs of clips in which that of `b` is preferred."""
        return self._share_and_variance(a, b)[0]

    def interval(
        self, a: int, b: int, difference: Estimate, shared_error: Part, level: float
    ) -> tuple[float, float, float]:
        """The share with its interval.

        Parameters
        ----------
        a, b : numbers of systems
        difference : of their means, `b` minus `a`; perhaps not that of the scores
        shared_error : its part that is the same in all clips of a system
        level : coverage

        Returns
        -------
        share, low, high : floats; the ends are NaN where that of the difference is
        """
        share, variance = self._share_and_variance(a, b)
        if not variance > 0:
            return share, np.nan, np.nan
        # Where ratings move the means, they move the preference with them.
        moved = difference.value - self._means.difference(a, b).value
        share = float(ndtr(ndtri(share) + moved / np.sqrt(variance)))

        # With the true means given, the error of the systems is no chance any more.
        own = max(variance - shared_error.variance, _LEAST_OWN * variance)
        middle = ndtri(share) * np.sqrt(variance / own)
        low, high = difference.interval(level)
        half = (high - low) / 2 / np.sqrt(own)
        ends = ndtr([middle - half, middle + half])
        return share, float(min(ends[0], share)), float(max(ends[1], share))

    def _share_and_variance(self, a: int, b: int) -> tuple[float, float]:
        """The share, and the variance of the difference of two clips."""
        difference = self._means.difference(a, b)
        in_a, in_b = self._means.cells.shared(a, b)
        if self._distributions is None:
            share = self._share_of_scores(a, b, paired=difference.paired)
            # Of few pairs all may be of one kind, which does not show that all are.
            least = 0.5 / (max(difference.size, 1.0) + 1)
            return float(np.clip(share, least, 1 - least)), difference.spread
        if difference.paired:
            of_a = self._of_cells[in_a]
            of_b = self._of_cells[in_b]
        else:
            of_a = self._distributions[self._system == a].mean(axis=0, keepdims=True)
            of_b = self._distributions[self._system == b].mean(axis=0, keepdims=True)
        shares = preference(of_b, of_a)
        within = self._variances(of_a) + self._variances(of_b)
        gaps = of_b @ self._centers - of_a @ self._centers
        return float(np.mean(shares)), float(within.mean() + np.var(gaps))

    def _share_of_scores(self, a: int, b: int, *, paired: bool) -> float:
        """Share of pairs in which the score of `b` is higher; equal ones count half."""
        if paired:
            in_a, in_b = self._means.cells.shared(a, b)
            gaps = self._means.cells.means[in_b] - self._means.cells.means[in_a]
            return float(np.mean((np.sign(gaps) + 1) / 2))
        of_a = np.sort(self._scores[self._system == a])
        of_b = self._scores[self._system == b]
        below = np.searchsorted(of_a, of_b, side="left")
        not_above = np.searchsorted(of_a, of_b, side="right")
        return float(np.mean(below + not_above) / 2 / len(of_a))

    def _variances(self, distributions: np.ndarray) -> np.ndarray:
        """Variance of each distribution, (m, bins) to (m,), in squared points."""
        means = distributions @ self._centers
        squares = distributions @ self._centers**2
        return np.maximum(squares - means**2, 0)
