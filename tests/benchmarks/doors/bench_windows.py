"""How the cost of the windows over a file grows with its length.

Memory is to stay as it is, and the time of a minute of audio too.
Each measurement is in a process of its own; times are of CPU.
"""

from __future__ import annotations

import pytest
from doors.fresh_process import cost_of
from doors.long_files import write_long

SUFFIXES = ("wav", "flac", "mp3", "ogg")
MINUTES = (5, 10, 20)

DIVIDE = "from base_models.clips.segments.windows import windows_of"
LOAD = "from base_models.clips.audio import load_audio"


def without_length_header(path):
    """An MP3 as encoders write it into a pipe: the first frame, which has the length,
    is left out.
    """
    with open(path, "rb") as file:
        data = file.read()
    second = data.index(data[:2], 4)
    streamed = path.replace(".mp3", "-streamed.mp3")
    with open(streamed, "wb") as file:
        file.write(data[second:])
    return streamed


@pytest.mark.parametrize("suffix", [*SUFFIXES, "mp3, streamed"])
def bench_windows_by_length(suffix, tmp_path):
    """The numbers of a row are to be alike."""
    divided = []
    loaded = []
    for minutes in MINUTES:
        path = write_long(tmp_path, minutes, suffix.partition(",")[0])
        if suffix.endswith("streamed"):
            path = without_length_header(path)
        divided.append(cost_of(f"windows_of({path!r})", DIVIDE, repeats=1))
        # As an encoder reads them, in the order of time.
        each = f"for window in windows_of({path!r}): load_audio(window.audio, 8_000)"
        loaded.append(cost_of(each, f"{DIVIDE}\n{LOAD}", repeats=1))
    print(f"\n{suffix}: files of {', '.join(map(str, MINUTES))} min")
    for name, costs in {"windows_of": divided, "windows, each read": loaded}.items():
        seconds = [
            f"{1000 * cost.seconds / minutes:.0f}"
            for cost, minutes in zip(costs, MINUTES, strict=True)
        ]
        megabytes = [f"{cost.megabytes:.0f}" for cost in costs]
        print(
            f"  {name}: {', '.join(seconds)} ms a minute of audio; peak "
            f"{', '.join(megabytes)} MB"
        )
