import inspect

import numpy as np
import pytest
from builders import fit_measured, prediction_tables, rows_of_tables
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from base_models.bins import SOFTEN_SIGMA
from base_models.clips.splits import folds
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import from_json, parse_tensors, to_json, write_tensors
from base_models.predictions import PredictionTable
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.held_out_trial import TRAINING, VALIDATION
from meta.learners import LEARNERS
from meta.learners.ridge import Ridge
from meta.regressor import MetaRegressor
from meta.rows import Rows

ASPECTS = ("mi", "ta")


def corpus(n=120, systems=10, seed=0, models=("good", "noisy", "biased")):
    """Prediction tables of some models, labels, and system ids of n clips."""
    rng = np.random.default_rng(seed)
    y = np.clip(rng.normal(3, 0.9, (n, 2)), 1, 5)
    tables = prediction_tables(y, models, aspects=ASPECTS, rng=rng)
    return tables, y, np.array([f"s{k}" for k in rng.integers(systems, size=n)])


TABLES, Y, SYSTEMS = corpus()
UNNAMED = rows_of_tables(TABLES, Y)
ROWS = rows_of_tables(TABLES, Y, systems=SYSTEMS)


def rows_with(labels, **known):
    """Rows of the tables with these labels; their systems are named."""
    return rows_of_tables(TABLES, labels, **({"systems": SYSTEMS} | known))


@pytest.mark.parametrize(
    "learner", [name for name in LEARNERS if name != "linear_pool"]
)
def test_a_saved_stack_predicts_bit_for_bit(learner, tmp_path):
    fitted = MetaRegressor(learner, random_state=7)
    fit_measured(fitted, TABLES, ROWS)
    facts, arrays = fitted.state()
    write_tensors(tmp_path / "a", arrays)
    again = MetaRegressor.from_state(
        from_json(to_json(facts), "facts"),
        parse_tensors((tmp_path / "a").read_bytes(), "a"),
    )
    np.testing.assert_array_equal(again.predict(TABLES), fitted.predict(TABLES))
    np.testing.assert_array_equal(
        again.predict_distribution(TABLES), fitted.predict_distribution(TABLES)
    )
    np.testing.assert_array_equal(
        again.predict_interval(TABLES), fitted.predict_interval(TABLES)
    )
    assert again.get_params() == fitted.get_params()
    assert again.describe() == fitted.describe()
    assert (again.fitted_on_, again.warnings_) == (fitted.fitted_on_, fitted.warnings_)


def test_a_stack_stored_as_linear_pool_is_loaded_and_saved_as_mean():
    fitted = MetaRegressor("linear_pool", random_state=7)
    fit_measured(fitted, TABLES, ROWS)
    facts, arrays = fitted.state()
    assert facts["learner"] == "mean"
    stored = {**facts, "learner": "linear_pool"}
    again = MetaRegressor.from_state(from_json(to_json(stored), "facts"), arrays)
    mean = MetaRegressor("mean", random_state=7)
    fit_measured(mean, TABLES, ROWS)
    for method in ("predict", "predict_distribution", "predict_interval"):
        expected = getattr(fitted, method)(TABLES)
        np.testing.assert_array_equal(getattr(again, method)(TABLES), expected)
        np.testing.assert_array_equal(getattr(mean, method)(TABLES), expected)
    assert again.get_params() == fitted.get_params()
    assert again.describe() == fitted.describe()
    assert (again.fitted_on_, again.warnings_) == (fitted.fitted_on_, fitted.warnings_)


def test_the_distribution_decodes_to_the_score():
    fitted = MetaRegressor().fit(TABLES, UNNAMED)
    fitted.residual_sigma_ = np.array([0.1, 0.9])  # the narrowest and a wide one
    scores = fitted.predict(TABLES)
    distributions = fitted.predict_distribution(TABLES)
    assert distributions.shape == (120, 2, 20)
    np.testing.assert_allclose(distributions.sum(axis=-1), 1)
    for k, sigma in enumerate(fitted.residual_sigma_):
        np.testing.assert_allclose(
            fitted.layout_.bins.decode(distributions[:, k], sigma),
            scores[:, k],
            atol=1e-3,
        )


def test_predictions_stay_on_the_scale():
    tables, y, _ = corpus(60, seed=4)
    rows = rows_of_tables(tables, y)
    fitted = MetaRegressor(LinearRegression()).fit(tables, rows)
    raw = fitted.learners_[0].predict(np.random.default_rng(0).normal(0, 50, (20, 60)))
    assert (np.abs(raw - 3) > 2).any()
    wild = fitted.predict(corpus(300, seed=5)[0])
    assert wild.min() >= 1
    assert wild.max() <= 5


