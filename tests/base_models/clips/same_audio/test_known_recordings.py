"""Which clips are one recording is found once for the same clips."""

import math

import pytest

from base_models.clips.same_audio import known_recordings
from base_models.clips.same_audio.known_recordings import recordings_of
from base_models.clips.same_audio.matches import SamePair, groups_of
from base_models.clips.same_audio.recordings import Recordings

PAIRS = (SamePair("c", "a", 0.99), SamePair("d", "e", 1.0, common_seconds=math.inf))
AUDIO = {clip: f"{clip}.wav" for clip in "cadeb"}
KEYS = {clip: clip * 64 for clip in AUDIO}


@pytest.fixture
def compared(monkeypatch):
    """Clips that were compared, each time; clip b cannot be read."""
    seen = []

    def of_audio(audio, folder, track):
        seen.append(list(audio))
        read = [clip for clip, _ in track(list(audio.items())) if clip != "b"]
        return Recordings(groups_of(read, PAIRS), PAIRS)

    monkeypatch.setattr(known_recordings.Recordings, "of_audio", of_audio)
    return seen


def test_the_same_clips_are_compared_once(tmp_path, compared):
    first = recordings_of(AUDIO, KEYS, tmp_path)
    again = recordings_of(AUDIO, KEYS, tmp_path)
    assert len(compared) == 1
    assert again == first
    assert again.first_of("c") == "a"
    assert "b" not in again.contents


@pytest.mark.parametrize("change", [{"a": "f" * 64}, {"f": "f" * 64}])
def test_other_clips_are_compared(change, tmp_path, compared):
    recordings_of(AUDIO, KEYS, tmp_path)
    keys = KEYS | change
    recordings_of({clip: f"{clip}.wav" for clip in keys}, keys, tmp_path)
    assert len(compared) == 2


def test_damage_is_made_good(tmp_path, compared):
    first = recordings_of(AUDIO, KEYS, tmp_path)
    (path,) = tmp_path.rglob("*.json")
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 4
        path.write_bytes(changed)
        assert recordings_of(AUDIO, KEYS, tmp_path) == first
        assert path.read_bytes() == whole
    assert len(compared) > 10


def test_what_never_was_an_answer_is_not_taken_for_one(tmp_path, compared):
    first = recordings_of(AUDIO, KEYS, tmp_path)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(known_recordings.guarded_json({"pairs": 5, "unread": []}))
    assert recordings_of(AUDIO, KEYS, tmp_path) == first
