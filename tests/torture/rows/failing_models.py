"""A base model or an encoder that fails, whatever with, stops no other."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from torture.harness import Outcome, Row
from torture.killing import ended, in_child
from torture.small_runs import SmallRuns

from base_models.encoders.base import Encoder
from base_models.errors import ClipError, DamagedArtifact, StackedMOSError, UsageError
from base_models.files import is_sealed
from base_models.pooled.pooled_mos import PooledMOS
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.stored_runs import RunsOfData
from ensemble.training.train_base_models import plan_training, train_base_models
from ensemble.training.training_setup import Compute, TrainingSetup
from ensemble.workspace import Workspace


class PanicException(BaseException):
    """As a library in Rust raises it."""


class _OfALibrary(Exception):
    """One that cannot be sent to another process."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"{code} at {where}")


ERRORS: dict[str, Callable[[], BaseException]] = {
    "UsageError": lambda: UsageError("too few clips"),
    "ClipError": lambda: ClipError("cannot be read"),
    "DamagedArtifact": lambda: DamagedArtifact("was changed"),
    "StackedMOSError": lambda: StackedMOSError("diverged"),
    "ValueError": lambda: ValueError("shapes"),
    "RuntimeError": lambda: RuntimeError("of torch\nin two lines"),
    "TypeError": lambda: TypeError("no number"),
    "KeyError": lambda: KeyError("layer"),
    "IndexError": lambda: IndexError("out of range"),
    "AttributeError": lambda: AttributeError("no such layer"),
    "AssertionError": AssertionError,
    "NotImplementedError": NotImplementedError,
    "RecursionError": lambda: RecursionError("too deep"),
    "ZeroDivisionError": lambda: ZeroDivisionError("by zero"),
    "FloatingPointError": lambda: FloatingPointError("overflow"),
    "OverflowError": lambda: OverflowError("too large"),
    "LinAlgError": lambda: np.linalg.LinAlgError("singular matrix"),
    "ImportError": lambda: ImportError("no such module"),
    "StopIteration": StopIteration,
    "UnicodeDecodeError": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "start"),
    "an exception without a message": Exception,
    "an exception of a library": lambda: _OfALibrary(7, "here"),
    "a long message": lambda: RuntimeError("x" * 5000),
    "a panic": lambda: PanicException("index out of bounds"),
}
"""What models and encoders raise, by what it is called."""
ANSWERS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "NaN": lambda embedding: embedding * np.nan,
    "infinity": lambda embedding: embedding + np.inf,
    "another width": lambda embedding: embedding[..., :3],
    "two axes": lambda embedding: embedding[0],
    "no clip": lambda embedding: embedding[:0],
}
"""What encoders give that is no embedding, by what it is called."""
NOT_FINITE = {"NaN": np.nan, "infinity": np.inf}
"""What a model predicts that is no distribution."""
FAILING = "pooled_ridge@muq"
DIVERGING = "dora@muq"
GOOD = "pooled_ridge@logmel"
ENCODE = Encoder.encode
FIT = PooledMOS.fit
PREDICT = PooledMOS.predict_embedded


