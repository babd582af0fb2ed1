"""What a spreadsheet would run as a formula is written as text, and read as it was."""

import numpy as np
import pandas as pd
import pytest

from base_models.clips.tables.formulas import original_cell, safe_cell
from base_models.clips.tables.read_table import read_table
from ensemble.formats import csv_table

ODD_CELLS = [
    "=1+1",
    "@SUM(A1)",
    "+cmd|' /C calc'!A0",
    "-5 loud",
    "-",
    "\tx",
    "'=x",
    "''+y",
    "＝f",  # noqa: RUF001
    "'90s",
    "a-b",
    "音楽",
    'a "b", c\nd',
    "x\ry",
]


@pytest.mark.parametrize("cell", ODD_CELLS)
def test_no_cell_is_run_as_a_formula_and_each_is_read_as_it_was(cell):
    assert safe_cell(cell)[0] not in "=+-@\t\r"
    assert original_cell(safe_cell(cell)) == cell


@pytest.mark.parametrize("number", ["-3.5", "+4", "-1e-5", "-0"])
def test_numbers_stay_as_they_are(number):
    assert safe_cell(number) == original_cell(number) == number


def test_a_csv_is_read_as_the_table_that_was_written(tmp_path):
    numbers = np.linspace(-2, 2, len(ODD_CELLS))
    ids = [f"c{k}" for k in range(len(ODD_CELLS))]
    frame = pd.DataFrame({"clip_id": ids, "=name": ODD_CELLS, "mi": numbers})
    path = tmp_path / "scores.csv"
    path.write_bytes(csv_table(frame))
    read = read_table(path).columns
    assert list(read) == ["clip_id", "=name", "mi"]
    assert [cell.strip() for cell in read["=name"]] == [c.strip() for c in ODD_CELLS]
    assert [float(cell) for cell in read["mi"]] == pytest.approx(numbers)
