"""The type of stored embeddings belongs to the models that were trained on them."""

import io

import numpy as np
import pandas as pd
from commands import call, small_demo

from ensemble.estimator.stacked_mos import StackedMOS
from ensemble.scoring.stack_source import StackSource, load_stack


def fitted(corpus, art, *more):
    """The folder of a stack that two commands have fitted."""
    words = ["--data", corpus, "--models", "pooled_ridge", "--jobs", 1]
    words += ["--audio-encoder", "logmel", "--artifacts", art]
    assert call("fit_base", *words, "--aspects", "mi", *more)[0] == 0
    assert call("fit_meta", "--artifacts", art)[0] == 0
    (manifest,) = art.glob("meta/*/manifest.json")
    return manifest.parent


def dtypes_in(embeddings):
    return {path.name.rpartition(".")[2] for path in embeddings.iterdir()}


def test_scores_are_of_embeddings_as_the_stack_was_trained_on(tmp_path):
    corpus = small_demo(tmp_path / "corpus")
    stack = fitted(corpus, tmp_path / "art", "--store-dtype", "float32")
    wav = min((corpus / "wav").iterdir())
    words = ["predict_mos", wav, "--stack", stack, "-o", "-"]

    code, out, err = call(*words, "--artifacts", tmp_path / "new")
    assert code == 0, err
    assert dtypes_in(tmp_path / "new" / "embeddings") == {"float32"}
    # Where they are in the store, they are read, and give the same score.
    assert call(*words, "--artifacts", tmp_path / "art")[1] == out
    assert dtypes_in(tmp_path / "art" / "embeddings") == {"float32"}

    # So it is for workers of a cluster, and in the library.
    source = StackSource.of(stack, tmp_path / "source")
    assert source.store_of(load_stack(source)).dtype == "float32"
    loaded = StackedMOS.load(stack, store=tmp_path / "library")
    clips = pd.DataFrame({"clip_id": ["a"], "audio": [str(wav)]})
    score = loaded.predict(clips)
    assert dtypes_in(tmp_path / "library") == {"float32"}
    written = pd.read_csv(io.StringIO(out))["mi"][0]
    np.testing.assert_allclose(np.ravel(score)[0], written, atol=1e-4)
