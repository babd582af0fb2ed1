"""Windows cover a longer clip, overlap as stated, and count each second once."""

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from base_models.clips.audio import (
    LENGTH_TOLERANCE,
    USED_SECONDS,
    content_hash,
    load_audio,
)
from base_models.clips.segments.windows import (
    HOP_SECONDS,
    window_starts,
    window_weights,
    windows_of,
)
from base_models.errors import ClipError

RATE = 4_000


def write(folder, seconds, parts=(), *, name="song.wav", rate=RATE, **kind):
    """Noise, with other levels in parts of it: (start, end, level)."""
    rng = np.random.default_rng(0)
    samples = 0.1 * rng.standard_normal(round(seconds * rate))
    for start, end, level in parts:
        samples[round(start * rate) : round(end * rate)] *= level
    path = folder / name
    soundfile.write(path, samples, rate, **kind)
    return str(path)


@given(
    seconds=st.floats(0.1, 4_000),
    hop=st.floats(1, USED_SECONDS),
)
def test_windows_cover_the_clip_overlap_as_stated_and_end_with_it(seconds, hop):
    starts = window_starts(seconds, hop)
    if seconds <= USED_SECONDS + LENGTH_TOLERANCE:
        assert starts == [0]
        return
    assert starts[0] == 0
    np.testing.assert_allclose(np.diff(starts[:-1]), hop)
    last_hop = starts[-1] - starts[-2]
    assert 0 < last_hop <= min(hop + LENGTH_TOLERANCE, USED_SECONDS) + 1e-9
    assert starts[-1] + USED_SECONDS == pytest.approx(seconds)


@settings(deadline=None)
# Of many more windows, each weighs less than the tolerance, and nothing could fail.
@given(seconds=st.floats(31, 300), hop=st.floats(1, USED_SECONDS))
def test_the_weights_count_each_second_of_the_clip_once(seconds, hop):
    starts = np.array(window_starts(seconds, hop))
    weights = window_weights(starts, starts + USED_SECONDS)
    # Moment by moment, the slow way.
    times = (np.arange(20_000) + 0.5) * seconds / 20_000
    holds = (starts[:, None] <= times) & (times < starts[:, None] + USED_SECONDS)
    shares = (holds / np.maximum(holds.sum(axis=0), 1)).sum(axis=1)
    np.testing.assert_allclose(weights, shares / shares.sum(), atol=1e-3)
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("seconds", [1.0, 30.0, 30.5])
def test_a_clip_that_is_not_longer_is_one_window_itself(tmp_path, seconds):
    path = write(tmp_path, seconds)
    (window,) = windows_of(path)
    assert (window.audio, window.start, window.weight) == (path, 0, 1)
    assert window.end == pytest.approx(seconds)


def test_windows_are_segments_and_the_first_one_is_the_clip_itself(tmp_path):
    path = write(tmp_path, 71)
    windows = windows_of(path)
    assert [window.audio for window in windows] == [
        path,
        f"{path}#t=15,45",
        f"{path}#t=30,60",
        f"{path}#t=41,71",
    ]
    assert [(window.start, window.end) for window in windows] == [
        (0, 30),
        (15, 45),
        (30, 60),
        (41, 71),
    ]
    assert len({content_hash(window.audio) for window in windows}) == 4
    whole = load_audio(path, RATE, max_seconds=71)
    for window in windows:
        first = round(window.start * RATE)
        part = whole[first : first + 30 * RATE]
        np.testing.assert_array_equal(load_audio(window.audio, RATE), part)


def test_windows_over_a_segment_are_parts_of_its_file(tmp_path):
    path = write(tmp_path, 100)
    windows = windows_of(f"{path}#t=20,70")
    assert [window.audio for window in windows] == [
        f"{path}#t=20,70",
        f"{path}#t=35,65",
        f"{path}#t=40,70",
    ]
    assert [window.start for window in windows] == [0, 15, 20]


def test_a_silent_window_has_no_weight_and_the_others_share_what_it_had(tmp_path):
    path = write(tmp_path, 90, [(30, 60, 0)])
    windows = windows_of(path)
    assert [place for place, window in enumerate(windows) if window.is_silent] == [2]
    weights = [window.weight for window in windows]
    assert weights[2] == 0
    assert sum(weights) == pytest.approx(1)
    assert weights == pytest.approx([0.25, 0.25, 0, 0.25, 0.25], abs=0.01)


def test_where_all_is_silent_all_windows_count(tmp_path):
    windows = windows_of(write(tmp_path, 60, [(0, 60, 0)]))
    assert all(window.is_silent for window in windows)
    assert sum(window.weight for window in windows) == pytest.approx(1)


def test_a_longer_clip_that_is_damaged_at_its_end_is_refused(tmp_path):
    path = write(tmp_path, 60, [(55, 56, np.nan)], subtype="FLOAT")
    with pytest.raises(ClipError, match="NaN or infinite samples"):
        windows_of(path)
    # Of a clip that cannot be read at all, the scoring says so.
    (window,) = windows_of(str(tmp_path / "gone.wav"))
    assert window.weight == 1


@pytest.mark.parametrize("kind", ["mp3", "ogg", "flac"])
def test_files_of_any_kind_have_windows(tmp_path, kind):
    path = write(tmp_path, 50, name=f"song.{kind}", rate=16_000)
    windows = windows_of(path, hop=HOP_SECONDS)
    assert len(windows) == 3
    assert windows[-1].end == pytest.approx(50, abs=0.2)
    assert len(load_audio(windows[-1].audio, RATE)) == 30 * RATE
