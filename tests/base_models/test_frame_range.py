import numpy as np
import pytest
from builders import SHARED_DATA, clip_table, noises, tunes

from base_models.encoders import load_encoder
from base_models.encoders.embed import embed_clips
from base_models.encoders.store import EmbeddingStore
from base_models.errors import DamagedArtifact
from base_models.frame_range import FrameRange
from base_models.vector_range import MOST

SPEECH = SHARED_DATA / "codec-listening-test" / "wav"


@pytest.fixture(scope="module")
def frames_of(tmp_path_factory):
    """Embeds waves, or the files of a table, with the encoder that needs no weights."""
    encoder = load_encoder("logmel", device="cpu")

    def embed(waves):
        folder = tmp_path_factory.mktemp("clips")
        return embed_clips(
            clip_table(folder, waves), EmbeddingStore(), encoder, text=None
        )[1].frames

    return embed


@pytest.fixture(scope="module")
def known(frames_of):
    return FrameRange.fit(frames_of(tunes(80, 2.0)))


def test_new_clips_like_the_training_clips_are_in_range(known, frames_of):
    assert np.mean(known.distances(frames_of(tunes(80, 2.0, seed=1))) > 1) <= 0.05


def test_silence_and_noise_are_far_from_music(known, frames_of):
    digital = [np.zeros(48_000)]
    quiet = noises([1e-4], 2.0)
    loud = noises([0.05, 0.3, 0.9], 2.0, seed=1)
    for waves in (digital, quiet, loud):
        assert (known.distances(frames_of(waves)) > 1.5).all()


@pytest.mark.skipif(not SPEECH.is_dir(), reason="the real speech is not here")
def test_speech_is_far_from_music(known, frames_of):
    import soundfile

    files = sorted(SPEECH.glob("*.wav"))[::8]
    speech = [soundfile.read(file)[0].mean(axis=1) for file in files]
    assert np.mean(known.distances(frames_of(speech)) > 1) > 0.9


def test_a_stored_range_is_read_bit_for_bit_and_a_damaged_one_is_refused(
    known, frames_of
):
    arrays = known.to_arrays()
    frames = frames_of(tunes(3, 2.0, seed=2))
    dim = frames[0].shape[1]
    again = FrameRange.from_arrays(arrays, dim, "here")
    np.testing.assert_array_equal(again.distances(frames), known.distances(frames))
    assert again.distances([]).shape == (0,)
    with pytest.raises(DamagedArtifact, match=r"^here: 'axes' is no array of a range"):
        FrameRange.from_arrays(arrays | {"axes": np.zeros(3)}, dim, "here")
    with pytest.raises(DamagedArtifact, match=r"^here: the range"):
        FrameRange.from_arrays(arrays, dim + 1, "here")


def test_too_few_clips_have_no_range(frames_of):
    assert FrameRange.fit(frames_of(tunes(5, 2.0))) is None


class ReadFrames(list):
    """Frames of clips that are noted when they are read."""

    def __init__(self, frames):
        super().__init__(frames)
        self.read = []

    def __getitem__(self, row):
        if isinstance(row, int):
            self.read.append(row)
        return super().__getitem__(row)


def test_of_many_clips_only_those_are_read_that_count():
    rng = np.random.default_rng(0)
    frames = ReadFrames(rng.normal(size=(2_500, 3, 4)).astype(np.float16))
    fitted = FrameRange.fit(frames)
    read = list(frames.read)
    assert len(read) == MOST
    assert read == sorted(set(read))
    assert {0, 2_499} <= set(read)

    chosen = FrameRange.fit([frames[row] for row in read])
    assert fitted.to_arrays().keys() == chosen.to_arrays().keys()
    for name, array in fitted.to_arrays().items():
        assert array.tobytes() == chosen.to_arrays()[name].tobytes()
    alone = [fitted.distances([clip]) for clip in frames[::100]]
    np.testing.assert_allclose(fitted.distances(frames)[::100], np.concatenate(alone))