def test_tables_and_rows_may_come_in_any_order():
    fitted = MetaRegressor().fit(TABLES, UNNAMED)
    ids = list(TABLES[0].clip_ids)
    turned = fitted.predict([TABLES[2].take(ids[::-1]), TABLES[0], TABLES[1]], ids)
    np.testing.assert_array_equal(turned, fitted.predict(TABLES))
    for few in (["c005", "c001"], np.array(["c005", "c001"])):
        np.testing.assert_array_equal(
            fitted.predict(TABLES, few), fitted.predict(TABLES)[[5, 1]]
        )


def test_a_missing_model_is_named_and_an_extra_one_is_left_out():
    fitted = MetaRegressor().fit(TABLES[:2], UNNAMED)
    np.testing.assert_array_equal(fitted.predict(TABLES), fitted.predict(TABLES[:2]))
    with pytest.raises(UsageError, match="fitted with 'noisy', which is missing here"):
        fitted.predict(TABLES[::2])
    with pytest.raises(UsageError, match="at least one base model"):
        fitted.predict([])
    with pytest.raises(UsageError, match="'good' has no prediction for 'c999'"):
        fitted.predict(TABLES, ["c999"])


def test_each_aspect_sees_only_its_own_bins():
    changed = [
        PredictionTable.from_scores(
            t.model, t.clip_ids, ASPECTS, t.scores * [1, 0] + [0, 3]
        )
        for t in TABLES
    ]
    before = MetaRegressor().fit(TABLES, UNNAMED).predict(TABLES)
    after = MetaRegressor().fit(changed, UNNAMED).predict(changed)
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=2e-3)
    assert np.abs(after[:, 1] - before[:, 1]).max() > 0.5


def test_unlabelled_rows_are_left_out_per_aspect():
    y = Y.copy()
    y[:30, 0] = np.nan
    partly, alone, whole = (
        MetaRegressor().fit(TABLES, rows).predict(TABLES)
        for rows in (
            rows_of_tables(TABLES, y),
            UNNAMED.take(slice(30, None)),
            UNNAMED,
        )
    )
    np.testing.assert_array_equal(partly[:, 0], alone[:, 0])
    np.testing.assert_array_equal(partly[:, 1], whole[:, 1])


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_validation_split_never_touches_point_predictions(learner):
    plain = MetaRegressor(learner).fit(TABLES, ROWS).predict(TABLES)
    for share in (0.2, 0.4):
        model = MetaRegressor(learner)
        fit_measured(model, TABLES, ROWS, share)
        np.testing.assert_array_equal(model.predict(TABLES), plain)
        assert model.fitted_on_ == TABLES[0].clip_ids


def test_the_width_is_the_error_on_every_clip_by_learners_that_were_not_fitted_on_it():
    y = Y.copy()
    y[:30, 0] = np.nan
    unseen = np.full(Y.shape, np.nan)
    model = MetaRegressor(random_state=3)
    assert (
        model.fit(TABLES, rows_of_tables(TABLES, y)).residual_sigma_ == SOFTEN_SIGMA
    ).all()
    for k, aspect in enumerate(ASPECTS):
        kept = np.flatnonzero(~np.isnan(y[:, k]))
        fold = folds(SYSTEMS[kept], y[kept, k], 5, 3, groups=SYSTEMS[kept])
        # Systems are named, so that the learner leaves them out in turn.
        of_aspect = rows_with(y[:, [k]], aspects=[aspect])
        for number in range(5):
            test = kept[fold == number]
            other = MetaRegressor(random_state=3)
            other.fit(TABLES, of_aspect.take(kept[fold != number]))
            ids = of_aspect.ids[test].tolist()
            unseen[test, k] = other.predict(TABLES, ids)[:, 0]
    fit_measured(model, TABLES, rows_with(y))
    np.testing.assert_allclose(
        model.residual_sigma_, np.sqrt(np.nanmean((y - unseen) ** 2, axis=0))
    )


def test_a_learner_that_knows_its_rows_by_heart_is_exposed():
    model = MetaRegressor(KNeighborsRegressor(1))
    trial = fit_measured(model, TABLES, ROWS)
    assert list(trial.sides) == [VALIDATION, TRAINING]
    unseen, seen = (
        side.board(0).query(
            "model == 'stack' and level == 'utterance' and metric == 'mse'"
        )
        for side in trial.sides.values()
    )
    assert (seen.n.tolist(), unseen.n.tolist()) == ([72, 72], [48, 48])
    assert seen.value.max() < 1e-6 < 0.01 < unseen.value.min()
    assert model.residual_sigma_.min() > 0.1


