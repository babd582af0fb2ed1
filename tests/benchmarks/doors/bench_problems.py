"""What a table with many bad cells costs against the clean one.

Each reading is in a process of its own; times are of CPU.
"""

from __future__ import annotations

import numpy as np
from doors.fresh_process import cost_of
from doors.rated_table import rated_table

from base_models.clips.read_clips import collect_clips

N_ROWS = 20_000
N_BAD = 5_000

CLIPS = "from base_models.clips.read_clips import read_clips"
COLLECT = "from base_models.clips.read_clips import collect_clips"


def spoilt(frame):
    """The table with bad cells of four kinds, each in a row of its own."""
    rng = np.random.default_rng(1)
    frame = frame.astype({"mi": object, "ta": object})
    rows = rng.permutation(len(frame))[:N_BAD].reshape(4, -1)
    columns = {name: place for place, name in enumerate(frame)}
    frame.iloc[rows[0], columns["mi"]] = "good"
    frame.iloc[rows[1], columns["ta"]] = 7.5
    frame.iloc[rows[2], columns["clip_id"]] = "clip000000"
    frame.iloc[rows[3], columns["split"]] = "exam"
    return frame


def bench_problems(tmp_path):
    """Some thousand bad cells are found in one run, and shown as a few lines."""
    clean = rated_table(N_ROWS)
    bad = spoilt(clean)
    paths = {}
    for name, frame in {"clean": clean, "bad": bad}.items():
        paths[name] = str(tmp_path / f"{name}.csv")
        frame.to_csv(paths[name], index=False)
    n_found = len(collect_clips(paths["bad"], ["mi", "ta"], scales=(1, 5)).problems)
    # A clip that stands twice is a problem of its first row as well.
    assert n_found >= N_BAD
    arguments = "['mi', 'ta'], scales=(1, 5)"
    collected = {
        name: cost_of(f"collect_clips({path!r}, {arguments})", COLLECT)
        for name, path in paths.items()
    }
    lines = [
        "try:",
        f"    read_clips({paths['bad']!r}, {arguments})",
        "except TableProblems as error:",
        "    str(error)",
    ]
    types = f"{CLIPS}\nfrom base_models.clips.problems import TableProblems"
    told = cost_of("\n".join(lines), types)
    clean_cost = collected["clean"]
    print(f"\n{N_ROWS:,} rows with {N_BAD:,} bad cells, against the clean table")
    print(f"collected: {collected['bad'].against(clean_cost)}")
    print(f"read_clips, refused with a text: {told.against(clean_cost)}")
