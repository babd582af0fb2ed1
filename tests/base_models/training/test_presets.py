"""Every preset by name: trained on the demo corpus for two epochs, it joins one stack
with all the others."""

import numpy as np
import pytest
import torch
from raters import ratings_for
from tiny_networks import embedded_model

from base_models.clips.demo.corpus import write_demo
from base_models.clips.read_clips import read_clips
from base_models.config import MODELS, BaseConfig
from base_models.encoders.store import EmbeddingStore
from base_models.errors import UsageError
from base_models.training.neural_mos import NeuralMOS
from ensemble.estimator.stacked_mos import StackedMOS

ASPECTS = ["mi", "ta"]
TABLES = {
    "DORA-MOS, Table I": ["dora_l1", "dora_ce", "dora"],
    "DORA-MOS, Table II": [
        f"dora{temporal}{mean}"
        for temporal in ("", "_mamba", "_bilstm")
        for mean in ("", "_mean")
    ],
    "DORA-MOS, Table III": [
        "clap_baseline",
        "muq_mulan",
        "dora",
        "dora_coral",
        "dora_decoupled",
    ],
    "WhisQ, Table II": [
        "whisq",
        "whisq_no_ot",
        "clap_baseline",
        "whisq_vanilla",
        "whisq_cross",
        "whisq_mlp",
        "whisq_wav2vec2_modernbert",
    ],
    "WhisQ, section V": ["whisq_gromov_wasserstein", "whisq_contrastive"],
    "MuQ-Eval and DeRA-MOS": ["muq_eval", "dera"],
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """16 and 8 clips, two splits of a small demo corpus, and a store for their
    embeddings."""
    folder = tmp_path_factory.mktemp("demo")
    clips = read_clips(write_demo(folder / "corpus", n_systems=4, n_prompts=8))
    parts = {
        split: clips[clips["split"] == split].reset_index(drop=True)
        for split in ("train", "dev")
    }
    return parts, EmbeddingStore(folder / "embeddings")


def fit(preset, demo, **settings):
    parts, store = demo
    model = embedded_model(preset, {"batch_size": 8} | settings, store=store)
    ratings = ratings_for(preset, parts["train"], ASPECTS)
    return model.fit(parts["train"], parts["train"][ASPECTS], ratings=ratings)


@pytest.fixture(scope="module")
def models(demo):
    return {preset: fit(preset, demo) for preset in MODELS}


def test_every_row_of_the_papers_tables_is_a_preset():
    for rows in TABLES.values():
        assert set(rows) <= set(MODELS)


@pytest.mark.parametrize("preset", MODELS)
def test_every_preset_trains_and_emits_valid_distributions(preset, models, demo):
    model, clips = models[preset], demo[0]["dev"]
    distributions = model.config_.bins.check(model.predict_distribution(clips), preset)
    assert distributions.shape == (len(clips), 2, 20)
    assert [record["epoch"] for record in model.history_] == [1, 2]
    assert np.ptp(model.predict(clips), axis=0).min() > 0


@pytest.mark.parametrize("preset", MODELS)
def test_every_preset_comes_back_from_its_files(preset, models, demo, tmp_path):
    parts, store = demo
    models[preset].save(tmp_path / "m")
    again = NeuralMOS.load(tmp_path / "m", store=store, device="cpu")
    np.testing.assert_array_equal(
        again.predict_distribution(parts["dev"]),
        models[preset].predict_distribution(parts["dev"]),
    )


def test_all_presets_join_one_stack(models, demo):
    clips = demo[0]["dev"]
    stack = StackedMOS(list(models.items()), cv="prefit").fit(clips, clips[ASPECTS])
    assert stack.transform(clips).shape == (len(clips), 2 * len(MODELS) * 20)
    distributions = stack.predict_distribution(clips)
    np.testing.assert_allclose(distributions.sum(-1), 1, atol=1e-12)
    assert stack.predict(clips).shape == (len(clips), 2)


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "preset", ["whisq", "dora_mamba", "dora_bilstm", "clap_baseline", "dera"]
)
def test_a_run_cut_off_after_an_epoch_and_resumed_ends_as_if_it_never_had_been(
    preset, demo, tmp_path
):
    def stop(record):
        if record["epoch"] == 1:
            raise Stop

    parts, store = demo
    settings = {"max_epochs": 3, "batch_size": 8}
    fixed = {
        "audio_encoder": "logmel",
        "text_encoder": "hashed_text",
        "device": "cpu",
        "store": store,
    }
    first = NeuralMOS(
        preset, settings, **fixed, checkpoint=tmp_path / "c", on_epoch=stop
    )
    with pytest.raises(Stop):
        first.fit(parts["train"], parts["train"][ASPECTS])
    seen = []
    resumed = NeuralMOS(
        preset, settings, **fixed, checkpoint=tmp_path / "c", on_epoch=seen.append
    )
    resumed.fit(parts["train"], parts["train"][ASPECTS])
    assert [record["epoch"] for record in seen] == [2, 3]
    whole = fit(preset, demo, max_epochs=3).model_.state_dict()
    assert all(
        torch.equal(tensor, whole[name])
        for name, tensor in resumed.model_.state_dict().items()
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bins": "endpoints"}, "settings: 'bins' is a group of settings"),
        ({"bins.gird": "endpoints"}, "Did you mean 'bins.grid'"),
        ({"sigmo": 0.3}, "Did you mean 'sigma'"),
    ],
)
def test_settings_in_python_follow_the_same_grammar(settings, message, demo):
    with pytest.raises(UsageError, match=message):
        fit("dora", demo, **settings)


def test_other_bins_reach_the_predictions(demo):
    model = fit("dora_coral_textbook", demo, **{"bins.count": 10})
    clips = demo[0]["dev"]
    assert model.predict_distribution(clips).shape == (len(clips), 2, 10)
    assert model.model_.aspect_heads()[0][-1].bias.shape == (9,)


def test_whisq_on_music_quality_alone_needs_no_prompt(demo):
    parts, store = demo
    train = parts["train"].drop(columns=["prompt", "ta"])
    settings = {"max_epochs": 2, "batch_size": 8}
    model = NeuralMOS(
        "whisq", settings, "logmel", "nonsense", device="cpu", store=store
    ).fit(train, train[["mi"]])
    assert model.predict_distribution(train).shape == (len(train), 1, 20)
    assert (
        BaseConfig.preset("whisq").alignment == "sinkhorn"
    )  # there is nothing to align, and that is no error
