"""The set for small listening tests: which models it has, and on which encoders."""

import pytest
from sklearn.base import clone

from base_models.config import BaseConfig
from base_models.encoders import ENCODERS
from base_models.errors import UsageError
from base_models.model_presets import ALL_MODELS, configured, read_preset
from base_models.pooled.pooled_mos import PooledMOS
from base_models.pooled_config import POOLED_MODELS, PooledConfig
from base_models.training.neural_mos import NeuralMOS
from ensemble import model_set
from ensemble.training import model_sets
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.model_sets import (
    PAPER_MODELS,
    expand_sets,
    small_set,
)
from ensemble.training.training_setup import ModelName, TrainingSetup, plan_models

LOGMEL = EncoderChoice.parse(["logmel"], ["hashed_text"])


@pytest.fixture
def at_hand(monkeypatch):
    """Say which encoders need nothing fetched."""

    def say(*names):
        monkeypatch.setattr(
            model_sets, "missing_files", lambda spec: spec.name not in names
        )
        monkeypatch.setattr(model_sets, "missing_libraries", lambda spec: ())

    return say


# the set


def test_one_encoder_has_every_regressor_and_two_neural_models():
    chosen = small_set(LOGMEL, with_text=True)
    assert chosen.words == (*(f"{name}:1" for name in POOLED_MODELS), "dora:1")
    assert chosen.encoders == LOGMEL


def test_every_encoder_at_hand_has_every_regressor(at_hand):
    at_hand("logmel", "basic_pitch", "hashed_text", "minilm")
    chosen = small_set(EncoderChoice(), with_text=True)
    pooled = [word for word in chosen.words if word.startswith("pooled")]
    assert set(pooled) == {
        f"{model}@{encoder}:1"
        for model in POOLED_MODELS
        for encoder in ("logmel", "basic_pitch")
    }
    # What a network learns from a light encoder's frames is not worth its time.
    assert [word for word in chosen.words if word not in pooled] == ["dora@logmel:1"]
    # A text encoder with weights goes before the one without.
    assert set(chosen.encoders.text.for_preset.values()) == {"minilm"}


def test_neural_models_read_a_large_encoder_where_there_is_one(at_hand):
    at_hand("logmel", "muq", "hashed_text")
    chosen = small_set(EncoderChoice(), with_text=False)
    assert "dora@muq:1" in chosen.words


def test_an_encoder_is_beside_the_text_encoder_of_its_space(at_hand):
    at_hand("logmel", "clap", "hashed_text", "minilm", "clap_text")
    chosen = small_set(EncoderChoice(), with_text=True)
    text = chosen.encoders.text.for_preset
    assert text["pooled_gp@clap"] == "clap_text"
    assert ENCODERS["clap"].space == ENCODERS["clap_text"].space != ""


def test_encoders_that_are_named_are_the_only_ones(at_hand):
    at_hand("logmel", "basic_pitch", "muq", "hashed_text")
    named = EncoderChoice.parse(["logmel", "basic_pitch"], ["hashed_text"])
    chosen = small_set(named, with_text=True)
    encoders = {word.partition("@")[2].partition(":")[0] for word in chosen.words}
    assert encoders == {"logmel", "basic_pitch"}
    # A folder says where weights lie, so that they are at hand.
    located = EncoderChoice.parse(["muq=/a", "clap=/b"])
    chosen = small_set(located, with_text=False)
    assert {"pooled_gp@muq:1", "pooled_gp@clap:1"} <= set(chosen.words)


def test_an_encoder_without_its_library_or_weights_is_not_at_hand(monkeypatch):
    monkeypatch.setattr(model_sets, "missing_files", lambda spec: ())
    monkeypatch.setattr(
        model_sets,
        "missing_libraries",
        lambda spec: ("onnxruntime",) if spec.name == "basic_pitch" else (),
    )
    words = small_set(EncoderChoice(), with_text=False).words
    assert not any("basic_pitch" in word for word in words)
    # Of two encoders of the same weights one is enough.
    second = [name for name, spec in ENCODERS.items() if spec.better]
    assert second
    assert not any(f"@{name}:" in word for word in words for name in second)


def test_a_set_is_expanded_among_other_words():
    words, encoders = expand_sets(["dora_l1:1", "small"], LOGMEL, with_text=True)
    assert words == ["dora_l1:1", *small_set(LOGMEL, with_text=True).words]
    assert encoders == LOGMEL
    assert expand_sets(None, LOGMEL, with_text=True) == (None, LOGMEL)
    assert expand_sets(["whisq"], LOGMEL, with_text=True) == (["whisq"], LOGMEL)


def test_without_a_name_the_models_are_the_papers():
    assert PAPER_MODELS == ("dora", "dora_coral:2", "dora_decoupled:2")
    assert {name for name, _ in plan_models(None, 5)} == {
        "dora",
        "dora_coral",
        "dora_decoupled",
    }


# names and settings of its models


