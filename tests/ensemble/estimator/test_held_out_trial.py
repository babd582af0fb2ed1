"""The board of a stack of folds is held out: no label of its rows has moved it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold

from base_models.errors import UsageError
from ensemble.estimator.stacked_mos import StackedMOS
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.held_out_trial import TRAINING, VALIDATION
from meta.rows import Rows
from meta.splits.meta_split import meta_split

GROUPS = np.repeat(np.arange(15), 8)


def noise(seed):
    """Features that tell nothing of the labels, which are alike within a group."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, 5))
    y = rng.normal(3, 0.7, 15)[GROUPS] + rng.normal(0, 0.4, 120)
    return X, np.clip(y, 1, 5)


def stack(**parameters):
    bases = [("dummy", DummyRegressor()), ("ridge", Ridge(1e3))]
    return StackedMOS(bases, **({"cv": 5} | parameters))


def held(fitted, side=VALIDATION):
    return fitted.trial_.sides[side]


def test_on_noise_nothing_correlates_and_nothing_beats():
    fits = [
        stack(random_state=seed).fit(*noise(seed), groups=GROUPS) for seed in range(12)
    ]
    found = []
    for fitted in fits:
        compared = held(fitted)
        scores = compared.stack_scores[:, 0]
        labels = compared.rows.labels[:, 0]
        varied = np.ptp(scores) > 1e-9
        found.append(np.corrcoef(scores, labels)[0, 1] if varied else 0.0)
    assert abs(np.mean(found)) < 0.1
    # A twentieth of 24 comparisons, give or take.
    assert sum(" beats " in fitted.verdict_ for fitted in fits) <= 2


@pytest.mark.parametrize("cv", [5, None, GroupKFold(4)])
def test_labels_of_held_out_rows_move_nothing_that_is_judged(cv):
    X, y = noise(0)
    out = meta_split(Rows.of(range(120), y, ["mos"], groups=GROUPS))
    one = stack(cv=cv).fit(X, y, groups=GROUPS)
    other = stack(cv=cv, validation=Fixed(out)).fit(
        X, np.where(out, 6 - y, y), groups=GROUPS
    )
    for side in (TRAINING, VALIDATION):
        first = held(one, side)
        second = held(other, side)
        assert first.rows.ids.tolist() == second.rows.ids.tolist()
        np.testing.assert_array_equal(first.base_scores, second.base_scores)
        np.testing.assert_array_equal(first.stack_scores, second.stack_scores)
    assert sorted(map(int, held(one).rows.ids)) == np.flatnonzero(out).tolist()


def test_the_trial_is_the_stack_of_the_other_rows():
    X, y = noise(1)
    out = GROUPS % 3 == 0
    fitted = stack(validation=Fixed(out)).fit(X, y, groups=GROUPS)
    alone = stack(validation=None).fit(X[~out], y[~out], groups=GROUPS[~out])
    np.testing.assert_allclose(
        held(fitted).stack_scores[:, 0], alone.predict(X[out]), rtol=1e-12
    )
    pd.testing.assert_frame_equal(fitted.validation_scores_, held(fitted).board())
    assert fitted.final_estimator_.calibrations_[0] is not None


def test_the_tables_of_a_trial_are_those_that_it_was_made_from():
    X, y = noise(1)
    trial = stack().fit(X, y, groups=GROUPS).trial_
    for side in trial.sides.values():
        of_tables = ComparedRows.of(trial.tables, side.rows)
        np.testing.assert_array_equal(of_tables.base_scores, side.base_scores)


def test_weights_reach_the_trial():
    X, y = noise(2)
    out = GROUPS % 3 == 0
    weight = np.random.default_rng(0).integers(0, 3, 120)
    known = weight > 0
    fitted = stack(validation=Fixed(out[known])).fit(X, y, weight, GROUPS)
    kept = known & ~out
    alone = stack(validation=None).fit(X[kept], y[kept], weight[kept], GROUPS[kept])
    np.testing.assert_allclose(
        held(fitted).stack_scores[:, 0], alone.predict(X[known & out]), rtol=1e-12
    )


def test_few_groups_make_fewer_folds_and_a_splitter_that_has_too_many_is_refused():
    X, y = noise(0)
    few = GROUPS % 5
    assert stack(cv=5).fit(X, y, groups=few).validation_scores_["n"].max() == 48
    with pytest.raises(
        UsageError,
        match=r"cv cannot split the 72 rows that validation leaves .* validation=None",
    ):
        stack(cv=GroupKFold(5)).fit(X, y, groups=few)


class Fixed:
    """A splitter that always holds the same rows out."""

    def __init__(self, out):
        self.out = out

    def split(self, X, y=None, groups=None):
        yield np.flatnonzero(~self.out), np.flatnonzero(self.out)

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1
