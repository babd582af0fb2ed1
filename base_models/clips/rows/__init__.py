"""From the cells of a table to the rows of a clip table.

In go the cells of any table, and what its user says of them (`reading.py`); out come
columns under their standard names (`standard_columns.py`), audio files that exist
(`audio_paths.py`), values, and a list of all that is wrong (`cell_checks.py`).
"""
