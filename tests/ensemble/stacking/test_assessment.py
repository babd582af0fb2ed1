"""Laws of a judgement: which rows may say what of a stack, and what is left unsaid where no row may."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from ensemble.stacking.assessment import (
    RELATIVE_ALPHA,
    TRAINING,
    VALIDATION,
    audit_of,
    judge,
)
from raters import ratings_of
from sklearn.linear_model import Ridge

from base_models.errors import UsageError
from base_models.files import read_json
from base_models.predictions import PredictionTable
from ensemble.stacking import assessment as module
from ensemble.stacking.fit_stack import Settings, fit_level1
from ensemble.stacking.stack_data import Rows, StackData
from ensemble.workspace import Workspace
from meta.columns.feature_table import feature_array
from meta.comparison.verdict import best_bases
from meta.regressor import MetaRegressor

ASPECTS = ("mos",)


def rows_of(n, seed, prefix, noises=(0.3, 0.45, 0.8), systems=5, left_out=(), seen=()):
    """Clips of one split and what three base models say of them; the last leaves some out."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"clip_id": [f"{prefix}{k}" for k in range(n)], "mos": rng.uniform(1.5, 4.5, n)}
    )
    frame["system_id"] = [f"s{k % systems}" for k in range(n)]
    tables = []
    for k, noise in enumerate(noises):
        scores = np.clip(frame["mos"] + rng.normal(0, noise, n), 1, 5).to_numpy()
        kept = [row for row in range(n) if k < len(noises) - 1 or row not in left_out]
        ids, own = frame["clip_id"].to_numpy()[kept].tolist(), scores[kept, None]
        tables.append(
            PredictionTable.from_scores(
                f"m{k}", ids, ASPECTS, own, trained_on=frozenset(seen)
            )
        )
    return Rows(frame, tuple(tables))


def data_of(judges=(), seed=0, **options):
    judging = {
        name: rows_of(40, seed + 1 + k, name, noises=(0.8, 0.45, 0.3))
        for k, name in enumerate(judges)
    }
    return StackData(
        rows_of(60, seed, "fit", **options),
        judging,
        ASPECTS,
        (False,),
        "a.csv",
        "a note",
    )


def unlabelled(rows):
    return replace(rows, frame=rows.frame.assign(mos=np.nan))


def validated(data, missing="refuse", learner="ridge"):
    fit = data.fit
    regressor = MetaRegressor(learner, 0, missing)
    regressor.validate(
        fit.tables,
        fit.labels(ASPECTS),
        fit.systems,
        0.4,
        fit.ids,
        ASPECTS,
        n_bootstrap=0,
    )
    return regressor


def judged(data, rivals=(), **options):
    return judge(validated(data, **options), data, 0.9, rivals)


@pytest.fixture(scope="module")
def tested():
    data = data_of(["test", "dev"])
    return data, validated(data), judged(data, rivals=("mean", "best"))


# ---- the rows of the verdict


def test_the_verdict_is_of_the_labelled_test_rows_and_the_best_base_is_that_of_the_rows_that_fitted(
    tested,
):
    """The test rows know another best base model; it is not the one that the stack meets."""
    data, regressor, found = tested
    assert found.rows == "test"
    assert list(found.boards) == ["test", "dev", VALIDATION, TRAINING]
    assert found.judged.clip_ids == tuple(data.judges["test"].ids)
    met = found.verdict.table.query("rival == 'best base'")
    best = {}
    for name, rows in (("fit", data.fit), ("test", data.judges["test"])):
        bases = {table.model: table.take(rows.ids).scores for table in rows.tables}
        best[name] = best_bases(bases, rows.labels(ASPECTS), rows.systems, ASPECTS)[
            "mos", "utterance", "mse"
        ]
    assert best == {"fit": "m0", "test": "m2"}
    assert met.query("level == 'utterance' and metric == 'mse'")["model"].tolist() == [
        "m0"
    ]
    scores = regressor.predict(data.judges["test"].tables, data.judges["test"].ids)
    np.testing.assert_array_equal(found.judged.stack, scores)


