"""Laws of an assessment: which rows may say what, and what no row may say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import fit_measured
from raters import ratings_of
from sklearn.linear_model import Ridge

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta import assessment as module
from meta.assessment import (
    RELATIVE_ALPHA,
    TRAINING,
    VALIDATION,
    assess,
    audit_rows,
    joint_contributions,
)
from meta.columns.feature_table import feature_array
from meta.columns.reductions import reduced_columns
from meta.comparison.verdict import best_bases
from meta.predicted_rows import PredictedRows
from meta.regressor import MetaRegressor
from meta.rows import Rows

ASPECTS = ("mos",)


def clips_of(
    n, seed, prefix, *, noises=(0.3, 0.45, 0.8), systems=5, left_out=(), seen=()
):
    """Clips of one split and what three models predict; the last leaves some out."""
    rng = np.random.default_rng(seed)
    ids = [f"{prefix}{k}" for k in range(n)]
    labels = rng.uniform(1.5, 4.5, n)
    tables = []
    for k, noise in enumerate(noises):
        scores = np.clip(labels + rng.normal(0, noise, n), 1, 5)
        is_last = k == len(noises) - 1
        kept = [row for row in range(n) if not is_last or row not in left_out]
        table = PredictionTable.from_scores(
            f"m{k}",
            [ids[row] for row in kept],
            ASPECTS,
            scores[kept, None],
            trained_on=frozenset(seen),
        )
        tables.append(table)
    system_ids = [f"s{k % systems}" for k in range(n)]
    rows = Rows.of(ids, labels, ASPECTS, systems=system_ids)
    return PredictedRows(rows, tuple(tables))


def fit_rows(**options):
    """The rows that a stack is fitted on."""
    return clips_of(60, 0, "fit", **options)


def judges_of(*names):
    """Rows that no fit has seen, on which another base model is best."""
    return {
        name: clips_of(40, 1 + k, name, noises=(0.8, 0.45, 0.3))
        for k, name in enumerate(names)
    }


def unlabelled(predicted):
    labels = np.full_like(predicted.rows.labels, np.nan)
    return replace(predicted, rows=replace(predicted.rows, labels=labels))


def measured(fitted, missing="refuse"):
    """A stack fitted on the rows, and its trial."""
    regressor = MetaRegressor("ridge", 0, missing)
    return regressor, fit_measured(regressor, fitted.tables, fitted.rows)


def assessed(fitted, judges=None, missing="refuse", **options):
    regressor, trial = measured(fitted, missing)
    given = {"rivals": ()} | options
    return assess(regressor, trial, fitted, judges, **given)


def frame_of(rows):
    """The rows as `raters.ratings_of` takes them."""
    return pd.DataFrame({"clip_id": rows.ids, "mos": rows.labels[:, 0]})


@pytest.fixture(scope="module")
def tested():
    fitted = fit_rows()
    judges = judges_of("test", "dev")
    regressor, trial = measured(fitted)
    found = assess(regressor, trial, fitted, judges, rivals=("mean", "best"))
    return fitted, judges, regressor, trial, found


# ---- the rows of the verdict


def test_labelled_test_rows_judge_with_the_best_base_model_of_the_rows_that_fit(
    tested,
):
    """The test rows know another best base model; the stack does not meet that one."""
    fitted, judges, regressor, _, found = tested
    test = judges["test"]
    assert found.rows == "test"
    assert list(found.boards) == ["test", "dev", VALIDATION, TRAINING]
    # Rows that fitted the stack say nothing about other systems.
    has_intervals = {
        name: bool(board["low"].notna().any()) for name, board in found.boards.items()
    }
    assert has_intervals == {
        "test": True,
        "dev": True,
        VALIDATION: True,
        TRAINING: False,
    }
    assert found.compared.rows.ids.tolist() == test.rows.ids.tolist()
    met = found.verdict.table.query("rival == 'best base'")
    best = {}
    for name, predicted in (("fit", fitted), ("test", test)):
        rows = predicted.rows
        bases = {
            table.model: table.take(rows.ids.tolist()).scores
            for table in predicted.tables
        }
        of_rows = best_bases(rows, bases)
        best[name] = of_rows["mos", "utterance", "mse"]
    assert best == {"fit": "m0", "test": "m2"}
    assert met.query("level == 'utterance' and metric == 'mse'")["model"].tolist() == [
        "m0"
    ]
    scores = regressor.predict(test.tables, test.rows.ids.tolist())
    np.testing.assert_array_equal(found.compared.stack_scores, scores)


def test_a_rival_of_the_learner_itself_keeps_the_same_groups_together_as_the_stack():
    fitted = fit_rows()
    names = np.random.default_rng(0).permutation([f"p{k % 12}" for k in range(60)])
    fitted = replace(fitted, rows=replace(fitted.rows, groups=names))
    found = assessed(fitted, rivals=("ridge",))
    stack = found.boards[VALIDATION].query("model == 'stack'")
    np.testing.assert_allclose(found.learners["value"], stack["value"])


def test_without_labelled_test_rows_meta_validation_judges_what_meta_training_chose():
    fitted = fit_rows()
    regressor, trial = measured(fitted)
    for judges in (None, {}, {"test": unlabelled(clips_of(40, 9, "test"))}):
        found = assess(regressor, trial, fitted, judges, rivals=())
        assert found.rows == VALIDATION
        assert list(found.boards) == [VALIDATION, TRAINING]
        pd.testing.assert_frame_equal(
            found.verdict.table, trial.validation.verdict(trial.training).table
        )
        assert "mos_true" not in found.predictions
        assert len(found.predictions) == (40 if judges else 0)


def test_where_the_test_split_is_unlabelled_the_labelled_dev_split_judges():
    judges = judges_of("test", "dev")
    given = {"test": unlabelled(judges["test"]), "dev": judges["dev"]}
    found = assessed(fit_rows(), given)
    assert found.rows == "dev"
    assert len(found.predictions) == 40
    assert found.predictions["clip_id"].tolist() == judges["test"].rows.ids.tolist()


def test_prompts_that_systems_share_make_the_intervals_more_cautious_on_every_row():
    fitted = fit_rows()
    prompts = np.array([f"p{k // 20}" for k in range(60)], dtype=object)
    crossed = replace(fitted, rows=replace(fitted.rows, prompts=prompts))
    plain = assessed(fitted)
    shared = assessed(crossed)
    assert shared.compared.rows.prompts is not None
    p = [found.verdict.table["p"].to_numpy() for found in (plain, shared)]
    assert (p[1] >= p[0] - 1e-12).all()
    assert (p[1] > p[0]).any()


# ---- promises


def test_the_calibration_that_is_judged_was_learnt_on_other_rows(monkeypatch):
    """Meta-validation judges that of meta-training, a test split the stack's own."""
    used = []

    def report(calibration, scores, truth, systems, scales):
        used.append((calibration, len(truth)))
        return {}

    monkeypatch.setattr(module, "calibration_report", report)
    fitted = fit_rows()
    regressor, trial = measured(fitted)
    assess(regressor, trial, fitted, rivals=())
    honest = MetaRegressor("ridge")
    fit_measured(honest, fitted.tables, trial.training.rows)
    scores = np.linspace(1, 5, 9)
    np.testing.assert_array_equal(
        used[0][0].interval(scores, 0.9), honest.calibrations_[0].interval(scores, 0.9)
    )
    assert used[0][1] == 24
    assess(regressor, trial, fitted, {"test": clips_of(40, 9, "test")}, rivals=())
    assert used[1] == (regressor.calibrations_[0], 40)


