"""How far off a stack's scores are, learnt from rows on which it was not fitted.

Intervals are split-conformal (Vovk, Gammerman and Shafer 2005, ch. 2): quantiles of
signed residuals with the finite-sample correction hold a new rating with the requested
probability, whatever the distribution of errors, as long as the rating arises as those
of the calibration rows did. For out-of-fold rows this holds except that the final
learner, fitted on slightly more rows, is slightly better than those of the folds.
Distributions are the same residuals, smoothed, moved along the scale and cut into bins.

Where errors differ from clip to clip in a way that can be learnt, residuals are kept in
units of their clip's scale (`meta.uncertainty.clip_spread`), and multiplied by that of
the new clip.

Notes
-----
Residuals of rows on which a learner was fitted are too small. So are, for new systems,
those of other clips of a system on which it was fitted: the folds have to leave out
whole systems. And the share that holds for all clips need not hold for each system;
`groups` is for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError, some
from meta.uncertainty.clip_spread import (
    FEATURES,
    LARGEST,
    ClipSpread,
    worthwhile_spread,
)
from meta.uncertainty.distribution_scores import refuse_off_scale
from meta.uncertainty.kernel_average import kernel_average
from meta.uncertainty.pair_factors import INDEPENDENT, PairFactors
from meta.uncertainty.score_line import ScoreLine, worthwhile_line

MIN_ROWS = 30
"""Least number of rows for a group's own intervals."""
SPREAD_FOLDS = 5
"""Parts in which rows are left out of the spread, where no folds are given."""
SCALES_PER_OCTAVE = 16
"""Scales of clips are rounded to so many per factor of 2, for distributions alone."""
STEPS = 8
"""Tabulated locations per bin; between two of them a distribution is their mixture."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Intervals and distributions around scores; made by `fit` or `from_state`.

    Parameters
    ----------
    bins : the scale
    residuals : float64 array of shape (n,), truth minus `expected`, over the scale of
        the clip
    groups : n names, or None
    slope, intercept : of `expected`; 1 and 0 when scores are right on average
    spread : how the scale follows the clip; None where all clips have the scale 1
    pairs : how sure preferences are between clips that have something in common

    Attributes
    ----------
    sigma : 0.0, with which `ScoreBins.decode` reads the distributions: as plain means
    rms : float, root mean square of the residuals, in score points of a clip of scale 1
    """

    bins: ScoreBins
    residuals: np.ndarray
    groups: tuple[str, ...] | None = None
    slope: float = 1.0
    intercept: float = 0.0
    spread: ClipSpread | None = None
    pairs: PairFactors = INDEPENDENT
    sigma: ClassVar[float] = 0.0

    @classmethod
    def fit(
        cls,
        scores: ArrayLike,
        truth: ArrayLike,
        bins: ScoreBins,
        groups: Sequence[str] | np.ndarray | None = None,
        *,
        features: np.ndarray | None = None,
        fold: np.ndarray | None = None,
    ) -> Calibration:
        """Learn from rows on which the learner was not fitted.

        Parameters
        ----------
        scores : array of shape (n,), out-of-fold or of held-out rows
            Moved to the nearer end when off the scale. From folds that leave out whole
            systems, intervals are about systems that nobody has rated, and wider than
            the rated ones need.
        truth : array of shape (n,), on the scale
        bins : the scale
        groups : n names (systems) that may get intervals of their own, or None
        features : array of shape (n, features), or None
            What the scale of a clip may follow, see
            `meta.uncertainty.clip_spread.spread_features`; None gives all clips one.
        fold : int array of shape (n,), or None
            Which rows are left out together in learning the scale; None takes 5 parts.

        Raises
        ------
        UsageError
            when shapes disagree, a score is not finite, a truth is off the scale, or
            there is no row.
        """
        scores = _checked_scores(scores, bins)
        truth = np.asarray(truth, dtype=np.float64)
        one_truth_each = truth.shape == scores.shape and len(scores) > 0
        one_group_each = groups is None or len(groups) == len(scores)
        if not (one_truth_each and one_group_each):
            raise UsageError(
                "Calibration takes as many truths (and groups) as scores, at least one;"
                f" got {len(scores)} scores and truths of shape {truth.shape}."
            )
        refuse_off_scale(truth, bins)

        names = None
        if groups is not None:
            names = tuple(str(group) for group in groups)
        line = worthwhile_line(scores, truth, bins)
        if line is None:
            line = ScoreLine(slope=1.0, intercept=0.0, left_out_scores=scores)

        # Residuals are those of rows that the line was not fitted on: those of its own
        # rows would be too small. The same holds for the scales.
        residuals = truth - line.left_out_scores
        learnt = None
        if features is not None:
            if fold is None:
                fold = np.arange(len(residuals)) % SPREAD_FOLDS
            learnt = worthwhile_spread(features, residuals, fold)
        if learnt is not None:
            residuals = residuals / learnt.left_out_scales

        # In no order of rows: beside a score of each row they would tell its truth,
        # which nobody who shares a calibration means to share.
        order = np.argsort(residuals, kind="stable")
        return cls(
            bins=bins,
            residuals=residuals[order],
            groups=None if names is None else tuple(names[k] for k in order),
            slope=line.slope,
            intercept=line.intercept,
            spread=None if learnt is None else learnt.spread,
        )

    @property
    def rms(self) -> float:
        """Root mean square of the residuals, in score points of a clip of scale 1."""
        mean_square = np.mean(self.residuals**2)
        return float(np.sqrt(mean_square))

    def expected(self, scores: ArrayLike) -> np.ndarray:
        """Mean truth for a score: the score itself, or a point on the fitted line.

        `fit` keeps a line only when its leave-one-out squared error is smaller by two
        standard errors, as for an unfitted mean of biased models. Scores of regressions
        are right on average already.

        Parameters
        ----------
        scores : array of shape (n,)

        Returns
        -------
        means : float64 array of shape (n,), on the scale
        """
        scores = _checked_scores(scores, self.bins)
        means = self.intercept + self.slope * scores
        return np.clip(means, self.bins.low, self.bins.high)

    def scales(self, features: np.ndarray) -> np.ndarray:
        """Scale of the error of each clip, 1 for all of them without `spread`.

        Parameters
        ----------
        features : array of shape (n, features), as in `fit`

        Returns
        -------
        scales : float64 array of shape (n,)
        """
        if self.spread is None:
            return np.ones(len(features))
        return self.spread.scales(features)

    def interval(
        self,
        scores: ArrayLike,
        level: float = 0.9,
        groups: Sequence[str] | np.ndarray | None = None,
        scales: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds that hold a share `level` of new truths, bounds included.

        Parameters
        ----------
        scores : array of shape (n,)
        level : float in (0, 1)
        groups : n names, or None
            A group with `MIN_ROWS` rows at `fit` gets bounds from those rows alone, for
            which the share then holds by itself (Mondrian; Vovk et al. 2005, ch. 4.5);
            any other group gets those of all rows.
        scales : array of shape (n,), or None
            Of the clips' errors, see `scales`; None takes 1 for all.

        Returns
        -------
        low, high : float64 arrays of shape (n,), cut to the scale, where all truths lie

        Raises
        ------
        UsageError
            when `level` is not between 0 and 1, a score is not finite, or there is
            another number of groups or scales.

        Notes
        -----
        Residuals are signed, so that tails may differ: about as many truths lie above
        as below. With too few rows for both tails (fewer than 19 at 0.9) absolute
        residuals are used; with too few for one (fewer than 9 at 0.9) the whole scale.
        """
        if not 0 < level < 1:
            raise UsageError(
                f"The interval's level must lie between 0 and 1; got {level}."
            )
        middle = self.expected(scores)
        n = len(middle)
        least, largest = _residual_bounds(self.residuals, level)
        below = np.full(n, least)
        above = np.full(n, largest)

        if groups is not None:
            name_of_score = [str(group) for group in groups]
            if len(name_of_score) != n:
                raise UsageError(
                    f"{len(name_of_score)} groups for {n} scores; give one per score."
                )
            names = np.array(name_of_score, dtype=object)
            for name in self.own_groups & set(name_of_score):
                in_group = names == name
                least, largest = _residual_bounds(self._residuals_of(name), level)
                below[in_group] = least
                above[in_group] = largest

        # Residuals may be infinite, where the interval is the whole scale.
        bins = self.bins
        scales = _checked_scales(scales, n)
        low = np.clip(middle + scales * below, bins.low, bins.high)
        high = np.clip(middle + scales * above, bins.low, bins.high)
        return low, high

    def _residuals_of(self, group: str) -> np.ndarray:
        """Residuals of the rows of one group."""
        names = np.array(self.groups, dtype=object)
        return self.residuals[names == group]

    @cached_property
    def own_groups(self) -> set[str]:
        """Groups with enough rows for intervals of their own."""
        groups = np.array(self.groups or (), dtype=str)
        names, counts = np.unique(groups, return_counts=True)
        large_enough = counts >= MIN_ROWS
        return set(names[large_enough].tolist())

    def distribution(
        self,
        scores: ArrayLike,
        scales: np.ndarray | None = None,
    ) -> np.ndarray:
        """Probability of each bin, from smoothed residuals around a location.

        Probability beyond an end of the scale counts to its last bin.

        Parameters
        ----------
        scores : array of shape (n,)
        scales : array of shape (n,), or None, as in `interval`

        Returns
        -------
        distributions : float64 array of shape (n, bins), rows sum to 1

        Notes
        -----
        The location is chosen for the mean: ``bins.decode(distribution(scores), 0)`` is
        `expected`, exactly, where a distribution located on the scale can have such a
        mean; nearer an end it is that located on the end. A higher score never has a
        lower distribution at the same scale: its cumulative probabilities are at most
        those of a lower score.
        """
        means = self.expected(scores)
        octaves = np.log2(_checked_scales(scales, len(means)))
        steps = np.rint(octaves * SCALES_PER_OCTAVE).astype(int)
        distributions = np.empty((len(means), self.bins.count))
        for step in np.unique(steps):
            rows = steps == step
            table = self._table(2.0 ** (step / SCALES_PER_OCTAVE))
            distributions[rows] = self._with_means(table, means[rows])
        return distributions

    def _with_means(self, table: np.ndarray, means: np.ndarray) -> np.ndarray:
        """Distributions (n, bins) between the rows of a table, by their means (n,)."""
        # Means rise along the table, so the place of a mean between its rows is found
        # by inversion.
        table_means = self.bins.expected(table)
        table_rows = np.arange(len(table))
        position = np.interp(means, table_means, table_rows)

        # A position on the last row counts to the pair before it.
        last_pair = len(table) - 2
        row = np.minimum(position.astype(int), last_pair)

        # Mixtures of neighbouring rows keep the mean and the order of distributions.
        share_of_next = (position - row)[:, None]
        share_of_row = 1 - share_of_next
        return share_of_row * table[row] + share_of_next * table[row + 1]

    @cached_property
    def _tables(self) -> dict[float, np.ndarray]:
        """What `_table` has made, by the scale."""
        return {}

    def _table(self, scale: float) -> np.ndarray:
        """Distributions at `STEPS` locations per bin of the scale: (locations, bins).

        One row yields a plain Gaussian, many their own histogram.

        Parameters
        ----------
        scale : float, of the residuals
        """
        if scale in self._tables:
            return self._tables[scale]
        bins = self.bins
        scale_width = bins.high - bins.low
        step = bins.width / STEPS
        n_locations = round(scale_width / step) + 1
        locations = np.linspace(bins.low, bins.high, n_locations)
        # Midway between neighbouring centres (bins - 1,).
        upper_centers = bins.centers[1:]
        lower_centers = bins.centers[:-1]
        edges = (upper_centers + lower_centers) / 2

        # The cumulative distribution, at every distance that an edge may have from a
        # location: both lie on one grid of width `step`.
        steps = np.arange(-n_locations, n_locations + 1)
        distance = step * steps
        cumulative = self._smoothed_cumulative(distance, scale)

        # Probability below each edge (locations, bins - 1). Distance 0 stands in the
        # middle of the grid.
        distance_to_edge = edges - locations[:, None]
        steps_to_edge = np.rint(distance_to_edge / step).astype(int)
        below_edge = cumulative[steps_to_edge + n_locations]
        self._tables[scale] = np.diff(
            below_edge,
            axis=1,
            prepend=0,
            append=1,
        )
        return self._tables[scale]

    def _smoothed_cumulative(self, distance: np.ndarray, scale: float) -> np.ndarray:
        """Probability that a truth lies less than a distance above its location.

        Parameters
        ----------
        distance : array of shape (m,), in score points
        scale : float, of the residuals

        Returns
        -------
        cumulative : array of shape (m,)

        Notes
        -----
        Gaussian kernels stand on the residuals, as wide as Scott's rule gives, ``1.06
        sd n^(-1/5)`` (Scott 1992), and at least half a bin.
        """
        n = len(self.residuals)
        half_bin = self.bins.width / 2
        centred = scale * (self.residuals - self.residuals.mean())
        spread = max(centred.std(), half_bin)
        scott_width = 1.06 * spread * n**-0.2
        kernel_width = np.clip(scott_width, half_bin, spread)

        # The kernel adds to the spread, so residuals are drawn in to keep it.
        share_of_kernel = (kernel_width / spread) ** 2
        kernel_centres = centred * np.sqrt(1 - share_of_kernel)

        # One kernel per residual, averaged over the residuals.
        cumulative = kernel_average(distance, kernel_centres, float(kernel_width))

        # The share 1 / (n + 1) that conformal ranks leave open is spread over half the
        # scale, so that nothing is impossible.
        scale_width = self.bins.high - self.bins.low
        wide = special.ndtr(2 * distance / scale_width)
        counted = n * cumulative + wide
        return counted / (n + 1)

    def describe(self) -> dict[str, Any]:
        """Facts for a report: rows, spread, the line of `expected`, and own groups.

        ``scale_follows`` holds the weight of each feature, where scales differ.
        """
        facts: dict[str, Any] = {
            "n": len(self.residuals),
            "rms": self.rms,
            "slope": self.slope,
            "intercept": self.intercept,
        }
        if self.spread is not None:
            weights = self.spread.weights.tolist()
            facts["scale_follows"] = dict(zip(FEATURES, weights, strict=True))
        if self.groups is not None:
            facts["groups"] = len(set(self.groups))
            facts["groups_with_own_intervals"] = sorted(self.own_groups)
        return facts

    def warnings(self) -> list[str]:
        """What a reader of the intervals should know, as sentences."""
        sentences = []
        n = len(self.residuals)
        if n < 19:
            sentences.append(
                f"intervals are learnt from {n} clips; those of 90 % need 19 to treat "
                "the two tails separately."
            )
        if (self.slope, self.intercept) != (1, 0):
            sentences.append(
                "scores are off on average; intervals and distributions stand around "
                f"{self.intercept:.2f} + {self.slope:.2f} * score."
            )
        # Where no group has intervals of its own, there is nothing to tell apart.
        all_groups = set(self.groups or ())
        small_groups = all_groups - self.own_groups
        if small_groups and self.own_groups:
            sentences.append(
                f"{some(sorted(small_groups))} have fewer than {MIN_ROWS} clips each; "
                "their intervals are those of all clips."
            )
        return sentences

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """What `from_state` needs: facts for JSON, and named arrays."""
        facts: dict[str, Any] = {
            "bins": asdict(self.bins),
            "groups": None if self.groups is None else list(self.groups),
            "slope": self.slope,
            "intercept": self.intercept,
            "spread": self.spread is not None,
        }
        # Only where there is something to keep: other stacks stay as they were.
        if self.pairs != INDEPENDENT:
            facts["pairs"] = self.pairs.to_json()
        arrays = {"residuals": self.residuals}
        if self.spread is not None:
            for name, array in self.spread.to_arrays().items():
                arrays[f"spread.{name}"] = array
        return facts, arrays

    @classmethod
    def from_state(
        cls,
        facts: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
    ) -> Calibration:
        """Restore a calibration that answers as the saved one did, bit for bit.

        Raises
        ------
        DamagedArtifact
            when a fact or array is missing or does not fit the others.
        """
        try:
            groups = facts["groups"]
            # Stacks that were stored before there were scales have none.
            spread = None
            if facts.get("spread", False):
                own = {
                    name.removeprefix("spread."): array
                    for name, array in arrays.items()
                    if name.startswith("spread.")
                }
                spread = ClipSpread.from_arrays(own)
            restored = cls(
                bins=ScoreBins(**facts["bins"]),
                residuals=np.asarray(arrays["residuals"]),
                groups=None if groups is None else tuple(groups),
                slope=float(facts["slope"]),
                intercept=float(facts["intercept"]),
                spread=spread,
                pairs=PairFactors.from_json(facts.get("pairs")),
            )
            restored._check_state()
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                f"The stored calibration is damaged ({error!r})."
            ) from error
        return restored

    def _check_state(self) -> None:
        """Raise ValueError where `from_state` restored what `fit` cannot have made."""
        residuals = self.residuals
        is_list = residuals.ndim == 1 and len(residuals) > 0
        if residuals.dtype != np.float64 or not is_list:
            raise ValueError(
                f"residuals are {residuals.dtype} of shape {residuals.shape}"
            )

        # No two points of the scale are further apart than its width; NaN is not less.
        # In units of a small scale, residuals are as many times as large.
        largest = self.bins.high - self.bins.low
        if self.spread is not None:
            largest *= LARGEST
        possible_residuals = (np.abs(residuals) <= largest).all()
        line_is_finite = np.isfinite([self.slope, self.intercept]).all()
        possible_line = line_is_finite and self.slope > 0
        if not (possible_residuals and possible_line):
            raise ValueError("residuals or the line are impossible on this scale")

        if self.groups is not None:
            are_names = all(isinstance(group, str) for group in self.groups)
            one_group_each = len(self.groups) == len(residuals)
            if not (are_names and one_group_each):
                raise ValueError("groups and residuals disagree")


def _residual_bounds(residuals: np.ndarray, level: float) -> tuple[float, float]:
    """Least and largest residual of the interval that holds the share `level`.

    Notes
    -----
    A new residual takes each of n + 1 ranks with the same probability, so that the
    interval holds ``ceil((n + 1) level)`` of them (Vovk et al. 2005, ch. 2), and the
    other ranks are shared out between the tails.
    """
    n = len(residuals)
    n_ranks = n + 1
    # The summand is for products such as 10 * (1 - 0.9), just below a whole number.
    ranks_outside = n_ranks * (1 - level)
    n_outside = int(np.floor(ranks_outside + 1e-9))
    if n_outside == 0:
        return -np.inf, np.inf

    # One rank cannot be shared out: the interval is symmetric.
    if n_outside == 1:
        reach = np.abs(residuals).max()
        return -reach, reach

    ordered = np.sort(residuals)
    n_below = n_outside // 2
    n_above = n_outside - n_below
    least = ordered[n_below - 1]
    largest = ordered[n - n_above]
    return least, largest


def _checked_scales(scales: np.ndarray | None, n: int) -> np.ndarray:
    """Scales as a float64 array (n,); ones where there are none."""
    if scales is None:
        return np.ones(n)
    scales = np.asarray(scales, dtype=np.float64)
    if scales.shape != (n,) or not (np.isfinite(scales) & (scales > 0)).all():
        raise UsageError(
            f"Scales of errors are positive numbers, one for each of {n} scores; got "
            f"shape {scales.shape}, or others in it."
        )
    return scales


def _checked_scores(scores: ArrayLike, bins: ScoreBins) -> np.ndarray:
    """Scores as a float64 array (n,), moved to the nearer end when off the scale."""
    scores = np.asarray(scores, dtype=np.float64)
    is_list = scores.ndim == 1
    is_finite = np.isfinite(scores).all()
    if not (is_list and is_finite):
        raise UsageError(
            "Scores to calibrate are a list of finite numbers; "
            f"got shape {scores.shape}, or NaN in it."
        )
    return np.clip(scores, bins.low, bins.high)
