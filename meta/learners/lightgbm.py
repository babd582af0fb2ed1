"""LightGBM on the bins of all base models, kept as arrays.

Boosted trees easily fit a few hundred rows by heart. `LightGBM` therefore grows small
ones, and stops where held-out groups stop gaining; `PaperLightGBM` has LightGBM's own
defaults, as DORA-MOS had (section III.D). Both take any of LightGBM's parameters of
training beside their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from base_models.errors import DamagedArtifact, StackedMOSError, UsageError
from meta.columns.feature_table import Layout
from meta.learners.base import GroupNames, Learner, check_features, check_fit_inputs
from meta.learners.inner_folds import MergedRows, grouped_folds, merged_rows
from meta.learners.lightgbm_parameters import canonical_parameters
from meta.learners.tree_arrays import TreeArrays

if TYPE_CHECKING:
    from lightgbm import Booster

MOST_TREES = 300
# With fewer distinct rows, or a single group, none are held out to choose the number of
# trees, and a fixed number is grown.
FEWEST_ROWS = 20
FIXED_TREES = 50
# Trees that are grown without a gain on the held-out rows before growing stops.
PATIENCE = 30
DEFAULT_TREES = 100
"""Trees that LightGBM grows by default."""


class BoostedTrees(Learner):
    """What the learners of this file share: trees are kept as `TreeArrays`.

    Fitting fails if those do not predict as LightGBM does, bit for bit.

    Parameters
    ----------
    random_state : int, seed of the bags of rows and bins
    missing : one of `meta.columns.missing_predictions.MISSING`
    params : LightGBM's own parameters by any of their names, in place of the learner's
        defaults; see `meta.learners.lightgbm_parameters` for those that are refused

    Attributes
    ----------
    trees_ : TreeArrays
    """

    trees_: TreeArrays

    name = "boosted trees"

    def __init__(
        self,
        random_state: int = 0,
        missing: str = "refuse",
        params: dict[str, Any] | None = None,
    ):
        self.random_state = random_state
        self.missing = missing
        self.params = params

    def with_settings(self, settings: Mapping[str, Any], name: str) -> BoostedTrees:
        """Return a copy with other parameters: the learner's own, or LightGBM's.

        See `Learner.with_settings`.
        """
        own = {key: settings[key] for key in self.get_params() if key in settings}
        of_lightgbm = dict(self.params or {})
        of_lightgbm |= own.get("params") or {}
        of_lightgbm |= {key: value for key, value in settings.items() if key not in own}
        canonical_parameters(of_lightgbm, name)

        changed: BoostedTrees = clone(self)
        return changed.set_params(**{**own, "params": of_lightgbm or None})

    def _grow(
        self,
        rows: MergedRows,
        n_trees: int,
        params: Mapping[str, Any],
        plain: bool = False,
    ) -> TreeArrays:
        """Grow trees on all rows; `plain` as in `_train`."""
        booster = _train(rows, n_trees, params, plain=plain)
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

    def _set_fit(
        self,
        trees: TreeArrays,
        layout: Layout,
        facts: Mapping[str, Any],
    ) -> None:
        """Keep what was fitted, with a warning where it is a constant."""
        self.layout_ = layout
        self.trees_ = trees
        self.facts_ = {"trees": len(trees.roots), **facts}
        self.warnings_ = []

        n_leaves = (trees.feature < 0).sum()
        if n_leaves == len(trees.roots):
            self.warnings_.append(
                f"{self.name} found nothing to split in {facts['n']} clips; it "
                "predicts their mean."
            )

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


class LightGBM(BoostedTrees):
    """Boosted trees of 7 leaves, their number chosen on held-out groups.

    Each tree sees 30 % of the bins and 80 % of the rows. A quarter of the groups is
    held out; the number of trees with the least error there (at most 300) is grown on
    all rows. The published system ran LightGBM's defaults, which reached 0.999 SRCC on
    the rows it was fitted on (DORA-MOS, section III.D): see `PaperLightGBM`.

    Rows are merged and sorted first (see `meta.learners.inner_folds`), and leaves are
    limited by weight and not by rows, so that a weight of 2 is a row given twice.

    Parameters
    ----------
    random_state, missing, params : see `BoostedTrees`. Of LightGBM's parameters,
        ``num_iterations`` is the most trees where their number is chosen and the number
        of them where it is not; ``early_stopping_round=0`` holds no rows out, nor does
        ``boosting=dart``, whose trees change while others are grown
    """

    name = "lightgbm"

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

        given = canonical_parameters(self.params or {}, self.name)
        n_trees, n_held_out = self._choose_n_trees(rows, given)

        # A leaf has -1 for its feature.
        trees = self._grow(rows, n_trees, {**self._defaults(rows), **given})
        is_leaf = trees.feature < 0
        layout_column = columns[trees.feature]
        in_layout_order = np.where(is_leaf, -1, layout_column)
        self._set_fit(
            replace(trees, feature=in_layout_order),
            layout,
            {"held_out": n_held_out, "n": len(rows)},
        )
        return self

    def _choose_n_trees(
        self, rows: MergedRows, given: dict[str, Any]
    ) -> tuple[int, int]:
        """Number of trees to grow, and of rows that were held out to choose it.

        What `given` says of these numbers is taken out of it.
        """
        patience = _whole_number(given.pop("early_stopping_round", PATIENCE))
        n_given = given.pop("num_iterations", None)
        n_fixed = FIXED_TREES if n_given is None else _whole_number(n_given, least=1)
        n_most = MOST_TREES if n_given is None else n_fixed

        # One of four folds is held out; a single group leaves nothing to fit on.
        held = grouped_folds(rows, n_folds=4) == 0
        can_hold_out = len(rows) >= FEWEST_ROWS and not held.all()
        stops_early = patience > 0 and given.get("boosting") != "dart"
        if not (can_hold_out and stops_early):
            return n_fixed, 0

        train = rows.take(~held)
        params = {**self._defaults(train), **given, "early_stopping_round": patience}
        booster = _train(train, n_most, params, validation=rows.take(held))
        # Not above 0 when training ended before any tree helped.
        return max(booster.best_iteration, 1), int(held.sum())

    def _defaults(self, rows: MergedRows) -> dict[str, Any]:
        """The parameters that LightGBM is given unless others are named."""
        # At least a fifteenth of the rows' weight, within bounds.
        share_of_weight = rows.weight.sum() / 15
        smallest_leaf = float(np.clip(share_of_weight, 2, 20))
        # A bag of fewer than 10 rows may be empty.
        bagging_freq = 1 if len(rows) >= 10 else 0
        return {
            **_reproducible(self.random_state),
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
            "feature_pre_filter": False,
        }


class PaperLightGBM(BoostedTrees):
    """LightGBM with its own default parameters, as DORA-MOS had it (section III.D).

    100 trees of up to 31 leaves on all bins, with nothing held out: it predicts what
    ``lightgbm.LGBMRegressor()`` does that was fitted on the same table. It nearly
    learns a few hundred rows by heart. Rows and columns are taken as they come, and a
    leaf needs 20 rows whatever these weigh: unlike elsewhere, a weight of 2 is not
    quite a row given twice, and ties between columns fall to the first of them.

    Parameters
    ----------
    random_state, missing, params : see `BoostedTrees`
    """

    name = "paper_lightgbm"

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        layout: Layout,
        sample_weight: ArrayLike | None = None,
        groups: GroupNames | None = None,
    ) -> PaperLightGBM:
        """Grow the trees on all rows; see `Learner.fit`. Groups do not count."""
        inputs = check_fit_inputs(
            layout,
            X,
            y,
            sample_weight=sample_weight,
            groups=groups,
            missing=self.missing,
        )
        rows = MergedRows(
            X=inputs.X,
            y=inputs.y,
            weight=inputs.weight,
            group=np.arange(len(inputs.y)),
        )

        given = canonical_parameters(self.params or {}, self.name)
        if _whole_number(given.pop("early_stopping_round", 0)) > 0:
            raise UsageError(
                "paper_lightgbm holds no rows out to stop early by; the learner "
                "'lightgbm' does."
            )
        n_trees = _whole_number(given.pop("num_iterations", DEFAULT_TREES), least=1)
        params = {**_reproducible(self.random_state), **given}
        trees = self._grow(rows, n_trees, params, plain=True)
        self._set_fit(trees, layout, {"held_out": 0, "n": len(rows)})
        return self


def _reproducible(seed: int) -> dict[str, Any]:
    """Parameters that decide nothing but that the same rows give the same bits."""
    return {
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def _train(
    rows: MergedRows,
    n_trees: int,
    params: Mapping[str, Any],
    validation: MergedRows | None = None,
    plain: bool = False,
) -> Booster:
    """Train a booster of `n_trees`; with validation rows, it may stop earlier.

    Parameters
    ----------
    plain : whether weights that are all 1 are left out, as for a regressor that is
        given none. They mean the same, but sums are then rounded otherwise, which
        decides between columns that are equally good

    Raises
    ------
    UsageError
        when LightGBM refuses a value, in its words.
    """
    # Imported here because it is slow, and most learners do without it.
    import lightgbm

    def dataset(part: MergedRows, reference: Any = None) -> lightgbm.Dataset:
        left_out = plain and (part.weight == 1).all()
        weight = None if left_out else part.weight
        return lightgbm.Dataset(part.X, part.y, weight=weight, reference=reference)

    data = dataset(rows)
    valid_sets = [] if validation is None else [dataset(validation, data)]
    try:
        return lightgbm.train(
            dict(params), data, num_boost_round=n_trees, valid_sets=valid_sets
        )
    except (lightgbm.basic.LightGBMError, ValueError, TypeError) as error:
        words = " ".join(str(error).split())[:300]
        raise UsageError(f"LightGBM refuses these parameters: {words}.") from error


def _whole_number(value: Any, least: int = 0) -> int:
    """A number of trees or rounds; UsageError for anything else."""
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not is_whole or value < least:
        raise UsageError(
            "LightGBM's numbers of trees and of rounds are whole numbers, "
            f"{least} or more; got {value}."
        )
    return int(value)


def _columns_by_model_name(layout: Layout) -> np.ndarray:
    """Column numbers (models·bins,), blocks in order of the models' names."""
    one_row = np.arange(layout.n_features)[None]
    # Column numbers (models, bins), as if they were a row of features.
    column_numbers = layout.blocks(one_row)[0]
    by_name = np.argsort(layout.models)
    return column_numbers[by_name].reshape(-1)
