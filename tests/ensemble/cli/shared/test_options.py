"""The grammar of ``--set``, on a command line and in a file of options."""

import re

import pytest

from base_models.bins import ScoreBins
from base_models.config import BaseConfig
from base_models.errors import UsageError
from ensemble.cli.fit_base import _parser
from ensemble.cli.shared.options import parse_settings

TYPED = {
    "max_epochs=20": 20,
    "learning_rate=1e-4": 1e-4,
    "sigma=0.3": 0.3,
    "decoupled=true": True,
    "select_on=srcc": "srcc",
    'select_on="srcc"': "srcc",
    "name=a=b": "a=b",
    "name=1\nsigma = 2": "1\nsigma = 2",
    "bins.grid=endpoints": "endpoints",
    "bins.count=10": 10,
}


@pytest.mark.parametrize("word", TYPED)
def test_a_value_is_as_in_toml_and_a_bare_word_is_text(word):
    (value,) = parse_settings([word]).values()
    assert value == TYPED[word]
    assert type(value) is type(TYPED[word])


def test_no_words_are_no_settings():
    assert parse_settings(None) == parse_settings([]) == {}


@pytest.mark.parametrize("word", ["", "=", "sigma", "sigma=", "=0.3", "sigma= ", 5])
def test_a_word_of_another_form_is_refused_with_an_example(word):
    with pytest.raises(
        UsageError, match=re.escape(f"bins.grid=endpoints; got '{word}'")
    ):
        parse_settings([word])


def test_a_key_that_is_named_twice_is_refused():
    with pytest.raises(UsageError, match="--set names 'sigma' twice"):
        parse_settings(["sigma=0.3", "max_epochs=2", "sigma=0.4"])


@pytest.mark.parametrize(
    "text",
    [
        "set:\n  - bins.count=10\n  - bins.grid=endpoints\n  - learning_rate=1e-4",
        "set:\n  bins:\n    count: 10\n    grid: endpoints\n  learning_rate: 1e-4",
        "set: {bins.count: 10, bins.grid: endpoints, learning_rate: 1e-4}",
    ],
    ids=["words", "groups", "dotted"],
)
def test_a_file_of_options_has_the_same_grammar_or_mappings(text, tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text(text)
    settings = parse_settings(_parser().parse_args(["--config", str(path)]).set)
    config = BaseConfig().updated(settings, "--set")
    assert config.bins == ScoreBins(count=10, grid="endpoints")
    assert config.learning_rate == 1e-4


def test_one_word_of_a_file_of_options_may_stand_alone(tmp_path):
    path = tmp_path / "options.yaml"
    path.write_text("set: sigma=0.3")
    settings = parse_settings(_parser().parse_args(["--config", str(path)]).set)
    assert settings == {"sigma": 0.3}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bins=endpoints", "'bins' is a group .* e.g. bins.grid=endpoints"),
        ("bins.gird=endpoints", "Did you mean 'bins.grid'"),
        ("bins.grid=endpoint", "Did you mean 'endpoints'"),
        ("bins.count=ten", "'bins.count' must be a whole number; got 'ten'"),
        ("grid=endpoints", "Did you mean 'bins.grid'"),
        ("sigma=0,3", "'sigma' must be a number; got '0,3'"),
        ("decoupled=True", "'decoupled' must be true or false; got 'True'"),
        ("max_epochs=1e2", "'max_epochs' must be a whole number; got 100.0"),
        ("select_on=3", "'select_on' must be text; got 3"),
        ("learning_rat=1", "Did you mean 'learning_rate'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused_with_the_cure(word, message):
    with pytest.raises(UsageError, match=message):
        BaseConfig().updated(parse_settings([word]), "--set")
