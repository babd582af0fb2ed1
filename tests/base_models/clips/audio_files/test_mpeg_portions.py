"""An MP3 is decoded as a whole, in whatever portions and from wherever it is read."""

import numpy as np
import pytest
import soundfile
from builders import music

from base_models.clips.audio import decode_audio

RATE = 44_100
SECONDS = 32


@pytest.fixture(scope="module")
def tune(tmp_path_factory):
    """A tune whose frames are small, so that they take bits from those before."""
    path = tmp_path_factory.mktemp("mp3") / "tune.mp3"
    channels = [music(SECONDS, RATE, seed) for seed in (0, 2)]
    soundfile.write(path, np.stack(channels, axis=1), RATE)
    return path


def whole(path):
    """Mono samples of a file that is decoded in one go."""
    samples, _ = soundfile.read(path, dtype="float32")
    return samples.mean(axis=1)


def test_portions_of_an_mp3_are_those_of_the_whole_decoding(tune):
    samples, _ = decode_audio(tune, SECONDS)
    np.testing.assert_allclose(samples, whole(tune), atol=1e-6)


@pytest.mark.parametrize("start", [0.01, 0.5, 1, 3.7, 10.403, 22.222, 30])
def test_a_segment_of_an_mp3_begins_as_the_whole_decoding_has_it(tune, start):
    samples, _ = decode_audio(f"{tune}#t={start:g},{start + 1:g}")
    first = round(start * RATE)
    expected = whole(tune)[first : first + len(samples)]
    assert len(samples) == RATE
    np.testing.assert_allclose(samples, expected, atol=1e-6)
