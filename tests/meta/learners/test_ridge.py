"""The ridge learner: what its penalties mean, how it chooses, and how it adapts."""

import numpy as np
import pytest
import sklearn.linear_model
from builders import PREDICTORS, SHARED_DATA, Predictor, feature_matrix
from sklearn.model_selection import LeaveOneGroupOut

from base_models.bins import ScoreBins
from base_models.clips.splits import folds
from base_models.errors import UsageError
from base_models.metrics.evaluate import ktau, srcc
from meta.columns.feature_table import Layout
from meta.columns.reductions import REDUCTIONS, columns_per_model, reduced_columns
from meta.learners import ridge as module
from meta.learners.base import FitInputs
from meta.learners.ridge import PENALTIES, Ridge
from meta.learners.ridge_problem import RidgeProblem, penalty_scale
from meta.ridge_algebra.penalty_choice import Losses, fold_of_groups
from meta.ridge_algebra.solution_path import GRID

BINS = ScoreBins()
LAYOUT = Layout(("good", "noisy", "biased"), (0.25, 0.35, 0.0), BINS)
BVCC = SHARED_DATA / "bvcc-predictions" / "val_half.csv"


def rated_systems(n=150, seed=0, systems=12):
    """Bins of the models, labels that differ by system, and the systems."""
    rng = np.random.default_rng(seed)
    system = rng.integers(0, systems, n)
    y = np.clip(1.5 + 2.5 * system / systems + rng.normal(0, 0.5, n), 1, 5)
    scores = [PREDICTORS[name].scores(y, rng) for name in LAYOUT.models]
    return feature_matrix(scores, LAYOUT.sigmas), y, [f"s{k}" for k in system]


TWINS = Layout(("one", "twin", "biased"), (0.25, 0.25, 0.0), BINS)
X, Y, SYSTEMS = rated_systems()
NEW = rated_systems(40, 1)[0]


def fitted(penalty="to_mean", rows=slice(None), groups=SYSTEMS, weight=None, **options):
    groups = None if groups is None else np.array(groups)[rows]
    return Ridge(penalty, **options).fit(X[rows], Y[rows], LAYOUT, weight, groups)


@pytest.mark.parametrize("features", [*REDUCTIONS, "auto"])
def test_towards_the_mean_a_large_penalty_gives_the_mean_of_the_decoded_scores(
    features,
):
    model = fitted(features=features, alpha=1e18)
    np.testing.assert_allclose(
        model.predict(NEW), LAYOUT.scores(NEW).mean(axis=1), atol=1e-10
    )


def test_towards_the_mean_a_small_penalty_gives_least_squares():
    S = LAYOUT.scores(X)
    expected = (
        sklearn.linear_model.LinearRegression().fit(S, Y).predict(LAYOUT.scores(NEW))
    )
    model = fitted(features="score", alpha=1e-9, group_weight=0)
    np.testing.assert_allclose(model.predict(NEW), expected, atol=1e-6)


@pytest.mark.parametrize("features", REDUCTIONS)
def test_plain_ridge_on_chosen_columns_is_scikit_learns(features):
    model = fitted("ridge", features=features, group_weight=0)
    theirs = sklearn.linear_model.Ridge(model.facts_["alpha"], solver="svd").fit(
        reduced_columns(LAYOUT, X, features), Y
    )
    np.testing.assert_allclose(
        model.predict(NEW),
        theirs.predict(reduced_columns(LAYOUT, NEW, features)),
        atol=1e-8,
    )


def test_the_published_stack_is_ridge_on_bins_with_a_penalty_of_1():
    model = fitted("ridge", features="bins", alpha=1.0, group_weight=0, groups=None)
    np.testing.assert_allclose(
        model.predict(NEW),
        sklearn.linear_model.Ridge(1.0).fit(X, Y).predict(NEW),
        atol=1e-9,
    )


