"""Laws of the scales of predictors: declared, known by columns, or refused."""

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA, write_file
from scipy.stats import spearmanr

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from base_models.scales import Scale
from ensemble.prediction_files.known_tools import known_tool
from ensemble.prediction_files.predictor_scales import (
    DECLARED,
    DeclaredScales,
    PredictorScale,
    check_on_scale,
    range_remark,
)
from ensemble.prediction_files.stack_inputs import (
    read_new_stack_inputs,
    read_stack_inputs,
)
from ensemble.prediction_files.stack_scales import StackScales

N = 48
RNG = np.random.default_rng(0)
MOS = RNG.uniform(1.5, 4.8, N).round(2)
CLIPS = [f"c{k:02}" for k in range(N)]
# A tool on 1..10 whose scores follow the ratings; most lie above 5.
TOOL = (1 + (MOS - 1) * 9 / 4 + RNG.normal(0, 1, N)).clip(1, 10).round(2)
CASES = SHARED_DATA.parent / "cases" / "predictions"


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    systems = [f"s{k % 6}" for k in range(N)]
    table = {"clip_id": CLIPS, "system_id": systems, "mos": MOS}
    pd.DataFrame(table).to_csv(path, index=False)
    return path


def written(path, **columns):
    pd.DataFrame({"clip_id": CLIPS} | columns).to_csv(path, index=False)
    return path


# ---- how a file is named


def test_what_follows_a_file_and_is_no_scale_is_refused(labels, tmp_path):
    path = written(tmp_path / "p.csv", score=MOS)
    with pytest.raises(
        UsageError,
        match=r"p.csv has no column '0to100'; it has 'clip_id', 'score'\. After FILE: "
        r"stand columns, or the lowest and highest score as .*p.csv:0-100",
    ):
        read_stack_inputs([f"{path}:0to100"], labels)


# ---- declared scales


def test_scores_on_1_to_10_keep_their_ranks_where_the_scale_is_declared(
    labels, tmp_path
):
    path = written(tmp_path / "tool.csv", score=TOOL)
    found = read_stack_inputs([f"{path}:1-10"], labels)
    scores = found.tables[0].take(CLIPS).scores[:, 0]
    np.testing.assert_allclose(scores, 1 + (TOOL - 1) * 4 / 9, atol=1e-5)
    before = spearmanr(TOOL, MOS)[0]
    assert spearmanr(scores.round(4), MOS)[0] == pytest.approx(before, abs=1e-9)
    assert found.notes == ("scores on 1..10 (declared), mapped onto 1..5: 'tool'",)
    # What clipping made of them.
    assert spearmanr(TOOL.clip(1, 5), MOS)[0] < before - 0.15

    known = found.scales.predictors["tool"]["mos"]
    assert known == PredictorScale(
        Scale(1, 10), DECLARED, (TOOL.min(), TOOL.max()), "score"
    )
    assert StackScales.from_json(found.scales.to_json()) == found.scales


def test_undeclared_scores_on_another_scale_are_refused_with_the_cure(labels, tmp_path):
    path = written(tmp_path / "tool.csv", score=TOOL)
    with pytest.raises(
        UsageError,
        match=r"'tool' predicts \d\d of 48 clips off the scale 1\.\.5 \(from .* to "
        r".*\), which is assumed from the labels: .* FILE:LOW-HIGH, such as 1-10 or "
        r"0-10, .*--predictor-scales",
    ) as error:
        read_stack_inputs([path], labels)
    assert len(str(error.value)) <= 500
    # A wrong declaration is refused as well.
    with pytest.raises(UsageError, match=r"off the scale 0\.\.1 .* which is declared"):
        read_stack_inputs([f"{path}:0-1"], labels)


