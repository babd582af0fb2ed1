"""A stack says which clips it and its base models have learnt from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble import StackedMOS
from ensemble.scoring.seen_clips import seen_clips


def test_the_clips_of_learner_and_base_models_are_seen(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"clip{k}" for k in range(40)]
    labels = pd.Series(rng.uniform(1.5, 4.5, 40), index=ids)
    table = PredictionTable.from_scores(
        "one",
        ids,
        ("mos",),
        scores=(labels + rng.normal(0, 0.3, 40)).clip(1, 5).to_numpy()[:, None],
        bins=ScoreBins(),
        sigma=0.35,
        trained_on=["before"],
    )
    frame = pd.DataFrame(labels.rename("mos"))
    stack = StackedMOS(estimators=[("one", table)], final_estimator="ridge")
    stack.fit(frame.rename_axis("clip_id").reset_index()[["clip_id"]], frame)
    stack.save(tmp_path / "stack")
    seen = seen_clips(tmp_path / "stack")
    assert seen.clips == {*ids, "before"}
    assert sorted(seen.out_of_fold.index) == sorted(ids)
    assert seen.out_of_fold["mos"].notna().all()


def test_of_a_clip_that_a_base_model_saw_nothing_is_out_of_fold(tmp_path):
    rng = np.random.default_rng(0)
    ids = [f"clip{k}" for k in range(40)]
    labels = rng.uniform(1.5, 4.5, (40, 1))
    table = PredictionTable.from_scores(
        "one", ids, ("mos",), scores=labels, bins=ScoreBins(), sigma=0.35
    )
    frame = pd.DataFrame(labels, columns=["mos"])
    stack = StackedMOS([("one", table)], "ridge", cv="prefit")
    stack.fit(pd.DataFrame({"clip_id": ids}), frame)
    # As a base model that was fitted anew on all rows lists them in its file.
    stack.estimators_ = [("one", replace(table, trained_on=frozenset(ids[:10])))]
    stack.save(tmp_path / "stack")
    assert sorted(seen_clips(tmp_path / "stack").out_of_fold.index) == sorted(ids[10:])


def test_a_folder_that_is_no_stack_is_refused(tmp_path):
    with pytest.raises(UsageError, match="stack"):
        seen_clips(tmp_path)