def test_the_penalty_is_the_one_that_leaving_each_group_out_chooses():
    model, S = fitted("ridge", features="score", group_weight=0), LAYOUT.scores(X)
    alphas = GRID[20:45] * ((S - S.mean(axis=0)) ** 2).sum() / 3
    splits = list(LeaveOneGroupOut().split(S, Y, SYSTEMS))
    errors = np.zeros(len(alphas))
    for train, test in splits:
        for k, alpha in enumerate(alphas):
            theirs = sklearn.linear_model.Ridge(alpha).fit(S[train], Y[train])
            errors[k] += ((theirs.predict(S[test]) - Y[test]) ** 2).sum() / len(Y)
    assert model.facts_["alpha"] == pytest.approx(alphas[errors.argmin()])
    assert model.facts_["loss"] == pytest.approx(errors.min(), rel=1e-8)
    assert model.facts_["judged_by"] == "each group left out"


def test_a_groups_mean_counts_as_rows_of_the_weight_asked_for():
    S, names = LAYOUT.scores(X), np.unique(SYSTEMS)
    means = [
        [a[np.array(SYSTEMS) == name].mean(axis=0) for name in names] for a in (S, Y)
    ]
    theirs = sklearn.linear_model.Ridge(2.0, solver="svd")
    theirs.fit(
        np.vstack([S, means[0]]),
        np.r_[Y, means[1]],
        np.r_[np.ones(len(Y)), np.full(len(names), 3.0)],
    )
    model = fitted("ridge", features="score", alpha=2.0, group_weight=3.0)
    np.testing.assert_allclose(
        model.predict(NEW), theirs.predict(LAYOUT.scores(NEW)), atol=1e-9
    )


def test_smoothness_is_the_squared_second_difference_within_each_model():
    scale = penalty_scale(LAYOUT, 20, True, None)
    P = np.linalg.inv(scale @ scale.T)
    w = np.random.default_rng(0).normal(size=60)
    rough = sum((np.diff(part, n=2) ** 2).sum() for part in w.reshape(3, 20))
    assert w @ P @ w == pytest.approx(rough + 0.01 * w @ w)
    model = fitted("smooth", alpha=3.0, group_weight=0)
    C, y = X - X.mean(axis=0), Y - Y.mean()
    expected = np.linalg.solve(C.T @ C + 3.0 * P, C.T @ y)
    np.testing.assert_allclose(
        (NEW - X.mean(axis=0)) @ model.coef_,
        (NEW - X.mean(axis=0)) @ expected,
        atol=1e-7,
    )
    assert model.facts_["features"] == "bins"


def test_a_band_of_its_own_holds_down_what_only_adds_noise():
    model = fitted("banded", features="score")
    bands = model.facts_["bands"]
    assert bands["noisy"] >= max(bands.values())
    plain = fitted("ridge", features="score")
    assert model.facts_["loss"] <= plain.facts_["loss"] * (1 + 1e-9)
    again = fitted("banded", features="score")
    np.testing.assert_array_equal(again.coef_, model.coef_)


def test_bands_divide_the_penalty_of_each_model():
    S = LAYOUT.scores(X)
    model = fitted("banded", features="score", alpha=5.0, group_weight=0)
    P = np.diag([model.facts_["bands"][name] for name in LAYOUT.models])
    C = S - S.mean(axis=0)
    np.testing.assert_allclose(
        model.coef_, np.linalg.solve(C.T @ C + 5.0 * P, C.T @ (Y - Y.mean())), atol=1e-9
    )


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("groups", [None, SYSTEMS], ids=["no groups", "groups"])
def test_a_row_of_weight_0_is_a_row_left_out_and_one_of_weight_3_is_three(
    penalty, groups
):
    options = {"features": {"smooth": "bins", "banded": "score"}.get(penalty, "auto")}
    if penalty == "smooth" and groups is None:
        # Repeated rows predict each other: next to no penalty would be chosen.
        options["alpha"] = 0.1
    times = np.random.default_rng(0).integers(0, 4, len(Y))
    weighted = fitted(penalty, groups=groups, weight=times.astype(float), **options)
    repeated = fitted(
        penalty, rows=np.arange(len(Y)).repeat(times), groups=groups, **options
    )
    assert weighted.facts_["features"] == repeated.facts_["features"]
    np.testing.assert_allclose(weighted.predict(NEW), repeated.predict(NEW), rtol=1e-7)