def test_clips_of_one_group_do_not_vouch_for_each_other():
    ids = [f"{k}{half}" for half in "ab" for k in TABLES[0].clip_ids]
    twins = [
        PredictionTable(t.model, ids, ASPECTS, np.concatenate([t.distributions] * 2))
        for t in TABLES
    ]
    apart = MetaRegressor(KNeighborsRegressor(1))
    together = MetaRegressor(KNeighborsRegressor(1))
    y = np.concatenate([Y, Y])
    fit_measured(apart, twins, rows_of_tables(twins, y))
    named = rows_of_tables(
        twins,
        y,
        systems=np.concatenate([SYSTEMS, SYSTEMS]),
        groups=[name[:-1] for name in ids],
    )
    fit_measured(together, twins, named)
    assert (together.residual_sigma_ > 1.3 * apart.residual_sigma_).all()


def test_few_rows_or_groups_make_do_with_fewer_folds():
    model = MetaRegressor("mean")
    y = Y.copy()
    y[5:] = np.nan
    fit_measured(model, TABLES, rows_with(y))
    error = model.predict(TABLES)[:5] - Y[:5]
    np.testing.assert_allclose(model.residual_sigma_, np.sqrt((error**2).mean(axis=0)))
    fit_measured(model, TABLES, rows_with(Y, groups=["a", "b"] * 60))
    np.testing.assert_allclose(
        model.residual_sigma_, np.sqrt(((model.predict(TABLES) - Y) ** 2).mean(axis=0))
    )


def test_an_aspect_labelled_in_one_group_keeps_the_conventional_width_and_says_so():
    y = Y.copy()
    y[60:, 0] = np.nan
    order = np.random.default_rng(0).permutation(120)
    groups = np.repeat(["a", "b"], 60)
    model = MetaRegressor("mean")
    rows = rows_with(y, groups=groups).take(order)
    tables = [t.take([t.clip_ids[r] for r in order]) for t in TABLES]
    fit_measured(model, tables, rows)
    assert model.residual_sigma_[0] == SOFTEN_SIGMA != model.residual_sigma_[1]
    assert (
        model.warnings_[0]
        == "mi: all labels are of one group; distributions are 0.35 wide by convention."
    )
    assert model.calibrations_[0] is None is not model.calibrations_[1]


def test_intervals_of_one_system_are_learnt_from_clips_left_out_and_say_of_what():
    of_one = MetaRegressor("ridge")
    fit_measured(of_one, TABLES, rows_with(Y, systems=["s1"] * 120))
    of_none = MetaRegressor("ridge")
    fit_measured(of_none, TABLES, rows_with(Y, systems=[""] * 120))
    np.testing.assert_array_equal(of_one.residual_sigma_, of_none.residual_sigma_)
    assert (
        "mi: all clips are of one system ('s1'), so intervals are for further clips of "
        "it; errors on other systems may be larger." in of_one.warnings_
    )
    assert not any("one system" in warning for warning in of_none.warnings_)


def test_a_perfect_stack_keeps_half_a_bin_of_width():
    ids = [f"c{k}" for k in range(60)]
    y = np.random.default_rng(0).uniform(1, 5, (60, 1))
    exact = PredictionTable.from_scores("exact", ids, ("mi",), y)
    model = MetaRegressor("mean")
    rows = rows_of_tables([exact], y, systems=["a", "b", "c"] * 20)
    fit_measured(model, [exact], rows)
    assert model.residual_sigma_ == pytest.approx([0.1])


def test_validation_leaves_out_clips_without_any_label_and_keeps_groups_together():
    y = Y.copy()
    y[:20] = np.nan
    model = MetaRegressor()
    groups = [f"g{k // 2}" for k in range(120)]
    trial = fit_measured(model, TABLES, rows_with(y, groups=groups))
    assert model.fitted_on_ == TABLES[0].clip_ids[20:]
    for side, most in ((trial.training, 60), (trial.validation, 40)):
        assert side.board(0).n.max() == pytest.approx(most, abs=2)
    assert not set(trial.training.rows.groups) & set(trial.validation.rows.groups)


