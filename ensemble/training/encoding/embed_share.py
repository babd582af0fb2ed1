"""Store the embeddings of a share of the clips, for one job of a batch system."""

from __future__ import annotations

from collections.abc import Sequence

from base_models.clips.read_clips import SetAside
from ensemble.training.embed_for_plan import OnEmbed
from ensemble.training.encoding.checked_encoders import checked_encoders
from ensemble.training.rated_clips import RatedClips
from ensemble.training.training_setup import Compute, TrainingSetup
from ensemble.workspace import Workspace


def embed_share(
    rated: RatedClips,
    models: Sequence[tuple[str, int]],
    workspace: Workspace,
    *,
    setup: TrainingSetup,
    compute: Compute,
    rows: slice,
    on_embed: OnEmbed | None = None,
) -> tuple[SetAside, ...]:
    """Store the embeddings of some of the clips, as a plan would.

    Parameters
    ----------
    rows : slice
        Of the clips, such as the share of one job of a batch system.
    rated, models, workspace, setup, compute, on_embed
        See `ensemble.training.train_base_models.plan_training`, which raises what
        this does.

    Returns
    -------
    set_aside : tuple of SetAside
        The clips of these that some encoder cannot embed.
    """
    from base_models.encoders.embed import (
        embedded_by_all,
        fill_clips,
        placeholder_for,
    )
    from base_models.encoders.store import EmbeddingStore

    _, pairs = checked_encoders(rated, models, setup, compute=compute)
    store = EmbeddingStore(workspace.embeddings, dtype=setup.dtype)
    # Models share encoders, and each pair embeds the clips once.
    distinct = {
        (audio.signature, text.signature if text else ""): (audio, text)
        for audio, text in pairs.values()
    }
    filled = [
        fill_clips(
            rated.frame.iloc[rows],
            store,
            audio,
            text=text,
            on_progress=on_embed,
            placeholder=placeholder_for(rated.needs_text),
        )
        for audio, text in distinct.values()
    ]
    return embedded_by_all(filled).set_aside
