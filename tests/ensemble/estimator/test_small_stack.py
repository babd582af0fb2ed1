"""``StackedMOS("small")``: the set for small listening tests as one estimator."""

import numpy as np
import pandas as pd
import pytest
from builders import clip_table, noises
from commands import two_epochs
from sklearn.base import clone

from base_models.errors import UsageError
from base_models.pooled_config import POOLED_MODELS
from ensemble import StackedMOS, model_set
from ensemble.training import model_sets
from meta.learners import USUAL_LEARNER

NAMES = [*(f"{name}-s0" for name in POOLED_MODELS), "dora-s0"]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """24 clips of noise by 4 systems, their labels, and a folder for embeddings."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    levels = 10 ** rng.uniform(-2.4, -0.3, 24)
    X = clip_table(folder, noises(levels, 0.3))
    mi = (4.6 + 1.5 * np.log10(levels) + 0.1 * rng.normal(size=24)).clip(1, 5)
    return X, pd.DataFrame({"mi": mi, "ta": 6 - mi}), folder / "embeddings"


@pytest.fixture(scope="module")
def small(clips):
    """The set fitted on half of the clips."""
    X, y, store = clips
    with pytest.MonkeyPatch.context() as patch, two_epochs():
        # What is at hand must not depend on the machine.
        at_hand = ("logmel", "hashed_text")
        patch.setattr(
            model_sets, "missing_files", lambda spec: spec.name not in at_hand
        )
        patch.chdir(store.parent)
        stack = StackedMOS("small", cv=2, validation=None)
        return stack.fit(X[::2], y[::2])


def test_the_set_is_every_regressor_and_a_network_under_the_usual_learner(small):
    names = [name for name, _ in small.estimators_]
    assert names == [
        *(f"{name}@logmel-s0" for name in POOLED_MODELS),
        "dora@logmel-s0",
    ]
    assert small.final_estimator_.learner == USUAL_LEARNER


def test_clips_that_it_has_not_seen_are_scored_by_their_loudness(small, clips):
    X, y, _ = clips
    scores = small.predict(X[1::2])
    assert scores.shape == (12, 2)
    for aspect, name in enumerate(y):
        assert np.corrcoef(scores[:, aspect], y[name][1::2])[0, 1] > 0.7

    distributions = small.predict_distribution(X[1::2])
    np.testing.assert_allclose(distributions.sum(axis=-1), 1)
    tables = small.prediction_tables(X[1::2])
    ids = tables[0].clip_ids
    low, high = small.final_estimator_.predict_interval(tables, ids)
    assert (low < scores).all()
    assert (scores < high).all()


def test_a_saved_stack_scores_the_same(small, clips, tmp_path):
    X, _, store = clips
    small.save(tmp_path / "stack")
    loaded = StackedMOS.load(tmp_path / "stack")
    for _, model in loaded.estimators_:
        model.store = store
    np.testing.assert_allclose(loaded.predict(X), small.predict(X), atol=1e-9)


def test_its_parameters_are_those_that_were_given(small):
    assert StackedMOS("small").get_params()["estimators"] == "small"
    again = clone(small)
    assert again.estimators == "small"
    assert again.cv == 2
    assert "small" in repr(again)


def test_members_of_a_listed_set_are_parameters(clips):
    models = model_set(
        "small", audio_encoder="logmel", text_encoder="hashed_text", store=clips[2]
    )
    stack = StackedMOS(models, cv=2)
    assert [name for name, _ in models] == NAMES
    stack.set_params(**{"pooled_gp-s0": "drop", "pooled_svr-s0__random_state": 7})
    kept = dict(stack.estimators)
    assert kept["pooled_gp-s0"] == "drop"
    assert kept["pooled_svr-s0"].random_state == 7
    assert clone(stack).get_params()["pooled_svr-s0__random_state"] == 7


def test_groups_and_weights_reach_the_base_models(clips):
    X, y, store = clips
    models = model_set(
        "pooled_ridge:1", audio_encoder="logmel", with_text=False, store=store
    )
    groups = [f"g{k % 5}" for k in range(len(X))]
    weights = np.linspace(0.5, 2, len(X))
    stack = StackedMOS(models, cv=3, validation=None)
    stack.fit(X, y[["mi"]], groups=groups, sample_weight=weights)
    plain = StackedMOS(models, cv=3, validation=None).fit(X, y[["mi"]], groups=groups)
    assert not np.allclose(stack.predict(X), plain.predict(X))

    gp = model_set("pooled_gp:1", audio_encoder="logmel", with_text=False, store=store)
    with pytest.raises(UsageError, match="'gp' takes no weights"):
        StackedMOS(gp, cv=3, validation=None).fit(X, y["mi"], sample_weight=weights)


def test_an_unknown_set_is_refused(clips):
    X, y, _ = clips
    with pytest.raises(UsageError, match="'smal'"):
        StackedMOS("smal").fit(X, y)