def test_a_scale_that_is_only_assumed_is_given_up_sooner_than_a_declared_one():
    values = np.r_[np.full(40, 3.0), np.full(8, 5.3)]
    with pytest.raises(UsageError, match="8 of 48 clips off the scale"):
        check_on_scale("x", values, PredictorScale(Scale(1, 5)))
    assert check_on_scale("x", values, PredictorScale(Scale(1, 5), DECLARED)) == 8
    few = np.r_[np.full(44, 3.0), np.full(4, 5.3)]
    assert check_on_scale("x", few, PredictorScale(Scale(1, 5))) == 4


def test_a_single_clip_may_overshoot_but_not_by_a_quarter_of_the_scale():
    known = PredictorScale(Scale(1, 5), DECLARED)
    assert check_on_scale("x", np.array([5.4]), known) == 1
    with pytest.raises(UsageError, match="1 of 1 clips off the scale"):
        check_on_scale("x", np.array([78.0]), known)


def test_a_table_names_the_scales_of_single_columns(labels, tmp_path):
    path = written(tmp_path / "all.csv", one=MOS, two=TOOL, three=MOS * 20)
    scales = write_file(tmp_path / "s.csv", "model,scale\ntwo,1-10\nthree,0..100\n")
    declared = DeclaredScales.read(scales)
    found = read_stack_inputs([path], labels, declared=declared)
    by_name = {table.model: table.take(CLIPS).scores[:, 0] for table in found.tables}
    np.testing.assert_allclose(by_name["one"], MOS, atol=1e-5)
    np.testing.assert_allclose(by_name["three"], 1 + MOS * 0.8, atol=1e-5)
    assert found.scales.predictors["two"]["mos"].scale == Scale(1, 10)

    ends = write_file(
        tmp_path / "s.tsv",
        "Name\taspect\tlow\thigh\ntwo\tmos\t1\t10\nthree\t\t0\t100\none\t\t\t\n"
        "four\t\t0\t1\n",
    )
    again = read_stack_inputs([path], labels, declared=DeclaredScales.read(ends))
    assert (
        again.notes[-1] == f"{ends} names the scale of 'four', which no file predicts"
    )
    np.testing.assert_array_equal(
        again.tables[1].distributions, found.tables[1].distributions
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model,range\ntwo,1-10\n", "needs the columns model and scale .*'range'"),
        ("scale\n1-10\n", "needs the columns model and scale"),
        ("model,scale\ntwo,ten\n", "line 2: 'ten' is no scale"),
        ("model,scale\ntwo,1-10\ntwo,1-5\n", "line 3: 'two' has a scale already"),
        ("model,low,high\ntwo,1,x\n", "line 2: low and high are .* finite numbers"),
        ("model,low,high\ntwo,10,1\n", "line 2: The lowest rating .* got 10 1"),
    ],
)
def test_a_table_of_scales_that_cannot_be_read_is_refused(tmp_path, text, message):
    path = write_file(tmp_path / "s.csv", text)
    with pytest.raises(UsageError, match=message):
        DeclaredScales.read(path)
    with pytest.raises(UsageError, match="scales of predictors are read from"):
        DeclaredScales.read(tmp_path / "s.yaml")


def test_two_declarations_of_one_scale_must_agree(labels, tmp_path):
    path = written(tmp_path / "tool.csv", score=TOOL)
    scales = write_file(tmp_path / "s.csv", "model,scale\ntool,0-10\n")
    with pytest.raises(UsageError, match=r"is 1\.\.10 beside its file and 0\.\.10 in"):
        read_stack_inputs(
            [f"{path}:1-10"], labels, declared=DeclaredScales.read(scales)
        )


def test_a_name_stands_before_those_of_several_models(labels, tmp_path):
    path = written(tmp_path / "p.csv", score=MOS)
    found = read_stack_inputs([f"mine={path}"], labels)
    assert [table.model for table in found.tables] == ["mine"]
    new = read_new_stack_inputs([f"mine={path}"], ["mine"], ["mos"])
    assert len(new.tables[0]) == N
    several = written(tmp_path / "all.csv", one=MOS, two=MOS)
    found = read_stack_inputs([f"mine={several}"], labels)
    assert [table.model for table in found.tables] == ["mine.one", "mine.two"]


