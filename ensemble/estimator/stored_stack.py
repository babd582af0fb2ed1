"""`StoredStackMixin`: a stack goes to a folder or a hub, and comes from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from base_models.errors import UsageError
from base_models.files import Artifact
from ensemble.estimator.base_model_files import base_models_from, files_of
from ensemble.estimator.input_rows import features_of
from ensemble.estimator.save_and_load import read_stack, restore_stack, write_stack
from ensemble.hub.repository import HubAccess
from ensemble.hub.share import PushedStack, Sharing, push_stack, stack_folder
from ensemble.hub.stack_contents import REPORT

if TYPE_CHECKING:
    from typing import Self

    from ensemble.prediction_files.stack_scales import StackScales
    from ensemble.reporting.report import Report
    from meta.regressor import MetaRegressor

_KEPT_FACTS = ("aspects", "needs_text", "source", "demo", "disagreement")
"""What the folder of a stack says that a fitted one does not know of itself."""


@dataclass(frozen=True)
class StoredFacts:
    """What a stack keeps of the folder that it was loaded from.

    Parameters
    ----------
    facts : mapping
        Those of stack.json that are about the clips of the fit.
    report : bytes
        The file report.json; empty where there is none.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    report: bytes = b""

    @classmethod
    def of(cls, artifact: Artifact, facts: Mapping[str, Any]) -> StoredFacts:
        """Those of a verified folder, whose stack.json holds `facts`."""
        report = artifact.read(REPORT) if REPORT in artifact.names else b""
        return cls({key: facts[key] for key in _KEPT_FACTS if key in facts}, report)


class StoredStackMixin:
    """How a `StackedMOS` is stored, shared and read back."""

    if TYPE_CHECKING:
        estimators_: list[tuple[str, Any]]
        final_estimator_: MetaRegressor
        scales_: StackScales
        report_: Report
        stored_: StoredFacts
        _flat: bool

        def __init__(
            self, estimators: Any, final_estimator: Any, **params: Any
        ) -> None: ...

    def save(self, folder: Path | str) -> None:
        """Write the stack and its base models to `folder`, without pickle.

        Scikit-learn estimators are stored where all that they consist of is listed in
        `base_models.sklearn_files.trusted_types`. A report, of `assess` or of the
        folder that the stack was loaded from, goes along as report.json.

        Raises
        ------
        UsageError
            naming a base model or a final estimator that holds any other type, such as
            a class of one's own, a function, or a booster of LightGBM; when `folder`
            holds other files.
        """
        check_is_fitted(self, "final_estimator_")
        # Refused before anything is written, where a base model cannot be stored.
        bases = {name: files_of(name, model) for name, model in self.estimators_}
        stored = getattr(self, "stored_", StoredFacts())
        facts = {
            **stored.facts,
            "flat": self._flat,
            "scales": self.scales_.to_json(),
            **features_of(self),
        }
        report = stored.report
        if hasattr(self, "report_"):
            report = self.report_.files()[REPORT]
        extra = {REPORT: report} if report else {}
        write_stack(folder, self.final_estimator_, bases, facts, extra=extra)

    @classmethod
    def load(
        cls, folder: Path | str, *, expect_sha256: str | None = None, **overrides: Any
    ) -> Self:
        """Read a stack that `save` or ``fit_meta`` wrote; every file is verified first.

        Parameters
        ----------
        folder : of the stack
        expect_sha256 : the SHA-256 of the stack, as ``inspect_stack`` prints it, where
            it is known from elsewhere; any other stack is refused
        overrides : parameters of the base models to change: ``device``, ``precision``,
            ``store``; ``audio_encoder`` and ``text_encoder`` say where weights lie now,
            as ``"name=folder"`` or a list of such words, each for the models with that
            encoder, or that they may be fetched, as ``"name"``

        Raises
        ------
        DamagedArtifact
            when a file changed, or it is another stack than the expected one.
        UsageError
            when a stored scikit-learn estimator names a type that is not trusted;
            nothing of that file was constructed.
        """
        artifact, facts, regressor = read_stack(folder, expect_sha256)
        bases = base_models_from(artifact, facts["bases"], overrides)
        stack = cls(
            bases,
            regressor.learner,
            cv="prefit",
            bins=regressor.layout_.bins,
            random_state=regressor.random_state,
            missing=regressor.missing,
        )
        restore_stack(stack, facts, regressor, bases)
        stack.stored_ = StoredFacts.of(artifact, facts)
        return stack

    def push(
        self,
        destination: Path | str,
        sharing: Sharing | None = None,
        access: HubAccess | None = None,
    ) -> PushedStack:
        """Push the stack to a folder or a hub, with a model card.

        The card is made from the report, as `save` stores it; without one it says that
        the stack was not measured. The stack consists of safetensors, JSON and, where
        it holds scikit-learn estimators or tables of predictions, skops files of
        trusted types and Parquet. It names the clips that it was fitted on; it holds no
        audio and no weights of encoders.

        Parameters
        ----------
        destination : path or str
            A folder, or ``user/name`` on a hub (``hub:user/name@branch`` in full).
        sharing : `ensemble.hub.share.Sharing`, optional
            Licence, who sees it, and the message of the commit.
        access : `ensemble.hub.repository.HubAccess`, optional
            Token, address and cache of the hub.

        Returns
        -------
        pushed : PushedStack
            Its ``place`` and ``revision`` are what `from_pretrained` takes.

        Raises
        ------
        UsageError
            When the destination holds other files, a base model cannot be saved, or the
            hub cannot be reached or refuses.
        MissingLibrary
            When the destination is on a hub, and huggingface_hub is not installed.
        """
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "stack"
            self.save(folder)
            return push_stack(folder, destination, sharing=sharing, access=access)

    @classmethod
    def from_pretrained(
        cls,
        place: Path | str,
        revision: str | None = None,
        access: HubAccess | None = None,
        **overrides: Any,
    ) -> Self:
        """Load a stack from a folder, or from a hub after it was pulled from there.

        Every file is verified against the manifest, and none of them can run code.

        Parameters
        ----------
        place : path or str
            A folder, or ``user/name`` on a hub (``hub:user/name@revision`` in full).
        revision : str, optional
            Branch, tag or commit. Only a commit stands for the same stack for ever.
        access : `ensemble.hub.repository.HubAccess`, optional
            Token, address and cache of the hub.
        **overrides
            As of `load`, with ``expect_sha256``.

        Raises
        ------
        UsageError
            When there is no such stack, or it can neither be pulled nor is in the
            cache; a revision of a folder.
        DamagedArtifact
            When a file is not the one that was pushed.
        """
        if revision is not None and Path(place).exists():
            raise UsageError(
                f"{place} is a folder here, which has no revisions; leave '{revision}' "
                f"out, or write hub:{place} for a repository."
            )
        return cls.load(stack_folder(place, revision, access), **overrides)
