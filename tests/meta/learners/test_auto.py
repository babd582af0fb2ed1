import numpy as np
import pytest
from builders import Predictor, feature_matrix, labelled_features

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact
from base_models.metrics.evaluate import mse
from meta.columns.feature_table import Layout
from meta.learners.auto import Auto, paired_gain
from meta.learners.base import FitInputs
from meta.learners.inner_folds import MergedRows, grouped_folds, merged_rows
from meta.learners.weighted_scores import Mean

BINS = ScoreBins()
LAYOUT = Layout(("m0", "m1", "m2"), (0.35, 0.35, 0.35), BINS)


def equally_good(n, *, bias=0.0, seed=0):
    """Features of three models that are alike, labels, and 20 systems."""
    predictors = dict.fromkeys(LAYOUT.models, Predictor(noise=0.5, bias=bias))
    options = {"seed": seed, "systems": 20, "predictors": predictors}
    return labelled_features(LAYOUT, n, **options)


def test_a_shared_bias_makes_it_leave_the_mean_and_say_so():
    X, y, groups = equally_good(150, bias=-0.8)
    learner = Auto().fit(X, y, LAYOUT, groups=groups)
    facts = learner.describe()
    assert facts["chosen"] == "mixture"
    assert facts["gain_over_mean"] > facts["standard_error"] > 0
    assert "more than one, so the mixture is taken" in facts["why"]
    assert sum(facts["weights"].values()) == pytest.approx(1)
    unseen, truth, _ = equally_good(200, bias=-0.8, seed=1)
    assert mse(truth, learner.predict(unseen)) < 0.6 * mse(
        truth, Mean().fit(X, y, LAYOUT).predict(unseen)
    )


def test_equally_good_models_keep_the_plain_mean():
    X, y, groups = equally_good(60)
    learner = Auto().fit(X, y, LAYOUT, groups=groups)
    assert learner.facts_["chosen"] == "mean"
    assert "so the mean stays" in learner.describe()["why"]
    np.testing.assert_array_equal(
        learner.predict(X), Mean().fit(X, y, LAYOUT).predict(X)
    )


def shifted(shift, seed):
    """Two models, off by `shift`, and by 0.2 more or less on each of 20 systems."""
    rng = np.random.default_rng(seed)
    system = np.repeat(np.arange(20), 6)
    y = rng.uniform(1.6, 4.4, 120)
    off = shift + np.where(system % 2, 0.2, -0.2)
    scores = (y + off)[:, None] + rng.normal(0, 0.05, (120, 2))
    X = feature_matrix(scores.T)
    return X, y, Layout(("one", "other"), (0.35, 0.35), BINS), [f"s{k}" for k in system]


@pytest.mark.parametrize("seed", [1, 3])
@pytest.mark.parametrize("shift", [0.05, 0.07])
def test_a_gain_of_less_than_one_standard_error_keeps_the_plain_mean(shift, seed):
    X, y, layout, groups = shifted(shift, seed)
    learner = Auto().fit(X, y, layout, groups=groups)
    facts = learner.describe()
    assert 0.2 < facts["gain_over_mean"] / facts["standard_error"] < 0.8
    assert facts["chosen"] == "mean"
    mean = Mean().fit(X, y, layout)
    np.testing.assert_array_equal(learner.predict(X), mean.predict(X))


@pytest.mark.parametrize("seed", range(4))
def test_a_gain_of_clearly_more_than_one_standard_error_leaves_the_plain_mean(seed):
    X, y, layout, groups = shifted(0.3, seed)
    learner = Auto().fit(X, y, layout, groups=groups)
    facts = learner.describe()
    assert facts["gain_over_mean"] / facts["standard_error"] > 2
    assert facts["chosen"] == "mixture"
    mean = Mean().fit(X, y, layout)
    assert np.mean(learner.predict(X) - mean.predict(X)) == pytest.approx(-0.3, abs=0.1)


@pytest.mark.parametrize(("n", "groups"), [(10, None), (40, ["a", "b"] * 20)])
def test_too_few_rows_or_groups_get_the_plain_mean(n, groups):
    X, y, _ = equally_good(n, bias=-1.0)
    assert (
        "too few to compare"
        in Auto().fit(X, y, LAYOUT, groups=groups).describe()["why"]
    )


def test_trees_join_in_when_there_are_enough_rows_and_the_mixture_is_kept_as_arrays():
    X, y, groups = equally_good(240, bias=-0.8)
    learner = Auto().fit(X, y, LAYOUT, groups=groups)
    assert "lightgbm" in learner.facts_["mse_out_of_fold"]
    again = Auto.from_arrays(
        learner.to_arrays(), LAYOUT, learner.facts_, learner.get_params()
    )
    np.testing.assert_array_equal(again.predict(X), learner.predict(X))


def test_a_damaged_mixture_is_refused():
    X, y, groups = equally_good(60, bias=-0.8)
    learner = Auto().fit(X, y, LAYOUT, groups=groups)
    with pytest.raises(DamagedArtifact, match="which learners it mixes"):
        Auto.from_arrays(learner.to_arrays(), LAYOUT, {"fitted": {"oracle": {}}}, {})
    with pytest.raises(DamagedArtifact, match="'weight'"):
        Auto.from_arrays({}, LAYOUT, learner.facts_, {})


def test_the_standard_error_of_equal_groups_is_that_of_their_means():
    rng = np.random.default_rng(0)
    loss, group = rng.normal(1, 1, 60), np.repeat(np.arange(12), 5)
    gain, error = paired_gain(loss, np.zeros(60), np.ones(60), group)
    means = loss.reshape(12, 5).mean(axis=1)
    assert gain == pytest.approx(means.mean())
    assert error == pytest.approx(means.std(ddof=1) / np.sqrt(12))


def test_equal_rows_are_merged_and_the_order_is_canonical():
    X, y, groups = equally_good(20)
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(20), 2))
    once = merged_rows(LAYOUT, FitInputs(X, y, np.full(20, 2.0), groups))
    repeated = FitInputs(X[order], y[order], np.ones(40), groups[order])
    twice = merged_rows(LAYOUT, repeated)
    assert len(once) == len(twice) == 20
    for field in ("X", "y", "weight", "group"):
        np.testing.assert_array_equal(getattr(once, field), getattr(twice, field))


def test_folds_keep_groups_whole_and_scores_alike():
    _, y, groups = equally_good(200)
    code = np.unique(groups, return_inverse=True)[1]
    fold = grouped_folds(MergedRows(np.empty((200, 0)), y, np.ones(200), code))
    assert all(len(set(fold[code == g])) == 1 for g in range(20))
    assert np.ptp(np.bincount(fold)) == 0
    assert np.ptp([y[fold == k].mean() for k in range(5)]) < 0.15
    three = MergedRows(np.empty((3, 0)), y[:3], np.ones(3), np.arange(3))
    assert set(grouped_folds(three)) == {0, 1, 2}
