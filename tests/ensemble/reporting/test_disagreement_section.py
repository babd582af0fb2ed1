"""The report says of predicted disagreement no more than was shown."""

import pytest

from ensemble.reporting.section import ReportContent
from ensemble.reporting.sections.disagreement import (
    disagreement_sections,
    disagreement_sentence,
)

RECORD = {
    "aspect": "mi",
    "clips": 96,
    "systems": 12,
    "raters": 4.0,
    "calibrated": True,
    "observed": 0.8,
    "predicted": 0.7,
    "srcc": 0.2,
    "low": 0.05,
    "high": 0.35,
    "rmse": 0.3,
    "rmse_pooled": 0.31,
    "noise": 0.3,
    "gain": 0.01,
    "gain_low": None,
    "gain_high": None,
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "goes with that of the raters (SRCC 0.200 [0.05, 0.35]; 96 test clips"),
        ({"low": -0.05}, "no relation shown between predicted and observed"),
        ({"srcc": -0.2, "low": -0.3, "high": -0.1}, "is opposed to that of the raters"),
        ({"srcc": -0.17, "low": -0.4, "high": 0.1}, "no relation shown"),
        ({"systems": 6}, "no relation shown"),
        ({"systems": 6}, "96 test clips of 6 systems, too few to show one)"),
        ({"systems": 0}, "96 test clips)."),
        ({"srcc": None, "low": None, "high": None}, "no relation shown"),
        ({"srcc": None, "low": None, "high": None}, "(the prediction is the same for"),
        ({"calibrated": False}, ", and the prediction is not calibrated ("),
    ],
)
def test_a_relation_is_said_only_where_its_interval_leaves_out_zero(changes, said):
    assert said in disagreement_sentence(RECORD | changes, "test")


def test_the_section_has_a_row_per_aspect_and_is_left_out_without_any():
    records = [RECORD, RECORD | {"aspect": "ta", "rmse_pooled": None}]
    (section,) = disagreement_sections(
        ReportContent({"disagreement": {"test": records}})
    )
    assert section.title == "test: disagreement of raters"
    (table,) = section.tables
    assert [row.cells[0] for row in table.rows] == ["mi", "ta"]
    assert all(len(row.cells) == len(table.columns) for row in table.rows)
    assert section.closing_lines[0].startswith("mi: predicted disagreement")
    assert "mostly noise" in section.paragraphs[-1].text
    assert not list(
        disagreement_sections(ReportContent({"disagreement": {"test": []}}))
    )
