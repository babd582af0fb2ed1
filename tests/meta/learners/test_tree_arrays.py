import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import parse_tensors, write_tensors
from meta.learners.tree_arrays import TreeArrays

QUIET = {
    "verbosity": -1,
    "num_threads": 1,
    "min_data_in_leaf": 2,
    "min_data_in_bin": 1,
    "force_row_wise": True,
}


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.random((n, 12))
    X[:, 1], X[:, 2], X[:, 3] = (
        0,
        np.round(X[:, 2], 1),
        X[:, 3] * 1e-38,
    )  # constant, tied, nearly zero
    return X, X[:, 0] * 3 + X[:, 2] + 1e38 * X[:, 3] + rng.normal(0, 0.1, n)


def booster(n=120, rounds=20, **params):
    X, y = rows(n)
    options = {"objective": "regression"} | QUIET | params
    categories = options.pop("categories", "auto")
    return lightgbm.train(
        options, lightgbm.Dataset(X, y, categorical_feature=categories), rounds
    )


@pytest.mark.parametrize(
    "params",
    [{}, {"num_leaves": 7, "feature_fraction": 0.3}, {"objective": "regression_l1"}],
)
@pytest.mark.parametrize("n", [11, 300])
def test_arrays_answer_as_lightgbm_does_bit_for_bit(n, params):
    fitted = booster(n, **params)
    unseen = np.vstack(
        [rows(n)[0], rows(5000, seed=1)[0] * 2 - 0.5]
    )  # more than one chunk
    np.testing.assert_array_equal(
        TreeArrays.from_booster(fitted).predict(unseen), fitted.predict(unseen)
    )


def test_a_row_on_a_threshold_goes_left():
    fitted = booster()
    trees = TreeArrays.from_booster(fitted)
    inner = np.flatnonzero(trees.feature >= 0)
    X = np.tile(rows(1)[0], (len(inner), 1))
    X[np.arange(len(inner)), trees.feature[inner]] = trees.threshold[inner]
    np.testing.assert_array_equal(trees.predict(X), fitted.predict(X))


def test_a_constant_target_gives_trees_of_one_leaf():
    X, _ = rows(30)
    fitted = lightgbm.train(
        {"objective": "regression"} | QUIET, lightgbm.Dataset(X, np.full(30, 2.5)), 3
    )
    np.testing.assert_array_equal(
        TreeArrays.from_booster(fitted).predict(X), fitted.predict(X)
    )


def test_trees_survive_a_file(tmp_path):
    trees = TreeArrays.from_booster(booster())
    write_tensors(tmp_path / "trees.safetensors", trees.to_arrays())
    again = TreeArrays.from_arrays(
        parse_tensors((tmp_path / "trees.safetensors").read_bytes(), "trees")
    )
    X, _ = rows(50, seed=2)
    np.testing.assert_array_equal(again.predict(X), trees.predict(X))


def test_no_rows_have_no_predictions():
    assert TreeArrays.from_booster(booster()).predict(np.empty((0, 12))).shape == (0,)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"categories": [2]}, "split of type '=='"),
        ({"zero_as_missing": True}, "missing values 'Zero'"),
        ({"linear_tree": True}, "Linear leaves"),
        ({"objective": "poisson"}, "objective 'poisson'"),
        (
            {"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1},
            "Only one-output regression",
        ),
        ({"reg_sqrt": True}, "reg_sqrt"),
    ],
)
def test_boosters_that_are_no_plain_sum_of_numeric_trees_are_refused(params, message):
    with pytest.raises(UsageError, match=message):
        TreeArrays.from_booster(booster(**params))


def test_features_must_be_finite_and_as_many_as_at_the_fit():
    trees = TreeArrays.from_booster(booster())
    with pytest.raises(
        UsageError, match=r"fitted on 12 features; got an array of shape \(3, 11\)"
    ):
        trees.predict(np.zeros((3, 11)))
    with pytest.raises(UsageError, match="must be finite"):
        trees.predict(np.full((1, 12), np.nan))


@pytest.mark.parametrize(
    ("name", "node", "value", "message"),
    [
        ("left", 0, 10**9, "outside the list"),
        ("left", 0, -5, "before its parent"),
        ("right", 0, 0, "before its parent"),
        ("right", 0, 1, "no parent or two"),
        ("feature", 0, 12, r"outside 0\.\.11"),
        ("feature", 0, -2, r"outside 0\.\.11"),
        ("feature", 0, -1, "a leaf has children"),
        ("threshold", 0, np.nan, "not finite"),
        ("value", -1, np.inf, "not finite"),
        ("left", -1, 0, "a leaf has children"),
        ("roots", 0, 1, "no parent or two"),
        ("n_features", 0, 1, r"outside 0\.\.0"),
    ],
)
def test_damage_is_refused_by_what_is_wrong(name, node, value, message):
    arrays = {
        key: array.copy()
        for key, array in TreeArrays.from_booster(booster(rounds=3)).to_arrays().items()
    }
    arrays[name][node] = value
    with pytest.raises(DamagedArtifact, match=message):
        TreeArrays.from_arrays(arrays)


def test_missing_dropped_or_retyped_arrays_are_refused():
    arrays = TreeArrays.from_booster(booster(rounds=3)).to_arrays()
    for change in (
        {"roots": arrays["roots"][:-1]},
        {"value": arrays["value"][:-1]},
        {"value": arrays["value"].astype(np.float32)},
        {"left": arrays["left"].astype(np.float64)},
        {"feature": arrays["feature"].reshape(1, -1)},
        {"n_features": np.array([1, 2])},
    ):
        with pytest.raises(DamagedArtifact, match="stored trees are damaged"):
            TreeArrays.from_arrays(arrays | change)
    del arrays["left"]
    with pytest.raises(DamagedArtifact, match="left"):
        TreeArrays.from_arrays(arrays)


ARRAYS = TreeArrays.from_booster(booster(rounds=3)).to_arrays()


@given(
    st.sampled_from(["left", "right", "feature", "roots"]),
    st.integers(0, 200),
    st.integers(-(2**40), 2**40),
)
@settings(max_examples=150, deadline=None)
def test_any_changed_index_is_refused_or_still_ends_in_a_leaf(name, position, value):
    changed = ARRAYS[name].copy()
    changed[position % len(changed)] = value % 150 if value % 3 else value
    try:
        trees = TreeArrays.from_arrays(ARRAYS | {name: changed})
    except DamagedArtifact:
        return
    assert np.isfinite(trees.predict(rows(5)[0])).all()
