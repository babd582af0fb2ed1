"""Laws of PooledMOS: distributions of the clip alone, whatever the scale of its
embeddings; files that say what they are."""

import functools
import json

import numpy as np
import pytest
import safetensors.numpy
from pooled_clips import embedded, given_clips, read_given, with_frames
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.preprocessing import StandardScaler

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import seal
from base_models.pooled.pooled_features import ClipStatistics
from base_models.pooled.pooled_mos import PooledMOS
from base_models.pooled.regressors import RECIPES
from base_models.pooled_config import POOLED_MODELS
from base_models.sklearn_files.estimator_files import estimator_bytes

ASPECTS = ["mi", "ta"]


@pytest.fixture(scope="module", autouse=True)
def given():
    """Embeddings are taken from the table, and a forest has a fifth of its trees."""
    full_forest = RECIPES["forest"]

    def small_forest(n_columns, seed):
        recipe = full_forest(n_columns, seed)
        recipe.estimator.set_params(n_estimators=20)
        return recipe

    with pytest.MonkeyPatch.context() as patch:
        read_given(patch)
        # Writing a tree takes longer than growing it.
        patch.setitem(RECIPES, "forest", small_forest)
        yield


@pytest.fixture(scope="module")
def clips():
    return given_clips()


@pytest.fixture(scope="module")
def new():
    return given_clips(7, seed=1)


def statistics(table):
    """What a pooled model knows of the clips of a table."""
    return ClipStatistics.of(embedded(table))


def model(preset="pooled_ridge", **params):
    names = {"audio_encoder": "logmel", "text_encoder": "hashed_text"}
    return PooledMOS(preset, **names | {"device": "cpu"} | params)


@pytest.fixture(scope="module")
def fit_once(clips):
    """Function that fits a preset on both aspects, for those who change nothing."""
    return functools.cache(lambda preset: model(preset).fit(clips, clips[ASPECTS]))


@pytest.fixture(scope="module", params=POOLED_MODELS)
def fitted(request, fit_once):
    return fit_once(request.param)


@pytest.fixture(scope="module")
def fitted_again(fitted, clips):
    """A clone of the fitted model, fitted on the same clips."""
    return clone(fitted).fit(clips, clips[ASPECTS])


# predictions


def test_predictions_are_distributions_and_scores_on_the_scale(fitted, new):
    distributions = fitted.predict_distribution(new)
    scores = fitted.predict(new)
    assert (distributions.shape, distributions.dtype) == ((7, 2, 20), np.float64)
    np.testing.assert_allclose(distributions.sum(-1), 1, atol=1e-12)
    assert (distributions >= 0).all()
    assert scores.shape == (7, 2)
    assert ((scores >= 1) & (scores <= 5)).all()


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_what_the_embeddings_say_is_learnt(preset):
    many = given_clips(60)
    others = given_clips(60, seed=1)
    scores = model(preset).fit(many, many[ASPECTS]).predict(others)
    for aspect, name in enumerate(ASPECTS):
        assert np.corrcoef(scores[:, aspect], others[name])[0, 1] > 0.7


def test_a_clip_alone_predicts_what_it_predicts_in_any_company_and_order(fitted, new):
    together = fitted.predict_distribution(new)
    alone = [fitted.predict_distribution(new.iloc[[row]])[0] for row in range(len(new))]
    order = np.random.default_rng(0).permutation(len(new))
    np.testing.assert_allclose(alone, together, atol=1e-10)
    np.testing.assert_allclose(
        fitted.predict_distribution(new.iloc[order]), together[order], atol=1e-10
    )
    assert fitted.predict(new.iloc[:0]).shape == (0, 2)


