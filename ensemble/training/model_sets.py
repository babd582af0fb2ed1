"""Sets of base models by name: the paper's, and one for small listening tests."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from base_models.encoders import EncoderSpec, known_encoders, parse_encoder
from base_models.encoders.libraries import missing_libraries
from base_models.encoders.weights import missing_files
from base_models.errors import UsageError
from base_models.pooled_config import POOLED_MODELS
from ensemble.training.encoder_choice import EncoderChoice, EncoderWords

PAPER_MODELS = ("dora", "dora_coral:2", "dora_decoupled:2")
"""The base models of DORA-MOS, section III.D."""
PAPER_MODELS_WITHOUT_TEXT = ("dora", "dora_coral:2")
SMALL = "small"
"""Name of the set for listening tests of less than `SMALL_BELOW` rated clips."""
SMALL_BELOW = 500
SMALL_FOLDS = 5
"""Folds in which the training split is predicted, where the set is trained."""
SMALL_SPLIT = (0.85, 0.0, 0.15)
"""Shares of train, dev and test where the data gives no splits: a stack is fitted on
out-of-fold predictions, so that no clip is spent on a dev split."""
NEURAL_OF_SMALL = "dora:1"
"""The network of the set, on one of its encoders.

One alone, since it takes more time than all regressors and adds least to the stack.
"""


@dataclass(frozen=True)
class ModelSet:
    """Base models by name, and the encoders that they use.

    Parameters
    ----------
    words : tuple of str
        As `plan_models` takes them.
    encoders : EncoderChoice
    """

    words: tuple[str, ...]
    encoders: EncoderChoice


def expand_sets(
    models: Sequence[str] | None, encoders: EncoderChoice, with_text: bool
) -> tuple[list[str] | None, EncoderChoice]:
    """Replace the name of a set among models by the models of the set.

    Parameters
    ----------
    models : sequence of str or None
        Words of ``--models``.
    encoders : EncoderChoice
        Encoders that the user names.
    with_text : bool
        Whether some aspect is judged by text.

    Returns
    -------
    models : list of str, or None where none is named
    encoders : EncoderChoice
        With the text encoders that the models of the set use.

    Raises
    ------
    UsageError
        when the set bears a count or an encoder.
    """
    if models is None:
        return None, encoders
    words: list[str] = []
    for word in models:
        if word != SMALL:
            if re.split("[:@]", word)[0] == SMALL:
                raise UsageError(
                    f"'{word}': '{SMALL}' is a set of models and stands without a "
                    "count or an encoder; --audio-encoder chooses its encoders."
                )
            words.append(word)
            continue
        small = small_set(encoders, with_text)
        words += small.words
        encoders = small.encoders
    return words, encoders


def small_set(encoders: EncoderChoice, with_text: bool) -> ModelSet:
    """The pooled regressors on every encoder at hand, and one network.

    An encoder is at hand when it is named, its weights are in a named folder, or
    nothing has to be fetched for it.

    Parameters
    ----------
    encoders : EncoderChoice
        Encoders that the user names; one that is for every model is the only one.
    with_text : bool
        Whether some aspect is judged by text.
    """
    if encoders.audio.for_all:
        audio_of_word = dict.fromkeys(
            (*(f"{model}:1" for model in POOLED_MODELS), NEURAL_OF_SMALL),
            encoders.audio.for_all,
        )
    else:
        at_hand = _at_hand(encoders.audio)
        audio_of_word = {
            f"{model}@{audio}:1": audio for audio in at_hand for model in POOLED_MODELS
        }
        preset, _, count = NEURAL_OF_SMALL.partition(":")
        audio = _neural_encoder(at_hand)
        audio_of_word[f"{preset}@{audio}:{count}"] = audio

    words = tuple(audio_of_word)
    if not with_text or encoders.text.for_all:
        return ModelSet(words, encoders)
    for_preset = dict(encoders.text.for_preset)
    text_at_hand = _at_hand(encoders.text)
    for word, audio in audio_of_word.items():
        name, _, _ = word.partition(":")
        for_preset.setdefault(name, _text_beside(audio, text_at_hand))
    text = replace(encoders.text, for_preset=for_preset)
    return ModelSet(words, replace(encoders, text=text))


def _at_hand(words: EncoderWords) -> list[str]:
    """Encoders of a kind that can be used at once, those with weights first."""
    if words.each:
        return [parse_encoder(word)[0] for word in words.each]
    specs = [
        spec for spec in known_encoders().specs.values() if spec.kind == words.kind
    ]
    usable = [
        spec for spec in specs if spec.name in words.folders or _is_usable_offline(spec)
    ]
    usable.sort(key=lambda spec: spec.embedded)
    return [spec.name for spec in usable]


def _is_usable_offline(spec: EncoderSpec) -> bool:
    # Of two encoders of the same weights one is enough.
    return not (spec.better or missing_libraries(spec) or missing_files(spec))


def _neural_encoder(at_hand: Sequence[str]) -> str:
    """The audio encoder of the network: a large one, or else a cheap one.

    What a network learns from a light encoder's many frames is not worth its time.
    """
    specs = known_encoders().specs
    large = [name for name in at_hand if specs[name].repository]
    cheap = [name for name in at_hand if specs[name].embedded]
    return [*large, *cheap, *at_hand][0]


def _text_beside(audio: str, at_hand: Sequence[str]) -> str:
    """The text encoder for models over an audio encoder.

    That of the same space where it is at hand, which makes clip and prompt comparable.
    """
    specs = known_encoders().specs
    name, _ = parse_encoder(audio)
    space = specs[name].space
    for text in at_hand:
        if space and specs[text].space == space:
            return text
    return at_hand[0]