# ---- known tools


def test_a_tool_is_known_by_its_columns_together_and_not_by_one_of_them():
    columns = ["path", "CE", "CU", "PC", "PQ"]
    assert known_tool("PQ", columns).scale == Scale(1, 10)
    assert known_tool("PQ", ["path", "PQ"]) is None
    assert known_tool("path", columns) is None
    assert known_tool("Content Enjoyment", ["Content Enjoyment"]) is None
    assert known_tool("audiobox_aesthetics_CE", ["key"]).scale == Scale(1, 10)
    nisqa = ["deg", "mos_pred", "noi_pred", "dis_pred", "col_pred", "loud_pred"]
    assert known_tool("loud_pred", nisqa).name == "NISQA"
    dnsmos = ["filename", "OVRL_raw", "OVRL", "SIG", "BAK", "P808_MOS"]
    assert known_tool("P808_MOS", dnsmos).name == "DNSMOS"
    utmos = ["file_path", "predicted_mos"]
    assert known_tool("predicted_mos", utmos).name == "UTMOSv2"
    assert known_tool("predicted_mos", ["clip_id", "predicted_mos"]) is None


def test_the_scale_of_a_known_tool_needs_no_declaration_and_is_said(labels, tmp_path):
    names = ("CE", "CU", "PC", "PQ")
    path = written(tmp_path / "out.csv", **dict.fromkeys(names, TOOL))
    found = read_stack_inputs([path], labels)
    assert found.notes == (
        "scores on 1..10 (known from its columns as Audiobox Aesthetics), mapped onto "
        "1..5: 'CE', 'CU', 'PC', 'PQ'",
    )
    # What is declared comes first.
    again = read_stack_inputs([f"{path}:0-10"], labels)
    assert again.scales.predictors["PQ"]["mos"].why == DECLARED


@pytest.mark.skipif(not CASES.is_dir(), reason="the outputs of real tools are not here")
def test_the_outputs_of_real_tools_keep_the_ranks_of_their_scores():
    files = ["audiobox_dev.csv", "NISQA_results_dev.csv"]
    found = read_stack_inputs(
        [CASES / name for name in files], CASES / "dev_labels.csv"
    )
    by_name = {table.model: table for table in found.tables}
    mos = found.clips["mos"]
    scores = by_name["PQ"].take(found.clips["clip_id"].tolist()).scores[:, 0]
    assert len(np.unique(scores.round(6))) == 243
    # It was .387 when the scores were clipped to 1..5.
    assert spearmanr(scores, mos)[0] == pytest.approx(0.853, abs=0.001)
    assert found.scales.predictors["NISQA_results_dev"]["mos"].why == "NISQA"


# ---- other scales of the labels


def test_predictors_without_a_declaration_are_on_the_scale_of_the_labels(tmp_path):
    table = {"clip_id": CLIPS, "mos": MOS * 20, "one": MOS * 20 - 3, "small": MOS}
    pd.DataFrame(table).to_csv(tmp_path / "all.csv", index=False)
    found = read_stack_inputs([tmp_path / "all.csv"], scales=(0, 100))
    assert found.tables[0].bins == ScoreBins(0, 100)
    np.testing.assert_allclose(found.tables[0].scores[:, 0], MOS * 20 - 3, atol=1e-3)
    assert "labels, and the scores that are written, are on: mos 0..100" in found.notes
    assert any(
        note.startswith("all 48 scores of 'small' lie in ") and "lowest tenth" in note
        for note in found.notes
    )


