"""Laws of StackedMOS over neural base models on a clip table."""

import shutil

import numpy as np
import pandas as pd
import pytest
from builders import clip_table, tones
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
)
from sklearn.pipeline import make_pipeline
from tiny_networks import embedded_model

from base_models.encoders.base import Encoder
from base_models.encoders.store import EmbeddingStore
from base_models.errors import ClipError, DamagedArtifact, UsageError
from base_models.files import read_json, seal, write_json
from ensemble.estimator.rows_to_predict import rows_to_judge
from ensemble.estimator.stacked_mos import StackedMOS


def neural(store, seed=0, **params):
    settings = {"learning_rate": 1e-3}
    return embedded_model("dora", settings, store=store, random_state=seed, **params)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """36 clips by 6 systems, labels for mi and ta, and a folder for embeddings."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    pitch = np.arange(36) % 6
    sounds = tones(36, pitches=6, noise=0.01)
    X = clip_table(folder, sounds, systems=6, pitch=pitch.astype(float))
    mi = 1.5 + 0.5 * pitch + rng.uniform(0, 0.4, 36)
    y = pd.DataFrame({"mi": mi, "ta": 2 + rng.uniform(0, 2, 36)})
    return X, y, folder / "embeddings"


@pytest.fixture(scope="module")
def bases(clips):
    X, y, store = clips
    return [
        (f"dora-s{seed}", neural(store, seed).fit(X[:18], y[:18])) for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def stack(clips, bases):
    X, y, _ = clips
    return StackedMOS(bases, cv="prefit").fit(X[18:], y[18:])


def test_neural_base_models_are_stacked_on_a_holdout(clips):
    X, y, store = clips
    stack = StackedMOS([("one", neural(store)), ("two", neural(store, 1))], cv=0.5).fit(
        X, y
    )
    seen = stack.estimators_[0][1]
    assert stack.predict(X).shape == (36, 2)
    assert stack.aspects_ == ("mi", "ta")
    assert len(stack.final_estimator_.fitted_on_) == 18
    assert not set(stack.final_estimator_.fitted_on_) & (
        seen.trained_on_ | seen.selected_on_
    )


def test_prefit_models_are_not_stacked_on_the_clips_that_they_were_trained_on(
    clips, bases
):
    X, y, _ = clips
    with pytest.raises(
        UsageError,
        match=r"Clips 'c\d\d'.* were used to train 'dora-s0'; "
        r"meta-training on them leaks",
    ):
        StackedMOS(bases, cv="prefit").fit(X, y)


def test_clips_come_back_in_their_order_whatever_the_index(clips, stack):
    X, _, _ = clips
    whole = stack.predict(X)
    order = np.random.default_rng(0).permutation(36)
    np.testing.assert_allclose(stack.predict(X.iloc[order]), whole[order], atol=1e-6)
    np.testing.assert_allclose(stack.predict(X.iloc[[5]]), whole[[5]], atol=1e-6)
    assert list(stack.transform(X.iloc[order]).index) == [f"c{k:02d}" for k in order]


def test_no_clips_give_no_scores(clips, stack):
    X, _, _ = clips
    assert stack.predict(X[:0]).shape == (0, 2)
    assert stack.predict_distribution(X[:0]).shape == (0, 2, 20)


def test_a_table_without_clip_ids_goes_by_its_index(clips):
    X, y, store = clips
    bare = X.drop(columns="clip_id").set_index(X["clip_id"])
    with_ids, without = (
        StackedMOS([("one", neural(store))], cv=2, validation=None).fit(table, y)
        for table in (X, bare)
    )
    np.testing.assert_array_equal(with_ids.predict(X), without.predict(bare))
    prefit = [("one", neural(store).fit(bare[:18], y[:18]))]
    StackedMOS(prefit, cv="prefit").fit(bare[18:], y[18:])
    with pytest.raises(UsageError, match="leaks"):
        StackedMOS(prefit, cv="prefit").fit(bare[10:], y[10:])


def test_a_stack_comes_back_from_disk_bit_for_bit_even_after_a_move(
    clips, stack, tmp_path
):
    X, _, store = clips
    stack.save(tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    again = StackedMOS.load(tmp_path / "there", store=store, device="cpu")
    np.testing.assert_array_equal(again.predict(X), stack.predict(X))
    np.testing.assert_array_equal(
        again.predict_distribution(X), stack.predict_distribution(X)
    )
    assert list(again.get_feature_names_out()) == list(stack.get_feature_names_out())
    again.save(tmp_path / "again")
    for path in (tmp_path / "there").rglob("*.*"):
        assert (
            path.read_bytes()
            == (tmp_path / "again" / path.relative_to(tmp_path / "there")).read_bytes()
        )


def test_a_flat_stack_stays_flat_on_disk(clips, tmp_path):
    X, y, store = clips
    stack = StackedMOS([("one", neural(store))], cv=0.5).fit(X, y["mi"].tolist())
    stack.save(tmp_path)
    again = StackedMOS.load(tmp_path, store=store, device="cpu")
    assert stack.predict(X).shape == (36,)
    np.testing.assert_array_equal(again.predict(X), stack.predict(X))


def test_any_changed_byte_is_noticed(stack, tmp_path):
    stack.save(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) == 6 + 2 * 3
    for path in files:
        intact = path.read_bytes()
        path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
        with pytest.raises(DamagedArtifact):
            StackedMOS.load(tmp_path)
        path.write_bytes(intact)
    StackedMOS.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts | {"family": "x"}, "'family' is 'x', and this version"),
        (lambda facts: facts | {"config": [1]}, "not a base model of this version"),
        (lambda facts: [facts], "not a base model of this version"),
        (lambda facts: None, "not a base model of this version"),
    ],
)
def test_a_config_that_is_no_base_model_is_damage(change, message, stack, tmp_path):
    stack.save(tmp_path)
    path = tmp_path / "base" / "dora-s1" / "config.json"
    write_json(path, change(read_json(path)))
    (tmp_path / "manifest.json").unlink()
    seal(tmp_path, "stack")
    with pytest.raises(DamagedArtifact, match=message):
        StackedMOS.load(tmp_path)


def test_each_model_is_compared_with_the_encoder_that_it_was_trained_with(
    clips, stack, tmp_path
):
    X, _, store = clips
    stack.save(tmp_path)
    stack = StackedMOS.load(tmp_path, store=store, device="cpu")
    # As after a change of the encoder between the fits of two models.
    dict(stack.estimators_)["dora-s1"].encoders_["audio"]["signature"] = "logmel-v0"
    with pytest.raises(UsageError, match="trained with logmel-v0"):
        stack.predict(X)


def test_a_missing_file_is_noticed_and_an_added_one_changes_nothing(
    clips, stack, tmp_path
):
    X, _, store = clips
    stack.save(tmp_path)
    (tmp_path / "base" / "notes.txt").write_text("mine")
    again = StackedMOS.load(tmp_path, store=store, device="cpu")
    np.testing.assert_array_equal(again.predict(X), stack.predict(X))
    (tmp_path / "base" / "dora-s1" / "history.json").unlink()
    with pytest.raises(DamagedArtifact, match=r"history\.json"):
        StackedMOS.load(tmp_path)


def test_only_the_parameters_of_base_models_can_be_overridden_on_loading(
    stack, tmp_path
):
    stack.save(tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'device'"):
        StackedMOS.load(tmp_path, devise="cpu")


def test_a_foreign_final_estimator_is_saved(clips, bases, tmp_path):
    X, y, store = clips
    stack = StackedMOS(bases, LinearRegression(), cv="prefit").fit(X[18:], y[18:])
    stack.save(tmp_path)
    again = StackedMOS.load(tmp_path, store=store, device="cpu")
    np.testing.assert_array_equal(again.predict(X), stack.predict(X))


@pytest.mark.parametrize("kind", ["folder", "memory", "none"])
def test_each_clip_is_encoded_once_however_many_base_models_and_folds(
    clips, tmp_path, monkeypatch, kind
):
    X, y, _ = clips
    encoded = {"logmel": 0, "hashed_text": 0}
    encode = Encoder.encode

    def counted(self, batch):
        encoded[self.name] += len(batch)
        return encode(self, batch)

    monkeypatch.setattr(Encoder, "encode", counted)
    store = {"folder": tmp_path, "memory": EmbeddingStore(), "none": None}[kind]
    stack = StackedMOS(
        [(f"m{seed}", neural(store, seed)) for seed in range(2)], cv=2
    ).fit(X, y)
    assert encoded == {"logmel": 36, "hashed_text": 2}
    assert all(model.store is store for _, model in stack.estimators_)
    stack.predict(X)
    assert encoded == (
        {"logmel": 72, "hashed_text": 4}
        if kind == "none"
        else {"logmel": 36, "hashed_text": 2}
    )


def test_base_models_of_different_encoders_or_text_aspects_stand_side_by_side(clips):
    X, y, store = clips
    stack = StackedMOS(
        [("text", neural(store)), ("audio", neural(store, text_aspects=[]))], cv=2
    ).fit(X, y)
    assert [any(model.needs_text_) for _, model in stack.estimators_] == [True, False]
    assert stack.predict(X).shape == (36, 2)


def test_a_regressor_on_columns_of_the_clip_table_stacks_with_neural_models(clips):
    X, y, store = clips
    picks = make_pipeline(make_column_transformer(("passthrough", ["pitch"])), Ridge())
    gaps = y.copy()
    gaps.loc[::7, "ta"] = np.nan
    for labels in (y, gaps):
        stack = StackedMOS([("neural", neural(store)), ("pitch", picks)], cv=2).fit(
            X, labels
        )
        assert stack.predict(X).shape == (36, 2)
    board = stack.validation_scores_.set_index(["model", "aspect", "level", "metric"])[
        "value"
    ]
    assert board["pitch", "mi", "utterance", "srcc"] > 0.9


def test_a_clip_that_cannot_be_decoded_is_named(clips, stack):
    X, _, _ = clips
    with pytest.raises(ClipError, match="'gone'"):
        stack.predict(
            pd.concat([X[:2], X[2:3].assign(clip_id="gone", audio="nowhere.wav")])
        )


def test_a_nested_grid_reaches_neural_models(clips):
    X, y, store = clips
    stack = StackedMOS([("one", neural(store))], cv=2, validation=None)
    grid = {
        "one__settings": [
            {"max_epochs": 1, "learning_rate": 1e-3},
            {"max_epochs": 2, "learning_rate": 1e-3},
        ]
    }
    search = GridSearchCV(stack, grid, cv=2).fit(X, y)
    assert (
        len(search.best_estimator_.estimators_[0][1].history_)
        == search.best_params_["one__settings"]["max_epochs"]
    )


def test_without_a_prompt_a_stack_neither_uses_nor_predicts_what_needs_one(
    clips, bases, stack
):
    X, y, _ = clips
    some = X.assign(prompt=X["prompt"].where(~X.index.isin([20, 30]), " "))
    scores = stack.predict(some)
    missing = np.zeros((36, 2), dtype=bool)
    missing[[20, 30], 1] = True
    np.testing.assert_array_equal(np.isnan(scores), missing)
    np.testing.assert_array_equal(scores[~missing], stack.predict(X)[~missing])
    distributions = stack.predict_distribution(some)
    np.testing.assert_array_equal(np.isnan(distributions).any(-1), missing)

    # A label of ta that such a clip has all the same changes nothing.
    wild = y.copy()
    wild.loc[[20, 30], "ta"] = [1.0, 5.0]
    absent = y.mask(missing)
    new = [
        StackedMOS(bases, cv="prefit").fit(some[18:], labels[18:])
        for labels in (wild, absent)
    ]
    np.testing.assert_array_equal(new[0].predict(X), new[1].predict(X))
    judged = [
        rows_to_judge(stack, "test", some, labels).rows.labels
        for labels in (wild, absent)
    ]
    np.testing.assert_array_equal(judged[0], judged[1])
    adapted = [stack.adapt(some[18:], labels[18:]) for labels in (wild, absent)]
    np.testing.assert_array_equal(adapted[0].predict(X), adapted[1].predict(X))
