"""Laws of tables that list all ratings of a clip in one row."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import write_file

from base_models.clips.listening_tests.names_in_ids import system_in_name
from base_models.clips.rating_tables import are_nameless
from base_models.clips.ratings import find_ratings, rated_columns, read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError

LIST = Path("/work/shared/data/audiobox-ratings/track2_human_annotations.jsonl")
ROWS = [
    {
        "data_path": f"audiomos2025-track2-sys{system}-utt{clip}",
        "Production_Quality": [3.0, 4.5, None],
        "Content_Enjoyment": [10.0, 0.0, 7.0],
    }
    for system in "AB"
    for clip in range(3)
]


def written(path, rows):
    return write_file(path / "r.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))


def test_lists_become_a_row_per_rating_as_they_are(tmp_path):
    path = written(tmp_path, ROWS)
    aspects = rated_columns(path)
    assert list(aspects) == ["Production_Quality", "Content_Enjoyment"]
    ratings = read_ratings(path, aspects, bins=None)
    assert len(ratings) == 18
    first = ratings[ratings["clip_id"] == "audiomos2025-track2-sysA-utt0"]
    np.testing.assert_array_equal(first["Production_Quality"], [3, 4.5, np.nan])
    np.testing.assert_array_equal(first["Content_Enjoyment"], [10, 0, 7])
    assert ratings["rater_id"].is_unique
    assert are_nameless(ratings["rater_id"])


def test_a_place_in_a_list_is_no_rater_and_listed_raters_are(tmp_path):
    rows = [{**row, "raters": ["x", "y", f"z{k}"]} for k, row in enumerate(ROWS)]
    ratings = read_ratings(written(tmp_path, rows), ["Content_Enjoyment"], bins=None)
    assert not are_nameless(ratings["rater_id"])
    assert (ratings["rater_id"] == "x").sum() == len(ROWS)
    rows[2]["raters"] = ["x", "y"]
    with pytest.raises(UsageError, match=r"line 3: as many raters as ratings.*: 2,"):
        read_ratings(written(tmp_path, rows), ["Content_Enjoyment"], bins=None)


def test_clips_of_lists_have_means_and_the_system_of_their_name(tmp_path):
    path = written(tmp_path, ROWS)
    assert find_ratings(path) == path
    clips = read_clips(path, rating_scale=(0, 10))
    assert clips["system_id"].tolist() == list(3 * ["sysA"] + 3 * ["sysB"])
    assert clips["Production_Quality"].tolist() == pytest.approx(6 * [1 + 0.4 * 3.75])
    assert (clips["Production_Quality_n"] == 2).all()
    assert clips.attrs["means_of"] == str(path)
    assert read_clips(path, labels=False)["system_id"].nunique() == 2


def test_a_scale_maps_lists_as_other_ratings_and_refuses_what_is_off_it(tmp_path):
    path = written(tmp_path, ROWS)
    mapped = read_ratings(path, ["Content_Enjoyment"], (0, 10))
    assert mapped["Content_Enjoyment"].tolist()[:3] == pytest.approx([5, 1, 3.8])
    # That corpus is known to be rated so, and is on that scale unasked.
    unasked = read_ratings(path, ["Content_Enjoyment"])
    assert unasked["Content_Enjoyment"].tolist()[:3] == pytest.approx([5, 1, 3.8])
    with pytest.raises(
        UsageError, match=r"Content_Enjoyment is off the scale 1\.\.5 .*line 1: '10\.0'"
    ):
        read_ratings(path, ["Content_Enjoyment"], (1, 5))
    with pytest.raises(UsageError, match=r"Content_Enjoyment .* 0\.\.9 .*'10\.0'"):
        read_ratings(path, ["Content_Enjoyment"], (0, 9), bins=None)


@pytest.mark.parametrize("cell", [7, "[1, 2", [[1], [2]], ["3", {}], "good"])
def test_a_cell_that_is_no_list_of_ratings_is_named(tmp_path, cell):
    rows = [*ROWS, {**ROWS[0], "data_path": "more", "Content_Enjoyment": cell}]
    with pytest.raises(
        UsageError, match=r"line 7: Content_Enjoyment is .* \[3, 4, null"
    ):
        read_ratings(written(tmp_path, rows), ["Content_Enjoyment"], bins=None)


def test_a_column_of_embeddings_is_not_taken_for_ratings_unless_it_is_named(tmp_path):
    rows = [{"clip_id": f"c{k}", "mos": 3.0, "emb": [0.1, 2.0]} for k in range(5)]
    path = written(tmp_path, rows)
    assert read_clips(path)["mos"].tolist() == 5 * [3.0]
    assert find_ratings(path) is None
    assert len(read_ratings(path, ["emb"], bins=None)) == 10
    with pytest.raises(UsageError, match="no column of raters"):
        read_ratings(path, ["mos"])


def test_lists_of_unequal_length_leave_gaps(tmp_path):
    rows = [{**ROWS[0], "Content_Enjoyment": [1.0, 2.0, 3.0, 4.0]}, *ROWS[1:]]
    aspects = ["Production_Quality", "Content_Enjoyment"]
    ratings = read_ratings(written(tmp_path, rows), aspects, bins=None)
    assert ratings["Production_Quality"][:4].isna().tolist() == [
        False,
        False,
        True,
        True,
    ]
    assert ratings["Content_Enjoyment"][3] == 4


def test_only_names_of_known_corpora_say_a_system():
    assert system_in_name("audiomos2025-track2-sysX-utt1") == "sysX"
    assert system_in_name("sysX-utt1") == "sysX"
    for name in ("X-utt1", "audiomos2025-track2-sysX", "a-b-sysX-utt1"):
        assert system_in_name(name) == ""


@pytest.mark.skipif(not LIST.exists(), reason="the shared data folder is not here")
def test_the_published_list_is_read_as_it_is():
    aspects = rated_columns(LIST)
    assert len(aspects) == 4
    ratings = read_ratings(LIST, aspects, bins=None)
    assert ratings[list(aspects)].notna().sum().sum() == 122_400
    clips = read_clips(LIST, labels=False)
    assert (len(clips), clips["system_id"].nunique()) == (3060, 36)
    first = pd.read_json(LIST, lines=True)["Content_Enjoyment"].iloc[0]
    assert ratings["Content_Enjoyment"][:10].tolist() == first
