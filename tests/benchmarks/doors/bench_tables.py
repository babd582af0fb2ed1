"""What reading a clip table costs: against pandas, in other dialects and kinds of file,
and by its length.

Each reading is in a process of its own; times are of CPU.
"""

from __future__ import annotations

from doors.fresh_process import cost_of
from doors.rated_table import rated_table

N_ROWS = 100_000
N_ROWS_OF_KINDS = 20_000

PANDAS = "import pandas"
OURS = "from base_models.clips.tables.read_table import read_table"
CLIPS = "from base_models.clips.read_clips import read_clips"


def write_dialect(frame, path):
    frame.to_csv(path, index=False, sep=";", decimal=",", encoding="cp1252")


WRITERS = {
    "dialect.csv": write_dialect,
    "clips.jsonl": lambda frame, path: frame.to_json(
        path, orient="records", lines=True
    ),
    "clips.parquet": lambda frame, path: frame.to_parquet(path, index=False),
    "clips.xlsx": lambda frame, path: frame.to_excel(path, index=False),
}
READING = {
    "clips.csv": "pandas.read_csv({!r}, dtype=str)",
    "dialect.csv": "pandas.read_csv({!r}, dtype=str, sep=';', encoding='cp1252')",
    "clips.jsonl": "pandas.read_json({!r}, lines=True)",
    "clips.parquet": "pandas.read_parquet({!r})",
    "clips.xlsx": "pandas.read_excel({!r})",
}
"""How a person who knows the file reads it with pandas."""


def bench_tables_against_pandas(tmp_path):
    path = str(tmp_path / "clips.csv")
    rated_table(N_ROWS).to_csv(path, index=False)
    pandas_ = cost_of(f"pandas.read_csv({path!r}, dtype=str)", PANDAS, repeats=2)
    cells = cost_of(f"read_table({path!r})", OURS, repeats=2)
    clips = cost_of(f"read_clips({path!r})", CLIPS, repeats=2)
    print(f"\n{N_ROWS:,} rows of a plain csv: {clips.seconds:.1f} s to checked clips")
    print(f"read_table against pandas.read_csv as text: {cells.against(pandas_)}")
    print(f"read_clips against pandas.read_csv as text: {clips.against(pandas_)}")
    print(f"read_clips against read_table: {clips.against(cells)}")


def bench_kinds_of_table_against_plain_csv(tmp_path):
    frame = rated_table(N_ROWS_OF_KINDS)
    plain = str(tmp_path / "clips.csv")
    frame.to_csv(plain, index=False)
    as_csv = cost_of(f"read_table({plain!r})", OURS, repeats=2)
    clips_as_csv = cost_of(f"read_clips({plain!r})", CLIPS, repeats=2)
    print(f"\n{N_ROWS_OF_KINDS:,} rows in other kinds of file")
    for name, write in WRITERS.items():
        other = str(tmp_path / name)
        write(frame, other)
        cells = cost_of(f"read_table({other!r})", OURS, repeats=1)
        clips = cost_of(f"read_clips({other!r})", CLIPS, repeats=1)
        by_pandas = cost_of(READING[name].format(other), PANDAS, repeats=1)
        print(f"{name}")
        print(f"  read_table against the plain csv: {cells.against(as_csv)}")
        print(f"  read_clips against the plain csv: {clips.against(clips_as_csv)}")
        print(f"  read_table against pandas of the same: {cells.against(by_pandas)}")


def bench_tables_by_length(tmp_path):
    """Four times the rows are to take four times the time and memory, not more."""
    print()
    for name in ("clips.csv", "dialect.csv"):
        costs = []
        for n_rows in (N_ROWS // 8, N_ROWS // 2):
            path = str(tmp_path / f"{n_rows}-{name}")
            write = WRITERS.get(name, lambda frame, at: frame.to_csv(at, index=False))
            write(rated_table(n_rows), path)
            costs.append(cost_of(f"read_clips({path!r})", CLIPS, repeats=2))
        print(f"read_clips, {name}, 4 x the rows: {costs[1].against(costs[0])}")
