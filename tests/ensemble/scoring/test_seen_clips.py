"""A stack says which clips it and its base models have learnt from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.predictions import PredictionTable
from ensemble import StackedMOS
from ensemble.scoring.cross_fitted_stack import cross_fitted
from ensemble.scoring.seen_clips import seen_clips

IDS = [f"clip{k}" for k in range(40)]


def stack_of(tmp_path, *, then=(), before=()):
    """A stack on one table; what its base model has seen before and after the fit."""
    rng = np.random.default_rng(0)
    labels = rng.uniform(1.5, 4.5, (40, 1))
    table = PredictionTable.from_scores(
        "one",
        IDS,
        ("mos",),
        scores=np.clip(labels + rng.normal(0, 0.3, (40, 1)), 1, 5),
        bins=ScoreBins(),
        sigma=0.35,
        trained_on=before,
    )
    stack = StackedMOS([("one", table)], "ridge", cv="prefit")
    stack.fit(pd.DataFrame({"clip_id": IDS}), pd.DataFrame(labels, columns=["mos"]))
    seen = frozenset((*before, *then))
    stack.estimators_ = [("one", replace(table, trained_on=seen))]
    stack.save(tmp_path / "stack")
    return stack


def test_the_clips_of_learner_and_base_models_are_seen(tmp_path):
    stack = stack_of(tmp_path, before=["before"])
    seen = seen_clips(tmp_path / "stack")
    assert seen.clips == {*IDS, "before"}
    assert seen.out_of_fold.equals(stack.final_estimator_.out_of_fold_)
    assert sorted(seen.out_of_fold.index) == sorted(IDS)
    again = StackedMOS.load(tmp_path / "stack")
    again.save(tmp_path / "again")
    for name in ("folds.json", "folds.safetensors", "out_of_fold.csv"):
        first = (tmp_path / "stack" / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == first


def test_of_a_clip_that_a_base_model_saw_nothing_is_out_of_fold(tmp_path):
    # As a base model that was fitted anew on all rows lists them in its file.
    stack = stack_of(tmp_path, then=IDS[:10])
    seen = seen_clips(tmp_path / "stack")
    assert seen.clips == set(IDS)
    assert sorted(seen.out_of_fold.index) == sorted(IDS[10:])
    clips = pd.DataFrame({"clip_id": IDS, "system_id": ""})
    _, notes = cross_fitted(stack, clips)
    assert "40 clips that the stack was fitted on" in notes[0]
    assert "named no systems to leave out" in notes[0]
    assert "base models have seen ratings of 10 of the clips" in notes[1]


@pytest.mark.parametrize("name", ["folds.json", "folds.safetensors", "out_of_fold.csv"])
def test_a_changed_file_of_the_folds_is_refused(tmp_path, name):
    stack_of(tmp_path)
    file = tmp_path / "stack" / name
    file.write_bytes(file.read_bytes().replace(b"1", b"2"))
    with pytest.raises(DamagedArtifact, match=name):
        seen_clips(tmp_path / "stack")


def test_a_folder_that_is_no_stack_is_refused(tmp_path):
    with pytest.raises(UsageError, match="stack"):
        seen_clips(tmp_path)