def test_doubling_every_weight_changes_nothing_when_groups_are_left_out():
    once, twice = (
        fitted(group_weight=0, weight=np.full(len(Y), times)) for times in (1.0, 2.0)
    )
    np.testing.assert_allclose(twice.predict(NEW), once.predict(NEW), rtol=1e-9)


@pytest.mark.parametrize("penalty", ["ridge", "to_mean", "banded"])
@pytest.mark.parametrize("rows", [40, 150])
def test_the_coefficients_of_each_models_bins_sum_to_0(penalty, rows):
    options = {"alpha": 0.1} if penalty == "banded" else {}
    model = fitted(penalty, rows=slice(rows), features="bins", **options)
    sums = model.coef_.reshape(3, 20).sum(axis=1)
    assert np.abs(sums).max() < 1e-8 * np.abs(model.coef_).max()
    assert model.facts_["largest_sum_of_a_models_coefficients"] == np.abs(sums).max()


def test_shifting_every_score_shifts_every_prediction_of_plain_ridge():
    before, after = (
        Ridge("ridge").fit(X, scores, LAYOUT).predict(NEW) for scores in (Y, Y + 0.5)
    )
    np.testing.assert_allclose(after, before + 0.5, atol=1e-9)


def test_columns_are_chosen_by_groups_left_out_and_the_choice_is_reported():
    rng = np.random.default_rng(0)
    level, wide = rng.uniform(2, 4, 300), rng.random(300) < 0.5
    groups, layout = [f"g{k % 10}" for k in range(300)], Layout(("m",), (0.25,), BINS)
    softened = Ridge().fit(
        BINS.soften(level, 0.25), level + rng.normal(0, 0.3, 300), layout, None, groups
    )
    assert softened.facts_["features"] == "score"  # a softened score holds nothing else
    assert set(softened.facts_["compared"]) == set(REDUCTIONS)
    one = BINS.soften(level, 0.25)
    spread = np.where(wide[:, None], BINS.soften(level, 1.2), one)
    truth = np.clip(
        level + np.where(wide, 0.8, -0.8), 1, 5
    )  # which only the width tells
    told = Ridge().fit(spread, truth, layout, None, groups)
    assert told.facts_["features"] in ("moments", "bins")
    assert (
        told.facts_["compared"][told.facts_["features"]]
        < 0.5 * told.facts_["compared"]["score"]
    )


def test_bins_of_many_models_are_no_candidate_and_the_facts_say_so(monkeypatch):
    monkeypatch.setattr(module, "MOST_COLUMNS", 59)
    many = fitted()
    assert "bins" not in many.facts_["compared"]
    assert many.facts_["left_out"] == {"bins": "60 columns, more than 59"}
    monkeypatch.setattr(module, "MOST_COLUMNS", 60)
    assert "left_out" not in fitted().facts_
    assert "bins" in fitted().facts_["compared"]


def test_the_system_level_criterion_is_the_correlation_of_systems_left_out():
    for select, metric in (("srcc", srcc), ("ktau", ktau)):
        model = fitted("ridge", features="score", select=select, group_weight=0)
        S, names, left = LAYOUT.scores(X), np.array(SYSTEMS), np.empty(len(Y))
        for name in np.unique(names):
            rest = names != name
            theirs = sklearn.linear_model.Ridge(
                model.facts_["alpha"], solver="svd"
            ).fit(S[rest], Y[rest])
            left[~rest] = theirs.predict(S[~rest])
        truth, predicted = (
            [v[names == name].mean() for name in np.unique(names)] for v in (Y, left)
        )
        assert -model.facts_["loss"] == pytest.approx(metric(truth, predicted))


