"""Where the scatter of single ratings comes from: clips, prompts, raters, the rest.

Components are estimated by moments: quadratic forms of residuals are set equal to what
is expected of them, so that nothing is assumed of distributions, and any raters may
rate any clips.

Source: C. R. Rao, Estimation of variance and covariance components, MINQUE theory,
J. Multivariate Analysis 1 (1971), with zero prior weights; K. Gao and A. B. Owen,
Efficient moment calculations for variance components in large unbalanced crossed random
effects models, Electronic J. Statistics 11 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from meta.powered_means.rated_sample import RatedSample


@dataclass(frozen=True)
class VarianceComponents:
    """Variances of what a rating consists of, beside its system and prediction.

    Parameters
    ----------
    prompt : of a prompt, in all systems; 0 where no two rated clips share one
    clip : of a clip beyond its prompt, None where no clip has two ratings
    rater : of a rater in all systems
    rater_in_system : of a rater in one system, beyond `rater`
    error : of the rest; includes `clip` where that is None
    """

    prompt: float
    clip: float | None
    rater: float
    rater_in_system: float
    error: float

    @classmethod
    def fit(cls, sample: RatedSample, slope: float) -> VarianceComponents:
        """Estimate the components of ratings minus `slope` times the prediction.

        Parameters
        ----------
        sample : RatedSample
        slope : float
            What predictions are multiplied with; 0 for the ratings alone.
        """
        groups = _groups(sample)
        basis = _fixed_effects(sample, with_prediction=slope != 0)
        values = sample.ratings - slope * sample.predictions[sample.clip_of]
        residuals = values - basis @ (basis.T @ values)

        expected, observed = _moment_equations(groups, basis, residuals)
        # Some are confounded in some designs (one panel a system): the least squares
        # solution of least norm shares the variance out among them.
        solved = np.linalg.lstsq(expected, observed, rcond=1e-10)[0]
        found = dict(zip([*groups, "error"], np.maximum(solved, 0.0), strict=True))
        return cls(
            prompt=float(found.get("prompt", 0.0)),
            clip=float(found["clip"]) if "clip" in found else None,
            rater=float(found.get("rater", 0.0)),
            rater_in_system=float(found.get("rater_in_system", 0.0)),
            error=float(found["error"]),
        )

    @property
    def of_raters(self) -> float:
        """Variance of a rater within one system."""
        return self.rater + self.rater_in_system

    def clip_share(self, ratings_per_clip: float) -> float:
        """How much of the variance of a clip's mean rating is that of its true score.

        0 where no clip has two ratings, since nothing tells the two apart.
        """
        if self.clip is None:
            return 0.0
        truth = self.prompt + self.clip
        noise = (self.of_raters + self.error) / ratings_per_clip
        return truth / (truth + noise) if truth > 0 else 0.0

    def prompt_share(self, ratings_per_clip: float) -> float:
        """How much of the variance of a clip's mean rating its prompt brings."""
        rest = (self.of_raters + self.error) / ratings_per_clip
        if self.clip is not None:
            rest += self.clip
        return self.prompt / (self.prompt + rest) if self.prompt > 0 else 0.0


def _groups(sample: RatedSample) -> dict[str, np.ndarray]:
    """Which ratings share each random effect: codes of shape (R,) by its name."""
    groups = {}
    system = sample.system[sample.clip_of]
    if sample.shares_prompts:
        groups["prompt"] = _codes(sample.prompt_or_clip[sample.clip_of])
    if sample.ratings_per_clip.max(initial=0) > 1:
        groups["clip"] = _codes(sample.clip_of)
    if sample.rater is not None and np.bincount(sample.rater).max(initial=0) > 1:
        groups["rater"] = _codes(sample.rater)
        groups["rater_in_system"] = _codes(sample.rater * sample.n_systems + system)
    return groups


def _codes(values: np.ndarray) -> np.ndarray:
    return np.unique(values, return_inverse=True)[1]


def _fixed_effects(sample: RatedSample, *, with_prediction: bool) -> np.ndarray:
    """Orthonormal columns of what is no chance, of shape (R, S) or (R, S + 1).

    They are the S rated systems and, where it was fitted, the slope.
    """
    system = _codes(sample.system[sample.clip_of])
    counts = np.bincount(system)
    columns = np.zeros((len(system), len(counts) + int(with_prediction)))
    columns[np.arange(len(system)), system] = 1 / np.sqrt(counts[system])
    if with_prediction:
        predictions = sample.predictions[sample.clip_of]
        means = np.bincount(system, weights=predictions) / counts
        centred = predictions - means[system]
        columns[:, -1] = centred / np.linalg.norm(centred)
    return columns


def _moment_equations(
    groups: dict[str, np.ndarray], basis: np.ndarray, residuals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expected and observed sums of squares of group sums; the error stands last.

    With M the projection onto residuals, the expectation of ||Z_k' M y||^2 is the sum
    over components l of their variance times ||Z_k' M Z_l||^2 (Frobenius).
    """
    n = len(residuals)
    rows = np.arange(n)
    members = [
        sparse.csr_matrix((np.ones(n), (rows, codes))) for codes in groups.values()
    ]
    members.append(sparse.identity(n, format="csr"))

    loads = [member.T @ basis for member in members]
    grams = [load.T @ load for load in loads]
    expected = np.empty((len(members), len(members)))
    for k, first in enumerate(members):
        for other in range(k, len(members)):
            counts = (first.T @ members[other]).tocsr()
            # ||C - A B'||^2 without forming A B', which is dense.
            cross = np.sum(loads[k] * (counts @ loads[other]))
            square = (
                counts.power(2).sum() - 2 * cross + np.sum(grams[k] * grams[other].T)
            )
            expected[k, other] = expected[other, k] = square
    observed = np.array([np.sum((member.T @ residuals) ** 2) for member in members])
    return expected, observed
