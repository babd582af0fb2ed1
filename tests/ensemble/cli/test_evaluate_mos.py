"""Laws of evaluate_mos: the library's numbers, unmatched clips named, exit codes."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA
from scipy import stats

from base_models.errors import UsageError
from base_models.metrics.evaluate import Truth, evaluate
from ensemble.cli import evaluate_mos
from ensemble.cli.evaluate_mos import _main

DATA = SHARED_DATA


@pytest.fixture
def files(tmp_path):
    """Labels of 24 clips, four systems and two splits, and predictions of all."""
    rng = np.random.default_rng(0)
    system = np.repeat(["A", "B", "C", "D"], 6)
    truth = pd.DataFrame(
        {"clip_id": [f"c{k}.wav" for k in range(24)], "system_id": system}
    )
    truth["split"] = np.tile(["train", "train", "train", "train", "test", "test"], 4)
    for aspect in ("mi", "ta"):
        truth[aspect] = np.clip(
            np.repeat([1.5, 2.5, 3.5, 4.5], 6) + rng.normal(0, 0.5, 24), 1, 5
        ).round(1)
    given = truth[["clip_id", "mi", "ta"]].assign(
        mi=truth["mi"] + rng.normal(0, 0.4, 24), ta=truth["ta"] - 0.2
    )
    truth.to_csv(tmp_path / "labels.csv", index=False)
    given.iloc[::-1].to_csv(tmp_path / "predictions.csv", index=False)
    return tmp_path, truth, given


def call(folder, *options, given="predictions.csv", truth="labels.csv"):
    return _main(
        [str(folder / given), str(folder / truth), "--bootstrap", "50", *options]
    )


def test_the_sixteen_metrics_are_those_of_the_library(files, capsys):
    folder, truth, given = files
    assert (
        call(folder, "--json", str(folder / "m.json"), "--csv", str(folder / "m.csv"))
        == 0
    )
    aspects = ["mi", "ta"]
    expected = evaluate(
        truth[aspects], given[aspects], truth["system_id"], aspects, 50, 0
    )
    assert len(expected) == 16
    pd.testing.assert_frame_equal(pd.read_csv(folder / "m.csv"), expected)
    report = json.loads((folder / "m.json").read_text())
    pd.testing.assert_frame_equal(
        pd.DataFrame(report["metrics"])[list(expected)].astype(expected.dtypes),
        expected,
    )
    assert report["not_predicted"] == report["not_labelled"] == []
    out, err = capsys.readouterr()
    first = expected.iloc[2]
    assert f"{first['value']:.3f} (too few systems)" in out
    assert "nan" not in out.lower()
    assert "24 clips" in out
    assert "4 systems" in out
    assert (
        "24 labelled clips of all splits (16 train, 8 test); mi from 'mi', ta from 'ta'"
        in err
    )


def test_a_split_is_measured_alone(files, capsys):
    folder, truth, given = files
    assert (
        call(
            folder,
            "--split",
            "test",
            "--aspects",
            "ta",
            "--json",
            str(folder / "m.json"),
        )
        == 0
    )
    report = json.loads((folder / "m.json").read_text())
    kept = truth["split"] == "test"
    assert report["metrics"][0]["n"] == 8
    assert report["metrics"][0]["value"] == pytest.approx(
        np.mean((truth["ta"] - given["ta"])[kept] ** 2)
    )
    out, err = capsys.readouterr()
    assert "8 labelled clips of the split test" in err
    assert "predicted but not labelled here, left aside: 16" in err
    assert "mi" not in out


def test_a_labelled_clip_without_prediction_is_named_and_exits_3(files, capsys):
    folder, _, given = files
    given.iloc[7:].to_csv(folder / "predictions.csv", index=False)
    assert call(folder, "--json", str(folder / "m.json")) == 3
    err = capsys.readouterr().err
    assert "NOT PREDICTED" in err
    assert "7 ('c0.wav', 'c1.wav', 'c2.wav', 'c3.wav', 'c4.wav' and 2 more)" in err
    report = json.loads((folder / "m.json").read_text())
    assert report["not_predicted"] == [f"c{k}.wav" for k in range(7)]
    assert report["metrics"][0]["n"] == 17


def test_the_answer_file_of_the_challenge_is_measured_against_a_label_list(
    tmp_path, capsys
):
    ids = [
        f"audiomos2025-track1-S00{k}_P00{j}" for k in range(2, 5) for j in range(1, 4)
    ]
    (tmp_path / "test_mos_list.txt").write_text(
        "".join(f"{c}.wav,{1 + k * 0.4},3.0\n" for k, c in enumerate(ids))
    )
    (tmp_path / "answer.txt").write_text(
        "".join(f"{c},{2 + k * 0.4},{1 + k / 2}\n" for k, c in enumerate(ids))
    )
    code = call(
        tmp_path,
        "--json",
        str(tmp_path / "m.json"),
        given="answer.txt",
        truth="test_mos_list.txt",
    )
    assert code == 0
    values = {
        (m["aspect"], m["level"], m["metric"]): m["value"]
        for m in json.loads((tmp_path / "m.json").read_text())["metrics"]
    }
    assert values["mi", "utterance", "mse"] == pytest.approx(1)
    assert values["mi", "system", "srcc"] == pytest.approx(1)
    assert values["ta", "utterance", "lcc"] is None
    assert (
        "1 of 9 predictions of 'mi' lie off the scale 1..5 (2..5.2)"
        in capsys.readouterr().err
    )


def test_labels_without_systems_have_no_system_level(tmp_path, capsys):
    frame = pd.DataFrame({"clip_id": list("abcdef"), "mos": [1, 2, 3, 4, 5, 3]})
    frame.to_csv(tmp_path / "l.csv", index=False)
    frame.assign(mos=[1, 2, 2, 4, 4, 3]).to_csv(tmp_path / "p.csv", index=False)
    assert call(tmp_path, given="p.csv", truth="l.csv") == 0
    out, err = capsys.readouterr()
    assert "The labels name no systems" in err
    assert "6 labelled clips of the whole table" in err
    assert "1 system" in out


def test_the_report_fits_a_terminal_of_80_columns(files, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    folder, truth, _ = files
    call(folder)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    few = [line for line in lines if line.count("(too few systems)") == 2]
    assert len(few) == 2 * 4

    renamed = truth.assign(system_id=np.arange(24) % 6)
    renamed.to_csv(folder / "labels.csv", index=False)
    call(folder)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum("SRCC" in line and line.count("]") == 2 for line in lines) == 2


def test_the_board_says_which_scores_of_systems_are_its_truth(files, capsys):
    folder, truth, given = files
    report = folder / "m.json"
    assert call(folder, "--json", str(report)) == 0
    assert "system truth: means of the clips" in capsys.readouterr().out
    assert json.loads(report.read_text())["system_truth"].endswith("means of the clips")

    known = pd.DataFrame({"mi": [1.0, 2, 4, 3], "ta": [2.0, 1, 3, 5]}, list("ABCD"))
    known.rename_axis("sysID").to_csv(folder / "systems.csv")
    option = ("--system-truth", str(folder / "systems.csv"))
    assert call(folder, *option, "--json", str(report)) == 0
    aspects = ["mi", "ta"]
    expected = evaluate(
        Truth(truth[aspects], known), given[aspects], truth["system_id"], aspects, 50
    )
    found = pd.DataFrame(json.loads(report.read_text())["metrics"])
    pd.testing.assert_frame_equal(
        found[list(expected)].astype(expected.dtypes), expected
    )
    words = " ".join(capsys.readouterr().out.split())
    assert "system truth: " in words
    assert "means of the clips" not in words


def test_a_system_without_a_true_score_is_named_and_exits_3(files, capsys):
    folder, _, _ = files
    (folder / "systems.csv").write_text("A,1,2\nB,2,3\nC,3,4\nE,1,1\n")
    option = ("--system-truth", str(folder / "systems.csv"))
    assert call(folder, *option, "--json", str(folder / "m.json")) == 3
    err = capsys.readouterr().err
    assert "left out at system level: 1 ('D')" in err
    assert "without clips here: 1 ('E')" in err
    report = json.loads((folder / "m.json").read_text())
    assert report["systems_without_truth"] == ["D"]
    with pytest.raises(UsageError, match=r"found none\. Name the file with"):
        call(folder, "--system-truth", "tree")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--level", "95"], "between 0 and 1; got 95"),
        (["--bootstrap", "-1"], "n_bootstrap counts resamples"),
        (
            ["--split", "dev"],
            "No clip of the labels is in split 'dev': it has 'train', 'test'",
        ),
        (["--aspects", "quality"], "no rated columns 'quality'"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(files, options, message):
    with pytest.raises(UsageError, match=message):
        call(files[0], *options)


def test_the_command_ends_with_its_exit_code(files, monkeypatch, capsys):
    monkeypatch.setattr(
        "sys.argv",
        ["evaluate_mos", str(files[0] / "none.csv"), str(files[0] / "labels.csv")],
    )
    with pytest.raises(SystemExit) as ended:
        evaluate_mos.main()
    assert ended.value.code == 2
    assert "There is no file" in capsys.readouterr().err


def test_real_predictions_have_the_metrics_that_scipy_gives(tmp_path):
    source = DATA / "bvcc-predictions" / "val_half.csv"
    if not source.exists():
        pytest.skip("the published predictions on BVCC are not here")
    frame = pd.read_csv(source)
    given = frame[["utterance", "utmos22_fold0"]].rename(
        columns={"utmos22_fold0": "predicted_mos"}
    )
    given.sample(frac=1, random_state=0).to_csv(tmp_path / "p.csv", index=False)
    code = _main(
        [
            str(tmp_path / "p.csv"),
            str(source),
            "--bootstrap",
            "20",
            "--json",
            str(tmp_path / "m.json"),
        ]
    )
    assert code == 0
    report = json.loads((tmp_path / "m.json").read_text())
    values = {(m["level"], m["metric"]): m["value"] for m in report["metrics"]}
    means = frame.groupby("system")[["mos", "utmos22_fold0"]].mean()
    pairs = {
        "utterance": (frame["mos"], frame["utmos22_fold0"]),
        "system": (means["mos"], means["utmos22_fold0"]),
    }
    for level, pair in pairs.items():
        assert values[level, "srcc"] == pytest.approx(
            stats.spearmanr(*pair).statistic, abs=1e-12
        )
        assert values[level, "ktau"] == pytest.approx(
            stats.kendalltau(*pair).statistic, abs=1e-12
        )
        assert values[level, "lcc"] == pytest.approx(
            stats.pearsonr(*pair).statistic, abs=1e-9
        )
        assert values[level, "mse"] == pytest.approx(
            np.mean((pair[0] - pair[1]) ** 2), abs=1e-9
        )


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda labels: 2.5 + labels / 3, "are the scaled labels"),
        (lambda labels: labels + 1e-4, "are the labels"),
        (lambda labels: labels.round(), None),
    ],
)
def test_predictions_that_are_the_labels_in_another_form_are_named(
    tmp_path, capsys, made, said
):
    rng = np.random.default_rng(0)
    clips = pd.DataFrame({"clip_id": [f"c{k}" for k in range(60)]})
    labels = rng.integers(8, 41, 60) / 8
    systems = [f"s{k % 6}" for k in range(60)]
    clips.assign(system_id=systems, mos=labels).to_csv(tmp_path / "l.csv")
    clips.assign(mos=made(labels)).to_csv(tmp_path / "p.csv")
    words = [str(tmp_path / "p.csv"), str(tmp_path / "l.csv"), "--bootstrap", "20"]
    assert _main(words) == 0
    err = capsys.readouterr().err
    assert ("nearer than the noise" in err) == (said is not None)
    if said is not None:
        assert f"The predictions of 'mos' {said}" in err
