"""Laws of what tools write: known by its columns, read whole, and said."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tool_files
import workbooks
from builders import write_file

from base_models.clips.problems import TableProblems
from base_models.errors import UsageError
from base_models.scales import Scale
from ensemble.prediction_files.known_tools import KNOWN_TOOLS, known_layout
from ensemble.prediction_files.stack_inputs import (
    read_new_stack_inputs,
    read_stack_inputs,
)

N = 24
RNG = np.random.default_rng(0)
CLIPS = [f"sys{k % 6}-utt{k}" for k in range(N)]
MOS = pd.Series(RNG.uniform(1.2, 4.8, N).round(2), index=CLIPS)
SCORES = (MOS + RNG.normal(0, 0.3, N)).clip(1, 5).round(3)


@pytest.fixture
def labels(tmp_path):
    table = {"clip_id": CLIPS, "system": [clip[:4] for clip in CLIPS], "mos": MOS}
    pd.DataFrame(table).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path / "labels.csv"


def read(labels, *words):
    return read_stack_inputs([str(word) for word in words], labels)


def names(found):
    return [table.model for table in found.tables]


def scores(found, model):
    (table,) = (table for table in found.tables if table.model == model)
    return table.take(CLIPS).scores[:, 0]


def near(found, model, expected):
    np.testing.assert_allclose(scores(found, model), expected, atol=2e-4)


# ---- what each tool writes


def test_the_output_of_utmosv2_is_one_model(labels, tmp_path):
    path = tool_files.utmosv2(tmp_path / "u.csv", SCORES)
    found = read(labels, f"utmos={path}")
    near(found, "utmos", SCORES)
    text = "u.csv (UTMOSv2): utmos from 'predicted_mos'"
    assert [origin.text for origin in found.origins] == [text]


def test_of_nisqa_overall_quality_is_taken_and_the_others_by_name(labels, tmp_path):
    path = tool_files.nisqa(tmp_path / "n.csv", SCORES)
    found = read(labels, f"nisqa={path}")
    assert names(found) == ["nisqa"]
    near(found, "nisqa", SCORES)
    assert found.origins[0].text == (
        "n.csv (NISQA): nisqa from 'mos_pred'; not taken: 'noi_pred', 'dis_pred', "
        "'col_pred', 'loud_pred' (named, they are: n.csv:noi_pred,dis_pred)"
    )
    found = read(labels, f"nisqa={path}:MOS_pred,noi_pred:1-5")
    assert names(found) == ["nisqa.mos_pred", "nisqa.noi_pred"]
    near(found, "nisqa.noi_pred", 1 + (SCORES - 1) / 1.1)


def test_of_dnsmos_four_scores_are_taken_and_no_count(labels, tmp_path):
    path = tool_files.dnsmos(tmp_path / "d.csv", SCORES)
    found = read(labels, f"dns={path}")
    assert names(found) == ["dns.OVRL", "dns.SIG", "dns.BAK", "dns.P808_MOS"]
    assert "no scores: 'len_in_sec', 'sr', 'num_hops'" in found.origins[0].text
    assert "not taken: 'OVRL_raw'" in found.origins[0].text
    # Without a name each model is called as its column.
    assert names(read(labels, path)) == ["OVRL", "SIG", "BAK", "P808_MOS"]


def test_audiobox_has_its_clips_from_the_list_of_its_input(labels, tmp_path):
    word = tool_files.audiobox(tmp_path / "out.jsonl", tmp_path / "in.jsonl", SCORES)
    found = read(labels, f"ab={word}")
    assert names(found) == ["ab.CE", "ab.CU", "ab.PC", "ab.PQ"]
    near(found, "ab.PQ", SCORES)
    assert found.scales.predictors["ab.PQ"]["mos"].scale == Scale(1, 10)
    assert "out.jsonl (Audiobox Aesthetics) in the order of in.jsonl" in (
        found.origins[0].text
    )
    one = read(labels, f"ab={word}:PQ")
    assert names(one) == ["ab"]
    listed = write_file(tmp_path / "in.txt", "".join(f"{c}.wav\n" for c in CLIPS))
    near(read(labels, f"ab={tmp_path / 'out.jsonl'}+{listed}"), "ab.CE", SCORES)


def test_a_list_of_another_length_or_of_no_use_is_refused(labels, tmp_path):
    tool_files.audiobox(tmp_path / "out.jsonl", tmp_path / "in.jsonl", SCORES)
    out = tmp_path / "out.jsonl"
    with pytest.raises(
        UsageError, match=r"no clip ids; .*or the list .*, as out.jsonl\+LIST"
    ):
        read(labels, out)
    short = write_file(tmp_path / "short.txt", "a\nb\n")
    with pytest.raises(
        UsageError, match=r"out.jsonl has 24 rows, but .*short.txt lists 2 clips"
    ):
        read(labels, f"{out}+{short}")
    with pytest.raises(UsageError, match=r"out.jsonl lists no clips; it has 'CE'"):
        read(labels, f"{out}+{out}")
    own = tool_files.utmosv2(tmp_path / "u.csv", SCORES)
    with pytest.raises(UsageError, match=r"names its clips itself \('file_path'\)"):
        read(labels, f"{own}+{short}")


def test_sheet_answers_beside_the_truth(labels, tmp_path):
    path = tool_files.sheet(tmp_path / "s.csv", SCORES, truth=MOS)
    near(read(labels, path), "s", SCORES)
    # Alone the file holds the ratings, too.
    found = read_stack_inputs([path])
    assert names(found) == ["s"]
    assert found.clips["avg_score"].tolist() == MOS.tolist()


def test_songeval_is_a_json_object_of_clips(labels, tmp_path):
    path = tool_files.songeval(tmp_path / "result.json", SCORES)
    found = read(labels, f"song={path}")
    axes = ("Coherence", "Musicality", "Memorability", "Clarity", "Naturalness")
    assert names(found) == [f"song.{axis}" for axis in axes]
    near(found, "song.Clarity", SCORES)


def test_a_report_of_versa_gives_its_opinion_scores_whatever_it_is_called(
    labels, tmp_path
):
    records = [
        {
            "key": clip,
            "utmos": score,
            "nisqa_mos_pred": score,
            "nisqa_noi_pred": 2.0,
            "se_si_snr": 10 * score,
            "dns_overall": score,
        }
        for clip, score in SCORES.items()
    ]
    for name in ("report", "report.txt", "report.jsonl"):
        path = tool_files.json_lines(tmp_path / name, records)
        found = read(labels, f"versa={path}")
        assert names(found) == [
            "versa.utmos",
            "versa.nisqa_mos_pred",
            "versa.dns_overall",
        ]
        near(found, "versa.utmos", SCORES)
        assert "not taken: 'nisqa_noi_pred', 'se_si_snr'" in found.origins[0].text


def test_pam_is_a_probability_in_lines_of_json(labels, tmp_path):
    records = [
        {"location": f"/d/{clip}.wav", "q_score": (score - 1) / 4}
        for clip, score in SCORES.items()
    ]
    path = tool_files.json_lines(tmp_path / "wav.scp.pam_score.json", records)
    near(read(labels, f"pam={path}"), "pam", SCORES)


def test_the_files_of_musegauge_per_clip_are_read_and_its_means_are_refused(
    labels, tmp_path
):
    tens = 1 + (SCORES - 1) * 9 / 4
    table = {"clip_id": CLIPS} | {axis: tens.to_numpy() for axis in ("CE", "CU")}
    path = tmp_path / "aesthetics.audiobox@1.csv"
    pd.DataFrame(table | {"PC": tens.to_numpy(), "PQ": tens.to_numpy()}).to_csv(
        path, index=False
    )
    near(read(labels, f"muse={path}"), "muse.PQ", SCORES)
    means = write_file(
        tmp_path / "results.json", json.dumps({"schema": 1, "metrics": [{"n": 3}]})
    )
    with pytest.raises(UsageError, match=r"results.json"):
        read(labels, means)


def test_every_layout_names_what_it_takes():
    for tool in KNOWN_TOOLS:
        assert tool.together or tool.alone
        assert bool(tool.together) == bool(tool.taken)
        assert not tool.scores & tool.never
        if tool.together:
            columns = ["clip", *tool.taken, *sorted(tool.together)]
            layout = known_layout(columns, [*tool.taken])
            assert layout is not None
            assert layout.taken[0] == tool.taken[0]


def test_a_table_with_other_models_in_it_is_read_whole(labels, tmp_path):
    path = tool_files.dnsmos(tmp_path / "d.csv", SCORES)
    pd.read_csv(path).assign(mine=SCORES.to_numpy()).to_csv(path, index=False)
    found = read(labels, path)
    assert "mine" in names(found)
    assert not {"len_in_sec", "sr", "num_hops"} & set(names(found))


def test_an_index_that_a_data_frame_wrote_is_no_model(labels, tmp_path):
    pd.DataFrame({"clip_id": CLIPS, "a": MOS + 0.1, "b": MOS - 0.1}).reset_index(
        drop=True
    ).to_csv(tmp_path / "p.csv")
    assert names(read(labels, tmp_path / "p.csv")) == ["a", "b"]


# ---- cells


def test_one_odd_cell_is_an_error_with_its_place_and_never_a_model_less(
    labels, tmp_path
):
    table = pd.DataFrame({"clip_id": CLIPS, "one": SCORES.to_numpy(), "two": "3"})
    table.loc[3, "two"] = "x"
    table.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(
        UsageError,
        match=r"p\.csv, line 5: two is 'x'; a prediction is a finite number\. Mend",
    ):
        read(labels, tmp_path / "p.csv")


def test_all_odd_cells_of_a_file_are_told_at_once(labels, tmp_path):
    table = pd.DataFrame({"clip_id": CLIPS, "one": "2.5", "two": "3"})
    table.loc[[3, 7], "two"] = ["x", "3,4,5"]
    table.loc[9, "one"] = "high"
    table.to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(TableProblems) as caught:
        read(labels, tmp_path / "p.csv")
    found = [(p.line, p.column, p.value) for p in caught.value.problems]
    assert found == [(11, "one", "high"), (5, "two", "x"), (9, "two", "3,4,5")]


def test_the_odd_cells_of_several_files_are_told_together(labels, tmp_path):
    for name in ("a", "b"):
        table = pd.DataFrame({"clip_id": CLIPS, "score": SCORES.astype(str).to_numpy()})
        table.loc[4, "score"] = "high"
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(TableProblems) as caught:
        read(labels, tmp_path / "a.csv", tmp_path / "b.csv")
    places = [(p.file, p.line) for p in caught.value.problems]
    assert places == [(str(tmp_path / f"{name}.csv"), 6) for name in ("a", "b")]


def test_a_column_of_words_is_no_model_and_may_hold_a_number(labels, tmp_path):
    notes = ["fine", "7", *["good take"] * (N - 2)]
    table = {"clip_id": CLIPS, "a": MOS + 0.1, "b": MOS - 0.1, "remark": notes}
    pd.DataFrame(table).to_csv(tmp_path / "p.csv", index=False)
    assert names(read(labels, tmp_path / "p.csv")) == ["a", "b"]
    with pytest.raises(UsageError, match="remark"):
        read(labels, f"{tmp_path / 'p.csv'}:a,remark")


def test_a_constant_column_and_rows_without_a_score_are_named(labels, tmp_path):
    one = SCORES.to_numpy().copy()
    one[[2, 5]] = np.nan
    table = {"clip_id": CLIPS, "one": one, "flat": 3}
    pd.DataFrame(table).to_csv(tmp_path / "p.csv", index=False)
    found = read(labels, tmp_path / "p.csv")
    assert "rows of one without a score: 'sys2-utt2', 'sys5-utt5'" in found.notes
    assert (
        "'flat' predicts 3 for all 24 clips: a constant tells none of them apart"
        in found.notes
    )


# ---- columns that are named


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("mos_prd", r"no column 'mos_prd'; .* Did you mean 'mos_pred'\?"),
        ("mos_pred,mos_pred", r"column 'mos_pred' is named twice"),
        ("model,mos_pred", r"24 of 24 rows: model is no finite number"),
    ],
)
def test_columns_that_are_not_there_or_no_numbers_are_refused(
    labels, tmp_path, columns, message
):
    path = tool_files.nisqa(tmp_path / "n.csv", SCORES)
    with pytest.raises(UsageError, match=message):
        read(labels, f"{path}:{columns}")


def test_of_several_aspects_a_column_is_named_for_each(tmp_path):
    table = {"clip_id": CLIPS, "mi": MOS, "ta": MOS[::-1].to_numpy()}
    pd.DataFrame(table).to_csv(tmp_path / "l.csv", index=False)
    given = {"id": CLIPS, "quality": SCORES, "match": MOS[::-1].to_numpy()}
    pd.DataFrame(given).to_csv(tmp_path / "p.csv", index=False)
    word = f"tool={tmp_path / 'p.csv'}"
    found = read_stack_inputs([f"{word}:quality,match"], tmp_path / "l.csv")
    np.testing.assert_allclose(scores(found, "tool"), SCORES, atol=2e-4)
    with pytest.raises(UsageError, match="a column for each of mi, ta"):
        read_stack_inputs([f"{word}:quality"], tmp_path / "l.csv")


def test_a_column_with_commas_in_its_name_can_be_named(labels, tmp_path):
    table = {"clip_id": CLIPS, "a": 2.0, "b": 3.0, "a,b": SCORES.to_numpy()}
    pd.DataFrame(table).to_csv(tmp_path / "p.csv", index=False)
    near(read(labels, f"x={tmp_path / 'p.csv'}:a,b"), "x", SCORES)


def test_of_a_spreadsheet_a_sheet_can_be_named_before_its_columns(labels, tmp_path):
    table = pd.read_csv(tool_files.nisqa(tmp_path / "n.csv", SCORES))
    cells = [list(table.columns), *table.astype(object).to_numpy().tolist()]
    path = tmp_path / "book.xlsx"
    workbooks.write_xlsx(path, {"notes": [["id", "x"], ["a", 1]], "May 2": cells})
    near(read(labels, f"n={path}:May 2"), "n", SCORES)
    found = read(labels, f"n={path}:May 2:noi_pred:1-5")
    near(found, "n", 1 + (SCORES - 1) / 1.1)
    with pytest.raises(
        UsageError, match=r"no column 'May 3'; .*sheets are 'notes', 'May 2'"
    ):
        read(labels, f"n={path}:May 3")


# ---- the same names for new clips


def again(found, *words):
    models = [table.model for table in found.tables]
    return read_new_stack_inputs(
        [str(word) for word in words], models, ["mos"], scales=found.scales
    )


def test_new_files_of_any_name_are_read_from_the_columns_of_the_fit(labels, tmp_path):
    old = tool_files.nisqa(tmp_path / "n_dev.csv", SCORES)
    new = tool_files.nisqa(tmp_path / "n_test.csv", SCORES)
    # In the fit it was not the column that would be taken by itself.
    found = read(labels, f"tool={old}:noi_pred")
    near(again(found, f"tool={new}"), "tool", 1 + (SCORES - 1) / 1.1)
    found = read(labels, f"n={old}:mos_pred,dis_pred")
    assert names(again(found, f"n={new}")) == ["n.mos_pred", "n.dis_pred"]
    # The columns may be called otherwise, which is said.
    renamed = pd.read_csv(new)[["deg", "mos_pred"]]
    renamed.rename(columns={"mos_pred": "score"}).to_csv(new, index=False)
    found = read(labels, f"tool={old}")
    told = again(found, f"tool={new}")
    near(told, "tool", SCORES)
    assert "tool is read from 'score'; in the fit it was from 'mos_pred'" in told.notes


def test_a_file_that_fits_no_model_is_told_which_name_is_expected(labels, tmp_path):
    old = tool_files.utmosv2(tmp_path / "utmosv2_dev.csv", SCORES)
    new = tool_files.utmosv2(tmp_path / "utmosv2_test.csv", SCORES)
    found = read(labels, old)
    with pytest.raises(
        UsageError,
        match=r"no predictions of the stack's base models 'utmosv2_dev': name the file "
        r".*Did you mean utmosv2_dev=.*utmosv2_test.csv\?",
    ):
        again(found, new)
    near(again(found, f"utmosv2_dev={new}"), "utmosv2_dev", SCORES)


def test_of_several_models_in_a_file_one_is_not_guessed(labels, tmp_path):
    one = tool_files.utmosv2(tmp_path / "u.csv", SCORES)
    four = tool_files.dnsmos(tmp_path / "d.csv", SCORES)
    found = read(labels, f"tool={one}")
    with pytest.raises(
        UsageError, match=r"\(DNSMOS\) holds 4 models, but 'tool' is one .*name its"
    ):
        again(found, f"tool={four}")
    near(again(found, f"tool={four}:OVRL"), "tool", 1 + (SCORES - 1) * 0.9)


@pytest.mark.parametrize("tool", ["utmosv2", "nisqa", "dnsmos"])
def test_what_a_tool_wrote_holds_no_ratings_and_the_cure_is_labels(tmp_path, tool):
    path = getattr(tool_files, tool)(tmp_path / "out.csv", SCORES)
    cure = r"out.csv is what .* writes and holds no ratings: name them with --labels"
    for others in ((), (tool_files.utmosv2(tmp_path / "other.csv", SCORES),)):
        with pytest.raises(UsageError, match=cure):
            read(None, path, *others)


def test_axes_are_not_both_ratings_and_predictions(tmp_path):
    word = tool_files.audiobox(tmp_path / "out.jsonl", tmp_path / "in.jsonl", SCORES)
    with pytest.raises(UsageError, match="Audiobox Aesthetics writes and holds no rat"):
        read(None, word)
    # SHEET writes its answers beside the truth.
    tool_files.sheet(tmp_path / "s.csv", SCORES, MOS)
    assert names(read(None, tmp_path / "s.csv")) == ["s"]
