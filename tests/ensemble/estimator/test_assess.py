"""What `StackedMOS.assess` measures is what fit_meta reports of the same clips."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import Predictor, prediction_tables
from commands import call
from raters import ratings_of
from sklearn.linear_model import Ridge

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.files import from_json, read_json, to_json
from base_models.predictions import RATINGS, PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.stacking.fit_stack import Settings, fit_stack
from ensemble.stacking.stack_data import StackData
from ensemble.workspace import Workspace
from meta.comparison.held_out_trial import TRAINING, VALIDATION
from meta.learners.weighted_scores import Simplex
from meta.predicted_rows import PredictedRows
from meta.rows import Rows

ASPECTS = ("mi", "ta")
PREDICTORS = {
    "one": Predictor(noise=0.3),
    "two": Predictor(noise=0.5),
    "three": Predictor(noise=0.9),
}
MODELS = tuple(PREDICTORS)


def heard(n, seed, prefix):
    """A clip table of n clips, their labels, and a prediction table per model."""
    rng = np.random.default_rng(seed)
    clips = pd.DataFrame(
        {
            "clip_id": [f"{prefix}{k}" for k in rng.permutation(n)],
            "system_id": [f"s{k % 6}" for k in range(n)],
            "prompt": [f"p{k % 7}" for k in range(n)],
        }
    )
    labels = pd.DataFrame(rng.uniform(1.5, 4.5, (n, 2)), columns=ASPECTS)
    ids = clips["clip_id"].tolist()
    tables = prediction_tables(labels.to_numpy(), PREDICTORS, ids=ids, rng=rng)
    return clips, labels, tables


CLIPS, LABELS, TABLES = heard(60, 0, "fit")
TEST_CLIPS, TEST_LABELS, TEST_TABLES = heard(30, 1, "new")


def predicted(clips, labels, tables):
    rows = Rows.from_clips(pd.concat([clips, labels], axis=1), ASPECTS)
    return PredictedRows(rows, tuple(tables))


def by_clip(clips, labels):
    """Labels as they are joined to predictions: by clip id, with their systems."""
    return pd.concat([clips[["clip_id", "system_id"]], labels], axis=1)


def stack(**parameters):
    """A stack of tables that predict the clips of the fit and the new ones."""
    joined = [
        PredictionTable.join(pair) for pair in zip(TABLES, TEST_TABLES, strict=True)
    ]
    given = {"cv": "prefit"} | parameters
    return StackedMOS([(table.model, table) for table in joined], **given)


def values(report):
    """report.json without what the clock or the place of the files decides."""
    # As in the file, without the page beside it, whose pictures take long.
    return without_times(from_json(to_json(report.values()), "report.json"))


def without_times(report):
    learners = {
        name: [
            {key: row[key] for key in row if not key.endswith("_seconds")}
            for row in board
        ]
        for name, board in report["learners"].items()
    }
    source = {"source": "", "note": "", "demo": False}
    return report | source | {"learners": learners}


@pytest.fixture(scope="module")
def fitted():
    return stack().fit(CLIPS, LABELS)


@pytest.fixture(scope="module")
def report(fitted):
    return fitted.assess({"test": (TEST_CLIPS, TEST_LABELS)}, rivals=("mean", "best"))


# ---- the same numbers as fit_meta


@pytest.mark.parametrize(
    "settings",
    [
        Settings(rivals=("mean", "best")),
        Settings("simplex", validation=0.3, seed=5, rivals=()),
    ],
)
def test_a_stack_that_is_assessed_has_the_report_of_fit_meta(settings, tmp_path):
    test = predicted(TEST_CLIPS, TEST_LABELS, TEST_TABLES)
    data = StackData(
        fit=predicted(CLIPS, LABELS, TABLES),
        judges={"test": test},
        aspects=ASPECTS,
        needs_text=(False, True),
        source="a.csv",
        note="a note",
    )
    folder = fit_stack(Workspace(tmp_path), data, settings)
    fitted = stack(
        final_estimator=settings.learner,
        validation=settings.validation,
        random_state=settings.seed,
    ).fit(CLIPS, LABELS)
    report = fitted.assess({"test": test}, rivals=settings.rivals)
    assert values(report) == without_times(read_json(folder / "report.json"))
    files = report.files()
    for name in ("metrics.csv", "answer.txt", "predictions-test.csv"):
        assert files[name] == (folder / name).read_bytes()


@pytest.mark.parametrize("groups", [None, "prompt"])
def test_fit_meta_on_files_is_fit_on_the_same_tables(groups, tmp_path):
    scores = {table.model: table.scores[:, 0] for table in TABLES}
    frame = CLIPS.assign(mos=LABELS["mi"].to_numpy(), **scores)
    frame.to_csv(tmp_path / "all.csv", index=False)
    words = ["--predictions", tmp_path / "all.csv", "--artifacts", tmp_path / "art"]
    words += ["--rivals"] + (["--groups", groups] if groups else [])
    code, out, err = call("fit_meta", *words)
    assert code == 0, err
    folder = out.splitlines()[-1]
    loaded = StackedMOS.load(folder)
    told = read_json(f"{folder}/report.json")

    read = pd.read_csv(tmp_path / "all.csv")
    tables = [
        PredictionTable.from_scores(
            model, read["clip_id"].tolist(), ("mos",), read[[model]].to_numpy()
        )
        for model in MODELS
    ]
    fitted = StackedMOS([(table.model, table) for table in tables], cv="prefit")
    of_groups = read[groups].tolist() if groups else None
    fitted.fit(read.drop(columns=list(MODELS)), read[["mos"]], groups=of_groups)
    np.testing.assert_array_equal(loaded.predict(tables), fitted.predict(tables))
    np.testing.assert_array_equal(
        loaded.predict_distribution(tables), fitted.predict_distribution(tables)
    )
    said = told["verdict"]
    assert f"{said['sentence']} {said['limits']}" == fitted.verdict_
    board = fitted.validation_scores_
    of_meta = pd.DataFrame(told["leaderboards"][VALIDATION])
    pd.testing.assert_frame_equal(
        of_meta, board, check_like=True, check_dtype=False, rtol=1e-12
    )
    assert values(fitted.assess(rivals=())) == without_times(told)


# ---- what is returned and written


def test_the_report_stays_with_the_stack_and_is_of_the_last_assessment(fitted, report):
    assert report.learner == "stack"
    assert report.aspects == ASPECTS
    assert report.facts == fitted.final_estimator_.describe()
    assert report.assessment.rows == "test"
    assert list(report.assessment.boards) == ["test", VALIDATION, TRAINING]
    assert set(report.assessment.learners["model"]) == {"mean", "best"}
    pd.testing.assert_frame_equal(
        report.assessment.boards[VALIDATION], fitted.validation_scores_
    )
    plain = fitted.assess(rivals=())
    assert fitted.report_ is plain
    assert plain.assessment.rows == VALIDATION
    assert plain.assessment.verdict.text == fitted.verdict_
    assert plain.assessment.predictions.empty


def test_a_fit_has_no_report_and_an_adapted_stack_none_of_the_old_one():
    again = stack().fit(CLIPS, LABELS)
    assert not hasattr(again, "report_")
    again.assess(rivals=())
    assert hasattr(again, "report_")
    few = again.adapt(TEST_TABLES, TEST_LABELS.to_numpy())
    for name in ("report_", "meta_rows_"):
        assert hasattr(again, name)
        assert not hasattr(few, name)
    again.fit(CLIPS, LABELS)
    assert not hasattr(again, "report_")


def test_the_files_of_a_report_are_written(report, tmp_path):
    report.write(tmp_path / "report")
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {
        "answer.txt",
        "metrics.csv",
        "predictions-test.csv",
        "report.html",
        "report.json",
    }
    for name, data in report.files().items():
        assert (tmp_path / "report" / name).read_bytes() == data
    told = json.loads((tmp_path / "report" / "report.json").read_text())
    assert told["verdict"]["rows"] == "test"
    frame = pd.read_csv(tmp_path / "report" / "predictions-test.csv")
    assert frame["clip_id"].tolist() == TEST_CLIPS["clip_id"].tolist()
    np.testing.assert_allclose(frame["ta_true"], TEST_LABELS["ta"])
    report.write(tmp_path / "without")
    assert len(list((tmp_path / "without").iterdir())) == 5


# ---- rows that judge


def judged(fitted, *given):
    found = fitted.assess({"test": given if len(given) > 1 else given[0]}, rivals=())
    return values(found)


def test_judges_may_be_clips_tables_or_rows(fitted):
    expected = judged(fitted, predicted(TEST_CLIPS, TEST_LABELS, TEST_TABLES))
    assert judged(fitted, TEST_CLIPS, TEST_LABELS) == expected
    assert judged(fitted, TEST_CLIPS, TEST_LABELS.to_numpy()) == expected
    assert judged(fitted, TEST_CLIPS, TEST_LABELS[["ta", "mi"]]) == expected
    # Labels by clip id name systems, but no prompt.
    expected = judged(
        fitted, predicted(TEST_CLIPS.drop(columns="prompt"), TEST_LABELS, TEST_TABLES)
    )
    labels = by_clip(TEST_CLIPS, TEST_LABELS)
    assert judged(fitted, TEST_TABLES, labels) == expected
    assert judged(fitted, TEST_TABLES[::-1], labels.iloc[::-1]) == expected
    assert judged(fitted, TEST_TABLES, labels.iloc[:, ::-1]) == expected


def test_judges_may_be_frames_of_scores():
    truth = pd.Series(LABELS["mi"].to_numpy(), index=CLIPS["clip_id"], name="mos")
    scores = pd.DataFrame(
        {table.model: table.scores[:, 0] for table in TABLES}, index=truth.index
    )
    fitted = StackedMOS.from_predictions(scores[:40], truth[:40])
    rest = truth[40:]
    found = fitted.assess({"test": (scores[40:], rest)}, rivals=())
    predictions = found.assessment.predictions
    assert predictions["clip_id"].tolist() == rest.index.tolist()
    np.testing.assert_array_equal(predictions["mos"], fitted.predict(scores[40:]))
    np.testing.assert_array_equal(predictions["mos_true"], rest)
    board = found.assessment.boards["test"]
    assert board["n"].max() == 20
    error = np.mean((fitted.predict(scores[40:]) - rest) ** 2)
    row = board.query("model == 'stack' and level == 'utterance' and metric == 'mse'")
    assert row["value"].tolist() == pytest.approx([error])
    expected = values(found)
    for frame, labels in (
        (scores[40:], rest.to_numpy()),
        (scores[40:].rename_axis("clip_id").reset_index(), rest.iloc[::-1]),
        (scores[40:], rest.to_frame()),
        (scores[40:], truth),
    ):
        assert values(fitted.assess({"test": (frame, labels)}, rivals=())) == expected


def matrix(n=90, aspects=1):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 3))
    y = np.clip(3 + X[:, :aspects] + rng.normal(0, 0.3, (n, aspects)), 1, 5)
    return X, y


@pytest.mark.parametrize("aspects", [1, 2])
def test_judges_may_be_matrices_whose_rows_are_those_of_no_fit(aspects):
    X, y = matrix(aspects=aspects)
    bases = [("a", Ridge()), ("b", Ridge(alpha=50))]
    fitted = StackedMOS(bases, cv=3).fit(X[:60], y[:60])
    found = fitted.assess({"test": (X[60:], y[60:])}, rivals=("mean",))
    assert found.audit.overlaps == ()
    assert found.assessment.marks == ()
    predictions = found.assessment.predictions
    assert predictions["clip_id"].tolist() == [f"test-{k}" for k in range(30)]
    scores = fitted.predict(X[60:])
    np.testing.assert_array_equal(predictions[list(fitted.aspects_)], scores)
    labels = predictions[[f"{aspect}_true" for aspect in fitted.aspects_]]
    np.testing.assert_array_equal(labels, y[60:])
    errors = found.assessment.boards["test"].query(
        "model == 'stack' and level == 'utterance' and metric == 'mse'"
    )
    np.testing.assert_allclose(errors["value"], np.mean((scores - y[60:]) ** 2, axis=0))
    # Trials with base models of their own are assessed like any other.
    assert list(found.assessment.boards) == ["test", VALIDATION, TRAINING]
    assert set(found.assessment.learners.query("level == 'utterance'")["n"]) == {24}
    assert set(found.assessment.contributions["model"]) == {"a", "b"}


def test_labels_beyond_the_scale_of_a_matrix_need_a_named_scale():
    X, y = matrix(n=60)
    bases = [("a", Ridge()), ("b", Ridge(alpha=50))]
    beyond = 20 * y[:30] + 5
    spanned = StackedMOS(bases, cv=3).fit(X, 20 * y)
    with pytest.raises(UsageError, match=r"Label of clip 'test-.* the scale is 20\.\."):
        spanned.assess({"test": (X[:30], beyond)}, rivals=())
    named = StackedMOS(bases, cv=3, bins=ScoreBins(0, 120)).fit(X, 20 * y)
    found = named.assess({"test": (X[:30], beyond)}, rivals=())
    labels = found.assessment.predictions["mos_true"]
    np.testing.assert_array_equal(labels, beyond[:, 0])


def test_labels_of_one_dimension_judge_a_matrix():
    X, y = matrix()
    fitted = StackedMOS([("a", Ridge()), ("b", Ridge(alpha=50))], cv=3)
    fitted.fit(X[:60], y[:60, 0])
    found = fitted.assess({"later": (X[60:], y[60:, 0])}, rivals=())
    assert found.assessment.rows == "later"
    assert found.assessment.predictions.empty
    assert found.assessment.compared.rows.ids[0] == "later-0"


def test_the_verdict_is_of_the_first_judges_that_have_labels(fitted):
    judges = {
        "test": (TEST_CLIPS, TEST_LABELS * np.nan),
        "dev": (TEST_CLIPS[:12], TEST_LABELS[:12]),
        "other": (TEST_CLIPS[12:], TEST_LABELS[12:]),
    }
    found = fitted.assess(judges, rivals=()).assessment
    assert found.rows == "dev"
    assert list(found.boards) == ["dev", "other", VALIDATION, TRAINING]
    assert len(found.predictions) == 30
    assert "mi_true" not in found.predictions


def test_systems_and_prompts_of_judges_are_those_of_their_clips(fitted):
    found = fitted.assess({"test": (TEST_CLIPS, TEST_LABELS)}, rivals=())
    rows = found.assessment.compared.rows
    assert rows.systems.tolist() == TEST_CLIPS["system_id"].tolist()
    assert rows.prompts.tolist() == TEST_CLIPS["prompt"].tolist()
    labels = by_clip(TEST_CLIPS, TEST_LABELS)
    found = fitted.assess({"test": (TEST_TABLES, labels)}, rivals=())
    rows = found.assessment.compared.rows
    assert rows.systems.tolist() == TEST_CLIPS["system_id"].tolist()
    assert rows.prompts is None


def test_clips_that_fitted_the_stack_mark_a_report_on_them(fitted):
    found = fitted.assess({"test": (CLIPS, LABELS)}, rivals=())
    assert len(found.audit.marks) == 2
    assert found.assessment.rows == "LEAKY test"
    assert found.assessment.verdict.sentence.startswith("LEAKY: ")
    assert values(found)["leaks"] == list(found.audit.marks)
    # A clip under two names is known by its content.
    same = {CLIPS["clip_id"][0]: "audio", TEST_CLIPS["clip_id"][0]: "audio"}
    judges = {"test": (TEST_CLIPS, TEST_LABELS)}
    assert fitted.assess(judges, rivals=()).audit.marks == ()
    (mark,) = fitted.assess(judges, contents=same, rivals=()).audit.marks
    assert mark.startswith("leaky: 1 clip of test is in meta-")


def test_single_ratings_give_a_ceiling_and_the_level_sets_the_intervals(fitted):
    judges = {"test": (TEST_CLIPS, TEST_LABELS)}
    rated = pd.concat([TEST_CLIPS, TEST_LABELS], axis=1)
    ratings = ratings_of(rated, list(ASPECTS))
    found = fitted.assess(judges, ratings=ratings, level=0.5, rivals=())
    assert len(found.assessment.ceiling) == 16
    assert fitted.assess(judges, rivals=()).assessment.ceiling.empty
    regressor = fitted.final_estimator_
    low, high = regressor.predict_interval(TEST_TABLES, level=0.5)
    predictions = found.assessment.predictions
    np.testing.assert_array_equal(predictions[["mi_low", "ta_low"]], low)
    np.testing.assert_array_equal(predictions[["mi_high", "ta_high"]], high)


def test_base_models_that_leave_clips_out_are_assessed_where_that_is_allowed():
    few = TABLES[2].take(TABLES[2].clip_ids[::2])
    tables = [*TABLES[:2], few]
    parameters = {"cv": "prefit", "missing": "pool"}
    pooled = StackedMOS([(table.model, table) for table in tables], **parameters)
    pooled.fit(CLIPS, LABELS)
    shortened = TEST_TABLES[2].take(TEST_TABLES[2].clip_ids[1:])
    given = ([*TEST_TABLES[:2], shortened], by_clip(TEST_CLIPS, TEST_LABELS))
    board = pooled.assess({"test": given}, rivals=("mean",)).assessment.boards["test"]
    counts = board.query("level == 'utterance'").groupby("model")["n"].first()
    assert counts.to_dict() == {
        "stack": 30,
        "mean": 30,
        "constant": 30,
        "one": 30,
        "two": 30,
        "three": 29,
    }


# ---- refusals


def test_what_was_not_measured_cannot_be_assessed(fitted, tmp_path):
    message = "assess needs a stack that was fitted in this process with a validation"
    unmeasured = stack(validation=None).fit(CLIPS, LABELS)
    fitted.save(tmp_path / "stack")
    loaded = StackedMOS.load(tmp_path / "stack")
    adapted = fitted.adapt(TEST_TABLES, TEST_LABELS.to_numpy())
    for one in (unmeasured, loaded, adapted):
        with pytest.raises(UsageError, match=message):
            one.assess({"test": (TEST_CLIPS, TEST_LABELS)}, rivals=())
        assert not hasattr(one, "report_")


def test_judges_that_do_not_fit_the_stack_are_refused(fitted):
    for given, message in (
        ((TEST_CLIPS, TEST_LABELS[:5]), "There are 30 clips but 5 rows of labels"),
        ((TEST_CLIPS, TEST_LABELS[["mi"]]), "the stack predicts 'mi', 'ta'"),
        ((TEST_CLIPS, TEST_LABELS.rename(columns={"ta": "x"})), "stack predicts 'mi'"),
        ((TEST_CLIPS, 20 * TEST_LABELS), r"the scale is 1\.\.5"),
        (
            (TEST_TABLES[:2], TEST_LABELS.to_numpy()),
            "fitted with 'three', which is missing here",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            fitted.assess({"test": given}, rivals=())
    with pytest.raises(UsageError, match="Unknown learner 'rigde'"):
        fitted.assess(rivals=("rigde",))


# ---- base models that leave clips out


def test_missing_predictions_are_refused_or_pooled():
    few = replace(TABLES[1].take(TABLES[1].clip_ids[3:]))
    tables = [TABLES[0], few, TABLES[2]]
    named = [(table.model, table) for table in tables]
    assert StackedMOS().get_params(deep=False)["missing"] == "refuse"
    with pytest.raises(UsageError, match="'two' has no prediction for"):
        StackedMOS(named, cv="prefit").fit(CLIPS, LABELS)
    pooled = StackedMOS(named, cv="prefit", missing="pool").fit(CLIPS, LABELS)
    assert pooled.final_estimator_.missing == "pool"
    assert np.isfinite(pooled.predict(CLIPS)).all()
    board = pooled.validation_scores_.query("level == 'utterance'")
    assert board.query("model == 'stack'")["n"].tolist() == 8 * [24]


def test_pooled_predictions_are_those_of_a_learner_that_pools(tmp_path):
    truth = pd.Series(LABELS["mi"].to_numpy(), index=CLIPS["clip_id"], name="mos")
    scores = pd.DataFrame(
        {table.model: table.scores[:, 0] for table in TABLES}, index=truth.index
    )
    scores.iloc[:5, 1] = np.nan
    named = StackedMOS.from_predictions(
        scores, truth, final_estimator="simplex", missing="pool"
    )
    own = StackedMOS.from_predictions(
        scores, truth, final_estimator=Simplex(missing="pool")
    )
    np.testing.assert_array_equal(named.predict(scores), own.predict(scores))
    assert named.verdict_ == own.verdict_
    named.save(tmp_path / "stack")
    loaded = StackedMOS.load(tmp_path / "stack")
    assert loaded.missing == "pool"
    np.testing.assert_array_equal(loaded.predict(scores), named.predict(scores))


def test_disagreement_is_learnt_predicted_saved_and_assessed(tmp_path):
    of_ratings = [replace(table, predicts=RATINGS) for table in TABLES[:2]]
    tables = [*of_ratings, TABLES[2]]
    stack = StackedMOS([(t.model, t) for t in tables], cv="prefit")
    stack.fit(CLIPS, LABELS)
    plain = stack.predict_disagreement(CLIPS)
    ratings = ratings_of(pd.concat([CLIPS, LABELS], axis=1), list(ASPECTS))
    stack.learn_disagreement(ratings)
    learnt = stack.predict_disagreement(CLIPS)
    assert plain.shape == learnt.shape == (len(CLIPS), 2)
    assert not np.array_equal(plain, learnt)

    found = stack.assess(ratings=ratings, rivals=()).assessment.disagreement
    assert found["aspect"].tolist() == list(ASPECTS)
    assert stack.assess(rivals=()).assessment.disagreement.empty

    stack.save(tmp_path)
    again = StackedMOS.load(tmp_path)
    np.testing.assert_array_equal(again.predict_disagreement(CLIPS), learnt)
    with pytest.raises(UsageError, match="needs the rows of the fit"):
        again.learn_disagreement(ratings)
    with pytest.raises(UsageError, match="is off the scale"):
        stack.learn_disagreement(ratings.assign(mi=ratings["mi"] + 4))


def test_a_stack_of_mean_labels_predicts_no_disagreement(fitted):
    with pytest.raises(UsageError, match="add dora_raters or dora_beta"):
        fitted.predict_disagreement(TEST_CLIPS)
