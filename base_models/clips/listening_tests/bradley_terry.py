"""Bradley-Terry scores of votes on pairs, with ties by Davidson's model.

In the model of R. A. Bradley and M. E. Terry (Biometrika 39, 1952) item i wins against
j with probability ``1 / (1 + exp(score_j - score_i))``. R. R. Davidson (JASA 65, 1970)
adds ties: the odds of win, loss and tie are ``exp(score_i)``, ``exp(score_j)`` and
``exp(tie + (score_i + score_j) / 2)``. The log-likelihood is concave in all of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from base_models.errors import UsageError

MAX_ITEMS = 3000
"""The fit holds a dense matrix of items by items."""

LEVEL = 0.95
"""Coverage of the intervals."""

_PRIOR_VOTES = 0.5


@dataclass(frozen=True)
class Votes:
    """Votes on pairs of items.

    Parameters
    ----------
    first, second : int arrays of shape (n,), items 0 .. n_items - 1
    outcome : int array of shape (n,): 1 where the first won, -1 where the second did, 0
        for a tie
    n_items : int
    """

    first: np.ndarray
    second: np.ndarray
    outcome: np.ndarray
    n_items: int


@dataclass(frozen=True)
class BradleyTerry:
    """Fitted scores.

    Parameters
    ----------
    logits : float64 array of shape (n_items,): log-odds of winning against an item of
        score 0; where all items are compared, their mean is 0
    errors : their standard errors, of the inverse Hessian; votes count as independent
    tie : log-odds of a tie between equals against a win; None where nobody tied
    groups : int array of shape (n_items,); items of different groups were never
        compared, not even by way of others
    is_regularised : whether the scores of largest likelihood may be infinite (some
        items never lost to any of the others, or were never compared with them), so
        that each item was given half a win and half a loss against an item of score 0
    """

    logits: np.ndarray
    errors: np.ndarray
    tie: float | None
    groups: np.ndarray
    is_regularised: bool

    @classmethod
    def fit(cls, votes: Votes) -> BradleyTerry:
        """Fit by maximum likelihood.

        Raises
        ------
        UsageError
            when there are fewer than two items, or more than `MAX_ITEMS`.
        """
        # Imported here, since they take long and most tables hold no votes.
        from scipy.optimize import minimize
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = votes.n_items
        if n < 2 or n > MAX_ITEMS:
            raise UsageError(
                f"Bradley-Terry scores are fitted to 2..{MAX_ITEMS} items; the votes "
                f"compare {n}."
            )
        won = np.where(votes.outcome >= 0, votes.first, votes.second)
        lost = np.where(votes.outcome >= 0, votes.second, votes.first)
        is_tie = votes.outcome == 0
        compared = coo_array((np.ones(len(won)), (won, lost)), shape=(n, n))
        _, groups = connected_components(compared, connection="weak")
        # Ford (1957): finite scores need that no items win all votes against others.
        # Ties do not do, since their own parameter may grow with the scores.
        pairs = (won[~is_tie], lost[~is_tie])
        wins = coo_array((np.ones(len(pairs[0])), pairs), shape=(n, n))
        n_strong, _ = connected_components(wins, connection="strong")
        prior = _PRIOR_VOTES if n_strong > 1 else 0.0
        likelihood = _Likelihood(votes, prior)
        fitted = minimize(
            likelihood.value,
            np.zeros(likelihood.n_parameters),
            jac=likelihood.gradient,
            hess=likelihood.hessian,
            method="trust-exact",
            options={"gtol": 1e-8, "maxiter": 1000},
        )
        covariance = np.linalg.inv(likelihood.hessian(fitted.x))
        variances = np.diag(covariance)[:n].copy()
        # The term that holds the mean at 0 adds to every variance what it says of it.
        if not prior:
            variances -= 1 / n**2
        return cls(
            logits=fitted.x[:n],
            errors=np.sqrt(np.clip(variances, 0, None)),
            tie=float(fitted.x[n]) if likelihood.has_ties else None,
            groups=groups,
            is_regularised=n_strong > 1,
        )

    @property
    def scores(self) -> np.ndarray:
        """Probability of winning against an item of score 0, ties aside: 0..1."""
        return _logistic(self.logits)

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of `scores` of `LEVEL`, by the normal distribution."""
        from scipy.stats import norm

        half_width = norm.ppf((1 + LEVEL) / 2) * self.errors
        return _logistic(self.logits - half_width), _logistic(self.logits + half_width)


