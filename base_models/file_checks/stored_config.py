"""``config.json`` of a base model: the few values that a file may choose.

A stack may come from anywhere, and what its files say becomes parameters of a model
that is made here. Each key is named below with what it may be. No file can name a
place to write to, a device, a function to call, or a store: those are the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MOST_ASPECTS = 1_000
"""Each has a head of its own in a network, which is built before weights are read."""
MOST_DIMENSIONS = 65_536
"""Width of an embedding; that of the widest encoder here is 2,048."""
MOST_FRAMES_PER_SECOND = 1e6
_PRECISIONS = ("float32", "bfloat16", "tf32")
"""Of encoders; see `base_models.precision`, which is of a later level."""
_MOST_WORD = 4_096
"""Characters of an encoder's name and folder, as many as a path may have."""


@dataclass(frozen=True)
class StoredConfig:
    """What ``config.json`` of a base model says, checked.

    Parameters
    ----------
    params : mapping
        Parameters of the model, some of those that `PARAMETERS` names.
    config : mapping
        Values of the config, which its own class checks.
    aspects : tuple of str
    needs_text : tuple of bool, one per aspect
    encoders : dict
        Facts of each encoder by its kind, see `ClipModel.encoders_`.
    trained_on, selected_on : frozenset of str
        Ids of clips.
    """

    params: Mapping[str, Any]
    config: Mapping[str, Any]
    aspects: tuple[str, ...]
    needs_text: tuple[bool, ...]
    encoders: dict[str, dict[str, Any]]
    trained_on: frozenset[str]
    selected_on: frozenset[str]

    @classmethod
    def parse(cls, facts: Any) -> StoredConfig:
        """Check the parsed JSON of a file.

        Raises
        ------
        KeyError
            when a value is missing.
        TypeError
            when one is of another kind, or a parameter is not among `PARAMETERS`; says
            which and what is legal.
        """
        _require(isinstance(facts, dict), "the file", "a mapping", facts)
        aspects = _texts(facts["aspects"], "'aspects'")
        _require(
            0 < len(aspects) <= MOST_ASPECTS and len(set(aspects)) == len(aspects),
            "'aspects'",
            f"1 to {MOST_ASPECTS:,} different names",
            aspects,
        )
        needs_text = facts["needs_text"]
        _require(
            isinstance(needs_text, list)
            and len(needs_text) == len(aspects)
            and all(isinstance(needed, bool) for needed in needs_text),
            "'needs_text'",
            "true or false for each aspect",
            needs_text,
        )
        config = facts["config"]
        _require(isinstance(config, dict), "'config'", "a mapping", config)
        return cls(
            params=checked_params(facts["params"], PARAMETERS),
            config=config,
            aspects=tuple(aspects),
            needs_text=tuple(needs_text),
            encoders=_encoders(facts["encoders"], any(needs_text)),
            trained_on=frozenset(_texts(facts["trained_on"], "'trained_on'")),
            selected_on=frozenset(_texts(facts["selected_on"], "'selected_on'")),
        )


def checked_params(
    params: Any, legal: Mapping[str, tuple[Callable[[Any], bool], str]]
) -> dict[str, Any]:
    """Parameters from a file, each of a name and kind that may come from there.

    Parameters
    ----------
    params : as parsed
    legal : name to whether a value is legal, and the words for such values

    Raises
    ------
    TypeError
        naming what is not legal.
    """
    _require(isinstance(params, dict), "'params'", "a mapping", params)
    for name, value in params.items():
        if name not in legal:
            raise TypeError(
                f"'params' sets {name[:60]!r}, which no file may choose; those that it "
                f"may are {', '.join(legal)}"
            )
        is_legal, words = legal[name]
        _require(is_legal(value), f"parameter '{name}'", words, value)
    return dict(params)


def _require(holds: bool, what: str, words: str, value: Any) -> None:
    if not holds:
        raise TypeError(f"{what} must be {words}; got {_shown(value)}")


def _shown(value: Any) -> str:
    """A value as a message shows it: in a line, and not all of a long one."""
    shown = ascii(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}… ({type(value).__name__})"


def _texts(values: Any, what: str) -> list[str]:
    is_list = isinstance(values, list) and all(isinstance(text, str) for text in values)
    _require(is_list, what, "a list of names", values)
    return list(values)


def _is_word(value: Any) -> bool:
    # A path that starts with two slashes is a machine of the network on some systems.
    return (
        isinstance(value, str)
        and 0 < len(value) <= _MOST_WORD
        and "\\" not in value
        and "=//" not in value
        and value.isprintable()
    )


def _is_seed(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**32


def _is_names(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MOST_ASPECTS
        and all(isinstance(name, str) for name in value)
    )


PARAMETERS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "audio_encoder": (_is_word, "the name of an encoder, or name=folder"),
    "text_encoder": (_is_word, "the name of an encoder, or name=folder"),
    "text_aspects": (_is_names, "a list of aspects"),
    "random_state": (_is_seed, "an integer in 0..2**32 - 1"),
}
"""Parameters of a base model that its file may choose: whether a value is legal, and
the words for such values."""


def _encoders(encoders: Any, needs_text: bool) -> dict[str, dict[str, Any]]:
    """Facts of the encoders; without a signature nothing would tell weights apart."""
    _require(isinstance(encoders, dict), "'encoders'", "a mapping", encoders)
    needed = {"audio", "text"} if needs_text else {"audio"}
    _require(
        needed <= set(encoders) <= {"audio", "text"},
        "'encoders'",
        f"those of {' and '.join(sorted(needed))}",
        sorted(encoders),
    )
    for kind, facts in encoders.items():
        what = f"the {kind} encoder"
        _require(isinstance(facts, dict), what, "a mapping", facts)
        for key in ("name", "signature"):
            _require(
                isinstance(facts[key], str) and facts[key] != "",
                f"'{key}' of {what}",
                "text",
                facts[key],
            )
        dim = facts["dim"]
        _require(
            type(dim) is int and 0 < dim <= MOST_DIMENSIONS,
            f"'dim' of {what}",
            f"a number from 1 to {MOST_DIMENSIONS:,}",
            dim,
        )
        rate = facts.get("frame_rate")
        is_rate = isinstance(rate, int | float) and not isinstance(rate, bool)
        _require(
            rate is None or (is_rate and 0 < rate <= MOST_FRAMES_PER_SECOND),
            f"'frame_rate' of {what}",
            "a positive number, or null",
            rate,
        )
        _require(
            isinstance(facts.get("standardised", False), bool),
            f"'standardised' of {what}",
            "true or false",
            facts.get("standardised"),
        )
        _require(
            facts.get("precision", _PRECISIONS[0]) in _PRECISIONS,
            f"'precision' of {what}",
            f"one of {', '.join(_PRECISIONS)}",
            facts.get("precision"),
        )
    return {kind: dict(facts) for kind, facts in encoders.items()}