def test_a_rival_of_the_learner_itself_keeps_the_same_groups_together_as_the_stack():
    data = data_of()
    names = np.random.default_rng(0).permutation([f"p{k % 12}" for k in range(60)])
    fit = replace(data.fit, frame=data.fit.frame.assign(prompt_id=names))
    data = replace(data, fit=fit, group="prompt_id")
    regressor = MetaRegressor("ridge")
    facts = {"clip_ids": fit.ids, "aspects": ASPECTS, "groups": names, "n_bootstrap": 0}
    regressor.validate(fit.tables, fit.labels(ASPECTS), fit.systems, **facts)

    found = judge(regressor, data, 0.9, ("ridge",))
    stack = found.boards[VALIDATION].query("model == 'stack'")
    np.testing.assert_allclose(found.learners["value"], stack["value"])


def test_without_labelled_test_rows_meta_validation_judges_what_meta_training_chose():
    for judges in ({}, {"test": unlabelled(rows_of(40, 9, "test"))}):
        data = replace(data_of(), judges=judges)
        regressor = validated(data)
        found = judge(regressor, data, 0.9, ())
        assert found.rows == VALIDATION
        assert list(found.boards) == [VALIDATION, TRAINING]
        sides = regressor.validation_
        pd.testing.assert_frame_equal(
            found.verdict.table, sides[VALIDATION].verdict(sides[TRAINING]).table
        )
        assert ("mos_true" in found.predictions) is False
        assert len(found.predictions) == (40 if judges else 0)


def test_where_the_test_split_is_unlabelled_the_labelled_dev_split_judges():
    data = data_of(["test", "dev"])
    found = judged(
        replace(
            data,
            judges={"test": unlabelled(data.judges["test"]), "dev": data.judges["dev"]},
        )
    )
    assert found.rows == "dev"
    assert len(found.predictions) == 40
    assert found.predictions["clip_id"].tolist() == data.judges["test"].ids


def test_prompts_that_systems_share_make_the_intervals_more_cautious_on_every_row():
    data = data_of()
    crossed = data.fit.frame.assign(prompt=[f"p{k // 20}" for k in range(60)])
    plain, shared = (
        judged(data),
        judged(replace(data, fit=replace(data.fit, frame=crossed))),
    )
    assert shared.judged.prompt_ids is not None
    p = [found.verdict.table["p"].to_numpy() for found in (plain, shared)]
    assert (p[1] >= p[0] - 1e-12).all()
    assert (p[1] > p[0]).any()


# ---- promises


def test_the_calibration_that_is_judged_was_learnt_on_other_rows(monkeypatch):
    """On the meta-validation rows: learnt on the meta-training rows alone. On a test split: the stack's own."""
    used = []

    def report(calibration, scores, truth, systems):
        used.append((calibration, len(truth)))
        return {}

    monkeypatch.setattr(module, "calibration_report", report)
    data = data_of()
    regressor = validated(data)
    judge(regressor, data, 0.9, ())
    train = regressor.validation_[TRAINING]
    honest = MetaRegressor("ridge")
    honest.validate(
        data.fit.tables,
        train.y,
        train.system_ids,
        0.4,
        train.clip_ids,
        ASPECTS,
        n_bootstrap=0,
    )
    scores = np.linspace(1, 5, 9)
    np.testing.assert_array_equal(
        used[0][0].interval(scores, 0.9), honest.calibrations_[0].interval(scores, 0.9)
    )
    assert used[0][1] == 24
    tested = replace(data, judges={"test": rows_of(40, 9, "test")})
    judge(regressor, tested, 0.9, ())
    assert used[1] == (regressor.calibrations_[0], 40)


def test_where_too_few_rows_are_left_for_a_calibration_nothing_is_said_of_one():
    data = data_of()
    few = replace(data, fit=rows_of(6, 0, "few", systems=2))
    found = judged(few)
    assert found.calibration == {}
    assert found.rows == VALIDATION


# ---- what base models and other learners give


def test_contributions_sum_to_the_gain_of_the_ridge_stack_over_the_training_mean(
    tested,
):
    data, regressor, found = tested
    sides = [regressor.validation_[name] for name in (TRAINING, VALIDATION)]
    X, held = (feature_array(data.fit.tables, "mos", side.clip_ids) for side in sides)
    y, truth = (side.y[:, 0] for side in sides)
    alpha = RELATIVE_ALPHA * ((X - X.mean(0)) ** 2).sum() / X.shape[1]
    scores = Ridge(alpha=alpha, solver="cholesky").fit(X, y).predict(held)
    gain = np.mean((truth - y.mean()) ** 2) - np.mean((truth - scores) ** 2)
    shapley = found.contributions.query("metric == 'mse'").set_index("model")["shapley"]
    assert list(shapley.index) == ["m0", "m1", "m2"]
    assert shapley.sum() == pytest.approx(gain, rel=1e-6)


