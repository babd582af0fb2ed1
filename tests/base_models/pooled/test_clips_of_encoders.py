"""PooledMOS on audio files and prompts, by the embedded encoders."""

import numpy as np
import pytest
from builders import RATE, clip_table, noises
from sklearn.base import clone

from base_models.clips.audio import load_audio
from base_models.encoders.base import Encoder
from base_models.errors import ClipError, UsageError
from base_models.pooled.pooled_mos import PooledMOS

ENCODERS = {"audio_encoder": "logmel", "text_encoder": "hashed_text"}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """12 clips of noise; ``mi`` follows their loudness."""
    k = np.arange(12)
    sounds = noises(10 ** (0.2 * k - 2.4), 0.3 + 0.02 * (5 * k % 12))
    folder = tmp_path_factory.mktemp("pooled")
    labels = {"mi": 1.3 + 0.3 * k, "ta": 4.7 - 0.3 * k}
    return clip_table(folder, sounds, systems=3, **labels)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def test_loudness_is_learnt_from_audio_files(clips, store, tmp_path):
    train = clips.iloc[::2]
    test = clips.iloc[1::2]
    model = PooledMOS("pooled_gp", **ENCODERS, store=store)
    model.fit(train, train[["mi", "ta"]])
    scores = model.predict(test)
    assert (np.diff(scores[:, 0]) > 0).all()
    assert {facts["name"] for facts in model.encoders_.values()} == {*ENCODERS.values()}

    model.save(tmp_path / "m")
    loaded = PooledMOS.load(tmp_path / "m", store=store)
    np.testing.assert_array_equal(loaded.predict(test), scores)
    again = clone(loaded).fit(train, train[["mi", "ta"]])
    np.testing.assert_allclose(again.predict(test), scores)


def test_a_preset_names_encoders_that_parameters_replace():
    assert PooledMOS().encoder_words() == ("muq", "roberta")
    assert PooledMOS(**ENCODERS).encoder_words() == tuple(ENCODERS.values())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_embedding_that_is_not_finite_is_refused_by_the_clips_name(
    value, clips, monkeypatch
):
    encode = Encoder.encode
    longest = max(len(load_audio(path, RATE)) for path in clips["audio"])

    def spoiling(self, batch):
        embeddings = encode(self, batch)
        if len(batch[0]) == longest:
            embeddings[:, 0, 0] = value
        return embeddings

    monkeypatch.setattr(Encoder, "encode", spoiling)
    model = PooledMOS(**ENCODERS, store=None)
    with pytest.raises(
        ClipError, match=r"c\d+.*its embedding by 'logmel' is not finite"
    ):
        model.fit(clips, clips["mi"])


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"random_state": -1}, "random_state must be an integer"),
        ({"preset": "pooled_knn"}, "preset 'pooled_knn'|no preset|pooled_svr"),
        ({"settings": {"max_epochs": 3}}, "unknown key 'max_epochs'"),
        ({"settings": {"inner_folds": 1}}, "inner_folds must be at least 2"),
        ({"settings": {"sigma": 0.0}}, "sigma must be positive"),
        ({"audio_encoder": "hashed_text"}, "hashed_text"),
    ],
)
def test_wrong_parameters_are_refused(params, reason, clips):
    with pytest.raises(UsageError, match=reason):
        PooledMOS(**ENCODERS | {"store": None} | params).fit(clips, clips["mi"])
