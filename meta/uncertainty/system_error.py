"""How far the mean prediction of a system lies from its true mean, as systems go.

More clips make the mean prediction of a system surer, but not truer: a stack that likes
the sound of a vocoder likes it in every clip. What is left of the error however many
clips there are is learnt here, from systems that were left out of the fit. It is what a
comparison of systems that nobody has rated has to count beside its clips.

The errors of n clips of a system (label minus out-of-fold score) have a mean, whose
variance over systems is that of the system's own error plus that of n clips' errors.
The second is known from errors within systems. The first follows from both by its
posterior with a flat prior of the standard deviation, which, unlike the difference of
two estimates, is never 0 by chance.

Source: A. Gelman, Prior distributions for variance parameters in hierarchical models,
Bayesian Analysis 1 (2006), section 3.2 (flat prior of the standard deviation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

_STEPS = 4000
"""Of the grid on which the posterior is summed."""


@dataclass(frozen=True)
class SystemLevelError:
    """The error of the mean prediction of a system that was not fitted on.

    Parameters
    ----------
    variance : float
        In squared score points, over systems, of infinitely many clips each. With
        `freedom` it is the scale of Student's t.
    freedom : float
        Its degrees of freedom.
    bias : float
        Mean error over systems, label minus score, in score points. It cancels in
        differences of systems.
    n_systems : int
        Systems that it was learnt from.
    """

    variance: float
    freedom: float
    bias: float
    n_systems: int

    @classmethod
    def fit(
        cls, errors: np.ndarray, systems: np.ndarray, width: float
    ) -> SystemLevelError | None:
        """Learn from clips of systems that were left out of the fit as a whole.

        Parameters
        ----------
        errors : array of shape (n,)
            Label minus score, in score points. The noise of labels counts as error of
            clips; what a panel of raters adds to all clips of a system cannot be told
            from the error of the stack, and makes it look larger.
        systems : array of shape (n,)
            Names.
        width : float
            Of the scale: no standard deviation is larger than half of it.

        Returns
        -------
        error : SystemLevelError, or None of fewer than two systems
        """
        names, codes = np.unique(systems, return_inverse=True)
        n_systems = len(names)
        if n_systems < 2:
            return None
        counts = np.bincount(codes)
        means = np.bincount(codes, weights=errors) / counts
        of_means = float(np.var(means, ddof=1))

        # What errors of single clips bring into the means; with one clip of each
        # system nothing tells the two apart, and all counts as the system's.
        noise = 0.0
        n_within = len(errors) - n_systems
        if n_within > 0:
            within = np.sum((errors - means[codes]) ** 2) / n_within
            noise = float(within * np.mean(1 / counts))

        variance, freedom = _posterior(of_means, noise, n_systems, width=width)
        return cls(variance, freedom, float(means.mean()), n_systems)

    def on_scale(self, factor: float) -> SystemLevelError:
        """The same for scores that are multiplied by a factor."""
        return replace(
            self, variance=self.variance * factor**2, bias=self.bias * factor
        )

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> SystemLevelError:
        """What `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            When something is missing, or cannot be.
        """
        found = cls(
            variance=float(facts["variance"]),
            freedom=float(facts["freedom"]),
            bias=float(facts["bias"]),
            n_systems=int(facts["n_systems"]),
        )
        is_finite = np.isfinite([found.variance, found.freedom, found.bias]).all()
        if not is_finite or found.variance < 0 or found.freedom <= 0:
            raise ValueError("the error on systems is no variance")
        return found


def _posterior(
    of_means: float, noise: float, n_systems: int, width: float
) -> tuple[float, float]:
    """Squared scale and freedom of the t distribution with the posterior's moments.

    Parameters
    ----------
    of_means : variance of the mean errors of `n_systems` systems
    noise : what errors of clips contribute to it
    width : of the scale
    """
    # Finer where deviations are small, as their squares are what counts.
    deviations = width / 2 * np.linspace(0, 1, _STEPS + 1)[1:] ** 2
    squares = deviations**2
    totals = squares + noise
    log_density = -(n_systems - 1) / 2 * (np.log(totals) + of_means / totals)
    # The grid is not even: each value stands for its part of the line.
    weights = np.exp(log_density - log_density.max()) * np.sqrt(deviations)
    weights /= weights.sum()

    mean = float(weights @ squares)
    spread = float(weights @ (squares - mean) ** 2)
    # A scaled inverse chi-square with these two moments.
    freedom = 4 + 2 * mean**2 / max(spread, 1e-12 * mean**2)
    return mean * (freedom - 2) / freedom, float(freedom)
