"""Tables of any kind as text cells: in goes a file, out comes a `TextTable`.

Read `read_table.py` first. Each kind of file has a module that turns it into rows of
cells (`delimited.py`, `sheets.py`, `json_tables.py`) or into columns
(`parquet_tables.py`); what rows mean, such as which of them is the header, is decided
for all of them in `grid.py`.
"""