def test_one_standard_error_never_penalises_less():
    for select in ("mse", "srcc"):
        plain, careful = (
            fitted(features="score", select=select, rule=rule)
            for rule in ("min", "1se")
        )
        assert careful.facts_["alpha"] >= plain.facts_["alpha"]
    losses = Losses(
        np.array([1.0, 0.9, 0.95, 2.0]),
        np.array([[1.0, 0.9, 0.85, 2.0], [1.0, 0.9, 1.05, 2.0]]),
    )
    assert (losses.best(), losses.best("1se")) == (1, 2)
    assert Losses(np.array([1.0, np.nan, 1.0, 3.0])).best() == 2


def test_the_standard_error_is_that_of_a_mean_from_its_parts_or_from_leaving_each_out():
    values = np.random.default_rng(0).normal(size=20)
    expected = values.std(ddof=1) / np.sqrt(20)
    without = (values.sum() - values) / 19
    whole = np.array([values.mean()])
    for parts, jackknife in ((values, False), (without, True)):
        losses = Losses(whole, parts[:, None], jackknife)
        assert losses.error_beside(np.zeros(20)) == pytest.approx(expected)


def test_folds_hold_whole_groups_of_about_equal_weight_whatever_the_order_of_rows():
    rng = np.random.default_rng(0)
    groups, weight = (
        rng.integers(0, 40, 500).astype(str),
        rng.integers(1, 4, 500).astype(float),
    )
    fold = fold_of_groups(groups, weight, 5, 0, 10)
    assert all(len(set(fold[groups == name])) == 1 for name in set(groups))
    loads = np.bincount(fold.astype(int), weights=weight)
    assert len(loads) == 10
    assert np.ptp(loads) < 0.2 * loads.mean()
    order = rng.permutation(500)
    np.testing.assert_array_equal(
        fold_of_groups(groups[order], weight[order], 5, 0, 10), fold[order]
    )
    assert len(set(fold_of_groups(groups, weight, 5, 0))) == 40
    assert len(set(fold_of_groups(groups, weight, 1000, 0))) == 10


@pytest.mark.parametrize("penalty", PENALTIES)
def test_one_group_equal_labels_and_twins_are_learnt_from(penalty):
    options = {} if penalty == "smooth" else {"features": "score"}
    alone = fitted(penalty, groups=["one"] * 150, **options)
    np.testing.assert_array_equal(
        alone.predict(NEW), fitted(penalty, groups=None, **options).predict(NEW)
    )
    flat = Ridge(penalty, **options).fit(X, np.full(150, 3.25), LAYOUT, None, SYSTEMS)
    np.testing.assert_allclose(flat.predict(X), 3.25, atol=1e-3)
    twins = np.hstack([X[:, :20], X[:, :20], X[:, 40:]])
    model = Ridge(penalty, **options).fit(twins, Y, TWINS, None, SYSTEMS)
    one, other, _ = model.coef_.reshape(3, -1)
    if penalty != "banded":
        np.testing.assert_allclose(one, other, atol=1e-6 * np.abs(model.coef_).max())


def test_constant_predictions_leave_the_mean_of_models_moved_by_its_error():
    model = Ridge().fit(np.tile(X[:1], (20, 1)), Y[:20], LAYOUT)
    np.testing.assert_allclose(model.predict(X[:1]), Y[:20].mean())
    assert "predicts the models' mean, moved by its error" in model.warnings_[0]
    plain = Ridge("ridge").fit(np.tile(X[:1], (20, 1)), Y[:20], LAYOUT)
    np.testing.assert_allclose(plain.predict(NEW), Y[:20].mean())


def test_a_choice_at_the_edge_of_the_grid_warns():
    design, noise = (
        np.column_stack([X, np.ones(150)]),
        np.random.default_rng(0).normal(0, 1, 150),
    )
    unrelated = 3 + noise - design @ np.linalg.lstsq(design, noise)[0]
    model = Ridge("ridge", features="bins").fit(X, unrelated, LAYOUT)
    assert model.describe()["at_edge"]
    assert (
        "upper end of its penalty grid (nearly a constant prediction)"
        in model.warnings_[0]
    )
    exact = Ridge("ridge", features="score").fit(
        X, LAYOUT.scores(X) @ [0.2, 0.5, 0.3], LAYOUT
    )
    assert "lower end of its penalty grid (hardly any penalty)" in exact.warnings_[0]
    means = LAYOUT.scores(X).mean(axis=1)
    assert (
        "the plain mean of the models"
        in Ridge(features="score").fit(X, means, LAYOUT).warnings_[0]
    )
    assert fitted().warnings_ == []


