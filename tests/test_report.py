"""A report tells every number with its interval, in files that other programs can read, and never hides a demo."""

import html.parser
import io
import json
import math

import numpy as np
import pandas as pd
import pytest

from base_models.metrics import evaluate_difference
from base_models.predictions import PredictionTable
from ensemble.report import Report, answer, board_rows, figure, render_files
from meta.judged import Judged

ASPECTS = ("mi", "ta")


@pytest.fixture(scope="module")
def made():
    """A report of two base models and a stack on 24 clips of 4 systems; the last clip lacks its labels."""
    rng, n = np.random.default_rng(0), 24
    ids, systems = [f"clip{k}" for k in rng.permutation(n)], [f"s{k % 4}" for k in range(n)]
    truth = rng.uniform(1, 5, (n, 2))
    stack = np.clip(truth + rng.normal(0, 0.3, (n, 2)), 1, 5)
    tables = [
        PredictionTable.from_scores(name, ids, ASPECTS, np.clip(truth + rng.normal(0, 0.6, (n, 2)), 1, 5))
        for name in ("dora-s0", "dora-s1")
    ]
    truth[-1] = np.nan
    board = Judged.of(tables, truth, ids, systems, ASPECTS, stack).board(50)
    frame = pd.DataFrame({"clip_id": ids, "system_id": systems, "mi": stack[:, 0], "ta": stack[:, 1]})
    frame = frame.assign(mi_true=truth[:, 0], ta_true=truth[:, 1])
    differences = evaluate_difference(truth, stack, stack[::-1], systems, list(ASPECTS), 50)
    return Report(
        source="listening <b>test</b> & co.csv",
        demo=False,
        note="splits as given: <i>all</i>",
        learner="ridge",
        facts={"mi": {"alpha": 1.0}, "ta": {"alpha": None}},
        warnings=("mi: ridge chose the <lower> end",),
        boards={"meta-validation": board, "test": board},
        differences=differences,
        verdict="no <difference> shown",
        predictions=frame,
        aspects=ASPECTS,
    )


