"""The summary of a stack's report, its audit and its systems say what is so."""

import copy

import numpy as np
import pytest
from answered import texts
from builders import Predictor, prediction_tables, rows_of_tables

from ensemble.reporting.section import DECIDE, SUMMARY, ReportContent
from ensemble.reporting.sections.decision import decision_sections
from ensemble.reporting.sections.leaderboards import (
    CONSTANT_MARK,
    FITTED_MARK,
    fitted_leaderboards_sections,
    leaderboards_sections,
)
from ensemble.reporting.sections.leak_audit import leak_audit_sections
from ensemble.reporting.sections.summary import (
    certainty_sentences,
    limit_sentences,
    measured_sentences,
    nearness_sentences,
    summary_sections,
    verdict_sentences,
)
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.judged_systems import judged_systems

N_SYSTEMS = 12


def metric(model, level, name, value, n):
    place = {"aspect": "mos", "model": model, "level": level, "metric": name}
    return {**place, "value": value, "low": None, "high": None, "n": n, "note": ""}


def board(n_systems=N_SYSTEMS, models=("a", "b")):
    """A leaderboard of 60 clips: the stack errs by half a point, a constant by one."""
    records = []
    for model, error in {"stack": 0.25, "mean": 0.3, "constant": 1.0}.items():
        for name in ("mse", "lcc", "srcc", "ktau"):
            value = error if name == "mse" else 0.95
            records.append(metric(model, "utterance", name, value, 60))
            records.append(metric(model, "system", name, value, n_systems))
    for model in models:
        for level, n in (("utterance", 60), ("system", n_systems)):
            records += [
                metric(model, level, name, 0.5, n)
                for name in ("mse", "lcc", "srcc", "ktau")
            ]
    return records


def comparison(rival, said):
    place = {"aspect": "mos", "level": "utterance", "metric": "mse", "rival": rival}
    return {**place, "p_holm": 0.01, "said": said}


@pytest.fixture
def values():
    """The values of a report of a stack judged on test clips, with nothing special."""
    audit = {
        "leaks": False,
        "overlaps": [],
        "unlisted": [],
        "unhashed": 0,
        "counts": {
            "a": {"training": 200, "selection": 0},
            "stack": {"meta-training": 60, "meta-validation": 40, "test": 60},
        },
    }
    coverage = {"level": 0.9, "share": 0.92, "n": 60}
    coverage |= {"share_low": 0.85, "share_high": 0.96}
    return {
        "demo": False,
        "leaks": [],
        "aspects": ["mos"],
        "fitted_rows": [],
        "order": ["test"],
        "leaderboards": {"test": board()},
        "constant_models": {"test": {}},
        "noise_ceiling": {"test": []},
        "interval_coverage": {"nominal": 0.9},
        "calibration": {"test": {"mos": {"coverage": [coverage]}}},
        "verdict": {
            "rows": "test",
            "sentence": "Nothing could be tested.",
            "comparisons": [
                comparison("best base", "better"),
                comparison("mean", "better"),
                comparison("constant", "better"),
            ],
        },
        "audit": audit,
    }


def changed(values, path, value):
    """A copy with another value at a path such as ``"verdict.rows"``."""
    copied = copy.deepcopy(values)
    *names, last = path.split("/")
    place = copied
    for name in names:
        place = place[name]
    place[last] = value
    return copied


def has(values, words):
    return any(words in text for text in limit_sentences(values))


# ---- what was measured, and the verdict


def test_models_clips_systems_and_raters_are_counted(values):
    (text,) = measured_sentences(values)
    assert text == (
        "A stack, which combines the predictions of 2 models, was compared with "
        "people's ratings of mos for 60 clips of 12 systems. It had learnt from 100 "
        "other clips."
    )
    rated = changed(values, "noise_ceiling/test", [{"raters": 4.7}])
    assert "each rated by about 5 people." in measured_sentences(rated)[0]


