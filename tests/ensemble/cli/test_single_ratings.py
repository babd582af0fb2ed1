"""Single ratings from file to model: they touch only models that learn from them."""

import numpy as np
import pandas as pd
import pytest
from builders import listening_test, tones
from commands import EMBEDDED, call, plan_embedded, refused
from raters import ratings_of
from tiny_networks import embedded_model, weights_of

from base_models.clips.ratings import check_against_labels, read_ratings
from base_models.errors import UsageError
from base_models.files import read_json
from base_models.metrics.likelihood import likelihood
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.training.rated_clips import RatedClips, add_ratings
from ensemble.training.training_setup import TrainingSetup
from ensemble.workspace import Workspace

ASPECTS = ["mi", "ta"]
SETUP = TrainingSetup()
BOTH = [("dora", 0), ("dora_beta", 0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A table of 24 clips of 0.2 s, four systems, all splits; and of their ratings."""
    folder = tmp_path_factory.mktemp("rated")
    means = np.random.default_rng(0).uniform(1.5, 4.5, (24, 2)).round(1)
    path = listening_test(
        folder,
        tones(24, 0.2),
        {"train": 14, "dev": 5, "test": 5},
        labels={"mi": means[:, 0], "ta": means[:, 1]},
        prompts=["piano"],
    )
    ratings = ratings_of(pd.read_csv(path), ASPECTS)
    ratings.to_csv(folder / "ratings.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def rated(folder):
    return RatedClips.read(folder / "clips.csv")


@pytest.fixture(scope="module")
def ratings(folder):
    return read_ratings(folder / "ratings.csv", ASPECTS)


# ---- the estimator


@pytest.fixture(scope="module")
def fit(folder, rated):
    clips = rated.frame.assign(audio=[str(path) for path in rated.frame["audio"]])

    def make(preset="dora_beta", given=None, **params):
        settings = {"max_epochs": 1, "batch_size": 8, "learning_rate": 1e-3}
        params = {"store": folder / "store"} | params
        model = embedded_model(preset, settings, **params)
        return model.fit(clips, clips[ASPECTS], ratings=given)

    return make


def test_ratings_decide_what_is_learnt_and_their_order_does_not(fit, ratings):
    model = fit(given=ratings)
    assert model.sigma_ == 0
    shuffled = ratings.sample(frac=1, random_state=0).reset_index(drop=True)
    assert weights_of(fit(given=shuffled)) == weights_of(model)
    assert weights_of(fit(given=ratings.assign(mi=6 - ratings["mi"]))) != weights_of(
        model
    )
    unknown = ratings.assign(clip_id="x" + ratings["clip_id"])
    assert weights_of(
        fit(given=pd.concat([ratings, unknown], ignore_index=True))
    ) == weights_of(model)


def test_clips_without_ratings_are_learnt_from_their_means(fit, ratings):
    partly = ratings[ratings["clip_id"] < "c07"]
    left_out = ratings.assign(mi=ratings["mi"].where(ratings["clip_id"] < "c07"))
    left_out["ta"] = left_out["ta"].where(left_out["clip_id"] < "c07")
    assert weights_of(fit("dora_raters", partly)) == weights_of(
        fit("dora_raters", left_out)
    )
    assert weights_of(fit("dora_raters", partly)) != weights_of(
        fit("dora_raters", ratings)
    )


def test_a_checkpoint_of_other_ratings_is_not_resumed(fit, ratings, tmp_path):
    epochs = []
    for given in (ratings, ratings, ratings.assign(mi=6 - ratings["mi"])):
        fit(given=given, checkpoint=tmp_path / "c", on_epoch=epochs.append)
    assert len(epochs) == 2


def test_ratings_are_neither_missed_nor_ignored_without_a_word(fit, ratings):
    with pytest.raises(
        UsageError, match="'beta' learns from single ratings; pass them as ratings"
    ):
        fit()
    with pytest.raises(
        UsageError, match="'gaussian' learns from means; it would not read the ratings"
    ):
        fit("dora", ratings)
    with pytest.raises(
        UsageError, match="No training clip has a single rating of 'ta'"
    ):
        fit(given=ratings.assign(ta=np.nan))
    with pytest.raises(UsageError, match="Ratings lack the columns 'ta'"):
        fit(given=ratings.drop(columns="ta"))


# ---- the clips


def test_ratings_are_kept_beside_their_clips_in_an_order_of_their_own(
    rated, ratings, tmp_path
):
    more = pd.concat(
        [ratings, ratings.assign(clip_id="x" + ratings["clip_id"])], ignore_index=True
    )
    kept = rated.with_ratings(more.sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(kept.ratings, rated.with_ratings(ratings).ratings)
    kept.save(tmp_path / "data")
    pd.testing.assert_frame_equal(
        RatedClips.load(tmp_path / "data").ratings, kept.ratings
    )
    assert set(kept.take(range(3)).ratings["clip_id"]) == {"c00", "c01", "c02"}
    content = ["k"] * 24
    assert (
        kept.fingerprint(content)
        == rated.fingerprint(content)
        == rated.fingerprint(content, ratings=True)
    )
    assert kept.fingerprint(content, ratings=True) != kept.fingerprint(content)
    with pytest.raises(
        UsageError,
        match=r"No rating is of a clip in .*: one is of 'xc00'.* a clip there is 'c00'",
    ):
        rated.with_ratings(ratings.assign(clip_id="x" + ratings["clip_id"]))


def test_ratings_rename_only_the_runs_that_learn_from_them(rated, ratings, tmp_path):
    workspace, other = Workspace(tmp_path), ratings.assign(mi=6 - ratings["mi"])
    plain = plan_embedded(rated, BOTH[:1], workspace).runs[0].folder
    one, two = (
        plan_embedded(rated.with_ratings(given), BOTH, workspace).runs
        for given in (ratings, other)
    )
    assert one[0].folder == two[0].folder == plain
    assert one[1].folder != two[1].folder
    assert one[1].data != two[1].data


def test_ratings_come_from_a_file_or_nowhere_and_are_described(rated, folder):
    found, said = add_ratings(rated, BOTH, SETUP, path=folder / "ratings.csv")
    assert (
        said
        == "dora_beta: 96 single ratings by 4 raters of 24 of 24 clips, their means "
        "0.32 from the labels"
    )
    assert len(found.ratings) == 96
    _, said = add_ratings(
        rated.take(range(20)), BOTH, SETUP, path=folder / "ratings.csv"
    )
    assert said.startswith("dora_beta: 80 single ratings by 4 raters of 20 of 20 clips")
    assert said.endswith("; 16 of clips that are not in the table are left out")
    assert add_ratings(rated, BOTH, SETUP) == (rated, "")
    assert add_ratings(
        rated,
        [("dora", 0)],
        TrainingSetup(overrides={"criterion": "beta"}),
        path=folder / "ratings.csv",
    )[1]
    _, said = add_ratings(rated, BOTH[:1], SETUP, path=folder / "ratings.csv")
    assert said.startswith(
        "for the noise ceiling: 96 single ratings by 4 raters of 24 of 24 clips"
    )
    wide = read_ratings(folder / "ratings.csv", ASPECTS, (0, 1000))
    with pytest.raises(
        UsageError,
        match=r"mean ratings of .* lie \d.\d+ points from its labels .*--rating-scale",
    ):
        check_against_labels(wide, rated.frame, ASPECTS)


# ---- the commands


def test_models_of_raters_are_trained_and_measured_from_the_command_line(
    folder, tmp_path
):
    words = [
        "fit_base",
        "--data",
        folder / "clips.csv",
        *EMBEDDED,
        "--artifacts",
        tmp_path / "art",
        "--jobs",
        1,
    ]
    words += ["--set", "max_epochs=1"]
    refused(
        2,
        call(*words, "--models", "dora_beta:1"),
        "'dora_beta' learns from single ratings, and there are none",
    )
    models = ["--models", "dora:1", "dora_beta:1", "dora_raters:1", "--folds", 2]
    code, _, said = call(*words, *models, "--ratings", folder / "ratings.csv")
    assert code == 0, said
    assert (
        "dora_beta, dora_raters: 96 single ratings by 4 raters of 24 of 24 clips"
        in said
    )
    (path,) = (tmp_path / "art" / "base").glob(
        "dora_beta-s0-*[0-9a-f]/predictions-test.parquet"
    )
    measure = [
        "evaluate_mos",
        path,
        folder / "clips.csv",
        "--split",
        "test",
        "--bootstrap",
        50,
    ]
    code, out, said = call(
        *measure, "--ratings", folder / "ratings.csv", "--json", tmp_path / "m.json"
    )
    assert code == 0, said
    assert "log p, 20 ratings" in out
    table = PredictionTable.read(path)
    systems = [f"s{int(clip[1:]) % 4}" for clip in table.clip_ids]
    expected = likelihood(
        table, read_ratings(folder / "ratings.csv", ASPECTS), systems, 50
    )
    found = pd.DataFrame(read_json(tmp_path / "m.json")["likelihood"])
    pd.testing.assert_frame_equal(
        found[list(expected)].astype(expected.dtypes), expected
    )
    assert "log p" not in call(*measure)[1]
    refused(
        3,
        call(*measure, "--ratings", folder / "ratings.csv", "--rating-scale", 0, 3),
        r"42 of 96 rows: mi is off the scale 0\.\.3",
    )
    scores = pd.DataFrame({"clip_id": table.clip_ids, "mi": 3.0, "ta": 3.0})
    scores.to_parquet(tmp_path / "scores.parquet")
    measure[1] = tmp_path / "scores.parquet"
    code, out, err = call(*measure, "--ratings", folder / "ratings.csv")
    assert code == 0
    assert "ceiling SRCC" in out
    assert "log p" not in out
    assert (
        "The file holds scores: the probability of a rating needs distributions" in err
    )


def test_predicted_disagreement_reaches_the_user_and_says_what_it_is_worth(
    folder, tmp_path
):
    art = ["--artifacts", tmp_path / "art"]
    words = ["fit_base", "--data", folder / "clips.csv", *EMBEDDED, *art, "--jobs", 1]
    words += ["--models", "dora:1", "dora_beta:1", "--folds", 2]
    words += ["--set", "max_epochs=1", "--ratings", folder / "ratings.csv"]
    code, _, said = call(*words)
    assert code == 0, said

    # The tones repeat, so that dev clips are among those that were trained on.
    meta = ["fit_meta", "--allow-leak", "--rivals", "mean", *art]
    # Five dev clips are too few to calibrate on; fourteen training clips are enough.
    for cv, calibrated in (("dev", False), ("oof", True)):
        code, out, said = call(*meta, "--cv", cv)
        assert code == 0, said
        stack = StackedMOS.load(out.split()[-1], device="cpu")
        for known in stack.final_estimator_.disagreements_:
            assert known.models == ("dora_beta-s0",)
            assert known.is_calibrated == calibrated

        scores = ["--clips", folder / "clips.csv", "--out", tmp_path / "s.csv"]
        code, _, said = call("predict_mos", *scores, *art)
        assert code == 0, said
        frame = pd.read_csv(tmp_path / "s.csv")
        assert [name for name in frame if name.endswith("_sd")] == ["mi_sd", "ta_sd"]
        assert frame[["mi_sd", "ta_sd"]].gt(0).all(axis=None)
        noted = "mi_sd is the plain mean of what 'dora_beta-s0' expect"
        assert (noted in said) != calibrated

    scores[-1] = tmp_path / "answer.txt"
    assert call("predict_mos", *scores, *art)[0] == 0
    assert (tmp_path / "answer.txt").read_text().count(",") == 2 * 24
