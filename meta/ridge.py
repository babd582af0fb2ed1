"""Ridge regression on the bins of all base models: the paper's stack.

The trap: a penalty's size means nothing by itself; candidates follow the spread of the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV

from meta.features import Layout
from meta.learner import Learner, checked, features, stored

RIDGE_GRID = np.logspace(-6, 3, 28)
"""Ridge penalties to choose from, in units of the mean eigenvalue of the centred Gram matrix."""


class Ridge(Learner):
    """Linear regression on all bins, its penalty chosen by leave-one-clip-out error (DORA-MOS, III.D, has alpha = 1).

    The candidates are ``t * trace(Xc' Xc) / p`` for t in `RIDGE_GRID` and centred features Xc (n, p), so that they
    follow the number of clips and the spread of the predictions. Since each model's bins sum to 1 and the intercept is
    free, the coefficients of each model sum to 0.

    Attributes
    ----------
    coef_ : array of shape (p,)
    intercept_ : float
    warnings_ : list of str, e.g. when the choice lies at an end of the grid
    """

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> Ridge:
        """Choose the penalty on (n, p) features and (n,) scores, and fit on all of them."""
        X, y, weight, _ = checked(layout, X, y, sample_weight, groups)
        self.layout_, self.warnings_ = layout, []
        centred = X - np.average(X, axis=0, weights=weight)
        unit = float((weight[:, None] * centred**2).sum()) / X.shape[1]
        if len(X) < 3 or unit < 1e-12:
            self.coef_, self.intercept_ = np.zeros(X.shape[1]), float(np.average(y, weights=weight))
            self.facts_ = {"alpha": None, "n": len(X)}
            self.warnings_.append(
                f"ridge saw {len(X)} clips whose predictions tell nothing apart; it answers their mean."
            )
            return self
        chosen = RidgeCV(alphas=RIDGE_GRID * unit).fit(X, y, sample_weight=weight)
        self.coef_, self.intercept_ = np.asarray(chosen.coef_, dtype=np.float64), float(chosen.intercept_)
        step = int(np.argmin(np.abs(RIDGE_GRID * unit - chosen.alpha_)))
        self.facts_ = {
            "alpha": float(chosen.alpha_),
            "relative_alpha": float(RIDGE_GRID[step]),
            "at_edge": step in (0, len(RIDGE_GRID) - 1),
            "loo_mse": float(-chosen.best_score_),
            "n": len(X),
        }
        if self.facts_["at_edge"]:
            end, why = ("lower", "hardly any penalty") if step == 0 else ("upper", "nearly a constant answer")
            self.warnings_.append(f"ridge chose the {end} end of its penalty grid ({why}); distrust the fit.")
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped; the same for a row whatever stands beside it."""
        return (features(self.layout_, X) * self.coef_).sum(axis=1) + self.intercept_

    def describe(self) -> dict[str, Any]:
        """The penalty (absolute, and in units of the grid), its error, and the absolute coefficients per model."""
        blocks = np.abs(self.coef_).reshape(len(self.layout_.models), -1).sum(axis=1)
        return self.facts_ | {"weight_of": dict(zip(self.layout_.models, blocks.tolist(), strict=True))}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Coefficients and intercept."""
        return {"coef": self.coef_, "intercept": np.array([self.intercept_])}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.coef_ = stored(arrays, "coef", (self.layout_.n_features,))
        self.intercept_ = float(stored(arrays, "intercept", (1,))[0])
