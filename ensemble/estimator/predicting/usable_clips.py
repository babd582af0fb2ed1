"""Which clips all encoders of a stack can embed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from ensemble.estimator.predict_base_models import judged_by_prompt

if TYPE_CHECKING:
    from base_models.clip_model import ClipModel
    from base_models.clips.read_clips import SetAside
    from base_models.encoders.base import Encoder
    from base_models.encoders.store import EmbeddingStore


def usable(
    models: Sequence[ClipModel[Any]],
    clips: pd.DataFrame,
    store: EmbeddingStore,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> tuple[list[int], list[SetAside]]:
    """Embed clips, and find those that all encoders of the models can embed.

    Returns
    -------
    rows : list of int
        Rows that can be used, in order.
    set_aside : list of SetAside
        The other clips, each once. A clip without a prompt is one of them only where
        every aspect is judged against it.
    """
    # Imported late: stacks of predictions run without the library that embeds.
    from base_models.encoders.embed import embedded_by_all, fill_clips, placeholder_for

    # One pair of encoders for all models that share it.
    pairs = {signatures(pair): pair for pair in (m.encoders() for m in models)}
    # A stack of prediction files alone needs no embeddings.
    if not pairs:
        return list(range(len(clips))), []
    aspects = tuple(dict.fromkeys(name for model in models for name in model.aspects_))
    needs_text = judged_by_prompt(models, aspects)
    placeholder = placeholder_for(needs_text)
    # A clip must have embeddings of all encoders.
    filled = embedded_by_all(
        [
            fill_clips(
                clips,
                store,
                audio,
                text=text,
                on_progress=on_progress,
                placeholder=placeholder,
            )
            for audio, text in pairs.values()
        ]
    )
    return list(filled.kept), list(filled.set_aside)


def signatures(pair: tuple[Encoder, Encoder | None]) -> tuple[str, str]:
    """What two pairs of equal encoders have in common."""
    audio, text = pair
    return audio.signature, text.signature if text else ""