def test_other_learners_stand_on_the_meta_validation_rows_with_their_times(tested):
    data, _, found = tested
    assert found.learners["model"].unique().tolist() == ["mean", "best"]
    assert (found.learners[["fit_seconds", "predict_seconds"]] > 0).all(axis=None)
    assert set(found.learners.query("level == 'utterance'")["n"]) == {24}
    board = found.boards[VALIDATION].query("model == 'mean'")
    np.testing.assert_allclose(
        found.learners.query("model == 'mean'")["value"], board["value"], atol=1e-9
    )
    assert judged(data).learners.empty


# ---- ceilings


def test_there_is_a_ceiling_only_where_the_rows_of_the_verdict_have_single_ratings():
    data = data_of(["test"])
    regressor, test = validated(data), data.judges["test"]
    ratings = ratings_of(test.frame, list(ASPECTS))
    for given, rows in (
        (None, 0),
        (ratings, 8),
        (ratings_of(data.fit.frame, list(ASPECTS)), 0),
    ):
        assert (
            len(judge(regressor, replace(data, ratings=given), 0.9, ()).ceiling) == rows
        )
    single = ratings.drop_duplicates("clip_id")
    one = pd.concat([single, ratings[1:2]])
    for given in (single, one):
        assert judge(regressor, replace(data, ratings=given), 0.9, ()).ceiling.empty


# ---- what leaks, what is missing


def test_the_audit_names_clips_of_two_uses_by_role():
    data = data_of(["test"], seen=["fit3", "fit4", "test1"])
    assert [(o.model, o.role, o.clip_ids) for o in audit_of(data).overlaps] == [
        (f"m{k}", *found)
        for k in range(3)
        for found in (("meta-training", ("fit3", "fit4")), ("test", ("test1",)))
    ]
    own = replace(data, judges={"test": data.fit})
    assert [(o.use, o.role) for o in audit_of(own).overlaps if o.model == "stack"] == [
        ("meta-training", "test")
    ]
    regressor = validated(data_of(["test"]))
    assert audit_of(data_of(["test"]), regressor).overlaps == ()
    assert set(audit_of(data_of(["test"]), regressor).counts["stack"]) == {
        TRAINING,
        VALIDATION,
        "test",
    }


def test_a_leak_is_refused_or_marks_every_name_of_rows_and_the_verdict(tmp_path):
    data, workspace = data_of(seen=["fit3", "fit4"]), Workspace(tmp_path)
    with pytest.raises(
        UsageError,
        match=r"Clips 'fit3', 'fit4' were used to train 'm0'; .*2 more such overlaps",
    ):
        fit_level1(workspace, data)
    assert not list(tmp_path.rglob("*.json"))
    report = read_json(
        fit_level1(workspace, data, Settings(allow_leak=True, rivals=()))
        / "report.json"
    )
    assert report["audit"]["leaks"] is True
    assert all(
        "were used to train" in mark or "was used to train" in mark
        for mark in report["leaks"]
    )
    assert set(report["leaderboards"]) == {f"LEAKY {VALIDATION}", f"LEAKY {TRAINING}"}
    assert report["verdict"]["sentence"].startswith("LEAKY: ")
    assert report["warnings"][: len(report["leaks"])] == report["leaks"]


def test_nothing_is_marked_where_nothing_leaks(tested):
    found = tested[2]
    assert found.marked([]) is found
    assert found.held == VALIDATION
    assert found.marked(["leaky"]).held == f"LEAKY {VALIDATION}"


def test_a_clip_that_a_base_model_left_out_counts_for_the_stack_and_not_for_that_model():
    data = data_of(left_out=range(0, 60, 4))
    with pytest.raises(UsageError, match=r"'m2' has no prediction for"):
        judged(data)
    found = judged(data, missing="pool")
    counts = (
        found.boards[VALIDATION]
        .query("level == 'utterance'")
        .groupby("model")["n"]
        .first()
    )
    assert counts["stack"] == counts["mean"] == counts["m0"] == 24
    assert counts["m2"] < 24
    assert np.isfinite(found.judged.stack).all()
    assert np.isfinite(found.contributions["shapley"]).all()
    assert set(found.verdict.table.query("level == 'utterance'")["n"]) == {24}