def test_where_too_few_rows_are_left_for_a_calibration_nothing_is_said_of_one():
    found = assessed(clips_of(6, 0, "few", systems=2))
    assert found.calibration == {}
    assert found.rows == VALIDATION


# ---- what base models and other learners give


def test_contributions_sum_to_the_gain_of_the_ridge_stack_over_the_training_mean(
    tested,
):
    fitted, _, regressor, trial, found = tested
    # 36 rows are fewer than the 60 bins of three models, so that scores are taken.
    X, held = (
        reduced_columns(
            regressor.layout_,
            feature_array(fitted.tables, "mos", side.rows.ids.tolist()),
            "score",
        )
        for side in (trial.training, trial.validation)
    )
    y = trial.training.rows.labels[:, 0]
    truth = trial.validation.rows.labels[:, 0]
    alpha = RELATIVE_ALPHA * ((X - X.mean(0)) ** 2).sum() / X.shape[1]
    scores = Ridge(alpha=alpha, solver="cholesky").fit(X, y).predict(held)
    gain = np.mean((truth - y.mean()) ** 2) - np.mean((truth - scores) ** 2)
    shapley = found.contributions.query("metric == 'mse'").set_index("model")["shapley"]
    assert list(shapley.index) == ["m0", "m1", "m2"]
    assert shapley.sum() == pytest.approx(gain, rel=1e-6)


