"""Metadata of a fit reaches who asked for it, and nobody else."""

import numpy as np
import pytest
import sklearn
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import Ridge
from sklearn.metrics import make_scorer, mean_squared_error
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from base_models.errors import UsageError
from ensemble.estimator.stacked_mos import StackedMOS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.clip(3 + X[:, 0], 1, 5)
GROUPS = np.repeat(np.arange(8), 5)
WEIGHT = RNG.uniform(0.5, 2, 40)


class Recorder(Ridge):
    """A ridge that keeps what its `fit` was given."""

    def fit(self, X, y, sample_weight=None, mood=None):
        self.given_ = {"sample_weight": sample_weight, "mood": mood}
        return super().fit(X, y, sample_weight)


@pytest.fixture(autouse=True)
def _routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_weights_go_to_those_that_asked():
    bases = [
        ("asks", Recorder().set_fit_request(sample_weight=True)),
        ("declines", Recorder().set_fit_request(sample_weight=False)),
    ]
    fitted = dict(StackedMOS(bases, cv=2).fit(X, Y, WEIGHT).estimators_)
    np.testing.assert_array_equal(fitted["asks"].given_["sample_weight"], WEIGHT)
    assert fitted["declines"].given_["sample_weight"] is None


def test_weights_that_nobody_decided_about_are_refused():
    with pytest.raises(
        UnsetMetadataPassedError,
        match="not explicitly set as requested or not requested for Ridge",
    ):
        StackedMOS([("a", Ridge())], cv=2).fit(X, Y, WEIGHT)
    assert StackedMOS(cv=2).fit(X, Y, WEIGHT).predict(X).shape == (
        40,
    )  # default base models take them


def test_metadata_of_any_name_is_cut_to_the_rows_of_a_fold():
    seen = []

    class Watching(Recorder):
        def fit(self, X, y, sample_weight=None, mood=None):
            seen.append((X, mood))
            return super().fit(X, y, sample_weight)

    stack = StackedMOS(
        [("a", Watching().set_fit_request(mood=True, sample_weight=False))],
        cv=2,
        validation=None,
    )
    stack.fit(X, Y, np.where(np.arange(40) < 4, 0, 1.0), mood=X[:, 0] * 2)
    assert len(seen) == 3
    for rows, mood in seen:
        np.testing.assert_array_equal(rows[:, 0] * 2, mood)
    assert len(seen[-1][0]) == 36


def test_single_target_models_get_theirs_for_every_aspect():
    with_gaps = np.column_stack([Y, np.where(np.arange(40) % 4, Y, np.nan)])
    stack = StackedMOS(
        [("a", Recorder().set_fit_request(sample_weight=True))], cv=2
    ).fit(X, with_gaps, WEIGHT)
    first, second = stack.estimators_[0][1].estimators_
    np.testing.assert_array_equal(first.given_["sample_weight"], WEIGHT)
    np.testing.assert_array_equal(
        second.given_["sample_weight"], WEIGHT[np.arange(40) % 4 > 0]
    )


def test_splitters_of_groups_ask_by_themselves():
    stack = StackedMOS(
        [("a", Ridge())],
        cv=GroupKFold(4),
        validation=GroupShuffleSplit(1, random_state=0),
    )
    with_folds = StackedMOS([("a", Ridge())], cv=4)
    for one in (stack, with_folds):
        fold_of = one.fit(X, Y, groups=GROUPS).final_estimator_.fitted_on_
        assert sorted(fold_of) == sorted(str(row) for row in range(40))


def test_a_foreign_final_estimator_has_to_ask():
    def predict(final):
        base = [("a", Ridge().set_fit_request(sample_weight=False))]
        return (
            StackedMOS(base, final, cv=2, validation=None).fit(X, Y, WEIGHT).predict(X)
        )

    plain = (
        StackedMOS([("a", Ridge())], Ridge(), cv=2, validation=None)
        .fit(X, Y)
        .predict(X)
    )
    np.testing.assert_array_equal(
        predict(Ridge().set_fit_request(sample_weight=False)), plain
    )
    assert (predict(Ridge().set_fit_request(sample_weight=True)) != plain).any()
    with pytest.raises(UnsetMetadataPassedError, match=r"for Ridge\.fit"):
        predict(Ridge())
    moody = StackedMOS([("a", Ridge())], Recorder().set_fit_request(mood=True), cv=2)
    with pytest.raises(
        UsageError, match="Only sample_weight can reach the final estimator; got 'mood'"
    ):
        moody.fit(X, Y, mood=WEIGHT)


def test_weights_that_are_not_for_the_final_estimator_do_not_reach_its_trial():
    declines = Ridge().set_fit_request(sample_weight=False)
    weighed = StackedMOS([("a", declines)], declines, cv=2).fit(X, Y, WEIGHT)
    plain = StackedMOS([("a", Ridge())], Ridge(), cv=2).fit(X, Y)
    for name, side in plain.trial_.sides.items():
        np.testing.assert_array_equal(
            weighed.trial_.sides[name].stack_scores, side.stack_scores
        )


def test_a_stack_asks_for_its_own_metadata_within_others():
    base = Recorder().set_fit_request(sample_weight=True)
    stack = StackedMOS([("a", base)], cv=2, validation=None).set_fit_request(
        sample_weight=True, groups=True
    )
    found = cross_validate(
        make_pipeline(StandardScaler().set_fit_request(sample_weight=False), stack),
        X,
        Y,
        cv=GroupKFold(2),
        scoring=make_scorer(mean_squared_error).set_score_request(sample_weight=False),
        params={"sample_weight": WEIGHT, "groups": GROUPS},
        return_estimator=True,
        return_indices=True,
        error_score="raise",
    )
    for pipeline, train in zip(
        found["estimator"], found["indices"]["train"], strict=True
    ):
        given = pipeline[-1].estimators_[0][1].given_["sample_weight"]
        np.testing.assert_array_equal(given, WEIGHT[train])


def test_without_routing_other_metadata_is_refused():
    with (
        sklearn.config_context(enable_metadata_routing=False),
        pytest.raises(
            ValueError, match="only supported if enable_metadata_routing=True"
        ),
    ):
        StackedMOS([("a", Recorder())]).fit(X, Y, mood=WEIGHT)
