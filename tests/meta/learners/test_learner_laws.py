"""Laws that every learner keeps.

They are about weights, order, missing models, odd models, and a way to disk and back.
"""

import numpy as np
import pytest
from builders import labelled_features
from sklearn.base import clone

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import from_json, parse_tensors, to_json, write_tensors
from meta.columns.feature_table import Layout
from meta.learners import LEARNERS
from meta.learners.pools import log_pool

BINS = ScoreBins()
LAYOUT = Layout(("good", "noisy", "biased", "opposed"), (0.25, 0.35, 0.35, 0.0), BINS)
BLEND = [
    "mean",
    "best",
    "simplex",
    "greedy",
    "linear_pool",
    "log_pool",
    "crps",
    "log_score",
]
MINE = [name for name in LEARNERS if name not in ("ridge", "paper_lightgbm")]
"""Learners to which a weight of 2 is a row given twice. Ridge counts each group's mean
as a clip, and LightGBM's defaults ask for 20 rows in a leaf, whatever they weigh."""
FILLS = [name for name in LEARNERS if "missing" in LEARNERS[name]().get_params()]


def fitted(name, X, y, layout=LAYOUT, weight=None, groups=None, **params):
    return LEARNERS[name](**params).fit(X, y, layout, weight, groups)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("name", MINE)
def test_a_whole_weight_is_a_row_repeated_and_none_is_a_row_left_out(name, grouped):
    X, y, systems = labelled_features(LAYOUT, 60)
    weight = np.random.default_rng(1).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), weight)
    weighted = fitted(name, X, y, weight=weight, groups=systems if grouped else None)
    repeated = fitted(name, X[rows], y[rows], groups=systems[rows] if grouped else None)
    unseen = labelled_features(LAYOUT, 60, seed=5)[0]
    np.testing.assert_allclose(
        weighted.predict(unseen), repeated.predict(unseen), rtol=1e-7
    )


