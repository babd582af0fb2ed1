import numpy as np
import pytest
from builders import feature_matrix

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from meta.columns.feature_table import Layout
from meta.learners.convex_weights import least_squares_weights
from meta.learners.weighted_scores import Best, Greedy, Mean, Simplex, Skill

BINS = ScoreBins()
LAYOUT = Layout(("often", "everywhere"), (0.35, 0.35), BINS)


def test_the_best_model_is_best_over_systems_when_there_are_groups():
    y = np.full(12, 3.0)
    often = np.r_[np.full(10, 3.1), 4.0, 4.0]  # good on the large system alone
    X = feature_matrix([often, np.full(12, 3.5)])
    systems = ["large"] * 10 + ["small", "tiny"]
    by_clip, by_group = (
        Best().fit(X, y, LAYOUT),
        Best().fit(X, y, LAYOUT, groups=systems),
    )
    assert (by_clip.describe()["model"], by_clip.facts_["counted_by"]) == (
        "often",
        "clip",
    )
    assert (by_group.describe()["model"], by_group.facts_["counted_by"]) == (
        "everywhere",
        "group",
    )
    np.testing.assert_allclose(by_group.predict(X), 3.5, atol=1e-6)


def test_of_equally_good_models_the_first_is_the_best():
    X = feature_matrix([[2, 3, 4], [2, 3, 4]])
    assert Best().fit(X, [2.1, 3, 4], LAYOUT).facts_["model"] == "often"


def test_learnt_weights_are_no_worse_than_the_mean_where_they_were_learnt():
    rng = np.random.default_rng(0)
    y = rng.uniform(1.5, 4.5, 80)
    X = feature_matrix([y + rng.normal(0, 0.2, 80), y + rng.normal(0, 0.9, 80)])
    errors = {
        kind: np.mean((kind().fit(X, y, LAYOUT).predict(X) - y) ** 2)
        for kind in (Mean, Best, Greedy, Simplex)
    }
    assert errors[Simplex] <= errors[Greedy] + 1e-9 <= errors[Best] + 2e-9
    assert errors[Greedy] < errors[Mean]


def test_more_rounds_come_closer_to_the_best_weights():
    rng = np.random.default_rng(1)
    y = rng.uniform(1.5, 4.5, 80)
    X = feature_matrix([y + rng.normal(0, 0.4, 80), y + rng.normal(0, 0.7, 80)])
    gaps = [
        Greedy(rounds=rounds).fit(X, y, LAYOUT).describe()["gap"]
        for rounds in (1, 10, 300)
    ]
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-3


# skill

THREE = Layout(("good", "noisy", "constant"), (0.35, 0.35, 0.35), BINS)


