"""LightGBM on the bins of all base models, kept as arrays.

The trap: boosted trees fit a few hundred rows by heart; these are held back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact, StackedMOSError
from meta.features import Layout
from meta.learner import Learner, checked, features
from meta.trees import TreeArrays


class LightGBM(Learner):
    """Boosted trees, held back for a few hundred rows: 150 trees of 7 leaves, each on 30 % of the bins.

    The published system ran LightGBM's defaults, which reached 0.999 SRCC on the rows it was fitted on (DORA-MOS,
    section III.D).
    The trees are kept as `TreeArrays`; fitting fails if those do not answer as LightGBM does, bit for bit.
    """

    def __init__(self, random_state: int = 0):
        self.random_state = random_state

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> LightGBM:
        """Fit on (n, p) features and (n,) scores."""
        import lightgbm

        X, y, weight, _ = checked(layout, X, y, sample_weight, groups)
        self.layout_ = layout
        smallest_leaf = int(np.clip(len(X) // 15, 2, 20))
        params = {
            "objective": "regression",
            "num_leaves": 7,
            "min_data_in_leaf": smallest_leaf,
            "min_data_in_bin": min(3, smallest_leaf),
            "learning_rate": 0.05,
            "lambda_l2": 1.0,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.8,
            "bagging_freq": 1 if len(X) >= 10 else 0,  # a bag of fewer may be empty
            "seed": self.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "num_threads": 1,
            "verbosity": -1,
        }
        booster = lightgbm.train(params, lightgbm.Dataset(X, y, weight=weight), num_boost_round=150)
        self.trees_ = TreeArrays.from_booster(booster)
        if not np.array_equal(self.trees_.predict(X), booster.predict(X)):
            raise StackedMOSError(
                "LightGBM's trees answer otherwise as arrays; this version of LightGBM cannot be kept."
            )
        self.facts_ = {"trees": len(self.trees_.roots), "min_data_in_leaf": smallest_leaf, "n": len(X)}
        self.warnings_ = []
        if (self.trees_.feature < 0).sum() == len(self.trees_.roots):
            self.warnings_.append(f"lightgbm found nothing to split in {len(X)} clips; it answers their mean.")
        return self

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        return self.trees_.predict(features(self.layout_, X))

    def describe(self) -> dict[str, Any]:
        """Number of trees, smallest leaf, and how many splits look at each model."""
        used = self.trees_.feature[self.trees_.feature >= 0] // self.layout_.bins.count
        splits = np.bincount(used, minlength=len(self.layout_.models))
        return self.facts_ | {"splits_on": dict(zip(self.layout_.models, splits.tolist(), strict=True))}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The trees."""
        return self.trees_.to_arrays()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.trees_ = TreeArrays.from_arrays(arrays)
        if self.trees_.n_features != self.layout_.n_features:
            raise DamagedArtifact(
                f"The stored trees look at {self.trees_.n_features} features; the stack has {self.layout_.n_features}."
            )
