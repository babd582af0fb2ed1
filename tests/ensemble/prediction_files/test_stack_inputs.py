import json

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble.prediction_files.stack_inputs import read_stack_inputs

CLIPS = [f"sys{k % 3}-utt{k}" for k in range(12)]
MOS = np.linspace(1.5, 4.5, 12).round(2)
REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"


def wide(path, **columns):
    table = {
        "utterance": CLIPS,
        "system": [clip[:4] for clip in CLIPS],
        "mos": MOS,
        "mos_std": 0.5,
        "n_ratings": 8,
    }
    pd.DataFrame(
        table
        | {"fold": 3, "note": "fine", "one": MOS + 0.1, "two": 5 - MOS / 2}
        | columns
    ).to_csv(path, index=False)
    return path


def labels(path):
    pd.DataFrame(
        {"clip_id": CLIPS, "system_id": [clip[:4] for clip in CLIPS], "mos": MOS}
    ).to_csv(path, index=False)
    return path


def test_every_numeric_column_that_is_no_bookkeeping_is_a_model(tmp_path):
    found = read_stack_inputs([wide(tmp_path / "all.csv")])
    assert [table.model for table in found.tables] == ["one", "two"]
    assert found.clips["mos"].tolist() == MOS.tolist()
    np.testing.assert_allclose(found.tables[0].scores[:, 0], MOS + 0.1, atol=1e-3)
    assert found.notes == (
        "columns that are not models: 'mos_std', 'n_ratings', 'fold'",
    )
    assert [origin.text for origin in found.origins] == ["all.csv: 'one', 'two'"]


def test_a_model_may_be_called_almost_anything(tmp_path):
    names = ("no_ot", "w2v_seed", "net_low", "n_best", "system_fold", "num_7")
    found = read_stack_inputs(
        [wide(tmp_path / "all.csv", **dict.fromkeys(names, MOS + 0.1))]
    )
    assert {table.model for table in found.tables} == {"one", "two", *names}


def test_a_clip_that_a_model_leaves_out_stays_left_out_and_is_counted(tmp_path):
    gaps = MOS.copy()
    gaps[[2, 7]] = np.nan, np.inf
    found = read_stack_inputs([wide(tmp_path / "all.csv", one=gaps)])
    assert found.tables[0].clip_ids == tuple(np.delete(CLIPS, [2, 7]))
    assert found.notes[-2:] == (
        "clips not predicted: '2 of one'",
        "rows of one without a score: 'sys2-utt2', 'sys1-utt7'",
    )


def test_a_few_scores_off_the_scale_are_moved_and_counted(tmp_path):
    found = read_stack_inputs([wide(tmp_path / "all.csv", one=MOS + 0.8)])
    assert found.tables[0].scores.max() == pytest.approx(5)
    assert found.notes[1:] == (
        f"scores moved to the nearer end of 1..5: '{(MOS > 4.2).sum()} of one'",
    )


def test_a_clip_without_a_label_is_left_aside_though_its_file_holds_both(tmp_path):
    unknown = np.where(np.arange(12) < 3, np.nan, MOS)
    found = read_stack_inputs([wide(tmp_path / "all.csv", mos=unknown)])
    assert [len(table) for table in found.tables] == [9, 9]
    assert found.notes[1:] == (
        "predicted clips without a label, left aside: '3 of one', '3 of two'",
    )


def test_files_of_one_model_each_are_joined_whatever_their_form(tmp_path):
    pd.DataFrame(
        {
            "file_path": [f"wav/{clip}.wav" for clip in CLIPS[::-1]],
            "predicted_mos": MOS[::-1] + 0.01,
        }
    ).to_csv(tmp_path / "utmos.csv", index=False)
    lines = [
        json.dumps({"key": clip, "nisqa": 1.0, "mos": score + 0.01})
        for clip, score in zip(CLIPS, MOS, strict=True)
    ]
    (tmp_path / "versa.jsonl").write_text("\n".join(lines))
    (tmp_path / "answer.txt").write_text(
        "".join(
            f"{clip},{score + 0.01}\n" for clip, score in zip(CLIPS, MOS, strict=True)
        )
    )
    ours = PredictionTable.from_scores(
        "ours", CLIPS, ["mos"], MOS[:, None], trained_on=frozenset({"other"})
    )
    ours.write(tmp_path / "ours.parquet")
    files = [
        tmp_path / name
        for name in ("utmos.csv", "versa.jsonl", "answer.txt", "ours.parquet")
    ]
    found = read_stack_inputs(files, labels(tmp_path / "labels.csv"))
    assert [table.model for table in found.tables] == [
        "utmos",
        "versa",
        "answer",
        "ours",
    ]
    for table in found.tables:
        np.testing.assert_allclose(table.take(CLIPS).scores[:, 0], MOS, atol=0.02)
    assert found.tables[3].trained_on == {"other"}
    assert found.notes == ()


