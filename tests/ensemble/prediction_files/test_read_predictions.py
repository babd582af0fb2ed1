"""Laws of files of predictions: the right column meets the right clip, none is lost."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from ensemble.formats import Scores, answer, encode_scores
from ensemble.prediction_files.read_predictions import (
    clips_of_split,
    join_predictions,
    read_predictions,
    remarks,
)

FRAME = pd.DataFrame(
    {"clip_id": ["a", "b", "NA"], "mi": [1.25, 5.5, 3.0], "ta": [2.0, 2.5, 4.75]}
)


def write(tmp_path, text, name="p.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def labels(ids=("a", "b"), aspects=("mos",), **columns):
    frame = pd.DataFrame(
        {"clip_id": list(ids), "system_id": "S", "prompt": "", "audio": "", "split": ""}
    )
    frame = frame.assign(
        **{aspect: np.linspace(1, 5, len(ids)) for aspect in aspects}
    ).assign(**columns)
    frame.attrs["aspects"] = list(aspects)
    return frame


def predictions(ids, scores=None):
    return pd.DataFrame(
        {
            "clip_id": list(ids),
            "mos": np.arange(len(ids), dtype=float) if scores is None else scores,
        }
    )


@pytest.mark.parametrize(
    "name",
    ["p.csv", "p.tsv", "p.jsonl", "p.parquet", "p.txt", "with_header.txt", "bare.csv"],
)
def test_every_format_gives_the_same_table(tmp_path, name):
    path = tmp_path / name
    if name == "p.parquet":
        FRAME.to_parquet(path)
    elif name == "p.jsonl":
        path.write_text("\n".join(json.dumps(row) for row in FRAME.to_dict("records")))
    else:
        separator = "\t" if name in {"p.tsv", "with_header.txt"} else ","
        FRAME.to_csv(
            path, sep=separator, index=False, header=name not in {"p.txt", "bare.csv"}
        )
    pd.testing.assert_frame_equal(
        read_predictions(path, ["mi", "ta"]), FRAME, check_dtype=False
    )


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("csv", "csv"), ("jsonl", "jsonl"), ("parquet", "parquet"), ("answer", "txt")],
)
def test_the_output_of_predict_mos_is_read(tmp_path, kind, suffix):
    frame = FRAME.assign(
        audio="",
        status="ok",
        **{f"{a}_{end}": 1.0 for a in ("mi", "ta") for end in ("low", "high")},
    )
    (tmp_path / f"p.{suffix}").write_bytes(
        encode_scores(Scores(frame, ("mi", "ta"), (), ()), kind)
    )
    read = read_predictions(tmp_path / f"p.{suffix}", ["mi", "ta"]).set_index("clip_id")
    pd.testing.assert_frame_equal(
        read, FRAME.set_index("clip_id").loc[read.index], check_dtype=False
    )


@pytest.mark.parametrize("aspects", [["mi", "ta"], ["ta", "mi"], ["TA"], ["mi"]])
def test_the_challenge_submission_is_mi_then_ta_whatever_is_asked_for(
    tmp_path, aspects
):
    read = read_predictions(
        write(tmp_path, answer(FRAME, ("mi", "ta")), "answer.txt"), aspects
    ).set_index("clip_id")
    for aspect in aspects:
        assert (
            read[aspect].to_dict()
            == FRAME.set_index("clip_id")[aspect.lower()].to_dict()
        )


def test_a_list_without_a_header_has_its_scores_in_the_order_of_the_aspects(tmp_path):
    read = read_predictions(write(tmp_path, "a,1,2,3\n", "p.txt"), ["pq", "ce", "cu"])
    assert read.iloc[0].to_dict() == {"clip_id": "a", "pq": 1.0, "ce": 2.0, "cu": 3.0}
    assert read.attrs["columns"] == {"pq": "field 2", "ce": "field 3", "cu": "field 4"}
    assert read_predictions(write(tmp_path, "a,2.5\n", "p.txt"), ["ta"])[
        "ta"
    ].tolist() == [2.5]


@pytest.mark.parametrize(
    ("header", "column"),
    [
        ("clip_id,MOS", "MOS"),
        ("key,pred_mos", "pred_mos"),
        ("ID,MOS_pred,noi_pred", "MOS_pred"),
        ("file_path,predicted_mos", "predicted_mos"),
        ("data_path,answer,mos", "answer"),
        ("wav_path,mos,prediction", "prediction"),
        ("deg,mos,pred_mos", "pred_mos"),
        ("sample_id,score,seconds", "score"),
        ("utterance,mos,score", "mos"),
        ("wavID,utmos", "utmos"),
    ],
)
def test_a_column_that_says_it_predicts_goes_before_one_that_may_be_the_truth(
    tmp_path, header, column
):
    names = header.split(",")
    path = write(
        tmp_path,
        f"{header}\n"
        + ",".join(["x.wav", *("4.5" if n == column else "1" for n in names[1:])]),
    )
    read = read_predictions(path, "mos")
    assert read["mos"].tolist() == [4.5]
    assert read.attrs["columns"] == {"mos": column}


def test_a_general_name_is_not_taken_for_one_of_two_aspects(tmp_path):
    path = write(tmp_path, "id,mi,answer\na,1,2\n")
    with pytest.raises(
        UsageError, match=r"no predictions of 'ta'.*it has 'id', 'mi', 'answer'.*Rename"
    ):
        read_predictions(path, ["mi", "ta"])


def test_an_aspect_of_several_words_is_found_in_any_spelling(tmp_path):
    path = write(tmp_path, "id,Textual-Alignment,x\na,2,1\n")
    assert read_predictions(path, ["textual alignment", "x"])[
        "textual alignment"
    ].tolist() == [2.0]


def test_the_stem_of_a_path_is_the_id_and_keeps_its_dots(tmp_path):
    path = write(tmp_path, "path,mos\n/x/y/a.v1.wav,1\nC:\\z\\a.v2.FLAC,2\nb.1,3\n")
    assert read_predictions(path, ["mos"])["clip_id"].tolist() == [
        "a.v1",
        "a.v2",
        "b.1",
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "p.csv",
            "id,mos\na,1\nb,high\n",
            r"p\.csv, line 3: mos is 'high'; a prediction is a finite number",
        ),
        ("p.csv", "id,mos\na,nan\n", r"line 2: mos is 'nan'"),
        ("p.csv", "id,mos\na,1e999\n", r"line 2: mos is '1e999'"),
        ("p.csv", "id,mos\na,1_0\n", r"line 2: mos is '1_0'"),
        ("p.csv", "id,mos\na,\n", r"line 2: mos is missing"),
        (
            "p.csv",
            "id,mos\na,1\nb,2\na,3\n",
            r"line 4: 'a' is predicted twice, first in line 2",
        ),
        (
            "p.csv",
            "path,mos\nx/a.wav,1\ny/a.wav,2\n",
            r"line 3: 'a' is predicted twice",
        ),
        ("p.csv", "id,mos\n,1\n", r"line 2: the clip id is empty"),
        ("p.csv", "id,mos\n", r"p\.csv holds no predictions"),
        ("p.csv", "name,mos\na,1\n", r"no clip ids; it has 'name', 'mos'"),
        ("p.csv", "id,utt,mos\na,b,1\n", r"'id', 'utt' may all be the clip id"),
        (
            "p.csv",
            "id,pred,answer\na,1,2\n",
            r"'pred', 'answer' may all be the predictions of 'mos'",
        ),
        ("p.csv", "id,ce,cu\na,1,2\n", r"no predictions of 'mos'"),
        ("p.csv", "id,mos\na,1,2\n", r"line 2: 3 cells; the header has 2"),
        ("p.jsonl", '{"id": "a", "mos": NaN}', r"p\.jsonl, line 1 is not valid JSON"),
        ("p.jsonl", '{"id": "a", "mos": 1}\n{"id": "b"}', r"line 2: mos is missing"),
        ("p.jsonl", '{"id": "a", "mos": [1]}', r"line 1: mos is '\[1\]'"),
        ("p.txt", "a,1\n\nb,x\n", r"p\.txt, line 3: field 2 is 'x'"),
        (
            "p.txt",
            "a,1,2\n",
            r"line 1: expected an id and 1 score \(mos\); got 'a,1,2'",
        ),
        ("p.txt", "a 1 2\n", r"expected an id and 1 score"),
        ("p.txt", "", r"is empty"),
        ("p.json", "{}", r"p\.json: expected a list of records .* got an empty object"),
        ("p.xml", "<a/>", r"p\.xml: predictions are read from \.csv"),
    ],
)
def test_what_cannot_be_used_is_refused_by_file_and_line(tmp_path, name, text, message):
    with pytest.raises(UsageError, match=message):
        read_predictions(write(tmp_path, text, name), ["mos"])


def test_a_missing_file_is_named_whatever_its_suffix(tmp_path):
    for name in ("p.csv", "p.txt", "p.parquet", "p.jsonl", "p", "p.json"):
        with pytest.raises(UsageError, match="There is no file"):
            read_predictions(tmp_path / name, ["mos"])
    with pytest.raises(UsageError, match="is not a file"):
        read_predictions(tmp_path, ["mos"])


def test_a_nan_in_parquet_is_named_by_row(tmp_path):
    predictions(["a", "b"], [1.0, np.nan]).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(UsageError, match="row 1: mos is missing"):
        read_predictions(tmp_path / "p.parquet", ["mos"])


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        (["a", "b"], ["b", "a"]),
        (["a", "b"], ["b.wav", "a.WAV"]),
        (["a.wav", "b.wav"], ["b", "a"]),
        (["a.v1", "a.v2"], ["a.v2.wav", "a.v1.wav"]),
        (["a", "b"], ["wavs/b.wav", "wavs/a.wav"]),
        (["s/a.wav", "s/b.wav"], ["b", "a"]),
        (["a.wav", "a.mp3"], ["a.mp3", "a.wav"]),
        (["x/a", "y/a"], ["y/a.wav", "x/a.wav"]),
    ],
)
def test_ids_meet_with_or_without_suffix_and_folder(wanted, given):
    joined, missing, extra = join_predictions(predictions(given), labels(wanted))
    assert joined["clip_id"].tolist() == wanted
    assert joined["pred_mos"].tolist() == [1.0, 0.0]
    assert missing == extra == []


def test_clips_of_two_folders_are_not_mistaken_for_each_other():
    joined, missing, extra = join_predictions(
        predictions(["x/a", "x/b"]), labels(["x/a", "y/b"])
    )
    assert (joined["clip_id"].tolist(), missing, extra) == (["x/a"], ["y/b"], ["x/b"])


def test_joining_does_not_depend_on_the_order_of_either_side():
    rng = np.random.default_rng(0)
    ids = [f"c{k}" for k in range(50)]
    truth, given = (
        labels(ids),
        predictions([f"{name}.wav" for name in ids[5:]] + ["new"]),
    )
    expected, *lists = join_predictions(given, truth)
    assert lists == [ids[:5], ["new"]]
    turned = truth.iloc[rng.permutation(50)]
    turned.attrs = truth.attrs
    joined, missing, _ = join_predictions(given.iloc[rng.permutation(46)], turned)
    assert sorted(missing) == sorted(ids[:5])
    again = joined.set_index("clip_id").loc[expected["clip_id"]].reset_index()
    pd.testing.assert_frame_equal(again, expected)


def test_an_unlabelled_clip_is_neither_missing_nor_scored():
    truth = labels(["a", "b", "c"], mos=[1.0, np.nan, np.nan])
    joined, missing, extra = join_predictions(predictions(["a", "b"]), truth)
    assert (joined["clip_id"].tolist(), missing, extra) == (["a"], [], ["b"])


def test_a_clip_with_one_of_two_labels_stays():
    truth = labels(["a", "b"], ["mi", "ta"], ta=[np.nan, 2.0])
    joined, *_ = join_predictions(predictions(["a", "b"]).assign(mi=1.0, ta=2.0), truth)
    assert joined["ta"].isna().tolist() == [True, False]


def test_what_cannot_be_joined_is_refused():
    with pytest.raises(UsageError, match="a label is for 'a', a prediction for 'x'"):
        join_predictions(predictions(["x", "y"]), labels(["a", "b"]))
    with pytest.raises(UsageError, match=r"'a', 'a\.wav' are all for the clip 'a'"):
        join_predictions(predictions(["a", "a.wav"]), labels(["a", "b"]))
    with pytest.raises(UsageError, match="The labels rate no clip"):
        join_predictions(predictions(["a"]), labels(["a", "b"], mos=np.nan))
    with pytest.raises(UsageError, match="Both 'x' and 'pred_x' are rated"):
        join_predictions(
            predictions(["a"]).assign(x=1.0, pred_x=1.0), labels(["a"], ["x", "pred_x"])
        )


def test_a_split_is_kept_alone_and_an_absent_one_is_refused(tmp_path):
    write(tmp_path, "clip_id,split,mos\na,train,1\nb,valid,2\n", "l.csv")
    clips = read_clips(tmp_path / "l.csv")
    assert clips_of_split(clips, "dev")["clip_id"].tolist() == ["b"]
    assert clips_of_split(clips, "dev").attrs["aspects"] == ["mos"]
    assert clips_of_split(clips, None) is clips
    with pytest.raises(
        UsageError,
        match="No clip of the labels is in split 'test': it has 'train', 'dev'",
    ):
        clips_of_split(clips, "test")
    with pytest.raises(
        UsageError, match="the labels name no splits; leave the split out"
    ):
        clips_of_split(labels(), "test")
    with pytest.raises(UsageError, match=r"Unknown split 'tset'\. Did you mean 'test'"):
        clips_of_split(clips, "tset")


def test_remarks_name_what_makes_a_metric_mislead():
    joined, *_ = join_predictions(predictions(["a", "b"], [3.0, 3.0]), labels())
    assert any(
        "all 3: correlations are undefined" in remark
        for remark in remarks(joined, ["mos"])
    )
    joined, *_ = join_predictions(predictions(["a", "b"], [1.0, 5.0]), labels())
    assert any(
        "equal the labels in every clip" in remark
        for remark in remarks(joined, ["mos"])
    )
    assert any(
        "All clips are of one system" in remark for remark in remarks(joined, ["mos"])
    )
    assert any(
        "name no systems" in remark
        for remark in remarks(joined.assign(system_id=""), ["mos"])
    )
    joined, *_ = join_predictions(
        predictions(["a", "b"], [2.0, 4.0]), labels(system_id=["S", "T"])
    )
    assert remarks(joined, ["mos"]) == []


def test_a_row_that_says_why_it_has_no_score_is_read_without_one(tmp_path):
    rows = "clip_id,status,mos\na,ok,3.5\nb,unreadable,\nc,ok,2\n"
    (tmp_path / "p.csv").write_text(rows)
    found = read_predictions(tmp_path / "p.csv", ["mos"])
    np.testing.assert_array_equal(found["mos"], [3.5, np.nan, 2.0])
    (tmp_path / "q.csv").write_text("clip_id,status,mos\na,ok,3.5\nb,ok,\n")
    with pytest.raises(UsageError, match="line 3: mos is missing"):
        read_predictions(tmp_path / "q.csv", ["mos"])
