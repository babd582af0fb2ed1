"""What is found of a file is found once, for as long as the file is unchanged."""

import os
import time

import numpy as np
import pytest
import soundfile

from base_models.clips.audio import load_audio
from base_models.clips.audio_files import unchanged
from base_models.clips.audio_files.containers import mpeg
from base_models.clips.audio_files.unchanged import OfUnchangedFiles
from base_models.errors import ClipError

pytestmark = pytest.mark.usefixtures("decoded_here")

RATE = 44_100


@pytest.fixture
def later(monkeypatch):
    """Files that have just been written count as settled."""
    time_ns = time.time_ns
    monkeypatch.setattr(unchanged.time, "time_ns", lambda: time_ns() + 10**10)


def found_of(memory, path, found):
    handle = os.open(path, os.O_RDONLY)
    try:
        return memory.of(handle, lambda: found)
    finally:
        os.close(handle)


def mp3(path, seconds):
    noise = np.random.default_rng(0).normal(size=round(seconds * RATE)) * 0.1
    soundfile.write(path, noise, RATE)
    return path


def test_a_file_is_asked_once_until_it_changes(tmp_path, later):
    memory = OfUnchangedFiles()
    path = tmp_path / "x"
    path.write_text("one")
    assert found_of(memory, path, "first") == "first"
    assert found_of(memory, path, "second") == "first"
    path.write_text("more")
    assert found_of(memory, path, "third") == "third"


def test_a_file_that_changed_just_now_is_asked_again(tmp_path):
    memory = OfUnchangedFiles()
    path = tmp_path / "x"
    path.write_text("one")
    assert found_of(memory, path, "first") == "first"
    assert found_of(memory, path, "second") == "second"


def test_no_more_is_kept_than_of_some_files(tmp_path, later, monkeypatch):
    monkeypatch.setattr(unchanged, "_MAX_FILES", 2)
    memory = OfUnchangedFiles()
    for k in range(5):
        (tmp_path / str(k)).write_text("one")
        assert found_of(memory, tmp_path / str(k), k) == k
    assert len(memory._found) <= 2


def test_counting_on_from_a_place_tells_what_counting_from_the_start_does(
    tmp_path, later
):
    # Frames follow one another, so that 150 s are made of 15 s.
    data = mp3(tmp_path / "x.mp3", 15).read_bytes() * 10
    # Tags and other bytes lie between frames, and a frame is cut at the end.
    cut = data.index(data[:2], len(data) // 2)
    (tmp_path / "x.mp3").write_bytes(data[:cut] + b"TAG" + bytes(125) + data[cut:-9])
    rng = np.random.default_rng(1)
    limits = [*rng.integers(1, 160 * RATE, 30).tolist(), 1 << 62, 0, 1, 1 << 20]

    handle = os.open(tmp_path / "x.mp3", os.O_RDONLY)
    kept = [mpeg.measure(handle, limit) for limit in limits]
    (places,) = [one for one in mpeg._PLACES._found.values() if one[-1].samples > 5e6]
    assert len(places) > 3
    alone = []
    for limit in limits:
        mpeg._PLACES._found.clear()
        alone.append(mpeg.measure(handle, limit))
    os.close(handle)
    assert kept == alone


def test_a_file_that_was_cut_after_it_was_read_is_refused(tmp_path, later):
    path = mp3(tmp_path / "x.mp3", 20)
    assert len(load_audio(path, 8_000)) > 19 * 8_000
    path.write_bytes(path.read_bytes()[:-5_000])
    with pytest.raises(ClipError, match="cut off: it declares"):
        load_audio(path, 8_000)
