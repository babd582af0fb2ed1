"""Laws of what fit_meta shows: the best models, the verdict last, a leak first."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import call, refused
from lightgbm import LGBMRegressor
from sklearn.linear_model import Ridge

from base_models.errors import UsageError
from base_models.files import read_json
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.reporting.section import ReportContent
from ensemble.reporting.sections import sections_of
from ensemble.reporting.terminal import closing_lines, opening_lines, screen_tables
from ensemble.stacking.fit_stack import Settings, fit_stack
from ensemble.stacking.stack_data import StackData
from ensemble.workspace import Workspace
from meta.comparison.held_out_trial import TRAINING, VALIDATION
from meta.predicted_rows import PredictedRows
from meta.rows import Rows


@pytest.fixture
def table(tmp_path):
    """Labels and 14 models of 60 clips, each noisier than the one before."""
    rng = np.random.default_rng(0)
    n = 60
    mos = rng.uniform(1.5, 4.5, n)
    frame = pd.DataFrame(
        {
            "utterance": [f"u{k}" for k in range(n)],
            "system": [f"s{k % 6}" for k in range(n)],
        }
    )
    noisy = {
        f"m{k:02}": np.clip(mos + rng.normal(0, 0.2 + 0.15 * k, n), 1, 5)
        for k in range(14)
    }
    frame = frame.assign(mos=mos, **noisy)
    frame.to_csv(tmp_path / "all.csv", index=False)
    return frame


def fit_meta(tmp_path, *words):
    return call(
        "fit_meta", "--predictions", *words, "--rivals", "--artifacts", tmp_path / "art"
    )


def test_of_many_models_the_ten_best_are_shown_and_the_report_has_the_others(
    table, tmp_path
):
    code, out, err = fit_meta(tmp_path, tmp_path / "all.csv", "-v")
    assert code == 0
    first, second = out.split("meta-training (FITTED ON: not a measure): ")
    assert "meta-validation: 24 clips, 6 systems" in first
    for text in (first, second):
        assert sum(f" m{k:02} " in text for k in range(14)) == 10
        assert " stack " in text
        assert " mean " in text
        assert "the 10 best of 14 base models by SRCC; the report has 4 more" in text
    report = json.loads(next(tmp_path.glob("art/meta/*/report.json")).read_text())
    assert (
        len({row["model"] for row in report["leaderboards"]["meta-validation"]}) == 17
    )
    verdict = report["verdict"]
    # With -v the last line says how long it took.
    assert err.splitlines()[-3:-1] == [verdict["sentence"], verdict["limits"]]
    assert "next: predict_mos --predictions FILE" in err
    assert out.splitlines()[-1] == str(next(tmp_path.glob("art/meta/*")))


def test_the_board_of_fitted_rows_is_in_the_report_and_shown_when_asked_for(
    table, tmp_path
):
    words = (tmp_path / "all.csv", "--models", "m00", "m13")
    _, out, err = fit_meta(tmp_path, *words)
    assert "meta-validation: 24 clips" in out
    assert "FITTED ON" not in out
    assert "board of the rows that the stack was fitted on: in the report, or -v" in err
    page = next(tmp_path.glob("art/meta/*/report.html")).read_text()
    assert "FITTED ON" in page
    _, out, err = fit_meta(tmp_path, *words, "-v")
    assert "FITTED ON" in out
    assert "board of the rows" not in err


def test_the_models_that_are_named_are_stacked_and_few_are_all_shown(table, tmp_path):
    _, out, err = fit_meta(tmp_path, tmp_path / "all.csv", "--models", "m00", "m13")
    assert [name for name in table.columns[3:] if f" {name} " in out] == ["m00", "m13"]
    assert "best of" not in out
    assert "2 base models, 60 clips" in err


def test_a_leak_is_refused_and_when_allowed_said_first_and_on_every_table(
    table, tmp_path
):
    table[["utterance", "system", "mos"]].to_csv(tmp_path / "labels.csv", index=False)
    ids, seen = table["utterance"].tolist(), frozenset(table["utterance"][:9])
    for name, trained_on in (("knows", seen), ("clean", frozenset())):
        scores = table[["m03"]].to_numpy()
        PredictionTable.from_scores(
            name, ids, ["mos"], scores, trained_on=trained_on
        ).write(tmp_path / f"{name}.parquet")
    words = [
        tmp_path / "knows.parquet",
        tmp_path / "clean.parquet",
        "--labels",
        tmp_path / "labels.csv",
    ]
    refused(
        2,
        fit_meta(tmp_path, *words),
        r"'u0', .* and 4 more were used to train 'knows'; meta-training on them leaks",
    )
    assert not list(tmp_path.glob("art/meta/*"))
    code, out, err = fit_meta(tmp_path, *words, "--allow-leak", "-v")
    assert code == 0
    lines = [line for line in err.splitlines() if not line.startswith("note: columns")]
    assert lines[0].startswith("LEAKY, every number below: ")
    assert "were used to train 'knows'" in lines[0]
    assert lines[-2].startswith("LEAKY: ")
    titles = [
        line for line in out.splitlines() if "clips, " in line and "systems" in line
    ]
    assert len(titles) == 2
    assert all(title.startswith("LEAKY meta-") for title in titles)


def test_a_leak_is_refused_or_marks_every_name_of_rows_and_the_verdict(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"fit{k}" for k in range(60)]
    labels = rng.uniform(1.5, 4.5, (60, 1))
    tables = [
        PredictionTable.from_scores(
            f"m{k}",
            ids,
            ("mos",),
            np.clip(labels + rng.normal(0, noise, (60, 1)), 1, 5),
            trained_on=frozenset({"fit3", "fit4"}),
        )
        for k, noise in enumerate((0.3, 0.45, 0.8))
    ]
    rows = Rows.of(ids, labels, ("mos",), systems=[f"s{k % 5}" for k in range(60)])
    data = StackData(
        fit=PredictedRows(rows, tuple(tables)),
        judges={},
        aspects=("mos",),
        needs_text=(False,),
        source="a.csv",
        note="a note",
    )
    workspace = Workspace(tmp_path)
    with pytest.raises(
        UsageError,
        match=r"Clips 'fit3', 'fit4' were used to train 'm0'; .*2 more such overlaps",
    ):
        fit_stack(workspace, data)
    assert not list(tmp_path.rglob("*.json"))

    folder = fit_stack(workspace, data, Settings(allow_leak=True, rivals=()))
    report = read_json(folder / "report.json")
    assert report["audit"]["leaks"] is True
    assert all(
        "were used to train" in mark or "was used to train" in mark
        for mark in report["leaks"]
    )
    assert set(report["leaderboards"]) == {f"LEAKY {VALIDATION}", f"LEAKY {TRAINING}"}
    assert report["verdict"]["sentence"].startswith("LEAKY: ")
    assert report["warnings"][: len(report["leaks"])] == report["leaks"]


def grouped_data(ids=None):
    """64 clips in groups of four, and one model."""
    rng = np.random.default_rng(0)
    ids = ids or [f"c{k}" for k in range(64)]
    labels = rng.uniform(1.5, 4.5, (64, 1))
    scores = np.clip(labels + rng.normal(0, 0.3, (64, 1)), 1, 5)
    rows = Rows.of(ids, labels, ("mos",), groups=[f"g{k // 4}" for k in range(64)])
    table = PredictionTable.from_scores("one", ids, ("mos",), scores)
    return StackData(
        fit=PredictedRows(rows, (table,)),
        judges={},
        aspects=("mos",),
        needs_text=(False,),
        source="a.csv",
        note="a note",
        group="album",
    )


def test_stacks_of_other_settings_groups_or_predictions_have_folders_of_their_own(
    tmp_path,
):
    data = grouped_data()
    settings = Settings("mean", rivals=())
    alone = replace(data.fit, rows=replace(data.fit.rows, groups=None))
    variants = [
        (data, settings),
        (replace(data, group="", fit=alone), settings),
        (replace(data, identity=("other",)), settings),
        (data, replace(settings, seed=1)),
        (data, replace(settings, validation=0.3)),
        (data, replace(settings, missing="pool")),
        (data, replace(settings, rivals=("best",))),
    ]
    folders = [fit_stack(Workspace(tmp_path), *variant) for variant in variants]
    assert len(set(folders)) == len(variants)
    assert fit_stack(Workspace(tmp_path), data, settings) == folders[0]
    report = read_json(folders[-1] / "report.json")
    shown = {row["model"] for row in report["learners"][VALIDATION]}
    assert shown == {"best"}


def test_clips_of_one_group_audio_or_spelling_are_on_one_side_of_the_meta_split(
    tmp_path, monkeypatch
):
    trials = []
    fit = StackedMOS.fit

    def keep(stack, *args, **options):
        trials.append(fit(stack, *args, **options).trial_)
        return stack

    monkeypatch.setattr(StackedMOS, "fit", keep)
    # Groups of four clips; the first clips of two groups are of one audio.
    data = grouped_data()
    contents = {f"c{k}": f"audio {k // 8}" for k in range(0, 64, 4)}
    settings = Settings("mean", rivals=())
    # And so are those whose ids differ in case alone.
    twins = [f"c{k - 4}".upper() if k % 8 == 4 else f"c{k}" for k in range(64)]
    cases = {
        "groups": (4, data),
        "audio": (8, replace(data, contents=contents)),
        "spelling": (8, grouped_data(twins)),
    }
    for name, (size, linked_data) in cases.items():
        fit_stack(Workspace(tmp_path / name), linked_data, settings)
        (trial,) = trials
        held_out = np.isin(linked_data.fit.rows.ids, trial.validation.rows.ids)
        assert 0.3 < held_out.mean() < 0.5
        linked = held_out.reshape(-1, size)
        assert (linked == linked[:, :1]).all()
        trials.clear()


def test_options_that_do_not_go_together_are_refused(table, tmp_path):
    path = tmp_path / "all.csv"
    refused(
        2,
        fit_meta(tmp_path, path, "--cv", "oof"),
        "--cv belongs to the base models of fit_base",
    )
    refused(2, fit_meta(tmp_path, path, "--models", "m99"), "Unknown model 'm99'")
    refused(
        2,
        fit_meta(tmp_path, path, "--missing", "pol"),
        "Unknown --missing 'pol'. Did you mean 'pool'",
    )
    refused(
        2,
        call("fit_meta", "--labels", path, "--artifacts", tmp_path),
        "--labels, --aspects and --scale belong to --pred",
    )


@pytest.mark.parametrize("learner", ["paper_ridge", "paper_lightgbm"])
def test_the_published_learners_are_fitted_on_nine_models_of_twenty_bins(
    table, tmp_path, learner
):
    nine = [f"m{k:02}" for k in range(9)]
    words = [tmp_path / "all.csv", "--models", *nine, "--learner", learner]
    code, _, err = fit_meta(tmp_path, *words)
    assert code == 0, err
    (folder,) = tmp_path.glob(f"art/meta/{learner}-*")
    assert read_json(folder / "report.json")["learner"] == learner

    stack = StackedMOS.load(folder)
    assert stack.final_estimator == learner
    scores = table.set_index("utterance")[nine]
    features = stack.transform(scores)
    assert features.shape == (60, 180)
    theirs = {"paper_ridge": Ridge(1.0), "paper_lightgbm": LGBMRegressor(verbosity=-1)}
    X = features.to_numpy()
    expected = theirs[learner].fit(X, table["mos"]).predict(X)
    found = stack.predict(scores)[:, 0]
    np.testing.assert_allclose(found, np.clip(expected, 1, 5), rtol=0, atol=1e-9)


def test_both_sides_of_the_trial_stand_side_by_side_for_every_learner(tmp_path):
    """As in DORA-MOS, III.D: LightGBM learns the meta-training rows by heart."""
    rng = np.random.default_rng(0)
    mos = rng.uniform(1.5, 4.5, 200)
    columns = {f"m{k}": np.clip(mos + rng.normal(0, 0.5, 200), 1, 5) for k in range(3)}
    ids = {"utterance": [f"u{k}" for k in range(200)], "system": np.arange(200) % 9}
    frame = pd.DataFrame({**ids, "mos": mos, **columns})
    frame.to_csv(tmp_path / "all.csv", index=False)
    words = ["--predictions", tmp_path / "all.csv", "--artifacts", tmp_path / "art"]
    learners = ["--learner", "paper_lightgbm", "--rivals", "ridge", "mean"]
    code, out, err = call("fit_meta", *words, *learners, "-v")
    assert code == 0, err
    report = read_json(next(tmp_path.glob("art/meta/*/report.json")))
    records = pd.DataFrame(report["overfitting"])
    assert records["model"].unique().tolist() == ["stack", "ridge", "mean"]
    assert set(records["metric"]) == {"mse", "srcc"}

    stack = records[records["model"] == "stack"].set_index(["level", "metric"])
    for side in (TRAINING, VALIDATION):
        board = pd.DataFrame(report["leaderboards"][side])
        own = board[board["model"] == "stack"].set_index(["level", "metric"])["value"]
        assert stack[side].to_dict() == own[stack.index].to_dict()
    mse = records[records["metric"] == "mse"].groupby("model")
    gaps = (mse[VALIDATION].mean() - mse[TRAINING].mean()).to_dict()
    assert gaps["stack"] > 3 * abs(gaps["ridge"])

    assert "Over-fitting: meta-training (fit) beside meta-validation (new)" in out
    assert "paper_lightgbm (the stack)" in out
    page = next(tmp_path.glob("art/meta/*/report.html")).read_text()
    assert "Over-fitting" in page
    assert "mos: paper_lightgbm grew 100 trees, no clip held out to stop by" in err


def test_an_aspect_without_systems_has_a_dash_for_them(tmp_path, table):
    table.drop(columns="system").to_csv(tmp_path / "all.csv", index=False)
    code, out, err = fit_meta(
        tmp_path, tmp_path / "all.csv", "-v", "--models", "m00", "m01"
    )
    assert code == 0, err
    (row,) = (line for line in out.splitlines() if "stack (the stack)" in line)
    assert row.split("│")[-2].strip() == "-"


RIDGES = {
    ("--learner", "ridge", "--groups", "system"): ("uses the score of each model",),
    ("--learner", "ridge"): (
        "left moments and bins (MSE on groups left out: score",
        "chosen by each group left out",
    ),
    ("--learner", "paper_ridge"): ("alpha 1, as set; other columns not tried",),
    ("--set", "penalty=smooth"): ("all bins of each model (bins); penalty smooth",),
    ("--set", "features=bins", "penalty=ridge"): (
        "all bins of each model (bins); penalty ridge (shrunk towards 0)",
    ),
}


@pytest.mark.parametrize(("options", "said"), RIDGES.items())
def test_ridge_says_which_columns_and_penalty_it_chose_and_what_it_left(
    table, tmp_path, options, said
):
    path = tmp_path / "all.csv"
    code, _, err = fit_meta(tmp_path, path, "--models", "m00", "m01", *options)
    assert code == 0, err
    (line,) = (line for line in err.splitlines() if line.startswith("mos: "))
    assert all(words in line for words in said), line
    assert line in next(tmp_path.glob("art/meta/*/report.html")).read_text()


def test_the_usual_learner_says_its_shares_and_why(table, tmp_path):
    path = tmp_path / "all.csv"
    code, _, err = fit_meta(tmp_path, path, "--models", "m00", "m01")
    assert code == 0, err
    (line,) = (line for line in err.splitlines() if line.startswith("mos: "))
    assert "mos: stack is 20% the plain mean of the models, 20% a mean weighted" in line
    assert "the shares are those set for 60 distinct clips" in line


def test_parameters_of_lightgbm_are_set_by_any_of_its_names_or_refused(table, tmp_path):
    words = [tmp_path / "all.csv", "--learner", "lightgbm", "--set"]
    code, _, err = fit_meta(tmp_path, *words, "num_leaves=4", "reg_lambda=2.5")
    assert code == 0, err
    (folder,) = tmp_path.glob("art/meta/lightgbm-*")
    learner = StackedMOS.load(folder).final_estimator
    assert learner.params == {"num_leaves": 4, "reg_lambda": 2.5}
    refused(
        2,
        fit_meta(tmp_path, *words, "num_leafs=4"),
        "Unknown parameter of lightgbm 'num_leafs'. Near it: .*'num_leaves'",
    )
    refused(2, fit_meta(tmp_path, *words, "boosting=rf"), "random forests average")
    refused(2, fit_meta(tmp_path, *words, "num_leaves=1"), "LightGBM refuses these")


# ---- the words around the tables


def sections(**changes):
    """The sections of a small report.json after changes."""
    values = {
        "leaks": [],
        "demo": False,
        "source": "a.csv",
        "note": "n",
        "learner": "ridge",
        "warnings": ["w"],
        "aspects": ["mos"],
        "audit": {"counts": {}, "overlaps": [], "unhashed": [], "unlisted": []},
        "verdict": {"rows": "test", "sentence": "No difference.", "comparisons": []},
        "order": [],
        "leaderboards": {},
        "learners": {"test": []},
        "contributions": {"test": []},
        "calibration": {"test": {}},
        "noise_ceiling": {"test": []},
        "interval_coverage": {
            "nominal": 0.9,
            "rows": "test",
            "shares": {"mos": 0.88},
        },
    }
    return sections_of(ReportContent(values | changes))


def test_leaks_are_counted_and_not_said_twice():
    marks = [f"leaky: {k} clips" for k in range(4)]
    leaky = sections(leaks=marks, warnings=[*marks, "w"], demo=True)
    lines = list(opening_lines(leaky))
    assert (
        lines[0]
        == "LEAKY, every number below: 0 clips; 1 clips; and 2 more such overlaps"
    )
    assert [line.partition(":")[0] for line in lines] == [
        "LEAKY, every number below",
        "demo corpus",
        "a.csv",
    ]
    assert list(closing_lines(leaky)) == [
        "warning: w",
        "predicted 90% intervals hold the rating of 88% (mos) of the test clips",
        "No difference.",
    ]
    assert list(opening_lines(sections())) == ["a.csv: n"]


def test_names_with_brackets_are_shown_as_they_are_and_the_ceiling_below_them():
    row = {"aspect": "[b]", "n": 9, "value": 0.5, "low": 0.4, "high": 0.6}
    cells = [
        {"level": level, "metric": m}
        for level in ("utterance", "system")
        for m in ("mse", "lcc", "srcc", "ktau")
    ]
    board = [
        row | {"model": model} | cell for model in ("stack", "[red]") for cell in cells
    ]
    bound = {"ceiling": 0.9, "reliability": 0.8, "raters": 4.0}
    ceiling = [row | bound | cell for cell in cells]
    whole = sections(
        order=["test"], leaderboards={"test": board}, noise_ceiling={"test": ceiling}
    )
    (on_screen,) = screen_tables(whole)
    table = on_screen
    shown = [[str(cell) for cell in column.cells] for column in table.columns]
    assert shown[0] == ["[b]"] * 3
    assert shown[1] == ["stack", "[red]", "noise ceiling"]
    assert shown[2] == ["0.500", "0.500", "0.900"]
    assert shown[4][2] == "0.900 [0.40, 0.60]"