@pytest.mark.parametrize("name", MINE)
def test_what_stands_in_a_row_of_weight_0_does_not_matter(name):
    X, y, systems = labelled_features(LAYOUT, 60)
    X[:3], y[3:6] = np.nan, 1e6
    weight = np.r_[np.zeros(6), np.ones(54)]
    kept = fitted(name, X[6:], y[6:], groups=systems[6:])
    np.testing.assert_allclose(
        fitted(name, X, y, weight=weight, groups=systems).predict(X[6:]),
        kept.predict(X[6:]),
        rtol=1e-9,
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_the_order_of_rows_does_not_matter(name):
    X, y, systems = labelled_features(LAYOUT, 60)
    order = np.random.default_rng(2).permutation(len(y))
    straight, shuffled = (
        fitted(name, X[k], y[k], groups=systems[k]).predict(X)
        for k in (np.arange(len(y)), order)
    )
    np.testing.assert_allclose(shuffled, straight, rtol=1e-7)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_order_of_models_does_not_matter(name):
    X, y, systems = labelled_features(LAYOUT, 60)
    order = [2, 0, 3, 1]
    other = Layout(
        tuple(LAYOUT.models[k] for k in order),
        tuple(LAYOUT.sigmas[k] for k in order),
        BINS,
    )
    turned = LAYOUT.blocks(X)[:, order].reshape(len(X), -1)
    straight = fitted(name, X, y, groups=systems).predict(X)
    np.testing.assert_allclose(
        fitted(name, turned, y, other, groups=systems).predict(turned),
        straight,
        rtol=1e-7,
    )


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_comes_back_from_a_file_bit_for_bit(name, tmp_path):
    X, y, systems = labelled_features(LAYOUT, 60)
    learner = fitted(name, X, y, groups=systems)
    write_tensors(tmp_path / "learner.safetensors", learner.to_arrays())
    arrays = parse_tensors((tmp_path / "learner.safetensors").read_bytes(), "learner")
    facts, params = (
        from_json(to_json(what), "facts")
        for what in (learner.facts_, learner.get_params(deep=False))
    )
    again = LEARNERS[name].from_arrays(arrays, LAYOUT, facts, params)
    np.testing.assert_array_equal(again.predict(X), learner.predict(X))
    assert to_json(again.describe()) == to_json(learner.describe())


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_is_its_parameters_until_it_is_fitted(name):
    learner = LEARNERS[name]()
    assert vars(learner) == learner.get_params(deep=False)
    assert clone(learner).get_params() == learner.get_params()
    from_json(to_json(learner.get_params()), "parameters")


def odd(kind, n=40):
    """A good model and one that is odd."""
    X, y, systems = labelled_features(LAYOUT, n)
    X = X[:, :20]
    other = {
        "constant": np.tile(X[:1], (n, 1)),
        "duplicate": X,
        "opposed": X[:, ::-1],
        "broken": np.eye(20)[np.random.default_rng(3).integers(0, 20, n)],
    }[kind]
    return (
        np.concatenate([X, other], axis=1),
        y,
        Layout(("good", "odd"), (0.25, 0.25), BINS),
        systems,
    )


@pytest.mark.parametrize("kind", ["constant", "duplicate", "opposed", "broken"])
@pytest.mark.parametrize("name", LEARNERS)
def test_odd_models_are_no_error_and_learnt_weights_pass_over_them(name, kind):
    X, y, layout, systems = odd(kind)
    learner = fitted(name, X, y, layout, groups=systems)
    predicted = learner.predict(X)
    assert np.isfinite(predicted).all()
    if name in ("best", "simplex", "greedy", "crps", "log_score"):
        alone = np.mean((layout.scores(X)[:, 0] - y) ** 2)
        assert np.mean((predicted - y) ** 2) < alone + 0.03
        if kind == "duplicate" and name not in ("best", "greedy"):
            np.testing.assert_allclose(learner.weights_, 0.5, atol=1e-6)


@pytest.mark.parametrize("name", LEARNERS)
def test_one_row_one_model_and_equal_labels_can_be_learnt_from(name):
    X, y, systems = labelled_features(LAYOUT, 30)
    one = Layout(("good",), (0.25,), BINS)
    assert np.isfinite(fitted(name, X[:1], y[:1]).predict(X)).all()
    alone = fitted(name, X[:, :20], y, one, groups=systems).predict(X[:, :20])
    if name in BLEND:
        np.testing.assert_allclose(alone, one.scores(X[:, :20])[:, 0], atol=1e-9)
    equal = fitted(name, X, np.full(30, 3.5), groups=systems).predict(X)
    assert np.isfinite(equal).all()


@pytest.mark.parametrize("name", LEARNERS)
def test_no_rows_have_no_predictions(name):
    X, y, _ = labelled_features(LAYOUT, 30)
    assert fitted(name, X, y).predict(X[:0]).shape == (0,)


@pytest.mark.parametrize("name", BLEND)
def test_combiners_stay_within_the_models_scores(name):
    X, y, systems = labelled_features(LAYOUT, 60)
    scores, predicted = LAYOUT.scores(X), fitted(name, X, y, groups=systems).predict(X)
    assert (predicted >= scores.min(axis=1) - 1e-9).all() or name == "log_pool"
    assert (predicted <= scores.max(axis=1) + 1e-9).all() or name == "log_pool"


def with_gaps(n=60):
    X, y, systems = labelled_features(LAYOUT, n)
    blocks = LAYOUT.blocks(X).copy()
    blocks[::5, 0], blocks[1::7, 2] = np.nan, np.nan
    return blocks.reshape(n, -1), X, y, systems


@pytest.mark.parametrize("name", FILLS)
def test_missing_models_are_refused_unless_the_learner_is_told_to_pool(name):
    gaps, X, y, systems = with_gaps()
    assert not LEARNERS[name]().accepts_missing
    message = (
        r"Predictions are missing: 'good: 12', 'biased: 9' of 60 rows\. "
        r".* missing='pool'"
    )
    with pytest.raises(UsageError, match=message):
        fitted(name, gaps, y)
    with pytest.raises(UsageError, match=message):
        fitted(name, X, y).predict(gaps)
    learner = fitted(name, gaps, y, groups=systems, missing="pool")
    assert learner.accepts_missing
    assert np.isfinite(learner.predict(gaps)).all()
    whole = ~np.isnan(gaps).any(axis=1)
    np.testing.assert_array_equal(
        learner.predict(gaps)[whole], learner.predict(X)[whole]
    )


@pytest.mark.parametrize("name", FILLS)
def test_a_row_without_any_model_is_refused_by_number(name):
    gaps, _, y, _ = with_gaps()
    gaps[[4, 8]] = np.nan
    with pytest.raises(
        UsageError, match="Rows '4', '8' have no prediction of any model"
    ):
        fitted(name, gaps, y, missing="pool")


@pytest.mark.parametrize("name", FILLS)
def test_half_a_block_is_not_a_missing_model(name):
    X, y, _ = labelled_features(LAYOUT, 60)
    X[2, 5] = np.nan
    with pytest.raises(UsageError, match="must be finite"):
        fitted(name, X, y, missing="pool")
    message = "Unknown treatment of missing predictions 'zero'"
    with pytest.raises(UsageError, match=message):
        fitted(name, X, y, missing="zero")


@pytest.mark.parametrize("name", BLEND)
def test_without_a_model_a_combiner_is_its_exact_sub_stack(name):
    X, y, _ = labelled_features(LAYOUT, 60)
    learner = fitted(name, X, y, missing="pool")
    gaps = X.copy()
    gaps[:, 20:40] = np.nan  # the noisy model
    kept = [0, 2, 3]
    weights = (
        learner.weights_[kept] / learner.weights_[kept].sum()
        if learner.weights_[kept].any()
        else np.ones(3) / 3
    )
    sub = Layout(
        tuple(LAYOUT.models[k] for k in kept),
        tuple(LAYOUT.sigmas[k] for k in kept),
        BINS,
    )
    params = learner.get_params()
    small = type(learner).from_arrays({"weights": weights}, sub, {}, params)
    rest = LAYOUT.blocks(X)[:, kept].reshape(len(X), -1)
    np.testing.assert_allclose(learner.predict(gaps), small.predict(rest), rtol=1e-12)


def test_a_log_pool_of_distributions_is_a_distribution():
    X, _, _ = labelled_features(LAYOUT, 60)
    X[:, 60:] = np.eye(20)[np.arange(60) % 20]  # zeros in a block
    pooled = log_pool(LAYOUT.blocks(X), np.full(4, 0.25))
    assert (pooled >= 0).all()
    np.testing.assert_allclose(pooled.sum(axis=1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", BLEND)
@pytest.mark.parametrize(
    "weights", [[0.5, 0.5, 0.5, -0.5], [0.5, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
)
def test_stored_weights_that_are_not_convex_are_refused(name, weights):
    with pytest.raises(DamagedArtifact, match="'weights'"):
        LEARNERS[name].from_arrays({"weights": np.array(weights)}, LAYOUT, {}, {})
