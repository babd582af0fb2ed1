"""An encoder that fails stops the models that are on it, and no other."""

import errno

import numpy as np
import pytest
from builders import listening_test, tones
from commands import call
from tiny_encoders import write_wav2vec2

from base_models.encoders.base import Encoder
from base_models.errors import UsageError
from ensemble.stacking.stack_data import StackData
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.rated_clips import RatedClips
from ensemble.training.stored_runs import RunsOfData
from ensemble.training.train_base_models import plan_training, train_base_models
from ensemble.training.training_setup import Compute, TrainingSetup
from ensemble.workspace import Workspace

MODELS = [("pooled_ridge@logmel", 0), ("pooled_ridge@wav2vec2", 0)]
FAILS = "pooled_ridge@wav2vec2-s0"
ENCODE = Encoder.encode


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A table of 30 clips of a second."""
    labels = 1.5 + 0.8 * (np.arange(30) % 4)
    return listening_test(
        tmp_path_factory.mktemp("data"),
        tones(30, seconds=0.5, noise=0.01),
        {"train": 16, "dev": 8, "test": 6},
        labels={"mos": labels + np.random.default_rng(0).uniform(0, 0.5, 30)},
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The folder of a tiny wav2vec 2.0."""
    folder = tmp_path_factory.mktemp("encoders") / "wav2vec2"
    write_wav2vec2(folder)
    return folder


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "artifacts")


@pytest.fixture
def plan(data, weights, workspace):
    def make(models=MODELS):
        encoders = EncoderChoice.parse(["logmel", f"wav2vec2={weights}"], [])
        return plan_training(
            RatedClips.read(data),
            models,
            workspace,
            TrainingSetup(encoders),
            Compute("cpu", jobs=1),
        )

    return make


def break_encoder(monkeypatch, answer):
    """wav2vec 2.0 gives what `answer` makes of its embeddings, or raises."""

    def encode(self, batch):
        embeddings = ENCODE(self, batch)
        return answer(embeddings) if self.name == "wav2vec2" else embeddings

    monkeypatch.setattr(Encoder, "encode", encode)


def raising(error):
    def answer(embeddings):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raising(RuntimeError("of\ntorch")), "RuntimeError: of torch"),
        (raising(UsageError("no such weights")), "no such weights"),
        (raising(KeyError("layer")), "KeyError: 'layer'"),
        (raising(IndexError()), "IndexError"),
        (lambda embeddings: embeddings * np.nan, r"No train clip .* is not finite"),
        (lambda embeddings: embeddings[..., :5], r"gives embeddings of shape"),
    ],
)
def test_models_on_other_encoders_are_trained(
    plan, workspace, monkeypatch, answer, reason
):
    break_encoder(monkeypatch, answer)
    made = plan()
    assert made.set_aside == ()
    assert list(made.failed) == [FAILS]
    result = train_base_models(made, workspace)
    assert result.trained == ("pooled_ridge@logmel-s0",)
    (message,) = result.failed.values()
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(message)
    assert RunsOfData.of_last(workspace).failed == result.failed
    assert f"left out: {FAILS}" in StackData.from_runs(workspace).note

    # After the cure, only what failed is trained.
    monkeypatch.undo()
    again = train_base_models(plan(), workspace)
    assert (again.trained, again.failed) == ((FAILS,), {})


def test_an_encoder_that_fails_alone_raises_what_it_failed_with(plan, monkeypatch):
    break_encoder(monkeypatch, raising(RuntimeError("of torch")))
    with pytest.raises(RuntimeError, match=r"^of torch$"):
        plan(MODELS[1:])


@pytest.mark.parametrize(
    "fault",
    [KeyboardInterrupt(), MemoryError(), OSError(errno.EIO, "Input/output error")],
)
def test_interrupts_and_faults_of_the_machine_stop_all(plan, monkeypatch, fault):
    break_encoder(monkeypatch, raising(fault))
    with pytest.raises(type(fault)):
        plan()


def test_clips_that_no_encoder_can_embed_are_at_fault_themselves(plan, monkeypatch):
    def encode(self, batch):
        return ENCODE(self, batch) * np.nan

    monkeypatch.setattr(Encoder, "encode", encode)
    with pytest.raises(UsageError, match=r"No train clip can be used; .* not finite"):
        plan()


def test_the_command_lists_the_models_and_ends_with_3(data, weights, tmp_path):
    words = ["--data", data, "--audio-encoder", "logmel", f"wav2vec2={weights}"]
    words += ["--models", *(name for name, _ in MODELS), "--artifacts", tmp_path]
    with pytest.MonkeyPatch.context() as patch:
        break_encoder(patch, raising(RuntimeError("of torch")))
        code, _, err = call("fit_base", *words, "--jobs", 1)
    assert code == 3, err
    assert f"{FAILS} could not be trained: RuntimeError: of torch" in err
    assert "trained 1 of 2 base models" in err
    assert "Traceback" not in err
