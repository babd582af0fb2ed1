"""The published learners are what scikit-learn and LightGBM make of the same table."""

import lightgbm
import numpy as np
import pytest
import sklearn.linear_model
from builders import Predictor, labelled_features

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.learners import LEARNERS
from meta.learners.lightgbm import LightGBM, PaperLightGBM
from meta.learners.lightgbm_parameters import (
    REFUSED,
    REFUSED_WHERE_TRUE,
    canonical_parameters,
)
from meta.learners.ridge import PaperRidge, Ridge
from meta.learners.tree_arrays import LINKLESS_OBJECTIVES

NINE = tuple(f"dora-s{k}" for k in range(9))
LAYOUT = Layout(NINE, (0.25,) * 9, ScoreBins())
PREDICTORS = {name: Predictor(noise=0.2 + 0.05 * k) for k, name in enumerate(NINE)}


def table(n=250, seed=0):
    """Nine models of twenty bins, their labels, and systems."""
    return labelled_features(LAYOUT, n, seed=seed, predictors=PREDICTORS)


X, Y, SYSTEMS = table()
NEW = table(100, seed=1)[0]


@pytest.mark.parametrize("groups", [None, SYSTEMS], ids=["alone", "systems"])
@pytest.mark.parametrize("weight", [None, np.linspace(0.5, 2, 250)], ids=["", "w"])
@pytest.mark.parametrize("n", [5, 60, 250])
def test_paper_ridge_is_scikit_learns_ridge_of_alpha_1_on_all_bins(n, weight, groups):
    weight = None if weight is None else weight[:n]
    groups = None if groups is None else groups[:n]
    learner = PaperRidge().fit(X[:n], Y[:n], LAYOUT, weight, groups)
    expected = sklearn.linear_model.Ridge(1.0).fit(X[:n], Y[:n], weight)
    assert learner.coef_.shape == (180,)
    np.testing.assert_allclose(learner.coef_, expected.coef_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(
        learner.predict(NEW), expected.predict(NEW), rtol=0, atol=1e-9
    )


def test_paper_ridge_has_nothing_to_set_that_would_make_it_another_ridge():
    assert PaperRidge().get_params() == {"missing": "refuse"}
    for name in set(Ridge().get_params()) - {"missing"}:
        with pytest.raises(
            UsageError, match=f"Unknown parameter of paper_ridge '{name}'"
        ):
            PaperRidge().with_settings({name: 1}, "paper_ridge")


@pytest.mark.parametrize("weight", [None, np.linspace(0.5, 2, 250)], ids=["", "w"])
def test_paper_lightgbm_is_lightgbm_as_it_comes(weight):
    learner = PaperLightGBM().fit(X, Y, LAYOUT, weight, SYSTEMS)
    expected = lightgbm.LGBMRegressor(verbosity=-1).fit(X, Y, weight)
    assert learner.facts_ == {"trees": 100, "held_out": 0, "n": 250}
    np.testing.assert_allclose(
        learner.predict(NEW), expected.predict(NEW), rtol=0, atol=1e-9
    )
    # The over-fitting that the paper reports.
    assert np.mean((learner.predict(X) - Y) ** 2) < 0.01


SETTINGS = {
    "leaves": {"num_leaves": 5, "min_child_samples": 8, "reg_lambda": 3.0},
    "rate": {
        "n_estimators": 30,
        "learning_rate": 0.3,
        "max_depth": 3,
        "reg_alpha": 0.1,
    },
    "bags": {"subsample": 0.6, "subsample_freq": 1, "colsample_bytree": 0.4},
    "goss": {"data_sample_strategy": "goss", "top_rate": 0.3},
    "dart": {"boosting": "dart", "drop_rate": 0.2, "num_iterations": 20},
    "absolute": {"objective": "mae", "path_smooth": 2.0},
    "quantile": {"objective": "quantile", "alpha": 0.7},
    "extra": {"extra_trees": True, "extra_seed": 4, "max_bins": 31},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_is_set_is_set_in_lightgbm_and_the_arrays_say_what_it_says(settings):
    learner = PaperLightGBM().with_settings({**settings, "random_state": 3}, "x")
    learner.fit(X, Y, LAYOUT)
    params = {**settings, "random_state": 3, "verbosity": -1, "n_jobs": 1}
    expected = lightgbm.LGBMRegressor(**params, force_row_wise=True).fit(X, Y)
    np.testing.assert_array_equal(learner.predict(NEW), expected.predict(NEW))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_smaller_lightgbm_takes_the_same_parameters(settings):
    if "goss" in settings.values():
        settings = {**settings, "bagging_freq": 0}  # LightGBM has one or the other
    plain = LightGBM().fit(X, Y, LAYOUT, groups=SYSTEMS)
    learner = LightGBM().with_settings(settings, "lightgbm")
    learner.fit(X, Y, LAYOUT, groups=SYSTEMS)
    assert (learner.predict(NEW) != plain.predict(NEW)).any()


def test_the_number_of_trees_is_chosen_up_to_the_one_given_or_is_the_one_given():
    def trees(**settings):
        learner = LightGBM().with_settings(settings, "lightgbm")
        return learner.fit(X, Y, LAYOUT, groups=SYSTEMS).facts_

    assert trees(n_estimators=4)["trees"] <= 4
    assert trees(n_estimators=4)["held_out"] > 0
    alone = {"early_stopping_round": 0}
    assert trees(n_estimators=40, **alone) == {"trees": 40, "held_out": 0, "n": 250}
    assert trees(**alone)["trees"] == 50
    assert trees(boosting="dart")["held_out"] == 0
    assert trees(early_stopping_rounds=2)["trees"] <= trees()["trees"]


def test_every_parameter_of_lightgbm_is_taken_or_refused_with_a_reason():
    from lightgbm.basic import _ConfigAliases

    names = _ConfigAliases._get_all_param_aliases()
    assert set(REFUSED) | set(REFUSED_WHERE_TRUE) <= set(names)
    for first, aliases in names.items():
        for name in aliases:
            if first in REFUSED or first in REFUSED_WHERE_TRUE:
                with pytest.raises(
                    UsageError, match=f"'?{name}=True is refused: .{{20}}"
                ):
                    canonical_parameters({name: True}, "lightgbm")
            elif first not in ("objective", "boosting"):
                assert canonical_parameters({name: 1}, "lightgbm") == {first: 1}


@pytest.mark.parametrize("learner", ["lightgbm", "paper_lightgbm"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_leafs": 31}, "'num_leafs'. Near it: .*'num_leaves'"),
        ({"wibble": 1}, "Unknown parameter of .*lightgbm 'wibble'. It takes"),
        ({"eta": 0.1, "learning_rate": 0.2}, "'eta' and 'learning_rate' are one"),
        ({"boosting_type": "rf"}, "boosting_type=rf is refused: .* average"),
        ({"objective": "poisson"}, "objective=poisson is refused: .*regression_l1"),
        ({"objective": "binary"}, "objective=binary is refused"),
        ({"objective": ["l1"]}, "is refused"),
        ({"linear_tree": True}, "linear_tree=True is refused: a linear leaf"),
        ({"reg_sqrt": "true"}, "reg_sqrt=true is refused"),
        ({"monotone_constraints": [1]}, "refused: it names single columns"),
        ({"categorical_feature": "0"}, "refused: it names single columns"),
        ({"machines": "a:1"}, "refused: it is about training on several machines"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_fitted(
    learner, settings, message
):
    with pytest.raises(UsageError, match=message) as error:
        LEARNERS[learner]().with_settings(settings, learner)
    assert len(str(error.value)) <= 500


@pytest.mark.parametrize("learner", ["lightgbm", "paper_lightgbm"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_leaves": 1}, r"LightGBM refuses these parameters: .*num_leaves"),
        ({"num_leaves": "many"}, r"LightGBM refuses these parameters: .*num_leaves"),
        ({"n_estimators": 0}, "whole numbers, 1 or more; got 0"),
        ({"n_estimators": 2.5}, "whole numbers, 1 or more; got 2.5"),
        ({"early_stopping": "soon"}, "whole numbers, 0 or more; got soon"),
    ],
)
def test_values_that_lightgbm_cannot_use_are_usage_errors(learner, settings, message):
    changed = LEARNERS[learner]().with_settings(settings, learner)
    with pytest.raises(UsageError, match=message):
        changed.fit(X, Y, LAYOUT)


def test_stopping_early_needs_rows_that_paper_lightgbm_does_not_hold_out():
    changed = PaperLightGBM().with_settings({"early_stopping_round": 5}, "x")
    with pytest.raises(UsageError, match="the learner 'lightgbm' does"):
        changed.fit(X, Y, LAYOUT)


def test_switches_may_stay_off_and_settings_add_up():
    learner = LightGBM(params={"num_leaves": 9}).with_settings(
        {"linear_tree": False, "max_depth": 2, "missing": "pool"}, "lightgbm"
    )
    assert learner.get_params() == {
        "random_state": 0,
        "missing": "pool",
        "params": {"num_leaves": 9, "linear_tree": False, "max_depth": 2},
    }


def test_all_objectives_that_arrays_can_express_are_taken():
    for objective in LINKLESS_OBJECTIVES:
        learner = PaperLightGBM(params={"objective": objective, "n_estimators": 3})
        assert np.isfinite(learner.fit(X, Y, LAYOUT).predict(NEW)).all()