def test_what_is_shown_and_what_is_not_are_told_apart(values):
    (clear,) = verdict_sentences(values)
    assert clear.endswith(
        "closer to people's ratings than those of its best model alone, the plain mean "
        "of its models and the mean rating for every clip, by more than chance "
        "explains."
    )
    part = changed(
        values,
        "verdict/comparisons/0".replace("/0", ""),
        [
            comparison("best base", ""),
            comparison("mean", "worse"),
            comparison("constant", "better"),
        ],
    )
    (mixed,) = verdict_sentences(part)
    assert "closer to people's ratings than the mean rating" in mixed
    assert "farther from people's ratings than the plain mean" in mixed
    assert "closer than those of its best model alone is not shown" in mixed
    nothing = changed(values, "verdict/comparisons", [comparison("best base", "")])
    assert "not shown to be closer" in verdict_sentences(nothing)[0]
    untested = changed(values, "verdict/comparisons", [])
    assert verdict_sentences(untested) == ["Nothing could be tested."]


def test_how_near_is_said_in_points_and_in_order(values):
    (text,) = nearness_sentences(values)
    assert "typically 0.50 points from the ratings" in text
    assert "(the mean rating for every clip: 1.00)" in text
    assert "the rank correlation of systems is 0.95, where 1 is the same order" in text
    few = changed(values, "leaderboards/test", board(n_systems=4))
    assert "order" not in nearness_sentences(few)[0]
    for record in values["leaderboards"]["test"]:
        record |= {"low": -0.1, "high": 1.0}
    (unsure,) = nearness_sentences(values)
    assert "12 systems are too few to show" in unsure
    assert "0.95 [-0.10, 1.00]" in unsure


@pytest.mark.parametrize(
    ("low", "words"),
    [
        (0.92, "in order almost as listeners do"),
        (0.75, "in order at least largely as listeners do"),
        (0.5, "in order at least roughly as listeners do"),
        (0.1, "in order better than chance would"),
        (None, "the rank correlation of systems is 0.95"),
    ],
)
def test_an_order_is_judged_by_what_is_sure_of_it(values, low, words):
    for record in values["leaderboards"]["test"]:
        record |= {"low": low, "high": 1.0}
    assert words in nearness_sentences(values)[0]


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((0.85, 0.96), "as it should"),
        ((0.7, 0.85), "too narrow"),
        ((0.95, 0.99), "wider than need be"),
        ((None, None), "for mos it held 92 % of 60."),
    ],
)
def test_intervals_are_judged_by_what_is_sure_of_them(values, bounds, words):
    record = {"level": 0.9, "share": 0.92, "n": 60}
    record |= dict(zip(("share_low", "share_high"), bounds, strict=True))
    judged = changed(values, "calibration/test/mos/coverage", [record])
    assert words in certainty_sentences(judged)[0]


def test_without_intervals_nothing_is_said_of_them(values):
    assert certainty_sentences(changed(values, "calibration", {})) == []


def test_a_leak_leaves_no_verdict(values):
    leaky = changed(values, "leaks", ["leaky: 3 clips"])
    assert verdict_sentences(leaky)[0].startswith("None: the stack had seen")
    assert nearness_sentences(leaky) == []
    assert has(leaky, "Anything about new clips")
    assert not has(values, "Anything about new clips")


# ---- what must not be concluded


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("demo", True, "Anything about real music"),
        ("leaderboards/test", board(n_systems=4), "4 of them are too few"),
        ("leaderboards/test", board(n_systems=1), "tell systems apart"),
        ("verdict/rows", "meta-validation", "in another listening test"),
        ("fitted_rows", ["meta-training"], "marked †"),
        ("verdict/comparisons", [comparison("mean", "")], "no better where no diff"),
        ("constant_models/test", {"mos": ["a"]}, "a says nearly the same"),
        ("audit/unlisted", ["a"], "1 base model (a) does not say"),
    ],
)
def test_a_limit_stands_where_it_is_so_and_only_there(values, path, value, words):
    if path == "verdict/rows":
        values["leaderboards"]["meta-validation"] = board()
    assert has(changed(values, path, value), words)
    assert not has(values, words)


def test_clips_of_another_kind_are_a_limit_of_a_test_split(values):
    assert has(values, "clips of another kind")
    values["leaderboards"]["meta-validation"] = board()
    assert not has(changed(values, "verdict/rows", "meta-validation"), "another kind")