def test_distributions_of_another_scale_are_moved_bin_by_bin(labels, tmp_path):
    own = ScoreBins(0, 100)
    table = PredictionTable.from_scores("d", CLIPS, ["mos"], MOS * 20, bins=own)
    table.write(tmp_path / "d.parquet")
    found = read_stack_inputs([tmp_path / "d.parquet"], labels)
    np.testing.assert_array_equal(found.tables[0].distributions, table.distributions)
    np.testing.assert_allclose(found.tables[0].scores[:, 0], 1 + MOS * 0.8, atol=1e-4)
    assert found.notes == ("scores on 0..100 (its bins), mapped onto 1..5: 'd'",)
    with pytest.raises(UsageError, match=r"declared as 0\.\.10, but its file says"):
        read_stack_inputs([f"{tmp_path / 'd.parquet'}:0-10"], labels)
    few = PredictionTable.from_scores(
        "few", CLIPS, ["mos"], MOS, bins=ScoreBins(count=10)
    )
    few.write(tmp_path / "few.parquet")
    with pytest.raises(UsageError, match="only with as many bins on the same grid"):
        read_stack_inputs([tmp_path / "few.parquet"], labels)


# ---- new clips


def remembered(seen=(20.0, 90.0)):
    known = {"mos": PredictorScale(Scale(0, 100), DECLARED, seen)}
    return StackScales(Scale(1, 5), predictors={"tool": known})


def new(path, scales):
    return read_new_stack_inputs([path], ["tool"], ["mos"], scales=scales)


def test_new_scores_are_mapped_as_those_of_the_fit(tmp_path):
    path = written(tmp_path / "tool.csv", score=MOS * 20)
    found = new(path, remembered())
    np.testing.assert_allclose(found.tables[0].scores[:, 0], 1 + MOS * 0.8, atol=1e-5)
    assert found.notes == ("scores on 0..100 (declared), mapped onto 1..5: 'tool'",)
    # A newer tool on another scale needs its declaration.
    other = written(tmp_path / "other.csv", score=MOS / 5)
    again = new(f"tool={other}:0-1", remembered())
    np.testing.assert_allclose(
        again.tables[0].scores[:, 0], found.tables[0].scores[:, 0], atol=1e-5
    )


def test_new_scores_of_another_range_are_refused_or_noted(tmp_path):
    beyond = written(tmp_path / "tool.csv", score=MOS * 200)
    with pytest.raises(UsageError, match=r"off the scale 0\.\.100 .* is declared"):
        new(beyond, remembered())
    within = written(tmp_path / "tool.csv", score=MOS)
    note = new(within, remembered()).notes[0]
    assert note.startswith("all 48 scores of 'tool' lie in ")
    assert "in the fit they were 20..90: if it is on another scale" in note


def test_what_was_assumed_in_the_fit_is_no_longer_given_up_so_soon():
    values = np.r_[np.full(40, 3.0), np.full(8, 5.3)]
    known = PredictorScale(Scale(1, 5), seen=(1.2, 5.1))
    assert check_on_scale("x", values, known) == 8
    with pytest.raises(UsageError, match="is assumed from the labels, as in the fit"):
        check_on_scale("x", values + 3, known)


def test_the_columns_of_a_tool_do_not_change_the_scale_that_a_stack_knows(tmp_path):
    path = written(tmp_path / "out.csv", CE=MOS, CU=MOS, PC=MOS, PQ=MOS)
    scales = StackScales(Scale(1, 5)).for_models(["CE"], ["mos"])
    found = read_new_stack_inputs([path], ["CE"], ["mos"], scales=scales)
    np.testing.assert_allclose(found.tables[0].scores[:, 0], MOS, atol=1e-5)


def test_a_narrow_range_within_that_of_the_fit_is_noted_of_several_clips_only():
    known = PredictorScale(Scale(0, 100), DECLARED, (5.0, 95.0))
    assert "in the fit" in range_remark("x", np.linspace(6, 9, 8), known)
    assert range_remark("x", np.array([7.0]), known) == ""
    assert range_remark("x", np.linspace(6, 60, 8), known) == ""
