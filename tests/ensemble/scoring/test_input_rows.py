"""Rows that cannot be scored come back among the others, beside the columns to keep."""

import pandas as pd
import pytest

from base_models.clips.listening_tests.rating_options import AS_THEY_ARE
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