def test_models_that_are_counted_under_one_name_share_what_all_give(tested):
    _, _, regressor, trial, found = tested
    players = {"m0": "e", "m2": "e"}
    table = joint_contributions(regressor, trial, players)
    assert list(table["model"].unique()) == ["e", "m1"]
    by_metric = table.groupby("metric")["shapley"].sum()
    of_models = found.contributions.groupby("metric")["shapley"].sum()
    np.testing.assert_allclose(by_metric, of_models)
    # Nothing to compare: one name for all, or one for each.
    for same in (dict.fromkeys(["m0", "m1", "m2"], "e"), {}, {"m0": "e"}):
        assert joint_contributions(regressor, trial, same).empty


def test_other_learners_stand_on_the_meta_validation_rows_with_their_times(tested):
    fitted, _, _, _, found = tested
    assert found.learners["model"].unique().tolist() == ["mean", "best"]
    assert (found.learners[["fit_seconds", "predict_seconds"]] > 0).all(axis=None)
    assert set(found.learners.query("level == 'utterance'")["n"]) == {24}
    board = found.boards[VALIDATION].query("model == 'mean'")
    np.testing.assert_allclose(
        found.learners.query("model == 'mean'")["value"], board["value"], atol=1e-9
    )
    assert assessed(fitted).learners.empty


# ---- ceilings


def test_there_is_a_ceiling_only_where_the_rows_of_the_verdict_have_single_ratings():
    fitted = fit_rows()
    judges = judges_of("test")
    regressor, trial = measured(fitted)

    def ceiling(given):
        found = assess(regressor, trial, fitted, judges, ratings=given, rivals=())
        return found.ceiling

    ratings = ratings_of(frame_of(judges["test"].rows), list(ASPECTS))
    assert len(ceiling(ratings)) == 8
    assert ceiling(None).empty
    assert ceiling(ratings_of(frame_of(fitted.rows), list(ASPECTS))).empty
    single = ratings.drop_duplicates("clip_id")
    assert ceiling(single).empty
    assert ceiling(pd.concat([single, ratings[1:2]])).empty


# ---- what leaks, what is missing


def test_the_audit_names_clips_of_two_uses_by_role():
    leaky = fit_rows(seen=["fit3", "fit4", "test1"])
    judges = judges_of("test")
    overlaps = audit_rows(leaky, judges).overlaps
    assert [(o.model, o.role, o.clip_ids) for o in overlaps] == [
        (f"m{k}", *found)
        for k in range(3)
        for found in (("meta-training", ("fit3", "fit4")), ("test", ("test1",)))
    ]
    fitted = fit_rows()
    own = audit_rows(fitted, {"test": fitted}).overlaps
    assert [(o.use, o.role) for o in own if o.model == "stack"] == [
        ("meta-training", "test")
    ]
    _, trial = measured(fitted)
    found = audit_rows(fitted, judges, trial=trial)
    assert found.overlaps == ()
    assert set(found.counts["stack"]) == {TRAINING, VALIDATION, "test"}


def test_the_audit_knows_a_clip_under_two_names_by_its_content():
    fitted = fit_rows()
    judges = judges_of("test")
    assert audit_rows(fitted, judges).marks == ()
    marks = audit_rows(fitted, judges, {"fit1": "same", "test2": "same"}).marks
    assert len(marks) == 1
    assert "1 clip of test" in marks[0]


def test_nothing_is_marked_where_nothing_leaks(tested):
    found = tested[-1]
    assert found.marked([]) is found
    assert found.held_out_name == VALIDATION
    leaky = found.marked(["leaky"])
    assert leaky.held_out_name == f"LEAKY {VALIDATION}"
    assert leaky.rows == "LEAKY test"
    assert list(leaky.boards) == [f"LEAKY {name}" for name in found.boards]
    assert leaky.verdict.sentence == f"LEAKY: {found.verdict.sentence}"


def test_a_clip_that_a_base_model_left_out_counts_for_the_stack_and_not_for_it():
    fitted = fit_rows(left_out=range(0, 60, 4))
    with pytest.raises(UsageError, match=r"'m2' has no prediction for"):
        assessed(fitted)
    found = assessed(fitted, missing="pool")
    counts = (
        found.boards[VALIDATION]
        .query("level == 'utterance'")
        .groupby("model")["n"]
        .first()
    )
    assert counts["stack"] == counts["mean"] == counts["m0"] == 24
    assert counts["m2"] < 24
    assert np.isfinite(found.compared.stack_scores).all()
    assert np.isfinite(found.contributions["shapley"]).all()
    assert set(found.verdict.table.query("level == 'utterance'")["n"]) == {24}
