"""Clips that cannot be trained on are refused in one line, before any is embedded."""

import numpy as np
import pandas as pd
import pytest
from builders import listening_test, tones
from commands import plan_embedded

from base_models.errors import UsageError
from ensemble.training.rated_clips import RatedClips, SplitRule
from ensemble.workspace import Workspace

SPLITS = {"train": 12, "dev": 6, "test": 2}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """20 clips of 4 systems, rated for two aspects; `ta` is judged by the prompt."""
    folder = tmp_path_factory.mktemp("clips")
    labels = np.random.default_rng(0).uniform(1, 5, (20, 2)).round(1)
    path = listening_test(
        folder,
        tones(20, seconds=0.3),
        SPLITS,
        labels={"mi": labels[:, 0], "ta": labels[:, 1]},
        content=[f"k{k // 4}" for k in range(20)],
    )
    return pd.read_csv(path).assign(audio=lambda f: f"{folder}/" + f["audio"])


@pytest.fixture
def refused(table, tmp_path):
    """Plans the training of an edited table, which must be refused."""

    def check(message, edit, *, group=None, aspects=None, models=("dora",), folds=0):
        edit(table.copy()).to_csv(tmp_path / "clips.csv", index=False)

        def embedding(*progress):
            pytest.fail("clips were embedded")

        rule = SplitRule(group=group)

        def plan():
            return plan_embedded(
                RatedClips.read(tmp_path / "clips.csv", aspects, splits=rule),
                [(name, 0) for name in models],
                Workspace(tmp_path / "artifacts"),
                folds=folds,
                on_embed=embedding,
            )

        with pytest.raises(UsageError, match=message) as caught:
            plan()
        assert len(str(caught.value)) <= 500
        assert "\n" not in str(caught.value)

    return check


def first(frame, column, n):
    """The table with only the first n values of a column."""
    return frame.assign(**{column: frame[column].where(frame.index < n)})


def test_equal_labels_teach_nothing(refused):
    message = "All 12 training labels of 'mi' are 3, so there is nothing to learn"
    refused(message, lambda f: f.assign(mi=3.0), models=["pooled_svr"])
    in_training = "All 12 training labels of 'ta' are 2"
    refused(in_training, lambda f: f.assign(ta=f["ta"].where(f.index >= 12, 2.0)))


@pytest.mark.parametrize("n", [1, 3])
def test_three_rated_clips_are_too_few(refused, n):
    message = f"rated for 'mi': {n}, and at least 4 are needed"
    refused(message, lambda f: first(f, "mi", n))


def test_a_text_aspect_needs_prompts(refused):
    def blank(frame):
        return frame.assign(prompt=" ")

    alone = "No train clip has a prompt, against which 'ta' is judged. Add a column"
    refused(alone, blank, aspects=["ta"])
    refused("No train clip that is rated for ta has a prompt", blank)


def test_an_audio_model_of_a_text_aspect_needs_no_prompt(table, tmp_path):
    table.assign(prompt="").to_csv(tmp_path / "clips.csv", index=False)
    rated = RatedClips.read(tmp_path / "clips.csv", ["ta"])
    plan = plan_embedded(rated, [("muq_eval", 0)], Workspace(tmp_path / "artifacts"))
    assert len(plan.rated.frame) == 20


def test_a_text_aspect_needs_no_dev_clips_where_folds_do(table, tmp_path):
    without_dev = table[table["split"] != "dev"]
    without_dev.to_csv(tmp_path / "clips.csv", index=False)
    rated = RatedClips.read(
        tmp_path / "clips.csv", ["ta"], splits=SplitRule(needs_dev=False)
    )
    plan = plan_embedded(
        rated, [("pooled_svr", 0)], Workspace(tmp_path / "artifacts"), folds=2
    )
    assert len(plan.rated.frame) == 14


def test_more_folds_than_clips_are_refused(refused):
    message = (
        "--folds 13 needs at least 13 training clips, and there are 12; name fewer"
    )
    refused(message, lambda f: f, folds=13)
    groups = "--folds 4 needs at least 4 groups of 'content' among the training clips"
    refused(groups, lambda f: f, folds=4, group="content")


def test_folds_that_leave_too_little_are_refused(refused):
    def few(frame):
        return first(frame, "mi", 6)

    message = (
        "With --folds 2 a model would learn from 2 rated clips, of 6 training clips"
    )
    refused(message, few, folds=2)


def test_a_single_group_has_nothing_to_hold_out(refused):
    def one_group(frame):
        return frame.assign(content=frame["split"])

    message = "There are 1 groups of 'content' among the training clips, and training"
    refused(message, one_group, group="content")


def test_splits_that_cannot_be_made_are_not_called_given(refused):
    def one_clip(frame):
        return frame.head(1).drop(columns="split")

    refused("The splits of .* have no dev clips, of 1 in all", one_clip)
