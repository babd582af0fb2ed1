"""Names of files that are no text are read, and shown as text."""

import os

import numpy as np
import pytest
import soundfile

from base_models.clips.audio import content_hash, load_audio
from base_models.clips.read_clips import read_clips
from base_models.clips.undecodable_names import as_text, from_text
from base_models.errors import ClipError
from ensemble.scoring.audio_files import clips_from_files

RATE = 16_000


@pytest.fixture
def folder(tmp_path):
    """Two clips, one of them with a name in Latin-1."""
    samples = 0.1 * np.sin(np.arange(RATE))
    for name in (b"a.wav", b"caf\xe9.wav"):
        path = tmp_path / "made.wav"
        soundfile.write(path, samples, RATE)
        os.rename(os.fsencode(path), os.path.join(os.fsencode(tmp_path), name))
    return tmp_path


@pytest.mark.parametrize(
    "read", [read_clips, lambda path: clips_from_files([path], "")]
)
def test_a_folder_with_such_a_name_is_read(folder, read):
    clips = read(str(folder))
    assert clips["clip_id"].tolist() == ["a", "caf\\xe9"]
    for audio in clips["audio"]:
        assert len(load_audio(audio, RATE)) == RATE
    assert len({content_hash(audio) for audio in clips["audio"]}) == 1


def test_every_name_comes_back_from_its_text():
    rng = np.random.default_rng(0)
    for _ in range(300):
        raw = (
            rng.bytes(int(rng.integers(1, 30))).replace(b"\0", b"").replace(b"\\", b"")
        )
        name = os.fsdecode(raw)
        text = as_text(name)
        text.encode()
        assert from_text(text) == name


def test_a_file_that_is_really_called_so_is_found_first(folder):
    literal = folder / "caf\\xe9.wav"
    soundfile.write(literal, np.zeros(2 * RATE), RATE)
    assert len(load_audio(str(literal), RATE)) == 2 * RATE


def test_where_there_is_no_such_file_it_is_said(tmp_path):
    with pytest.raises(ClipError, match="there is no file"):
        load_audio(str(tmp_path / "x\\xe9.wav"), RATE)