def test_the_same_seed_fits_the_same_model(fitted, fitted_again, new):
    np.testing.assert_array_equal(
        fitted_again.predict_distribution(new), fitted.predict_distribution(new)
    )


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_scale_and_offset_of_a_dimension_do_not_matter(preset, clips, new):
    rng = np.random.default_rng(3)
    a = 10.0 ** rng.uniform(-9, 4, 5)
    b = rng.normal(size=5) * 3 * a

    def moved(table):
        return with_frames(table, lambda x: (x * a + b).astype(np.float32))

    plain = model(preset).fit(clips, clips["mi"]).predict(new)
    other = model(preset).fit(moved(clips), clips["mi"]).predict(moved(new))
    # Single precision moves the last digits, and trees may split beside them.
    np.testing.assert_allclose(other, plain, atol=2e-3)


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_a_model_of_single_frames_is_saved_and_read(preset, clips, new, tmp_path):
    # distillmos gives clips of up to 7.68 s one vector, so that no spread varies.
    def single(table):
        return with_frames(table, lambda x: x[:1])

    fitted = model(preset).fit(single(clips), clips[ASPECTS])
    fitted.save(tmp_path / "model")
    read = PooledMOS.load(tmp_path / "model")
    np.testing.assert_array_equal(
        read.predict_distribution(single(new)),
        fitted.predict_distribution(single(new)),
    )


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_a_dimension_dead_in_training_is_ignored_in_new_clips(preset, clips, new):
    def with_dead(table, value):
        return with_frames(
            table, lambda x: np.c_[x, np.full(len(x), value, np.float32)]
        )

    def noisy(table):
        rng = np.random.default_rng(0)
        return with_frames(table, lambda x: np.c_[x, 1e6 * rng.normal(size=len(x))])

    plain = model(preset).fit(clips, clips["mi"])
    dead = model(preset).fit(with_dead(clips, 0.25), clips["mi"])
    expected = plain.predict(new)
    np.testing.assert_allclose(dead.predict(with_dead(new, 0.25)), expected, atol=1e-9)
    np.testing.assert_allclose(dead.predict(noisy(new)), expected, atol=1e-9)


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_clips_of_one_frame_are_learnt_from(preset, clips, new):
    single = with_frames(clips, lambda x: x[:1])
    model_ = model(preset).fit(single, clips["mi"])
    assert np.isfinite(model_.predict(new)).all()
    assert np.isfinite(model_.predict(with_frames(new, lambda x: x[:1]))).all()


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_constant_labels_are_predicted_as_they_are(preset, clips, new):
    fitted = model(preset).fit(clips, np.full(len(clips), 3.4))
    np.testing.assert_allclose(fitted.predict(new), 3.4, atol=0.02)


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_unlabelled_clips_change_nothing(preset, clips, new):
    """Of every aspect, only the labelled clips count."""
    holes = clips[ASPECTS].copy()
    holes.iloc[:6, 0] = np.nan
    holes.iloc[-5:, 1] = np.nan
    both = model(preset).fit(clips, holes)
    scores = both.predict(new)
    for number, (aspect, rows) in enumerate(
        [("mi", clips.iloc[6:]), ("ta", clips.iloc[:-5])]
    ):
        alone = model(preset).fit(rows, rows[[aspect]])
        np.testing.assert_allclose(scores[:, number], alone.predict(new), atol=1e-9)
    assert both.trained_on_ == frozenset(clips["clip_id"])
    assert both.selected_on_ == frozenset()


def test_clips_of_weight_0_are_as_if_absent(clips, new):
    weights = np.r_[np.zeros(5), np.ones(len(clips) - 5)]
    weighted = model().fit(clips, clips["mi"], sample_weight=weights)
    rest = clips.iloc[5:]
    without = model().fit(rest, rest["mi"])
    np.testing.assert_allclose(weighted.predict(new), without.predict(new))
    assert weighted.trained_on_ == without.trained_on_


def test_a_gaussian_process_refuses_weights_that_differ(clips):
    weights = np.r_[2.0, np.ones(len(clips) - 1)]
    with pytest.raises(UsageError, match="'gp' takes no weights, and those of the"):
        model("pooled_gp").fit(clips, clips["mi"], sample_weight=weights)
    model("pooled_gp").fit(clips, clips["mi"], sample_weight=np.full(len(clips), 2.0))


# few or odd clips


@pytest.mark.parametrize("preset", POOLED_MODELS)
def test_fewer_clips_than_inner_folds_are_enough(preset, clips, new):
    four = clips.iloc[:4]
    scores = model(preset).fit(four, four["mi"]).predict(new)
    assert np.isfinite(scores).all()