def test_describe_weighs_each_model_the_mean_included():
    weights = fitted(features="score", alpha=1e15).describe()["weight_of"]
    assert weights == pytest.approx(dict.fromkeys(LAYOUT.models, 1 / 3))
    assert fitted(features="score").describe()["weight_of"]["good"] > 0.5


@pytest.mark.parametrize("features", REDUCTIONS)
def test_reductions_have_the_width_they_say_and_score_points_as_unit(features):
    columns = reduced_columns(LAYOUT, X, features)
    assert columns.shape == (150, 3 * columns_per_model(LAYOUT, features))
    if features == "moments":
        blocks = columns.reshape(150, 3, 3)
        np.testing.assert_array_equal(blocks[:, :, 0], LAYOUT.scores(X))
        mirrored = reduced_columns(
            LAYOUT, LAYOUT.blocks(X)[:, :, ::-1].reshape(150, 60), "moments"
        ).reshape(150, 3, 3)
        np.testing.assert_allclose(mirrored[:, :, 1], blocks[:, :, 1], atol=1e-9)
        np.testing.assert_allclose(mirrored[:, :, 2], -blocks[:, :, 2], atol=1e-9)


def test_no_rows_adapt_nothing_bit_for_bit():
    model = fitted()
    for rows, weight in ((slice(0, 0), None), (slice(0, 5), np.zeros(5))):
        adapted = model.adapt(X[rows], Y[rows], weight)
        assert adapted is not model
        np.testing.assert_array_equal(adapted.predict(NEW), model.predict(NEW))