def test_a_name_may_say_its_encoder_and_keeps_it():
    setup = TrainingSetup(LOGMEL)
    assert setup.model("pooled_gp@basic_pitch").audio_encoder == "basic_pitch"
    assert setup.model("dora@basic_pitch").audio_encoder == "basic_pitch"
    assert setup.model("pooled_gp").audio_encoder == "logmel"
    located = EncoderChoice.parse(["muq=/a", "clap=/b"])
    assert TrainingSetup(located).model("pooled_gp@clap").audio_encoder == "clap=/b"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("pooled_gp@", "names no encoder; write 'pooled_gp@ENCODER'"),
        ("pooled_gp@logmell", "'logmell'.*logmel"),
        ("pooled_gp@minilm", "minilm"),
        ("pooled_gb@logmel", "'pooled_gb'.*pooled_gp"),
        ("@logmel", "preset ''"),
        ("pooled_gp@logmel:0", "count of at least 1"),
        ("smal", "'smal'"),
    ],
)
def test_wrong_words_are_refused_in_one_line(word, message):
    with pytest.raises(UsageError, match=message) as caught:
        plan_models([word], 1)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_a_model_named_twice_is_refused_on_one_encoder_and_not_on_two():
    with pytest.raises(UsageError, match="pooled_gp"):
        plan_models(["pooled_gp@logmel", "pooled_gp@logmel:1"], 1)
    plan = plan_models(["pooled_gp@logmel", "pooled_gp@basic_pitch"], 1)
    assert plan == [("pooled_gp@logmel", 0), ("pooled_gp@basic_pitch", 0)]
    assert ModelName.parse("dora") == ModelName("dora", "")


def test_a_setting_reaches_the_models_that_know_it():
    changes = {"max_epochs": 3, "inner_folds": 4}
    setup = TrainingSetup(LOGMEL, overrides=changes)
    models = {name: setup.model(name) for name in ("dora", "pooled_gp")}
    assert models["dora"].config.max_epochs == 3
    assert models["pooled_gp"].config.inner_folds == 4
    setup.check_used(models)
    with pytest.raises(UsageError, match="--set max_epochs: none of the models pooled"):
        setup.check_used({"pooled_gp": models["pooled_gp"]})
    with pytest.raises(UsageError, match="unknown key 'inner_fold'"):
        configured("pooled_gp", None, {"inner_fold": 4}, "--set")
    # Both families know the scale.
    both = {"bins.count": 10}
    assert {configured(name, None, both, "x").bins.count for name in models} == {10}


def test_pooled_models_have_no_training_settings():
    setup = TrainingSetup(LOGMEL, settings="embedded")
    assert setup.model("pooled_gp").settings is None
    assert setup.model("dora").settings == "embedded"
    with pytest.raises(UsageError, match="embedded"):
        read_preset("pooled_gp", "embedded")


@pytest.mark.parametrize("name", ALL_MODELS)
def test_every_preset_is_read_in_its_family(name):
    config = read_preset(name)
    assert isinstance(config, PooledConfig if name in POOLED_MODELS else BaseConfig)
    assert type(config).from_dict(config.to_dict(), "x") == config


def test_configs_of_two_families_have_different_signatures():
    assert PooledConfig().signature() != BaseConfig().signature()
    signatures = {read_preset(name).signature() for name in POOLED_MODELS}
    assert len(signatures) == len(POOLED_MODELS)


def test_runs_of_the_papers_models_keep_their_signatures():
    """Whoever has trained them must not train them again."""
    assert BaseConfig.preset("dora").signature() == "e0412cba54"
    assert BaseConfig.preset("dora", "embedded").signature() == "caaad6a89c"
    assert BaseConfig.preset("whisq").signature() == "7e1f2d8b56"


# for library users


def test_a_list_of_estimators_is_what_fit_base_would_train():
    models = model_set("small", "dora_l1:1", audio_encoder="logmel", with_text=False)
    names = [name for name, _ in models]
    assert names == [
        *(f"{preset}-s0" for preset in POOLED_MODELS),
        "dora-s0",
        "dora_l1-s0",
    ]
    for name, model in models:
        assert isinstance(model, PooledMOS if "pooled" in name else NeuralMOS)
        assert model.encoder_words()[0] == "logmel"
        assert model.random_state == int(name[-1])
        clone(model)
    assert len(model_set(audio_encoder="logmel")) == 9
    with pytest.raises(UsageError, match="'smal'"):
        model_set("smal")


def test_a_regressor_without_a_count_gets_one_seed():
    assert plan_models(["pooled_gp", "dora"], 2) == [
        ("pooled_gp", 0),
        ("dora", 0),
        ("dora", 1),
    ]
    assert len(plan_models(["pooled_forest@logmel:3"], 2)) == 3


def test_a_misspelt_set_is_suggested_and_its_name_is_no_preset():
    with pytest.raises(
        UsageError, match=r"Unknown preset 'smal'\. Did you mean 'small'"
    ):
        plan_models(["smal"], 1)
    with pytest.raises(UsageError, match="Unknown preset 'small'"):
        ModelName.parse("small")