def test_fewer_than_four_labels_are_refused(clips):
    few = clips[ASPECTS].copy()
    few.iloc[3:, 1] = np.nan
    with pytest.raises(UsageError, match=r"at least 4 labelled clips.*'ta' has 3"):
        model().fit(clips, few)


def test_groups_stay_in_one_inner_fold_and_a_single_one_is_as_none(clips, new):
    plain = model().fit(clips, clips["mi"])
    one = model().fit(clips, clips["mi"], groups=["g"] * len(clips))
    assert one.tuning_ == plain.tuning_
    np.testing.assert_array_equal(one.predict(new), plain.predict(new))

    # Of two groups with opposed labels, each predicts the other badly.
    is_b = np.arange(len(clips)) % 2 == 1
    labels = clips["mi"].where(~is_b, 6 - clips["mi"])
    grouped = model().fit(clips, labels, groups=is_b)
    (record,) = grouped.tuning_
    (free,) = model().fit(clips, labels).tuning_
    assert record["inner_mse"] > 1.2 * free["inner_mse"]

    with pytest.raises(UsageError, match="24 clips but 3 groups"):
        model().fit(clips, clips["mi"], groups=["g"] * 3)


def test_embeddings_that_are_all_equal_are_refused(clips):
    same = with_frames(clips, lambda x: np.ones((4, 5), np.float32))
    with pytest.raises(UsageError, match="embeddings of all training clips are equal"):
        model().fit(same, clips["mi"])


def test_a_clip_far_from_all_others_stays_on_the_scale(fitted, new):
    far = with_frames(new, lambda x: x * np.float32(1e30))
    scores = fitted.predict(far)
    assert ((scores >= 1) & (scores <= 5)).all()


# text aspects


@pytest.fixture
def one_space(monkeypatch):
    """Audio and text embeddings lie in one space."""
    monkeypatch.setattr(PooledMOS, "_shares_space", lambda self: True)


def test_a_shared_space_adds_what_clip_and_prompt_have_in_common(
    one_space, clips, new, tmp_path
):
    # Only the cosine of clip and prompt tells the label.
    frames = np.stack([array.mean(axis=0) for array in clips["frames"]])
    tokens = np.stack([array.mean(axis=0) for array in clips["tokens"]])
    lengths = np.linalg.norm(frames, axis=1) * np.linalg.norm(tokens, axis=1)
    labels = 3 + (frames * tokens).sum(axis=1) / lengths
    table = clips.assign(ta=labels)
    fitted = model("pooled_svr").fit(table, table[["ta"]])
    (explained,) = zip(*fitted.explain_scores(embedded(table)), strict=True)
    joint = [of_clip.contributions["joint"] for of_clip in explained]
    assert np.corrcoef(joint, labels)[0, 1] > 0.5

    fitted.save(tmp_path / "m")
    loaded = PooledMOS.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(new), fitted.predict(new))


def test_a_blank_prompt_leaves_the_other_aspects(clips, new):
    blank = clips.assign(prompt=clips["prompt"].where(clips.index > 4, " "))
    fitted = model().fit(blank, blank[ASPECTS])
    rest = clips.iloc[5:]
    alone = model().fit(rest, rest[["ta"]])
    np.testing.assert_allclose(fitted.predict(new)[:, 1], alone.predict(new))

    scores = fitted.predict(new.assign(prompt=["", *new["prompt"][1:]]))
    assert np.isnan(scores[0, 1])
    assert np.isfinite(scores[0, 0])
    assert np.isfinite(scores[1:]).all()


def test_audio_alone_predicts_text_aspects_where_that_is_asked_for(clips):
    fitted = model(settings={"audio_only": True}).fit(clips, clips[ASPECTS])
    assert fitted.needs_text_ == (False, False)
    assert list(fitted.poolings_[1].blocks(statistics(clips))) == ["audio"]


# the Gaussian process


