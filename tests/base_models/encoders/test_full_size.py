"""The full sizes of the encoders agree with what is published of their weights."""

import pytest

from base_models.encoders.full_size import FULL_SIZE, count_full_size
from base_models.encoders.full_size_costs import full_size_cost, full_size_costs
from base_models.encoders.specs import SPECS
from base_models.errors import UsageError

# The network of basic_pitch is a finished graph, whose layers cannot be counted.
PUBLISHED = [spec for spec in SPECS if not spec.embedded and spec.name != "basic_pitch"]
MEGABYTES_OF = {
    # The whole download is this encoder, in float32.
    "mert": ("mert",),
    "wav2vec2": ("wav2vec2",),
    "roberta": ("roberta",),
    "modernbert": ("modernbert",),
    "minilm": ("minilm",),
    # One download holds both towers.
    "clap": ("clap", "clap_text"),
}


def test_every_encoder_with_weights_has_its_full_size_stated():
    assert set(FULL_SIZE) == {spec.name for spec in PUBLISHED}
    assert set(full_size_costs()) == set(FULL_SIZE)


@pytest.mark.parametrize("name", FULL_SIZE)
def test_the_file_of_costs_holds_what_is_counted(name):
    """After a change, ``python -m base_models.encoders.full_size`` writes it anew."""
    assert full_size_cost(name) == count_full_size(name)


@pytest.mark.parametrize("spec", PUBLISHED, ids=lambda spec: spec.name)
def test_an_embedding_of_full_size_is_as_the_spec_says(spec):
    counted = full_size_cost(spec.name)
    assert counted.shape[-1] == spec.dim
    assert counted.cost.macs > counted.cost.attention_macs >= 0
    if spec.kind == "audio":
        assert abs(counted.shape[1] - 30 * spec.frame_rate) <= 1


@pytest.mark.parametrize("download", MEGABYTES_OF)
def test_parameters_agree_with_the_size_of_the_download(download):
    (spec,) = [spec for spec in SPECS if spec.name == download]
    towers = [full_size_cost(name).cost for name in MEGABYTES_OF[download]]
    megabytes = sum(tower.parameters for tower in towers) * 4 / 1e6
    assert megabytes == pytest.approx(spec.megabytes, rel=0.01)


def test_parameters_are_those_that_are_published():
    for name, parameters in (
        ("whisper", 20_590_592),
        ("qwen3", 596_049_920),
        ("muq", 316_343_296),
    ):
        assert full_size_cost(name).cost.parameters == parameters
    # The frames are 3000 of mel, then 1500; two products within each of six layers.
    whisper = full_size_cost("whisper").cost
    linear = 6 * (4 * 512 * 512 + 2 * 512 * 2048) * 1500
    convolution = 80 * 512 * 3 * 3000 + 512 * 512 * 3 * 1500
    mel = 80 * 201 * 3000
    attention = 6 * 2 * 1500 * 1500 * 512
    assert whisper.macs == linear + convolution + mel + attention
    assert whisper.attention_macs == mel + attention


def test_an_encoder_of_unknown_size_is_refused():
    with pytest.raises(UsageError, match="Unknown encoder of known size 'logmel'"):
        full_size_cost("logmel")