def test_the_summary_is_one_section_with_all_of_it(values):
    (section,) = summary_sections(ReportContent(values))
    assert section.reader == SUMMARY
    leads = [part.lead for part in section.paragraphs]
    assert leads[:2] == ["What was measured.", "The verdict."]
    assert section.points


# ---- the audit


def audit_text(values):
    return texts(leak_audit_sections(ReportContent(values)))


def test_the_audit_says_what_it_found_and_what_it_could_not_check(values):
    assert "No clip has two uses" in audit_text(values)
    assert "Not checked" not in audit_text(values)
    found = changed(values, "audit/unlisted", ["b"])
    found = changed(found, "audit/unhashed", 3)
    assert "1 base model (b) does not say" in audit_text(found)
    assert "3 clips are known by name and predictions alone" in audit_text(found)


def test_an_overlap_is_named_and_marked(values):
    overlap = {
        "model": "a",
        "use": "training",
        "role": "test",
        "clip_ids": ["x", "y"],
        "known_as": ["x", "z"],
        "known_by": ["id", "audio"],
    }
    found = changed(values, "audit/overlaps", [overlap])
    (section,) = leak_audit_sections(ReportContent(found))
    assert section.title == "LEAKY: Leak audit"
    assert "1 overlap" in texts([section])
    assert section.tables[0].rows[0].words[0] == "2"
    assert "id (1), audio (1)" in section.tables[0].rows[0].words


def test_a_report_without_counts_has_no_audit_to_show(values):
    assert audit_text(changed(values, "audit/counts", {})) == ""


# ---- marks of constant and fitted rows


def test_constant_and_fitted_rows_are_marked_by_signs_and_words(values):
    constant = changed(values, "constant_models/test", {"mos": ["a"]})
    (section,) = leaderboards_sections(ReportContent(constant))
    names = [row.words[1] for row in section.tables[0].rows]
    assert f"{CONSTANT_MARK} a (nearly constant)" in names
    assert f"{CONSTANT_MARK} constant" in names
    assert "b" in names
    fitted = changed(values, "fitted_rows", ["test"])
    (section,) = fitted_leaderboards_sections(ReportContent(fitted))
    rows = section.tables[0].rows
    assert all(row.words[1].startswith(FITTED_MARK) for row in rows)
    assert {row.kind for row in rows} == {"fitted"}


# ---- systems


def test_systems_are_listed_by_prediction_beside_what_people_rated():
    rng = np.random.default_rng(0)
    labels = rng.uniform(1, 5, (30, 1))
    systems = [f"s{k % 3}" for k in range(30)]
    tables = prediction_tables(labels, {"a": Predictor()}, aspects=("mos",), rng=rng)
    rows = rows_of_tables(tables, labels, aspects=("mos",), systems=systems)
    compared = ComparedRows.of(tables, rows, labels + 0.5)
    found = judged_systems(compared)
    for row in found.to_dict("records"):
        own = labels[np.array(systems) == row["system_id"], 0]
        assert row["n"] == 10
        assert row["rated"] == pytest.approx(own.mean())
        assert row["predicted"] == pytest.approx(own.mean() + 0.5)
    assert found["predicted_rank"].tolist() == found["rated_rank"].tolist() == [1, 2, 3]

    values = {"aspects": ["mos"], "systems": {"test": found.to_dict("records")}}
    (section,) = decision_sections(ReportContent(values))
    assert section.reader == DECIDE
    assert [row.words[4] for row in section.tables[0].rows] == ["+0.50"] * 3
    assert section.closing_lines[0].startswith("mos by system, predicted: s")


@pytest.mark.parametrize("systems", [["one"] * 30, [""] * 30])
def test_without_two_systems_there_is_nothing_to_rank(systems):
    labels = np.random.default_rng(0).uniform(1, 5, (30, 1))
    tables = prediction_tables(labels, {"a": Predictor()}, aspects=("mos",))
    rows = rows_of_tables(tables, labels, aspects=("mos",), systems=systems)
    assert judged_systems(ComparedRows.of(tables, rows, labels)).empty