class Torture(Row):
    """Errors of a model, errors of an encoder, and numbers that are none.

    A case trains a good model, and one that fails as the number says.
    """

    what = "diverging, NaN, raising base models and encoders among good ones"
    passes_when = "the others finish, and the failed one is named with its reason"
    at_least = 50
    n_cases = 2 * len(ERRORS) + len(ANSWERS) + len(NOT_FINITE) + 1
    n_share = 3
    seconds = 60.0

    _runs: SmallRuns | None = None

    def prepare(self) -> None:
        """Write the clips and the weights of an encoder."""
        runs = SmallRuns(self.shared)
        runs.write()
        runs.warm_up()

    def run(self, case: int, folder: Path, rng: np.random.Generator) -> Outcome:
        """Train, and look what became of both models."""
        if self._runs is None:
            self._runs = SmallRuns(self.shared)
            self._runs.warm_up()
        kind, broken = _breakage(case)
        failing = DIVERGING if "diverges" in kind else FAILING
        said = folder / "said"

        def train() -> None:
            with broken:
                said.write_text(self._train(Workspace(folder / "artifacts"), failing))

        code = ended(in_child(train))
        if code:
            return Outcome(kind, f"training ends with {code}")
        return Outcome(kind, said.read_text())

    def _train(self, workspace: Workspace, failing: str) -> str:
        """What is wrong with what became of the two models; "" where nothing is."""
        runs = self._runs
        assert runs is not None
        words = ["logmel", f"muq={self.shared / 'muq'}"]
        plan = plan_training(
            runs.rated,
            [(GOOD, 0), (failing, 0)],
            workspace,
            TrainingSetup(
                EncoderChoice.parse(words, ["hashed_text"]),
                overrides={"learning_rate": 1e30} if failing == DIVERGING else {},
            ),
            Compute("cpu", jobs=1),
        )
        result = train_base_models(plan, workspace)
        if result.trained != (f"{GOOD}-s0",) or not is_sealed(plan.runs[0].folder):
            return f"trained: {result.trained}"
        if list(result.failed) != [f"{failing}-s0"]:
            return f"failed: {dict(result.failed)}"
        if RunsOfData.of_last(workspace).failed != result.failed:
            return "the workspace does not name it"
        if is_sealed(plan.runs[1].folder):
            return "the failed one is stored as if it were finished"
        (reason,) = result.failed.values()
        if not reason or len(reason) > 500 or "\n" in reason:
            return f"the reason is no short line: {reason[:100]!r}"
        return ""


def _breakage(case: int) -> tuple[str, contextlib.AbstractContextManager[Any]]:
    """What fails in a case, and what makes it fail."""
    names = list(ERRORS)
    if case < len(names):
        error = ERRORS[names[case]]()
        return f"a model raises {names[case]}", _fitting(lambda model: _throw(error))
    case -= len(names)
    if case < len(names):
        error = ERRORS[names[case]]()
        return f"an encoder raises {names[case]}", _encoding(lambda _: _throw(error))
    case -= len(names)
    if case < len(ANSWERS):
        name = list(ANSWERS)[case]
        return f"an encoder gives {name}", _encoding(ANSWERS[name])
    case -= len(ANSWERS)
    if case < len(NOT_FINITE):
        name = list(NOT_FINITE)[case]
        return f"a model predicts {name}", _predicting(NOT_FINITE[name])
    return "a network diverges", contextlib.nullcontext()


def _throw(error: BaseException) -> Any:
    raise error


@contextlib.contextmanager
def _fitting(act: Callable[[PooledMOS], object]) -> Iterator[None]:
    """Models on MuQ do this before they are fitted."""

    def fit(self: PooledMOS, *clips: Any, **known: Any) -> PooledMOS:
        if "muq" in str(self.audio_encoder):
            act(self)
        return FIT(self, *clips, **known)

    with mock.patch.object(PooledMOS, "fit", fit):
        yield


@contextlib.contextmanager
def _encoding(answer: Callable[[np.ndarray], np.ndarray]) -> Iterator[None]:
    """MuQ gives what is made of its embeddings here."""

    def encode(self: Encoder, batch: Any) -> np.ndarray:
        embeddings = ENCODE(self, batch)
        return answer(embeddings) if self.name == "muq" else embeddings

    with mock.patch.object(Encoder, "encode", encode):
        yield


@contextlib.contextmanager
def _predicting(number: float) -> Iterator[None]:
    """Models on MuQ predict a number that is none, for one clip."""

    def predict(self: PooledMOS, clips: Any) -> np.ndarray:
        distributions = PREDICT(self, clips)
        if "muq" in str(self.audio_encoder):
            distributions[-1] = number
        return distributions

    with mock.patch.object(PooledMOS, "predict_embedded", predict):
        yield