def foreign(n, seed):
    """Another corpus: other raters, and the noisy model is now the good one."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(1.5, 4.5, n)
    predictors = (
        Predictor(noise=0.8, bias=0.5),
        Predictor(noise=0.2),
        Predictor(noise=0.8, bias=-0.5),
    )
    scores = [predictor.scores(y, rng) for predictor in predictors]
    return feature_matrix(scores, LAYOUT.sigmas), y


@pytest.mark.parametrize("penalty", PENALTIES)
def test_adapted_to_more_and_more_clips_it_becomes_a_fresh_fit(penalty):
    options = {} if penalty == "smooth" else {"features": "score"}
    model, apart, errors, unseen = fitted(penalty, **options), [], [], foreign(500, 9)
    for n in (10, 100, 1000, 10_000):
        new, y = foreign(n, 3)
        adapted = model.adapt(new, y).predict(unseen[0])
        apart.append(
            np.sqrt(
                np.mean(
                    (
                        adapted
                        - Ridge(penalty, **options)
                        .fit(new, y, LAYOUT)
                        .predict(unseen[0])
                    )
                    ** 2
                )
            )
        )
        errors.append(np.mean((adapted - unseen[1]) ** 2))
    assert apart[-1] < 0.03
    assert apart[-1] < 0.1 * apart[0]
    assert errors[0] < 0.75 * np.mean((model.predict(unseen[0]) - unseen[1]) ** 2)
    assert sorted(errors, reverse=True) == errors


def test_adapting_solves_the_penalised_problem_it_states():
    model, (new, y) = fitted(features="score"), foreign(25, 3)
    S, residual = LAYOUT.scores(new), y - model.predict(new)
    C = S - S.mean(axis=0)
    moved = np.linalg.solve(
        C.T @ C + 10 * (3 * model.spread_) * np.eye(3),
        C.T @ (residual - residual.mean()),
    )
    level = residual.sum() / (25 + 5)
    expected = (
        model.predict(NEW) + (LAYOUT.scores(NEW) - S.mean(axis=0)) @ moved + level
    )
    np.testing.assert_allclose(model.adapt(new, y).predict(NEW), expected, atol=1e-9)


def test_many_models_that_agree_do_not_move_faster_than_one():
    rng = np.random.default_rng(0)
    y, unseen = rng.uniform(1.5, 4.5, 200), rng.uniform(1.5, 4.5, 500)
    moved = []
    for count in (1, 40):
        layout = Layout(tuple(map(str, range(count))), (0.35,) * count, BINS)
        old, new = (
            np.tile(BINS.soften(s + rng.normal(0, 0.3, len(s)), 0.35), count)
            for s in (y, unseen)
        )
        model = Ridge(features="score").fit(old, y, layout)
        adapted = model.adapt(np.tile(BINS.soften(y[:4], 0.35), count), 6 - y[:4])
        moved.append(np.std(adapted.predict(new) - model.predict(new)))
    assert moved[1] == pytest.approx(moved[0], rel=0.3)


def test_an_adapted_stack_is_kept_like_any_other():
    adapted = fitted().adapt(*foreign(25, 3))
    again = Ridge.from_arrays(
        adapted.to_arrays(), LAYOUT, adapted.facts_, adapted.get_params()
    )
    np.testing.assert_array_equal(again.predict(NEW), adapted.predict(NEW))
    assert again.describe()["adapted_to"] == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"penalty": "lasso"}, "Unknown penalty 'lasso'"),
        ({"features": "cdf"}, "Unknown features 'cdf'"),
        ({"select": "lcc"}, "Unknown criterion for the penalty 'lcc'"),
        ({"rule": "2se"}, "Unknown rule for the penalty '2se'"),
        ({"penalty": "smooth", "features": "score"}, "Only bins have neighbours"),
        ({"select": "srcc", "groups": None}, "needs at least 2 groups; pass groups"),
        ({"alpha": -1.0}, "alpha must be 0 or more"),
        ({"group_weight": -1.0}, "group_weight must be 0 or more"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        fitted(**options)


def test_more_columns_than_rows_give_the_same_as_without_turning_them():
    columns, y = np.random.default_rng(0).normal(size=(30, 80)), np.arange(30.0)
    inputs = FitInputs(columns, y, np.ones(30), groups=None)
    problem = RidgeProblem.of(columns, np.zeros(30), inputs)
    assert problem.columns.shape == (30, 29)
    centred = columns - columns.mean(axis=0)
    assert problem.unit == pytest.approx((centred**2).sum() / 80)


@pytest.mark.skipif(
    not BVCC.exists(),
    reason="needs the real table of 51 predictors, which is not redistributed",
)
def test_on_a_real_table_the_default_beats_what_a_stack_has_to_beat():
    table = np.genfromtxt(BVCC, delimiter=",", names=True, dtype=None, encoding="utf-8")
    members = table.dtype.names[5:]
    bins = BINS.soften(np.column_stack([table[name] for name in members]), 0.35)
    layout, X, y = (
        Layout(members, (0.35,) * len(members), BINS),
        bins.reshape(len(table), -1),
        table["mos"],
    )
    S, fold = layout.scores(X), folds(table["system"], y, 5, 0, groups=table["system"])
    found = {name: np.empty(len(y)) for name in ("stack", "mean", "best", "ridge")}
    for k in range(5):
        train, test = fold != k, fold == k
        found["stack"][test] = (
            Ridge(features="score")
            .fit(X[train], y[train], layout, None, table["system"][train])
            .predict(X[test])
        )
        found["mean"][test] = S[test].mean(axis=1)
        found["best"][test] = S[test][
            :, ((S[train] - y[train, None]) ** 2).mean(axis=0).argmin()
        ]
        plain = sklearn.linear_model.RidgeCV(np.logspace(-3, 4, 29)).fit(
            S[train], y[train]
        )
        found["ridge"][test] = plain.predict(S[test])
    for rival in ("mean", "best", "ridge"):
        assert np.mean((found["stack"] - y) ** 2) < np.mean((found[rival] - y) ** 2)
        assert srcc(y, found["stack"]) > srcc(y, found[rival])
