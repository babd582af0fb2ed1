"""A trial stack: base models and learner fitted without the meta-validation rows, and judged on them.

The trap: where base models are fitted in folds, those that predict the meta-training rows have seen the labels of
meta-validation rows, and the other way round; a learner fitted on such predictions looks better than it is, on noise
too. So the rows are held out before any fold is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import _check_method_params

from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from ensemble.estimator.fit_base_models import fit_bases
from ensemble.estimator.input_rows import FitRows
from ensemble.estimator.row_splits import Split, fewer_folds, unseen_splits
from meta.comparison.compared_rows import Judged
from meta.regressor import MetaRegressor
from meta.splits.meta_split import check_meta_rows


def judged_trial(
    stack,
    named,
    rows: FitRows,
    used: np.ndarray,
    split: Split,
    metadata: Mapping[str, Any],
    memory: EmbeddingStore,
) -> dict[str, Judged]:
    """The stack fitted on one side of a split, and what it says of both.

    Parameters
    ----------
    stack : `StackedMOS`, for its parameters, scale and aspects
    named : (name, base model) pairs
    rows : all rows of a fit
    used : numbers of those that count
    split : (train, test) numbers within `used`
    metadata : see `ensemble.estimator.metadata_routing.metadata_of`
    memory : embeddings of neural models that have no store

    Returns
    -------
    judged : dict of ``"meta-training"``, the rows of `train` that its folds predict, and ``"meta-validation"``

    Raises
    ------
    UsageError
        when there are too few rows to hold any out.
    """
    counted, (train, test) = rows.take(used), split
    check_meta_rows(counted.systems)
    cv = fewer_folds(stack.cv, counted.take(train))
    try:
        splits = unseen_splits(
            cv, rows, used[train], stack.random_state, metadata["cv"]
        )
    except ValueError as error:
        raise UsageError(
            f"cv cannot split the {len(train)} rows that validation leaves to fit on ({error}); use fewer folds, or "
            "validation=None."
        ) from error
    folds = [(train[a], train[b]) for a, b in splits]
    params = {
        name: _check_method_params(rows.labels, metadata[name], indices=used)
        for name, _ in named
    }
    regressor = MetaRegressor(stack.final_estimator, stack.random_state)
    options = {"bins": stack.bins_, "missing": regressor.accepts_missing}
    whole = (train, test)  # what base models fitted on all of train say of test
    _, tables = fit_bases(
        named, counted, [*folds, whole], params, True, stack.n_jobs, memory, **options
    )
    sides = {
        "meta-training": np.concatenate([b for _, b in folds]),
        "meta-validation": test,
    }
    level1 = counted.take(sides["meta-training"])
    weights = level1.weights if "sample_weight" in metadata["final_estimator"] else None
    known = (
        level1.labels.to_numpy(),
        level1.ids,
        stack.aspects_,
        weights,
        level1.groups,
        level1.systems,
    )
    regressor.fit(tables, *known)
    return {
        name: _judged(regressor, tables, counted.take(side))
        for name, side in sides.items()
    }


def _judged(regressor: MetaRegressor, tables, rows: FitRows) -> Judged:
    stack = regressor.predict(tables, rows.ids)
    return Judged.of(
        tables,
        rows.labels.to_numpy(),
        rows.ids,
        rows.systems,
        regressor.aspects_,
        stack,
    )