def test_the_mean_of_a_gaussian_process_distribution_is_its_score(clips, new):
    fitted = model("pooled_gp").fit(clips, clips["mi"])
    distributions = fitted.predict_distribution(new)[:, 0]
    bins = fitted.config_.bins
    np.testing.assert_allclose(bins.expected(distributions), fitted.predict(new))
    regressor = fitted.regressors_[0]
    matrix = fitted.poolings_[0].blocks(statistics(new))["audio"]
    np.testing.assert_allclose(fitted.predict(new), regressor.predict(matrix), atol=0.1)


def test_a_gaussian_process_is_wider_where_it_doubts(clips):
    fitted = model("pooled_gp").fit(clips, clips["mi"])
    known = clips.iloc[:5]
    strange = with_frames(known, lambda x: np.float32(8) * x[::-1] + 20)
    bins = fitted.config_.bins

    def widths(table):
        shares = fitted.predict_distribution(table)[:, 0]
        means = bins.expected(shares)
        return np.sqrt((shares * (bins.centers - means[:, None]) ** 2).sum(axis=1))

    assert widths(strange).min() > widths(known).max()


# explanations


def test_contributions_and_start_add_up_to_the_score(fitted, new):
    explained = fitted.explain_scores(embedded(new))
    for row, of_aspects in enumerate(explained):
        for number, (aspect, found) in enumerate(zip(ASPECTS, of_aspects, strict=True)):
            assert found.aspect == aspect
            blocks = ["audio", "text"] if aspect == "ta" else ["audio"]
            assert list(found.contributions) == blocks
            pooled = fitted.poolings_[number].blocks(statistics(new.iloc[[row]]))
            matrix = np.concatenate(list(pooled.values()), axis=1)
            score = fitted.regressors_[number].predict(matrix)[0]
            total = found.start + sum(found.contributions.values())
            assert total == pytest.approx(score, abs=1e-9)
    assert fitted.explain_scores(embedded(new.iloc[:0])) == []


# files


def test_a_saved_model_predicts_the_same_and_its_clone_can_be_fitted(
    fitted, clips, new, tmp_path
):
    fitted.save(tmp_path / "m")
    loaded = PooledMOS.load(tmp_path / "m")
    expected = fitted.predict_distribution(new)
    np.testing.assert_array_equal(loaded.predict_distribution(new), expected)
    assert loaded.trained_on_ == fitted.trained_on_
    assert loaded.tuning_ == fitted.tuning_

    again = clone(loaded).fit(clips, clips[ASPECTS])
    np.testing.assert_array_equal(again.predict_distribution(new), expected)
    assert {p.suffix for p in (tmp_path / "m").iterdir()} == {
        ".json",
        ".safetensors",
        ".skops",
    }


def test_equal_models_are_equal_files(fitted, fitted_again):
    assert fitted_again.to_files() == fitted.to_files()


def test_a_prediction_table_says_what_the_model_has_seen(fitted, new):
    table = fitted.prediction_table("p", list(new["clip_id"]), embedded(new))
    assert table.trained_on == fitted.trained_on_
    assert table.sigma == fitted.sigma_
    scores = table.bins.decode(table.distributions, table.sigma)
    np.testing.assert_allclose(scores, fitted.predict(new))


def test_a_fit_that_fails_leaves_nothing_to_predict_with(clips, new):
    fitted = model().fit(clips, clips["mi"])
    with pytest.raises(UsageError, match="at least 4"):
        fitted.fit(clips.iloc[:3], clips["mi"][:3])
    with pytest.raises(NotFittedError):
        fitted.predict(new)


@pytest.fixture
def saved(fit_once, tmp_path):
    """A maker of saved models of two aspects, damaged by an edit of their files."""

    def make(preset, edit):
        folder = tmp_path / preset
        fit_once(preset).save(folder)
        edit(folder)
        (folder / "manifest.json").unlink()
        seal(folder, "base model")
        return folder

    return make


def changed_arrays(change):
    def edit(folder):
        path = folder / "pooling.safetensors"
        arrays = safetensors.numpy.load(path.read_bytes())
        change(arrays)
        path.write_bytes(safetensors.numpy.save(arrays))

    return edit


