"""Load the encoders of models, once it is known that these can be trained on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from base_models.config import BaseConfig
from base_models.errors import UsageError
from base_models.precision import IN_FLOAT32, check_precision, precision_of
from ensemble.training.checks.plan_checks import check_plan
from ensemble.training.embed_for_plan import EncoderPair
from ensemble.training.rated_clips import RatedClips
from ensemble.training.training_setup import Compute, ModelSetup, TrainingSetup


def checked_encoders(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    setup: TrainingSetup,
    *,
    compute: Compute,
) -> tuple[dict[str, ModelSetup], dict[str, EncoderPair]]:
    """The setups of models and their loaded encoders, by the names of the models.

    A wrong name or missing weights are refused before hours of embedding.
    """
    from base_models.devices import resolve_devices

    setups = {name: setup.model(name) for name in dict(models)}
    setup.check_used(setups)
    check_plan(rated, setups, setup.folds, encoders=setup.encoders)
    with_text = any(rated.needs_text)

    # Encoders of several devices are equal; they are loaded on the first.
    device = str(resolve_devices(compute.device)[0])
    for kind in IN_FLOAT32:
        check_precision(precision_of(kind, compute.precision), device)
    pairs = {
        preset: _load_pair(model, with_text, device, precision=compute.precision)
        for preset, model in setups.items()
    }
    _check_widths(setups, pairs, rated.needs_text)
    return setups, pairs


def _load_pair(
    model: ModelSetup,
    with_text: bool,
    device: str,
    *,
    precision: str | Mapping[str, str],
) -> EncoderPair:
    """The encoders of a preset; no text encoder where it reads no text."""
    from base_models.encoders import load_encoder

    words = model.encoder_words(with_text)
    loaded = [
        load_encoder(
            word,
            device=device,
            mono=model.config.mono,
            precision=precision_of(kind, precision),
        )
        for kind, word in zip(("audio", "text"), words, strict=False)
    ]
    audio, *texts = loaded
    return audio, texts[0] if texts else None


def _check_widths(
    setups: Mapping[str, ModelSetup],
    pairs: Mapping[str, EncoderPair],
    needs_text: Sequence[bool],
) -> None:
    """Refuse networks that cannot be built on their encoders, before any embedding."""
    from base_models.networks.costs import on_meta
    from base_models.networks.models import build_model

    for name, model in setups.items():
        config = model.config
        if not isinstance(config, BaseConfig):
            continue
        audio, text = pairs[name]
        text_dim = text.dim if text else None
        build = partial(build_model, config, needs_text, audio.dim, text_dim)
        try:
            on_meta(build)
        except UsageError as error:
            raise UsageError(f"'{name}' on {audio.name}: {error}") from error
