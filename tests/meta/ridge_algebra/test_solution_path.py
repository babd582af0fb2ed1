import numpy as np
import pytest
import sklearn.linear_model

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.columns.feature_table import Layout
from meta.learners.ridge import Ridge
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import (
    GRID,
    RidgePath,
    centred,
    leave_blocks_out,
    mean_eigenvalue,
)

RNG = np.random.default_rng(0)
RELATIVE = np.array([1e-6, 1e-2, 1.0, 1e3])


def relative_alphas(gram, relative):
    return np.asarray(relative) * mean_eigenvalue(gram)


def table(n=80, p=12, kind="plain"):
    """Features that break a careless solver, two targets, weights and groups."""
    X = RNG.normal(size=(n, p)) + 3
    if kind == "constant":
        X[:, 2] = 1.7
    if kind == "duplicated":
        X[:, 5] = X[:, 1]
    if kind == "sums to 1":
        X = np.exp(X.reshape(n, -1, 4))
        X = (X / X.sum(axis=2, keepdims=True)).reshape(n, p)
    Y = X[:, :2] * [1, -2] + RNG.normal(size=(n, 2))
    return X, Y, RNG.integers(0, 4, n).astype(float), RNG.integers(0, 5, n).astype(str)


def refit(X, Y, weight, alpha):
    """The slow obvious version: centre, and solve least squares by SVD."""
    mean_x, mean_y = (np.average(a, axis=0, weights=weight) for a in (X, Y))
    root = np.sqrt(weight)[:, None]
    A = np.vstack([root * (X - mean_x), np.sqrt(alpha) * np.eye(X.shape[1])])
    b = np.vstack([root * (Y - mean_y), np.zeros((X.shape[1], Y.shape[1]))])
    coef = np.linalg.lstsq(A, b, rcond=1e-13)[0]
    return coef, mean_y - mean_x @ coef


KINDS = pytest.mark.parametrize(
    ("kind", "n", "p"),
    [
        ("plain", 80, 12),
        ("constant", 80, 12),
        ("duplicated", 80, 12),
        ("sums to 1", 80, 12),
        ("plain", 20, 40),
    ],
)


@KINDS
def test_the_path_is_each_penalty_refitted(kind, n, p):
    X, Y, weight, groups = table(n, p, kind)
    gram = Gram.from_rows(X, Y, weight, groups)
    alphas, path = relative_alphas(gram, RELATIVE), RidgePath.of(gram)
    kept = weight > 0
    for k, alpha in enumerate(alphas):
        coef, intercept = refit(X[kept], Y[kept], weight[kept], alpha)
        np.testing.assert_allclose(
            path.predict(X, alphas)[:, k], X @ coef + intercept, rtol=1e-8, atol=1e-8
        )
        model = sklearn.linear_model.Ridge(alpha, solver="svd").fit(X, Y, weight)
        np.testing.assert_allclose(
            path.predict(X, alphas)[:, k], model.predict(X), rtol=1e-6, atol=1e-6
        )
        by_hand = X @ path.coef(alphas)[k] + path.intercept(alphas)[k]
        np.testing.assert_allclose(by_hand, path.predict(X, alphas)[:, k], atol=1e-9)


@KINDS
def test_leaving_each_group_out_is_refitting_without_it(kind, n, p):
    X, Y, weight, groups = table(n, p, kind)
    gram = Gram.from_rows(X, Y, weight, groups)
    alphas = relative_alphas(gram, RELATIVE)
    left = leave_blocks_out(gram, alphas)
    for k, name in enumerate(gram.names):
        held = name == groups
        for a, alpha in enumerate(alphas):
            rest = ~held & (weight > 0)
            coef, intercept = refit(X[rest], Y[rest], weight[rest], alpha)
            squares = (
                weight[held, None] * (Y[held] - X[held] @ coef - intercept) ** 2
            ).sum(axis=0)
            np.testing.assert_allclose(
                left.squares[k, a], squares, rtol=1e-8, atol=1e-8
            )
    np.testing.assert_allclose(left.mse * weight.sum(), left.squares.sum(axis=0))


def test_folds_of_groups_are_groups_added_up():
    X, Y, weight, groups = table()
    gram, fold = (
        Gram.from_rows(X, Y, weight, groups),
        {"0": "a", "1": "b", "2": "a", "3": "b", "4": "a"},
    )
    alphas = relative_alphas(gram, RELATIVE)
    by_fold = leave_blocks_out(
        gram.regrouped([fold[name] for name in gram.names]), alphas
    )
    from_rows = leave_blocks_out(
        Gram.from_rows(X, Y, weight, [fold[name] for name in groups]), alphas
    )
    np.testing.assert_allclose(by_fold.mse, from_rows.mse, rtol=1e-9)


