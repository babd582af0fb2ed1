"""A stack from predictions alone: what joins by clip id, and what new ones need."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import Predictor, prediction_tables, rows_of_tables
from sklearn.base import clone

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from ensemble.estimator.base_model_files import files_of
from ensemble.estimator.input_rows import rows_of
from ensemble.estimator.prediction_inputs import Join, as_tables
from ensemble.estimator.save_and_load import write_stack
from ensemble.estimator.stacked_mos import StackedMOS
from meta.learners.weighted_scores import Simplex
from meta.regressor import MetaRegressor

RNG = np.random.default_rng(0)
IDS = [f"c{k:02d}" for k in range(30)]
TRUTH = RNG.uniform(1.2, 4.8, (30, 2))
SCORES = pd.DataFrame({"a": TRUTH[:, 0], "b": 6 - TRUTH[:, 0]}, index=IDS) + RNG.normal(
    0, 0.1, (30, 2)
)
MOS = pd.Series(TRUTH[:, 0], index=IDS, name="mos")


def tables(ids=IDS, aspects=("mi", "ta"), names=("a", "b")):
    truth = TRUTH[[IDS.index(clip) for clip in ids], : len(aspects)]
    predictors = dict.fromkeys(names, Predictor(noise=0.1))
    return prediction_tables(truth, predictors, ids=ids, aspects=aspects, rng=RNG)


def test_a_frame_of_scores_and_labels_of_any_order_give_one_stack():
    expected = StackedMOS.from_predictions(SCORES, MOS)
    assert np.mean((expected.predict(SCORES) - MOS) ** 2) < 0.05
    shuffled = SCORES.iloc[::-1].rename_axis("clip_id").reset_index()
    for labels in (
        MOS,
        MOS.rename_axis("clip_id").reset_index().iloc[:, [1, 0]],
        MOS.to_frame().assign(system_id="s"),
    ):
        again = StackedMOS.from_predictions(shuffled, labels, validation=None)
        np.testing.assert_allclose(
            again.predict(SCORES).ravel(), expected.predict(SCORES), rtol=1e-9
        )
    array = StackedMOS.from_predictions(SCORES, MOS.to_numpy())
    np.testing.assert_array_equal(array.predict(SCORES), expected.predict(SCORES))


def test_tables_give_a_stack_of_several_aspects_that_predicts_from_new_tables():
    stack = StackedMOS.from_predictions(
        tables(), pd.DataFrame(TRUTH, index=IDS, columns=["mi", "ta"])
    )
    new = tables(IDS[5:9])[::-1]
    assert stack.predict(new).shape == (4, 2)
    assert stack.aspects_ == ("mi", "ta")
    assert stack.predict_distribution(new).shape == (4, 2, 20)
    assert list(stack.transform(new).index) == IDS[5:9]
    assert list(stack.transform(new).columns) == list(stack.get_feature_names_out())
    with pytest.raises(UsageError, match="fitted with 'b', which is missing here"):
        stack.predict(new[1:])
    np.testing.assert_array_equal(
        StackedMOS.from_predictions(tables(), TRUTH).aspects_, ("mi", "ta")
    )  # an array names no aspect


def test_the_join_says_what_did_not_join():
    labels = pd.concat([MOS[5:], pd.Series({"lost": 3.0, "empty": np.nan})])
    stack = StackedMOS.from_predictions(SCORES[:25], labels)
    assert stack.join_.clips == tuple(IDS[5:25])
    assert stack.join_.without_label == tuple(IDS[:5])
    assert stack.join_.without_prediction == (*IDS[25:], "lost")
    assert stack.join_.missing == {}
    assert stack.final_estimator_.fitted_on_ == stack.join_.clips


def test_weights_and_groups_follow_the_labels():
    weights = np.where(np.arange(30) < 10, 0, 1.0)
    order = RNG.permutation(30)
    stack = StackedMOS.from_predictions(
        SCORES[:25], MOS.iloc[order], weights[order], groups=np.arange(30)[order] // 3
    )
    assert set(stack.final_estimator_.fitted_on_) == set(IDS[10:25])
    with pytest.raises(
        UsageError, match=r"30 clips need as many groups; got shape \(29,\)"
    ):
        StackedMOS.from_predictions(SCORES, MOS, groups=np.arange(29))


def test_a_missing_prediction_is_an_error_that_names_the_model_and_the_clip():
    holes = SCORES.copy()
    holes.loc["c03", "b"] = np.nan
    for predictions in (holes, [tables()[0], replace(tables(IDS[:3] + IDS[4:])[1])]):
        labels = (
            MOS
            if predictions is holes
            else pd.DataFrame(TRUTH, index=IDS, columns=["mi", "ta"])
        )
        with pytest.raises(UsageError, match="'b' has no prediction for 'c03'"):
            StackedMOS.from_predictions(predictions, labels)
    stack = StackedMOS.from_predictions(SCORES, MOS)
    with pytest.raises(UsageError, match="'b' has no prediction for 'c03'"):
        stack.predict(holes)


def test_a_final_estimator_that_fills_gaps_takes_them():
    holes = SCORES.copy()
    holes.loc["c03", "b"] = np.nan
    holes.loc[["c10", "c11"], "a"] = np.nan
    stack = StackedMOS.from_predictions(
        holes, MOS, final_estimator=Simplex(missing="pool"), validation=0.4
    )
    assert stack.join_.missing == {"a": ("c10", "c11"), "b": ("c03",)}
    assert np.isfinite(stack.predict(holes)).all()
    assert np.isnan(stack.transform(holes).loc["c03"]).sum() == 20
    n = stack.validation_scores_.groupby("model")["n"].max()
    assert n["stack"] == n["mean"] == 12 >= min(n["a"], n["b"]) >= 9
    np.testing.assert_allclose(stack.predict(holes[12:]), stack.predict(SCORES[12:]))
    assert "stack" in stack.verdict_


def test_clips_that_a_base_model_was_trained_on_are_refused():
    seen = replace(tables()[0], trained_on=frozenset({"c07"}))
    with pytest.raises(
        UsageError, match="'c07' were used to train 'a'; meta-training on them leaks"
    ):
        StackedMOS.from_predictions(
            [seen], pd.DataFrame(TRUTH, index=IDS, columns=["mi", "ta"])
        )


def test_another_scale_has_to_be_named():
    with pytest.raises(
        UsageError, match=r"Label .* of clip 'c00' is off the scale 1\.\.5"
    ):
        StackedMOS.from_predictions(SCORES, 20 * MOS)
    with pytest.raises(
        UsageError,
        match=r"'a' predicts 30 of 30 clips off the scale 1\.\.5 .* assumed from the "
        r"labels.*scales=\{'a': \(LOW, HIGH\)\}, such as 0-100",
    ):
        StackedMOS.from_predictions(20 * SCORES, MOS)
    named = StackedMOS.from_predictions(20 * SCORES, 20 * MOS, bins=ScoreBins(0, 100))
    assert np.corrcoef(named.predict(20 * SCORES), MOS)[0, 1] > 0.95


def test_a_stack_of_predictions_comes_back_from_disk(tmp_path):
    stack = StackedMOS.from_predictions(SCORES, MOS)
    stack.save(tmp_path / "stack")
    again = StackedMOS.load(tmp_path / "stack")
    np.testing.assert_array_equal(again.predict(SCORES), stack.predict(SCORES))
    clips = pd.DataFrame({"clip_id": IDS[3:6]})
    np.testing.assert_array_equal(again.predict(clips), stack.predict(SCORES[3:6]))


def test_a_frame_that_lacks_a_model_is_never_answered_from_what_is_stored():
    stack = StackedMOS.from_predictions(SCORES, MOS)
    new = SCORES[["a"]].rename_axis("clip_id").reset_index()
    with pytest.raises(UsageError, match="fitted with 'b', which is missing here"):
        stack.predict(new)
    np.testing.assert_array_equal(
        stack.predict(new[["clip_id"]]), stack.predict(SCORES)
    )
    pooled = StackedMOS.from_predictions(
        SCORES, MOS, final_estimator=Simplex(missing="pool")
    )
    np.testing.assert_array_equal(
        pooled.predict(new), pooled.predict(SCORES.assign(b=np.nan))
    )
    assert not np.allclose(pooled.predict(new), pooled.predict(new[["clip_id"]]))


@pytest.mark.parametrize("gap", [None, np.nan, pd.NA])
def test_a_missing_system_has_no_name(gap):
    stack = StackedMOS.from_predictions(
        SCORES, MOS.to_frame().assign(system_id=pd.Series([gap] * 30, IDS, object))
    )
    assert set(stack.trial_.validation.rows.systems) == {""}
    some = pd.Series(["s"] * 15 + [gap] * 15, IDS, object)
    clips = pd.DataFrame({"clip_id": IDS, "system_id": some.to_numpy()})
    found = rows_of(clips, MOS.to_frame())
    assert found.systems.tolist() == ["s"] * 15 + [""] * 15
    with pytest.raises(
        UsageError, match="have no system id, others have; name all systems or none"
    ):
        StackedMOS.from_predictions(SCORES, MOS.to_frame().assign(system_id=some))


def test_a_stack_from_disk_is_fitted_again_as_it_was(tmp_path):
    holes = SCORES.copy()
    holes.loc["c03", "b"] = np.nan
    asked = as_tables(holes, ["mos"])
    rows = rows_of_tables(asked, MOS.to_frame(), ids=IDS)
    plain = MetaRegressor("simplex").fit(asked[:1], rows)
    gaps = MetaRegressor("simplex", missing="pool").fit(asked, rows)
    tuned = MetaRegressor(Simplex(missing="pool")).fit(asked, rows)
    for name, regressor in {"plain": plain, "gaps": gaps, "tuned": tuned}.items():
        bases = {
            table.model: files_of(table.model, table)
            for table in asked[: len(regressor.layout_.models)]
        }
        write_stack(tmp_path / name, regressor, bases, {"flat": True})
        loaded = StackedMOS.load(tmp_path / name)
        again = (
            clone(loaded)
            .set_params(validation=None)
            .fit(pd.DataFrame({"clip_id": IDS}), MOS.to_numpy())
        )
        np.testing.assert_array_equal(again.predict(holes), loaded.predict(holes))
        if name == "tuned":
            assert isinstance(loaded.final_estimator, Simplex)
            assert loaded.final_estimator.missing == "pool"
        else:
            assert loaded.final_estimator == "simplex"
            assert loaded.missing == {"plain": "refuse", "gaps": "pool"}[name]


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        (
            SCORES,
            MOS.rename(lambda clip: f"{clip}.wav"),
            "No clip has both a label and a prediction: .* of 'c00.",
        ),
        (SCORES, pd.concat([MOS, MOS[:1]]), "Labels hold clip 'c00' twice"),
        (pd.concat([SCORES, SCORES[:1]]), MOS, "Predictions hold clip 'c00' twice"),
        (SCORES, MOS.to_numpy()[:-1], "There are 30 clips but 29 rows of labels"),
        (
            SCORES,
            pd.DataFrame(TRUTH, index=IDS, columns=["mi", "ta"]),
            "A frame of scores is of one aspect",
        ),
        (
            SCORES.to_numpy(),
            MOS,
            "list of PredictionTables or a DataFrame; got ndarray",
        ),
        ([], MOS, "list of PredictionTables or a DataFrame; got list"),
        (SCORES.assign(c="high"), MOS, "must be numbers"),
    ],
)
def test_what_cannot_be_joined_is_refused(predictions, labels, message):
    with pytest.raises(UsageError, match=message):
        StackedMOS.from_predictions(predictions, labels)


def test_a_join_prints_numbers_and_not_its_thousands_of_ids():
    ids = tuple(f"clip-{k}" for k in range(5000))
    whole = Join(ids, (), (), {})
    assert repr(whole) == "Join(5000 clips)"
    lossy = Join(ids, ids[:3], ids[:2], {"dora": ids[:1]})
    assert repr(lossy) == (
        "Join(5000 clips, 3 without_label, 2 without_prediction, missing in 'dora')"
    )
