"""Base models by name, as a library user passes them to a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from base_models.pooled_config import PooledConfig
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.model_sets import expand_sets
from ensemble.training.training_setup import TrainingSetup, plan_models

SEEDS = 5
"""Seeds of a name without a count."""


def model_set(
    *names: str,
    audio_encoder: str | Sequence[str] | None = None,
    text_encoder: str | Sequence[str] | None = None,
    with_text: bool = True,
    store: Any = None,
) -> list[tuple[str, Any]]:
    """List unfitted base models by name, for `StackedMOS`.

    Parameters
    ----------
    *names : str
        As ``fit_base --models`` takes them: presets such as ``"dora:2"``, with their
        encoder such as ``"pooled_gp@logmel"``, or the set ``"small"``, for less than
        500 rated clips. Without any, the nine of DORA-MOS, section III.D.
    audio_encoder, text_encoder : str, sequence of str or None
        As ``fit_base --audio-encoder`` takes them; None leaves the models their own,
        and the set ``"small"`` every encoder that is at hand.
    with_text : bool
        Whether some aspect is judged by text.
    store : str, Path, EmbeddingStore or None
        Where embeddings are kept; None leaves it to the models.

    Returns
    -------
    estimators : list of (name, `NeuralMOS` or `PooledMOS`)

    Raises
    ------
    UsageError
        when a name or an encoder is unknown.

    Examples
    --------
    >>> models = model_set("small", audio_encoder="logmel", with_text=False)
    >>> [name for name, _ in models][:3]
    ['pooled_forest-s0', 'pooled_gp-s0', 'pooled_ridge-s0']
    """
    # Imported here, since torch takes seconds to load and matrices need none of it.
    from base_models.pooled.pooled_mos import PooledMOS
    from base_models.training.neural_mos import NeuralMOS

    encoders = EncoderChoice.parse(_words(audio_encoder), _words(text_encoder))
    words, encoders = expand_sets(list(names) or None, encoders, with_text)
    setup = TrainingSetup(encoders)
    estimators: list[tuple[str, Any]] = []
    for word, seed in plan_models(words, SEEDS, with_text):
        model = setup.model(word)
        params: dict[str, Any] = {
            "preset": model.preset,
            "audio_encoder": model.audio_encoder,
            "text_encoder": model.text_encoder,
            "random_state": seed,
        }
        if store is not None:
            params["store"] = store
        estimator: Any
        if isinstance(model.config, PooledConfig):
            estimator = PooledMOS(**params)
        else:
            estimator = NeuralMOS(settings=model.settings, **params)
        estimators.append((f"{word}-s{seed}", estimator))
    return estimators


def _words(encoders: str | Sequence[str] | None) -> list[str] | None:
    """What a user says about encoders, as a list of words."""
    if encoders is None:
        return None
    return [encoders] if isinstance(encoders, str) else list(encoders)
