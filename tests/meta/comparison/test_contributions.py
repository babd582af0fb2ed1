import itertools
import math

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.metrics.bootstrap import system_means
from base_models.metrics.evaluate import mse, srcc
from meta.columns.feature_table import Layout
from meta.comparison import contributions as module
from meta.comparison.contributions import HeldOutRows, contributions
from meta.ridge_algebra.gram import Gram

ALPHA = 0.3


def meta_rows(models=4, n=120, systems=6, seed=0, bins=5):
    """Features, labels, system codes, which rows are held out, and the layout.

    Model 0 is best, the last one is noise.
    """
    rng = np.random.default_rng(seed)
    grid = ScoreBins(count=bins)
    system = np.arange(n) % systems
    y = np.clip(3 + rng.normal(0, 0.7, systems)[system] + rng.normal(0, 0.5, n), 1, 5)
    scores = [
        np.clip(y + rng.normal(0, 0.3 + 0.3 * k, n), 1, 5) for k in range(models - 1)
    ] + [rng.uniform(1, 5, n)]
    X = np.concatenate([grid.soften(s, 0.35) for s in scores], axis=1)
    names = tuple(f"m{k}" for k in range(models))
    return X, y, system, np.arange(n) >= n // 2, Layout(names, (0.35,) * models, grid)


def measured(models=4, seed=0, **options):
    X, y, system, held, layout = meta_rows(models, seed=seed)
    train, test = (
        Gram.from_rows(X[~held], y[~held]),
        HeldOutRows.of(X[held], y[held], system[held].astype(str)),
    )
    return contributions(train, test, layout, ALPHA, **options)


def refitted(models=4, seed=0):
    """Gain of every subset of models, fitted anew by scikit-learn."""
    X, y, system, held, layout = meta_rows(models, seed=seed)
    gains = {}
    for subset in itertools.chain.from_iterable(
        itertools.combinations(range(models), k) for k in range(models + 1)
    ):
        X_of = layout.blocks(X)[:, list(subset)].reshape(len(X), -1)
        scores = np.full(held.sum(), y[~held].mean())
        if subset:
            scores = (
                Ridge(alpha=ALPHA, solver="cholesky")
                .fit(X_of[~held], y[~held])
                .predict(X_of[held])
            )
        ranks = (
            srcc(
                system_means(y[held], system[held]), system_means(scores, system[held])
            )
            if subset
            else 0.0
        )
        gains[frozenset(subset)] = np.array([-mse(y[held], scores), ranks])
    return gains


def test_drop_one_and_shapley_are_those_of_refitting_every_subset():
    found, gains, m = measured(), refitted(), 4
    everyone = frozenset(range(m))
    for k in range(m):
        orders = [
            set(order[: order.index(k)]) for order in itertools.permutations(range(m))
        ]
        expected = np.mean(
            [gains[frozenset(s | {k})] - gains[frozenset(s)] for s in orders], axis=0
        )
        rows = found[found["model"] == f"m{k}"]
        np.testing.assert_allclose(rows["shapley"], expected, atol=1e-8)
        np.testing.assert_allclose(
            rows["drop_one"], gains[everyone] - gains[everyone - {k}], atol=1e-8
        )
    assert found["exact"].all()
    assert (found["standard_error"] == 0).all()


def test_shapley_values_sum_to_what_all_models_give_over_the_training_mean():
    gains = refitted(5, seed=2)
    total = measured(5, seed=2).groupby("metric")["shapley"].sum()
    expected = gains[frozenset(range(5))] - gains[frozenset()]
    np.testing.assert_allclose(total[["mse", "srcc"]], expected, atol=1e-8)


def test_the_best_model_gives_most_and_noise_next_to_nothing():
    found = measured().pivot(index="model", columns="metric", values="shapley")
    assert found["mse"].idxmax() == "m0"
    assert abs(found.loc["m3", "mse"]) < 0.1 * found.loc["m0", "mse"]


def test_two_models_that_say_the_same_share_what_drop_one_denies_both():
    X, y, system, held, layout = meta_rows()
    blocks = layout.blocks(X).copy()
    blocks[:, 1] = blocks[:, 0]
    X = blocks.reshape(len(X), -1)
    train = Gram.from_rows(X[~held], y[~held])
    test = HeldOutRows.of(X[held], y[held], system[held])
    found = contributions(train, test, layout, 1e-3)
    found = found[found["metric"] == "mse"].set_index("model")
    assert found.loc["m0", "shapley"] == pytest.approx(found.loc["m1", "shapley"])
    assert abs(found.loc["m0", "drop_one"]) < 0.05 * found.loc["m0", "shapley"]


def test_drawn_orders_agree_with_all_subsets_within_their_error(monkeypatch):
    exact = measured()
    monkeypatch.setattr(module, "EXACT_MODELS", 3)
    drawn = measured(n_orders=400)
    assert not drawn["exact"].any()
    assert (drawn["standard_error"] > 0).all()
    assert (
        np.abs(drawn["shapley"] - exact["shapley"]) <= 4 * drawn["standard_error"]
    ).all()
    np.testing.assert_allclose(drawn["drop_one"], exact["drop_one"])
    assert math.isclose(drawn["shapley"].sum(), exact["shapley"].sum(), rel_tol=1e-9)


def test_what_does_not_fit_is_refused(monkeypatch):
    X, y, system, _, layout = meta_rows()
    gram = Gram.from_rows(X, y)
    test = HeldOutRows.of(X, y, system)
    with pytest.raises(
        UsageError,
        match="as many features for each of the 4 models and 1 target; got 15 feat",
    ):
        contributions(Gram.from_rows(X[:, :15], y), test, layout, ALPHA)
    with pytest.raises(UsageError, match="above 0; got 0"):
        contributions(gram, test, layout, 0.0)
    monkeypatch.setattr(module, "EXACT_MODELS", 3)
    with pytest.raises(UsageError, match="at least 2 of them; got 1"):
        contributions(gram, test, layout, ALPHA, n_orders=1)


def gains_of(table):
    return {
        (row["model"], row["metric"]): (row["shapley"], row["drop_one"])
        for row in table.to_dict("records")
    }


def test_models_that_join_together_are_one_player():
    names = ["a", "b", "a", "c"]
    members = {"a": [0, 2], "b": [1], "c": [3]}
    found = gains_of(measured(players=names))
    gains = refitted()
    for metric in range(2):

        def gain(players, metric=metric):
            models = (model for name in players for model in members[name])
            return gains[frozenset(models)][metric]

        for name in members:
            steps = []
            for order in itertools.permutations(members):
                before = order[: order.index(name)]
                steps.append(gain((*before, name)) - gain(before))
            others = [other for other in members if other != name]
            shapley, drop_one = found[name, ("mse", "srcc")[metric]]
            assert shapley == pytest.approx(np.mean(steps), abs=1e-8)
            assert drop_one == pytest.approx(
                gain(list(members)) - gain(others), abs=1e-9
            )


def test_players_share_out_what_all_models_give():
    by_model = measured().groupby("metric")["shapley"].sum()
    together = measured(players=["a", "b", "a", "b"])
    by_player = together.groupby("metric")["shapley"].sum()
    np.testing.assert_allclose(by_player, by_model)
    assert together["exact"].all()
    assert list(together["model"].unique()) == ["a", "b"]