def test_a_holdout_of_fewer_columns_is_a_refit_on_them():
    X, Y, weight, groups = table()
    columns, held = [7, 0, 3], groups == "3"
    gram = Gram.from_rows(X[:, columns], Y, weight, np.where(held, "held", "rest"))
    alphas = relative_alphas(gram, RELATIVE)
    test = gram.take_blocks([gram.names.index("held")])
    squares = RidgePath.of(gram - test).squared_error(test, alphas)
    found = squares / test.weight.sum()
    for a, alpha in enumerate(alphas):
        rest = ~held & (weight > 0)
        coef, intercept = refit(X[rest][:, columns], Y[rest], weight[rest], alpha)
        errors = Y[held] - X[held][:, columns] @ coef - intercept
        np.testing.assert_allclose(
            found[a], np.average(errors**2, axis=0, weights=weight[held]), rtol=1e-8
        )


@pytest.mark.parametrize("grip", [0.0, 0.7])
@pytest.mark.parametrize(("n", "p"), [(80, 12), (20, 40)])
def test_gcv_is_the_error_over_the_squared_share_of_free_rows(n, p, grip):
    X, Y, _, _ = table(n, p)
    gram, weight = Gram.from_rows(X, Y), np.ones(n)
    alphas = relative_alphas(gram, RELATIVE)
    for a, alpha in enumerate(alphas):
        C = X - X.mean(axis=0)
        H = np.full((n, n), 1 / (n + alpha * grip)) + C @ np.linalg.solve(
            C.T @ C + alpha * np.eye(p), C.T
        )
        expected = np.mean((Y - H @ Y) ** 2, axis=0) / (1 - np.trace(H) / n) ** 2
        np.testing.assert_allclose(
            RidgePath.of(gram, grip).gcv(alphas)[a],
            expected,
            rtol=1e-4 if p > n else 1e-8,
        )
    twice = Gram.from_rows(np.vstack([X, X]), np.vstack([Y, Y]))
    double = RidgePath.of(Gram.from_rows(X, Y, 2 * weight), grip).gcv(alphas)
    np.testing.assert_allclose(double, RidgePath.of(twice, grip).gcv(alphas), rtol=1e-7)


def test_each_target_may_have_a_penalty_of_its_own():
    X, Y, weight, groups = table()
    gram = Gram.from_rows(X, Y, weight, groups)
    alphas, path = relative_alphas(gram, RELATIVE), RidgePath.of(gram)
    own = alphas[[[2, 0]]]
    assert own.shape == (1, 2)
    for t, a in enumerate((2, 0)):
        np.testing.assert_allclose(path.coef(own)[0, :, t], path.coef(alphas)[a, :, t])
        np.testing.assert_allclose(
            path.intercept(own)[0, t], path.intercept(alphas)[a, t]
        )
        np.testing.assert_allclose(path.gcv(own)[0, t], path.gcv(alphas)[a, t])
        np.testing.assert_allclose(
            path.squared_error(gram, own)[0, t], path.squared_error(gram, alphas)[a, t]
        )


def test_the_error_is_exact_with_a_penalised_level_too():
    X, Y, weight, _ = table()
    gram, path = (
        Gram.from_rows(X, Y, weight),
        RidgePath.of(Gram.from_rows(X[:30], Y[:30], weight[:30]), 0.3),
    )
    alphas = relative_alphas(gram, RELATIVE)
    direct = np.einsum("n,nat->at", weight, (Y[:, None] - path.predict(X, alphas)) ** 2)
    np.testing.assert_allclose(path.squared_error(gram, alphas), direct, rtol=1e-10)


def test_a_penalty_that_grows_leaves_nothing_of_a_penalised_level():
    X, Y, _, _ = table()
    gram = Gram.from_rows(X, Y)
    last = relative_alphas(gram, [1e15])
    np.testing.assert_allclose(RidgePath.of(gram, 0.01).predict(X, last), 0, atol=1e-9)
    np.testing.assert_allclose(
        RidgePath.of(gram).predict(X, last)[:, 0], Y.mean(axis=0) + 0 * Y, atol=1e-9
    )


def test_no_penalty_is_the_solution_of_least_norm():
    X, Y, _, _ = table(20, 40)
    path = RidgePath.of(Gram.from_rows(X, Y))
    expected = np.linalg.pinv(X - X.mean(axis=0)) @ (Y - Y.mean(axis=0))
    np.testing.assert_allclose(path.coef([0.0])[0], expected, atol=1e-9)


