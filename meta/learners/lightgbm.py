"""LightGBM on the bins of all base models, kept as arrays.

The trap: boosted trees fit a few hundred rows by heart; these are small, and stop where held-out groups stop gaining.
Rows are merged and sorted first (`meta.learners.inner_folds`), and leaves are limited by weight and not by rows, so that a weight of 2
is a row given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact, StackedMOSError
from meta.columns.feature_table import Layout
from meta.learners.base import Learner, checked, features
from meta.learners.inner_folds import grouped_folds, merged_rows
from meta.learners.tree_arrays import TreeArrays

MOST_TREES = 300
FEWEST_ROWS = 20
"""Fewer distinct rows, or a single group, leave none to hold out: then 50 trees are grown."""
_PATIENCE = 30


class LightGBM(Learner):
    """Boosted trees of 7 leaves, each on 30 % of the bins and 80 % of the rows, their number chosen on held-out groups.

    A quarter of the groups is held out; the number of trees with the least error there (at most 300) is grown on all
    rows. The published system ran LightGBM's defaults, which reached 0.999 SRCC on the rows it was fitted on (DORA-MOS,
    section III.D). The trees are kept as `TreeArrays`; fitting fails if those do not answer as LightGBM does, bit for
    bit.

    Parameters
    ----------
    random_state : int, seed of the bags of rows and bins
    missing : one of `meta.columns.missing_predictions.MISSING`
    """

    def __init__(self, random_state: int = 0, missing: str = "refuse"):
        self.random_state = random_state
        self.missing = missing

    def fit(self, X, y, layout: Layout, sample_weight=None, groups=None) -> LightGBM:
        """Choose the number of trees, and grow them on all rows; see `Learner.fit`."""
        rows = merged_rows(
            layout, *checked(layout, X, y, sample_weight, groups, self.missing)
        )
        X, y, weight, group = rows
        columns = _columns_by_name(layout)
        X = np.ascontiguousarray(X[:, columns])
        self.layout_, self.warnings_ = layout, []
        held = grouped_folds(y, weight, group, 4) == 0
        choosable = len(y) >= FEWEST_ROWS and not held.all()
        count = self._count(X, y, weight, held) if choosable else 50
        booster = self._train(X, y, weight, count)
        trees = TreeArrays.from_booster(booster)
        if not np.array_equal(trees.predict(X), booster.predict(X)):
            raise StackedMOSError(
                "LightGBM's trees answer otherwise as arrays; this version of LightGBM cannot be kept."
            )
        self.trees_ = replace(
            trees, feature=np.where(trees.feature < 0, -1, columns[trees.feature])
        )
        self.facts_ = {
            "trees": len(trees.roots),
            "held_out": int(held.sum()) if choosable else 0,
            "n": len(X),
        }
        if (trees.feature < 0).sum() == len(trees.roots):
            self.warnings_.append(
                f"lightgbm found nothing to split in {len(X)} clips; it answers their mean."
            )
        return self

    def _count(self, X, y, weight, held) -> int:
        """Number of trees with the least error on the rows held out."""
        booster = self._train(
            X[~held],
            y[~held],
            weight[~held],
            MOST_TREES,
            (X[held], y[held], weight[held]),
        )
        return max(booster.best_iteration, 1)

    def _train(self, X, y, weight, count: int, judge=None):
        """A booster of `count` trees; with rows to judge on, it may stop before."""
        import lightgbm

        smallest_leaf = float(np.clip(weight.sum() / 15, 2, 20))
        params = {
            "objective": "regression",
            "metric": "l2",
            "num_leaves": 7,
            "min_data_in_leaf": 1,
            "min_sum_hessian_in_leaf": smallest_leaf,  # for squared error, the weight of a leaf's rows
            "min_data_in_bin": 1,
            "max_bin": 63,  # as good as 255 for probabilities, and twice as fast
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
        data = lightgbm.Dataset(X, y, weight=weight)
        if judge is None:
            return lightgbm.train(params, data, num_boost_round=count)
        judged = lightgbm.Dataset(judge[0], judge[1], weight=judge[2], reference=data)
        stop = lightgbm.early_stopping(_PATIENCE, verbose=False)
        return lightgbm.train(
            params, data, num_boost_round=count, valid_sets=[judged], callbacks=[stop]
        )

    def predict(self, X) -> np.ndarray:
        """Scores of shape (n,), unclipped."""
        return self.trees_.predict(features(self.layout_, X, self.missing))

    def describe(self) -> dict[str, Any]:
        """Number of trees, rows held out to choose it, and how many splits look at each model."""
        used = self.trees_.feature[self.trees_.feature >= 0] // self.layout_.bins.count
        splits = np.bincount(used, minlength=len(self.layout_.models))
        return self.facts_ | {
            "splits_on": dict(zip(self.layout_.models, splits.tolist(), strict=True))
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The trees."""
        return self.trees_.to_arrays()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.trees_ = TreeArrays.from_arrays(arrays)
        if self.trees_.n_features != self.layout_.n_features:
            raise DamagedArtifact(
                f"The stored trees look at {self.trees_.n_features} features; the stack has {self.layout_.n_features}."
            )


def _columns_by_name(layout: Layout) -> np.ndarray:
    """Columns in order of the models' names, since bags of bins are drawn by column number."""
    return layout.blocks(np.arange(layout.n_features)[None])[
        0, np.argsort(layout.models)
    ].reshape(-1)
