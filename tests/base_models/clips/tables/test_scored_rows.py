"""Rows of scores that have none are left out by whoever reads the scores."""

from base_models.clips.tables.scored_rows import without_unscored
from base_models.clips.text_table import TextTable


def table(**columns):
    n_rows = len(columns["clip_id"])
    return TextTable(columns, [("scores.csv", row + 2) for row in range(n_rows)])


SCORES = {
    "clip_id": ["a", "b", "a"],
    "status": ["ok", "missing", "duplicate"],
    "mi": ["3", "", ""],
    "flags": ["", "", ""],
    "reason": ["", "there is no file", "its id stands in row 1 already"],
}


def test_rows_without_scores_are_left_out_and_said():
    found = without_unscored(table(**SCORES))
    assert found.columns["clip_id"] == ["a"]
    assert found.locations == [("scores.csv", 2)]
    assert found.notes == (
        "2 rows without scores left out ('b', 'a'; column status says why)",
    )


def test_some_statuses_can_be_left_out_alone():
    found = without_unscored(table(**SCORES), ("duplicate",))
    assert found.columns["clip_id"] == ["a", "b"]


def test_a_column_of_that_name_in_another_table_says_nothing():
    other = table(**(SCORES | {"status": ["ok", "missing", "done"]}))
    assert without_unscored(other) is other
    bare = {name: SCORES[name] for name in ("clip_id", "status", "mi")}
    plain = table(**bare)
    assert without_unscored(plain) is plain
