"""A stack says which clips it and its base models have learnt from."""

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
    assert seen_clips(tmp_path / "stack") == {*ids, "before"}


def test_a_folder_that_is_no_stack_is_refused(tmp_path):
    with pytest.raises(UsageError, match="stack"):
        seen_clips(tmp_path)
