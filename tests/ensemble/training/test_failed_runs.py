"""A base model that cannot be trained is reported, and the others go on."""

import contextlib
import errno
import io
import os
import re

import numpy as np
import pytest
from builders import listening_test, tones
from commands import call, plan_embedded, refused
from rich.console import Console

from base_models.errors import DamagedArtifact, StackedMOSError, UsageError
from base_models.files import Artifact, is_sealed
from ensemble.stacking.stack_data import StackData
from ensemble.training.base_model_run import BaseRun, failure_of
from ensemble.training.progress import _PlainLines
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import RunsOfData
from ensemble.training.train_base_models import train_base_models
from ensemble.workspace import Workspace

MODELS = (("pooled_ridge", 0), ("pooled_svr", 0), ("pooled_svr", 1))
TRAIN = BaseRun.train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of 30 clips."""
    labels = 1.5 + 0.8 * (np.arange(30) % 4)
    labels += np.random.default_rng(0).uniform(0, 0.5, 30)
    return listening_test(
        tmp_path_factory.mktemp("data"),
        tones(30, seconds=0.3, noise=0.01),
        {"train": 16, "dev": 8, "test": 6},
        labels={"mos": labels},
    )


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "artifacts")


@pytest.fixture
def plan(data, workspace):
    def make(models=MODELS):
        return plan_embedded(RatedClips.read(data), models, workspace)

    return make


@contextlib.contextmanager
def failing(error, names):
    """Training raises an error for the runs of these names."""

    def train(run):
        if run.name in names:
            run.folder.mkdir(parents=True, exist_ok=True)
            raise error
        return TRAIN(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseRun, "train", train)
        yield


@pytest.mark.parametrize(
    "error",
    [
        UsageError("too few clips"),
        DamagedArtifact("too few clips"),
        StackedMOSError("too few clips"),
        FloatingPointError("too few clips"),
        np.linalg.LinAlgError("too few clips"),
    ],
)
def test_one_that_fails_is_reported_and_the_others_are_stacked(plan, workspace, error):
    with failing(error, ["pooled_svr-s0"]):
        result = train_base_models(plan(), workspace)
    assert result.trained == ("pooled_ridge-s0", "pooled_svr-s1")
    assert result.failed == {"pooled_svr-s0": "too few clips"}

    of_last = RunsOfData.of_last(workspace)
    assert of_last.failed == result.failed
    assert of_last.unfinished == ()
    assert list(of_last.choose(None)) == ["pooled_ridge-s0", "pooled_svr-s1"]
    assert list(of_last.choose(["pooled_svr-*"])) == ["pooled_svr-s1"]
    with pytest.raises(UsageError, match="'pooled_svr-s0' could not be trained: too f"):
        of_last.choose(["pooled_svr-s0"])
    stacked = StackData.from_runs(workspace)
    assert "left out: pooled_svr-s0 (too few clips)" in stacked.note
    assert [table.model for table in stacked.fit.tables] == [
        "pooled_ridge-s0",
        "pooled_svr-s1",
    ]


class PanicException(BaseException):
    """As of a library in Rust."""


@pytest.mark.parametrize(
    ("error", "failure", "reason"),
    [
        (RuntimeError("of\ntorch"), StackedMOSError, "RuntimeError: of torch"),
        (AssertionError(), StackedMOSError, "AssertionError"),
        (PanicException("index"), StackedMOSError, "PanicException: index"),
        (ValueError("too few"), UsageError, "too few"),
        (DamagedArtifact("changed"), DamagedArtifact, "changed"),
    ],
)
def test_whatever_one_fails_with_the_others_go_on(
    plan, workspace, error, failure, reason
):
    with failing(error, ["pooled_svr-s0"]):
        result = train_base_models(plan(), workspace)
    assert result.trained == ("pooled_ridge-s0", "pooled_svr-s1")
    assert result.failed == {"pooled_svr-s0": reason}
    with failing(error, ["pooled_svr-s0"]), pytest.raises(StackedMOSError) as raised:
        train_base_models(plan([("pooled_svr", 0)]), workspace)
    assert (type(raised.value), str(raised.value)) == (failure, reason)


def test_after_the_cure_only_what_failed_is_trained(plan, workspace):
    with failing(UsageError("no"), ["pooled_svr-s0"]):
        train_base_models(plan(), workspace)
    failed = plan().runs[1]
    assert failure_of(failed.folder) == "no"

    again = plan()
    assert [run.name for run in again.unfinished] == ["pooled_svr-s0"]
    result = train_base_models(again, workspace)
    assert (result.trained, result.failed) == (("pooled_svr-s0",), {})
    assert failure_of(failed.folder) == ""
    assert RunsOfData.of_last(workspace).failed == {}
    assert len(RunsOfData.of_last(workspace).choose(None)) == 3


def test_when_all_fail_nothing_was_trained(plan, workspace):
    names = [f"{name}-s{seed}" for name, seed in MODELS]
    with (
        failing(UsageError("no"), names),
        pytest.raises(UsageError, match=r"None of 3 .* pooled_ridge-s0: no$"),
    ):
        train_base_models(plan(), workspace)
    with pytest.raises(UsageError, match=r"None .* pooled_ridge-s0: no Run the same"):
        StackData.from_runs(workspace)
    with (
        failing(DamagedArtifact("changed"), names),
        pytest.raises(DamagedArtifact, match="changed"),
    ):
        train_base_models(plan(), workspace)


def test_the_error_of_a_single_model_is_its_own(plan, workspace):
    with (
        failing(UsageError("lower it"), ["pooled_ridge-s0"]),
        pytest.raises(UsageError, match=r"^lower it$"),
    ):
        train_base_models(plan([("pooled_ridge", 0)]), workspace)


def test_what_was_finished_before_is_not_all_that_failed(plan, workspace):
    train_base_models(plan(MODELS[:1]), workspace)
    with failing(UsageError("no"), ["pooled_svr-s0"]):
        result = train_base_models(plan(MODELS[:2]), workspace)
    assert (result.trained, list(result.failed)) == ((), ["pooled_svr-s0"])


@pytest.mark.parametrize(
    "fault",
    [
        KeyboardInterrupt(),
        OSError(errno.ENOSPC, "No space left on device"),
        MemoryError(),
    ],
)
def test_interrupts_and_faults_of_the_machine_stop_all(plan, workspace, fault):
    ready = plan()
    with failing(fault, ["pooled_svr-s0"]), pytest.raises(type(fault)):
        train_base_models(ready, workspace)
    assert [is_sealed(run.folder) for run in ready.runs] == [True, False, False]
    of_last = RunsOfData.of_last(workspace)
    assert of_last.failed == {}
    assert of_last.unfinished == ("pooled_svr-s0", "pooled_svr-s1")
    with pytest.raises(UsageError, match="are not finished; run the same fit_base"):
        of_last.choose(None)


def test_a_damaged_run_does_not_keep_the_others_from_training(plan, workspace):
    train_base_models(plan(MODELS[:1]), workspace)
    damaged = plan().runs[0].folder
    (damaged / "manifest.json").write_text("{}")
    result = train_base_models(plan(), workspace)
    assert result.trained == ("pooled_svr-s0", "pooled_svr-s1")
    reason = result.failed["pooled_ridge-s0"]
    assert f"{damaged / 'manifest.json'} is not a manifest. Delete that" in reason
    of_last = RunsOfData.of_last(workspace)
    assert list(of_last.choose(None)) == ["pooled_svr-s0", "pooled_svr-s1"]


def test_a_finished_run_is_read_whole_before_it_counts_as_finished(plan, workspace):
    train_base_models(plan(MODELS[:1]), workspace)
    folder = plan().runs[0].folder
    for name in Artifact(folder, "base model").names:
        path = folder / name
        good = path.read_bytes()
        path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(DamagedArtifact, match=re.escape(f"{path} was changed")):
            train_base_models(plan(MODELS[:1]), workspace)
        path.write_bytes(good)
    assert train_base_models(plan(MODELS[:1]), workspace).trained == ()


def test_what_killed_writers_left_is_gone_after_the_next_run(plan, workspace):
    train_base_models(plan(MODELS[:1]), workspace)
    ready = plan(MODELS[:1])
    there = sorted(path for path in workspace.root.rglob("*") if path.is_file())
    folder = ready.runs[0].folder
    # A run that was killed right after its manifest was written.
    (folder / "progress.json").write_text("{}")
    (folder / "0.checkpoint.safetensors").write_bytes(b"half")
    (folder / ".lock").touch()
    for place in (workspace.root, folder, ready.runs[0].data, workspace.embeddings):
        left = place / f".a.{'0' * 32}.tmp"
        left.write_bytes(b"half")
        os.utime(left, (0, 0))
    assert train_base_models(ready, workspace).trained == ()
    assert there == sorted(path for path in workspace.root.rglob("*") if path.is_file())


def test_a_failure_is_shown_when_it_happens_and_not_before(plan, workspace):
    shown = []

    @contextlib.contextmanager
    def watch(runs):
        text = io.StringIO()
        lines = _PlainLines(Console(file=text, width=100))
        lines.show(runs)
        shown.append(text.getvalue())
        yield
        lines.show(runs)
        shown.append(text.getvalue())

    for _ in range(2):
        with failing(UsageError("no"), ["pooled_svr-s0"]):
            train_base_models(plan(MODELS[:2]), workspace, watch)
    assert shown[0] == shown[2] == ""
    assert "pooled_svr-s0: could not be trained\n" in shown[1]
    assert "pooled_svr-s0: could not be trained\n" in shown[3]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_commands_say_what_failed_and_what_to_do(data, tmp_path, jobs):
    art = tmp_path / "artifacts"
    words = ("--data", data, "--audio-encoder", "logmel", "--artifacts", art)
    models = ("--models", "dora:1", "pooled_ridge:1", "--jobs", jobs)
    diverging = ("--set", "learning_rate=1e30", "max_epochs=2")
    code, out, err = call("fit_base", *words, *models, *diverging)
    assert code == 3, err
    assert "trained 1 of 2 base models" in err
    assert "dora-s0 could not be trained: Training diverged: the loss is not" in err
    assert "after the cure, the same fit_base trains only what failed" in err
    assert out.strip() == str(art / "level0.json")

    code, _, err = call("fit_meta", "--artifacts", art, "--rivals")
    assert code == 0, err
    assert "stacks 1 base models: pooled_ridge-s0" in err
    assert "could not be trained, left out: dora-s0 (Training diverged" in err
    _, _, err = call("list_runs", "--artifacts", art)
    assert "could not be trained: base/dora-s0-" in err

    message = "error: Training diverged: the loss is not finite after epoch 1"
    refused(2, call("fit_base", *words, "--models", "dora:1", *diverging), message)
