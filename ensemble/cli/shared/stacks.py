"""What the commands that use a fitted stack share: the options that say which one, and loading it."""

from __future__ import annotations

from pathlib import Path

from ensemble.cli.shared.engines import locate
from ensemble.cli.shared.options import Options
from ensemble.workspace import Workspace


def add_stack_options(parser: Options) -> None:
    """Options that say which stack, where its encoders' weights lie, and where to compute."""
    add = parser.add_argument
    add("--stack", type=str, help="folder of a stack; default: the last fit_meta")
    add("--audio-encoder", type=str, help="where the weights lie now, as NAME=FOLDER")
    add("--text-encoder", type=str, help="likewise")
    add("--device", type=str, default="auto", help="auto, cpu, cuda or mps")
    add(
        "--artifacts",
        type=str,
        default="artifacts",
        help="where fit_meta wrote, and embeddings are kept",
    )


def load_stack(options):
    """The stack and the store of embeddings that the options name."""
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.stacked_mos import StackedMOS

    folder, overrides = _chosen(options)
    return StackedMOS.load(folder, **overrides), EmbeddingStore(
        Workspace(Path(options.artifacts)).embeddings
    )


def stack_source(options):
    """Where the workers of an engine find that stack; None where there are none. Paths are made absolute for them."""
    if not locate(options):
        return None
    from ensemble.scoring.stack_source import StackSource

    folder, overrides = _chosen(options)
    return StackSource.of(
        folder, Workspace(Path(options.artifacts)).embeddings, **overrides
    )


def _chosen(options):
    """Folder of the stack, and what is other than its base models say."""
    workspace = Workspace(Path(options.artifacts))
    folder = (
        options.stack
        or workspace.root / workspace.latest("stack", "fit_meta")["folder"]
    )
    given = {
        "audio_encoder": options.audio_encoder,
        "text_encoder": options.text_encoder,
        "device": options.device,
    }
    return folder, {name: value for name, value in given.items() if value}
