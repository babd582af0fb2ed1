"""What the commands that use a fitted stack share: the options that say which one, loading it, and its scores."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from ensemble.artifacts import Workspace
from ensemble.cli.options import Options


def add_stack_options(parser: Options) -> None:
    """Options that say which stack, where its encoders' weights lie, and where to compute."""
    add = parser.add_argument
    add("--stack", type=str, help="folder of a stack; default: the last fit_meta")
    add("--audio-encoder", type=str, help="where the weights lie now, as NAME=FOLDER")
    add("--text-encoder", type=str, help="likewise")
    add("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add("--artifacts", type=str, default="artifacts", help="where fit_meta wrote, and embeddings are kept")


def load_stack(options):
    """The stack and the store of embeddings that the options name."""
    from base_models.embeddings import EmbeddingStore
    from ensemble.stacked_mos import StackedMOS

    workspace = Workspace(Path(options.artifacts))
    folder = options.stack or workspace.root / workspace.latest("stack", "fit_meta")["folder"]
    given = {"audio_encoder": options.audio_encoder, "text_encoder": options.text_encoder}
    overrides = {name: value for name, value in given.items() if value}
    return StackedMOS.load(folder, device=options.device, **overrides), EmbeddingStore(workspace.embeddings)


def score_table(scores, level: float) -> Table:
    """Scores for a terminal: one row per clip, one column per aspect."""
    table = Table(title=f"mean opinion scores, 1 to 5, with {level:.0%} intervals", title_justify="left")
    table.add_column("clip")
    for aspect in scores.aspects:
        table.add_column(aspect, justify="right")
    for row in scores.frame.to_dict("records"):
        cells = [f"{row[a]:.2f} [{row[f'{a}_low']:.2f}, {row[f'{a}_high']:.2f}]" for a in scores.aspects]
        table.add_row(row["clip_id"], *cells)
    return table
