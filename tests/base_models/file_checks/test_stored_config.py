"""Laws of what a file may choose of a base model."""

import copy

import pytest

from base_models.file_checks.stored_config import (
    MOST_ASPECTS,
    MOST_DIMENSIONS,
    PARAMETERS,
    StoredConfig,
)

GOOD = {
    "params": {
        "audio_encoder": "muq=/weights/muq",
        "text_encoder": "roberta",
        "text_aspects": ["ta"],
        "random_state": 3,
    },
    "config": {"name": "dora"},
    "aspects": ["mi", "ta"],
    "needs_text": [False, True],
    "encoders": {
        "audio": {"name": "muq", "signature": "m", "dim": 8, "frame_rate": 25.0},
        "text": {"name": "roberta", "signature": "r", "dim": 4, "frame_rate": None},
    },
    "trained_on": ["a"],
    "selected_on": [],
}


def changed(*path, value):
    facts = copy.deepcopy(GOOD)
    inner = facts
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return facts


def test_what_this_version_writes_is_read_as_it_is():
    stored = StoredConfig.parse(GOOD)
    assert stored.params == GOOD["params"]
    assert stored.aspects == ("mi", "ta")
    assert stored.needs_text == (False, True)
    assert stored.encoders == GOOD["encoders"]
    assert stored.trained_on == frozenset({"a"})


@pytest.mark.parametrize(
    "name",
    ["checkpoint", "store", "device", "on_epoch", "preset", "settings", "__class__"],
)
def test_no_file_names_a_place_to_write_a_device_or_a_function(name):
    facts = changed("params", name, value="/etc/passwd")
    legal = ", ".join(PARAMETERS)
    with pytest.raises(
        TypeError, match=rf"'params' sets '{name}', which no file may.*{legal}"
    ):
        StoredConfig.parse(facts)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("params",), [], "'params' must be a mapping"),
        (("params", "random_state"), True, "'random_state' must be an integer in 0"),
        (("params", "random_state"), -1, "'random_state' must be an integer in 0"),
        (("params", "audio_encoder"), None, "'audio_encoder' must be the name"),
        (("params", "audio_encoder"), "muq=//host/a", "'audio_encoder' must be the"),
        (("params", "audio_encoder"), r"muq=\\host\a", "'audio_encoder' must be the"),
        (("params", "text_encoder"), "x" * 5000, "'text_encoder' must be the name"),
        (("params", "text_aspects"), "ta", "'text_aspects' must be a list"),
        (("config",), None, "'config' must be a mapping; got None"),
        (("aspects",), ["mi", "mi"], "'aspects' must be 1 to 1,000 different"),
        (("aspects",), [], "'aspects' must be 1 to"),
        (("aspects",), "mi", "'aspects' must be a list of names"),
        (("aspects",), [1, 2], "'aspects' must be a list of names"),
        (("needs_text",), [True], "'needs_text' must be true or false for each"),
        (("needs_text",), [0, 1], "'needs_text' must be true or false for each"),
        (("encoders",), {}, "'encoders' must be those of audio and text"),
        (("encoders", "video"), {}, "'encoders' must be those of audio and text"),
        (("encoders", "audio"), 5, "the audio encoder must be a mapping"),
        (("encoders", "audio", "signature"), "", "'signature' of the audio encoder"),
        (("encoders", "audio", "name"), ["muq"], "'name' of the audio encoder must"),
        (("encoders", "audio", "dim"), 10**9, "'dim' of the audio encoder must be a"),
        (("encoders", "audio", "dim"), 8.0, "'dim' of the audio encoder must be a"),
        (("encoders", "audio", "dim"), True, "'dim' of the audio encoder must be a"),
        (("encoders", "text", "frame_rate"), 0, "'frame_rate' of the text encoder"),
        (("encoders", "text", "standardised"), 1, "'standardised' of the text"),
        (("trained_on",), {"a": 1}, "'trained_on' must be a list of names"),
        (("selected_on",), [["a"]], "'selected_on' must be a list of names"),
    ],
)
def test_a_value_of_another_kind_is_named_with_what_is_legal(path, value, words):
    with pytest.raises(TypeError, match=words):
        StoredConfig.parse(changed(*path, value=value))


@pytest.mark.parametrize("key", sorted(GOOD))
def test_a_missing_value_is_named(key):
    facts = {name: value for name, value in GOOD.items() if name != key}
    with pytest.raises(KeyError, match=key):
        StoredConfig.parse(facts)


def test_an_encoder_that_the_aspects_need_may_not_be_left_out():
    facts = changed("encoders", value={"audio": GOOD["encoders"]["audio"]})
    with pytest.raises(TypeError, match="'encoders' must be those of audio and text"):
        StoredConfig.parse(facts)


def test_what_would_be_built_is_bounded_before_it_is_built():
    many = [f"a{k}" for k in range(MOST_ASPECTS + 1)]
    with pytest.raises(TypeError, match=r"'aspects' must be.*… \(list\)"):
        StoredConfig.parse(changed("aspects", value=many))
    wide = changed("encoders", "audio", "dim", value=MOST_DIMENSIONS + 1)
    with pytest.raises(TypeError, match="from 1 to 65,536; got 65537"):
        StoredConfig.parse(wide)
