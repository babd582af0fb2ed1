"""StackedMOS passes all of scikit-learn's checks of an estimator, in several shapes,
and its own suite's others.
"""

import pytest
import sklearn
from sklearn.linear_model import LinearRegression, Ridge, TweedieRegressor
from sklearn.model_selection import ShuffleSplit
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

from ensemble.estimator.stacked_mos import StackedMOS

UNLISTED = [
    "check_dataframe_column_names_consistency",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_global_output_transform_pandas",
]


def three():
    tree = DecisionTreeRegressor(max_depth=4, random_state=0)
    return [("line", LinearRegression()), ("ridge", Ridge()), ("tree", tree)]


def asking():
    """The same three, each asking for weights."""
    with sklearn.config_context(enable_metadata_routing=True):
        return [
            (name, model.set_fit_request(sample_weight=True)) for name, model in three()
        ]


QUICK = {"cv": 2, "validation": None}
SINGLE = [
    ("glm", TweedieRegressor(power=0, solver="newton-cholesky")),
    ("gone", "drop"),
    three()[0],
]
PLAIN = {
    "bare": StackedMOS(),
    "three bases": StackedMOS(three(), **QUICK),
    "bases of one target each, and their mean": StackedMOS(SINGLE, "mean", **QUICK),
    "a share, and a foreign final estimator": StackedMOS(
        three()[:2], Ridge(), cv=0.5, validation=ShuffleSplit(1)
    ),
}
ROUTED = {"three bases that ask": StackedMOS(asking(), **QUICK)}


def listed(stacks):
    """Every check of every stack, named for humans."""
    for name, stack in stacks.items():
        for estimator, check in estimator_checks_generator(stack):
            of = getattr(check, "func", check)
            while hasattr(of, "func"):
                of = of.func
            yield pytest.param(estimator, check, id=f"{name}-{of.__name__}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(listed(PLAIN)))
def test_scikit_learns_checks_pass(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(listed(ROUTED)))
def test_they_pass_with_metadata_routing(estimator, check):
    with sklearn.config_context(enable_metadata_routing=True):
        check(estimator)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", UNLISTED)
def test_checks_of_scikit_learns_own_suite_pass_too(name):
    getattr(estimator_checks, name)("StackedMOS", PLAIN["three bases"])


@pytest.mark.parametrize("stack", list(PLAIN.values()), ids=list(PLAIN))
def test_checks_of_weights_and_of_several_targets_are_among_them(stack):
    names = {
        check.func.__name__
        for _, check in estimator_checks_generator(stack)
        if hasattr(check.func, "__name__")
    }
    assert {
        "check_sample_weight_equivalence_on_dense_data",
        "check_regressor_multioutput",
    } <= names
