"""NaN and infinity stop at six gates, from the samples of a clip to its score."""

import numpy as np
import pytest
import soundfile
import torch
from builders import RATE, clip_table, noises, prediction_tables, rows_of_tables, tones
from tiny_networks import embedded_model

from base_models.bins import ScoreBins
from base_models.clips.audio import load_audio, probe
from base_models.encoders import load_encoder
from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, DamagedArtifact, StackedMOSError, UsageError
from base_models.predictions import PredictionTable
from meta.learners.base import check_features
from meta.learners.ridge import Ridge
from meta.regressor import MetaRegressor

NOT_FINITE = pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
LABELS = np.random.default_rng(0).uniform(1, 5, (40, 2))
TABLES = prediction_tables(LABELS, ["good", "noisy"])


@NOT_FINITE
def test_samples_that_are_not_finite_set_their_clip_aside(tmp_path, value):
    (sound,) = tones(1)
    sound[5000] = value
    path = tmp_path / "a.wav"
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    for read in (probe, lambda path: load_audio(path, RATE)):
        with pytest.raises(ClipError, match=r"NaN or infinite samples near 0\.0 s"):
            read(path)


@NOT_FINITE
def test_an_embedding_that_is_not_finite_sets_its_clip_aside(
    tmp_path, monkeypatch, value
):
    table = clip_table(tmp_path, tones(3, pitches=3))
    paths = dict(zip(table["clip_id"], table["audio"], strict=True))
    encoder = load_encoder("logmel")
    encode = Encoder.encode

    n_encoded = 0

    def spoil_first(self, batch):
        nonlocal n_encoded
        embeddings = np.array(encode(self, batch))
        if n_encoded == 0:
            embeddings[0, 0, 0] = value
        n_encoded += len(batch)
        return embeddings

    monkeypatch.setattr(Encoder, "encode", spoil_first)
    store = EmbeddingStore(tmp_path / "store")
    keys, set_aside = store.fill(encoder, paths)
    assert len(keys) == 2
    assert [clip.reason for clip in set_aside] == [
        "its embedding by 'logmel' is not finite"
    ]
    assert len(list((tmp_path / "store").rglob("*.safetensors"))) == 2


@NOT_FINITE
def test_logits_that_are_not_finite_stop_training_and_predicting(tmp_path, value):
    table = clip_table(tmp_path, noises(np.full(8, 0.1), 0.3), mi=np.linspace(1, 5, 8))
    model = embedded_model(store=tmp_path / "store").fit(table, table["mi"])
    weights = next(model.model_.parameters())
    weights.data.fill_(value)
    with pytest.raises(DamagedArtifact, match="The network gave NaN or infinity"):
        model.predict(table)

    def spoil(module, inputs, outputs):
        return outputs * value if isinstance(outputs, torch.Tensor) else outputs

    with torch.nn.modules.module.register_module_forward_hook(spoil):
        fresh = embedded_model(store=tmp_path / "store")
        with pytest.raises(StackedMOSError, match="Training diverged"):
            fresh.fit(table, table["mi"])


@NOT_FINITE
def test_a_distribution_that_is_not_finite_is_no_prediction(value):
    bins = ScoreBins()
    distributions = np.full((3, 1, bins.count), 1 / bins.count)
    distributions[1, 0, 7] = value
    with pytest.raises(UsageError, match="'dora': a distribution holds NaN, infinity"):
        PredictionTable("dora", ("a", "b", "c"), ("mi",), distributions)
    with pytest.raises(UsageError, match="Scores to soften must be finite"):
        bins.soften(np.array([3.0, value]), 0.35)


@NOT_FINITE
def test_features_that_are_not_finite_are_neither_learnt_from_nor_predicted_from(value):
    fitted = MetaRegressor("ridge").fit(TABLES, rows_of_tables(TABLES, LABELS))
    features = np.full((2, fitted.layout_.n_features), 0.05)
    features[1, 3] = value
    ridge = fitted.learners_[0]
    assert isinstance(ridge, Ridge)
    for use in (
        lambda: check_features(fitted.layout_, features),
        lambda: ridge.predict(features),
        lambda: Ridge().fit(features, [3.0, 4.0], fitted.layout_),
    ):
        with pytest.raises(UsageError, match="must be finite; found NaN or infinity"):
            use()


@NOT_FINITE
def test_a_score_that_is_not_finite_is_given_to_nobody(monkeypatch, value):
    fitted = MetaRegressor("ridge").fit(TABLES, rows_of_tables(TABLES, LABELS))
    predict = Ridge.predict

    def spoil(self, features):
        scores = np.array(predict(self, features))
        scores[2] = value
        return scores

    monkeypatch.setattr(Ridge, "predict", spoil)
    for give in (fitted.predict, fitted.predict_distribution):
        with pytest.raises(
            UsageError, match="The learner gave NaN or infinity as mi of clip 'c002'"
        ):
            give(TABLES)
