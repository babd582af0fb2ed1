"""Predictions may stand in a sheet of a spreadsheet, which a word names."""

from workbooks import write_xlsx

from base_models.clips.tables.read_table import names_sheet
from ensemble.prediction_files.prediction_word import PredictionFile
from ensemble.prediction_files.read_predictions import read_predictions


def test_a_sheet_is_a_file_of_predictions_by_its_name(tmp_path):
    rows = [["clip_id", "x", "y"], ["a", 2, 3]]
    path = write_xlsx(tmp_path / "tool.xlsx", {"about": [["Test"]], "S 1": rows})
    assert names_sheet(f"{path}:S 1")
    assert not names_sheet(f"{path}:x")
    assert not names_sheet(path)
    for word, column in ((f"{path}:S 1:y", "y"), (f"m={path}:x", "x")):
        file = PredictionFile.parse(word)
        assert file.columns == (column,)
        read = read_predictions(file, ["mos"])
        assert read["mos"].tolist() == [float(rows[1][rows[0].index(column)])]
