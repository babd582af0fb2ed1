"""Every encoder of a plan runs once over the clips; one that fails stops no other.

All base models are trained on the clips that every encoder can embed, so an encoder
that can embed nothing would leave no clip: the models that are on it fail instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from base_models.errors import StackedMOSError, UsageError
from ensemble.engine import LOCAL
from ensemble.training.base_model_run import failure_from
from ensemble.training.embed_on_engine import embed_chunks
from ensemble.training.rated_clips import RatedClips
from ensemble.training.training_setup import Compute, ModelSetup

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder
    from base_models.encoders.embed import FilledClips
    from base_models.encoders.store import EmbeddingStore

EncoderPair = tuple["Encoder", "Encoder | None"]
OnEmbed = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EmbeddedPlan:
    """The clips that the encoders of a plan can embed.

    Parameters
    ----------
    filled : FilledClips
        Those that every encoder can embed, of the encoders that did not fail.
    failed : mapping of str to StackedMOSError
        Names of the models whose encoders failed, and why.
    """

    filled: FilledClips
    failed: Mapping[str, StackedMOSError] = field(default_factory=dict)


def embed_for_plan(
    rated: RatedClips,
    store: EmbeddingStore,
    pairs: Mapping[str, EncoderPair],
    *,
    setups: Mapping[str, ModelSetup],
    compute: Compute,
    on_embed: OnEmbed | None,
) -> EmbeddedPlan:
    """Run every encoder over the clips.

    Parameters
    ----------
    rated : RatedClips
    store : EmbeddingStore
        In a folder.
    pairs : mapping of str to EncoderPair
        Of each model, by its name; models may share them.
    setups : mapping of str to ModelSetup
        By the same names.
    compute : Compute
    on_embed : callable or None
        Called as ``on_embed(encoder, done, total)``.

    Raises
    ------
    Exception
        What an encoder failed with, when all of them failed.
    """
    from base_models.encoders.embed import (
        embedded_by_all,
        placeholder_for,
        with_text_keys,
    )

    placeholder = placeholder_for(rated.needs_text)
    models_of_pair: dict[tuple[str, str], list[str]] = {}
    for name, (audio, text) in pairs.items():
        signatures = (audio.signature, text.signature if text else "")
        models_of_pair.setdefault(signatures, []).append(name)

    filled: dict[tuple[str, str], FilledClips] = {}
    failed: dict[tuple[str, str], StackedMOSError] = {}
    for signatures, (first, *_) in models_of_pair.items():
        try:
            # Presets share pairs of encoders, and what one computed is in the store.
            filled[signatures] = _fill(
                rated,
                store,
                pairs[first],
                setup=setups[first],
                compute=compute,
                on_embed=on_embed,
                placeholder=placeholder,
            )
        except BaseException as error:
            failure = failure_from(error)
            is_last = len(failed) == len(models_of_pair) - 1
            if failure is None or is_last:
                raise
            failed[signatures] = failure

    failed |= _without_clips(rated, filled)
    usable = embedded_by_all(
        [clips for signatures, clips in filled.items() if signatures not in failed]
    )
    # Which clips they are must not depend on whether these models read the prompts.
    if any(rated.needs_text):
        usable = with_text_keys(usable, rated.frame, placeholder)
    failures = {
        name: failure
        for signatures, failure in failed.items()
        for name in models_of_pair[signatures]
    }
    return EmbeddedPlan(usable, failures)


def _fill(
    rated: RatedClips,
    store: EmbeddingStore,
    pair: EncoderPair,
    *,
    setup: ModelSetup,
    compute: Compute,
    on_embed: OnEmbed | None,
    placeholder: str,
) -> FilledClips:
    """The clips that one pair of encoders can embed, and their embeddings stored."""
    from base_models.encoders.embed import fill_clips

    audio, text = pair
    # On an engine many workers fill the store that they share.
    if compute.engine != LOCAL:
        return embed_chunks(
            rated.frame,
            store,
            (setup.audio_encoder, setup.text_encoder if text else None),
            encoders=pair,
            device=compute.device,
            engine=compute.engine,
            placeholder=placeholder,
            on_progress=on_embed,
        )
    return fill_clips(
        rated.frame,
        store,
        audio,
        text=text,
        on_progress=on_embed,
        placeholder=placeholder,
    )


def _without_clips(
    rated: RatedClips, filled: Mapping[tuple[str, str], FilledClips]
) -> dict[tuple[str, str], StackedMOSError]:
    """The pairs of encoders that can embed no clip of a split, where others can."""
    failures: dict[tuple[str, str], StackedMOSError] = {}
    for signatures, clips in filled.items():
        splits = rated.frame["split"].iloc[list(clips.kept)]
        for split in ("train", "dev"):
            is_needed = (rated.frame["split"] == split).any()
            if is_needed and not (splits == split).any():
                first = clips.set_aside[0]
                failures[signatures] = UsageError(
                    f"No {split} clip can be embedded; the first one set aside is "
                    f"'{first.clip_id}': {first.reason}"
                )
                break
    # Of clips that no encoder can embed, the clips are at fault.
    return failures if len(failures) < len(filled) else {}
