"""What a segment near the end of an hour costs, against the start and the whole.

Each measurement is in a process of its own; times are of CPU.
"""

from __future__ import annotations

import pytest
from doors.fresh_process import cost_of
from doors.long_files import write_long

SUFFIXES = ("wav", "flac", "mp3", "ogg")
WANTED_RATE = 8_000

LOAD = "from base_models.clips.audio import load_audio"


@pytest.mark.parametrize("suffix", SUFFIXES)
def bench_the_end_of_an_hour(suffix, tmp_path):
    path = write_long(tmp_path, 60, suffix)
    last = f"load_audio({path + '#t=3560,3590'!r}, {WANTED_RATE})"
    first = f"load_audio({path!r}, {WANTED_RATE})"
    whole = f"load_audio({path!r}, {WANTED_RATE}, max_seconds=3600)"
    at_end = cost_of(last, LOAD, repeats=1)
    at_start = cost_of(first, LOAD, repeats=1)
    all_of_it = cost_of(whole, LOAD, repeats=1)
    print(f"\n{suffix}, 30 s at the end of an hour: {1000 * at_end.seconds:.0f} ms")
    print(f"  against the first 30 s: {at_end.against(at_start)}")
    print(f"  against the whole file: {at_end.against(all_of_it)}")
