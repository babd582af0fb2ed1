"""A report tells every number with its interval, and never hides a demo."""

import html.parser
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from base_models.bins import ScoreBins
from base_models.predictions import PredictionTable
from ensemble.formats import answer
from ensemble.reporting.board_table import CEILING, board_table
from ensemble.reporting.number_text import number_text
from ensemble.reporting.report import Report
from ensemble.reporting.section import Provenance, ReportContent
from ensemble.reporting.sections import sections_of
from ensemble.reporting.sections.decision import judged_clips
from ensemble.reporting.sections.leaderboards import best_first
from ensemble.reporting.terminal import closing_lines, screen_tables
from ensemble.screen.screen import Screen
from meta.assessment import Assessment
from meta.comparison.compared_rows import ComparedRows
from meta.rows import Rows
from meta.splits.leak_audit import Audit, Overlap
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.coverage import calibration_report

WITH_PICTURES = True
ASPECTS = ("mi", "ta")
MODELS = ("dora-s0", "dora-s1")
TABLES = ("leaderboards", "learners", "contributions", "calibration", "noise_ceiling")


SEEN = ("clip1", "clip2", "clip3")
LEAKY = Audit(
    overlaps=(Overlap("dora-s0", "training", "test", SEEN, SEEN, ("id",) * len(SEEN)),),
    unlisted=(),
    unhashed=0,
    counts={"dora-s0": {"training": 3}, "stack": {"test": 24}},
)
"""An audit that found three clips of two uses."""


@pytest.fixture(scope="module")
def made():
    """A report of a stack of two models on 24 clips of 4 systems, one unlabelled."""
    rng = np.random.default_rng(0)
    n = 24
    ids = [f"clip{k}" for k in rng.permutation(n)]
    systems = [f"s{k % 4}" for k in range(n)]
    truth = rng.uniform(1, 5, (n, 2))
    stack = np.clip(truth + rng.normal(0, 0.3, (n, 2)), 1, 5)
    tables = [
        PredictionTable.from_scores(
            name, ids, ASPECTS, np.clip(truth + rng.normal(0, 0.6, (n, 2)), 1, 5)
        )
        for name in MODELS
    ]
    truth[-1] = np.nan
    rows = Rows.of(ids, truth, ASPECTS, systems=systems)
    compared = ComparedRows.of(tables, rows, stack)
    board = compared.board(50)
    frame = pd.DataFrame(
        {"clip_id": ids, "system_id": systems, "mi": stack[:, 0], "ta": stack[:, 1]}
    )
    return Report(
        source="listening <b>test</b> & co.csv",
        demo=False,
        note="splits as given: <i>all</i>",
        learner="ridge",
        facts={"mi": {"alpha": 1.0}, "ta": {"alpha": None}},
        warnings=("mi: ridge chose the <lower> end",),
        measured=Assessment(
            boards={"test": board, "meta-validation": board},
            rows="test",
            compared=compared,
            verdict=replace(
                compared.verdict(compared), sentence="no <difference> shown"
            ),
            learners=board[board["model"] == "stack"].assign(
                model="crps", fit_seconds=1.5, predict_seconds=0.25
            ),
            contributions=shapley(),
            calibration={aspect: kept(compared, k) for k, aspect in enumerate(ASPECTS)},
            ceiling=ceiling(board),
            predictions=frame.assign(mi_true=truth[:, 0], ta_true=truth[:, 1]),
        ),
        audit=Audit(overlaps=(), unlisted=(), unhashed=0, counts={"stack": {}}),
        aspects=ASPECTS,
    )


def shapley(models=MODELS, exact=True):
    rows = [
        (a, m, g, 0.01 * k, 0.3 - 0.1 * k)
        for a in ASPECTS
        for k, m in enumerate(models)
        for g in ("mse", "srcc")
    ]
    frame = pd.DataFrame(
        rows, columns=["aspect", "model", "metric", "drop_one", "shapley"]
    )
    return frame.assign(standard_error=0.0 if exact else 0.02, exact=exact)


