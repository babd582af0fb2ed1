"""Rows that cannot be scored come back among the others, beside the columns to keep."""

import pandas as pd
import pytest

from base_models.clips.listening_tests.rating_options import AS_THEY_ARE
from base_models.clips.problems import TableProblems
from base_models.errors import UsageError
from ensemble.cli.shared.output.output_files import check_outputs
from ensemble.formats import Scores
from ensemble.scoring.input_rows import InputRows

TABLE = """clip_id,audio,system_id,prompt,my note,mi
a,a.wav,v1,piano,1.50,3
,b.wav,v1,piano,x,3
a,a.wav,v1,piano,1.50,3
c,c.wav,,,007,4
"""


@pytest.fixture
def rows(tmp_path):
    (tmp_path / "t.csv").write_text(TABLE)
    return InputRows.read(tmp_path / "t.csv", AS_THEY_ARE)


def scored(rows):
    frame = rows.clips[["clip_id", "audio"]].assign(
        status="ok", mi=[2.5, 3.5], flags="", reason=""
    )
    return Scores(frame, ("mi",), left_out=(), set_aside=())


def test_every_row_comes_back_in_order_with_its_own_columns(rows):
    scores, notes = rows.complete(scored(rows))
    frame = scores.frame
    assert frame["clip_id"].tolist() == ["a", "", "a", "c"]
    assert frame["status"].tolist() == ["ok", "bad_row", "duplicate", "ok"]
    assert frame["mi"].isna().tolist() == [False, True, True, False]
    assert frame["system_id"].tolist() == ["v1", "v1", "v1", ""]
    assert len(scores.set_aside) == 2
    assert notes == ()


def test_kept_cells_are_as_written_and_own_columns_win(rows):
    scores, notes = rows.complete(scored(rows), ["my note", "mi"])
    assert scores.frame["my note"].tolist() == ["1.50", "x", "1.50", "007"]
    assert scores.frame["given_mi"].tolist() == ["3", "3", "3", "4"]
    assert scores.usable["mi"].tolist() == [2.5, 3.5]
    assert "kept as given_mi" in notes[0]
    assert list(rows.keep(["none"])) == []
    assert set(rows.keep(["all"])) == {"system_id", "prompt", "my note", "mi"}


def test_a_column_that_is_not_there_is_refused_with_the_nearest(rows):
    with pytest.raises(UsageError, match="Did you mean 'prompt'"):
        rows.keep(["prommpt"])


def test_a_folder_that_takes_no_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="no file can be written to"):
        check_outputs({"--out": str(tmp_path / "file" / "s.csv")}, inputs=())
    check_outputs({"--out": str(tmp_path / "new" / "s.csv")}, inputs=())
    assert not (tmp_path / "new").exists()


def test_clips_that_were_read_elsewhere_lose_only_repeated_rows():
    clips = pd.DataFrame({"clip_id": ["a", "a"], "audio": ["a.wav", "a.wav"]})
    rows = InputRows.of_clips(clips)
    assert len(rows.clips) == 1
    assert rows.refused[1].status == "duplicate"


def test_of_several_faults_of_a_row_the_first_is_its_reason(tmp_path):
    table = "clip_id,audio,start,end\na,a.wav,0,1\n,,x,0\n\nc,c.wav,0,2\n"
    (tmp_path / "t.csv").write_text(table)
    rows = InputRows.read(tmp_path / "t.csv", AS_THEY_ARE)
    assert rows.clips["clip_id"].tolist() == ["a", "c"]
    assert list(rows.refused) == [1]
    assert rows.refused[1].reason == str(rows.problems[0])
    assert "line 3" in rows.refused[1].reason
    assert len(rows.problems) > 1


def test_of_rows_of_one_id_that_differ_nobody_knows_which_is_meant(tmp_path):
    (tmp_path / "t.csv").write_text("clip_id,audio\na,a.wav\na,b.wav\nc,c.wav\n")
    rows = InputRows.read(tmp_path / "t.csv", AS_THEY_ARE)
    assert rows.clips["clip_id"].tolist() == ["c"]
    assert [clip.status for clip in rows.refused.values()] == ["duplicate"] * 2


def test_a_table_without_one_usable_row_is_an_error_with_all_its_faults(tmp_path):
    (tmp_path / "t.csv").write_text("clip_id,audio\n,a.wav\n,b.wav\n")
    with pytest.raises(TableProblems) as raised:
        InputRows.read(tmp_path / "t.csv", AS_THEY_ARE)
    assert len(raised.value.problems) == 2


def test_a_column_is_kept_by_its_own_name_and_by_the_standard_one(tmp_path):
    (tmp_path / "t.csv").write_text("clip_id,audio,System\na,a.wav,v1\n")
    rows = InputRows.read(tmp_path / "t.csv", AS_THEY_ARE)
    assert rows.keep(["System"]) == {"system_id": "System"}
    assert rows.keep(["system_id", "audio"]) == {"system_id": "system_id"}
    assert rows.keep(None) == {"system_id": "system_id"}


def test_pages_know_systems_and_prompts_whatever_is_kept(rows):
    scores, _ = rows.complete(scored(rows), ["none"])
    assert "system_id" not in scores.frame
    described = rows.described(scores).usable
    assert described["system_id"].tolist() == ["v1", ""]
    assert described["prompt"].tolist() == ["piano", ""]
    whole, _ = rows.complete(scored(rows))
    pd.testing.assert_frame_equal(rows.described(whole).frame, whole.frame)
