"""Which rows of a fit count, on what scale they are, and how they are split."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    PredefinedSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from ensemble.estimator.input_rows import rating_scale
from ensemble.estimator.stacked_mos import StackedMOS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.clip(3 + X[:, 0] + 0.3 * RNG.normal(size=40), 1, 5)
GROUPS = np.repeat(np.arange(8), 5)


def stack(**parameters):
    return StackedMOS(
        [("a", Ridge()), ("b", Ridge(alpha=50))], **({"cv": 3} | parameters)
    )


# ---- rows that do not count


@pytest.mark.parametrize(
    ("cv", "validation"),
    [
        (3, 0.4),
        (0.5, 0.4),
        (KFold(4, shuffle=True, random_state=1), KFold(3)),
        (TimeSeriesSplit(3), None),
        (GroupKFold(4), GroupShuffleSplit(1, random_state=0)),
        (StratifiedKFold(3), None),
        (LeaveOneGroupOut(), LeaveOneGroupOut()),
    ],
    ids=str,
)
def test_a_row_of_weight_0_or_without_a_label_changes_nothing(cv, validation):
    order = RNG.permutation(50)
    more_X = np.vstack([X, 9 + RNG.normal(size=(10, 3))])[order]
    more_y = np.concatenate([Y, [1.0, 5, 1, 5, 1], np.full(5, np.nan)])[order]
    weight = np.concatenate([np.ones(40), np.zeros(5), np.ones(5)])[order]
    groups = np.concatenate([GROUPS, np.arange(90, 100)])[order]
    real = order < 40
    grouped = (
        {}
        if isinstance(cv, KFold | TimeSeriesSplit | StratifiedKFold)
        else {"groups": groups}
    )
    alone = {name: values[real] for name, values in grouped.items()}
    more = stack(cv=cv, validation=validation).fit(more_X, more_y, weight, **grouped)
    fewer = stack(cv=cv, validation=validation).fit(more_X[real], more_y[real], **alone)
    np.testing.assert_allclose(more.predict(X), fewer.predict(X), rtol=1e-9)
    np.testing.assert_allclose(
        more.predict_distribution(X), fewer.predict_distribution(X), atol=1e-9
    )
    if validation is not None:
        pd.testing.assert_frame_equal(more.validation_scores_, fewer.validation_scores_)


def test_splits_given_by_number_count_all_rows_and_leave_out_those_of_weight_0():
    weight = np.where(np.arange(40) % 5 == 0, 0.0, 1.0)
    fold = np.arange(40) % 3
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    real = np.flatnonzero(weight)
    expected = stack(cv=PredefinedSplit(fold[real])).fit(X[real], Y[real]).predict(X)
    for cv in (splits, PredefinedSplit(fold), iter(splits)):
        np.testing.assert_allclose(
            stack(cv=cv).fit(X, Y, weight).predict(X), expected, rtol=1e-9
        )
    fitted = stack(cv=splits).fit(X, Y, weight).final_estimator_.fitted_on_
    assert sorted(map(int, fitted)) == real.tolist()


def test_weights_reach_base_models_and_the_final_estimator():
    weight = RNG.integers(1, 4, 40)
    splits = [(np.arange(20), np.arange(20, 40)), (np.arange(20, 40), np.arange(20))]
    fold = (np.arange(40) < 20).repeat(weight)
    again = [
        (np.flatnonzero(fold), np.flatnonzero(~fold)),
        (np.flatnonzero(~fold), np.flatnonzero(fold)),
    ]
    for final in ("mean", Ridge()):
        weighted = stack(final_estimator=final, cv=splits).fit(X, Y, weight)
        repeated = stack(final_estimator=final, cv=again).fit(
            X.repeat(weight, axis=0), Y.repeat(weight)
        )
        np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-7)
        assert not np.allclose(
            weighted.predict(X),
            stack(final_estimator=final, cv=splits).fit(X, Y).predict(X),
        )


def test_a_model_that_takes_no_weights_is_refused_by_name():
    bases = [("a", Ridge()), ("near", KNeighborsRegressor())]
    with pytest.raises(
        UsageError, match=r"'near' \(KNeighborsRegressor\) takes no sample_weight"
    ):
        StackedMOS(bases).fit(X, Y, np.ones(40))
    with pytest.raises(
        UsageError,
        match=r"'final_estimator' \(KNeighborsRegressor\) takes no sample_weight",
    ):
        StackedMOS(bases[:1], KNeighborsRegressor()).fit(X, Y, np.ones(40))
    with pytest.raises(ValueError, match="at least one non-zero"):
        stack().fit(X, Y, np.zeros(40))
    with pytest.raises(ValueError, match="Negative values"):
        stack().fit(X, Y, -np.ones(40))


def test_weights_of_a_pipeline_go_to_its_last_step():
    piped = StackedMOS(
        [("p", make_pipeline(StandardScaler(), Ridge()))], cv=KFold(2)
    ).fit(X, Y, np.arange(1, 41))
    last = Ridge().fit(StandardScaler().fit_transform(X), Y, np.arange(1, 41))
    np.testing.assert_allclose(piped.estimators_[0][1][-1].coef_, last.coef_)


# ---- splits


def test_rows_before_the_first_test_rows_of_a_time_series_do_not_reach_the_meta_level():
    fitted = stack(cv=TimeSeriesSplit(3), validation=TimeSeriesSplit(2)).fit(X, Y)
    assert fitted.final_estimator_.fitted_on_ == tuple(
        str(row) for row in range(10, 40)
    )
    assert fitted.validation_scores_["n"].max() == 13  # the latest third of all rows


def test_the_last_split_of_a_splitter_measures_and_changes_no_prediction():
    plain = stack(validation=None).fit(X, Y, groups=GROUPS)
    for splitter, n in (
        (GroupShuffleSplit(1, test_size=2, random_state=0), 10),
        (LeaveOneGroupOut(), 5),
    ):
        fitted = stack(validation=splitter).fit(X, Y, groups=GROUPS)
        assert fitted.validation_scores_["n"].max() == n
        np.testing.assert_array_equal(fitted.predict(X), plain.predict(X))


def test_stratified_folds_are_stratified_by_bands_of_scores():
    ascending = np.sort(Y)[:39]
    fitted = stack(cv=StratifiedKFold(13), validation=None).fit(X[:39], ascending)
    order = np.array(fitted.final_estimator_.fitted_on_, dtype=int).reshape(13, 3)
    assert (np.sort(order // 13, axis=1) == [0, 1, 2]).all()


def test_a_splitter_that_leaves_nothing_to_measure_is_refused():
    nothing = PredefinedSplit(np.where(np.arange(40) < 5, 0, -1))
    with pytest.raises(UsageError, match="leaves no row to measure on"):
        stack(cv=[(np.arange(20), np.arange(20, 40))], validation=nothing).fit(X, Y)


def test_processes_give_the_same_stack():
    one, two = (
        stack(cv=2, n_jobs=n, validation=None).fit(X, Y).predict(X) for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)


# ---- the scale


def test_a_matrix_with_labels_off_the_scale_gets_the_scale_that_they_span(caplog):
    far = 20 * Y - 10
    fitted = stack().fit(X, far)
    assert (fitted.bins_.low, fitted.bins_.high) == (far.min(), far.max())
    assert "Labels lie off the scale 1..5; taking 10..90" in caplog.text
    near = stack(bins=ScoreBins(Y.min(), Y.max())).fit(X, Y)
    np.testing.assert_allclose(fitted.predict(X), 20 * near.predict(X) - 10, rtol=1e-6)
    np.testing.assert_allclose(
        fitted.predict_distribution(X), near.predict_distribution(X), atol=1e-6
    )
    narrow = stack(validation=None).fit(X, far).final_estimator_.residual_sigma_
    np.testing.assert_allclose(narrow, 0.35 * np.ptp(far) / 4)


def test_labels_on_the_scale_and_constant_labels_off_it():
    labels = np.array([[2.0], [np.nan], [5.0]])
    assert rating_scale(labels, clips=False) == ScoreBins()
    assert rating_scale(labels * 0 + 7, clips=False) == ScoreBins(6.5, 7.5)
    assert rating_scale(labels + 7, clips=True) == ScoreBins()
    assert rating_scale(labels * np.nan, clips=False) == ScoreBins()


def test_a_named_scale_and_a_table_of_clips_refuse_labels_off_the_scale():
    with pytest.raises(
        UsageError, match=r"Label 90 of aspect 'mos' in row 3 is off the scale 0\.\.50"
    ):
        stack(bins=ScoreBins(0, 50)).fit(X, np.where(np.arange(40) == 3, 90, Y))
    clips = pd.DataFrame(X, columns=list("pqr")).assign(
        clip_id=[f"c{k}" for k in range(40)]
    )
    with pytest.raises(
        UsageError,
        match=r"Label 45 of aspect 'mos' of clip 'c3' is off the scale 1\.\.5",
    ):
        stack().fit(clips, np.where(np.arange(40) == 3, 45, Y))


def test_labels_and_groups_that_do_not_fit_are_refused():
    two = np.column_stack([Y, Y])
    for given, message in (
        ((X, Y + np.inf), "off the scale"),
        ((X, Y[:-1]), "There are 40 clips but 39 rows of labels"),
        ((X, Y, None, GROUPS[:-1]), r"40 clips need as many groups; got shape \(39,\)"),
        ((X, two * [1, np.nan]), "Aspect 'y1' has no label"),
        ((X[:4], Y[:4]), "needs at least 5"),
    ):
        with pytest.raises(UsageError, match=message):
            stack().fit(*given)
