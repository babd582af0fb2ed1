"""What the commands that use a fitted stack share: naming it, and loading it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from base_models.encoders import check_kind
from base_models.errors import one_of
from base_models.files import Artifact
from base_models.precision import PRECISIONS
from ensemble.cli.shared.engines import locate
from ensemble.cli.shared.exit_codes import say_more
from ensemble.cli.shared.options import (
    OptionGroup,
    add_artifacts_option,
    add_device_option,
    add_precision_option,
    add_weights_options,
)
from ensemble.workspace import STACK_ROLE, Workspace

if TYPE_CHECKING:
    # Imported late, because a command's --help must not import torch.
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.scoring.stack_source import StackSource


def add_stack_options(group: OptionGroup) -> None:
    """Add the options that name a stack, its encoders' weights, and the device."""
    group.add_argument(
        "--stack",
        type=str,
        metavar="STACK",
        help="folder of the stack, or hub:USER/NAME, with @REVISION for a branch, tag "
        "or commit; default: that of the last fit_meta",
    )
    add_expected_hash_option(group)
    add_weights_options(group)
    add_device_option(group)
    add_precision_option(group, default="as in training")
    add_artifacts_option(group, "what fit_meta wrote, where embeddings are kept, too")


def add_expected_hash_option(group: OptionGroup) -> None:
    """Add the option that names the one stack that is meant."""
    group.add_argument(
        "--expect-sha256",
        type=str,
        metavar="HASH",
        help="SHA-256 of the stack, as inspect_stack prints it to whoever made it; any "
        "other stack is refused (exit code 4)",
    )


@dataclass(frozen=True)
class _ChosenStack:
    """The stack that the options name.

    Parameters
    ----------
    folder : of the stack
    embeddings : folder of the store
    overrides : parameters of its base models that are other than when it was fitted,
        and the hash that it must have
    """

    folder: Path
    embeddings: Path
    overrides: dict[str, Any]

    @classmethod
    def of(cls, options: Namespace) -> _ChosenStack:
        workspace = Workspace(Path(options.artifacts))
        if options.stack:
            # Imported only now: it brings the learners, which --help does not need.
            from ensemble.hub.share import stack_folder

            folder = stack_folder(options.stack)
            # Asked once: the branch of a hub may move while clips are scored.
            options.stack = str(folder)
        else:
            folder = workspace.last_stack("fit_meta")

        overrides: dict[str, Any] = {}
        if options.expect_sha256 is not None:
            Artifact(folder, STACK_ROLE).check_root_hash(options.expect_sha256)
            # Whoever reads the folder later, a worker too, holds it to the same.
            overrides["expect_sha256"] = options.expect_sha256
        if options.device:
            overrides["device"] = options.device
        if options.precision:
            one_of(options.precision, PRECISIONS, "--precision")
            overrides["precision"] = options.precision
        for kind in ("audio", "text"):
            words = options[f"{kind}_encoder"]
            for word in words or ():
                check_kind(word, kind)
            if words:
                overrides[f"{kind}_encoder"] = tuple(words)
        return cls(folder, workspace.embeddings, overrides)


def load_stack(options: Namespace) -> tuple[StackedMOS, EmbeddingStore]:
    """The stack and the store of embeddings that the options name."""
    from base_models.encoders.store import EmbeddingStore
    from ensemble.estimator.predict_base_models import stored_dtype
    from ensemble.estimator.stacked_mos import StackedMOS

    chosen = _ChosenStack.of(options)
    known = Artifact(chosen.folder, STACK_ROLE).root_hash
    say_more(f"stack {chosen.folder}: SHA-256 {known}")
    stack = StackedMOS.load(chosen.folder, **chosen.overrides)
    dtype = stored_dtype(model for _, model in stack.estimators_)
    return stack, EmbeddingStore(chosen.embeddings, dtype=dtype)


def chosen_folder(options: Namespace) -> Path:
    """The folder of the stack that the options name."""
    return _ChosenStack.of(options).folder


def stack_source(options: Namespace) -> StackSource | None:
    """Where other processes find the stack, or None when there are none.

    For workers of an engine, the paths among the options are made absolute.
    """
    is_elsewhere = locate(options)
    if not is_elsewhere and options.jobs == 1:
        return None
    from ensemble.scoring.stack_source import StackSource, shared_threads

    chosen = _ChosenStack.of(options)
    threads = options.threads
    if not is_elsewhere and not threads:
        threads = shared_threads(options.jobs)
    return StackSource.of(
        chosen.folder, chosen.embeddings, threads=threads, **chosen.overrides
    )
