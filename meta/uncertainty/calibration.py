"""How far off a stack's scores are, learnt from rows that it was not fitted on: intervals and distributions.

Intervals are split-conformal (Vovk, Gammerman and Shafer 2005, ch. 2): quantiles of signed residuals with the
finite-sample correction hold a new rating with the probability asked for, whatever the errors look like, as long as
the rating comes about as those of the calibration rows did. Of out-of-fold rows that is true but for the final learner,
fitted on a few rows more, being a little better than those of the folds. Distributions are the same residuals,
smoothed, moved along the scale and cut into bins. The trap: residuals of rows that a learner was fitted on are too
small; those of other clips of a system that it was fitted on are too small for new systems, so the folds have to leave
out whole systems. And a share of all clips is no promise about each system: `groups` is for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError, some

MIN_ROWS = 30
"""Rows from which on a group has intervals of its own, and a line is tried: fewer tell of chance."""
STEPS = 8
"""Tabulated locations per bin; between two of them a distribution is their mixture."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Intervals and distributions around scores; made by `fit` or `from_state`.

    Parameters
    ----------
    bins : the scale
    residuals : float64 array of shape (n,), truth minus `expected`
    groups : n names, or None
    slope, intercept : of `expected`; 1 and 0 when scores are right on average

    Attributes
    ----------
    sigma : 0.0, with which `ScoreBins.decode` reads the distributions: as their plain mean
    rms : float, root mean square of the residuals, in score points
    """

    bins: ScoreBins
    residuals: np.ndarray
    groups: tuple[str, ...] | None = None
    slope: float = 1.0
    intercept: float = 0.0
    sigma = 0.0

    @classmethod
    def fit(
        cls, scores, truth, bins: ScoreBins, groups: Sequence[str] | None = None
    ) -> Calibration:
        """Learn from rows that the learner was not fitted on.

        Parameters
        ----------
        scores : array of shape (n,), out-of-fold or of held-out rows; moved to the nearer end when off the scale. From
            folds that leave out whole systems, intervals are about systems that nobody has rated, and wider than the
            rated ones need
        truth : array of shape (n,), on the scale
        groups : n names (systems) that may get intervals of their own, or None

        Raises
        ------
        UsageError
            when shapes disagree, a score is not finite, a truth is off the scale, or there is no row.
        """
        scores, truth = _score_list(scores, bins), np.asarray(truth, dtype=np.float64)
        if (
            not len(scores)
            or truth.shape != scores.shape
            or (groups is not None and len(groups) != len(truth))
        ):
            raise UsageError(
                f"Calibration takes as many truths (and groups) as scores, at least one; got {len(scores)} scores and "
                f"truths of shape {truth.shape}."
            )
        if not ((truth >= bins.low) & (truth <= bins.high)).all():
            raise UsageError(
                f"A truth is NaN or off the scale {bins.low}..{bins.high}; leave unlabelled clips out."
            )
        names = None if groups is None else tuple(str(group) for group in groups)
        line = _worthwhile_line(scores, truth, bins)
        if line is None:
            return cls(bins, truth - scores, names)
        slope, intercept, unseen = line
        return cls(bins, truth - unseen, names, slope, intercept)

    @property
    def rms(self) -> float:
        """Root mean square of the residuals, in score points."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def expected(self, scores) -> np.ndarray:
        """Mean truth for a score: the score itself, or a line through it where that is clearly nearer the truth.

        A line was worthwhile at `fit` when its leave-one-out squared error was smaller by two standard errors, as for
        an unfitted mean of biased models; regressions are right on average already.

        Parameters
        ----------
        scores : array of shape (n,)

        Returns
        -------
        means : float64 array of shape (n,), on the scale
        """
        scores = _score_list(scores, self.bins)
        return np.clip(
            self.intercept + self.slope * scores, self.bins.low, self.bins.high
        )

    def interval(
        self, scores, level: float = 0.9, groups: Sequence[str] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Bounds that hold a share `level` of new truths, bounds included; cut to the scale, where truths lie anyway.

        Signed residuals, so that tails may differ: about as many truths lie above as below, and with too few rows for
        both tails (fewer than 19 at 0.9) absolute ones; with too few for one (fewer than 9 at 0.9) the whole scale.

        Parameters
        ----------
        scores : array of shape (n,)
        level : float in (0, 1)
        groups : n names, or None. A group with `MIN_ROWS` rows at `fit` gets bounds from those rows alone, for which
            the promise then holds by itself (Mondrian; Vovk et al. 2005, ch. 4.5); any other those of all rows

        Returns
        -------
        low, high : float64 arrays of shape (n,), on the scale

        Raises
        ------
        UsageError
            when `level` is not between 0 and 1, a score is not finite, or there is another number of groups.
        """
        if not 0 < level < 1:
            raise UsageError(
                f"The interval's level must lie between 0 and 1; got {level}."
            )
        middle = self.expected(scores)
        below, above = (
            np.full(len(middle), bound) for bound in _bounds(self.residuals, level)
        )
        if groups is not None:
            names = np.array([str(group) for group in groups], dtype=object)
            if len(names) != len(middle):
                raise UsageError(
                    f"{len(names)} groups for {len(middle)} scores; give one per score."
                )
            for name in self.own_groups & set(names):
                here = names == name
                below[here], above[here] = _bounds(
                    self.residuals[np.array(self.groups, dtype=object) == name], level
                )
        low, high = self.bins.low, self.bins.high
        return np.clip(middle + below, low, high), np.clip(middle + above, low, high)

    @cached_property
    def own_groups(self) -> set[str]:
        """Groups with enough rows for intervals of their own."""
        names, counts = np.unique(
            np.array(self.groups or (), dtype=str), return_counts=True
        )
        return set(names[counts >= MIN_ROWS].tolist())

    def distribution(self, scores) -> np.ndarray:
        """Probability of each bin: smoothed residuals around a location, what is beyond an end counted to its last bin.

        The location is chosen for the mean: ``bins.decode(distribution(scores), 0)`` is `expected`, exactly, where
        a distribution located on the scale can have such a mean; nearer an end it is that located on the end, whose
        ratings off the end fell back onto it. A higher score never has a lower distribution: its cumulative
        probabilities are at most those of a lower score.

        Parameters
        ----------
        scores : array of shape (n,)

        Returns
        -------
        distributions : float64 array of shape (n, bins), rows sum to 1
        """
        table = self._table
        row = np.interp(
            self.expected(scores), self.bins.expected(table), np.arange(len(table))
        )
        below = np.minimum(row.astype(int), len(table) - 2)
        share = (row - below)[:, None]
        return (1 - share) * table[below] + share * table[below + 1]

    @cached_property
    def _table(self) -> np.ndarray:
        """Distributions located at `STEPS` points per bin from end to end of the scale: (locations, bins).

        Gaussian kernels stand on the residuals, as wide as Scott's rule says and at least half a bin, and residuals are
        drawn in so that the spread stays theirs: one row is a plain Gaussian, many are their own histogram. The share
        1 / (n + 1) that conformal ranks leave open is spread over half the scale, so that nothing is impossible.
        """
        bins, n = self.bins, len(self.residuals)
        step = bins.width / STEPS
        locations = np.linspace(
            bins.low, bins.high, round((bins.high - bins.low) / step) + 1
        )
        edges = (bins.centers[1:] + bins.centers[:-1]) / 2
        centred = self.residuals - self.residuals.mean()
        spread = max(centred.std(), bins.width / 2)
        kernel = np.clip(1.06 * spread * n**-0.2, bins.width / 2, spread)
        away = step * np.arange(-len(locations), len(locations) + 1)
        below = special.ndtr(
            (away[:, None] - centred * np.sqrt(1 - (kernel / spread) ** 2)) / kernel
        ).mean(axis=1)
        below = (n * below + special.ndtr(2 * away / (bins.high - bins.low))) / (n + 1)
        below = below[
            np.rint((edges - locations[:, None]) / step).astype(int) + len(locations)
        ]
        return np.diff(below, axis=1, prepend=0, append=1)

    def describe(self) -> dict[str, Any]:
        """Facts for a report: rows, width, the line of `expected`, and how many groups stand on their own."""
        facts = {
            "n": len(self.residuals),
            "rms": self.rms,
            "slope": self.slope,
            "intercept": self.intercept,
        }
        if self.groups is not None:
            facts |= {
                "groups": len(set(self.groups)),
                "groups_with_own_intervals": sorted(self.own_groups),
            }
        return facts

    def warnings(self) -> list[str]:
        """What a reader of the intervals should know, as sentences."""
        found, n = [], len(self.residuals)
        if n < 19:
            found.append(
                f"intervals are learnt from {n} clips; those of 90 % need 19 to tell both tails apart."
            )
        if (self.slope, self.intercept) != (1, 0):
            found.append(
                f"scores are off on average; intervals and distributions stand around {self.intercept:.2f} + "
                f"{self.slope:.2f} * score."
            )
        small = sorted(set(self.groups or ()) - self.own_groups)
        if small and self.own_groups:
            found.append(
                f"{some(small)} have fewer than {MIN_ROWS} clips each; their intervals are those of all clips."
            )
        return found

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """All that `from_state` needs: facts for JSON, and named arrays."""
        facts = {
            "bins": asdict(self.bins),
            "groups": None if self.groups is None else list(self.groups),
            "slope": self.slope,
            "intercept": self.intercept,
        }
        return facts, {"residuals": self.residuals}

    @classmethod
    def from_state(
        cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> Calibration:
        """A calibration that answers as the saved one did, bit for bit.

        Raises
        ------
        DamagedArtifact
            when a fact or array is missing or does not fit the others.
        """
        try:
            bins, groups = ScoreBins(**facts["bins"]), facts["groups"]
            residuals, line = (
                np.asarray(arrays["residuals"]),
                (float(facts["slope"]), float(facts["intercept"])),
            )
            if (
                residuals.dtype != np.float64
                or residuals.ndim != 1
                or not len(residuals)
            ):
                raise ValueError(
                    f"residuals are {residuals.dtype} of shape {residuals.shape}"
                )
            if (
                not (np.abs(residuals) <= bins.high - bins.low).all()
                or not np.isfinite(line).all()
                or line[0] <= 0
            ):
                raise ValueError("residuals or the line are impossible on this scale")
            if groups is not None and not (
                len(groups) == len(residuals)
                and all(isinstance(g, str) for g in groups)
            ):
                raise ValueError("groups and residuals disagree")
            return cls(
                bins, residuals, None if groups is None else tuple(groups), *line
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedArtifact(
                f"The stored calibration is damaged ({error!r})."
            ) from error


def _bounds(residuals: np.ndarray, level: float) -> tuple[float, float]:
    """Least and largest residual of the interval: of n + 1 ranks, equally likely for a new one, it holds the share."""
    n = len(residuals)
    outside = int(
        np.floor((n + 1) * (1 - level) + 1e-9)
    )  # n + 1 less the ceil((n + 1) * level) ranks inside
    if outside < 2:
        reach = np.abs(residuals).max() if outside else np.inf
        return -reach, reach
    ordered, under = np.sort(residuals), outside // 2
    return ordered[under - 1], ordered[n - (outside - under)]


def _worthwhile_line(
    scores, truth, bins: ScoreBins
) -> tuple[float, float, np.ndarray] | None:
    """Slope, intercept and leave-one-out scores of truth on score; None where the score itself does about as well."""
    n, apart = len(scores), scores - scores.mean()
    if n < MIN_ROWS or not apart.any():
        return None
    slope = float(apart @ truth / (apart @ apart))
    intercept = float(truth.mean() - slope * scores.mean())
    leverage = 1 / n + apart**2 / (apart @ apart)
    error = (truth - intercept - slope * scores) / np.maximum(1 - leverage, 1 / n)
    unseen = np.clip(truth - error, bins.low, bins.high)
    gain = (truth - scores) ** 2 - (truth - unseen) ** 2
    if slope <= 0 or gain.mean() <= 2 * gain.std() / np.sqrt(n):
        return None
    return slope, intercept, unseen


def _score_list(scores, bins: ScoreBins) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise UsageError(
            f"Scores to calibrate are a list of finite numbers; got shape {scores.shape}, or NaN in it."
        )
    return np.clip(scores, bins.low, bins.high)
