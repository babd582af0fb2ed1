import pytest

from base_models.config import BaseConfig
from base_models.errors import UsageError
from ensemble.training.encoder_choice import (
    EncoderChoice,
    EncoderWords,
    with_absolute_folder,
)

CONFIGS = {name: BaseConfig.preset(name) for name in ("dora", "whisq", "clap_baseline")}


def audio_of(words, preset):
    return EncoderChoice.parse(words).pair(preset, CONFIGS[preset])[0]


def test_every_preset_has_its_own_encoders_unless_others_are_named():
    choice = EncoderChoice.parse()
    pairs = {name: choice.pair(name, config) for name, config in CONFIGS.items()}
    assert pairs == {
        "dora": ("muq", "roberta"),
        "whisq": ("whisper_padded", "qwen3"),
        "clap_baseline": ("clap", "clap_text"),
    }


@pytest.mark.parametrize(
    ("words", "dora", "whisq"),
    [
        (["logmel"], "logmel", "logmel"),
        (["muq=/w"], "muq=/w", "muq=/w"),
        (["whisq=logmel"], "muq", "logmel"),
        (["logmel", "whisq=mert=/m"], "logmel", "mert=/m"),
        (["muq=/w", "whisper_padded=/v"], "muq=/w", "whisper_padded=/v"),
        (["muq=/w", "mert=/m", "whisq=mert"], "muq=/w", "mert=/m"),
    ],
)
def test_words_replace_all_encoders_or_one_or_say_where_weights_lie(words, dora, whisq):
    assert (audio_of(words, "dora"), audio_of(words, "whisq")) == (dora, whisq)


def test_a_name_of_both_a_preset_and_an_encoder_is_told_by_what_follows():
    of_preset = EncoderChoice.parse(["muq_mulan=logmel"]).audio
    of_weights = EncoderChoice.parse(["muq_mulan=/w"]).audio
    assert dict(of_preset.for_preset) == {"muq_mulan": "logmel"}
    assert of_weights.for_all == "muq_mulan=/w"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["logmell"], "Did you mean 'logmel'"),
        (["roberta"], "encodes text"),
        (["whisq=roberta"], "encodes text"),
        (["muq=/a", "muq=/b"], "names 'muq' twice"),
        (["whisq=logmel", "whisq=mert"], "encoder of 'whisq' twice"),
        (["dorra=logmel"], "Unknown encoder 'dorra'"),
        (["/weights/muq"], "write NAME=FOLDER, such as 'muq=/weights/muq'"),
    ],
)
def test_words_that_contradict_each_other_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        EncoderChoice.parse(words)


def test_several_encoders_are_for_a_set_of_models_alone():
    choice = EncoderChoice.parse(["muq", "whisper=/v"])
    assert choice.audio.each == ("muq", "whisper=/v")
    with pytest.raises(UsageError, match="several are for a set such as --models sma"):
        choice.pair("dora", BaseConfig.preset("dora"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dora_l1=logmel"], "no model of 'dora_l1' is trained; the models are dora"),
        (["muq=/a", "mert=/b"], "no model uses 'mert'; the encoders are clap, muq"),
    ],
)
def test_words_that_no_model_reads_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        EncoderChoice.parse(words).check_used(CONFIGS)


def test_folders_are_made_absolute_and_names_are_left_alone(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ["logmel", "muq=w", "whisq=logmel", "whisq=whisper=v"]
    assert [with_absolute_folder(word) for word in words] == [
        "logmel",
        f"muq={tmp_path}/w",
        "whisq=logmel",
        f"whisq=whisper={tmp_path}/v",
    ]


def test_the_one_encoder_that_is_named_lies_there_for_models_that_name_it_too():
    words = EncoderWords.parse(["muq=/weights"], "audio")
    assert words.encoder_of("dora", own="muq") == "muq=/weights"
    assert words.with_folder("muq") == "muq=/weights"
