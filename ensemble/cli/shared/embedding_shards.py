"""``fit_base --shard``: store the embeddings of one share of the clips, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jsonargparse import Namespace

from base_models.errors import UsageError
from ensemble.cli.shared.exit_codes import say, say_set_aside
from ensemble.cli.shared.options import OptionGroup
from ensemble.engine import LOCAL

if TYPE_CHECKING:
    from ensemble.training.rated_clips import RatedClips
    from ensemble.training.training_setup import Compute, TrainingSetup
    from ensemble.workspace import Workspace


def add_embedding_shard_option(group: OptionGroup) -> None:
    """Add ``--shard``."""
    group.add_argument(
        "--shard",
        type=str,
        metavar="I/N",
        help="only store the embeddings of the I-th of N shares of the clips, for a "
        "batch system; once all are stored, fit_base without it trains",
    )


def check_embedding_shard(options: Namespace) -> None:
    """Refuse what is no shard, and what does not go with one.

    Raises
    ------
    UsageError
    """
    if not options.shard:
        return
    from ensemble.scoring.chunks.shards import Shard

    Shard.parse(options.shard)
    if options.engine != LOCAL:
        raise UsageError("--shard runs on this machine; leave --engine out.")
    if options.json:
        raise UsageError("--json says what was trained, and --shard trains nothing.")


def embed_shard(
    options: Namespace,
    setup: TrainingSetup,
    rated: RatedClips,
    compute: Compute,
    *,
    models: Sequence[tuple[str, int]],
    workspace: Workspace,
) -> int:
    """Store the embeddings of one share of the clips; the exit code."""
    from ensemble.scoring.chunks.shards import Shard
    from ensemble.training.encoding.embed_share import embed_share
    from ensemble.training.progress import encoding

    shard = Shard.parse(options.shard)
    rows = shard.rows(len(rated.frame))
    with encoding() as on_embed:
        set_aside = embed_share(
            rated,
            models,
            workspace,
            setup=setup,
            compute=compute,
            rows=rows,
            on_embed=on_embed,
        )
    say(
        f"shard {shard}: {rows.stop - rows.start} clips embedded; once all "
        f"{shard.count} are, the same command without --shard trains"
    )
    return say_set_aside(set_aside)
