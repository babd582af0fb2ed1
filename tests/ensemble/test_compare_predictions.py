"""Laws of several predictors at once: one set of clips, and no claim by chance."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tool_files
from commands import call, refused

from base_models.metrics.evaluate import evaluate
from meta.comparison.predictor_differences import pairs_of, predictor_differences
from meta.rows import Rows

RNG = np.random.default_rng(0)
N = 120
SYSTEMS = [f"s{k % 12:02}" for k in range(N)]
CLIPS = [f"{system}-c{k}" for k, system in enumerate(SYSTEMS)]
MOS = pd.Series(RNG.uniform(1.3, 4.7, N).round(2), index=CLIPS)
GOOD = (MOS + RNG.normal(0, 0.2, N)).clip(1, 5)
ALIKE = (MOS + RNG.normal(0, 0.2, N)).clip(1, 5)
BAD = (MOS + RNG.normal(0, 1.0, N)).clip(1, 5)


@pytest.fixture
def place(tmp_path):
    table = {"clip_id": CLIPS, "system": SYSTEMS, "mos": MOS.to_numpy()}
    pd.DataFrame(table).to_csv(tmp_path / "labels.csv", index=False)
    tool_files.utmosv2(tmp_path / "good.csv", GOOD)
    tool_files.answer(tmp_path / "alike.txt", ALIKE)
    tool_files.nisqa(tmp_path / "bad.csv", BAD)
    return tmp_path


def measured(place, *words, code=0):
    report = place / "m.json"
    found = call("evaluate_mos", *words, "--bootstrap", 50, "--json", report)
    assert found[0] == code, found[2]
    return json.loads(report.read_text()), *found[1:]


def test_the_board_has_the_numbers_of_each_predictor_alone(place):
    words = [place / "good.csv", f"nisqa={place / 'bad.csv'}", place / "labels.csv"]
    report, out, err = measured(place, *words)
    assert report["predictors"] == ["good", "nisqa"]
    assert "nisqa from 'mos_pred'" in err
    assert "120 labelled clips" in err
    assert "nisqa" in out
    board = pd.DataFrame(report["metrics"])
    for name, scores in (("good", GOOD), ("nisqa", BAD)):
        expected = evaluate(MOS, scores, SYSTEMS, ["mos"], n_bootstrap=50)
        own = board[board["model"] == name].reset_index(drop=True)
        np.testing.assert_allclose(own["value"], expected["value"])
        np.testing.assert_allclose(own["low"], expected["low"])


def test_a_difference_that_is_shown_is_said_and_one_that_is_not_is_not(place):
    words = [place / "good.csv", place / "alike.txt", place / "bad.csv"]
    report, _, err = measured(place, *words, place / "labels.csv")
    assert "good is nearer to the ratings than bad: utterance MSE" in err
    assert "adjusted p = 0.003" in err
    assert "no difference shown in how near scores are" in err
    assert "between good and alike: with 120 clips, one below about" in err
    table = pd.DataFrame(report["differences"]).set_index(
        ["predictor", "other", "level", "metric"]
    )
    row = table.loc["good", "bad", "utterance", "mse"]
    expected = ((GOOD - MOS) ** 2).mean() - ((BAD - MOS) ** 2).mean()
    assert row["difference"] == pytest.approx(expected)
    assert row["low"] < expected < row["high"] < 0
    assert row["said"] == "better"
    assert len(table) == 3 * 8
    # Adjusted over the six claims of three pairs; nothing else is claimed.
    assert table["p_holm"].notna().sum() == 6
    assert (table["p_holm"] >= table["p"]).where(table["p_holm"].notna(), True).all()


def test_all_are_measured_on_the_clips_that_all_predict(place):
    tool_files.utmosv2(place / "good.csv", GOOD[10:])
    words = [place / "good.csv", place / "bad.csv", place / "labels.csv"]
    report, _, err = measured(place, *words, code=3)
    assert report["clips"] == 110
    assert report["not_predicted"] == {"good": CLIPS[:10]}
    assert "NOT PREDICTED by good, the metrics of all leave them out" in err
    values = {m["model"]: m["n"] for m in report["metrics"] if m["level"] != "system"}
    assert values == {"good": 110, "bad": 110}


def test_one_file_may_hold_several_predictors_and_the_labels(place):
    table = pd.DataFrame({"clip_id": CLIPS, "system": SYSTEMS, "mos": MOS.to_numpy()})
    table = table.assign(one=GOOD.to_numpy(), two=BAD.to_numpy())
    table.to_csv(place / "all.csv", index=False)
    report, *_ = measured(place, place / "all.csv", place / "all.csv")
    assert report["predictors"] == ["one", "two"]
    dnsmos = tool_files.dnsmos(place / "d.csv", GOOD)
    report, *_ = measured(place, f"d={dnsmos}", "--labels", place / "labels.csv")
    assert report["predictors"] == ["d.OVRL", "d.SIG", "d.BAK", "d.P808_MOS"]
    words = (f"d={dnsmos}:OVRL,SIG", place / "labels.csv", "--against", "d.SIG")
    report, *_ = measured(place, *words)
    assert {d["other"] for d in report["differences"]} == {"d.SIG"}


def test_a_single_column_that_is_named_is_measured_as_a_file_of_one(place):
    report, out, err = measured(
        place, f"{place / 'bad.csv'}:noi_pred", place / "labels.csv"
    )
    assert report["columns"] == {"mos": "noi_pred"}
    assert "mos from 'noi_pred'" in err
    assert "SRCC" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("good.csv", "labels.csv", "--against", "x"), "compares several predictors"),
        (
            ("good.csv", "bad.csv", "labels.csv", "--against", "x"),
            r"'x' is none of the predictors that are read: 'good', 'bad'",
        ),
        (("good.csv", "good.csv", "labels.csv"), "'good' is given more than once"),
        (("labels.csv",), "Name files of predictions and then the labels"),
        (("good.csv", "none.csv", "labels.csv"), "There is no file"),
    ],
)
def test_what_cannot_be_compared_is_refused(place, words, message):
    given = [
        place / word if word.endswith(".csv") else word for word in map(str, words)
    ]
    refused(2, call("evaluate_mos", *given, "--bootstrap", 0), message)


def test_predictors_of_other_clips_are_refused_together(place):
    tool_files.utmosv2(place / "good.csv", GOOD[:60])
    tool_files.nisqa(place / "bad.csv", BAD[60:])
    words = (place / "good.csv", place / "bad.csv", place / "labels.csv")
    refused(2, call("evaluate_mos", *words), "predicted by all .* good 60, bad 60")


def test_a_board_of_several_fits_80_columns(place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    words = (place / "good.csv", place / "bad.csv", place / "labels.csv")
    _, out, _ = call("evaluate_mos", *words, "--bootstrap", 50)
    assert max(map(len, out.splitlines())) <= 80


# ---- pairs


def rows_of(labels, systems):
    ids = [f"c{k}" for k in range(len(labels))]
    return Rows.of(ids, np.asarray(labels), ["mos"], systems=systems)


def test_predictors_that_are_equally_good_are_seldom_told_apart():
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        truth = rng.uniform(1, 5, 60)
        systems = [f"s{k % 10}" for k in range(60)]
        scores = {name: truth[:, None] + rng.normal(0, 0.5, (60, 1)) for name in "abc"}
        found = predictor_differences(
            rows_of(truth, systems), scores, pairs_of(list(scores))
        )
        wrong += (found.table["said"] != "").any()
    assert wrong <= 6


def test_the_order_of_a_pair_turns_the_sign_alone():
    scores = {"a": GOOD.to_numpy()[:, None], "b": BAD.to_numpy()[:, None]}
    rows = rows_of(MOS, SYSTEMS)
    one = predictor_differences(rows, scores, [("a", "b")]).table
    two = predictor_differences(rows, scores, [("b", "a")]).table
    np.testing.assert_allclose(one["difference"], -two["difference"])
    np.testing.assert_allclose(one["p"], two["p"])
    np.testing.assert_allclose(one["low"], -two["high"], atol=1e-9)
    said = {"better": "worse", "worse": "better", "": ""}
    assert [said[word] for word in one["said"]] == two["said"].tolist()


def test_equal_labels_or_one_system_leave_things_unsaid():
    scores = {"a": np.full((6, 1), 2.0), "b": np.full((6, 1), 3.0)}
    found = predictor_differences(rows_of([3.0] * 6, None), scores, [("a", "b")])
    assert found.lines == ("The ratings tell no clips apart: nothing can be compared.",)
    noisy = {"a": GOOD.to_numpy()[:, None], "b": BAD.to_numpy()[:, None]}
    found = predictor_differences(rows_of(MOS, None), noisy, [("a", "b")])
    assert "The clips name no systems" in found.lines[-1]
    assert set(found.table["level"]) == {"utterance"}


def test_of_many_predictors_each_is_compared_with_one():
    names = [f"m{k}" for k in range(9)]
    assert pairs_of(names) == [(name, "m0") for name in names[1:]]
    assert ("m0", "m4") in pairs_of(names, "m4")


def test_of_many_pairs_without_a_difference_a_sentence_counts_them(place):
    noise = [(MOS + RNG.normal(0, 0.2, N)).clip(1, 5) for _ in range(4)]
    table = {"clip_id": CLIPS} | dict(zip("pqrs", noise, strict=True))
    pd.DataFrame(table).to_csv(place / "many.csv", index=False)
    report, _, err = measured(place, place / "many.csv", place / "labels.csv")
    (line,) = [line for line in err.splitlines() if "systems are ranked" in line]
    assert line.startswith(
        "no difference shown in how systems are ranked (system SRCC) in 6 pairs: "
    )
    assert line.endswith(
        "(p and q, p and r, p and s and 3 more: --json FILE lists them)"
    )
    assert len(report["differences"]) == 6 * 8
