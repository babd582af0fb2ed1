"""A stack of predictions alone scores new predictions: the command, the files it takes,
and what it refuses.
"""

import io
import json

import numpy as np
import pandas as pd
import pytest
from commands import call, refused

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.files import read_json, sha256
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.prediction_files.stack_inputs import read_new_stack_inputs
from ensemble.scoring.score_predictions import score_predictions
from meta.learners.weighted_scores import Simplex

RNG = np.random.default_rng(0)


def ratings(n, prefix):
    """A table of n clips: system, label, and predictions of models one and two."""
    truth = RNG.uniform(1.5, 4.5, n)
    ids = [f"{prefix}{k}" for k in range(n)]
    table = {"clip_id": ids, "system_id": [f"s{k % 6}" for k in range(n)], "mos": truth}
    one, two = truth + RNG.normal(0, 0.3, n), 0.8 * truth + RNG.normal(0, 0.5, n)
    return pd.DataFrame(table | {"one": np.clip(one, 1, 5), "two": np.clip(two, 1, 5)})


NEW = ratings(9, "new").drop(columns="mos")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Artifacts of a ``fit_meta --predictions``, and the folder of the stack."""
    root = tmp_path_factory.mktemp("stack")
    ratings(60, "old").to_csv(root / "old.csv", index=False)
    code, out, err = call(
        "fit_meta",
        "--predictions",
        root / "old.csv",
        "--artifacts",
        root / "art",
        "--rivals",
        "mean",
    )
    assert code == 0, err
    return root, out.split()[-1]


def written(folder, name="new.csv", table=NEW):
    table.to_csv(folder / name, index=False)
    return folder / name


def test_the_command_scores_what_the_loaded_stack_scores_with_intervals(
    place, tmp_path
):
    root, folder = place
    stack = StackedMOS.load(folder)
    scores = np.ravel(stack.predict(NEW))
    assert np.ravel(
        stack.predict(NEW.set_index("clip_id")[["two", "one"]])
    ) == pytest.approx(scores)
    tables = [
        PredictionTable.from_scores(
            m, NEW["clip_id"].tolist(), ["mos"], NEW[m].to_numpy()
        )
        for m in ("two", "one")
    ]
    assert np.ravel(stack.predict(tables)) == pytest.approx(scores)
    assert stack.predict_distribution(NEW).shape == (9, 1, 20)
    code, out, err = call(
        "predict_mos", "--predictions", written(tmp_path), "--artifacts", root / "art"
    )
    assert code == 0, err
    table = pd.read_csv(io.StringIO(out), keep_default_na=False)
    assert list(table) == [
        "clip_id",
        "audio",
        "system_id",
        "status",
        "mos",
        "mos_low",
        "mos_high",
        "out_of_range",
        "flags",
        "reason",
    ]
    assert table["clip_id"].tolist() == NEW["clip_id"].tolist()
    np.testing.assert_allclose(table["mos"], scores, atol=1e-6)
    assert (
        (table["mos_low"] <= table["mos"]) & (table["mos"] <= table["mos_high"])
    ).all()


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "txt"])
def test_every_format_is_written(place, tmp_path, suffix):
    out = tmp_path / f"scores.{suffix}"
    code, said, err = call(
        "predict_mos",
        "--predictions",
        written(tmp_path),
        "--stack",
        place[1],
        "--out",
        out,
    )
    assert (code, said.strip()) == (0, str(out)), err
    lines = (
        len(pd.read_parquet(out))
        if suffix == "parquet"
        else len(out.read_text().splitlines()) - (suffix == "csv")
    )
    assert lines == 9


def test_labels_beside_the_predictions_are_never_taken_for_predictions(place, tmp_path):
    stack = StackedMOS.load(place[1])
    expected = score_predictions(stack, [written(tmp_path)])[0].frame
    rated = NEW.assign(mos=5.0, mos_std=0.3)
    for name in ("rated.csv", "one.csv"):  # the second is called like a model
        found = score_predictions(stack, [written(tmp_path, name, rated)])[0].frame
        pd.testing.assert_frame_equal(found, expected)


def test_one_file_per_model_is_joined_whatever_its_form(place, tmp_path):
    stack = StackedMOS.load(place[1])
    expected = score_predictions(stack, [written(tmp_path)])[0].frame
    paths = pd.DataFrame(
        {
            "file_path": [f"wav/{clip}.wav" for clip in NEW["clip_id"]],
            "pred_mos": NEW["one"],
        }
    )
    lines = [
        json.dumps({"key": clip, "mos": score})
        for clip, score in zip(NEW.clip_id, NEW.two, strict=True)
    ]
    (tmp_path / "two.jsonl").write_text("\n".join(lines[::-1]))
    files = [written(tmp_path, "one.csv", paths), tmp_path / "two.jsonl"]
    found = score_predictions(stack, files)[0].frame
    pd.testing.assert_frame_equal(found, expected)
    (tmp_path / "two.txt").write_text(
        "".join(
            f"{clip},{score}\n"
            for clip, score in zip(NEW.clip_id, NEW.two, strict=True)
        )
    )
    PredictionTable.from_scores("one", NEW.clip_id.tolist(), ["mos"], NEW.one).write(
        tmp_path / "ours.parquet"
    )
    found = score_predictions(stack, [tmp_path / "ours.parquet", tmp_path / "two.txt"])[
        0
    ].frame
    pd.testing.assert_frame_equal(found, expected)


def test_a_clip_that_a_model_lacks_comes_back_without_scores(place, tmp_path):
    stack = StackedMOS.load(place[1])
    whole = score_predictions(stack, [written(tmp_path)])[0]
    gaps = NEW.assign(two=NEW["two"].where(NEW.index != 3))
    found = score_predictions(stack, [written(tmp_path, table=gaps)])[0]
    assert found.frame["clip_id"].tolist() == NEW["clip_id"].tolist()
    assert found.frame["status"][3] == "no_prediction"
    assert found.frame["reason"][3] == "no prediction of 'two'"
    others = whole.frame.drop(index=3)["mos"]
    assert found.usable["mos"].tolist() == pytest.approx(others.tolist())
    none = NEW.assign(two=np.nan, one=NEW["one"])
    none.loc[0, ["one", "two"]] = [np.nan, 3.0]
    with pytest.raises(UsageError, match="No clip has a prediction of every model"):
        score_predictions(stack, [written(tmp_path, table=none)])


def test_what_is_missing_is_an_error_that_names_it(place, tmp_path):
    stack = StackedMOS.load(place[1])
    with pytest.raises(UsageError, match="fitted with 'two', which is missing here"):
        score_predictions(stack, [written(tmp_path, table=NEW.drop(columns="two"))])
    with pytest.raises(UsageError, match="fitted with 'two', which is missing here"):
        stack.predict(NEW.drop(columns="two"))
    with pytest.raises(
        UsageError,
        match=r"other.csv has no predictions of the stack's base models 'one', 'two'",
    ):
        score_predictions(
            stack,
            [
                written(
                    tmp_path, "other.csv", NEW.rename(columns={"one": "a", "two": "b"})
                )
            ],
        )
    with pytest.raises(UsageError, match=r"There is no file .*none.csv"):
        score_predictions(stack, [tmp_path / "none.csv"])
    with pytest.raises(UsageError, match="'one', 'two' is given more than once"):
        score_predictions(stack, [written(tmp_path), written(tmp_path, "again.csv")])


def test_a_stack_fitted_to_fill_gaps_fills_them(tmp_path):
    old = ratings(40, "old").set_index("clip_id")
    stack = StackedMOS.from_predictions(
        old[["one", "two"]], old["mos"], final_estimator=Simplex(missing="pool")
    )
    stack.save(tmp_path / "stack")
    gaps = NEW.assign(two=NEW["two"].where(NEW.index != 3))
    again = StackedMOS.load(tmp_path / "stack")
    scores, notes = score_predictions(again, [written(tmp_path, table=gaps)])
    assert notes == (
        "clips not predicted: '1 of two'",
        "rows of two without a score: 'new3'",
    )
    np.testing.assert_allclose(scores.frame["mos"], again.predict(gaps))
    alone = score_predictions(
        again, [written(tmp_path, table=NEW.drop(columns="two"))]
    )[0].frame
    assert alone["mos"][3] == pytest.approx(scores.frame["mos"][3])
    np.testing.assert_allclose(alone["mos"], again.predict(NEW.drop(columns="two")))


def test_several_aspects_and_another_scale_are_read(tmp_path):
    table = pd.DataFrame(
        {
            "clip_id": ["x", "y"],
            "mi__a": [10.0, 20],
            "ta__a": [30.0, 120],
            "mi__b": [1.0, 2],
        }
    )
    external = read_new_stack_inputs(
        [written(tmp_path, table=table)], ["a"], ("mi", "ta"), ScoreBins(0, 100)
    )
    assert external.clips["clip_id"].tolist() == ["x", "y"]
    np.testing.assert_allclose(
        external.tables[0].scores, [[10, 30], [20, 100]], atol=1e-6
    )
    assert external.notes == (
        "labels, and the scores that are written, are on: mi 0..100, ta 0..100",
        "scores moved to the nearer end of 0..100: '1 of a'",
        "scores taken to be on the scale of the labels, 0..100: 'a (mi)', 'a (ta)'",
    )
    with pytest.raises(UsageError, match="models 'b' lack an aspect"):
        read_new_stack_inputs([written(tmp_path, table=table)], ["b"], ("mi", "ta"))


def test_without_base_models_clips_cannot_be_scored(place, tmp_path):
    with pytest.raises(
        UsageError, match=r"holds no base models: pass what 'one', 'two' predict"
    ):
        StackedMOS.load(place[1]).predict(NEW[["clip_id"]])
    (tmp_path / "a.wav").write_bytes(b"")
    refused(
        2,
        call("predict_mos", tmp_path / "a.wav", "--stack", place[1]),
        "holds no base models: .*--predictions",
    )
    both = "--predictions", written(tmp_path), "--stack", place[1]
    refused(2, call("predict_mos", tmp_path / "a.wav", *both), "reads no audio")
    refused(
        2,
        call("predict_mos", *both, "--explain", tmp_path / "why"),
        "holds only what they predicted",
    )
    refused(2, call("predict_mos", *both, "--prompt", "slow"), "predictions need none")


# ---- columns beside predictions


def test_columns_of_the_predictions_stand_beside_the_scores(place, tmp_path):
    own = NEW[["clip_id", "system_id", "one"]].assign(note="first", prompt="")
    other = NEW[["clip_id", "two"]].assign(note="second", take=range(9))
    other["clip_id"] = [f"wav/{clip}.wav" for clip in other["clip_id"]]
    files = (
        written(tmp_path, "own.csv", own),
        written(tmp_path, "other.csv", other.iloc[::-1]),
    )

    def kept(*words):
        words = ("--predictions", *files, "--stack", place[1], *words)
        code, out, err = call("predict_mos", *words, "-o", "-")
        assert code == 0, err
        table = pd.read_csv(io.StringIO(out), keep_default_na=False, dtype=str)
        names = list(table)
        return table[names[2 : names.index("status")]]

    # A column of nothing is none.
    assert list(kept()) == ["system_id"]
    assert kept()["system_id"].tolist() == NEW["system_id"].tolist()
    assert list(kept("--keep", "none")) == []
    chosen = kept("--keep", "take", "note")
    assert chosen["take"].tolist() == [str(k) for k in range(9)]
    # The first table that has a column is heard.
    assert set(chosen["note"]) == {"first"}
    assert {"one", "two", "note", "take"} < set(kept("--keep", "all"))


def test_columns_and_lists_of_predictions_are_refused_before_scoring(
    place, tmp_path, monkeypatch
):
    monkeypatch.setattr("ensemble.scoring.score_predictions.score_predictions", None)
    words = ("--predictions", written(tmp_path), "--stack", place[1], "-o")
    answer = tmp_path / "answer.zip"
    (tmp_path / "list.txt").write_text("new0\nnew77\n")
    result = call("predict_mos", *words, answer, "--eval-list", tmp_path / "list.txt")
    refused(2, result, "missing, though the list has them .'new77'")
    result = call("predict_mos", *words, tmp_path / "s.csv", "--keep", "system")
    refused(2, result, "no column 'system'. Did you mean 'system_id'")
    assert {path.name for path in tmp_path.iterdir()} == {"new.csv", "list.txt"}


def test_the_record_names_every_file_of_predictions(place, tmp_path):
    one = written(tmp_path, "one.csv", NEW[["clip_id", "one"]])
    two = written(tmp_path, "two.csv", NEW[["clip_id", "two"]])
    out = tmp_path / "s.csv"
    words = ("--predictions", f"one={one}", two, "--stack", place[1], "-o", out)
    assert call("predict_mos", *words)[0] == 0
    record = read_json(f"{out}.meta.json")
    assert record["predictions"] == {
        str(path): sha256(path.read_bytes()) for path in (one, two)
    }
    assert (record["data"], record["statuses"]) == ("", {"ok": 9})
