"""The default learner: few clips, the level, shares, parts, storage and adaptation."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.linear_model
from builders import SHARED_DATA, feature_matrix, labelled_features
from simulated_stacks import KINDS, simulated
from threadpoolctl import threadpool_limits

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact
from base_models.metrics.evaluate import mse
from ensemble.prediction_files.stack_inputs import read_stack_inputs
from meta.columns.feature_table import Layout, feature_array, layout_of
from meta.learners import LEARNERS, USUAL_LEARNER
from meta.learners.convex_weights import least_squares_weights, pulled_weights
from meta.learners.ridge import Ridge
from meta.learners.stack import Stack
from meta.learners.stack.parts import (
    FEWEST_CLIPS,
    GROUP_WEIGHT,
    PARTS,
    PENALTY_SHARE,
    ScoreRows,
    ridge,
    ridge_to_mean,
)
from meta.learners.stack.score_function import Bend, ScoreFunction, mixture
from meta.learners.stack.shares import (
    FEWEST_GROUPS,
    choose_shares,
    level_of,
    usual_shares,
)
from meta.learners.weighted_scores import Mean
from meta.ridge_algebra.gram import Gram
from meta.ridge_algebra.solution_path import RidgePath

BINS = ScoreBins()
LAYOUT = Layout(("good", "noisy", "biased", "opposed"), (0.25, 0.35, 0.35, 0.0), BINS)
REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"


def layout_for(n_models):
    return Layout(tuple(f"m{k:02d}" for k in range(n_models)), (0.35,) * n_models, BINS)


def rows_of(table):
    """A table of scores as the parts see it."""
    n = len(table.y)
    grouped = len(set(table.systems)) < n
    return ScoreRows(table.scores, table.y, np.ones(n), table.systems, grouped)


def stacked(fit, new):
    """Scores of new clips by the stack of a simulated table."""
    rows = rows_of(fit)
    functions = [part(rows, level_of(rows)) for part in PARTS.values()]
    scores = mixture(functions, choose_shares(rows).values).predict(new.scores)
    return np.clip(scores, 1, 5)


# few clips


def test_it_is_the_learner_of_a_stack_that_names_none():
    assert LEARNERS[USUAL_LEARNER] is Stack


@pytest.mark.parametrize("n", [1, 2, FEWEST_CLIPS - 1])
def test_with_too_few_clips_it_is_the_plain_mean_and_says_so(n):
    X, y, systems = labelled_features(LAYOUT, n)
    learner = Stack().fit(X, y, LAYOUT, groups=systems)
    plain = Mean().fit(X, y, LAYOUT)
    unseen = labelled_features(LAYOUT, 20, seed=1)[0]
    np.testing.assert_allclose(learner.predict(unseen), plain.predict(unseen))
    (warning,) = learner.warnings_
    assert warning == learner.facts_["why"]
    assert f"{n} " in warning
    assert "too few to learn from (10 are the fewest), so the plain mean" in warning


def test_with_enough_clips_it_learns_and_does_not_warn():
    X, y, systems = labelled_features(LAYOUT, FEWEST_CLIPS)
    learner = Stack().fit(X, y, LAYOUT, groups=systems)
    assert learner.warnings_ == []
    assert not np.allclose(learner.predict(X), Mean().fit(X, y, LAYOUT).predict(X))


def test_the_plain_mean_counts_less_the_more_clips_there_are():
    shares = [usual_shares(n)[list(PARTS).index("mean")] for n in (9, 10, 30, 40, 400)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1
    assert shares[2] == pytest.approx(0.5)
    assert shares[-1] < 0.01
    for n in (1, 10, 1000):
        assert usual_shares(n).sum() == pytest.approx(1)


def test_rows_given_twice_are_no_more_clips():
    X, y, _ = labelled_features(LAYOUT, 6)
    twice = Stack().fit(np.repeat(X, 2, axis=0), np.repeat(y, 2), LAYOUT)
    assert "6 distinct clips are too few" in twice.facts_["why"]


@pytest.mark.parametrize("kind", KINDS)
def test_with_few_clips_it_is_not_worse_than_the_mean_or_a_constant(kind):
    """Not by more than the standard error of a difference between two tables."""
    for n in (10, 20, 40):
        excess = []
        for seed in range(12):
            fit, new = simulated(kind, n, seed=seed, n_new=200)
            ours = mse(new.y, stacked(fit, new))
            of_mean = mse(new.y, new.scores.mean(axis=1))
            of_constant = mse(new.y, np.full(len(new.y), fit.y.mean()))
            excess.append([ours - of_mean, ours - of_constant])
        excess = np.array(excess)
        assert (excess.mean(axis=0) <= excess.std(axis=0, ddof=1)).all(), n


# the level


def errors_of(shift, n=60, seed=0):
    """Two models that are off by `shift`, and by some noise."""
    rng = np.random.default_rng(seed)
    y = rng.uniform(1.5, 4, n)
    scores = (y + shift)[:, None] + rng.normal(0, 0.3, (n, 2))
    return ScoreRows(scores, y, np.ones(n), np.arange(n) // 4, grouped=True)


def test_a_shift_that_may_be_chance_is_not_followed():
    rows = errors_of(0.0)
    assert level_of(rows) == pytest.approx(rows.scores.mean())
    few = errors_of(-1.0, n=FEWEST_CLIPS - 1)
    assert level_of(few) == pytest.approx(few.scores.mean())


@pytest.mark.parametrize("shift", [-0.8, 0.8])
def test_a_clear_shift_is_followed_to_the_end(shift):
    rows = errors_of(shift)
    assert level_of(rows) == pytest.approx(rows.y.mean(), abs=0.01)


def test_a_shift_of_one_system_is_not_clear():
    rows = errors_of(0.4, n=40)
    alone = replace(rows, group=np.zeros(40, dtype=int))
    assert level_of(alone) == pytest.approx(rows.scores.mean())


# shares


def test_shares_stay_as_they_are_set_unless_others_are_clearly_better():
    fit, _ = simulated("duplicates", 100)
    kept = choose_shares(rows_of(fit))
    assert not kept.learnt
    np.testing.assert_array_equal(kept.values, usual_shares(100))
    assert "no clear gain, so the shares are those set for 100 distinct" in kept.why

    # Weights that sum to 1 are too much for models whose scores lie too far apart.
    fit, _ = simulated("wide", 100)
    found = choose_shares(rows_of(fit))
    assert found.learnt
    assert found.gain > found.standard_error > 0
    assert found.values.sum() == pytest.approx(1)
    assert (found.values >= 0).all()
    assert "a clear gain, so they are taken" in found.why


def test_where_groups_are_few_clips_are_held_out():
    fit, _ = simulated("good", 4 * (FEWEST_GROUPS - 1))
    assert "learnt on other clips" in choose_shares(rows_of(fit)).why
    fit, _ = simulated("good", 4 * FEWEST_GROUPS)
    assert "learnt on other groups" in choose_shares(rows_of(fit)).why
    alone = replace(rows_of(fit), group=np.arange(len(fit.y)), grouped=False)
    assert "learnt on other clips" in choose_shares(alone).why


def test_pulled_weights_lie_between_the_prior_and_those_of_least_squares():
    fit, _ = simulated("one good", 100)
    prior = np.full(8, 1 / 8)
    free, _ = least_squares_weights(fit.scores, fit.y)
    np.testing.assert_allclose(
        pulled_weights(fit.scores, fit.y, None, prior, prior_rows=1e-9),
        free,
        atol=1e-4,
    )
    np.testing.assert_allclose(
        pulled_weights(fit.scores, fit.y, None, prior, prior_rows=1e9),
        prior,
        atol=1e-4,
    )
    between = pulled_weights(fit.scores, fit.y, None, prior, prior_rows=100)
    assert between.sum() == pytest.approx(1)
    assert 1 / 8 < between[0] < free[0]


def test_a_prior_without_any_error_stays():
    y = np.arange(5.0)
    scores = np.column_stack([y, y + 1])
    prior = np.array([1.0, 0.0])
    assert pulled_weights(scores, y, None, prior, prior_rows=1) is prior


# the parts


def likeliest_penalty(columns, y, penalties):
    """The penalty of the largest evidence, from the density of a normal vector."""
    n = len(y)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(centring)
    contrasts = vectors[:, values > 0.5].T
    target = contrasts @ y
    evidence = []
    for penalty in penalties:
        shown = contrasts @ columns
        covariance = np.eye(n - 1) + shown @ shown.T / penalty
        squares = target @ np.linalg.solve(covariance, target)
        _, log_determinant = np.linalg.slogdet(covariance)
        evidence.append(-((n - 1) * np.log(squares) + log_determinant) / 2)
    return np.array(evidence)


def test_the_evidence_is_that_of_normal_contrasts():
    fit, _ = simulated("good", 30)
    penalties = np.logspace(-2, 3, 11)
    path = RidgePath.of(Gram.from_rows(fit.scores, fit.y))
    np.testing.assert_allclose(
        path.evidence(penalties)[:, 0],
        likeliest_penalty(fit.scores - fit.scores.mean(axis=0), fit.y, penalties),
        rtol=1e-9,
    )


def test_the_evidence_of_a_perfect_fit_is_finite():
    X = np.arange(5.0)[:, None]
    path = RidgePath.of(Gram.from_rows(X, 2 * X[:, 0]))
    evidence = path.evidence([1e-6, 1e6])[:, 0]
    assert np.isfinite(evidence).all()
    assert evidence[0] > evidence[1]
    constant = RidgePath.of(Gram.from_rows(X, np.zeros(5)))
    assert np.isfinite(constant.evidence([1.0])).all()


def plain_ridge(rows, columns, target):
    """Coefficients by scikit-learn, with means of systems as rows."""
    penalties = np.logspace(-6, 4, 61) * (columns**2).sum() / columns.shape[1]
    likeliest = np.argmax(likeliest_penalty(columns, target, penalties))
    systems = np.unique(rows.group)
    mean_columns = [columns[rows.group == s].mean(axis=0) for s in systems]
    mean_target = [target[rows.group == s].mean() for s in systems]
    weight = np.r_[np.ones(len(rows)), np.full(len(systems), GROUP_WEIGHT)]
    model = sklearn.linear_model.Ridge(alpha=PENALTY_SHARE * penalties[likeliest])
    return model.fit(
        np.vstack([columns, mean_columns]), np.r_[target, mean_target], weight
    )


def test_the_ridge_to_the_mean_is_that_of_scikit_learn_on_what_the_mean_leaves():
    fit, new = simulated("biased", 60)
    rows = rows_of(fit)
    deviations = fit.scores - fit.scores.mean(axis=0)
    target = fit.y - fit.scores.mean(axis=1)
    model = plain_ridge(rows, deviations, target - target.mean())
    expected = (
        3.0
        + new.scores.mean(axis=1)
        - fit.scores.mean()
        + model.predict(new.scores - fit.scores.mean(axis=0))
    )
    found = ridge_to_mean(rows, 3.0).predict(new.scores)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_ridge_penalises_models_by_how_little_each_tells_alone():
    fit, new = simulated("one good", 60)
    rows = rows_of(fit)
    found = ridge(rows, 3.0)
    deviations = fit.scores - fit.scores.mean(axis=0)
    target = fit.y - fit.y.mean()
    spread = deviations.std(axis=0)
    correlation = (deviations * target[:, None]).mean(axis=0) / spread / target.std()
    columns = deviations * correlation**2 / spread

    # With the bend as one more column, which is found by its values here.
    bend = replace(found.bend, size=1.0).predict(fit.scores)
    size = 0.05 * np.sqrt((columns**2).mean(axis=0).sum() / (bend**2).mean())
    model = plain_ridge(rows, np.column_stack([columns, size * bend]), target)
    new_columns = (new.scores - fit.scores.mean(axis=0)) * correlation**2 / spread
    new_bend = size * replace(found.bend, size=1.0).predict(new.scores)
    expected = 3.0 + model.predict(np.column_stack([new_columns, new_bend]))
    np.testing.assert_allclose(found.predict(new.scores), expected, rtol=1e-6)


def test_a_bend_has_no_line_in_it_and_ends_with_the_rows():
    fit, _ = simulated("curved", 200)
    rows = rows_of(fit)
    bend = ridge(rows, 3.0).bend
    values = replace(bend, size=1.0).predict(fit.scores)
    along = fit.scores @ bend.direction
    assert abs(values.mean()) < 1e-9
    assert abs(np.corrcoef(values, along)[0, 1]) < 1e-9

    low = fit.scores[[np.argmin(along)]]
    beyond = low - bend.direction / np.linalg.norm(bend.direction)
    np.testing.assert_allclose(bend.predict(beyond), bend.predict(low))


def test_scores_that_are_bent_are_straightened():
    fit, new = simulated("curved", 400)
    function = ridge(rows_of(fit), level_of(rows_of(fit)))
    straight = replace(function, bend=None)
    gain = mse(new.y, straight.predict(new.scores)) - mse(
        new.y, function.predict(new.scores)
    )
    assert gain > 0


def test_the_mean_of_models_that_say_nothing_becomes_a_constant():
    fit, _ = simulated("shared noise", 400)
    flat = PARTS["mean"](rows_of(fit), 3.0)
    assert abs(flat.coef.sum()) < 0.15
    good, _ = simulated("biased", 12)
    assert PARTS["mean"](rows_of(good), 3.0).coef.sum() == pytest.approx(1)


@pytest.mark.parametrize("part", PARTS)
def test_models_that_are_constant_up_to_rounding_say_nothing(part):
    rng = np.random.default_rng(0)
    scores = 3.1 + 1e-15 * rng.integers(-1, 2, (30, 3))
    rows = ScoreRows(
        scores, rng.uniform(1, 5, 30), np.ones(30), np.arange(30) // 3, grouped=True
    )
    function = PARTS[part](rows, 3.0)
    far = function.predict(np.full((1, 3), 5.0))
    assert abs(far[0] - 3.0) < 3


@pytest.mark.parametrize("part", PARTS)
def test_parts_give_more_models_than_clips_finite_scores(part):
    fit, new = simulated("many models", 12)
    assert np.isfinite(PARTS[part](rows_of(fit), 3.0).predict(new.scores)).all()


# predictions


def fitted(n=60):
    X, y, systems = labelled_features(LAYOUT, n)
    return X, Stack().fit(X, y, LAYOUT, groups=systems)


def test_the_score_of_a_row_does_not_depend_on_the_others():
    X, learner = fitted()
    together = learner.predict(X)
    alone = np.concatenate([learner.predict(X[[k]]) for k in range(len(X))])
    np.testing.assert_array_equal(alone, together)


def test_more_threads_change_nothing_that_matters():
    X, y, systems = labelled_features(LAYOUT, 200)
    scores = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            learner = Stack().fit(X, y, LAYOUT, groups=systems)
            scores.append(learner.predict(X))
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-9)


def test_it_describes_its_shares_and_what_each_model_counts():
    _, learner = fitted()
    facts = learner.describe()
    assert list(facts["shares"]) == list(PARTS)
    assert sum(facts["shares"].values()) == pytest.approx(1)
    weight_of = facts["weight_of"]
    assert weight_of["good"] > weight_of["noisy"]


# storage


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("coef", None),
        ("coef", np.zeros(3)),
        ("coef", np.array([0.1, np.nan, 0, 0])),
        ("coef", np.zeros(4, dtype=np.float32)),
        ("intercept", np.zeros(2)),
        ("spread", np.array([np.inf])),
        ("bend", np.zeros(5)),
        ("bend_direction", None),
        ("bend_direction", np.zeros((4, 4))),
    ],
)
def test_damaged_arrays_are_refused(name, value):
    _, learner = fitted()
    arrays = learner.to_arrays()
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    with pytest.raises(DamagedArtifact, match=f"'{name}' is not a finite float64"):
        Stack.from_arrays(arrays, LAYOUT, learner.facts_, {})


def test_a_bend_without_a_beginning_and_a_negative_spread_are_refused():
    _, learner = fitted()
    arrays = learner.to_arrays()
    bend = arrays["bend"].copy()
    bend[[1, 2]] = bend[[2, 1]]
    with pytest.raises(DamagedArtifact, match=r"its bend begins at .* and ends at"):
        Stack.from_arrays({**arrays, "bend": bend}, LAYOUT, learner.facts_, {})
    with pytest.raises(DamagedArtifact, match="its spread is -1"):
        Stack.from_arrays(
            {**arrays, "spread": np.array([-1.0])}, LAYOUT, learner.facts_, {}
        )


def test_a_function_without_a_bend_comes_back_without_one():
    function = ScoreFunction(np.array([0.5, 0.5]), 0.1)
    again = ScoreFunction.from_arrays(function.to_arrays(), 2)
    assert again.bend is None
    np.testing.assert_array_equal(again.coef, function.coef)


def test_a_mixture_adds_shares_of_functions_up():
    bend = Bend(np.array([1.0, 0]), 0.0, -1.0, 1.0, slope=0.0, level=0.0)
    functions = [
        ScoreFunction(np.array([1.0, 0]), 1.0, bend),
        ScoreFunction(np.array([0, 1.0]), 0.0),
    ]
    scores = np.array([[0.5, 0.2], [3, -1]])
    expected = 0.25 * functions[0].predict(scores) + 0.75 * functions[1].predict(scores)
    found = mixture(functions, np.array([0.25, 0.75]))
    np.testing.assert_allclose(found.predict(scores), expected)
    assert mixture(functions, np.array([0.0, 1.0])).bend is None


# adaptation


def test_it_adapts_as_a_ridge_does():
    X, learner = fitted()
    y = learner.predict(X)
    higher = learner.adapt(X, y + 1)
    moved = higher.predict(X) - y
    assert 0.8 < moved.mean() < 1
    assert higher.facts_["adapted_to"] == 60
    assert "adapted_to" not in learner.facts_
    np.testing.assert_array_equal(learner.predict(X), y)


def test_no_rows_adapt_nothing():
    X, learner = fitted()
    for adapted in (
        learner.adapt(X[:0], []),
        learner.adapt(X[:2], [1.0, 2.0], sample_weight=[0, 0]),
    ):
        np.testing.assert_array_equal(adapted.predict(X), learner.predict(X))


# real predictions


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def test_on_real_predictions_it_errs_less_than_ridge_and_than_the_mean():
    """Short form of the benchmark of the default learner."""
    external = read_stack_inputs([REAL])
    layout = layout_of(external.tables)
    X = feature_array(external.tables, "mos", external.clips["clip_id"].tolist())
    y = external.clips["mos"].to_numpy()
    systems = external.clips["system_id"].to_numpy()
    rng = np.random.default_rng(0)
    errors = {"stack": [], "ridge": [], "mean": []}
    for _ in range(3):
        chosen = rng.permutation(np.unique(systems))[:41]
        half = np.isin(systems, chosen)
        for train, test in ((half, ~half), (~half, half)):
            for name, kind in (
                ("stack", Stack()),
                ("ridge", Ridge(features="score")),
                ("mean", Mean()),
            ):
                learner = kind.fit(X[train], y[train], layout, groups=systems[train])
                errors[name].append(mse(y[test], learner.predict(X[test])))
    means = {name: np.mean(values) for name, values in errors.items()}
    assert means["stack"] < means["ridge"] < means["mean"]


def test_features_of_scores_and_scores_themselves_are_one():
    """The parts see what the layout decodes."""
    fit, new = simulated("good", 40)
    layout = layout_for(8)
    X = feature_matrix(fit.scores.T)
    learner = Stack().fit(X, fit.y, layout, groups=fit.systems)
    decoded = replace(fit, scores=layout.scores(X))
    unseen = feature_matrix(new.scores.T)
    np.testing.assert_allclose(
        np.clip(learner.predict(unseen), 1, 5),
        stacked(decoded, replace(new, scores=layout.scores(unseen))),
        rtol=1e-6,
    )