def test_the_stack_stands_beside_its_models_and_their_mean():
    trial = MetaRegressor().held_out_trial(TABLES, ROWS)
    for side in trial.sides.values():
        board = side.board(50)
        assert list(board.columns) == [
            "model",
            "aspect",
            "level",
            "metric",
            "value",
            "low",
            "high",
            "n",
            "note",
        ]
        assert list(board.model.unique()) == [
            "stack",
            "mean",
            "constant",
            "good",
            "noisy",
            "biased",
        ]
        assert len(board) == 6 * 2 * 2 * 4
        error = (
            board[(board.metric == "mse") & (board.level == "utterance")]
            .groupby("model")
            .value.mean()
        )
        assert error["stack"] < error["mean"] < error["biased"]
        # The mean rating of the rows of the fit, whichever side is measured.
        rated = side.rows.labels - trial.training.rows.labels.mean(axis=0)
        assert error["constant"] == pytest.approx((rated**2).mean())


@pytest.mark.parametrize("name", ["stack", "mean", "constant"])
def test_a_leaderboard_works_without_a_stack_and_refuses_names_of_its_rows(name):
    board = ComparedRows.of(TABLES, ROWS).board(0)
    assert list(board.model.unique()) == ["mean", "good", "noisy", "biased"]
    named = PredictionTable(name, TABLES[0].clip_ids, ASPECTS, TABLES[0].distributions)
    with pytest.raises(UsageError, match=f"base model is called '{name}'"):
        ComparedRows.of([named], ROWS)


def test_learner_names_and_estimators_are_both_taken():
    foreign = MetaRegressor(LinearRegression()).fit(TABLES, UNNAMED)
    assert foreign.predict(TABLES).shape == (120, 2)
    np.testing.assert_array_equal(
        MetaRegressor("LinearRegression").fit(TABLES, UNNAMED).predict(TABLES),
        foreign.predict(TABLES),
    )
    with pytest.raises(
        UsageError, match=r"Unknown scikit-learn regressor 'LinearRegresion'"
    ):
        MetaRegressor("LinearRegresion").fit(TABLES, UNNAMED)
    again = MetaRegressor.from_state(*foreign.state(), foreign.sklearn_estimators)
    np.testing.assert_array_equal(again.predict(TABLES), foreign.predict(TABLES))
    with pytest.raises(DamagedArtifact, match="stored stack is damaged"):
        MetaRegressor.from_state(*foreign.state())
    with pytest.raises(
        UsageError, match=r"Unknown learner 'rigde'\. Did you mean 'ridge'"
    ):
        MetaRegressor("rigde").fit(TABLES, UNNAMED)


def test_warnings_name_the_aspect():
    y = Y.copy()
    y[:, 1] = np.random.default_rng(1).normal(3, 0.1, 120)
    fitted = MetaRegressor(Ridge("ridge")).fit(TABLES, rows_of_tables(TABLES, y))
    assert fitted.warnings_
    assert all(
        text.startswith("ta: ridge chose the upper end") for text in fitted.warnings_
    )


def test_nothing_is_predicted_before_the_fit():
    for method in ("predict", "predict_distribution"):
        with pytest.raises(NotFittedError):
            getattr(MetaRegressor(), method)(TABLES)
    assert set(inspect.signature(MetaRegressor).parameters) == {
        "learner",
        "random_state",
        "missing",
    }


def test_leaking_clips_are_refused_at_the_fit():
    leaky = PredictionTable(
        "leaky",
        TABLES[0].clip_ids,
        ASPECTS,
        TABLES[0].distributions,
        trained_on=frozenset({"c003"}),
    )
    with pytest.raises(UsageError, match="'c003' were used to train 'leaky'"):
        MetaRegressor().fit([*TABLES, leaky], UNNAMED)
    MetaRegressor().fit([*TABLES, leaky], UNNAMED.take(slice(4, None)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": Y[:5]}, r"shape \(5, 2\); expected \(120, 2\)"),
        (
            {"labels": Y * 20},
            r"Label of clip 'c000', aspect 'mi' is .*; the scale is 1..5",
        ),
        ({"labels": Y * [1, np.nan]}, "No clip has a label for aspect 'ta'"),
        ({"aspects": ["mi", "quality"]}, "no predictions for aspect 'quality'"),
        ({"weights": [1.0]}, "120 clips need as many sample weights"),
        ({"tables": []}, "at least one base model"),
    ],
)
def test_fit_refuses_labels_that_do_not_fit(change, message):
    given = {"tables": TABLES, "labels": Y, "aspects": ASPECTS} | change
    tables = given.pop("tables")
    with pytest.raises(UsageError, match=message):
        MetaRegressor().fit(tables, Rows.of(TABLES[0].clip_ids, **given))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": ["s"]}, "120 clips need as many system ids"),
        (
            {"labels": np.where(np.arange(120)[:, None] < 4, Y, np.nan)},
            "at least 5 clips labelled for aspect 'mi'; got 4",
        ),
        ({"validation": 1.5}, "between 0 and 1; got 1.5"),
        ({"tables": []}, "at least one base model"),
    ],
)
def test_a_trial_refuses_rows_that_cannot_judge(change, message):
    given = {"tables": TABLES, "validation": 0.4, "labels": Y} | change
    tables = given.pop("tables")
    validation = given.pop("validation")
    with pytest.raises(UsageError, match=message):
        MetaRegressor().held_out_trial(tables, rows_with(**given), validation)