def three_models(n=60, seed=2):
    """Features of three models, and labels."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(2, 4, n)
    scores = [y + rng.normal(0, 0.2, n), y + rng.normal(0, 0.6, n), np.full(n, 3.1)]
    return feature_matrix(scores), y


def by_formula(X, y, weight, power):
    """Weights of `Skill`, model by model."""
    inverse = []
    for scores in THREE.scores(X).T:
        shift = np.average(scores, weights=weight) - np.average(y, weights=weight)
        error = np.average((scores - shift - y) ** 2, weights=weight)
        inverse.append(error**-power)
    return np.array(inverse) / sum(inverse)


@pytest.mark.parametrize("power", [0.0, 1.0, 4.0])
def test_skill_weighs_models_by_a_power_of_their_error(power):
    X, y = three_models()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    skill = Skill(power, least_squares=0.0).fit(X, y, THREE, sample_weight=weight)
    np.testing.assert_allclose(skill.weights_, by_formula(X, y, weight, power))
    assert skill.weights_.sum() == pytest.approx(1)

    scores = THREE.scores(X)
    deviations = scores - np.average(scores, axis=0, weights=weight)
    expected = np.average(y, weights=weight) + deviations @ skill.weights_
    np.testing.assert_allclose(skill.predict(X), expected)


def test_a_bias_of_a_model_does_not_matter_to_skill():
    rng = np.random.default_rng(3)
    y = rng.uniform(2, 4, 50)
    scores = np.array([y + rng.normal(0, 0.2, 50), y + rng.normal(0, 0.4, 50)])
    plain = feature_matrix(scores)
    biased = feature_matrix([scores[0] + 0.4, scores[1] - 0.3])
    before = Skill().fit(plain, y, LAYOUT)
    after = Skill().fit(biased, y, LAYOUT)
    np.testing.assert_allclose(after.weights_, before.weights_, atol=1e-6)
    np.testing.assert_allclose(after.predict(biased), before.predict(plain), atol=1e-6)
    # Of the rows that were learnt from, the mean prediction is the mean score.
    assert after.predict(biased).mean() == pytest.approx(y.mean())


def test_power_0_is_the_mean_of_the_unbiased_models():
    X, y = three_models()
    plain = Skill(power=0.0, least_squares=0.0).fit(X, y, THREE)
    np.testing.assert_allclose(plain.weights_, 1 / 3)


def test_skill_is_moved_towards_least_squares():
    X, y = three_models()
    by_skill, half, by_least_squares = (
        Skill(least_squares=share).fit(X, y, THREE).weights_ for share in (0.0, 0.5, 1)
    )
    np.testing.assert_allclose(half, (by_skill + by_least_squares) / 2)
    shifted = THREE.scores(X) - THREE.scores(X).mean(0) + y.mean()
    expected, _ = least_squares_weights(shifted, y)
    np.testing.assert_allclose(by_least_squares, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"power": -1.0}, "power must not be negative; got -1"),
        ({"power": np.nan}, "power must not be negative; got nan"),
        ({"least_squares": 1.5}, "least_squares must lie in 0..1; got 1.5"),
    ],
)
def test_a_power_or_share_that_cannot_be_is_refused(parameters, message):
    X, y = three_models()
    with pytest.raises(UsageError, match=message):
        Skill(**parameters).fit(X, y, THREE)


def test_a_huge_power_takes_the_best_model():
    X, y = three_models()
    best = Skill(power=1e9, least_squares=0.0).fit(X, y, THREE)
    np.testing.assert_allclose(best.weights_, [1, 0, 0])


def test_a_model_that_is_right_on_every_row_leaves_the_others_some_weight():
    y = np.linspace(2, 4, 20)
    X = feature_matrix([y, y + 0.3 * (-1.0) ** np.arange(20)])
    weights = Skill(least_squares=0.0).fit(X, y, LAYOUT).weights_
    assert 0 < weights[1] < 1e-6
    np.testing.assert_allclose(Skill().fit(X, y, LAYOUT).predict(X), y, atol=1e-5)


def test_constant_models_and_labels_predict_the_mean_label():
    X = feature_matrix([np.full(10, 2.0), np.full(10, 4.0)])
    y = np.linspace(2, 3, 10)
    np.testing.assert_allclose(Skill().fit(X, y, LAYOUT).predict(X), 2.5)
    same = Skill().fit(X, np.full(10, 3.3), LAYOUT)
    np.testing.assert_allclose(same.predict(X), 3.3)
    np.testing.assert_allclose(same.weights_, 0.5)


def test_skill_shares_the_weight_of_a_missing_model_among_the_others():
    X, y = three_models()
    skill = Skill(missing="pool").fit(X, y, THREE)
    without = X.copy()
    without[:, :20] = np.nan
    scores = THREE.scores(X)
    kept = skill.weights_[1:] / skill.weights_[1:].sum()
    deviations = (scores - skill.model_means_)[:, 1:] @ kept
    np.testing.assert_allclose(skill.predict(without), skill.mean_ + deviations)


def test_skill_read_from_arrays_predicts_the_same():
    X, y = three_models()
    skill = Skill().fit(X, y, THREE)
    again = Skill()
    again.layout_ = THREE
    again.restore(skill.to_arrays())
    np.testing.assert_array_equal(again.predict(X), skill.predict(X))

    for name, wrong in {
        "model_means": np.zeros(2),
        "mean": np.array([np.nan]),
        "weights": np.array([0.5, 0.6, 0.2]),
    }.items():
        with pytest.raises(DamagedArtifact, match=name):
            again.restore(skill.to_arrays() | {name: wrong})
