import numpy as np
import pytest
from builders import feature_matrix

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.columns.feature_table import Layout
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


def test_any_power_of_skill_leaves_weights_and_less_than_0_is_refused():
    rng = np.random.default_rng(2)
    y = rng.uniform(1.5, 4.5, 80)
    X = feature_matrix([y + rng.normal(0, 0.01, 80), y + rng.normal(0, 0.9, 80)])
    np.testing.assert_allclose(Skill(power=0).fit(X, y, LAYOUT).weights_, 0.5)
    np.testing.assert_allclose(Skill(power=1e9).fit(X, y, LAYOUT).weights_, [1, 0])
    with pytest.raises(UsageError, match=r"power must be at least 0, .* got -1"):
        Skill(power=-1).fit(X, y, LAYOUT)
