"""What the commands that use a fitted stack share: the options that say which one, and loading it."""

from __future__ import annotations

from pathlib import Path

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