class _Likelihood:
    """Negative log-likelihood of scores and the log-odds of ties."""

    def __init__(self, votes: Votes, prior: float) -> None:
        self.votes = votes
        self.prior = prior
        self.has_ties = bool((votes.outcome == 0).any())
        self.n_parameters = votes.n_items + self.has_ties
        # Row k holds how much each parameter adds to the log-odds of outcome k.
        chosen = {1: 0, -1: 1, 0: 2}
        self.chosen = np.array([chosen[int(one)] for one in votes.outcome])

    def _odds(self, parameters: np.ndarray) -> np.ndarray:
        """Log-odds of win, loss and tie per vote, shape (n, 2 or 3)."""
        first = parameters[self.votes.first]
        second = parameters[self.votes.second]
        if not self.has_ties:
            return np.stack([first, second], axis=1)
        tie = parameters[-1] + (first + second) / 2
        return np.stack([first, second, tie], axis=1)

    def _probabilities(self, parameters: np.ndarray) -> np.ndarray:
        odds = self._odds(parameters)
        powers = np.exp(odds - odds.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def value(self, parameters: np.ndarray) -> float:
        """Negative log-likelihood, with the prior or with what holds the mean at 0."""
        probabilities = self._probabilities(parameters)
        rows = np.arange(len(self.chosen))
        fit = -np.log(np.maximum(probabilities[rows, self.chosen], 1e-300)).sum()
        scores = parameters[: self.votes.n_items]
        if self.prior:
            # Minus the logarithms of winning and of losing against a score of 0.
            both = np.logaddexp(0, scores) + np.logaddexp(0, -scores)
            fit += self.prior * both.sum()
            if self.has_ties:
                # Likewise of a tie and of none between equals.
                share = np.logaddexp(np.log(2), parameters[-1])
                fit += self.prior * (2 * share - parameters[-1] - np.log(2))
            return float(fit)
        return float(fit + scores.sum() ** 2 / 2)

    def gradient(self, parameters: np.ndarray) -> np.ndarray:
        """Its derivatives, shape (n_parameters,)."""
        residuals = self._probabilities(parameters)
        residuals[np.arange(len(self.chosen)), self.chosen] -= 1
        by_first = residuals[:, 0].copy()
        by_second = residuals[:, 1].copy()
        slopes = np.zeros(self.n_parameters)
        if self.has_ties:
            by_first += residuals[:, 2] / 2
            by_second += residuals[:, 2] / 2
            slopes[-1] = residuals[:, 2].sum()
        np.add.at(slopes, self.votes.first, by_first)
        np.add.at(slopes, self.votes.second, by_second)

        n = self.votes.n_items
        scores = parameters[:n]
        if self.prior:
            slopes[:n] += self.prior * (2 * _logistic(scores) - 1)
            if self.has_ties:
                slopes[-1] += self.prior * (2 * _tie_share(parameters[-1]) - 1)
        else:
            slopes[:n] += scores.sum()
        return slopes

    def hessian(self, parameters: np.ndarray) -> np.ndarray:
        """Its second derivatives: covariances of what each outcome adds, summed."""
        probabilities = self._probabilities(parameters)
        n_votes = len(self.chosen)
        # What win, loss and tie add to the scores of both items, and to ties.
        adds = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 1.0]])
        adds = adds[: probabilities.shape[1]]
        means = probabilities @ adds
        products = np.einsum("nk,ki,kj->nij", probabilities, adds, adds)
        covariances = products - means[:, :, None] * means[:, None, :]

        n = self.votes.n_items
        places = np.stack(
            [self.votes.first, self.votes.second, np.full(n_votes, n)], axis=1
        )
        n_used = 3 if self.has_ties else 2
        curvature = np.zeros((self.n_parameters, self.n_parameters))
        for row in range(n_used):
            for column in range(n_used):
                where = (places[:, row], places[:, column])
                np.add.at(curvature, where, covariances[:, row, column])
        scores = parameters[:n]
        if self.prior:
            winning = _logistic(scores)
            diagonal = np.arange(n)
            curvature[diagonal, diagonal] += 2 * self.prior * winning * (1 - winning)
            if self.has_ties:
                tied = _tie_share(parameters[-1])
                curvature[-1, -1] += 2 * self.prior * tied * (1 - tied)
        else:
            curvature[:n, :n] += 1
        return curvature


def _tie_share(tie: float) -> float:
    """Probability of a tie between equals."""
    return float(_logistic(np.array(tie - np.log(2))))


def _logistic(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(values, dtype=np.float64)))


def encode(
    first: Sequence[str], second: Sequence[str], outcome: Sequence[int]
) -> tuple[Votes, list[str]]:
    """Votes on names, and the names in order of first appearance."""
    number_of: dict[str, int] = {}
    for pair in zip(first, second, strict=True):
        for name in pair:
            number_of.setdefault(name, len(number_of))
    votes = Votes(
        first=np.array([number_of[name] for name in first], dtype=np.int64),
        second=np.array([number_of[name] for name in second], dtype=np.int64),
        outcome=np.asarray(outcome, dtype=np.int64),
        n_items=len(number_of),
    )
    return votes, list(number_of)
