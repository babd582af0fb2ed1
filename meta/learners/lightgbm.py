"""LightGBM on the bins of all base models, kept as arrays.

Boosted trees easily fit a few hundred rows by heart, so these are small, and stop
growing where held-out groups stop gaining. Rows are merged and sorted first (see
`meta.learners.inner_folds`), and leaves are limited by weight and not by rows, so that
a weight of 2 is a row given twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DamagedArtifact, StackedMOSError
from meta.columns.feature_table import Layout
from meta.learners.base import GroupNames, Learner, check_features, check_fit_inputs
from meta.learners.inner_folds import MergedRows, grouped_folds, merged_rows
from meta.learners.tree_arrays import TreeArrays

if TYPE_CHECKING:
    from lightgbm import Booster

MOST_TREES = 300
# With fewer distinct rows, or a single group, none are held out to choose the number of
# trees, and a fixed number is grown.
FEWEST_ROWS = 20
FIXED_TREES = 50
# Trees that are grown without a gain on the held-out rows before growing stops.
_PATIENCE = 30


class LightGBM(Learner):
    """Boosted trees of 7 leaves, their number chosen on held-out groups.

    Each tree sees 30 % of the bins and 80 % of the rows. A quarter of the groups is
    held out; the number of trees with the least error there (at most 300) is grown on
    all rows. The published system ran LightGBM's defaults, which reached 0.999 SRCC on
    the rows it was fitted on (DORA-MOS, section III.D).

    The trees are kept as `TreeArrays`; fitting fails if those do not predict as
    LightGBM does, bit for bit.

    Parameters
    ----------
    random_state : int, seed of the bags of rows and bins
    missing : one of `meta.columns.missing_predictions.MISSING`

    Attributes
    ----------
    trees_ : TreeArrays
    """

    trees_: TreeArrays

    def __init__(self, random_state: int = 0, missing: str = "refuse"):
        self.random_state = random_state
        self.missing = missing

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> LightGBM:
        """Choose the number of trees, and grow them on all rows; see `Learner.fit`."""
        inputs = check_fit_inputs(
            layout,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            missing=self.missing,
        )
        rows = merged_rows(layout, inputs)

        # Trees are grown on columns in order of the models' names, since bags of bins
        # are drawn by column number.
        columns = _columns_by_model_name(layout)
        by_name = np.ascontiguousarray(rows.X[:, columns])
        rows = replace(rows, X=by_name)

        # One of four folds is held out; a single group leaves nothing to fit on.
        held = grouped_folds(rows, n_folds=4) == 0
        has_other_folds = not held.all()
        can_hold_out = len(rows) >= FEWEST_ROWS and has_other_folds
        n_trees = FIXED_TREES
        n_held_out = 0
        if can_hold_out:
            n_trees = self._choose_n_trees(rows, held)
            n_held_out = int(held.sum())

        # A leaf has -1 for its feature.
        trees = self._grow(rows, n_trees)
        is_leaf = trees.feature < 0
        layout_column = columns[trees.feature]
        in_layout_order = np.where(is_leaf, -1, layout_column)
        self.layout_ = layout
        self.trees_ = replace(trees, feature=in_layout_order)
        self.facts_ = {
            "trees": len(trees.roots),
            "held_out": n_held_out,
            "n": len(rows),
        }
        self.warnings_ = []

        only_leaves = is_leaf.sum() == len(trees.roots)
        if only_leaves:
            self.warnings_.append(
                f"lightgbm found nothing to split in {len(rows)} clips; it predicts "
                "their mean."
            )
        return self

    def _choose_n_trees(self, rows: MergedRows, held: np.ndarray) -> int:
        """Return the number of trees with the least error on the rows held out."""
        train = rows.take(~held)
        validation = rows.take(held)
        booster = self._train(train, MOST_TREES, validation=validation)
        # Not above 0 when training ended before any tree helped.
        return max(booster.best_iteration, 1)

    def _grow(self, rows: MergedRows, n_trees: int) -> TreeArrays:
        booster = self._train(rows, n_trees)
        trees = TreeArrays.from_booster(booster)

        # The arrays are what predicts from now on; that they are right is checked on
        # the very rows of the fit.
        expected = booster.predict(rows.X)
        predicted = trees.predict(rows.X)
        if not np.array_equal(predicted, expected):
            raise StackedMOSError(
                "LightGBM's trees predict otherwise as arrays; models of this version "
                "of LightGBM cannot be kept."
            )
        return trees

    def _train(
        self,
        rows: MergedRows,
        n_trees: int,
        validation: MergedRows | None = None,
    ) -> Booster:
        """Train a booster of `n_trees`; with validation rows, it may stop earlier."""
        # Imported here because it is slow, and most learners do without it.
        import lightgbm

        params = self._booster_params(rows)
        data = lightgbm.Dataset(rows.X, rows.y, weight=rows.weight)
        if validation is None:
            return lightgbm.train(params, data, num_boost_round=n_trees)

        validation_data = lightgbm.Dataset(
            validation.X,
            validation.y,
            weight=validation.weight,
            reference=data,
        )
        return lightgbm.train(
            params,
            data,
            num_boost_round=n_trees,
            valid_sets=[validation_data],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )

    def _booster_params(self, rows: MergedRows) -> dict[str, Any]:
        # At least a fifteenth of the rows' weight, within bounds.
        share_of_weight = rows.weight.sum() / 15
        smallest_leaf = float(np.clip(share_of_weight, 2, 20))
        # A bag of fewer than 10 rows may be empty.
        bagging_freq = 1 if len(rows) >= 10 else 0
        return {
            "objective": "regression",
            "metric": "l2",
            "num_leaves": 7,
            "min_data_in_leaf": 1,
            # For squared error, the Hessian of a leaf is the weight of its rows.
            "min_sum_hessian_in_leaf": smallest_leaf,
            "min_data_in_bin": 1,
            # As good as 255 for probabilities, and twice as fast.
            "max_bin": 63,
            "learning_rate": 0.05,
            "lambda_l2": 1.0,
            "feature_fraction": 0.3,
            "bagging_fraction": 0.8,
            "bagging_freq": bagging_freq,
            "seed": self.random_state,
            "deterministic": True,
            "force_row_wise": True,
            "feature_pre_filter": False,
            "num_threads": 1,
            "verbosity": -1,
        }

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict scores of shape (n,), unclipped."""
        features = check_features(self.layout_, X, self.missing)
        return self.trees_.predict(features)

    def describe(self) -> dict[str, Any]:
        """Return facts about the fit, and how many splits look at each model."""
        models = self.layout_.models
        feature = self.trees_.feature
        split_columns = feature[feature >= 0]
        # Columns are blocks of bins, one per model.
        split_models = split_columns // self.layout_.bins.count
        counts = np.bincount(split_models, minlength=len(models))
        splits_on = dict(zip(models, counts.tolist(), strict=True))
        return {**self.facts_, "splits_on": splits_on}

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the trees."""
        return self.trees_.to_arrays()

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Set the trees; see `Learner.restore`."""
        trees = TreeArrays.from_arrays(arrays)
        if trees.n_features != self.layout_.n_features:
            raise DamagedArtifact(
                f"The stored trees look at {trees.n_features} features; the stack has "
                f"{self.layout_.n_features}."
            )
        self.trees_ = trees


def _columns_by_model_name(layout: Layout) -> np.ndarray:
    """Column numbers (models·bins,), blocks in order of the models' names."""
    one_row = np.arange(layout.n_features)[None]
    # Column numbers (models, bins), as if they were a row of features.
    column_numbers = layout.blocks(one_row)[0]
    by_name = np.argsort(layout.models)
    return column_numbers[by_name].reshape(-1)
