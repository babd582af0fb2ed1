"""The precision of encoders is part of what a run is."""

from __future__ import annotations

import numpy as np
import pytest
from builders import listening_test, tones
from tiny_encoders import write_wav2vec2

from base_models.errors import UsageError
from ensemble.training.encoder_choice import EncoderChoice
from ensemble.training.rated_clips import RatedClips
from ensemble.training.train_base_models import plan_training
from ensemble.training.training_setup import Compute, TrainingSetup
from ensemble.workspace import Workspace

SPLITS = {"train": 6, "dev": 2, "test": 2}


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Plan one model in a precision, in one workspace."""
    root = tmp_path_factory.mktemp("runs")
    write_wav2vec2(root / "wav2vec2")
    n = sum(SPLITS.values())
    labels = {"mi": np.linspace(1.5, 4.5, n)}
    table = listening_test(root, tones(n, pitches=n), SPLITS, labels=labels)
    encoders = EncoderChoice.parse([f"wav2vec2={root / 'wav2vec2'}"], [])

    def plan(precision):
        return plan_training(
            RatedClips.read(table),
            [("pooled_ridge", 0)],
            Workspace(root / "artifacts"),
            TrainingSetup(encoders),
            Compute("cpu", precision=precision, jobs=1),
        )

    return plan


def test_a_run_in_another_precision_is_another_run(plan):
    (usual,) = plan("auto").runs
    (asked,) = plan("float32").runs
    (lowered,) = plan("bfloat16").runs
    assert usual == asked
    assert usual.folder != lowered.folder
    assert (usual.precisions, lowered.precisions) == ({}, {"audio": "bfloat16"})


def test_a_run_is_trained_in_its_precision_and_says_so(plan):
    (run,) = plan("bfloat16").runs
    run.train()
    facts = run.folder / "run.json"
    assert '"audio": "bfloat16"' in facts.read_text()
    signature = (run.folder / "config.json").read_text()
    assert "-bf16" in signature


def test_a_precision_that_is_not_here_is_refused_before_anything_is_embedded(plan):
    with pytest.raises(UsageError, match="'cpu' has no tf32"):
        plan("tf32")