def test_a_calibration_refuses_the_same_rows_and_needs_a_fit():
    rows = rows_with(np.where(np.arange(120)[:, None] < 4, Y, np.nan))
    with pytest.raises(NotFittedError):
        MetaRegressor().calibrate(TABLES, rows)
    with pytest.raises(UsageError, match="at least 5 clips labelled for aspect 'mi'"):
        MetaRegressor().fit(TABLES, rows).calibrate(TABLES, rows)


@pytest.mark.parametrize(
    "change",
    [
        {"learner": "other"},
        {"learner": ["ridge"]},
        {"random_state": "x"},
        {"aspects": ["mi"]},
        {"residual_sigma": [0.3, -1]},
        {"residual_sigma": [0.3]},
        {"calibrations": [None]},
        {"calibrations": [None, {}]},
        {"calibrations": 3},
        {"facts": []},
        {"facts": 3},
        {"layout": {}},
        {"fitted_on": 1},
    ],
)
def test_a_damaged_state_is_refused(change):
    facts, arrays = MetaRegressor().fit(TABLES, UNNAMED).state()
    with pytest.raises(DamagedArtifact, match="damaged"):
        MetaRegressor.from_state(facts | change, arrays)
    with pytest.raises(DamagedArtifact, match="damaged"):
        MetaRegressor.from_state(
            {key: facts[key] for key in facts if key not in change}, arrays
        )
    with pytest.raises(DamagedArtifact, match="'coef'"):
        MetaRegressor.from_state(facts, {})


def test_intervals_and_distributions_are_learnt_from_clips_outside_the_fit():
    by_heart = MetaRegressor(KNeighborsRegressor(1))
    fit_measured(by_heart, TABLES, ROWS)
    low, high = by_heart.predict_interval(TABLES)
    assert (high - low).mean() > 0.5
    tables, y, _ = corpus(2000, seed=9)
    model = MetaRegressor()
    fit_measured(model, TABLES, ROWS)
    low, high = model.predict_interval(tables)
    assert ((low <= y) & (y <= high)).mean(axis=0) == pytest.approx(
        [0.9, 0.9], abs=0.06
    )
    scores = model.predict(tables)
    distributions = model.predict_distribution(tables)
    inside = (scores > 1.4) & (scores < 4.6)
    np.testing.assert_allclose(
        model.layout_.bins.expected(distributions)[inside], scores[inside], atol=1e-9
    )


def test_a_system_with_many_clips_has_intervals_of_its_own():
    tables, y, _ = corpus(300, seed=2)
    systems = np.repeat(["sure", "wild"], 150)
    noise = np.where(systems == "wild", 0.8, 0.0)[:, None] * np.random.default_rng(
        0
    ).normal(size=y.shape)
    ratings = np.clip(y + noise, 1, 5)
    model = MetaRegressor()
    fit_measured(model, tables, rows_of_tables(tables, ratings, systems=systems))
    low, high = model.predict_interval(tables, system_ids=systems)
    widths = (high - low)[(low > 1).all(axis=1) & (high < 5).all(axis=1)]
    held = [
        ((low <= ratings) & (ratings <= high))[systems == s].mean()
        for s in ("sure", "wild")
    ]
    # And more, since each system's errors are those of a learner of the other.
    assert min(held) > 0.85
    assert widths.max() > 2 * widths.min()


def test_a_calibration_of_another_scale_is_refused():
    model = MetaRegressor()
    fit_measured(model, TABLES, ROWS)
    facts, arrays = model.state()
    facts["calibrations"][0]["bins"]["count"] = 10
    with pytest.raises(DamagedArtifact, match="another scale"):
        MetaRegressor.from_state(facts, arrays)