def another_regressor(estimator):
    def edit(folder):
        data = estimator_bytes(estimator, "it", cure="")
        (folder / "regressor-0.skops").write_bytes(data)

    return edit


X_15 = np.random.default_rng(0).normal(size=(9, 15))
X_14 = X_15[:, :14]
Y = np.arange(9.0)
SCALED = TransformedTargetRegressor(Ridge(), transformer=StandardScaler())


def changed_facts(change):
    def edit(folder):
        path = folder / "config.json"
        facts = json.loads(path.read_text())
        change(facts)
        path.write_text(json.dumps(facts))

    return edit


DAMAGES = {
    "an aspect too many": (
        "pooled_ridge",
        changed_facts(lambda facts: facts["aspects"].append("x")),
    ),
    "an aspect that nothing is said of": (
        "pooled_ridge",
        changed_facts(lambda facts: facts["needs_text"].pop()),
    ),
    "an encoder of another width": (
        "pooled_ridge",
        changed_facts(lambda facts: facts["encoders"]["audio"].update(dim=6)),
    ),
    "an encoder of no width": (
        "pooled_ridge",
        changed_facts(lambda facts: facts["encoders"]["audio"].update(dim=None)),
    ),
    "another family": (
        "pooled_gp",
        changed_facts(lambda facts: facts["config"].update(regressor="svr")),
    ),
    "another type": (
        "pooled_ridge",
        another_regressor(LinearRegression().fit(X_15, Y)),
    ),
    "another type within": ("pooled_svr", another_regressor(SCALED.fit(X_15, Y))),
    "another width": ("pooled_ridge", another_regressor(Ridge().fit(X_14, Y))),
    "several outputs": (
        "pooled_ridge",
        another_regressor(Ridge().fit(X_15, np.c_[Y, Y])),
    ),
    "not fitted": ("pooled_ridge", another_regressor(Ridge())),
    "truncated arrays": (
        "pooled_gp",
        lambda folder: (folder / "pooling.safetensors").write_bytes(
            (folder / "pooling.safetensors").read_bytes()[:-40]
        ),
    ),
    "a missing array": ("pooled_gp", changed_arrays(lambda a: a.pop("0.audio_mean"))),
    "an array too many": (
        "pooled_gp",
        changed_arrays(lambda a: a.update({"0.text_axes": np.zeros((2, 5))})),
    ),
    "one number for all": (
        "pooled_gp",
        changed_arrays(lambda a: a.update({"0.audio_mean": np.zeros(1)})),
    ),
    "NaN": (
        "pooled_gp",
        changed_arrays(lambda a: a.update({"0.audio_mean": np.full(15, np.nan)})),
    ),
    "a negative scale": (
        "pooled_gp",
        changed_arrays(lambda a: a["1.text_scale"].__setitem__(1, -1)),
    ),
    "an infinite scale": (
        "pooled_gp",
        changed_arrays(lambda a: a["0.audio_scale"].__setitem__(3, np.inf)),
    ),
    "other columns live": (
        "pooled_forest",
        changed_arrays(lambda a: a["0.audio_scale"].__setitem__(3, 0)),
    ),
    "text of another width": (
        "pooled_ridge",
        changed_arrays(lambda a: a.update({"1.text_center": np.zeros(4)})),
    ),
    "no record of tuning": (
        "pooled_ridge",
        lambda folder: (folder / "tuning.json").write_text("[]"),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_files_that_do_not_fit_each_other_are_refused_in_one_line(damage, saved):
    preset, edit = DAMAGES[damage]
    folder = saved(preset, edit)
    with pytest.raises(DamagedArtifact) as caught:
        PooledMOS.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 500
    assert str(folder) in message


def test_a_saved_model_is_read_without_the_package_of_its_encoder(
    one_space, clips, new, tmp_path, monkeypatch
):
    """Whether the spaces were one is in the file, not in what is installed."""
    fitted = model().fit(clips, clips[["ta"]])
    fitted.save(tmp_path / "m")
    monkeypatch.setattr(PooledMOS, "_shares_space", lambda self: False)
    loaded = PooledMOS.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.predict(new), fitted.predict(new))