def changed(report, **changes):
    return Report(**(vars(report) | changes))


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects the text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags = [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def page(report):
    return render_files(report)["report.html"].decode()


# ---- numbers as text


def test_a_figure_is_a_number_with_its_interval():
    assert figure(0.87123, 0.8, 0.9249) == "0.871 [0.80, 0.92]"
    assert figure(-0.0561, -0.2, 0.1) == "-0.056 [-0.20, 0.10]"
    assert figure(0.5, math.nan, math.nan) == "0.500"
    assert figure(0.5, math.nan, 0.9) == "0.500"
    assert figure(math.nan, 0.1, 0.2) == "-"
    assert figure(math.inf, 0.1, 0.2) == "-"


def test_answers_have_eight_decimals_sorted_ids_and_no_suffix():
    frame = pd.DataFrame({"clip_id": ["b.wav", "a", "B"], "ta": [1, 2.5, 5], "mi": [3.123456789, 1.0, 4.5]})
    expected = "B,4.50000000,5.00000000\na,1.00000000,2.50000000\nb,3.12345679,1.00000000\n"
    assert answer(frame, ("mi", "ta")) == expected
    assert answer(frame, ("ta",)).splitlines()[0] == "B,5.00000000"
    assert answer(frame[:0], ("mi", "ta")) == ""


def test_a_board_becomes_one_row_per_aspect_and_model(made):
    board = made.boards["test"].to_dict("records")
    rows = list(board_rows(board))
    models = ["stack", "mean", "dora-s0", "dora-s1"]
    assert [(aspect, model) for aspect, model, _ in rows] == [(a, m) for a in ASPECTS for m in models]
    assert all(len(cells) == 8 for _, _, cells in rows)
    first = next(
        r for r in board if (r["model"], r["aspect"], r["level"], r["metric"]) == ("stack", "mi", "utterance", "mse")
    )
    assert rows[0][2][0] == figure(first["value"], first["low"], first["high"])


# ---- files


def test_all_files_are_there(made):
    names = {"report.json", "metrics.csv", "report.html", "answer.txt", "predictions-test.csv"}
    assert set(render_files(made)) == names
    without = render_files(changed(made, predictions=pd.DataFrame(), boards={"dev": made.boards["test"]}))
    assert set(without) == names - {"answer.txt", "predictions-test.csv"}


def test_the_table_of_metrics_is_whole(made):
    metrics = pd.read_csv(io.BytesIO(render_files(made)["metrics.csv"]))
    assert metrics.columns[0] == "rows"
    counts = metrics.groupby(["rows", "model"]).size()
    assert len(counts) == 2 * 4
    assert (counts == 16).all()
    assert not metrics.duplicated(["rows", "model", "aspect", "level", "metric"]).any()


def test_the_json_is_strict_and_undefined_numbers_are_null(made):
    board = made.boards["test"].copy()
    board.loc[0, ["value", "low", "high"]] = np.nan
    data = render_files(changed(made, boards={"test": board}))["report.json"]

    def refuse(constant):
        raise AssertionError(constant)

    report = json.loads(data, parse_constant=refuse)
    assert report["leaderboards"]["test"][0]["value"] is None
    assert len(report["leaderboards"]["test"]) == 4 * 16
    assert report["source"] == made.source
    assert report["demo"] is False
    assert report["aspects"] == ["mi", "ta"]


def test_the_predictions_keep_their_order_and_their_labels(made):
    frame = pd.read_csv(io.BytesIO(render_files(made)["predictions-test.csv"]))
    assert list(frame["clip_id"]) == list(made.predictions["clip_id"])
    np.testing.assert_allclose(frame["mi"], made.predictions["mi"])
    assert frame["ta_true"].isna().sum() == 1


def test_the_same_report_has_the_same_bytes(made):
    assert render_files(made) == render_files(made)


# ---- the page


def test_the_page_names_every_model_and_every_kind_of_rows(made):
    text = " ".join(Page(page(made)).text)
    for word in (
        "dora-s0",
        "dora-s1",
        "stack",
        "mean",
        "meta-validation: 23 clips, 4 systems",
        "test: 23 clips",
        "ridge",
    ):
        assert word in text


def test_the_page_says_demo_when_it_is_one(made):
    assert "Demo corpus" not in page(made)
    assert "these numbers say nothing about real music" in page(changed(made, demo=True))


def test_names_from_the_data_cannot_become_markup(made):
    source = page(made)
    assert "<b>test</b>" not in source
    assert "listening &lt;b&gt;test&lt;/b&gt; &amp; co.csv" in source
    assert "<i>" not in source
    assert "<lower>" not in source
    assert "<difference>" not in source


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "cost $x^$", "$\\bad{$", "quality & co"])
def test_an_aspect_may_be_called_anything(made, name):
    board = made.boards["test"].replace({"aspect": {"mi": name}})
    frame = made.predictions.rename(columns={"mi": name, "mi_true": f"{name}_true"})
    made = changed(made, boards={"test": board}, predictions=frame, aspects=(name, "ta"))
    parsed = Page(page(made))
    assert "script" not in parsed.tags
    assert name in " ".join(parsed.text)


def test_there_is_one_figure_per_labelled_aspect(made):
    frame = made.predictions.assign(ta_true=np.nan)
    assert page(made).count("<svg") == 2
    assert page(changed(made, predictions=frame)).count("<svg") == 1


def test_a_test_split_without_labels_still_gives_a_page_and_an_answer(made):
    frame = made.predictions[["clip_id", "system_id", "mi", "ta"]]
    board = {"meta-validation": made.boards["test"]}
    files = render_files(changed(made, predictions=frame, boards=board, differences=pd.DataFrame()))
    assert "<svg" not in files["report.html"].decode()
    Page(files["report.html"].decode())
    assert json.loads(files["report.json"])["stack_minus_mean"] == []
    assert len(files["answer.txt"].splitlines()) == 24
