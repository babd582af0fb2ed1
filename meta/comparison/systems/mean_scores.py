"""Mean scores of systems and their differences, as sure as their clips make them.

Clips are a sample of what a system makes, and prompts of what it may be asked for.
Clips of one prompt are alike, so that prompts are what is counted: the variance of a
mean is that of the sums over its prompts. Two systems that were given the same prompts
are compared prompt by prompt, and what the prompts bring cancels.

Sources: W. G. Cochran, Sampling Techniques (1977), section 9A (means of clusters); for
systems with few prompts, `meta.powered_means.moderated_variances`; degrees of freedom
as of B. L. Welch, Biometrika 34 (1947).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from meta.powered_means.moderated_variances import moderated
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.system_estimates import Estimate

LEAST_PAIRS = 2
"""Shared prompts below which nothing is paired."""
LEAST_SHARE = 0.5
"""Of the prompts of the system with fewer, that both have to share to be paired."""


@dataclass(frozen=True)
class Part:
    """A variance and its degrees of freedom."""

    variance: float
    freedom: float = np.inf


def estimate_of(value: float, parts: Sequence[Part]) -> Estimate:
    """A number whose variance is the sum of independent parts.

    Its degrees of freedom are Satterthwaite's. The deviation is NaN where a part is not
    known, and where there is none at all: a few equal scores do not show that all are.
    """
    variance = sum(part.variance for part in parts)
    if not variance > 0:
        return Estimate(value, deviation=np.nan, freedom=1.0)
    weight = sum(part.variance**2 / part.freedom for part in parts)
    freedom = variance**2 / weight if weight > 0 else np.inf
    return Estimate(value, deviation=float(np.sqrt(variance)), freedom=freedom)


@dataclass(frozen=True)
class Difference:
    """The mean score of one system minus that of another, and what it was made from.

    Parameters
    ----------
    value : float
    part : Part
        Its variance over clips and prompts.
    paired : bool
        Whether clips of the same prompts were compared.
    n_pairs : int
        Prompts that both systems have.
    size : float
        Prompts of each system; of unequal numbers, their harmonic mean.
    spread : float
        Variance of the difference of two clips, one of each system.
    """

    value: float
    part: Part
    paired: bool
    n_pairs: int
    size: float
    spread: float


class MeanScores:
    """The mean scores of the S systems of a sample, and their differences.

    Parameters
    ----------
    sample : RatedSample
        Its predictions are the scores; ratings are not looked at.

    Attributes
    ----------
    means : array of shape (S,)
    cells : Cells
        The clips of each system and prompt.
    parts : list of S Part
        Of the means, over clips and prompts; NaN where one prompt tells nothing of it
        and there is no other system to borrow from.
    """

    def __init__(self, sample: RatedSample) -> None:
        self.sample = sample
        self.means = sample.system_means(
            sample.predictions, np.ones(len(sample.predictions))
        )
        cells = Cells.of(sample)
        self.cells = cells
        # Each prompt's part of the error of its system's mean.
        share = cells.counts / sample.clips_per_system[cells.system]
        centred = (cells.means - self.means[cells.system]) * share
        self._centred = centred
        n_prompts = np.bincount(cells.system, minlength=sample.n_systems)
        sums = np.bincount(cells.system, weights=centred**2, minlength=len(n_prompts))
        # Of sums over prompts, not of their mean: so that systems with different
        # numbers of prompts can lend each other variance.
        freedom = np.maximum(n_prompts - 1, 0).astype(float)
        variances, known = moderated(sums * n_prompts**2, freedom)
        self.parts = [
            Part(float(variance / n), float(of))
            for variance, of, n in zip(variances, known, n_prompts, strict=True)
        ]
        self._n_prompts = n_prompts
        self._differences: dict[tuple[int, int], Difference] = {}
        self._of_clips = _variances_of_clips(sample, self.means)

    def mean(self, system: int) -> Estimate:
        """The mean score of a system, over its clips and prompts."""
        return estimate_of(float(self.means[system]), [self.parts[system]])

    def difference(self, a: int, b: int) -> Difference:
        """The mean score of system `b` minus that of `a`."""
        if (a, b) not in self._differences:
            self._differences[a, b] = self._difference(a, b)
        return self._differences[a, b]

    def _difference(self, a: int, b: int) -> Difference:
        of_a = self.cells.of_system(a)
        of_b = self.cells.of_system(b)
        in_a, in_b = self.cells.shared(a, b)
        fewer = min(len(of_a), len(of_b))
        if len(in_a) >= max(LEAST_PAIRS, LEAST_SHARE * fewer):
            return _paired(self.cells.means[in_b] - self.cells.means[in_a])
        # What the few shared prompts bring to both means is no difference.
        common = float(np.sum(self._centred[in_a] * self._centred[in_b]))
        common *= _inflation(len(of_a), len(of_b))
        return self._unpaired(a, b, common=common, n_shared=len(in_a))

    def _unpaired(self, a: int, b: int, *, common: float, n_shared: int) -> Difference:
        """A difference of two means whose clips have little to do with each other."""
        parts = [self.parts[a], self.parts[b]]
        both = parts[0].variance + parts[1].variance
        weight = sum(part.variance**2 / max(part.freedom, 1.0) for part in parts)
        # A small sample must not make a difference certain.
        variance = max(both - 2 * common, 0.1 * both) if n_shared else both
        freedom = both**2 / weight if weight > 0 else np.inf
        counts = self._n_prompts[[a, b]]
        return Difference(
            value=float(self.means[b] - self.means[a]),
            part=Part(float(variance), float(freedom)),
            paired=False,
            n_pairs=n_shared,
            size=float(2 / np.sum(1 / counts)),
            spread=float(self._of_clips[a] + self._of_clips[b]),
        )


@dataclass(frozen=True, eq=False)
class Cells:
    """The clips of each system and prompt together.

    Parameters
    ----------
    system, prompt : int arrays of shape (C,)
    cell_of : int array of shape (N,), the cell of each clip
    counts : int array of shape (C,), of clips
    means : array of shape (C,), of their scores
    """

    system: np.ndarray
    prompt: np.ndarray
    cell_of: np.ndarray
    counts: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, sample: RatedSample) -> Cells:
        """The cells of all clips; a clip without a prompt is a cell by itself."""
        width = int(sample.prompt_or_clip.max(initial=0)) + 1
        keys = sample.system.astype(np.int64) * width + sample.prompt_or_clip
        cells, cell_of = np.unique(keys, return_inverse=True)
        counts = np.bincount(cell_of)
        return cls(
            system=cells // width,
            prompt=cells % width,
            cell_of=cell_of,
            counts=counts,
            means=np.bincount(cell_of, weights=sample.predictions) / counts,
        )

    def of_system(self, system: int) -> np.ndarray:
        """Places of the cells of a system, which are next to each other."""
        start, stop = np.searchsorted(self.system, [system, system + 1])
        return np.arange(start, stop)

    def shared(self, a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """Places of the cells of two systems that are of the same prompts."""
        of_a = self.of_system(a)
        of_b = self.of_system(b)
        # Prompts of a system are in order, each once.
        _, in_a, in_b = np.intersect1d(
            self.prompt[of_a],
            self.prompt[of_b],
            assume_unique=True,
            return_indices=True,
        )
        return of_a[in_a], of_b[in_b]

    def averages(self, values: np.ndarray) -> np.ndarray:
        """Means over the clips of each cell: (N, m) to (C, m)."""
        rows = np.arange(len(self.cell_of))
        member = sparse.csr_matrix((np.ones(len(rows)), (self.cell_of, rows)))
        return np.asarray(member @ values) / self.counts[:, None]


def _paired(gaps: np.ndarray) -> Difference:
    """The mean of differences within prompts, an array of shape (prompts,)."""
    n = len(gaps)
    variance = float(np.var(gaps, ddof=1))
    return Difference(
        value=float(gaps.mean()),
        part=Part(variance / n, freedom=n - 1.0),
        paired=True,
        n_pairs=n,
        size=float(n),
        spread=variance,
    )


def _inflation(n_a: int, n_b: int) -> float:
    """Makes up for what centring takes from a covariance."""
    return float(np.sqrt(n_a * n_b / max((n_a - 1) * (n_b - 1), 1)))


def _variances_of_clips(sample: RatedSample, means: np.ndarray) -> np.ndarray:
    """Variance of the scores of each system's clips, 0 of a single one."""
    squares = (sample.predictions - means[sample.system]) ** 2
    sums = np.bincount(sample.system, weights=squares, minlength=sample.n_systems)
    return sums / np.maximum(sample.clips_per_system - 1, 1)