def test_rows_taken_away_leave_the_path_of_the_rest():
    X, Y, weight, groups = table()
    gram = Gram.from_rows(X, Y, weight, groups)
    rest = gram - Gram.from_rows(X[:10], Y[:10], weight[:10], groups[:10])
    alphas = relative_alphas(rest, RELATIVE)
    fresh = RidgePath.of(Gram.from_rows(X[10:], Y[10:], weight[10:]))
    np.testing.assert_allclose(
        RidgePath.of(rest).predict(X, alphas), fresh.predict(X, alphas), rtol=1e-8
    )


def test_bins_in_float32_cost_no_accuracy():
    X, Y, weight, groups = table(kind="sums to 1")
    X = X.astype(np.float32)
    grams = [Gram.from_rows(x, Y, weight, groups) for x in (X, X.astype(np.float64))]
    alphas = relative_alphas(grams[0], RELATIVE)
    np.testing.assert_allclose(
        leave_blocks_out(grams[0], alphas).mse,
        leave_blocks_out(grams[1], alphas).mse,
        rtol=1e-9,
    )


def test_constant_features_and_equal_labels_leave_the_mean():
    X, Y, weight, groups = table()
    flat = Gram.from_rows(np.full_like(X, 0.1), Y, weight, groups)
    path = RidgePath.of(flat)
    assert len(path.values) == 0
    np.testing.assert_allclose(
        path.predict(X, [1.0])[:, 0], np.average(Y, axis=0, weights=weight) + 0 * Y
    )
    same = Gram.from_rows(X, np.full_like(Y, 2.5), weight, groups)
    alphas = relative_alphas(same, RELATIVE)
    np.testing.assert_allclose(RidgePath.of(same).predict(X, alphas), 2.5)
    assert leave_blocks_out(same, alphas).mse.max() < 1e-20
    assert RidgePath.of(same).gcv(alphas).max() < 1e-20


def test_folds_need_two_groups_and_a_fit_needs_rows():
    X, Y, _, _ = table()
    with pytest.raises(UsageError, match="needs at least 2 of them; got 1"):
        leave_blocks_out(Gram.from_rows(X, Y), [1.0])
    with pytest.raises(UsageError, match="No row of positive weight"):
        centred(Gram.from_rows(X[:0], Y[:0]))


# ---- the ends of the grid


def one_model(bins):
    """A single model over the middle of a scale: its features, layout and scores."""
    share = np.random.default_rng(0).uniform(0.25, 0.75, 60)
    sigma = bins.soften_sigma
    X = bins.soften(bins.low + share * (bins.high - bins.low), sigma)
    layout = Layout(("only",), (sigma,), bins)
    return X, layout, layout.scores(X)[:, 0]


def test_the_grid_runs_from_1e_minus_8_to_1e3_with_four_penalties_a_decade():
    assert GRID[0] == pytest.approx(1e-8)
    assert GRID[-1] == pytest.approx(1e3)
    np.testing.assert_allclose(GRID[4:] / GRID[:-4], 10)


@pytest.mark.parametrize("penalty", ["ridge", "to_mean", "banded"])
@pytest.mark.parametrize("grouped", [False, True], ids=["no groups", "groups"])
def test_of_noise_a_thousandth_is_learnt_by_the_upper_end_of_the_grid(penalty, grouped):
    X, layout, scores = one_model(ScoreBins())
    centred_scores = scores - scores.mean()
    noise = np.random.default_rng(1).normal(0, 0.4, 60)
    noise -= noise.mean()
    noise -= centred_scores * (centred_scores @ noise) / np.sum(centred_scores**2)
    slope = -0.03  # a chance slope, far below what noise gives as a rule
    limit = scores if penalty == "to_mean" else np.full(60, 3.0)
    y = limit + noise + slope * centred_scores
    groups = [f"s{k % 12}" for k in range(60)] if grouped else None
    model = Ridge(penalty, features="score", group_weight=0)
    model.fit(X, y, layout, groups=groups)
    assert model.facts_["relative_alpha"] == pytest.approx(1e3)
    assert model.facts_["at_edge"]
    assert "upper end of its penalty grid" in model.warnings_[0]
    # with a single column, the unit of the grid is the one eigenvalue
    expected = slope * centred_scores / 1001
    np.testing.assert_allclose(model.predict(X) - limit, expected, rtol=1e-3, atol=1e-9)


def test_what_is_exact_is_learnt_by_the_lower_end_of_the_grid():
    wide = ScoreBins(0.0, 100.0)  # on 1..5, rounding sets a higher end
    X, layout, scores = one_model(wide)
    model = Ridge("ridge", features="score", group_weight=0)
    model.fit(X, 10 + 0.8 * scores, layout)
    assert model.facts_["relative_alpha"] == pytest.approx(1e-8)
    assert "lower end of its penalty grid" in model.warnings_[0]
    np.testing.assert_allclose(model.predict(X), 10 + 0.8 * scores, rtol=1e-7)