def kept(compared, k):
    rows = compared.rows
    known = ~np.isnan(rows.labels[:, k])
    scores = compared.stack_scores[known, k]
    labels = rows.labels[known, k]
    calibration = Calibration.fit(scores, labels, ScoreBins())
    return calibration_report(calibration, scores, labels, rows.systems[known])


def ceiling(board):
    frame = board.loc[
        board["model"] == "mean", ["aspect", "level", "metric", "low", "high", "n"]
    ]
    return frame.assign(note="", ceiling=0.987, reliability=0.975, raters=4.0)


def changed(report, **changes):
    """The report after changes to itself or to what it says of the stack."""
    own = {name: value for name, value in changes.items() if name in vars(report)}
    of_stack = {name: value for name, value in changes.items() if name not in own}
    return replace(report, measured=replace(report.measured, **of_stack), **own)


class Page(html.parser.HTMLParser):
    """Checks that tags are closed in order, and collects the text."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, page):
        super().__init__()
        self.open, self.text, self.tags, self.titles = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["h2"]:
            self.titles.append(data)
        self.text.append(data)


def page(report):
    return report.files()["report.html"].decode()


@pytest.fixture(scope="module")
def files(made):
    return made.files()


@pytest.fixture
def slim(made):
    """The report with one picture only, which is drawn in less time."""
    compared = made.measured.compared
    labels = np.where([True, False], compared.rows.labels, np.nan)
    one = replace(compared, rows=replace(compared.rows, labels=labels))
    return changed(made, compared=one, contributions=pd.DataFrame(), calibration={})


# ---- numbers as text


def test_a_figure_is_a_number_with_its_interval():
    assert number_text(0.87123, 0.8, 0.9249) == "0.871 [0.80, 0.92]"
    assert number_text(-0.0561, -0.2, 0.1) == "-0.056 [-0.20, 0.10]"
    assert number_text(0.5, math.nan, math.nan) == "0.500"
    assert number_text(0.5, math.nan, 0.9) == "0.500"
    assert number_text(math.nan, 0.1, 0.2) == "-"
    assert number_text(math.inf, 0.1, 0.2) == "-"
    assert number_text(math.nan, note="too few systems") == "too few systems"
    assert number_text(1.0, note="too few systems") == "1.000 (too few systems)"
    assert number_text(1.0, 0.9962, 1.0) == "1.000 [0.996, 1.000]"
    assert number_text(0.001, 0.0008, 0.0012) == "0.001 [0.0008, 0.0012]"
    assert number_text(0.0, 0.0, 0.0) == "0.000 [0.00, 0.00]"


def test_answers_have_eight_decimals_sorted_ids_and_no_suffix():
    frame = pd.DataFrame(
        {
            "clip_id": ["b.wav", "a", "B"],
            "ta": [1, 2.5, 5],
            "mi": [3.123456789, 1.0, 4.5],
        }
    )
    expected = (
        "B,4.50000000,5.00000000\na,1.00000000,2.50000000\nb,3.12345679,1.00000000\n"
    )
    assert answer(frame, ("mi", "ta")) == expected
    assert answer(frame, ("ta",)).splitlines()[0] == "B,5.00000000"
    assert answer(frame[:0], ("mi", "ta")) == ""


def test_a_board_becomes_one_row_per_aspect_and_model(made):
    board = made.measured.boards["test"].to_dict("records")
    table = board_table(board)
    rows = [row.cells for row in table.rows]
    models = ["stack", "mean", "dora-s0", "dora-s1"]
    assert [cells[:2] for cells in rows] == [(a, m) for a in ASPECTS for m in models]
    assert all(len(cells) == len(table.columns) == 2 + 8 for cells in rows)
    first = next(
        r
        for r in board
        if (r["model"], r["aspect"], r["level"], r["metric"])
        == ("stack", "mi", "utterance", "mse")
    )
    ends = (first["low"], first["high"])
    assert rows[0][2] == number_text(first["value"], *ends, note=first["note"])


def test_the_ceiling_stands_below_the_models_of_its_aspect(made):
    board = made.measured.boards["test"].to_dict("records")
    ceiling = made.measured.ceiling
    rows = board_table(board, ceiling.to_dict("records")).rows
    assert [row.cells[1] for row in rows] == 2 * ["stack", "mean", *MODELS, CEILING]
    assert [row.kind for row in rows] == 2 * ["stack", "", "", "", "ceiling"]
    assert all(cell.startswith("0.987") for cell in rows[4].cells[2:])
    only = ceiling[ceiling["aspect"] == "ta"].to_dict("records")
    rows = board_table(board, only).rows
    assert [row.cells[0] for row in rows if row.cells[1] == CEILING] == ["ta"]


@pytest.mark.usefixtures("without_pictures")
def test_boards_of_rows_that_were_fitted_on_are_marked_and_come_last(made):
    board = made.measured.boards["test"]
    boards = {"meta-validation": board, "meta-training": board}
    content = ReportContent(changed(made, boards=boards).values())
    assert content.values["fitted_rows"] == ["meta-training"]
    sections = sections_of(content)
    titles = [section.title for section in sections]
    marked = "meta-training (FITTED ON: not a measure): 23 clips, 4 systems"
    assert titles[-1] == marked
    assert sections[-1].tables[0].small
    assert titles.index("meta-validation: 23 clips, 4 systems") < len(titles) - 1
    # The terminal shows them last, too, and fainter.
    *_, last = screen_tables(sections)
    assert str(last.title).startswith(marked)
    assert last.style == "dim"
    assert 'class="small"' in page(changed(made, boards=boards))

    # A leak does not hide what the rows were.
    leaky = changed(made, boards=boards).measured.marked(["leaky: it leaks"])
    assert leaky.fitted_rows == ("LEAKY meta-training",)


@pytest.mark.parametrize("width", [80, 200])
def test_a_leaderboard_is_read_on_a_narrow_terminal_too(made, width):
    content = ReportContent(made.values())
    file = io.StringIO()
    screen = Screen(file=file, width=width)
    for table in screen_tables(sections_of(content)):
        screen.print(table)
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    # One table where there is room for both levels, else one below the other.
    heads = [line for line in text.splitlines() if "utt SRCC" in line]
    assert heads
    assert all(("sys SRCC" in line) == (width == 200) for line in heads)
    assert text.count("sys SRCC") == len(heads)
    # No number is broken, and what has no room is named.
    assert all(line.count("[") == line.count("]") for line in text.splitlines())
    assert ("utt KTAU" in text) or ("not shown at this width: " in text)


def test_the_page_says_what_can_be_said_and_then_what_cannot(made):
    verdict = replace(made.measured.verdict, sentence="It beats.", limits="It is mute.")
    content = ReportContent(changed(made, verdict=verdict).values())
    assert list(closing_lines(sections_of(content)))[-2:] == [
        "It beats.",
        "It is mute.",
    ]
    text = " ".join(Page(page(changed(made, verdict=verdict))).text)
    assert text.index("It beats.") < text.index("It is mute.")
    # Reports of earlier versions are read all the same.
    del content.values["verdict"]["limits"]
    assert list(closing_lines(sections_of(content)))[-1] == "It beats."


def test_the_best_models_have_the_highest_system_correlation_or_else_of_utterances():
    cells = {"a": (0.9, 0.1), "stack": (0.5, 0.5), "b": (0.1, None), "c": (0.2, 0.3)}
    board = [
        {
            "aspect": "mi",
            "model": model,
            "level": level,
            "metric": "srcc",
            "value": value,
        }
        for model, values in cells.items()
        for level, value in zip(("utterance", "system"), values, strict=True)
    ]
    assert best_first(board, "mi", ("stack",), 2) == ["stack", "c", "a"]
    without = [
        row | {"value": None} if row["level"] == "system" else row for row in board
    ]
    assert best_first(without, "mi", ("stack", "mean"), 2) == ["stack", "a", "c"]


def explained_tables(report):
    """Title to the sentence and the table of every section that explains its table."""
    sections = sections_of(ReportContent(report.values()))
    return {
        section.title: ([part.text for part in section.paragraphs], *section.tables)
        for section in sections
        if section.tables
    }


def test_every_small_table_has_readable_titles_and_names_its_rows(made):
    found = explained_tables(made)
    assert all(paragraphs for paragraphs, *_ in found.values())
    assert {title.partition(": ")[0] for title in found} == {"test", "meta-validation"}
    tables = [table for _, table in found.values()]
    assert not any("_" in column.title for table in tables for column in table.columns)
    assert all(
        len(row.cells) == len(table.columns) for table in tables for row in table.rows
    )
    title = "meta-validation: what each base model contributes"
    sentences, shapley_of = found[title]
    assert [column.title for column in shapley_of.columns[2:4]] == [
        "Shapley, utterance MSE",
        "Shapley, system SRCC",
    ]
    assert [row.cells[:3] for row in shapley_of.rows] == [
        (a, m, v)
        for a in ASPECTS
        for m, v in zip(MODELS, ("0.300", "0.200"), strict=True)
    ]
    drawn_report = changed(made, contributions=shapley(exact=False))
    drawn_sentences, drawn = explained_tables(drawn_report)[title]
    assert drawn.rows[0].cells[2] == "0.300 ± 0.040"
    assert "orders are drawn" in drawn_sentences[1]
    assert "orders are drawn" not in sentences[1]


def test_a_report_that_is_read_back_has_the_same_sections_but_for_the_pictures(made):
    values = json.loads(made.files()["report.json"])
    read_back = sections_of(ReportContent(values))
    sections = sections_of(ReportContent(made.values(), made.measured.compared))
    assert read_back == [section for section in sections if not section.drawings]
    assert len(sections) == len(read_back) + len(ASPECTS)


# ---- files


def test_all_files_are_there(files, slim):
    names = {
        "report.json",
        "metrics.csv",
        "report.html",
        "answer.txt",
        "predictions-test.csv",
    }
    assert set(files) == names
    boards = {"dev": slim.measured.boards["test"]}
    without = changed(slim, predictions=pd.DataFrame(), boards=boards).files()
    assert set(without) == names - {"answer.txt", "predictions-test.csv"}


def test_the_table_of_metrics_is_whole(files):
    metrics = pd.read_csv(io.BytesIO(files["metrics.csv"]))
    assert metrics.columns[0] == "rows"
    counts = metrics.groupby(["rows", "model"]).size()
    assert len(counts) == 2 * 4
    assert (counts == 16).all()
    assert not metrics.duplicated(["rows", "model", "aspect", "level", "metric"]).any()


def test_the_json_is_strict_and_undefined_numbers_are_null(slim):
    board = slim.measured.boards["test"].copy()
    board.loc[0, ["value", "low", "high"]] = np.nan
    data = changed(slim, boards={"test": board}).files()["report.json"]

    def refuse(constant):
        raise AssertionError(constant)

    report = json.loads(data, parse_constant=refuse)
    assert report["leaderboards"]["test"][0]["value"] is None
    assert len(report["leaderboards"]["test"]) == 4 * 16
    assert report["source"] == slim.source
    assert report["demo"] is False
    assert report["aspects"] == ["mi", "ta"]
    assert report["order"] == ["test"]
    assert report["noise_ceiling"]["test"][0]["ceiling"] == 0.987
    assert report["verdict"]["comparisons"][0]["p_holm"] is not None


def test_the_predictions_keep_their_order_and_their_labels(made, files):
    frame = pd.read_csv(io.BytesIO(files["predictions-test.csv"]))
    assert list(frame["clip_id"]) == list(made.measured.predictions["clip_id"])
    np.testing.assert_allclose(frame["mi"], made.measured.predictions["mi"])
    assert frame["ta_true"].isna().sum() == 1


def test_no_name_of_a_clip_is_a_formula_to_a_spreadsheet(slim):
    predictions = slim.measured.predictions.copy()
    predictions.loc[0, "clip_id"] = "=HYPERLINK(1)"
    data = changed(slim, predictions=predictions).files()["predictions-test.csv"]
    assert b"\n'=HYPERLINK(1)," in data


def test_the_same_report_has_the_same_bytes(made, files):
    assert made.files() == files


# ---- the page


def test_the_page_names_every_model_and_every_kind_of_rows(files):
    text = " ".join(Page(files["report.html"].decode()).text)
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


def test_the_page_says_demo_when_it_is_one(files, slim):
    assert b"Demo corpus" not in files["report.html"]
    assert "these numbers say nothing about real music" in page(
        changed(slim, demo=True)
    )


def test_names_from_the_data_cannot_become_markup(files):
    source = files["report.html"].decode()
    assert "<b>test</b>" not in source
    assert "listening &lt;b&gt;test&lt;/b&gt; &amp; co.csv" in source
    assert "<i>" not in source
    assert "<lower>" not in source
    assert "<difference>" not in source


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "cost $x^$", "$\\bad{$", "quality & co"]
)
def test_an_aspect_or_a_model_may_be_called_anything(made, name):
    found = made.measured
    renamed = {"aspect": {"mi": name}, "model": {"dora-s1": name}}
    frame = found.predictions.rename(columns={"mi": name, "mi_true": f"{name}_true"})
    rows = replace(found.compared.rows, aspects=(name, "ta"))
    made = changed(
        made,
        boards={"test": found.boards["test"].replace(renamed)},
        contributions=found.contributions.replace(renamed),
        ceiling=found.ceiling.replace(renamed),
        calibration={name: found.calibration["mi"]},
        compared=replace(found.compared, rows=rows),
        predictions=frame,
        aspects=(name, "ta"),
    )
    parsed = Page(page(made))
    # The page has one script of its own.
    assert parsed.tags.count("script") == 1
    assert name in " ".join(parsed.text)


def test_every_labelled_aspect_has_its_pictures(made, files, slim):
    """Predicted against rated, Shapley values, what intervals kept, and PIT."""
    assert files["report.html"].count(b"<svg") == 8
    assert page(slim).count("<svg") == 1
    assert (
        page(changed(slim, contributions=made.measured.contributions)).count("<svg")
        == 3
    )
    assert (
        page(changed(slim, calibration={"mi": made.measured.calibration["mi"]})).count(
            "<svg"
        )
        == 3
    )


def test_of_many_models_the_picture_has_the_dozen_that_give_most(slim):
    many = shapley([f"{'long' * k}-{k}" for k in range(20)], exact=False)
    source = page(changed(slim, contributions=many))
    assert ">less error (MSE), 12 of 20 models<" in source
    assert ">longlonglonglonglon…<" in source
    picture = source.rpartition("<svg")[2].partition("</svg>")[0]
    assert "-19<" not in picture


def test_the_page_stands_alone(files):
    source = files["report.html"].decode()
    assert not {"link", "img", "iframe"} & set(Page(source).tags)
    assert not re.search(
        r"(src|href)=.(?!#)(?!http://www.w3.org|http://purl.org|http://creativecommons.org)",
        source,
    )


def test_other_learners_stand_on_the_page_and_their_times_in_the_log(files, slim):
    text = Page(files["report.html"].decode()).text
    assert "meta-validation: other learners, fitted on the same clips" in text
    assert "crps" in text
    assert "fit, s" not in text
    assert json.loads(slim.log())["learners"] == [
        {"model": "crps", "fit_seconds": 1.5, "predict_seconds": 0.25}
    ]
    assert "other learners" not in page(changed(slim, learners=pd.DataFrame()))


@pytest.mark.usefixtures("without_pictures")
def test_a_leak_marks_the_title_of_every_table_and_the_verdict(made, files):
    assert b"LEAKY" not in files["report.html"]
    assert json.loads(files["report.json"])["leaks"] == []
    files = replace(made, audit=LEAKY).files()
    report = json.loads(files["report.json"])
    assert report["leaks"] == ["leaky: 3 clips of test were used to train 'dora-s0'"]
    assert report["warnings"] == [*report["leaks"], *made.warnings]
    assert report["audit"]["leaks"] is True
    assert report["verdict"]["sentence"].startswith("LEAKY: ")
    names = [name for table in TABLES for name in report[table]]
    names += [
        report["verdict"]["rows"],
        report["interval_coverage"]["rows"],
        *report["order"],
    ]
    assert all(name.startswith("LEAKY ") for name in names)
    assert set(pd.read_csv(io.BytesIO(files["metrics.csv"]))["rows"]) == {
        "LEAKY test",
        "LEAKY meta-validation",
    }
    parsed = Page(files["report.html"].decode())
    assert len(report["calibration"]["LEAKY test"]["mi"]["pit"]) == 10
    leaky = replace(made, audit=LEAKY)
    judged = judged_clips(leaky.assessment, audio={})
    content = ReportContent(leaky.values(), leaky.assessment.compared, judged)
    shown = [part for part in sections_of(content) if part.tables or part.drawings]
    assert len(shown) > 15
    assert all("LEAKY" in section.title for section in shown)
    assert "LEAKY: no <difference> shown" in parsed.text


def test_a_test_split_without_labels_still_gives_a_page_and_an_answer(slim):
    found = slim.measured
    bare = replace(
        found,
        boards={"meta-validation": found.boards["test"]},
        rows="meta-validation",
        predictions=found.predictions[["clip_id", "system_id", "mi", "ta"]],
        learners=pd.DataFrame(),
        ceiling=pd.DataFrame(),
    )
    files = replace(slim, measured=bare).files()
    Page(files["report.html"].decode())
    report = json.loads(files["report.json"])
    assert report["learners"] == report["contributions"] == {"meta-validation": []}
    assert report["interval_coverage"]["shares"] == {}
    assert len(files["answer.txt"].splitlines()) == 24


def test_what_was_measured_stays_unmarked_and_the_assessment_bears_the_marks(made):
    assert made.assessment is made.measured
    assert made.all_warnings == made.warnings
    leaky = replace(made, audit=LEAKY)
    assert leaky.measured is made.measured
    assert leaky.assessment.marks == LEAKY.marks
    assert leaky.assessment.rows == "LEAKY test"
    assert leaky.all_warnings == (*LEAKY.marks, *made.warnings)


@pytest.mark.usefixtures("without_pictures")
def test_equal_reports_are_equal_files_whenever_and_wherever_they_are_made(made, files):
    times = made.measured.learners.assign(fit_seconds=9.0, predict_seconds=9.0)
    for command in ("fit_meta --artifacts a", "fit_meta --artifacts b"):
        provenance = Provenance(command=command, date="2026-03-01 12:30 UTC")
        later = replace(
            made,
            provenance=provenance,
            measured=replace(made.measured, learners=times),
        )
        assert later.files()["report.json"] == files["report.json"]
        assert command in later.log().decode()
        again = replace(later, provenance=Provenance()).files()
        assert later.files() == again


def test_the_files_that_are_written_are_those_of_the_report(made, files, tmp_path):
    made.write(tmp_path / "new" / "folder")
    written = {path.name: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert written == files
    made.write(str(tmp_path / "new" / "folder"))


def test_a_notebook_shows_the_page_in_a_frame_out_of_which_no_style_leaks(made, files):
    frame = Page(made._repr_html_())
    assert frame.tags == ["iframe"]
    assert frame.attributes["srcdoc"].encode() == files["report.html"]
    assert frame.attributes["sandbox"] == "allow-scripts"