def test_several_aspects_are_columns_of_aspect_and_model_or_published_records(tmp_path):
    table = {
        "clip_id": CLIPS,
        "mi": MOS,
        "ta": MOS[::-1],
        "mi__a": MOS,
        "ta__a": MOS[::-1],
    }
    pd.DataFrame(table).to_csv(tmp_path / "all.csv", index=False)
    uniform = [0.05] * 20
    records = {clip: {"overall_dist": uniform, "textual_score": 2.5} for clip in CLIPS}
    (tmp_path / "winner.json").write_text(json.dumps(records))
    found = read_stack_inputs([tmp_path / "all.csv", tmp_path / "winner.json"])
    assert [(table.model, table.aspects) for table in found.tables] == [
        ("a", ("mi", "ta")),
        ("winner", ("mi", "ta")),
    ]
    np.testing.assert_allclose(
        found.tables[1].scores, np.tile([3.0, 2.5], (12, 1)), atol=1e-3
    )
    pd.DataFrame({k: v for k, v in table.items() if k != "ta__a"}).to_csv(
        tmp_path / "half.csv", index=False
    )
    with pytest.raises(
        UsageError, match=r"half.csv: models 'a' lack an aspect; .* mi__name"
    ):
        read_stack_inputs([tmp_path / "half.csv"])


def test_what_cannot_be_joined_is_refused_with_the_cure(tmp_path):
    own, given = wide(tmp_path / "all.csv"), labels(tmp_path / "labels.csv")
    with pytest.raises(UsageError, match=r"Model 'one', 'two' is given more than once"):
        read_stack_inputs([own, own], given)
    pd.DataFrame({"clip_id": ["x", "y"], "pred_mos": [1, 2]}).to_csv(
        tmp_path / "other.csv", index=False
    )
    with pytest.raises(
        UsageError, match=r"'other' predicts none of the 12 clips .*'sys0-utt0'.*'x'"
    ):
        read_stack_inputs([tmp_path / "other.csv"], given)
    with pytest.raises(
        UsageError, match=r"labels.csv: no column of predictions was found"
    ):
        read_stack_inputs([given])
    (tmp_path / "winner.pt").write_bytes(b"")
    with pytest.raises(
        UsageError, match=r"may run code when it is loaded; write its records as JSON"
    ):
        read_stack_inputs([tmp_path / "winner.pt"], given)
    (tmp_path / "broken.json").write_text('{"a": "x"}')
    with pytest.raises(UsageError, match=r"broken.json: expected a list of records"):
        read_stack_inputs([tmp_path / "broken.json"], given)
    for name in ("torn.json", "torn.parquet"):
        (tmp_path / name).write_bytes(b"\xc0\xff" * 20)
        with pytest.raises(
            UsageError, match=rf"{name}(.* is neither UTF-8| is not a readable Parquet)"
        ):
            read_stack_inputs([tmp_path / name], given)
    unlabelled = wide(tmp_path / "unlabelled.csv", mos=np.nan)
    with pytest.raises(UsageError, match=r"unlabelled.csv has no rated clips"):
        read_stack_inputs([unlabelled])
    (tmp_path / "none.json").write_text('{"x": {"mi__m": 3, "ta__m": 2}}')
    pair = tmp_path / "pair.csv"
    pair.write_text("clip_id,mi,ta\na,1,2\n")
    with pytest.raises(UsageError, match=r"'m' predicts none of the 1 clips"):
        read_stack_inputs([tmp_path / "none.json"], pair)
    with pytest.raises(UsageError, match="at least one file"):
        read_stack_inputs([])


def test_a_file_with_a_column_per_clip_is_called_transposed(tmp_path):
    given = labels(tmp_path / "labels.csv")
    record = {clip: 1 + k % 4 for k, clip in enumerate(CLIPS)}
    (tmp_path / "flat.json").write_text(json.dumps({"m": record}))
    with pytest.raises(UsageError, match="transposed, a column per clip; write a row"):
        read_stack_inputs([tmp_path / "flat.json"], given)


@pytest.mark.skipif(not REAL.is_file(), reason="the real predictions are not here")
def test_the_51_published_predictors_are_read():
    found = read_stack_inputs([REAL])
    assert len(found.tables) == 51
    assert {len(table) for table in found.tables} == {428}


def test_labels_of_another_name_are_no_model_of_their_table(tmp_path):
    path = wide(tmp_path / "all.csv")
    table = pd.read_csv(path).rename(
        columns={"mos": "naturalness", "mos_std": "naturalness_std"}
    )
    table.to_csv(path, index=False)
    found = read_stack_inputs([path], aspects=["mi=naturalness"])
    assert [table.model for table in found.tables] == ["one", "two"]
    assert found.clips["mi"].tolist() == MOS.tolist()
